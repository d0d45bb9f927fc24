from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.caller import Caller, calling, tone
from tests.server.conftest import Server, Serving, quick, quick_config
from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import SPEAK_RATE_HZ, CallPiece, Piece, SpeechChunk, Transcript, WordTime
from voxtral_voice.engines.breaker import OPENS_AT
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeSpeaker, FakeTranscriber, FakeTurnJudge
from voxtral_voice.engines.registry import Engines
from voxtral_voice.errors import BusyError, EngineError, RequestError
from voxtral_voice.server import answer, apology, patience, runner
from voxtral_voice.server.runner import Runner
from voxtral_voice.server.runtime import Runtime

HANGS_MS = 60_000.0

# --- alone ------------------------------------------------------------------------------------------------------


class Bench:
    """A runner with a second of audio, and what it told."""

    def __init__(self, engines: Engines, group: asyncio.TaskGroup) -> None:
        self.audio = InputBuffer()
        self.audio.append(np.full(16_000, 0.1, np.float32))
        self.runtime = Runtime(quick_config(), engines)
        self.told: list[ev.Event] = []
        self._new = asyncio.Event()
        self.runner = Runner(self.runtime, self.audio, group, self._tell)
        self.run = self.runner.run

    async def _tell(self, event: ev.Event) -> None:
        self.told.append(event)
        self._new.set()

    async def until(self, kind: type[ev.Event], count: int = 1) -> Any:
        """The so-manieth event of this kind."""
        async with asyncio.timeout(10):
            while len(found := [event for event in self.told if isinstance(event, kind)]) < count:
                self._new.clear()
                await self._new.wait()
        return found[count - 1]


@asynccontextmanager
async def bench(**engines: Any) -> AsyncIterator[Bench]:
    """All that was begun is stopped in the end."""
    before = asyncio.all_tasks()
    async with asyncio.TaskGroup() as group:
        yield Bench(quick(**engines), group)
        for task in asyncio.all_tasks() - before:
            task.cancel()


def transcribe(attempt: int = 1, end_sample: int = 16_000) -> ev.Transcribe:
    return ev.Transcribe(attempt, 0, end_sample, "en", "", final=True)


def respond(reply_id: str = "R") -> ev.Respond:
    return ev.Respond(reply_id, (("user", "hello"),), None, None)


def speak(phrase: int, text: str = "word", reply_id: str = "R") -> ev.Speak:
    return ev.Speak(reply_id, phrase, text, "af_heart", 1.0)


