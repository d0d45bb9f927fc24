"""Push-style streaming against the offline model, tried ends, several streams at once, cancelling, long turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engines.voxtral.steps import Steps
from voxtral_voice.engines.base import Samples, Transcriber, Transcript, TranscriptStream
from voxtral_voice.engines.voxtral import realtime_transcriber
from voxtral_voice.engines.voxtral.realtime_text import text_of
from voxtral_voice.engines.voxtral.realtime_transcriber import RealtimeStream, RealtimeTranscriber
from voxtral_voice.errors import BusyError, EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

pytestmark = pytest.mark.voxtral
TOKEN = 1280
END = 2


def speech(seconds: float, seed: int = 0) -> Samples:
    """A gliding tone in noise, in steps of 16 bits: the offline processor makes those of it."""
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    tone = np.sin(2 * np.pi * (180 + 60 * np.sin(2 * np.pi * 2 * time_s + seed)) * time_s)
    return (np.rint((0.2 * tone + 0.02 * noise) * 32768) / 32768).astype(np.float32)


Offline = Callable[[Samples, int], list[int]]


@pytest.fixture(scope="module")
def offline(tiny_realtime: Path) -> Offline:
    """What transformers' `generate` writes to a whole clip at a delay."""
    import torch
    from transformers import VoxtralRealtimeForConditionalGeneration, VoxtralRealtimeProcessor

    model = VoxtralRealtimeForConditionalGeneration.from_pretrained(tiny_realtime, dtype=torch.float32).eval()
    processor = VoxtralRealtimeProcessor.from_pretrained(tiny_realtime)

    known: dict[tuple[bytes, int], list[int]] = {}

    def ids(audio: Samples, delay_ms: int) -> list[int]:
        key = (audio.tobytes(), delay_ms)
        if key not in known:
            known[key] = generate(audio, delay_ms)
        return known[key]

    def generate(audio: Samples, delay_ms: int) -> list[int]:
        processor.mistral_common_audio_config.transcription_delay_ms = float(delay_ms)
        inputs = processor(audio, sampling_rate=16_000, return_tensors="pt")
        written = model.generate(**inputs, do_sample=False, max_new_tokens=4000)[0].tolist()
        return list(written[inputs["input_ids"].shape[1] :])

    return ids


@pytest.fixture(scope="module")
def engine(tiny_realtime: Path) -> Iterator[RealtimeTranscriber]:
    engine = RealtimeTranscriber(tiny_realtime, "cpu", 480)
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.aclose())


@pytest.fixture
def model(engine: RealtimeTranscriber) -> RealtimeModel:
    return engine._running


def opened(engine: RealtimeTranscriber, language: str | None = None) -> RealtimeStream:
    return engine.stream(language=language, prompt="")


async def ended(stream: RealtimeStream) -> list[int]:
    """What a flush would write."""
    ending = stream._stretch.ending()
    await stream._end_of(ending)
    return ending.ids


async def test_it_is_a_transcriber(engine: RealtimeTranscriber) -> None:
    transcriber: Transcriber = engine
    assert transcriber.streams
    assert transcriber.name == "realtime 480 ms on cpu"
    stream: TranscriptStream | None = transcriber.stream(language="hi", prompt="Voxtral")
    assert stream is not None
    await stream.aclose()
    await stream.aclose()


# --- token for token --------------------------------------------------------------------------------------------------


SPEECH = speech(1.7)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=12), st.integers(0, 12))
def test_streamed_is_offline(engine: RealtimeTranscriber, offline: Offline, sizes: list[int], flush: int) -> None:
    """Packets of any size, and an end tried in between: it is that of the clip so far, and the words only grow."""

    async def stream() -> None:
        stream, at = opened(engine), 0
        whole = offline(SPEECH, 480)
        for index, size in enumerate([*sizes, len(SPEECH)]):
            await stream.push(SPEECH[at : at + size])
            at = min(len(SPEECH), at + size)
            assert stream._stretch.ids == whole[: len(stream._stretch.ids)]
            if index == flush:
                assert await ended(stream) == offline(SPEECH[:at], 480)
        assert await ended(stream) == whole
        await stream.aclose()

    asyncio.run(stream())


