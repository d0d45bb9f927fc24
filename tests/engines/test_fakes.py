"""The fakes keep the seams' promises, deterministically and without wall time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from voxtral_voice.engines.base import (
    NO_TOOLS,
    SPEAK_RATE_HZ,
    Call,
    CallPiece,
    Finish,
    Message,
    Picture,
    Piece,
    Responder,
    Samples,
    Speaker,
    SpeechChunk,
    Tool,
    Tools,
    Transcriber,
    Transcript,
    TurnJudge,
    Usage,
    VoiceActivity,
)
from voxtral_voice.engines.fakes import (
    Broken,
    FakeResponder,
    FakeSpeaker,
    FakeTranscriber,
    FakeTurnJudge,
    FakeVoiceActivity,
    echo,
    finished_at_a_stop,
)
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.errors import EngineError


class Clock:
    """A sleep that takes no time and remembers how long it was asked to take."""

    def __init__(self) -> None:
        self.slept_ms: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept_ms.append(round(seconds * 1000, 3))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tone(amplitude: float, count: int = 16_000) -> Samples:
    wave: Samples = (amplitude * np.sin(np.arange(count) * 0.2)).astype(np.float32)
    return wave


async def collect(stream: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in stream]


async def said(stream: AsyncIterator[Piece]) -> str:
    return "".join([piece for piece in await collect(stream) if isinstance(piece, str)])


async def spoken(stream: AsyncIterator[SpeechChunk]) -> list[SpeechChunk]:
    return [chunk async for chunk in stream]


async def hear(transcriber: FakeTranscriber, audio: Samples, *, final: bool = True) -> str:
    return (await transcriber.transcribe(audio, language=None, prompt="", final=final)).text


def respond(
    responder: FakeResponder, text: str, max_tokens: int | None = None, tools: Tools = NO_TOOLS
) -> AsyncIterator[Piece]:
    return responder.respond([Message("user", text)], language=None, max_tokens=max_tokens, tools=tools)


def test_each_fake_fits_its_seam_and_says_its_name() -> None:
    voice_activity: VoiceActivity = FakeVoiceActivity()
    turn_judge: TurnJudge = FakeTurnJudge()
    transcriber: Transcriber = FakeTranscriber()
    responder: Responder = FakeResponder()
    speaker: Speaker = FakeSpeaker()
    engines = (voice_activity, turn_judge, transcriber, responder, speaker)
    assert [e.name for e in engines] == [
        "fake voice activity",
        "fake turn judge",
        "fake transcriber",
        "fake responder",
        "fake speaker",
    ]


# --- voice activity ---


@pytest.mark.parametrize(("dbfs", "probability"), [(-44.5, 1.0), (-45.5, 0.0), (-10.0, 1.0), (-90.0, 0.0)])
async def test_the_energy_gate_opens_above_minus_45_dbfs(dbfs: float, probability: float) -> None:
    frame = np.full((1, 512), 10 ** (dbfs / 20), dtype=np.float32)
    session = FakeVoiceActivity().session()
    assert await session.probabilities(frame) == [probability]
    session.reset()
    assert await session.probabilities(frame) == [probability]


async def test_the_energy_gate_judges_each_frame_and_none() -> None:
    frames = np.stack([tone(0.1, 512), np.zeros(512, np.float32), tone(0.1, 512)])
    session = FakeVoiceActivity().session()
    assert await session.probabilities(frames) == [1.0, 0.0, 1.0]
    assert await session.probabilities(frames[:0]) == []


# --- turn judge ---


async def test_the_turn_judge_is_as_sure_as_it_is_told(clock: Clock) -> None:
    judge = FakeTurnJudge(0.3, latency_ms=45, sleep=clock)
    assert await judge.complete_probability(tone(0.1)) == 0.3
    assert clock.slept_ms == [45]


# --- transcriber ---


async def test_finals_consume_the_lines_and_start_again(clock: Clock) -> None:
    transcriber = FakeTranscriber(["one", "two"], latency_ms=60, sleep=clock)
    assert [await hear(transcriber, tone(0.1)) for _ in range(3)] == ["one", "two", "one"]
    assert clock.slept_ms == [60, 60, 60]


async def test_a_partial_hears_half_of_the_next_line_and_consumes_nothing(clock: Clock) -> None:
    transcriber = FakeTranscriber(["what is the time now"], sleep=clock)
    assert await hear(transcriber, tone(0.1), final=False) == "what is"
    assert await hear(transcriber, tone(0.1)) == "what is the time now"


@pytest.mark.parametrize("audio", [np.zeros(16_000, np.float32), np.zeros(0, np.float32), tone(0.001)])
async def test_silence_is_heard_as_no_words_and_consumes_no_line(clock: Clock, audio: Samples) -> None:
    transcriber = FakeTranscriber(["one", "two"], sleep=clock)
    assert await hear(transcriber, audio) == ""
    assert await hear(transcriber, tone(0.1)) == "one"


async def test_a_cancelled_final_consumes_no_line() -> None:
    transcriber = FakeTranscriber(["one", "two"], latency_ms=10_000)
    call = asyncio.create_task(hear(transcriber, tone(0.1)))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert transcriber._next == 0


async def test_lines_may_depend_on_the_audio(clock: Clock) -> None:
    transcriber = FakeTranscriber(lambda audio: f"{len(audio)} samples", sleep=clock)
    assert await hear(transcriber, tone(0.1, 1024)) == "1024 samples"


@pytest.mark.parametrize(("told", "heard"), [("hi", "hi"), (None, "en")])
async def test_the_language_is_what_it_was_told_or_english(clock: Clock, told: str | None, heard: str) -> None:
    transcriber = FakeTranscriber(sleep=clock)
    transcript = await transcriber.transcribe(tone(0.1), language=told, prompt="", final=True)
    assert transcript.language == heard


async def test_a_stream_hears_words_while_they_are_said_and_all_of_them_when_it_is_flushed(clock: Clock) -> None:
    transcriber = FakeTranscriber(["one two three", "four"], streaming=True, delay_ms=480, sleep=clock)
    assert transcriber.streams
    for line in ("one two three", "four"):
        stream = transcriber.stream(language=None, prompt="")
        assert stream is not None
        words = [await stream.push(tone(0.1, 240 * 16)) for _ in range(4)]
        assert words == [" ".join(line.split()[:heard]) for heard in (0, 0, 1, 2)]
        assert (await stream.flush()).text == line
        assert await stream.push(tone(0.1, 2_000 * 16)) == line
        assert await stream.flush() == Transcript(line, "en")
        assert transcriber.open_streams == 1
        await stream.aclose()
        await stream.aclose()
        assert transcriber.open_streams == 0
    assert clock.slept_ms == [5, 5, 5, 5, 40, 5, 40] * 2


async def test_a_stream_of_silence_has_no_words_and_consumes_no_line(clock: Clock) -> None:
    transcriber = FakeTranscriber(["one"], streaming=True, sleep=clock)
    stream = transcriber.stream(language="hi", prompt="")
    assert stream is not None
    assert await stream.push(np.zeros(16_000, np.float32)) == ""
    assert await stream.flush() == Transcript("", "hi")
    assert transcriber._next == 0


async def test_a_stream_breaks_like_its_engine(clock: Clock) -> None:
    transcriber = FakeTranscriber(lambda audio: f"{len(audio)} samples", streaming=True, sleep=clock)
    stream = transcriber.stream(language=None, prompt="")
    assert stream is not None
    await stream.push(tone(0.1, 512))
    transcriber.broken = Broken("no ears")
    with pytest.raises(EngineError, match="no ears"):
        await stream.push(tone(0.1, 512))
    transcriber.broken = None
    assert (await stream.flush()).text == "1024 samples"


def test_an_engine_that_does_not_stream_gives_none() -> None:
    assert FakeTranscriber().stream(language=None, prompt="") is None


# --- responder ---

CAT = Picture("data:image/png;base64,AAAA")


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        ([Message("user", "hello")], "You said: hello."),
        ([Message("user", "a"), Message("assistant", "b"), Message("user", "what?")], "You said: what."),
        ([Message("user", "नमस्ते।")], "You said: नमस्ते."),
        ([Message("system", "Be kind.")], "You said: nothing."),
        ([Message("user", "look", (CAT, CAT))], "You said: look. You showed 2 pictures."),
        ([Message("user", "Look!", (CAT,))], "You said: Look. You showed 1 picture."),
        ([Message("user", "a"), Message("tool", "sunny", call_id="1")], "I found: sunny."),
        (
            [Message("tool", "x"), Message("user", "a"), Message("tool", "sunny"), Message("tool", "25 degrees.")],
            "I found: sunny and 25 degrees.",
        ),
    ],
)
def test_the_echo_says_the_last_user_text_or_what_tools_gave(messages: list[Message], reply: str) -> None:
    assert echo(messages) == reply


async def test_a_reply_is_streamed_word_by_word_at_the_declared_pace(clock: Clock) -> None:
    responder = FakeResponder(first_token_ms=120, token_ms=20, sleep=clock)
    assert await collect(respond(responder, "hello there")) == [
        "You",
        " said:",
        " hello",
        " there.",
        Finish("stop", Usage(2, 4)),
    ]
    assert clock.slept_ms == [120, 20, 20, 20]


async def test_a_responder_that_listens_answers_what_it_hears(clock: Clock) -> None:
    responder = FakeResponder(listens=True, finished=finished_at_a_stop, sleep=clock)
    heard = [Message("user", "hello"), Message("user", "", audio=tone(0.1, 19_200))]
    assert responder.listens
    assert await responder.prepare(heard, language=None) is None
    assert await said(responder.respond(heard, language=None, max_tokens=None)) == "You spoke for 1.2 seconds."


async def test_words_are_prepared_in_the_declared_time_and_judged_by_the_rule(clock: Clock) -> None:
    silent = FakeResponder(sleep=clock)
    assert await silent.prepare([Message("user", "Hello.")], language=None) is None
    judging = FakeResponder(finished=finished_at_a_stop, prepare_ms=35, sleep=clock)
    assert await judging.prepare([Message("user", "Hello. ")], language=None) == 0.9
    assert await judging.prepare([Message("user", "Hello and")], language=None) == 0.05
    assert clock.slept_ms == [20, 35, 35]


async def test_max_tokens_cuts_the_reply(clock: Clock) -> None:
    pieces = await collect(respond(FakeResponder(sleep=clock), "hello there", 2))
    assert pieces == ["You", " said:", Finish("length", Usage(2, 2))]
    pieces = await collect(respond(FakeResponder(sleep=clock), "hello there", 4))
    assert pieces[-1] == Finish("stop", Usage(2, 4))


WEATHER = Tools((Tool("get_weather", "", '{"properties": {"location": {"type": "string"}}}'),))


async def test_a_tool_is_called_behind_some_words_at_the_declared_pace(clock: Clock) -> None:
    responder = FakeResponder(first_token_ms=120, token_ms=20, sleep=clock)
    assert await collect(respond(responder, "The weather in Rome?", tools=WEATHER)) == [
        "Let",
        " me",
        " check.",
        CallPiece(0, "call_1", "get_weather", '{"locati'),
        CallPiece(0, "call_1", "get_weather", 'on":"Rom'),
        CallPiece(0, "call_1", "get_weather", 'e"}'),
        Finish("stop", Usage(4, 6)),
    ]
    assert clock.slept_ms == [120, 20, 20, 20, 20, 20]


async def test_a_call_that_is_demanded_comes_without_words_and_every_call_has_its_own_id(clock: Clock) -> None:
    responder = FakeResponder(sleep=clock)
    tools = Tools(WEATHER.tools, "required")
    pieces = await collect(respond(responder, "In Rome and Oslo?", tools=tools))
    pieces += await collect(respond(responder, "Hello", tools=tools))
    calls = dict.fromkeys((p.index, p.call_id) for p in pieces if isinstance(p, CallPiece))
    assert list(calls) == [(0, "call_1"), (1, "call_2"), (0, "call_3")]
    assert not any(isinstance(piece, str) for piece in pieces)


async def test_max_tokens_cuts_a_call(clock: Clock) -> None:
    *_, last, finish = await collect(respond(FakeResponder(sleep=clock), "Weather in Rome", 4, WEATHER))
    assert last == CallPiece(0, "call_1", "get_weather", '{"locati')
    assert finish == Finish("length", Usage(3, 4))


async def test_an_output_is_answered_in_words(clock: Clock) -> None:
    history = [
        Message("user", "The weather in Rome?"),
        Message("assistant", "", calls=(Call("c", "get_weather", "{}"),)),
        Message("tool", "sunny", call_id="c"),
    ]
    stream = FakeResponder(sleep=clock).respond(history, language=None, max_tokens=None, tools=WEATHER)
    assert await said(stream) == "I found: sunny."


# --- speaker ---


async def test_a_phrase_is_a_tone_and_a_gap_for_each_word(clock: Clock) -> None:
    speaker = FakeSpeaker(first_audio_ms=50, realtime_factor=0.5, sleep=clock)
    chunks = await spoken(speaker.speak("Hello, world - now!", voice="af_heart", speed=1.0))
    assert [len(c.samples) for c in chunks] == [5760] * 3
    assert [c.samples.dtype for c in chunks] == [np.float32] * 3
    assert [(w.word, w.start_ms, w.end_ms) for w in chunks[0].words] == [
        ("Hello,", 0, 200),
        ("world", 240, 440),
        ("now!", 480, 680),
    ]
    assert [c.words for c in chunks[1:]] == [(), ()]
    assert clock.slept_ms == [50, 120, 120]


async def test_the_tone_is_440_hz_soft_and_ends_in_silence(clock: Clock) -> None:
    (chunk,) = await spoken(FakeSpeaker(sleep=clock).speak("Yes.", voice="hf_alpha", speed=0.25))
    word = chunk.samples[: SPEAK_RATE_HZ * 8 // 10]
    peak_hz = np.argmax(np.abs(np.fft.rfft(word))) * SPEAK_RATE_HZ / len(word)
    assert peak_hz == pytest.approx(440, abs=2)
    assert 0.09 < np.max(np.abs(word)) <= 0.1
    assert not np.any(chunk.samples[len(word) :])


@pytest.mark.parametrize(("speed", "seconds"), [(0.5, 0.48), (1.0, 0.24), (4.0, 0.06)])
async def test_speed_is_honoured(clock: Clock, speed: float, seconds: float) -> None:
    (chunk,) = await spoken(FakeSpeaker(sleep=clock).speak("नमस्ते", voice="hm_psi", speed=speed))
    assert len(chunk.samples) == seconds * SPEAK_RATE_HZ
    assert chunk.words[0].end_ms == pytest.approx(200 / speed)


@pytest.mark.parametrize("text", ["", "...", " — ! ?"])
async def test_a_phrase_with_nothing_to_say_yields_nothing(clock: Clock, text: str) -> None:
    assert await spoken(FakeSpeaker(sleep=clock).speak(text, voice="af_heart", speed=1.0)) == []


async def test_an_unknown_voice_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="no voice 'bob': use one of af_heart, af_bella"):
        await spoken(FakeSpeaker().speak("Hi", voice="bob", speed=1.0))


def test_it_has_every_voice() -> None:
    assert FakeSpeaker().voices == VOICES


# --- faults ---

NO_SLEEP = Clock()
FAULT = Broken("It caught fire.")
BROKEN: list[tuple[str, Callable[[], object]]] = [
    (
        "voice_activity",
        lambda: FakeVoiceActivity(broken=FAULT).session().probabilities(tone(0.1, 512).reshape(1, -1)),
    ),
    ("turn_judge", lambda: FakeTurnJudge(broken=FAULT, sleep=NO_SLEEP).complete_probability(tone(0.1))),
    ("transcriber", lambda: hear(FakeTranscriber(broken=FAULT, sleep=NO_SLEEP), tone(0.1))),
    ("responder", lambda: collect(respond(FakeResponder(broken=FAULT, sleep=NO_SLEEP), "hi"))),
    (
        "speaker",
        lambda: spoken(FakeSpeaker(broken=FAULT, sleep=NO_SLEEP).speak("hi", voice="af_heart", speed=1)),
    ),
]


@pytest.mark.parametrize(("seam", "call"), BROKEN)
async def test_a_broken_engine_raises_an_error_of_its_seam(seam: str, call: Callable[[], object]) -> None:
    with pytest.raises(EngineError, match=r"It caught fire\.") as caught:
        await call()  # type: ignore[misc]
    assert caught.value.engine == seam


async def test_an_engine_breaks_after_its_steps_and_can_be_mended(clock: Clock) -> None:
    responder = FakeResponder(broken=Broken("Out of words.", after_steps=3), sleep=clock)
    stream = respond(responder, "hello there")
    assert [await anext(stream) for _ in range(3)] == ["You", " said:", " hello"]
    with pytest.raises(EngineError, match="Out of words"):
        await anext(stream)
    responder.broken = None
    assert await said(respond(responder, "hi")) == "You said: hi."
