"""Conversations with real models over a real socket, spoken and heard, through the stock `openai` SDK.

The server runs in its own process. The user speaks in voices that the server does not have; what the assistant says is
written down by Whisper. SmolLM2 135M knows little, so that a reply is asked to be about what was said, not to be right.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.caller import RATE_HZ, Caller, Reply, calling
from tests.e2e.speech import GUESTS, Studio, frequency_hz, plain, studio_of, word_errors
from voxtral_voice.audio.level import rms_dbfs

embedded = pytest.mark.parametrize("live_server", ["embedded"], indirect=True)
scripted = pytest.mark.parametrize("live_server", ["fake"], indirect=True)

GREETING: Final = "Hello! How can I help you?"
STORY: Final = (
    "Once upon a time there was a small house at the edge of the forest. "
    "An old man lived there with his dog and two grey cats. "
    "Every morning he walked down to the river and counted the boats. "
    "In the evening he told the animals what he had seen on the water."
)
"""Some 15 s when it is spoken."""
REPEAT: Final = "Can you repeat that?"

TURNS: Final = (
    ("Hello there.", "hello"),
    ("What is the capital of France?", "france|paris"),
    (REPEAT, "france|paris"),
    ("Who wrote Romeo and Juliet?", "romeo|juliet|shakespeare"),
    ("What do bees make?", "bees|honey"),
    ("What color is the sky?", "sky|blue"),
    ("Where do penguins live?", "penguin"),
    ("Do cats like milk?", r"\bcats?\b|milk"),
    ("What time is it?", r"it's \d+(:\d+)? [ap]m"),
    ("Thank you very much.", "welcome"),
)
"""What the user says, and what only the reply to that is about. The time comes behind all that the model answers: what
it says next would hang on the clock."""


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


def of_reply(caller: Caller, reply: Reply) -> list[str]:
    """The types of the reply's events that came after its `response.done`."""
    kinds = [event.type for event in caller.events]
    done = next(i for i, e in enumerate(caller.events) if kinds[i] == "response.done" and e.response.id == reply.id)
    rest = caller.events[done + 1 :]
    return [event.type for event in rest if getattr(event, "response_id", None) == reply.id]


def items(caller: Caller) -> list[Any]:
    """The `conversation.item.added` events."""
    return [event for event in caller.events if event.type == "conversation.item.added"]


# --- one question -----------------------------------------------------------------------------------------------


@pytest.mark.models
@embedded
async def test_a_spoken_question_gets_a_spoken_answer(live_server: str, studio: Studio) -> None:
    question = "What is the capital of France?"
    async with calling(live_server) as caller:
        reply = await caller.ask(await studio.say(question))
        heard = await caller.transcript(0)
    caller.judge()
    assert word_errors(question, heard) <= 0.2
    assert reply.done.status == "completed"
    assert rms_dbfs(reply.audio) > -35
    assert len(reply.text.split()) >= 3
    assert word_errors(reply.text, await studio.hear(reply.audio)) <= 0.15