@pytest.mark.parametrize("delay_ms", [80, 960, 2400])
async def test_at_other_delays(tiny_realtime: Path, offline: Offline, delay_ms: int) -> None:
    engine = RealtimeTranscriber(tiny_realtime, "cpu", delay_ms)
    await engine.start()
    stream, audio = opened(engine), speech(3.0, seed=3)
    for start in range(0, len(audio), 2560):
        await stream.push(audio[start : start + 2560])
    assert await ended(stream) == offline(audio, delay_ms)
    assert await ended(stream) == offline(audio, delay_ms)
    await stream.aclose()
    await engine.aclose()


async def test_beyond_the_encoders_window(engine: RealtimeTranscriber, offline: Offline) -> None:
    """17 s: the ring of keys and values has gone round, and a tried end would overwrite what is still seen."""
    audio, stream = speech(17.0, seed=4), opened(engine)
    await stream.push(audio[:-30_000])
    for start in range(len(audio) - 30_000, len(audio), 6000):
        await stream.flush()
        await stream.push(audio[start : start + 6000])
    assert await ended(stream) == offline(audio, 480)
    await stream.aclose()


async def test_a_whole_clip(engine: RealtimeTranscriber, offline: Offline, model: RealtimeModel) -> None:
    heard = await engine.transcribe(SPEECH, language="fr", prompt="", final=True)
    assert heard == Transcript(text_of(offline(SPEECH, 480), model.piece), "fr")
    assert len(heard.text.split()) > 10


async def test_words_trail_the_voice(engine: RealtimeTranscriber) -> None:
    stream = opened(engine)
    assert await stream.push(SPEECH[:8999]) == ""
    said = await stream.push(SPEECH[8999:9000])
    assert said
    more = await stream.push(SPEECH[9000:20_000])
    assert more.startswith(said)
    assert len(more.split()) == 9
    assert (await stream.flush()).text.startswith(more)
    assert await stream.push(SPEECH[:0]) == more
    await stream.aclose()


# --- several at once --------------------------------------------------------------------------------------------------


