"""The speaker in PyTorch: which phrases share a run, in which order, what one that is not wanted leaves undone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from voxtral_voice.engines.base import Samples, SpeechChunk, Voice
from voxtral_voice.engines.kokoro_torch.speaker import FRAMES_AT_ONCE, KokoroTorch
from voxtral_voice.engines.voices import DEFAULT_VOICES, Styles
from voxtral_voice.errors import EngineError, RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro_torch.network import Kokoro, Phrase, Plan

pytestmark = pytest.mark.voxtral

LONG = "This sentence has a good many words in it, so that it is a long one, and then it goes on for a while."
SHORT = "That is right."


@pytest.fixture(scope="module")
def voices_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    random = np.random.default_rng(0)
    for voice in DEFAULT_VOICES:
        random.normal(0, 0.3, (510, 1, 256)).astype("<f4").tofile(folder / f"{voice}.bin")
    return folder


async def started(monkeypatch: pytest.MonkeyPatch, voices_dir: Path, model: object, together: int = 4) -> KokoroTorch:
    monkeypatch.setattr("voxtral_voice.engines.kokoro_torch.weights.load", lambda *_: model)
    speaker = KokoroTorch(Path("kokoro.onnx"), voices_dir, "cpu", others=Mine(), together=together)
    await speaker.start()
    return speaker


@pytest.fixture
async def speaker(monkeypatch: pytest.MonkeyPatch, voices_dir: Path, tiny: Kokoro) -> AsyncIterator[KokoroTorch]:
    speaker = await started(monkeypatch, voices_dir, tiny)
    yield speaker
    await speaker.aclose()


async def say(speaker: KokoroTorch, text: str, voice: str = "af_heart", speed: float = 1.0) -> list[SpeechChunk]:
    return [chunk async for chunk in speaker.speak(text, voice=voice, speed=speed)]


# --- with a tiny model


async def test_it_speaks_with_the_times_of_its_words(speaker: KokoroTorch) -> None:
    (chunk,) = await say(speaker, "Good morning, my friend.")
    assert chunk.samples.dtype == np.float32
    assert [time.word for time in chunk.words] == ["Good", "morning,", "my", "friend."]
    starts = [time.start_ms for time in chunk.words]
    assert starts == sorted(starts)
    assert chunk.words[-1].end_ms <= chunk.samples.size / 24
    assert speaker.name == "kokoro in torch on cpu"


async def test_sessions_at_once_get_what_each_would_get_alone(speaker: KokoroTorch) -> None:
    asked = [("Good morning.", "af_heart", 1.0), (SHORT, "hm_psi", 1.2), ("नमस्ते।", "hf_alpha", 1.0)]
    together = await asyncio.gather(*(say(speaker, *each) for each in asked))
    for each, chunks in zip(asked, together, strict=True):
        (alone,), (chunk,) = await say(speaker, *each), chunks
        assert chunk.words == alone.words
        assert np.abs(chunk.samples - alone.samples).max() < 2e-3


async def test_a_phrase_too_long_for_one_run_comes_in_parts(speaker: KokoroTorch) -> None:
    text = f"{LONG} {LONG} {LONG}"
    first, *more = await say(speaker, text)
    assert more
    assert [time.word for chunk in (first, *more) for time in chunk.words] == text.split()
    assert more[0].words[0].start_ms > first.words[-1].start_ms
    assert more[0].words[0].start_ms >= first.samples.size / 24


@pytest.mark.parametrize("text", ["", "...", "!?"])
async def test_nothing_to_say_is_nothing(speaker: KokoroTorch, text: str) -> None:
    assert await say(speaker, text) == []


async def test_what_it_cannot_do_is_one_sentence(speaker: KokoroTorch) -> None:
    with pytest.raises(EngineError, match="There is no voice 'nobody'"):
        await say(speaker, SHORT, "nobody")
    with pytest.raises(EngineError, match="Speed 9 is out of range"):
        await say(speaker, SHORT, speed=9.0)


async def test_other_styles_can_be_tried(speaker: KokoroTorch) -> None:
    styles = np.random.default_rng(5).normal(0, 0.3, (510, 1, 256)).astype(np.float32)
    tried = await speaker.try_styles(SHORT, styles)
    assert tried.ndim == 1
    assert tried.size % 600 == 0


async def test_it_must_be_started_and_not_be_closed(voices_dir: Path, speaker: KokoroTorch) -> None:
    with pytest.raises(EngineError, match="not running: await start"):
        await say(KokoroTorch(Path("kokoro.onnx"), voices_dir, "cpu"), SHORT)
    await speaker.aclose()
    await speaker.aclose()
    with pytest.raises(EngineError, match="not running: await start"):
        await say(speaker, SHORT)


async def test_a_damaged_file_is_named_at_the_start(tmp_path: Path, voices_dir: Path) -> None:
    (tmp_path / "kokoro.onnx").write_bytes(b"nothing")
    speaker = KokoroTorch(tmp_path / "kokoro.onnx", voices_dir, "cpu")
    with pytest.raises(EngineError, match=r"kokoro\.onnx is not a usable model"):
        await speaker.start()
    await speaker.aclose()


async def test_a_gpu_that_is_not_there_is_told_at_the_start(voices_dir: Path) -> None:
    speaker = KokoroTorch(Path("kokoro.onnx"), voices_dir, "cuda:99")
    with pytest.raises(EngineError, match="was to run on cuda:99, but torch finds"):
        await speaker.start()
    await speaker.aclose()


# --- with a scripted model


class Scripted:
    """Says 4 frames for each symbol, and waits before each sound while it is held."""

    def __init__(self) -> None:
        self.plans: list[list[int]] = []
        """Symbols of the phrases of each run."""
        self.sounds: list[list[int]] = []
        """Frames of those of each run."""
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.fails = False
        self.level = 0.1

    def plan(self, phrases: Sequence[Phrase]) -> list[Plan]:
        import torch

        from voxtral_voice.engines.kokoro_torch.network import Plan

        self.plans.append([len(phrase.ids) for phrase in phrases])
        none: Any = torch.zeros(0)
        return [Plan((4,) * len(phrase.ids), none, none, none) for phrase in phrases]

    def sound(self, plans: Sequence[Plan]) -> list[Samples]:
        self.sounds.append([plan.length for plan in plans])
        self.begun.set()
        assert self.go_on.wait(10)
        if self.fails:
            raise RuntimeError("CUDA error: an illegal memory access\nmore")
        return [np.full(600 * plan.length, self.level, np.float32) for plan in plans]

    async def busy(self, speaker: KokoroTorch) -> asyncio.Task[list[SpeechChunk]]:
        """It makes a sound until `go_on`; nothing is counted yet."""
        self.go_on.clear()
        self.begun.clear()
        task = asyncio.ensure_future(say(speaker, SHORT))
        await asyncio.to_thread(self.begun.wait, 10)
        self.plans, self.sounds = [], []
        return task


class Mine:
    """One voice besides the table's."""

    def voice(self, name: str) -> Voice | None:
        return Voice(name, "en-US", "") if name == "voice_1" else None

    def styles(self, name: str) -> Styles | None:
        return np.zeros((510, 1, 256), np.float32) if name == "voice_1" else None

    def gain_db(self, name: str) -> float | None:
        return 0.0 if name == "voice_1" else None


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
async def script(monkeypatch: pytest.MonkeyPatch, voices_dir: Path, scripted: Scripted) -> AsyncIterator[KokoroTorch]:
    speaker = await started(monkeypatch, voices_dir, scripted)
    scripted.plans, scripted.sounds = [], []
    yield speaker
    scripted.go_on.set()
    await speaker.aclose()


