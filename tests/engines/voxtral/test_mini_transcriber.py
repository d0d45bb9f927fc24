"""Voxtral Mini as a transcriber: words, languages, silence, loops, limits, partials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.engines.voxtral.original import original
from tests.engines.voxtral.sounds import speech
from tests.engines.voxtral.steps import Steps
from voxtral_voice.engines.base import Message, Samples, Transcript
from voxtral_voice.engines.voxtral import mini_network, mini_transcriber
from voxtral_voice.engines.voxtral.mini_model import MiniModel
from voxtral_voice.engines.voxtral.mini_responder import MiniResponder
from voxtral_voice.engines.voxtral.mini_sound import LONGEST_S, pieces, sound_of
from voxtral_voice.engines.voxtral.mini_transcriber import MiniTranscriber
from voxtral_voice.errors import EngineError, RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Network, Reading

pytestmark = pytest.mark.voxtral
SILENCE = np.zeros(16_000, np.float32)
HANGS_S = 60


@pytest.fixture
async def transcriber(tiny_mini: Path) -> AsyncIterator[MiniTranscriber]:
    transcriber = MiniTranscriber(MiniModel(tiny_mini, sequences=2, tokens=2048))
    await transcriber.start()
    yield transcriber
    await transcriber.aclose()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """Transcripts of so many tokens at the most: the random weights never come to an end."""
    monkeypatch.setattr(mini_transcriber, "_TOKENS_PER_S_ELSE", 0)
    monkeypatch.setattr(mini_transcriber, "_TOKENS_PER_S", {})
    return mini_transcriber._SPARE_TOKENS


async def heard(
    transcriber: MiniTranscriber, audio: Samples, language: str | None = "en", *, final: bool = True
) -> Transcript:
    return await transcriber.transcribe(audio, language=language, prompt="", final=final)


def network_of(transcriber: MiniTranscriber) -> Network:
    running = transcriber._model._running
    assert running is not None
    return running.network


@pytest.mark.parametrize("language", ["en", "hi"])
async def test_it_writes_what_transformers_writes(
    transcriber: MiniTranscriber, tiny_mini: Path, short: int, language: str
) -> None:
    audio, model = speech(2, seed=1), original(tiny_mini)
    expected = model.text(model.written(model.request(audio, language), short, ends=True)).strip()
    assert await heard(transcriber, audio, language) == Transcript(expected, language)


@pytest.mark.parametrize("samples", [479_999, 480_000, 480_001, 60 * 16_000])
async def test_turns_of_about_30_s_and_more(
    transcriber: MiniTranscriber, tiny_mini: Path, short: int, samples: int
) -> None:
    audio, model = speech(60, seed=2)[:samples], original(tiny_mini)
    expected = model.text(model.written(model.request(audio, "en"), short, ends=True)).strip()
    assert (await heard(transcriber, audio)).text == expected


async def test_a_very_long_turn_is_heard_in_pieces(
    transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini_transcriber, "_SPARE_TOKENS", 3)
    monkeypatch.setattr(mini_transcriber, "_TOKENS_PER_S_ELSE", 0)
    audio = speech(LONGEST_S + 30)
    audio[115 * 16_000 : 116 * 16_000] = 0
    first, second = (sound.samples for sound in pieces(audio))
    assert min(len(first), len(second)) > 30 * 16_000
    expected = [(await heard(transcriber, piece)).text for piece in (first, second)]
    assert (await heard(transcriber, audio)).text == " ".join(expected)
    assert all(expected)


@pytest.mark.parametrize(
    "audio", [SILENCE[:0], SILENCE, speech(0.05), np.full(16_000, 1e-4, np.float32)], ids=["none", "0", "short", "hum"]
)
async def test_the_model_is_not_asked_about_silence(
    transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch, audio: Samples
) -> None:
    def fail(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(network_of(transcriber), "hear", fail)
    assert await heard(transcriber, audio) == Transcript("", "en")


class Script:
    """What the model writes, instead of what it would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ids: Iterator[int]) -> None:
        self.written = 0
        self._ids = ids
        monkeypatch.setattr(mini_network, "_chosen", self._chosen)

    def _chosen(self, _: object, readings: Sequence[object]) -> list[int]:
        self.written += 1
        return [next(self._ids) for _ in readings]


