"""The plan's words, at the plan's times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bench.stub.make import RATE_HZ, TEXTS, babble, clip, clips
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.player import Player
from voxtral_voice.bench.stub import engines as stub
from voxtral_voice.bench.stub.engines import UNKNOWN, StubResponder, StubSpeaker, StubTranscriber
from voxtral_voice.bench.stub.plan import INSTANT, Latencies, StubPlan, first_sentence, tokens_of
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Message, Transcript


class Clock:
    """Time that only passes in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def until(self, moment: float) -> None:
        self.now = max(self.now, moment)

    def ms(self) -> float:
        return self.now * 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stub, "_now", lambda: clock.now)
    monkeypatch.setattr(stub, "_until", clock.until)
    return clock


async def timed(clock: Clock, stream: AsyncIterator[Any]) -> list[tuple[float, Any]]:
    return [(clock.ms(), item) async for item in stream]


# --- transcriber --------------------------------------------------------------------------------------------------


async def test_every_clip_is_heard_in_its_own_time(clock: Clock) -> None:
    plan = StubPlan(clips())
    transcriber = StubTranscriber(plan)
    for made in plan.clips:
        clock.now = 0
        heard = await transcriber.transcribe(made.samples, language=None, prompt="", final=True)
        assert heard == Transcript(made.text, "en")
        assert clock.ms() == pytest.approx(plan.known_ms(made.id).transcript_ms)
    assert transcriber.unknown == 0


async def test_clips_of_another_rate_are_heard_too() -> None:
    low = clip(TEXTS[0], 1)
    high = clip(TEXTS[1], 2)
    plan = StubPlan(
        [
            type(low)(low.id, "turn", low.text, "en", resample(low.samples, RATE_HZ, 8_000), 8_000, 0, 2),
            type(high)(high.id, "turn", high.text, "en", resample(high.samples, RATE_HZ, 24_000), 24_000, 0, 2),
        ],
        latencies=INSTANT,
    )
    transcriber = StubTranscriber(plan)
    for made in (low, high):
        heard = await transcriber.transcribe(made.samples, language=None, prompt="", final=True)
        assert heard.text == made.text


