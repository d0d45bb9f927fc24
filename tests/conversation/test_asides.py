"""Replies beside the conversation, alone; what they have to do with turns and cancels is in `test_session`."""

from __future__ import annotations

import itertools

import pytest

from tests.conversation.stage import names, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.asides import CHUNK_MS, FASTER, MOST, Asides
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.listener import Turn
from voxtral_voice.conversation.policy import Policy

TEXT = ev.ReplyOptions(modality="text", aside=True)
AUDIO = ev.ReplyOptions(aside=True)
TOOL = ev.Tool("weather", "", "{}")


class Side:
    def __init__(self, **settings: object) -> None:
        counter = itertools.count(1)
        self.out: list[ev.Command] = []
        self.history = History(100, 10_000)
        made = ev.Settings(**settings)  # type: ignore[arg-type]
        self.asides = Asides(made, lambda kind: f"{kind}_{next(counter)}", Policy(), self.history, self.out)

    def start(self, options: ev.ReplyOptions = TEXT, turn: Turn | None = None) -> str:
        """Returns its id."""
        self.asides.start(options, turn, waits=turn is not None)
        started = next(c for c in reversed(self.out) if isinstance(c, ev.ReplyStarted))
        return started.reply_id

    def take(self, now: float = 1.0) -> list[ev.Command]:
        self.asides.send_due(now)
        taken = self.out.copy()
        self.out.clear()
        return taken


def test_a_text_is_told_as_it_is_made_and_enters_nothing() -> None:
    side = Side(instructions="Be kind.")
    side.history.add(ev.Item("item_u", "user", "text", "hello"))
    reply = side.start(ev.ReplyOptions("Say it in one word.", modality="text", aside=True, request="mark"))
    assert reply in side.asides
    assert side.take() == [
        ev.ReplyStarted(reply, "item_2", None, "text", "af_heart", None, "mark", aside=True),
        ev.Respond(reply, (("system", "Say it in one word."), ("user", "hello")), None, None),
    ]
    side.asides.text(ev.ReplyText(reply, "A greet"), 1.0)
    assert side.take() == []  # no phrase is whole yet
    side.asides.text(ev.ReplyText(reply, "ing."), 1.0)
    usage = ev.Usage(9, 3)
    side.asides.text_ended(ev.ReplyTextEnded(reply, usage=usage), 1.0)
    assert side.take() == [
        ev.ReplyTextDelta(reply, "A greeting."),
        ev.StopReply(reply),
        ev.ReplyEnded(reply, "completed", None, "A greeting.", 0, None, None, usage),
    ]
    assert reply not in side.asides
    assert [item.id for item in side.history] == ["item_u"]


def test_it_may_answer_something_else() -> None:
    side = Side(instructions="Be kind.")
    side.history.add(ev.Item("item_u", "user", "text", "hello"))
    side.history.add(ev.Item("item_v", "user", "text", "goodbye"))
    side.start(ev.ReplyOptions(aside=True, input=(("user", "Which one?"), ev.ItemReference("item_u"))))
    [_, respond] = side.take()
    assert isinstance(respond, ev.Respond)
    assert respond.messages == (("system", "Be kind."), ("user", "Which one?"), ("user", "hello"))


def test_audio_leaves_some_times_faster_than_it_plays() -> None:
    side = Side(speed=1.2)
    reply = side.start(AUDIO)
    side.asides.text(ev.ReplyText(reply, "Hello there. "), 1.0)
    side.asides.text_ended(ev.ReplyTextEnded(reply), 1.0)
    assert [c for c in side.take() if isinstance(c, ev.Speak)] == [
        ev.Speak(reply, 0, "Hello there.", "af_heart", 1.2)  # and not the space behind it
    ]
    assert side.asides.wake_at() is None
    side.asides.phrase_audio(ev.PhraseAudio(reply, 0, sound(10_000)), 1.0)
    first = [c for c in side.take(1.0) if isinstance(c, ev.ReplyAudioDelta)]
    assert {c.samples.size for c in first} == {24 * CHUNK_MS}
    lead_s = Policy().lead_ms / 1000
    assert sum(c.samples.size for c in first) == pytest.approx(24_000 * lead_s * FASTER, abs=24 * CHUNK_MS)
    wake_at = side.asides.wake_at()
    assert wake_at is not None
    assert 1.0 < wake_at < 1.1
    while (at := side.asides.wake_at()) is not None:
        assert at <= 1.0 + 10 / FASTER
        side.take(at)
    side.asides.phrase_ended(ev.PhraseEnded(reply, 0), 2.0)
    side.asides.phrase_ended(ev.PhraseEnded(reply, 1), 2.0)
    ended = side.take(2.0)[-1]
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.status, ended.audio_ms) == ("completed", 10_000)


def test_it_may_call_tools() -> None:
    side = Side(tools=(TOOL,))
    reply = side.start()
    side.asides.call(ev.ReplyCall(reply, 0, "call_1", "weather", "{}"), 1.0)
    side.asides.text_ended(ev.ReplyTextEnded(reply), 1.0)
    assert names(side.take()) == [
        "ReplyStarted", "Respond", "ReplyCallStarted", "ReplyCallDelta", "ReplyCallEnded", "StopReply", "ReplyEnded",
    ]  # fmt: skip


def test_it_waits_for_the_words_of_a_turn() -> None:
    side = Side()
    turn = Turn("item_u", 0, 1, language="hi")
    reply = side.start(turn=turn)
    assert names(side.take()) == ["ReplyStarted"]
    side.asides.go_on(lambda _: False)
    assert side.take() == []
    side.history.add(ev.Item("item_u", "user", "audio", "hello"))
    side.asides.go_on(lambda options: options is TEXT)
    assert side.take() == [ev.Respond(reply, (("user", "hello"),), "hi", None)]
    side.asides.go_on(lambda options: options is TEXT)
    assert side.take() == []


def test_a_cancelled_one_waits_for_nothing() -> None:
    side = Side()
    turn = Turn("item_u", 0, 1)
    reply = side.start(turn=turn)
    side.asides.cancel(reply)
    side.asides.go_on(lambda options: options is TEXT)
    assert side.take()[1:] == [
        ev.StopReply(reply),
        ev.ReplyEnded(reply, "cancelled", "client_cancelled", "", 0, None, None),
    ]


def test_one_that_fails_leaves_the_others() -> None:
    side = Side()
    one, other = side.start(), side.start()
    side.take()
    side.asides.failed(ev.ReplyFailed(one, "responder", "no memory"), 1.0)
    assert side.take() == [
        ev.StopReply(one),
        ev.ReplyEnded(one, "failed", None, "", 0, "responder: no memory", None),
    ]
    assert one not in side.asides
    assert other in side.asides


def test_there_is_room_for_some() -> None:
    side = Side()
    replies = [side.start() for _ in range(MOST)]
    assert side.asides.full
    side.asides.cancel(replies[3])
    assert not side.asides.full