async def test_hindi_mixed_with_english_and_its_language_by_its_letters(
    transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "मुझे कल सुबह की meeting में बहुत देर हो गई, माफ़ कीजिए, sorry!"
    vocabulary = network_of(transcriber).vocabulary
    for language in (None, "hi"):
        Script(monkeypatch, iter([*vocabulary.ids(f" {text}"), vocabulary.end]))
        assert await heard(transcriber, speech(5), language) == Transcript(text, "hi")


async def test_a_letter_that_the_limit_cuts_is_left_out(
    transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    ids = network_of(transcriber).vocabulary.ids("😀")
    assert len(ids) > 1
    Script(monkeypatch, iter([*network_of(transcriber).vocabulary.ids("a") * (short - 1), *ids]))
    monkeypatch.setattr(mini_transcriber, "without_loop", lambda tokens, **_: list(tokens))
    assert (await heard(transcriber, speech(1))).text == "a" * (short - 1)


async def test_a_loop_ends_the_text_and_is_cut(transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = network_of(transcriber).vocabulary
    sentence = vocabulary.ids(" and so it was done")
    script = Script(monkeypatch, iter([*vocabulary.ids("Well,"), *sentence * 200]))
    assert (await heard(transcriber, speech(60))).text == "Well, and so it was done"
    assert script.written < 7 * len(sentence) + 16


async def test_no_more_is_written_than_anybody_says_in_that_time(
    transcriber: MiniTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    script = Script(monkeypatch, (int(token) for token in random.integers(1000, 4096, 1000)))
    await heard(transcriber, speech(4))
    assert script.written == 16 + 4 * 8
    script.written = 0
    await heard(transcriber, speech(4), None)
    assert script.written == 16 + 4 * 16


async def test_a_language_that_it_does_not_know_is_refused(transcriber: MiniTranscriber) -> None:
    with pytest.raises(RequestError, match=r"does not know the language 'ja'; it knows ar, de, en, es,") as caught:
        await heard(transcriber, speech(1), "ja")
    assert caught.value.engine == "transcriber"


async def test_stereo_is_refused(transcriber: MiniTranscriber) -> None:
    with pytest.raises(EngineError, match=r"mono samples, not shape \[10, 2\]"):
        await heard(transcriber, np.zeros((10, 2), np.float32))


async def test_a_partial_waits_while_a_final_is_written(transcriber: MiniTranscriber, short: int) -> None:
    ended: list[str] = []

    async def transcribe(kind: str) -> None:
        await heard(transcriber, speech(1, seed=len(kind)), final=kind == "final")
        ended.append(kind)

    await asyncio.gather(transcribe("partial"), transcribe("final"))
    assert ended == ["final", "partial"]


async def many(transcriber: MiniTranscriber, partials: int, finals: int) -> list[str]:
    """Begun in this order, one after the other as it writes. Returns which ended first."""
    ended: list[str] = []

    async def transcribe(kind: str, seed: int) -> None:
        await heard(transcriber, speech(1, seed), final=kind == "final")
        ended.append(kind)

    tasks = []
    for index, kind in enumerate(["partial"] * partials + ["final"] * finals):
        tasks.append(asyncio.create_task(transcribe(kind, index)))
        await writing(transcriber)
    async with asyncio.timeout(HANGS_S):
        await asyncio.gather(*tasks)
    return ended


async def writing(transcriber: MiniTranscriber) -> None:
    """Until the model has made a few more steps."""
    running = transcriber._model._running
    assert running is not None
    for _ in range(4):
        await running.worker.run(lambda: None)


@pytest.mark.parametrize("partials", [1, 2, 5])
async def test_partials_that_wait_keep_no_final_from_its_place(
    transcriber: MiniTranscriber, short: int, partials: int
) -> None:
    """The model has two places."""
    assert sorted(await many(transcriber, partials, 3)) == ["final"] * 3 + ["partial"] * partials


async def test_with_one_place_they_still_go_on(tiny_mini: Path, short: int) -> None:
    transcriber = MiniTranscriber(MiniModel(tiny_mini, sequences=1, tokens=1024))
    await transcriber.start()
    network_of(transcriber).end = -1
    assert (await many(transcriber, 1, 1))[0] == "final"
    await transcriber.aclose()


async def test_a_final_does_not_wait_for_replies_where_partials_wait_for_it(tiny_mini: Path, short: int) -> None:
    """Six replies and two partials have all eight places."""
    model = MiniModel(tiny_mini, tokens=2048)
    transcriber, responder = MiniTranscriber(model), MiniResponder(model, False, seed=0)
    await transcriber.start()
    network_of(transcriber).end = -1
    expected = await heard(transcriber, speech(1, seed=9))
    ended: list[str] = []

    async def reply() -> None:
        async for _ in responder.respond([Message("user", "Hello.")], language=None, max_tokens=None):
            pass
        ended.append("reply")

    async def partial(seed: int) -> None:
        await heard(transcriber, speech(1, seed), final=False)
        ended.append("partial")

    replies = [asyncio.create_task(reply()) for _ in range(6)]
    await writing(transcriber)
    partials = [asyncio.create_task(partial(seed)) for seed in range(2)]
    await writing(transcriber)
    async with asyncio.timeout(HANGS_S):
        assert await heard(transcriber, speech(1, seed=9)) == expected
        assert not ended
        await asyncio.gather(*partials)
    assert ended == ["partial"] * 2
    for task in replies:
        task.cancel()
    await asyncio.gather(*replies, return_exceptions=True)
    await transcriber.aclose()


@pytest.mark.parametrize("every", [1, 3, 15])
async def test_a_partial_that_gave_way_writes_what_it_would_have_written(
    transcriber: MiniTranscriber, short: int, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Finals come again and again, and it still comes to its end."""
    network_of(transcriber).end = -1
    expected = await heard(transcriber, speech(2))
    step, steps, finals = network_of(transcriber).step, 0, list[asyncio.Future[Transcript]]()
    loop = asyncio.get_running_loop()

    def final() -> None:
        if len(finals) < 6:
            finals.append(asyncio.ensure_future(heard(transcriber, speech(1, seed=3))))

    def counted(readings: Sequence[Reading]) -> list[int]:
        nonlocal steps
        steps += 1
        if steps % every == 0:
            loop.call_soon_threadsafe(final)
        return step(readings)

    counted.__name__ = "step"
    monkeypatch.setattr(network_of(transcriber), "step", counted)
    async with asyncio.timeout(HANGS_S):
        assert await heard(transcriber, speech(2), final=False) == expected
        await asyncio.gather(*finals)
    assert finals


async def test_a_transcript_waits_until_the_answer_to_the_same_sound_has_begun(
    transcriber: MiniTranscriber, short: int
) -> None:
    audio = speech(1)
    with transcriber._model.busy.doing(sound_of(audio).digest):
        waiting = asyncio.create_task(heard(transcriber, audio))
        await heard(transcriber, speech(1, seed=1))  # another one does not
        assert not waiting.done()
    assert (await waiting).text


async def test_cancelled_it_ends_and_the_next_one_is_right(transcriber: MiniTranscriber, short: int) -> None:
    expected = await heard(transcriber, speech(1))
    task = asyncio.create_task(heard(transcriber, speech(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await heard(transcriber, speech(1)) == expected


async def test_transcripts_that_vanish_give_every_place_back(
    transcriber: MiniTranscriber, short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any step, and while they wait for a place, for each other or for an answer."""
    network_of(transcriber).end = -1
    expected = [await heard(transcriber, speech(1, seed)) for seed in range(4)]
    steps = Steps(network_of(transcriber), ("hear", "read", "step"), monkeypatch)
    vanished = 0
    for number in range(50):
        sounds = [speech(1, seed=10 + number + seed) for seed in range(5)]
        works = [asyncio.create_task(heard(transcriber, sound, final=i % 2 == 1)) for i, sound in enumerate(sounds)]
        await steps.more(1 + number % 12, *works)
        vanished += sum(work.cancel() for work in works)
        await asyncio.gather(*works, return_exceptions=True)
    assert vanished > 50
    async with asyncio.timeout(HANGS_S):
        together = [heard(transcriber, speech(1, seed), final=seed % 2 == 1) for seed in range(4)]
        assert await asyncio.gather(*together) == expected
    model = transcriber._model
    assert model._running is not None
    await model._running.worker.run(lambda: None)
    assert network_of(transcriber)._memories._free == model._running._places._value == 2
    assert not model.busy._doing


async def test_it_hears_turns_as_a_whole_and_closes_twice(tiny_mini: Path) -> None:
    transcriber = MiniTranscriber(MiniModel(tiny_mini, sequences=1, tokens=512))
    assert not transcriber.streams
    transcriber.stream(language=None, prompt="")
    assert transcriber.name == "mini on cpu"
    with pytest.raises(EngineError, match="The transcriber is not running; call start"):
        await heard(transcriber, speech(1))
    await transcriber.start()
    await transcriber.aclose()
    await transcriber.aclose()