@scripted
async def test_a_tone_of_440_hz_arrives_as_440_hz(live_server: str) -> None:
    """The scripted speaker's words are tones of 200 ms, at a quarter of the speed 800 ms: the audio is at 24 kHz."""
    async with calling(live_server, audio={"output": {"speed": 0.25}}) as caller:
        await caller.write("Hello.")
        reply = await caller.answer()
    caller.judge()
    words = reply.audio.reshape(len(reply.text.split()), -1)
    assert words.shape == (3, 960 * RATE_HZ // 1000)
    for word in words:
        assert frequency_hz(word[: 800 * RATE_HZ // 1000], RATE_HZ) == pytest.approx(440, abs=1)


# --- written questions, and the client's own decisions ----------------------------------------------------------


@pytest.mark.models
@embedded
async def test_a_written_question_gets_a_spoken_answer(live_server: str, studio: Studio) -> None:
    async with calling(live_server) as caller:
        await caller.write("Hello.")
        reply = await caller.answer()
    caller.judge()
    assert (reply.done.status, reply.text) == ("completed", GREETING)
    assert rms_dbfs(reply.audio) > -35
    assert word_errors(GREETING, await studio.hear(reply.audio)) <= 0.15


@pytest.mark.models
@embedded
async def test_a_cancelled_response_stops_and_the_next_one_comes(live_server: str) -> None:
    async with calling(live_server) as caller:
        await caller.repeated(STORY)
        reply = await caller.audio(0, played_ms=500)
        await caller.realtime.response.cancel()
        await caller.reply(0)
        sent = len(caller.events)
        await caller.realtime.response.cancel(event_id="again")
        refusal = (await caller.event("error", sent)).error
        await caller.write("Hello.")
        following = await caller.answer()
    caller.judge()
    assert (reply.done.status, reply.done.status_details.reason) == ("cancelled", "client_cancelled")
    assert 500 <= reply.audio_ms < 3000
    assert of_reply(caller, reply) == []
    assert (refusal.code, refusal.event_id) == ("response_cancel_not_active", "again")
    assert (following.done.status, following.text) == ("completed", GREETING)


@pytest.mark.models
@embedded
async def test_a_truncated_item_keeps_what_was_heard(live_server: str, studio: Studio) -> None:
    """The whole answer came, but the client says that it played 1.2 s of it."""
    async with calling(live_server) as caller:
        await caller.repeated("The kitchen is on the left and the garden is behind the house.")
        reply = await caller.reply(0)
        since = len(caller.events)
        await caller.realtime.conversation.item.truncate(item_id=reply.item_id, content_index=0, audio_end_ms=1200)
        truncated = await caller.event("conversation.item.truncated", since)
        item = await caller.retrieve(reply.item_id)
    caller.judge()
    assert reply.done.status == "completed"
    assert truncated.audio_end_ms == 1200
    kept = item.content[0].transcript
    played = plain(await studio.hear(reply.audio[: 1200 * RATE_HZ // 1000]))
    assert reply.text.startswith(kept)
    assert 0 < len(kept) < len(reply.text)
    assert abs(len(kept.split()) - len(played.split())) <= 1


@pytest.mark.models
@embedded
async def test_an_event_that_nobody_knows_is_an_error_and_the_session_goes_on(live_server: str) -> None:
    async with calling(live_server) as caller:
        await caller.realtime.send({"type": "conversation.nonsense", "event_id": "mine"})  # type: ignore[arg-type]
        error = (await caller.event("error")).error
        await caller.write("Hello.")
        reply = await caller.answer()
    caller.judge()
    assert (error.type, error.code, error.param, error.event_id) == (
        "invalid_request_error",
        "invalid_value",
        "type",
        "mine",
    )
    assert "conversation.nonsense" in error.message
    assert reply.done.status == "completed"


# --- a conversation ---------------------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.timeout(400)
@embedded
async def test_ten_turns_and_each_reply_is_about_what_was_said(live_server: str, studio: Studio) -> None:
    """Transcripts in the wrong place, or a responder that is not given the last turn, put a reply to the wrong topic;
    a lost history has nothing to repeat."""
    voices = list(GUESTS)
    async with calling(live_server) as caller:
        for number, (question, _) in enumerate(TURNS):
            await caller.ask(await studio.say(question, voices[number % len(voices)]))
        heard = [await caller.transcript(number) for number in range(len(TURNS))]
    caller.judge()
    questions, replies = [question for question, _ in TURNS], caller.replies
    said = [reply.text for reply in replies]
    assert word_errors(questions, heard) <= 0.2, heard
    assert [reply.done.status for reply in replies] == ["completed"] * len(TURNS)
    about = [[i for i, (_, topic) in enumerate(TURNS) if re.search(topic, text.lower())] for text in said]
    assert about == [[0], [1, 2], [1, 2], *([i] for i in range(3, len(TURNS)))], list(zip(heard, said, strict=True))
    assert said[2] == said[1]
    assert word_errors(said, [await studio.hear(reply.audio) for reply in replies]) <= 0.15
    assert [event.item.role for event in items(caller)] == ["user", "assistant"] * len(TURNS)
    assert all(later.previous_item_id == earlier.item.id for earlier, later in pairwise(items(caller)))


@pytest.mark.models
@embedded
async def test_two_sessions_at_once_never_see_each_others_words(live_server: str, studio: Studio) -> None:
    secrets = ("banana", "umbrella")
    said = ("My favorite fruit is the banana.", "I have a red umbrella.")
    async with calling(live_server) as ann, calling(live_server) as bob:
        both = (ann, bob)
        first = [await studio.say(said[0], "bf_emma"), await studio.say(said[1], "am_michael")]
        second = [await studio.say(REPEAT, "bf_emma"), await studio.say(REPEAT, "am_michael")]
        await asyncio.gather(*(caller.ask(words) for caller, words in zip(both, first, strict=True)))
        await asyncio.gather(*(caller.ask(words) for caller, words in zip(both, second, strict=True)))
        for caller in both:
            for event in items(caller):
                await caller.retrieve(event.item.id)
    for number, caller in enumerate(both):
        caller.judge()
        assert word_errors(said[number], await caller.transcript(0)) <= 0.2
        assert [reply.done.status for reply in caller.replies] == ["completed"] * 2
        assert caller.replies[1].text == caller.replies[0].text  # each repeats what it said itself
        received = caller.words_received()
        assert secrets[number] in received
        assert secrets[1 - number] not in received
        assert len(items(caller)) == 4
    assert ann.replies[0].text != bob.replies[0].text


@pytest.mark.models
@embedded
async def test_a_barge_in_stops_the_reply_and_only_what_was_heard_is_remembered(
    live_server: str, studio: Studio
) -> None:
    """A long story is interrupted by "can you repeat that?": what is repeated is what the history holds."""
    interruption = await studio.say(REPEAT, "bf_emma")
    async with calling(live_server) as caller:
        await caller.repeated(STORY)
        cut = await caller.audio(0, played_ms=3000)
        following = await caller.ask(interruption)
        item = await caller.retrieve(cut.item_id)
    caller.judge()
    assert (cut.done.status, cut.done.status_details.reason) == ("cancelled", "turn_detected")
    assert of_reply(caller, cut) == []

    remembered = item.content[0].transcript
    played_ms = cut.played_ms(cut.done_at)
    heard = plain(await studio.hear(cut.audio[: int(played_ms * RATE_HZ / 1000)]))
    assert item.status == "incomplete"
    assert STORY.startswith(remembered)
    assert 3000 < played_ms <= cut.audio_ms + 0.001 < played_ms + 1000  # of samples: nothing but rounding
    assert abs(len(remembered.split()) - len(heard.split())) <= 2, (remembered, heard)

    assert (following.done.status, following.text) == ("completed", remembered)