async def waiting(speaker: KokoroTorch, texts: Sequence[str]) -> list[asyncio.Task[list[SpeechChunk]]]:
    """All of them wait for the model."""
    come, run = asyncio.Semaphore(0), speaker._batches.run

    async def counted(*step: Any, **more: Any) -> Any:
        come.release()
        return await run(*step, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaker._batches, "run", counted)
        tasks = [asyncio.ensure_future(say(speaker, text)) for text in texts]
        for _ in texts:
            await come.acquire()
    return tasks


async def test_a_phrase_that_finds_nobody_is_begun_at_once(script: KokoroTorch, scripted: Scripted) -> None:
    await say(script, SHORT)
    assert [len(run) for run in (*scripted.plans, *scripted.sounds)] == [1, 1]


async def test_what_waits_runs_together_in_groups_of_one_length_the_short_ones_first(
    script: KokoroTorch, scripted: Scripted
) -> None:
    running = await scripted.busy(script)
    tasks = await waiting(script, [LONG, SHORT, LONG, SHORT])
    scripted.go_on.set()
    await asyncio.gather(running, *tasks)
    assert [len(run) for run in scripted.plans] == [2, 2]
    assert max(scripted.plans[0]) < min(scripted.plans[1])
    assert [len(run) for run in scripted.sounds] == [2, 2]
    assert max(scripted.sounds[0]) < min(scripted.sounds[1])