class Watched:
    """A transcriber, a judge, a responder and a speaker that never end, and say when they begin and are stopped."""

    name = "watched"
    listens = streams = False
    voices = FakeSpeaker().voices
    find = FakeSpeaker().find

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()
        self.audio: Samples | None = None

    async def _hang(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    async def transcribe(self, audio: Samples, **_: Any) -> None:
        self.audio = audio
        await self._hang()

    async def complete_probability(self, audio: Samples) -> None:
        self.audio = audio
        await self._hang()

    async def respond(self, *_: Any, **__: Any) -> AsyncIterator[Piece]:
        await self._hang()
        yield ""

    async def speak(self, *_: Any, **__: Any) -> AsyncIterator[SpeechChunk]:
        await self._hang()
        yield SpeechChunk(tone(10))


async def test_a_transcript_comes_back_with_its_attempt() -> None:
    async with bench() as b:
        b.run(transcribe(7))
        assert await b.until(ev.TranscriptHeard) == ev.TranscriptHeard(7, "Hello there.", "en", final=True)


@pytest.mark.parametrize("steps", range(6))
async def test_a_reply_may_be_stopped_at_any_step_of_its_beginning(steps: int) -> None:
    async with bench() as b:
        b.run(respond())
        for _ in range(steps):
            await asyncio.sleep(0)
        b.run(ev.StopReply("R"))
        b.run(respond("S"))
        async with asyncio.timeout(10):
            while not any(isinstance(event, ev.ReplyTextEnded) and event.reply_id == "S" for event in b.told):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_a_judgement_comes_back_with_its_attempt() -> None:
    async with bench() as b:
        b.run(ev.Judge(7, 0, 16_000))
        assert await b.until(ev.TurnJudged) == ev.TurnJudged(7, 0.95)


async def test_a_transcript_may_take_longer_when_there_is_more_to_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TRANSCRIBER_S", 0.0)
    async with bench(transcriber=FakeTranscriber(latency_ms=1)) as b:
        b.audio.append(np.full(60 * 16_000, 0.1, np.float32))
        b.run(transcribe(7, 61 * 16_000))
        b.run(transcribe(8, 0))
        assert (await b.until(ev.TranscriptHeard)).attempt == 7
        assert await b.until(ev.TranscriptFailed) == ev.TranscriptFailed(8, "transcriber: it took too long")


@pytest.mark.parametrize(
    ("seam", "command"), [("transcriber", transcribe()), ("turn_judge", ev.Judge(1, 0, 16_000))], ids=str
)
async def test_an_abandoned_attempt_is_stopped(seam: str, command: ev.EngineCommand) -> None:
    watched = Watched()
    async with bench(**{seam: watched}) as b:
        b.run(command)
        await watched.begun.wait()
        b.run(ev.Abandon(1))
        await watched.stopped.wait()
        assert b.told == []


async def test_an_attempt_that_is_done_can_be_abandoned() -> None:
    async with bench() as b:
        b.run(transcribe())
        await b.until(ev.TranscriptHeard)
        b.run(ev.Abandon(1))
        b.run(ev.Abandon(99))


@pytest.mark.parametrize("seam", ["transcriber", "turn_judge"])
async def test_audio_that_is_forgotten_at_once_was_taken_before(seam: str) -> None:
    watched = Watched()
    async with bench(**{seam: watched}) as b:
        b.run(transcribe() if seam == "transcriber" else ev.Judge(1, 0, 16_000))
        b.run(ev.ForgetAudio(16_000))
        await watched.begun.wait()
        assert watched.audio is not None
        assert len(watched.audio) == 16_000
        assert b.audio.start_sample == 16_000


async def test_text_comes_in_order_and_ends() -> None:
    async with bench() as b:
        b.run(respond())
        await b.until(ev.ReplyTextEnded)
        assert [e.delta for e in b.told if isinstance(e, ev.ReplyText)] == ["You", " said:", " hello."]
        assert b.told[-1] == ev.ReplyTextEnded("R", usage=ev.Usage(1, 3))


async def test_calls_come_in_order_with_what_is_said() -> None:
    async with bench() as b:
        offered = (ev.Tool("get_weather", "", '{"properties": {"city": {"type": "string"}}}'),)
        b.run(ev.Respond("R", (("user", "the weather in Paris"),), None, None, offered))
        ended = await b.until(ev.ReplyTextEnded)
        assert "".join(e.delta for e in b.told if isinstance(e, ev.ReplyText)) == "Let me check."
        calls = [e for e in b.told if isinstance(e, ev.ReplyCall)]
        assert {(call.index, call.name) for call in calls} == {(0, "get_weather")}
        assert "".join(call.arguments for call in calls) == '{"city":"Paris"}'
        assert ended.usage is not None


async def test_calls_without_end_are_the_responders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_CALLS", 4)

    class Calling(Watched):
        async def respond(self, *_: Any, **__: Any) -> AsyncIterator[Piece]:
            for index in itertools.count():
                yield CallPiece(index, f"call_{index}", "weather", "{}")

    async with bench(responder=Calling()) as b:
        b.run(ev.Respond("R", (), None, None, (ev.Tool("weather", "", "{}"),)))
        failed = await b.until(ev.ReplyFailed)
        assert failed == ev.ReplyFailed("R", "responder", "it called tools more than 4 times in one answer")
        assert sum(isinstance(event, ev.ReplyCall) for event in b.told) == 4


async def test_the_sound_of_an_item_is_transcribed_at_16_khz() -> None:
    watched = Watched()
    async with bench(transcriber=watched) as b:
        b.runner.transcribe_item(ev.TranscribeItem(7, "item_1", "en", ""), bytes(48_000))
        await watched.begun.wait()
        assert watched.audio is not None
        assert len(watched.audio) == 16_000
        b.run(ev.Abandon(7))
        await watched.stopped.wait()


async def test_the_sound_of_an_item_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_ITEM_S", 1.0)
    async with bench() as b:
        b.runner.transcribe_item(ev.TranscribeItem(7, "item_1", "en", ""), bytes(96_000))
        failed = await b.until(ev.TranscriptFailed)
        assert failed == ev.TranscriptFailed(7, "transcriber: an item may have 1 s of sound, and this one has 2 s")
        b.runner.transcribe_item(ev.TranscribeItem(8, "item_1", "en", ""), float_to_pcm16(tone(500)))
        assert await b.until(ev.TranscriptHeard) == ev.TranscriptHeard(8, "Hello there.", "en", final=True)


async def test_items_are_transcribed_one_at_a_time() -> None:
    watched = Watched()
    async with bench(transcriber=watched) as b:
        b.runner.transcribe_item(ev.TranscribeItem(7, "item_1", "en", ""), bytes(48_000))
        await watched.begun.wait()
        watched.begun.clear()
        b.runner.transcribe_item(ev.TranscribeItem(8, "item_2", "en", ""), bytes(96_000))
        b.run(transcribe(9, 8_000))  # what is said does not wait for them
        await watched.begun.wait()
        assert watched.audio is not None
        assert len(watched.audio) == 8_000
        watched.begun.clear()
        b.run(ev.Abandon(7))
        await watched.begun.wait()
        assert len(watched.audio) == 32_000


async def test_phrases_are_spoken_one_after_the_other() -> None:
    async with bench() as b:
        b.run(respond())
        for phrase in range(3):
            b.run(speak(phrase, "one two"))
        b.run(speak(3, "..."))
        await b.until(ev.PhraseEnded, 4)
        spoken = [e for e in b.told if isinstance(e, ev.PhraseAudio | ev.PhraseEnded)]
        assert [(e.phrase, isinstance(e, ev.PhraseEnded)) for e in spoken] == [
            *((phrase, over) for phrase in range(3) for over in (False, False, True)),
            (3, True),
        ]
        first = spoken[0]
        assert isinstance(first, ev.PhraseAudio)
        assert first.words == (("one", 0.0, 200.0), ("two", 240.0, 440.0))
        assert first.places == (0, 4)


class Noting(FakeSpeaker):
    """What it was asked to say, in which voice and language. words: what it says in place of the phrase's, each in a
    piece of its own."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        super().__init__(0, 0)
        self.asked: list[tuple[str, str, str | None]] = []
        self._words = words

    async def speak(
        self,
        text: str,
        *,
        voice: str,
        speed: float,  # noqa: ARG002
        language: str | None = None,
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append((text, voice, language))
        for number, word in enumerate(self._words or [text]):
            yield SpeechChunk(tone(100), (WordTime(word, 100.0 * number, 100.0 * number + 80),))


def said_by(b: Bench) -> list[ev.SpokenBy | None]:
    return [event.by for event in b.told if isinstance(event, ev.PhraseAudio)]


@pytest.mark.parametrize(
    ("asked", "told", "texts", "used", "languages"),
    [
        ("af_heart", "en", ("Hello there.", "And so on."), "af_heart", ("en", "en")),
        ("af_heart", None, ("Hello there.",), "af_heart", ("en",)),
        ("af_heart", None, ("42",), "af_heart", ("en",)),
        ("af_heart", None, ("No.", "Come on!"), "af_heart", ("en", "en")),  # one small word changes no voice
        ("ff_siwis", None, ("No.", "Merci."), "ff_siwis", ("fr", "fr")),
        ("af_heart", None, ("Merci beaucoup.",), "ff_siwis", ("fr",)),
        ("af_heart", "hi", ("मैंने laptop order कर दिया है।",), "hf_alpha", ("hi",)),
        ("af_heart", None, ("मैंने laptop order कर दिया है।",), "hf_alpha", ("hi",)),
        ("af_heart", "en", ("नमस्ते।", "The word is good."), "hf_alpha", ("hi", "en")),
        ("am_michael", "hi", ("नमस्ते।", "42"), "hm_omega", ("hi", "hi")),
        ("hf_beta", "hi", ("Sure, my friend.",), "hf_beta", ("en",)),
        ("af_heart", "es", ("Claro.",), "ef_dora", ("es",)),
        ("af_heart", "ko", ("안녕하세요.",), "af_heart", ("ko",)),
        ("af_heart:0.6,af_bella:0.4", "en", ("Hello there.",), "af_heart:0.6,af_bella:0.4", ("en",)),
    ],
)
async def test_a_voice_that_speaks_the_language_speaks_all_of_the_reply(
    asked: str, told: str | None, texts: tuple[str, ...], used: str, languages: tuple[str | None, ...]
) -> None:
    speaker = Noting()
    async with bench(speaker=speaker) as b:
        b.run(respond())
        for phrase, text in enumerate(texts):
            b.run(ev.Speak("R", phrase, text, asked, 1.0, told))
        await b.until(ev.PhraseEnded, len(texts))
        assert speaker.asked == [(text, used, language) for text, language in zip(texts, languages, strict=True)]
        [by, *more] = said_by(b)
        assert by is not None
        assert (by.asked, by.used) == (asked, used)
        assert by.language == (languages[0] or "")
        why = "asked" if used == asked else "language"
        assert by.why == ("no_voice" if told == "ko" else why)
        assert set(more) <= {by}


async def test_a_voice_that_is_not_there_fails_the_reply_and_not_the_speaker() -> None:
    async with bench() as b:
        b.run(respond())
        b.run(ev.Speak("R", 0, "Hello there.", "af_hart", 1.0))
        failed = await b.until(ev.ReplyFailed)
        assert failed.engine == "speaker"
        assert failed.message.startswith("There is no voice 'af_hart': use one of af_heart")
        assert b.runtime.failing == {}


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (("one", "two,", "three"), [(0,), (4,), (12,)]),
        (("one", "three"), [(0,), (12,)]),
        (("three", "one"), [(12,), ()]),
        (("uno",), [()]),
    ],
)
async def test_words_are_found_in_the_phrase(words: tuple[str, ...], places: list[tuple[int, ...]]) -> None:
    async with bench(speaker=Noting(words)) as b:
        b.run(respond())
        b.run(speak(0, "one two, 😀 🎈three."))
        await b.until(ev.PhraseEnded)
        audio = [event for event in b.told if isinstance(event, ev.PhraseAudio)]
        assert [event.places for event in audio] == places
        assert [event.by is None for event in audio] == [False, *[True] * (len(words) - 1)]


async def test_the_next_phrase_is_made_while_the_one_before_it_is_played() -> None:
    """The speaker waits for nobody but itself."""
    speaker = Noting()
    async with bench(speaker=speaker) as b:
        b.run(respond())
        for phrase in range(20):
            b.run(speak(phrase))
        await b.until(ev.PhraseEnded, 20)
        assert len(speaker.asked) == 20


@pytest.mark.parametrize("seam", ["responder", "speaker"])
async def test_a_stopped_reply_stops_its_engines(seam: str) -> None:
    watched = Watched()
    async with bench(**{seam: watched}) as b:
        b.run(respond())
        b.run(speak(0))
        await watched.begun.wait()
        b.run(ev.StopReply("R"))
        await watched.stopped.wait()
        told = len(b.told)
        await asyncio.sleep(0)
        assert len(b.told) == told
        assert not any(isinstance(event, ev.ReplyFailed) for event in b.told)


async def test_a_reply_can_be_stopped_before_it_began_and_twice() -> None:
    async with bench() as b:
        b.run(respond())
        b.run(ev.StopReply("R"))
        b.run(ev.StopReply("R"))
        await asyncio.sleep(0)
        assert b.told == []


async def test_a_responder_too_far_ahead_fails_the_reply_once_and_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_PHRASES", 4)
    responder, speaker = Watched(), Watched()
    async with bench(responder=responder, speaker=speaker) as b:
        b.run(respond())
        await responder.begun.wait()
        for phrase in range(9):
            b.run(speak(phrase))
        failed = await b.until(ev.ReplyFailed)
        assert failed == ev.ReplyFailed("R", "responder", "its answer is more than 4 phrases ahead of the speaker")
        await responder.stopped.wait()
        assert b.told == [failed]
        assert b.runtime.failing == {"responder": failed.message}


async def test_an_answer_without_end_is_the_responders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_CHARS", 1_000)
    stopped = asyncio.Event()

    class Endless(Watched):
        async def respond(self, *_: Any, **__: Any) -> AsyncIterator[str]:
            try:
                while True:
                    yield "a" * 100
            finally:
                stopped.set()

    async with bench(responder=Endless()) as b:
        b.run(respond())
        failed = await b.until(ev.ReplyFailed)
        assert failed == ev.ReplyFailed("R", "responder", "it gave more than 1,000 characters of answer")
        assert stopped.is_set()
        assert sum(isinstance(event, ev.ReplyText) for event in b.told) == 10


class EndlessSpeaker(Watched):
    async def speak(self, *_: Any, **__: Any) -> AsyncIterator[SpeechChunk]:
        self.begun.set()
        try:
            while True:
                yield SpeechChunk(tone(1_000))
        finally:
            self.stopped.set()


@pytest.mark.parametrize(
    ("text", "speed", "limit_s"), [("word", 1.0, 12), ("word", 2.0, 12), ("word", 0.5, 24), ("word " * 60, 1.0, 120)]
)
async def test_audio_without_end_is_the_speakers_fault(text: str, speed: float, limit_s: int) -> None:
    speaker = EndlessSpeaker()
    async with bench(speaker=speaker) as b:
        b.run(respond())
        b.run(ev.Speak("R", 0, text, "af_heart", speed))
        failed = await b.until(ev.ReplyFailed)
        said = f"it made more than {limit_s} s of audio for a phrase of {len(text)} characters"
        assert failed == ev.ReplyFailed("R", "speaker", said)
        assert speaker.stopped.is_set()
        samples = sum(event.samples.size for event in b.told if isinstance(event, ev.PhraseAudio))
        assert limit_s - 2 <= samples / SPEAK_RATE_HZ <= limit_s


@pytest.mark.parametrize("error", [RuntimeError("x"), ValueError("x"), OSError("x")])
async def test_what_model_libraries_raise_is_a_failure_of_the_engine(error: Exception) -> None:
    class Library(Watched):
        async def _hang(self) -> None:
            raise error

    library = Library()
    async with bench(transcriber=library, turn_judge=library, responder=library) as b:
        b.run(transcribe())
        b.run(ev.Judge(1, 0, 16_000))
        b.run(respond())
        assert await b.until(ev.TranscriptFailed) == ev.TranscriptFailed(1, "transcriber: x")
        assert await b.until(ev.ReplyFailed) == ev.ReplyFailed("R", "responder", "x")
        assert b.runtime.failing == {"transcriber": "x", "turn_judge": "x", "responder": "x"}


async def test_an_engine_that_fails_while_the_reply_is_stopped_says_nothing() -> None:
    async with bench(responder=FakeResponder(broken=Broken("gone"), first_token_ms=0)) as b:
        b.run(respond())
        b.run(ev.StopReply("R"))
        await asyncio.sleep(0.01)
        assert b.told == []
        assert b.runtime.failing == {}


# --- a turn that is heard while it is said ----------------------------------------------------------------------


def grows(attempt: int, end_sample: int, start_sample: int = 0, *, final: bool = False) -> ev.Transcribe:
    return ev.Transcribe(attempt, start_sample, end_sample, "en", "", final, grows=True)


class Ear:
    """A streaming transcriber, and the stream that it gives: it says how much audio it was given in each push."""

    name = "ear"
    streams = True

    def __init__(self) -> None:
        self.pushed: list[list[int]] = []
        """Of each stream that was asked for."""
        self.open = 0
        self.busy = asyncio.Event()
        self.holds = asyncio.Event()
        self.holds.set()
        self.stopped = asyncio.Event()
        self.fault: Exception | None = None

    def stream(self, **_: Any) -> Ear:
        self.pushed.append([])
        self.open += 1
        return self

    async def push(self, audio: Samples) -> str:
        await self._call()
        self.pushed[-1].append(len(audio))
        return str(sum(self.pushed[-1]))

    async def flush(self) -> Transcript:
        await self._call()
        return Transcript(f"{sum(self.pushed[-1])} in all", "en")

    async def aclose(self) -> None:
        self.open -= 1
        self.stopped.set()

    async def _call(self) -> None:
        self.busy.set()
        try:
            await self.holds.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        if self.fault is not None:
            raise self.fault


def texts(b: Bench) -> list[str]:
    return [event.text for event in b.told if isinstance(event, ev.TranscriptHeard)]


async def test_a_turn_that_grows_is_pushed_piece_by_piece_and_closed_when_it_is_over() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        b.run(grows(2, 7_000))
        b.run(grows(3, 8_000, final=True))
        heard = await b.until(ev.TranscriptHeard, 3)
        assert heard == ev.TranscriptHeard(3, "8000 in all", "en", final=True)
        assert texts(b) == ["8000", "8000", "8000 in all"]  # what has come meanwhile is pushed at once
        b.run(grows(4, 9_000))
        b.run(grows(5, 9_500, final=True))
        await b.until(ev.TranscriptHeard, 5)
        assert ear.pushed == [[8_000, 1_500]]
        assert ear.open == 1
        ear.stopped.clear()
        b.runner.turn_is_over()
        await ear.stopped.wait()
        assert ear.open == 0
        b.run(grows(6, 16_000, 10_000))
        await b.until(ev.TranscriptHeard, 6)
        assert ear.pushed[1:] == [[6_000]]
        b.runner.turn_is_over()


async def test_the_audio_of_a_partial_that_is_abandoned_is_not_lost() -> None:
    ear = Ear()
    ear.holds.clear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await ear.busy.wait()
        b.run(ev.Abandon(1))
        b.run(grows(2, 6_000, final=True))
        ear.holds.set()
        while "6000 in all" not in texts(b):
            await b.until(ev.TranscriptHeard, len(texts(b)) + 1)
        assert ear.pushed == [[4_000, 2_000]]
        b.runner.turn_is_over()


async def test_a_flush_is_stopped_when_the_user_goes_on() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await b.until(ev.TranscriptHeard)
        ear.holds.clear()
        ear.busy.clear()
        b.run(grows(2, 4_000, final=True))
        await ear.busy.wait()
        b.run(ev.Abandon(2))
        await ear.stopped.wait()
        ear.holds.set()
        b.run(grows(3, 5_000, final=True))
        await b.until(ev.TranscriptHeard, 2)
        assert texts(b) == ["4000", "5000 in all"]
        assert ear.pushed == [[4_000, 1_000]]
        b.runner.turn_is_over()


async def test_a_stream_that_fails_is_told_and_the_next_one_hears_all_of_the_turn() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await b.until(ev.TranscriptHeard)
        ear.fault = EngineError("transcriber", "no ears")
        b.run(grows(2, 5_000))
        assert await b.until(ev.TranscriptFailed) == ev.TranscriptFailed(2, "transcriber: no ears")
        assert b.runtime.failing == {"transcriber": "no ears"}
        assert ear.open == 0
        ear.fault = None
        b.run(ev.ForgetAudio(4_000))
        b.run(grows(3, 6_000, final=True))
        assert (await b.until(ev.TranscriptHeard, 2)).text == "6000 in all"
        assert ear.pushed == [[4_000], [6_000]]
        assert b.runtime.failing == {}
        b.runner.turn_is_over()


async def test_a_final_whose_push_fails_is_tried_once_more() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        ear.holds.clear()
        ear.fault = OSError("the socket is gone")
        b.run(grows(1, 4_000, final=True))
        await ear.busy.wait()
        ear.busy.clear()
        ear.holds.set()
        await ear.stopped.wait()
        ear.fault = None
        assert (await b.until(ev.TranscriptHeard)).text == "4000 in all"
        assert not any(isinstance(event, ev.TranscriptFailed) for event in b.told)
        b.runner.turn_is_over()


async def test_once_the_turn_is_over_an_engine_that_hung_is_asked_for_its_end_only() -> None:
    """What was queued behind the call that hangs, and abandoned since, does not begin."""
    ear = Ear()
    ear.holds.clear()
    ear.fault = OSError("it does not answer")
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await ear.busy.wait()
        for attempt in (2, 3):  # a silence each, and speech again
            b.run(grows(attempt, 4_000 + 1_000 * attempt, final=True))
            b.run(ev.Abandon(attempt))
        b.run(grows(4, 8_000))
        b.run(ev.Abandon(4))
        b.run(grows(5, 9_000, final=True))
        b.runner.turn_is_over()
        ear.holds.set()
        assert await b.until(ev.TranscriptFailed, 2) == ev.TranscriptFailed(5, "transcriber: it does not answer")
        assert len(ear.pushed) == 3  # what hung; and two attempts at the end
        assert [event.attempt for event in b.told if isinstance(event, ev.TranscriptFailed)] == [1, 5]


async def test_a_turn_in_another_language_is_heard_anew() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await b.until(ev.TranscriptHeard)
        b.run(ev.Transcribe(2, 0, 6_000, "hi", "", final=False, grows=True))
        await b.until(ev.TranscriptHeard, 2)
        assert ear.pushed == [[4_000], [6_000]]
        b.runner.turn_is_over()


async def test_a_session_that_ends_leaves_no_stream_open() -> None:
    ear = Ear()
    async with bench(transcriber=ear) as b:
        b.run(grows(1, 4_000))
        await b.until(ev.TranscriptHeard)
        ear.holds.clear()
        ear.busy.clear()
        b.run(grows(2, 5_000))
        await ear.busy.wait()
    assert ear.open == 0


# --- a responder that listens itself ----------------------------------------------------------------------------


class Listening(FakeResponder):
    def __init__(self) -> None:
        super().__init__(first_token_ms=0, token_ms=0, listens=True)
        self.heard: list[int] = []

    def respond(self, messages: Any, **how: Any) -> AsyncGenerator[Piece, None]:
        self.heard.append(len(messages[-1].audio))
        return super().respond(messages, **how)


@pytest.mark.parametrize("known", ["prepared", "transcribed"])
async def test_a_turn_is_heard_also_when_it_was_forgotten_meanwhile(known: str) -> None:
    sound, responder = ev.Sound("item_1", 0, 8_000), Listening()
    async with bench(responder=responder) as b:
        if known == "prepared":
            b.run(ev.Prepare(1, (sound,), None))
        else:
            b.run(transcribe(1, 8_000))
        b.run(ev.ForgetAudio(12_000))
        b.run(ev.Respond("R", (("user", "hello"), sound), None, None))
        await b.until(ev.ReplyTextEnded)
        assert responder.heard == [8_000]
        assert "".join(e.delta for e in b.told if isinstance(e, ev.ReplyText)) == "You spoke for 0.5 seconds."


async def test_nothing_is_answered_to_a_turn_that_is_not_kept() -> None:
    responder = Listening()
    async with bench(responder=responder) as b:
        b.run(ev.ForgetAudio(12_000))
        b.run(ev.Respond("R", (ev.Sound("item_1", 0, 8_000),), None, None))
        failed = await b.until(ev.ReplyFailed)
        assert failed == ev.ReplyFailed("R", "responder", "the sound of the turn is not kept any more")
        assert responder.heard == []


# --- an apology -------------------------------------------------------------------------------------------------


def apologise(engine: str, language: str | None = "en") -> ev.Apologise:
    return ev.Apologise("R", engine, "af_heart", 1.0, language)


async def test_while_the_speaker_works_it_apologises() -> None:
    async with bench() as b:
        b.run(apologise("responder"))
        said = await b.until(ev.Apology)
        assert said.text == apology.text("responder", "en-US")
        assert said.by == ev.SpokenBy("af_heart", "af_heart", "en", "asked")
        assert len(said.samples) == 240 * 24 * len(said.text.split())
        assert [word for word, _, _ in said.words] == said.text.split()
        assert said.places[0] == 0


async def test_when_the_speaker_failed_it_is_not_asked() -> None:
    speaker = Noting()
    async with bench(speaker=speaker) as b:
        b.run(apologise("speaker", "fr"))
        said = await b.until(ev.Apology)
        assert (said.text, said.by, speaker.asked) == (apology.text("speaker", "fr"), None, [])
        assert np.array_equal(said.samples, apology.recorded("speaker", "fr"))


@pytest.mark.parametrize("how", ["fails", "is not asked", "is slow", "says nothing"])
async def test_what_the_speaker_cannot_say_was_spoken_beforehand(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: dict[str, FakeSpeaker] = {
        "fails": FakeSpeaker(0, 0, broken=Broken("no voice")),
        "is not asked": Noting(),
        "is slow": FakeSpeaker(HANGS_MS, 0),
        "says nothing": Mute(),
    }
    if how == "is slow":
        monkeypatch.setattr(runner, "APOLOGY_S", 0.01)
    async with bench(speaker=engines[how]) as b:
        for _ in range(OPENS_AT if how == "is not asked" else 0):
            b.runtime.failed("speaker", EngineError("speaker", "no voice"))
        b.run(apologise("responder"))
        said = await b.until(ev.Apology)
        assert said.by is None
        assert np.array_equal(said.samples, apology.recorded("responder", "en-US"))
        assert ("speaker" in b.runtime.failing) == (how in ("fails", "is not asked"))
        speaker = engines[how]
        assert not isinstance(speaker, Noting) or speaker.asked == []


class Mute(FakeSpeaker):
    async def speak(self, *_: Any, **__: Any) -> AsyncGenerator[SpeechChunk, None]:
        return
        yield


async def test_an_apology_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(apology, "FOLDER", tmp_path)
    monkeypatch.setattr(apology, "recorded", apology.recorded.__wrapped__)
    async with bench() as b:
        b.run(apologise("speaker"))
        said = await b.until(ev.Apology)
        assert (said.text, said.samples.size) == (apology.text("speaker", "en-US"), 0)


async def test_an_apology_in_a_voice_that_is_not_there() -> None:
    async with bench() as b:
        b.run(ev.Apologise("R", "responder", "af_hart", 1.0, None))
        said = await b.until(ev.Apology)
        assert (said.by, said.text) == (None, apology.text("responder", "en-US"))


async def test_an_apology_ends_the_reply_s_work_and_can_be_stopped() -> None:
    watched = Watched()
    async with bench(responder=watched, speaker=(hangs := Watched())) as b:
        b.run(respond())
        await watched.begun.wait()
        b.run(apologise("transcriber"))
        await watched.stopped.wait()
        await hangs.begun.wait()
        b.run(ev.StopReply("R"))
        await hangs.stopped.wait()
        assert b.told == []


# --- a second try -----------------------------------------------------------------------------------------------


class Flaky(FakeTranscriber):
    """Fails so many times, and then hears."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(latency_ms=0)
        self.errors = [*errors]
        self.asked = 0

    async def transcribe(self, *args: Any, **how: Any) -> Transcript:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return await super().transcribe(*args, **how)


@pytest.mark.parametrize(
    ("errors", "asked", "heard"),
    [
        ([OSError("reset")], 2, True),
        ([EngineError("transcriber", "status 502")], 2, True),
        ([BusyError("transcriber", "no room")], 2, True),
        ([OSError("reset"), OSError("reset")], 2, False),
        ([RequestError("transcriber", "too long")], 1, False),
        ([TimeoutError()], 1, False),
    ],
    ids=str,
)
async def test_what_fails_before_it_gave_anything_is_tried_once_more(
    errors: list[Exception], asked: int, heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtral_voice.server.asking.BUSY_AGAIN_S", 0.01)
    transcriber = Flaky(*errors)
    async with bench(transcriber=transcriber) as b:
        b.run(transcribe())
        await b.until(ev.TranscriptHeard if heard else ev.TranscriptFailed)
        assert transcriber.asked == asked


class Stuttering(FakeSpeaker):
    """Fails at the first try of each phrase, at this piece of it."""

    def __init__(self, at: int) -> None:
        super().__init__(0, 0)
        self.asked: list[str] = []
        self._at = at

    async def speak(self, text: str, **_: Any) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append(text)
        for number in range(3):
            if number == self._at and self.asked.count(text) == 1:
                raise OSError("reset")
            yield SpeechChunk(tone(100))


async def test_each_phrase_has_a_second_try_until_some_of_it_was_made() -> None:
    async with bench(speaker=(speaker := Stuttering(0))) as b:
        b.run(respond())
        b.run(speak(0, "one"))
        b.run(speak(1, "two"))
        await b.until(ev.PhraseEnded, 2)
        assert speaker.asked == ["one", "one", "two", "two"]
        assert sum(isinstance(event, ev.PhraseAudio) for event in b.told) == 6
    async with bench(speaker=(speaker := Stuttering(1))) as b:
        b.run(respond())
        b.run(speak(0, "one"))
        assert (await b.until(ev.ReplyFailed)).engine == "speaker"
        assert speaker.asked == ["one"]


async def test_what_is_stopped_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.asking.AGAIN_S", 60.0)
    transcriber = Flaky(OSError("reset"))
    async with bench(transcriber=transcriber) as b:
        b.run(transcribe())
        while not transcriber.asked:  # noqa: ASYNC110 - it waits for its second try from then on
            await asyncio.sleep(0)
        b.run(ev.Abandon(1))
    assert (transcriber.asked, b.told) == (1, [])


@pytest.mark.parametrize("seam", ["transcriber", "stream", "turn_judge", "responder", "speaker", "prepare"])
async def test_an_engine_that_failed_again_and_again_is_not_asked(seam: str) -> None:
    """Nobody waits for it, and it is told why."""
    watched = Watched()
    engine = {"stream": "transcriber", "prepare": "responder"}.get(seam, seam)
    commands: dict[str, list[ev.EngineCommand]] = {
        "transcriber": [transcribe()],
        "stream": [grows(1, 4_000, final=True)],
        "turn_judge": [ev.Judge(1, 0, 16_000), transcribe(2)],
        "responder": [respond()],
        "speaker": [respond(), speak(0)],
        "prepare": [ev.Prepare(1, (("user", "hello"),), None)],
    }
    ear = Ear()
    async with bench(**{engine: ear if seam == "stream" else watched}) as b:
        for _ in range(OPENS_AT):
            b.runtime.failed(engine, EngineError(engine, "status 502 at http://there", "it is gone"))
        for command in commands[seam]:
            b.run(command)
        if seam == "turn_judge":
            await b.until(ev.TranscriptHeard)
        elif seam == "prepare":
            assert await b.until(ev.WordsJudged) == ev.WordsJudged(1, None)
        elif seam in ("transcriber", "stream"):
            assert await b.until(ev.TranscriptFailed) == ev.TranscriptFailed(1, "transcriber: it is gone")
        else:
            assert await b.until(ev.ReplyFailed) == ev.ReplyFailed("R", seam, "it is gone")
        assert not watched.begun.is_set()
        assert ear.pushed == []
        b.runner.turn_is_over()
        assert b.runtime.failing == {engine: "status 502 at http://there"}


# --- under a whole server ---------------------------------------------------------------------------------------


async def failing(server: Server) -> dict[str, str]:
    ready = await server.get("/readyz")
    named: dict[str, str] = ready.json()["failing"]
    assert ready.status_code == (503 if named else 200)
    assert ready.json()["ready"] == (not named)
    return named


async def failed_reply(caller: Caller) -> str:
    """The error of the reply to one turn."""
    done = await caller.turn()
    assert done["response"]["status"] == "failed"
    message: str = done["response"]["status_details"]["error"]["message"]
    return message


@pytest.mark.parametrize(
    ("seam", "engine"),
    [
        ("responder", FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("out of ideas"))),
        ("responder", FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("out of ideas", after_steps=2))),
        ("speaker", FakeSpeaker(0, 0, broken=Broken("out of ideas"))),
        ("speaker", FakeSpeaker(0, 0, broken=Broken("out of ideas", after_steps=2))),
    ],
    ids=["responder at once", "responder later", "speaker at once", "speaker later"],
)
async def test_a_reply_fails_and_the_next_one_does_not(serving: Serving, seam: str, engine: Any) -> None:
    async with serving(quick(**{seam: engine})) as server, calling(server.url) as caller:
        assert await failed_reply(caller) == f"{seam}: out of ideas"
        assert await failing(server) == {seam: "out of ideas"}
        assert await server.metric("engine_failures_total", engine=seam) in (1, 2)  # a responder fails at the words too
        assert await server.metric("replies_total", status="failed") == 1
        engine.broken = None
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await failing(server) == {}