async def test_noise_around_a_clip_is_not_part_of_it() -> None:
    """A framework sends the speech, with as much of the noise as it likes."""
    noise = (0.02 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)).astype(np.float32)
    noise[RATE_HZ : 4 * RATE_HZ] += babble(3, 3.0)
    noisy = Clip("noisy", "noise", TEXTS[0], "en", noise, RATE_HZ, 1.0, 4.0)
    transcriber = StubTranscriber(StubPlan([noisy], latencies=INSTANT))
    for audio in (noise, noise[RATE_HZ : 4 * RATE_HZ], noise[RATE_HZ // 2 :]):
        assert (await transcriber.transcribe(audio, language=None, prompt="", final=True)).text == TEXTS[0]


async def test_of_a_part_the_words_in_it() -> None:
    made = clip("one two three four five six seven eight", 3, 4.0)
    transcriber = StubTranscriber(StubPlan([made], latencies=INSTANT))
    for part, words in (
        (made.samples[: 2 * RATE_HZ], "one two three four"),
        (made.samples[3 * RATE_HZ :], "seven eight"),
    ):
        assert (await transcriber.transcribe(part, language=None, prompt="", final=False)).text == words


@pytest.mark.parametrize(
    ("audio", "text", "unknown"), [(babble(99, 2), UNKNOWN, 1), (np.zeros(RATE_HZ, np.float32), "", 0)]
)
async def test_what_is_no_clip_takes_the_median_and_is_counted(
    clock: Clock, audio: Samples, text: str, unknown: int
) -> None:
    transcriber = StubTranscriber(StubPlan(clips()))
    heard = await transcriber.transcribe(audio, language="de", prompt="", final=True)
    assert heard == Transcript(text, "de")
    assert (clock.ms(), transcriber.unknown) == (250, unknown)


# --- responder ----------------------------------------------------------------------------------------------------


async def test_tokens_come_on_a_schedule_however_slow_the_reader(clock: Clock) -> None:
    plan = StubPlan(clips())
    made = plan.clips[2]
    messages = [Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", made.text), Message("system", "x")]
    tokens = []
    async for token in StubResponder(plan).respond(messages, language=None, max_tokens=None):
        assert isinstance(token, str)
        tokens.append((clock.ms(), token))
        clock.now += 0.005
    assert [token for _, token in tokens] == tokens_of(plan.reply(made.text))
    known = plan.known_ms(made.id)
    assert tokens[0][0] == pytest.approx(known.first_token_ms)
    assert tokens[10][0] == pytest.approx(known.first_token_ms + 10 * 1000 / 60)
    shown = next(i for i, (_, token) in enumerate(tokens) if i and token.strip()[0].isupper())
    assert tokens[shown][0] == pytest.approx(known.first_token_ms + known.first_phrase_ms)


async def test_no_more_tokens_than_asked_for() -> None:
    responder = StubResponder(StubPlan(clips(), latencies=INSTANT))
    reply = [token async for token in responder.respond([], language=None, max_tokens=3)]
    assert len(reply) == 3


# --- speaker ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence_ms", [0.0, 150.0])
async def test_audio_comes_three_times_as_fast_as_it_is_heard(clock: Clock, silence_ms: float) -> None:
    plan = StubPlan(clips(), latencies=Latencies(leading_silence_ms=silence_ms))
    text = first_sentence(plan.reply(TEXTS[0]))
    chunks = await timed(clock, StubSpeaker(plan).speak(text, voice="any", speed=1.0))
    sizes_ms = [len(chunk.samples) * 1000 / SPEAK_RATE_HZ for _, chunk in chunks]
    assert sizes_ms[:2] == [100, 200]
    assert sum(sizes_ms) == 5 * 350 + silence_ms
    first_ms = plan.first_audio_ms(text)
    made_ms = np.cumsum(sizes_ms) - 100
    assert [at for at, _ in chunks] == pytest.approx(list(first_ms + made_ms / 3))


@pytest.mark.parametrize("silence_ms", [0.0, 150.0])
async def test_a_phrase_is_audible_from_its_first_sample_or_behind_its_silence(silence_ms: float) -> None:
    plan = StubPlan([], latencies=replace(INSTANT, leading_silence_ms=silence_ms))
    player = Player()
    async for chunk in StubSpeaker(plan).speak("Hello there.", voice="any", speed=1.0):
        played = player.arrived(0.0, "reply", chunk.samples)
    assert played.leading_silence_ms == silence_ms
    assert float(np.abs(played.audio[round(silence_ms * 24) :][:120]).max()) > 0.09


@pytest.mark.parametrize("text", ["", "...", " - "])
async def test_a_phrase_without_words_is_no_audio(text: str) -> None:
    speaker = StubSpeaker(StubPlan([], latencies=INSTANT))
    assert [chunk async for chunk in speaker.speak(text, voice="any", speed=1.0)] == []


async def test_real_time_is_kept_to_a_few_ms() -> None:
    """With the loop's own clock: never early."""
    plan = StubPlan(clips())
    loop = asyncio.get_running_loop()
    began = loop.time()
    await StubTranscriber(plan).transcribe(plan.clips[0].samples, language=None, prompt="", final=True)
    assert (loop.time() - began) * 1000 >= plan.known_ms("set/0").transcript_ms - 2


@pytest.mark.parametrize("make", [StubTranscriber, StubResponder, StubSpeaker])
async def test_all_start_and_close(make: Callable[[StubPlan], Any]) -> None:
    engine = make(StubPlan([]))
    await engine.start()
    await engine.aclose()
    assert engine.name.startswith("stub ")