async def test_no_more_than_so_many_share_a_run(script: KokoroTorch, scripted: Scripted) -> None:
    running = await scripted.busy(script)
    tasks = await waiting(script, [SHORT] * 6)
    scripted.go_on.set()
    await asyncio.gather(running, *tasks)
    assert [len(run) for run in scripted.plans] == [4, 2]


async def test_what_would_not_fit_is_sounded_one_after_the_other(script: KokoroTorch, scripted: Scripted) -> None:
    running = await scripted.busy(script)
    frames = (FRAMES_AT_ONCE // 2 + 4) // 4
    plans = scripted.plan([type("Long", (), {"ids": range(frames)})() for _ in range(3)])
    scripted.go_on.set()
    await running
    scripted.sounds = []
    assert [samples.size for samples in script._sound(plans)] == [600 * 4 * frames] * 3
    assert [len(run) for run in scripted.sounds] == [1, 1, 1]


async def test_one_that_is_cancelled_while_it_waits_is_never_begun(script: KokoroTorch, scripted: Scripted) -> None:
    running = await scripted.busy(script)
    gone, kept = await waiting(script, [LONG, SHORT])
    gone.cancel()
    scripted.go_on.set()
    await asyncio.gather(running, kept)
    assert [len(run) for run in scripted.plans] == [1]


async def test_one_that_is_cancelled_at_work_begins_nothing_more(script: KokoroTorch, scripted: Scripted) -> None:
    running = await scripted.busy(script)
    async with aclosing(script.speak(f"{LONG} {LONG} {LONG}", voice="af_heart", speed=1.0)) as chunks:
        scripted.go_on.set()
        await running
        await anext(chunks)
        made = len(scripted.sounds)
    await say(script, SHORT)
    assert len(scripted.sounds) == made + 1


async def test_a_failure_is_one_sentence_and_the_next_phrase_is_spoken(script: KokoroTorch, scripted: Scripted) -> None:
    scripted.fails = True
    with pytest.raises(EngineError, match=r"^The speech model failed \(RuntimeError: CUDA error: an illegal memory"):
        await say(script, SHORT)
    scripted.fails = False
    assert await say(script, SHORT)


async def test_on_a_cpu_phrases_are_made_one_by_one(
    monkeypatch: pytest.MonkeyPatch, voices_dir: Path, scripted: Scripted
) -> None:
    monkeypatch.setattr("voxtral_voice.engines.kokoro_torch.weights.load", lambda *_: scripted)
    speaker = KokoroTorch(Path("kokoro.onnx"), voices_dir, "cpu")
    await speaker.start()
    scripted.plans = []
    await asyncio.gather(*(say(speaker, SHORT) for _ in range(3)))
    assert [len(run) for run in scripted.plans] == [1, 1, 1]
    await speaker.aclose()


def test_torch_is_imported_when_it_starts_and_not_before() -> None:
    code = "import sys, voxtral_voice.engines.registry, voxtral_voice.engines.kokoro_torch.speaker as s\n"
    code += "s.KokoroTorch(s.Path('m'), s.Path('v'), 'cuda:0')\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


async def test_silence_is_the_fault_of_a_voice_that_is_not_everybody_s(script: KokoroTorch, scripted: Scripted) -> None:
    scripted.level = 0.0
    with pytest.raises(RequestError, match="The voice made no sound"):
        await say(script, SHORT, "voice_1")
    with pytest.raises(EngineError, match="The model made no sound") as caught:
        await say(script, SHORT)
    assert not isinstance(caught.value, RequestError)