def heard(caller: Caller) -> bytes:
    return b"".join(sound_of(delta) for delta in caller.all("response.output_audio.delta"))


@pytest.mark.parametrize("seam", ["transcriber", "responder", "speaker"])
async def test_who_would_hear_nothing_hears_an_apology(serving: Serving, seam: str) -> None:
    """And the reply says what was said, and why; the next one is none the worse for it."""
    engines: dict[str, Any] = {
        "transcriber": FakeTranscriber(latency_ms=0, broken=Broken("out of order")),
        "responder": FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("out of order")),
        "speaker": FakeSpeaker(0, 0, broken=Broken("out of order")),
    }
    engine = engines[seam]
    async with serving(quick(**{seam: engine})) as server, calling(server.url) as caller:
        done = await caller.turn()
        response = done["response"]
        assert (response["status"], response["status_details"]["error"]["message"]) == (
            "failed",
            f"{seam}: out of order",
        )
        [item] = response["output"]
        assert (item["status"], item["content"][0]["transcript"]) == ("incomplete", apology.text(seam, "en-US"))
        assert caller.said() == apology.text(seam, "en-US")
        if seam == "speaker":
            assert heard(caller) == float_to_pcm16(apology.recorded(seam, "en-US"))
        else:
            assert len(heard(caller)) > 24_000
        how = "recorded" if seam == "speaker" else "spoken"
        assert await server.metric("apologies_total", engine=seam, how=how) == 1
        assert await server.metric("replies_total", status="failed") == 1
        engine.broken = None
        assert (await caller.turn())["response"]["status"] == "completed"