async def test_together_is_as_alone(
    engine: RealtimeTranscriber, offline: Offline, model: RealtimeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams of different age share steps, and each writes what it would write alone."""
    clips = [speech(2.0 + 0.3 * seed, seed) for seed in range(4)]
    sizes: list[int] = []
    write = model.write

    def counted(steps: Sequence[Any]) -> list[int]:
        sizes.append(len(steps))
        return write(steps)

    monkeypatch.setattr(model, "write", counted)

    async def one(clip: Samples) -> list[int]:
        stream = opened(engine)
        for start in range(0, len(clip), 2560):
            await stream.push(clip[start : start + 2560])
        ids = await ended(stream)
        await stream.aclose()
        return ids

    assert await asyncio.gather(*map(one, clips)) == [offline(clip, 480) for clip in clips]
    assert max(sizes) == 4


async def test_more_than_there_is_room_for(engine: RealtimeTranscriber, model: RealtimeModel) -> None:
    streams = [opened(engine) for _ in range(9)]
    for stream in streams[:8]:
        await stream.push(SPEECH[:10_000])
    with pytest.raises(BusyError, match="All 8 places"):
        await streams[8].push(SPEECH[:10_000])
    await streams[0].aclose()
    assert await streams[8].push(SPEECH[:0])
    for stream in streams:
        await stream.aclose()
    assert len(model.decoder._free) == len(model.encoder._free) == 8


# --- cancelling -------------------------------------------------------------------------------------------------------


class Interrupted:
    """Calls of a model's step, of which one, as it runs, makes something happen on the loop."""

    def __init__(self, model: RealtimeModel, step: str, at: int, happen: Callable[[], object]) -> None:
        self.calls = 0
        self._step, self._at, self._happen = getattr(model, step), at, happen
        self._loop = asyncio.get_running_loop()

    def __call__(self, steps: Sequence[Any]) -> Any:
        self.calls += 1
        if self.calls == self._at:
            self._loop.call_soon_threadsafe(self._happen)
        return self._step(steps)


@pytest.mark.parametrize("step", ["hear", "read", "write"])
async def test_a_cancelled_push_stops_within_a_step(
    engine: RealtimeTranscriber, model: RealtimeModel, offline: Offline, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stream = opened(engine)
    push = asyncio.ensure_future(stream.push(SPEECH))
    interrupted = Interrupted(model, step, 1 if step == "read" else 2, push.cancel)
    monkeypatch.setattr(model, step, interrupted)
    await asyncio.wait([push])
    assert push.cancelled()
    calls = interrupted.calls
    await engine._worker.run(lambda: None)  # whatever was to run has run
    assert interrupted.calls == calls == interrupted._at
    assert await stream.push(SPEECH[:0])  # it can go on
    assert await ended(stream) == offline(SPEECH, 480)
    await stream.aclose()


async def test_a_cancelled_flush_leaves_the_stream_as_it_was(
    engine: RealtimeTranscriber, model: RealtimeModel, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = opened(engine)
    await stream.push(SPEECH[:20_000])
    flush = asyncio.ensure_future(stream.flush())
    interrupted = Interrupted(model, "guess", 2, flush.cancel)
    monkeypatch.setattr(model, "guess", interrupted)
    await asyncio.wait([flush])
    assert flush.cancelled()
    assert interrupted.calls == 2
    await stream.push(SPEECH[20_000:])
    assert await ended(stream) == offline(SPEECH, 480)
    await stream.aclose()


@pytest.mark.parametrize("step", ["hear", "write"])
async def test_closed_while_it_runs(
    engine: RealtimeTranscriber, model: RealtimeModel, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its place is free when the step is done, not before."""
    stream, closing = opened(engine), []

    def close() -> None:
        closing.append(asyncio.ensure_future(stream.aclose()))

    interrupted = Interrupted(model, step, 2, close)
    monkeypatch.setattr(model, step, interrupted)
    with pytest.raises(EngineError, match="stream is closed"):
        await stream.push(SPEECH)
    await asyncio.gather(*closing)
    assert interrupted.calls == 2
    assert len(model.decoder._free) == len(model.encoder._free) == 8


@pytest.mark.parametrize("closes_first", [True, False], ids=["closed", "cancelled"])
async def test_sessions_that_vanish_give_every_place_back(
    engine: RealtimeTranscriber, model: RealtimeModel, monkeypatch: pytest.MonkeyPatch, closes_first: bool
) -> None:
    """In any step of a push or a flush, while another session hears."""
    steps = Steps(model, ("hear", "read", "write", "guess"), monkeypatch)
    other = opened(engine)
    for number in range(50):
        stream = opened(engine)
        flushes = number % 2 == 1
        if flushes:
            await stream.push(SPEECH[:15_000])
        work = asyncio.ensure_future(stream.flush() if flushes else stream.push(SPEECH[:15_000]))
        others = asyncio.ensure_future(other.push(SPEECH[:1280]))
        await steps.more(1 + number // 2 % 10, work)
        if closes_first:
            await stream.aclose()
        work.cancel()
        await asyncio.gather(work, others, return_exceptions=True)
        if not closes_first:
            await stream.aclose()
    await other.aclose()
    streams = [opened(engine) for _ in range(8)]
    texts = [await stream.push(SPEECH[:10_000]) for stream in streams]
    assert len(set(texts)) == 1
    assert texts[0]
    for stream in streams:
        await stream.aclose()
    assert sorted(model.decoder._free) == sorted(model.encoder._free) == [*range(8)]


async def test_nothing_after_the_close(engine: RealtimeTranscriber) -> None:
    stream = opened(engine)
    await stream.aclose()
    with pytest.raises(EngineError, match="stream is closed"):
        await stream.push(SPEECH)
    with pytest.raises(EngineError, match="stream is closed"):
        await stream.flush()


async def test_two_channels(engine: RealtimeTranscriber) -> None:
    with pytest.raises(EngineError, match=r"mono samples, not shape \[100, 2\]"):
        await opened(engine).push(np.zeros((100, 2), np.float32))


async def test_before_its_start_and_after_its_close(tiny_realtime: Path) -> None:
    engine = RealtimeTranscriber(tiny_realtime, "cpu", 480)
    with pytest.raises(EngineError, match="call start"):
        opened(engine)
    await engine.start()
    stream = opened(engine)
    await stream.push(SPEECH[:10_000])
    await engine.aclose()
    await engine.aclose()
    with pytest.raises(EngineError, match="not running"):
        await stream.push(SPEECH[10_000:])
    await stream.aclose()


async def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    engine = RealtimeTranscriber(tmp_path, "cpu", 480)
    with pytest.raises(EngineError, match="is missing"):
        await engine.start()
    await engine.aclose()


# --- long turns -------------------------------------------------------------------------------------------------------


async def test_a_long_turn_is_cut_where_it_must(
    engine: RealtimeTranscriber, offline: Offline, model: RealtimeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_transcriber, "CUT_FROM_TOKENS", 50)
    monkeypatch.setattr(realtime_transcriber, "CUT_AT_TOKENS", 60)
    audio, stream = speech(5.0, seed=5), opened(engine)
    long = (60 - 32) * TOKEN
    spans = [(0, long), (long - TOKEN, 2 * long - TOKEN), (2 * long - 2 * TOKEN, len(audio))]
    for _, end in spans:
        audio[end : end + 40] = 0  # so far the last frame before a cut reaches; the offline model is shown none of it
    for start in range(0, len(audio), 5000):
        await stream.push(audio[start : start + 5000])
    texts = [text_of(offline(audio[start:end], 480), model.piece) for start, end in spans]
    assert (await stream.flush()).text == " ".join(texts)
    await stream.aclose()
    assert len(model.decoder._free) == 8


async def test_a_long_turn_is_cut_in_a_pause(engine: RealtimeTranscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_transcriber, "CUT_FROM_TOKENS", 160)
    audio = speech(13.0, seed=6)
    audio[12 * 16_000 - 4800 : 12 * 16_000] = 0
    stream = opened(engine)
    await stream.push(audio)
    assert len(stream._before) == 1
    assert stream._stretch.tokens == 32 + 13  # it begins in the pause, 80 ms before the voice
    await stream.aclose()


async def test_a_turn_goes_on_after_the_models_end(
    engine: RealtimeTranscriber, model: RealtimeModel, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model says after 9 tokens that nothing more comes: what it owes is heard again."""
    write, written = model.write, 0

    def ends(steps: Sequence[Any]) -> list[int]:
        nonlocal written
        written += 1
        return [END] if written == 9 else write(steps)

    monkeypatch.setattr(model, "write", ends)
    stream, audio = opened(engine), speech(4.0, seed=7)
    await stream.push(audio)
    end = 7 + 9
    before = text_of(offline(audio, 480)[:9], model.piece)
    after = text_of(offline(audio[(end - 6) * TOKEN :], 480), model.piece)
    assert (await stream.flush()).text == f"{before} {after}"
    await stream.aclose()


async def test_a_flush_ends_where_the_model_ends(
    engine: RealtimeTranscriber, model: RealtimeModel, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def ends(steps: Sequence[Any]) -> list[list[int]]:
        nonlocal calls
        calls += 1
        return [[1500, END]]

    monkeypatch.setattr(model, "guess", ends)
    stream = opened(engine)
    await stream.push(SPEECH)
    ids = list(stream._stretch.ids)
    assert await ended(stream) == [*ids, 1500, END]
    assert calls == 1
    await stream.aclose()
