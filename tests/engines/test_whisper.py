"""Whisper: the real model on speech and on what is no speech; order and cancellation with a scripted one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soxr

from tests.engines.speech import clicks, hum, say, silence, white_noise
from voxtral_voice.engines import whisper
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.repetition import without_loop
from voxtral_voice.engines.whisper import PARTIAL_WINDOW_S, QUICK_WINDOW_S, SURE_WINDOW_S, Whisper, windows
from voxtral_voice.errors import EngineError

PATIENCE_S = 10
FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")


def words(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ").strip()


# --- windows ------------------------------------------------------------------------------------------------------


def test_up_to_29_s_is_one_window() -> None:
    audio = white_noise(29, -30)
    (window,) = windows(audio)
    assert window is audio


def test_longer_audio_is_cut_where_it_is_quietest() -> None:
    audio = np.concatenate((white_noise(25, -20), white_noise(0.5, -60), white_noise(40, -20)))
    pieces = list(windows(audio))
    np.testing.assert_array_equal(np.concatenate(pieces), audio)
    assert all(19 <= len(piece) / LISTEN_RATE_HZ <= 29 for piece in pieces[:-1])
    assert 25.0 < len(pieces[0]) / LISTEN_RATE_HZ < 25.5


def test_digital_silence_has_no_window() -> None:
    assert list(windows(silence(0))) == []
    assert list(windows(silence(3))) == []
    assert len(list(windows(np.concatenate((silence(31), white_noise(1, -30)))))) == 1


# --- the real model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_dir(model_files: Callable[[str], Path]) -> Path:
    folders = {model_files(f"whisper-base/{name}").parent for name in FILES}
    return folders.pop()


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Iterator[Whisper]:
    """One for all tests: an engine is not bound to a loop."""
    real = Whisper(model_dir)
    asyncio.run(real.start())
    yield real
    asyncio.run(real.aclose())


async def hear(
    engine: Whisper, audio: Samples, *, language: str | None = None, prompt: str = "", final: bool = True
) -> Transcript:
    return await engine.transcribe(audio, language=language, prompt=prompt, final=final)


@pytest.mark.models
async def test_speech_is_written_and_its_language_found(engine: Whisper) -> None:
    for sentence in ("What time is it in London?", "I would like to book a table for two people tonight."):
        heard = await hear(engine, say(sentence))
        assert (words(heard.text), heard.language) == (words(sentence), "en")


@pytest.mark.models
async def test_a_partial_is_the_text_so_far(engine: Whisper) -> None:
    spoken = say("I would like to book a table for two people tonight.")
    heard = await hear(engine, spoken[: LISTEN_RATE_HZ * 2], language="en", final=False)
    assert words(heard.text).startswith("i would like to book a table")


@pytest.mark.models
async def test_faint_speech_is_heard(engine: Whisper) -> None:
    faint = say("How far away is the moon?") * np.float32(0.01)
    assert words((await hear(engine, faint)).text) == "how far away is the moon"


NOBODY = {
    "silence": silence(2),
    "offset": np.full(LISTEN_RATE_HZ, 1e-4, np.float32),
    "-70 dB": white_noise(1, -70),
    "-50 dB": white_noise(3, -50),
    "-30 dB": white_noise(2, -30),
    "-10 dB": white_noise(3, -10),
    "hum": hum(2, -30),
    "clicks": clicks(2),
    "clipping": np.sign(hum(1, 0)),
}


@pytest.mark.models
@pytest.mark.parametrize("what", NOBODY)
async def test_where_nobody_speaks_no_words_are_heard(engine: Whisper, what: str) -> None:
    assert (await hear(engine, NOBODY[what])).text == ""


@pytest.mark.models
@pytest.mark.parametrize("what", ["offset", "-30 dB", "clicks"])
@pytest.mark.parametrize(("language", "prompt"), [("hi", ""), ("en", "Voxtral, Kokoro")])
async def test_a_prompt_lends_noise_no_words(engine: Whisper, what: str, language: str, prompt: str) -> None:
    assert (await hear(engine, NOBODY[what], language=language, prompt=prompt)).text == ""


@pytest.mark.models
@pytest.mark.parametrize(
    "first", ["My sister works in a hospital near the river.", "Please remind me to call my mother at five."]
)
async def test_words_up_to_the_last_sample_are_written_once(engine: Whisper, first: str) -> None:
    """Just under 8 s with no silence at the end: without a tail Whisper writes the last sentence again and again."""
    sentences = (first, "He was not an ill-disposed young man.", "How far away is the moon?")
    spoken = np.concatenate([say(sentence) for sentence in sentences])
    last = int(np.flatnonzero(np.abs(spoken) > 0.01)[-1]) + 200
    audio = np.concatenate((silence(2), spoken[:last]))[-round(7.98 * LISTEN_RATE_HZ) :]
    heard = words((await hear(engine, audio, language="en")).text)
    assert heard == " ".join(words(sentence) for sentence in sentences)


@pytest.mark.models
async def test_a_loop_is_tried_once_more_with_a_penalty(engine: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Sequence[int]] = []

    def loop_at_first(tokens: Sequence[int], *, hit_limit: bool) -> list[int]:
        tries.append(tokens)
        return list(tokens[:2] if len(tries) == 1 else tokens)

    monkeypatch.setattr(whisper, "without_loop", loop_at_first)
    spoken = np.concatenate((silence(7.5), say("How far away is the moon?")))  # too long for the quick window
    assert words((await hear(engine, spoken)).text) == "how far away is the moon"
    assert len(tries) == 2


class Windows:
    """What the encoder was given."""

    def __init__(self, engine: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
        assert engine._model is not None
        self.seconds: list[float] = []
        encode = engine._model.encode

        def spy(audio: Samples, window_s: float) -> object:
            self.seconds.append(window_s)
            return encode(audio, window_s)

        monkeypatch.setattr(engine._model, "encode", spy)


@pytest.mark.models
@pytest.mark.parametrize("language", ["en", None])
async def test_short_english_takes_a_quick_window(
    engine: Whisper, monkeypatch: pytest.MonkeyPatch, language: str | None
) -> None:
    used = Windows(engine, monkeypatch)
    heard = await hear(engine, say("How far away is the moon?"), language=language)
    assert words(heard.text) == "how far away is the moon"
    assert used.seconds == [QUICK_WINDOW_S]


@pytest.mark.models
@pytest.mark.parametrize("what", NOBODY)
async def test_noise_is_no_words_before_the_sure_window_says_so(
    engine: Whisper, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    used = Windows(engine, monkeypatch)
    assert (await hear(engine, NOBODY[what], language="en")).text == ""
    assert used.seconds in ([], [QUICK_WINDOW_S, SURE_WINDOW_S])


@pytest.mark.models
async def test_words_repeated_on_the_quick_window_are_asked_for_again(
    engine: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loop(tokens: Sequence[int], *, hit_limit: bool) -> list[int]:
        monkeypatch.setattr(whisper, "without_loop", without_loop)
        return list(tokens[:2])

    monkeypatch.setattr(whisper, "without_loop", loop)
    used = Windows(engine, monkeypatch)
    heard = await hear(engine, say("How far away is the moon?"), language="en")
    assert words(heard.text) == "how far away is the moon"
    assert used.seconds == [QUICK_WINDOW_S, SURE_WINDOW_S]


@pytest.mark.models
async def test_another_language_gets_the_sure_window_at_once_when_it_is_known(
    engine: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Windows(engine, monkeypatch)
    spoken = say("How far away is the moon?")
    await hear(engine, spoken, language="es")
    assert used.seconds == [SURE_WINDOW_S]
    await hear(engine, spoken, language="es", final=False)
    assert used.seconds[1:] == [PARTIAL_WINDOW_S]


@pytest.mark.models
async def test_a_window_is_as_long_as_the_audio_and_its_tail(engine: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    used = Windows(engine, monkeypatch)
    await hear(engine, np.concatenate((silence(4), say("How far away is the moon?"))), language="en")
    assert QUICK_WINDOW_S < used.seconds[0] < SURE_WINDOW_S


@pytest.mark.models
@pytest.mark.parametrize("word", ["Stop.", "Okay.", "Wait."])
async def test_one_word_is_heard_in_a_partial(engine: Whisper, word: str) -> None:
    assert words((await hear(engine, say(word), language="en", final=False)).text) == words(word)


@pytest.mark.models
@pytest.mark.parametrize("what", NOBODY)
async def test_noise_is_no_phrase_in_a_partial(engine: Whisper, what: str) -> None:
    assert len((await hear(engine, NOBODY[what], language="en", final=False)).text.split()) <= 2


@pytest.mark.models
async def test_words_to_expect_are_spelt_as_given(engine: Whisper) -> None:
    spoken = say("My friend Siobhan lives in Aachen.")
    assert "Siobhan" not in (await hear(engine, spoken)).text
    assert "Siobhan lives in Aachen" in (await hear(engine, spoken, prompt="Siobhan, Aachen")).text


@pytest.mark.models
async def test_a_very_long_prompt_leaves_room_for_the_words(engine: Whisper) -> None:
    heard = await hear(engine, say("How far away is the moon?"), language="en", prompt="the tide and the stars, " * 200)
    assert words(heard.text) == "how far away is the moon"


@pytest.mark.models
async def test_hindi_is_found_and_written_in_devanagari(engine: Whisper, model_files: Callable[[str], Path]) -> None:
    voices = model_files("voices/hf_alpha.bin").parent
    speaker = Kokoro(model_files("kokoro-v1.0-int8.onnx"), voices)
    await speaker.start()
    sentence = "नमस्ते, आप कैसे हैं?"
    chunks = [chunk.samples async for chunk in speaker.speak(sentence, voice="hf_alpha", speed=1.0)]
    await speaker.aclose()
    heard = await hear(engine, soxr.resample(np.concatenate(chunks), SPEAK_RATE_HZ, LISTEN_RATE_HZ))
    assert heard.language == "hi"
    assert all("\u0900" <= letter <= "\u097f" for letter in heard.text if letter.isalpha())
    assert jiwer.cer(words(sentence), words(heard.text)) < 0.3


@pytest.mark.models
async def test_more_than_one_window_is_heard_from_beginning_to_end(engine: Whisper) -> None:
    sentences = [f"The number of this sentence is {number}." for number in ("one", "two", "three", "four")]
    pieces = [piece for sentence in sentences for piece in (say(sentence), silence(7))]
    audio = np.concatenate(pieces)
    assert len(audio) > 30 * LISTEN_RATE_HZ
    heard = words((await hear(engine, audio, language="en")).text)
    assert heard.count("the number of this sentence is") == 4


@pytest.mark.models
async def test_two_at_once_do_not_mix(engine: Whisper) -> None:
    sentences = ("What time is it in London?", "How far away is the moon?")
    both = await asyncio.gather(*(hear(engine, say(sentence)) for sentence in sentences))
    assert [words(heard.text) for heard in both] == [words(sentence) for sentence in sentences]


@pytest.mark.models
async def test_bad_input_is_an_engine_error(engine: Whisper) -> None:
    with pytest.raises(EngineError, match="does not know the language 'english'"):
        await hear(engine, silence(1), language="english")
    with pytest.raises(EngineError, match="takes mono samples"):
        await hear(engine, np.zeros((2, 100), np.float32))


@pytest.mark.models
async def test_it_says_that_it_is_not_running(model_dir: Path) -> None:
    engine = Whisper(model_dir)
    with pytest.raises(EngineError, match=r"call start\(\) first"):
        await hear(engine, silence(1))
    await engine.start()
    await engine.aclose()
    await engine.aclose()
    with pytest.raises(EngineError, match=r"call start\(\) first"):
        await hear(engine, silence(1))


@pytest.mark.models
def test_its_name_says_the_model_and_its_precision(engine: Whisper) -> None:
    assert engine.name == "whisper-base int8"


@pytest.mark.models
async def test_a_truncated_model_is_an_engine_error(model_dir: Path, tmp_path: Path) -> None:
    for name in FILES[1:]:
        (tmp_path / name).symlink_to(model_dir / name)
    with (model_dir / FILES[0]).open("rb") as whole:
        (tmp_path / FILES[0]).write_bytes(whole.read(100_000))
    engine = Whisper(tmp_path)
    with pytest.raises(EngineError, match="cannot be loaded as a Whisper model"):
        await engine.start()
    await engine.aclose()


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    engine = Whisper(tmp_path)
    with pytest.raises(EngineError, match=r"model\.bin is missing"):
        await engine.start()
    await engine.aclose()


# --- order and cancellation ---------------------------------------------------------------------------------------


class Scripted:
    """Stands in for the model. A step is known by its kind and the first sample of its audio; it waits until it is
    let go, if it is held at all."""

    def __init__(self) -> None:
        self.languages = {"en": 0}
        self.log: list[tuple[str, int]] = []
        self.begun: dict[tuple[str, int], threading.Event] = {}
        self.let_go: dict[tuple[str, int], threading.Event] = {}

    def hold(self, step: tuple[str, int]) -> None:
        self.begun[step], self.let_go[step] = threading.Event(), threading.Event()

    def _do(self, kind: str, who: int) -> None:
        step = (kind, who)
        self.log.append(step)
        if step in self.let_go:
            self.begun[step].set()
            assert self.let_go[step].wait(PATIENCE_S)

    def encode(self, audio: Samples, _: str | None) -> int:
        who = round(float(audio[0]) * 100)
        self._do("encode", who)
        return who

    def decode(self, encoded: int, _audio_s: float, language: str | None, _prompt: str) -> Transcript:
        self._do("decode", encoded)
        if encoded == BROKEN:
            raise RuntimeError("out of memory")
        return Transcript(str(encoded), language or "en")


BROKEN = 99


def audio_of(who: int) -> Samples:
    return np.full(LISTEN_RATE_HZ, who / 100, np.float32)


class Stage:
    """A Whisper whose model is scripted."""

    def __init__(self, engine: Whisper, model: Scripted) -> None:
        self.engine = engine
        self.model = model

    def ask(self, who: int, *, final: bool) -> asyncio.Task[Transcript]:
        work = self.engine.transcribe(audio_of(who), language=None, prompt="", final=final)
        return asyncio.ensure_future(work)

    async def begun(self, step: tuple[str, int]) -> None:
        assert await asyncio.to_thread(self.model.begun[step].wait, PATIENCE_S)

    def let_go(self, step: tuple[str, int]) -> None:
        self.model.let_go[step].set()


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Stage]:
    for name in FILES:
        (tmp_path / name).touch()
    model = Scripted()
    monkeypatch.setattr(whisper, "_Model", lambda *_, **__: model)
    engine = Whisper(tmp_path, workers=getattr(request, "param", 1))
    await engine.start()
    model.log.clear()
    yield Stage(engine, model)
    for gate in model.let_go.values():
        gate.set()
    await engine.aclose()


async def test_a_final_overtakes_a_partial_after_the_one_step_it_is_in(stage: Stage) -> None:
    stage.model.hold(("encode", 1))
    partial = stage.ask(1, final=False)
    await stage.begun(("encode", 1))
    final = stage.ask(2, final=True)
    await asyncio.sleep(0)
    stage.let_go(("encode", 1))
    assert (await final).text == "2"
    assert (await partial).text == "1"
    assert stage.model.log == [("encode", 1), ("encode", 2), ("decode", 2), ("decode", 1)]


@pytest.mark.parametrize("stage", [2], indirect=True)
async def test_with_two_workers_a_final_does_not_wait_for_partials_at_all(stage: Stage) -> None:
    stage.model.hold(("decode", 1))
    partials = [stage.ask(who, final=False) for who in (1, 3)]
    await stage.begun(("decode", 1))
    assert (await stage.ask(2, final=True)).text == "2"
    assert ("encode", 3) not in stage.model.log
    stage.let_go(("decode", 1))
    assert [(await partial).text for partial in partials] == ["1", "3"]


async def test_finals_end_in_the_order_in_which_they_came(stage: Stage) -> None:
    finals = [stage.ask(who, final=True) for who in (1, 2, 3)]
    await asyncio.gather(*finals)
    assert stage.model.log == [(kind, who) for who in (1, 2, 3) for kind in ("encode", "decode")]


@pytest.mark.parametrize("final", [True, False])
async def test_a_cancelled_turn_is_not_decoded(stage: Stage, final: bool) -> None:
    stage.model.hold(("encode", 1))
    turn = stage.ask(1, final=final)
    await stage.begun(("encode", 1))
    turn.cancel()
    await asyncio.wait([turn])
    assert turn.cancelled()
    stage.let_go(("encode", 1))
    assert (await stage.ask(2, final=final)).text == "2"
    assert ("decode", 1) not in stage.model.log


async def test_a_final_cancelled_while_it_queues_lets_partials_go_on(stage: Stage) -> None:
    stage.model.hold(("encode", 1))
    first = stage.ask(1, final=True)
    await stage.begun(("encode", 1))
    queued = stage.ask(2, final=True)
    partial = stage.ask(3, final=False)
    await asyncio.sleep(0)
    queued.cancel()
    stage.let_go(("encode", 1))
    assert (await first).text == "1"
    assert (await partial).text == "3"
    assert ("encode", 2) not in stage.model.log


async def test_a_failing_model_is_an_engine_error_and_the_next_turn_goes_on(stage: Stage) -> None:
    with pytest.raises(EngineError, match="Whisper failed: out of memory") as caught:
        await stage.ask(BROKEN, final=True)
    assert caught.value.engine == "transcriber"
    assert (await stage.ask(2, final=False)).text == "2"


async def test_the_windows_of_a_long_turn_are_joined(stage: Stage) -> None:
    heard = await stage.engine.transcribe(np.concatenate([audio_of(7)] * 40), language=None, prompt="", final=True)
    assert heard == Transcript("7 7", "en")