async def test_a_reply_in_writing_is_not_apologised_for(serving: Serving) -> None:
    responder = FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("out of order"))
    async with serving(quick(responder=responder)) as server, calling(server.url) as caller:
        await caller.send("response.create", response={"output_modalities": ["text"]})
        done = await caller.until("response.done")
        assert done["response"]["status"] == "failed"
        assert caller.said() == ""


async def test_a_transcript_fails_and_the_next_one_does_not(serving: Serving) -> None:
    transcriber = FakeTranscriber(latency_ms=0, broken=Broken("no ears"))
    async with serving(quick(transcriber=transcriber)) as server, calling(server.url) as caller:
        await caller.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        assert await failed_reply(caller) == "transcriber: no ears"
        lost = await caller.until("conversation.item.input_audio_transcription.failed")
        assert lost["error"]["message"] == "transcriber: no ears"
        assert await failing(server) == {"transcriber": "no ears"}
        transcriber.broken = None
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await failing(server) == {}


async def test_without_a_judge_the_turn_still_ends(serving: Serving) -> None:
    judge = FakeTurnJudge(latency_ms=0, broken=Broken("no opinion"))
    async with serving(quick(turn_judge=judge)) as server, calling(server.url) as caller:
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await failing(server) == {"turn_judge": "no opinion"}


@pytest.mark.parametrize(
    ("limit", "seam", "engine"),
    [
        ("RESPONDER_S", "responder", FakeResponder(first_token_ms=HANGS_MS)),
        ("RESPONDER_S", "responder", FakeResponder(first_token_ms=0, token_ms=HANGS_MS)),
        ("SPEAKER_S", "speaker", FakeSpeaker(HANGS_MS, 0)),
        ("SPEAKER_S", "speaker", FakeSpeaker(0, HANGS_MS)),
        ("TRANSCRIBER_S", "transcriber", FakeTranscriber(latency_ms=HANGS_MS)),
    ],
    ids=["first text", "next text", "first audio", "next audio", "transcript"],
)
async def test_an_engine_that_hangs(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, limit: str, seam: str, engine: Any
) -> None:
    monkeypatch.setattr(patience, limit, 0.05)
    async with serving(quick(**{seam: engine})) as server, calling(server.url) as caller:
        assert await failed_reply(caller) == f"{seam}: it took too long"
        assert await failing(server) == {seam: "it took too long"}


async def test_a_judge_that_hangs(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "JUDGE_S", 0.05)
    async with serving(quick(turn_judge=FakeTurnJudge(latency_ms=HANGS_MS))) as server, calling(server.url) as caller:
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await failing(server) == {"turn_judge": "it took too long"}


async def test_one_session_s_failure_is_not_another_s(serving: Serving) -> None:
    """A phrase that the speaker cannot say fails its own reply only."""

    class Picky(FakeSpeaker):
        async def speak(
            self, text: str, *, voice: str, speed: float, language: str | None = None
        ) -> AsyncGenerator[SpeechChunk, None]:
            if "BAD" in text:
                raise EngineError("speaker", "that name")
            async for chunk in super().speak(text, voice=voice, speed=speed, language=language):
                yield chunk

    def words(audio: Samples) -> str:
        return "BAD" if len(audio) > 16_000 else "GOOD"

    engines = quick(speaker=Picky(0, 0), transcriber=FakeTranscriber(words, 0))
    async with serving(engines) as server, calling(server.url) as one, calling(server.url) as other:
        bad, good = await asyncio.gather(one.turn(1_200), other.turn())
        assert bad["response"]["status"] == "failed"
        assert good["response"]["status"] == "completed"
        assert other.said() == "You said: GOOD."


# --- what an answer may be --------------------------------------------------------------------------------------


async def written(caller: Caller, text: str) -> dict[str, Any]:
    """The reply to this, in writing, which repeats it. Returns its `response.done`."""
    count = caller.count("response.done") + 1
    content = [{"type": "input_text", "text": text}]
    await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await caller.send("response.create")
    return await caller.until("response.done", count)


def sound_of(delta: dict[str, Any]) -> bytes:
    return base64.b64decode(delta["delta"])


def repeating() -> FakeResponder:
    return FakeResponder(lambda messages: messages[-1].text, 0, 0)


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("?! ... !!", None),
        ("😀 🎈👍🏽", None),
        ("```\nprint('hello there')\n```", None),
        ("\u0000 hello\u0007 \u001b[31mthere\u001b[0m \u007f \ufeff \u200b", ("af_heart", "asked")),
        ("\u202eolleh", ("af_heart", "asked")),
        ("مرحبا، كيف حالك اليوم؟", ("af_heart", "no_voice")),
        ("שלום, מה שלומך?", ("af_heart", "no_voice")),
        ("안녕하세요. 저는 잘 지내요.", ("af_heart", "no_voice")),
        ("नमस्ते। आप कैसे हैं?", ("hf_alpha", "language")),
        ("お元気ですか？私は元気です。", ("jf_alpha", "language")),
        ("a" * 10_000, ("af_heart", "asked")),
        ("字" * 2_000, ("zf_", "language")),
    ],
)
async def test_an_answer_may_be_anything_and_the_session_goes_on(
    serving: Serving, text: str, voice: tuple[str, str] | None
) -> None:
    async with serving(quick(responder=repeating())) as server, calling(server.url) as caller:
        done = await written(caller, text)
        assert done["response"]["status"] == "completed"
        assert caller.said() == " ".join(text.split())
        by = done.get("voxtral_voice", {}).get("voice")
        if voice is None:
            assert by is None
            assert caller.count("response.output_audio.delta") == 0
        else:
            assert by["asked"] == "af_heart"
            assert by["used"].startswith(voice[0])
            assert by["why"] == voice[1]
            assert caller.count("response.output_audio.delta") > 0
        again = await written(caller, "And now?")
        assert again["voxtral_voice"]["voice"]["used"] == "af_heart"
        assert await failing(server) == {}


async def test_an_answer_without_words_fails_with_one_sentence(serving: Serving) -> None:
    async with serving(quick(responder=FakeResponder(lambda _: "", 0, 0))) as server, calling(server.url) as caller:
        failed = await written(caller, "Say nothing.")
        assert failed["response"]["status_details"]["error"]["message"] == "responder: it gave no answer."


@pytest.mark.parametrize("words", [5, 2_000])
async def test_the_first_sound_of_an_answer_does_not_wait_for_its_end(serving: Serving, words: int) -> None:
    """It needs as many words, however many follow; and those can be taken back."""
    speaker = Noting()
    text = " ".join(["one"] * words) + "."
    async with serving(quick(responder=repeating(), speaker=speaker)) as server, calling(server.url) as caller:
        content = [{"type": "input_text", "text": text}]
        await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await caller.send("response.create")
        first = await caller.until("response.output_audio_transcript.delta")
        assert len(first["delta"].split()) in (5, 6)
        assert len(sound_of(await caller.until("response.output_audio.delta"))) <= 2 * SPEAK_RATE_HZ // 10
        await caller.send("response.cancel")
        done = await caller.until("response.done")
        assert done["response"]["status"] in ("cancelled", "completed")
        assert (await written(caller, "And now?"))["response"]["status"] == "completed"


async def test_words_come_with_the_text_that_they_are_in(serving: Serving) -> None:
    async with serving(quick(responder=repeating())) as server, calling(server.url) as caller:
        done = await written(caller, "Hello there, my friend. How are you today?")
        deltas = caller.all("response.output_audio_transcript.delta")
        assert [[word["word"] for word in delta["voxtral_voice"]["words"]] for delta in deltas] == [
            ["Hello", "there,"], ["my", "friend."], ["How", "are", "you", "today?"],
        ]  # fmt: skip
        words = done["voxtral_voice"]["words"]
        assert words == [word for delta in deltas for word in delta["voxtral_voice"]["words"]]
        assert [word["start_ms"] for word in words] == [240 * number for number in range(8)]
