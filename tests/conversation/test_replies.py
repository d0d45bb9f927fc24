"""The assistant's side alone: speculative, released, ended, heard."""

from __future__ import annotations

import itertools

import pytest

from tests.conversation.stage import names, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.listener import Turn
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.replies import REMEMBERED_REPLIES, Replies
from voxtral_voice.conversation.reply import Reply
from voxtral_voice.conversation.timeline import Timeline

NONE = ev.ReplyOptions()


class Mouth:
    def __init__(self, *, apologises: bool = False, **settings: object) -> None:
        counter = itertools.count(1)
        self.out: list[ev.Command] = []
        self.history = History(100, 1_000_000)
        made = ev.Settings(**settings)  # type: ignore[arg-type]
        policy = Policy(lead_ms=400, apologises=apologises)
        self.replies = Replies(made, lambda kind: f"{kind}_{next(counter)}", policy, self.history, self.out)

    @property
    def current(self) -> Reply:
        assert self.replies.current is not None
        return self.replies.current

    def say(self, text: str, audio_ms: float, now: float) -> None:
        reply_id = self.current.id
        self.replies.text(ev.ReplyText(reply_id, text), now)
        self.replies.text_ended(ev.ReplyTextEnded(reply_id), now)
        for speak in [c for c in self.out if isinstance(c, ev.Speak) and c.reply_id == reply_id]:
            self.replies.phrase_audio(ev.PhraseAudio(reply_id, speak.phrase, sound(audio_ms)), now)
            self.replies.phrase_ended(ev.PhraseEnded(reply_id, speak.phrase), now)

    def take(self) -> list[ev.Command]:
        taken = self.out.copy()
        self.out.clear()
        return taken


def turn(text: str = "hello") -> Turn:
    return Turn("item_u", 0, 16_000, transcript=text, language="en", timeline=Timeline(1.0, 1.1, 1.2))


def test_a_prepared_reply_sees_the_turn_that_is_not_in_the_history_yet() -> None:
    mouth = Mouth(instructions="Be kind.")
    mouth.replies.prepare(NONE, turn())
    begun, respond = mouth.take()
    assert begun == ev.Speculated("begun", "hello")
    assert isinstance(respond, ev.Respond)
    assert respond.messages == (("system", "Be kind."), ("user", "hello"))
    assert respond.language == "en"
    assert mouth.replies.active is None


def test_nothing_leaves_before_the_release_and_all_of_it_after() -> None:
    mouth = Mouth()
    mouth.replies.prepare(NONE, turn())
    mouth.say("Hi there.", 100, 1.3)
    mouth.take()
    assert not mouth.replies.send_due(1.3, held=False)
    assert mouth.take() == []
    assert mouth.replies.wake_at(held=False) is None
    mouth.replies.release("mark")
    assert not mouth.replies.send_due(1.4, held=False)
    out = mouth.take()
    assert names(out)[:2] == ["ReplyStarted", "ReplyTextDelta"]
    assert names(out)[-2:] == ["StopReply", "ReplyEnded"]
    assert out[0] == ev.Speculated("kept", "hello")
    started = out[1]
    assert isinstance(started, ev.ReplyStarted)
    assert started.request == "mark"
    assert mouth.replies.wake_at(held=False) == pytest.approx(1.5)
    assert mouth.replies.send_due(1.5, held=False)


def test_a_dropped_speculation_leaves_no_trace() -> None:
    mouth = Mouth()
    mouth.replies.prepare(NONE, turn())
    reply_id = mouth.current.id
    mouth.take()
    mouth.replies.drop()
    assert mouth.take() == [ev.StopReply(reply_id), ev.Speculated("dropped", "hello")]
    mouth.replies.drop()
    assert mouth.take() == []
    mouth.replies.text(ev.ReplyText(reply_id, "late"), 2.0)
    mouth.replies.failed(ev.ReplyFailed(reply_id, "speaker", "late"), 2.0)
    assert mouth.take() == []
    assert list(mouth.history) == []


def test_a_held_reply_waits_and_goes_on() -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, None, waits=False)
    mouth.say("Hi there.", 1000, 1.0)
    mouth.take()
    mouth.replies.send_due(1.0, held=True)
    assert mouth.take() == []
    assert mouth.replies.wake_at(held=True) is None
    mouth.replies.send_due(1.0, held=False)
    assert len(mouth.take()) > 10
    assert mouth.replies.wake_at(held=False) is not None


def test_a_started_reply_waits_for_the_words() -> None:
    mouth = Mouth()
    said = turn()
    said.committed = True
    mouth.replies.start(NONE, said, waits=True)
    assert names(mouth.take()) == ["ReplyStarted"]
    assert mouth.replies.waiting is mouth.current
    mouth.history.add(ev.Item("item_u", "user", "audio", "hello"))
    mouth.replies.go_on()
    assert mouth.replies.waiting is None
    (respond,) = mouth.take()
    assert isinstance(respond, ev.Respond)
    assert respond.messages == (("user", "hello"),)


def test_options_override_the_settings() -> None:
    mouth = Mouth(instructions="Be kind.", max_output_tokens=50)
    mouth.replies.start(ev.ReplyOptions("", "af_bella", "text", None), None, waits=False)
    started, respond = mouth.take()
    assert isinstance(started, ev.ReplyStarted)
    assert isinstance(respond, ev.Respond)
    assert (started.modality, started.voice, started.max_output_tokens) == ("text", "af_bella", 50)
    assert respond.messages == ()
    mouth.replies.text(ev.ReplyText(mouth.current.id, "Hello there. "), 1.0)
    assert mouth.take() == []  # a text reply asks no speaker


def test_failure_before_and_after_the_release() -> None:
    mouth = Mouth()
    mouth.replies.prepare(NONE, turn())
    reply_id = mouth.current.id
    mouth.take()
    mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.3)
    assert mouth.take() == [ev.StopReply(reply_id)]
    mouth.replies.release(None)
    assert mouth.replies.send_due(1.4, held=True)  # told even during a contest
    ended = mouth.take()[-1]
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.status, ended.error) == ("failed", "responder: no memory")


SORRY = "Sorry, I can't think right now."


def apologising(ms: float = 1000) -> tuple[Mouth, str]:
    """A reply that failed unheard; the client knows of it, and is told the apology in the first step after this."""
    mouth = Mouth(apologises=True)
    mouth.replies.start(NONE, turn(), waits=False)
    reply_id = mouth.current.id
    mouth.take()
    mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.0)
    assert mouth.take() == [ev.Apologise(reply_id, "responder", "af_heart", 1.0, "en")]
    mouth.replies.send_due(1.0, held=False)
    assert mouth.take() == []  # it goes on until the apology is there
    mouth.replies.apology(ev.Apology(reply_id, SORRY, sound(ms)), 1.1)
    return mouth, reply_id


def test_who_would_hear_nothing_hears_an_apology_and_then_the_reply_fails() -> None:
    mouth, reply_id = apologising()
    for now in (1.1, 1.3, 1.5, 1.7, 1.75):
        mouth.replies.send_due(now, held=False)
    out = mouth.take()
    assert [c.delta for c in out if isinstance(c, ev.ReplyTextDelta)] == [SORRY]
    assert sum(c.samples.size for c in out if isinstance(c, ev.ReplyAudioDelta)) == 24_000
    assert names(out)[-2:] == ["StopReply", "ReplyEnded"]
    ended = out[-1]
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.reply_id, ended.status, ended.reason) == (reply_id, "failed", None)
    assert (ended.error, ended.text, ended.audio_ms) == ("responder: no memory", SORRY, 1000)
    assert ended.timeline is not None
    assert ended.timeline.first_sent is None  # it was no answer
    [item] = mouth.history
    assert isinstance(item, ev.Item)
    assert (item.text, item.status) == (SORRY, "incomplete")
    assert mouth.replies.send_due(2.2, held=False)  # played to its end


def test_what_failed_before_its_release_is_apologised_for_then() -> None:
    mouth = Mouth(apologises=True)
    mouth.replies.prepare(NONE, turn())
    reply_id = mouth.current.id
    mouth.replies.text(ev.ReplyText(reply_id, "It is Paris, the capital. "), 1.2)
    mouth.replies.failed(ev.ReplyFailed(reply_id, "speaker", "no voice"), 1.3)
    assert not any(isinstance(c, ev.Apologise) for c in mouth.take())
    mouth.replies.release(None)
    assert mouth.take()[-1] == ev.Apologise(reply_id, "speaker", "af_heart", 1.0, "en")


@pytest.mark.parametrize("tools", [(), (ev.Tool("weather", "", "{}"),)])
def test_the_apology_is_the_reply_s_message(tools: tuple[ev.Tool, ...]) -> None:
    """Also where it was not known yet if there would be one."""
    mouth = Mouth(apologises=True, tools=tools)
    mouth.replies.start(NONE, None, waits=False)
    reply_id = mouth.current.id
    mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.0)
    mouth.replies.apology(ev.Apology(reply_id, SORRY, sound(100)), 1.1)
    mouth.replies.send_due(1.1, held=False)
    told = list(dict.fromkeys(names(mouth.take())))
    begun = ["ReplyMessageStarted"] if tools else []
    assert told == ["ReplyStarted", "Respond", "Apologise", *begun, "ReplyTextDelta", "ReplyAudioDelta", *told[-2:]]
    assert told[-1] == "ReplyEnded"
    [item] = mouth.history
    assert isinstance(item, ev.Item)
    assert item.text == SORRY


def test_late_work_of_the_reply_is_not_in_its_apology() -> None:
    mouth = Mouth(apologises=True)
    mouth.replies.start(NONE, None, waits=False)
    reply_id = mouth.current.id
    mouth.replies.text(ev.ReplyText(reply_id, "It is Paris. And "), 1.0)
    mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.0)
    mouth.replies.phrase_audio(ev.PhraseAudio(reply_id, 0, sound(500)), 1.05)
    mouth.replies.phrase_ended(ev.PhraseEnded(reply_id, 0), 1.05)
    mouth.replies.text(ev.ReplyText(reply_id, "London."), 1.05)
    mouth.replies.text_ended(ev.ReplyTextEnded(reply_id), 1.05)
    mouth.replies.failed(ev.ReplyFailed(reply_id, "speaker", "no voice"), 1.05)
    mouth.replies.send_due(1.05, held=False)
    mouth.take()
    mouth.replies.apology(ev.Apology(reply_id, SORRY, sound(100)), 1.1)
    mouth.replies.send_due(1.1, held=False)
    ended = mouth.take()[-1]
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.text, ended.audio_ms, ended.error) == (SORRY, 100, "responder: no memory")


def test_an_apology_without_sound_is_none() -> None:
    mouth, _ = apologising(0)
    mouth.replies.send_due(1.1, held=False)
    ended = mouth.take()[-1]
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.status, ended.text, ended.audio_ms) == ("failed", "", 0)


def test_an_apology_waits_in_a_contest_and_can_be_interrupted() -> None:
    mouth, reply_id = apologising()
    mouth.replies.send_due(1.1, held=True)
    assert mouth.take() == []
    mouth.replies.send_due(1.2, held=False)
    mouth.take()
    mouth.replies.stop(1.5, "turn_detected")
    stop, ended = mouth.take()
    assert stop == ev.StopReply(reply_id)
    assert isinstance(ended, ev.ReplyEnded)
    assert (ended.status, ended.reason) == ("cancelled", "turn_detected")
    assert not mouth.replies.resume()  # of nothing: when nobody said a word, the answer is tried anew
    assert mouth.replies.take_cut() == NONE
    [item] = mouth.history
    assert isinstance(item, ev.Item)
    assert item.text
    assert SORRY.startswith(item.text)


@pytest.mark.parametrize("late", ["stopped", "another", "not asked for"])
def test_an_apology_that_nobody_waits_for_is_not_heard(late: str) -> None:
    mouth = Mouth(apologises=True)
    mouth.replies.start(NONE, None, waits=False)
    reply_id = mouth.current.id
    if late != "not asked for":
        mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.0)
    if late == "stopped":
        mouth.replies.stop(1.0, "client_cancelled")
    mouth.take()
    mouth.replies.apology(ev.Apology("resp_0" if late == "another" else reply_id, SORRY, sound(100)), 1.1)
    mouth.replies.send_due(1.1, held=False)
    assert mouth.take() == []


@pytest.mark.parametrize("what", ["heard", "a call", "text", "not the policy"])
def test_nothing_is_said_twice_and_no_apology_beside_what_was_done(what: str) -> None:
    mouth = Mouth(apologises=what != "not the policy", tools=(ev.Tool("weather", "", "{}"),))
    mouth.replies.start(ev.ReplyOptions(modality="text") if what == "text" else NONE, None, waits=False)
    reply_id = mouth.current.id
    if what == "heard":
        mouth.replies.text(ev.ReplyText(reply_id, "It is Paris. And so on and on."), 1.0)
        mouth.replies.phrase_audio(ev.PhraseAudio(reply_id, 0, sound(500)), 1.0)
        mouth.replies.send_due(1.0, held=False)
    if what == "a call":
        mouth.replies.call(ev.ReplyCall(reply_id, 0, "call_1", "weather", "{}"), 1.0)
    mouth.take()
    mouth.replies.failed(ev.ReplyFailed(reply_id, "responder", "no memory"), 1.1)
    mouth.replies.send_due(1.1, held=False)
    assert names(mouth.take()) == ["StopReply", "ReplyEnded"]


@pytest.mark.parametrize("all_sent", [False, True])
def test_what_is_stopped_keeps_what_was_heard(all_sent: bool) -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, None, waits=False)
    mouth.say("One two three four.", 400 if all_sent else 1000, 1.0)
    mouth.replies.send_due(1.0, held=False)
    mouth.take()
    mouth.replies.stop(1.2, "turn_detected")
    assert names(mouth.take()) == ([] if all_sent else ["StopReply", "ReplyEnded"])
    [item] = mouth.history
    assert isinstance(item, ev.Item)
    assert item.status == "incomplete"
    assert item.text in ("One", "One two")
    assert mouth.replies.current is None
    mouth.replies.stop(1.3, "client_cancelled")
    assert mouth.take() == []


def test_stamps_are_set_once_and_only_for_a_turn() -> None:
    mouth = Mouth()
    said = turn()
    mouth.replies.prepare(NONE, said)
    mouth.say("One two. Three four five six.", 100, 1.3)
    mouth.say("", 100, 9.0)
    mouth.replies.release(None)
    mouth.replies.send_due(1.5, held=False)
    mouth.replies.send_due(9.0, held=False)
    at = said.timeline
    assert (at.first_token, at.first_phrase, at.first_audio, at.first_sent) == (1.3, 1.3, 1.3, 1.5)


def test_the_client_knows_what_it_played() -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, None, waits=False)
    mouth.say("One two three four.", 400, 1.0)
    mouth.replies.send_due(1.0, held=False)
    reply = mouth.replies.spoken(mouth.current.item_id)
    assert reply is mouth.current
    mouth.take()
    mouth.replies.truncate(reply, 9_999)
    assert mouth.take() == [ev.ItemTruncated(reply.item_id, 400, "One two three four.")]
    mouth.replies.truncate(reply, 0)
    assert mouth.take() == [ev.ItemTruncated(reply.item_id, 0, "")]


def test_only_the_last_replies_are_remembered() -> None:
    mouth = Mouth()
    first = None
    for _ in range(REMEMBERED_REPLIES + 1):
        mouth.replies.start(NONE, None, waits=False)
        first = first or mouth.current.item_id
    assert first is not None
    assert mouth.replies.spoken(first) is None
    assert mouth.replies.spoken(mouth.current.item_id) is mouth.current


def test_results_for_a_reply_that_is_gone_change_nothing() -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, None, waits=False)
    reply = mouth.current
    mouth.replies.text(ev.ReplyText(reply.id, "One two. "), 1.0)
    mouth.replies.stop(1.1, "client_cancelled")
    mouth.take()
    mouth.replies.text(ev.ReplyText(reply.id, "late"), 1.2)
    mouth.replies.text_ended(ev.ReplyTextEnded(reply.id), 1.2)
    mouth.replies.phrase_audio(ev.PhraseAudio(reply.id, 0, sound(100)), 1.2)
    mouth.replies.phrase_ended(ev.PhraseEnded(reply.id, 0), 1.2)
    mouth.replies.failed(ev.ReplyFailed(reply.id, "speaker", "late"), 1.2)
    assert mouth.take() == []
    assert not mouth.replies.send_due(2.0, held=False)


def test_a_reply_without_a_sound_ends_without_a_stamp_of_one() -> None:
    mouth = Mouth()
    said = turn()
    mouth.replies.prepare(NONE, said)
    mouth.replies.text(ev.ReplyText(mouth.current.id, "..."), 1.3)
    mouth.replies.text_ended(ev.ReplyTextEnded(mouth.current.id), 1.3)
    mouth.replies.phrase_ended(ev.PhraseEnded(mouth.current.id, 0), 1.3)
    mouth.replies.release(None)
    assert mouth.replies.send_due(1.4, held=False)
    assert said.timeline.first_sent is None


def test_a_released_reply_that_fails_is_stopped_when_its_end_is_told() -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, None, waits=False)
    mouth.take()
    mouth.replies.failed(ev.ReplyFailed(mouth.current.id, "speaker", "gone"), 1.0)
    assert mouth.take() == []
    mouth.replies.send_due(1.0, held=False)
    assert names(mouth.take()) == ["StopReply", "ReplyEnded"]


def test_a_parked_answer_is_to_the_same_words_but_for_case_and_marks() -> None:
    mouth = Mouth()
    assert not mouth.replies.has_parked("Order a pizza.")
    mouth.replies.prepare(NONE, turn("Order a pizza."))
    mouth.replies.park()
    assert mouth.replies.has_parked("order, a PIZZA")
    assert not mouth.replies.has_parked("order a salad")


# --- how it is spoken -------------------------------------------------------------------------------------------


def speaks(mouth: Mouth) -> list[tuple[str, str | None]]:
    return [(command.text, command.language) for command in mouth.take() if isinstance(command, ev.Speak)]


def test_the_speaker_is_told_the_language_of_the_turn() -> None:
    mouth = Mouth(language="fr")
    mouth.replies.prepare(NONE, turn())
    mouth.replies.text(ev.ReplyText(mouth.current.id, "Hello there. "), 1.3)
    assert speaks(mouth) == [("Hello there.", "en")]
    mouth.replies.drop()
    mouth.replies.start(NONE, None, waits=False)
    mouth.replies.text(ev.ReplyText(mouth.current.id, "Hello there. "), 1.3)
    assert speaks(mouth) == [("Hello there.", "fr")]


def test_code_is_not_for_the_speaker_and_what_is_behind_it_is_ready_at_the_release() -> None:
    mouth = Mouth()
    mouth.replies.prepare(NONE, turn())
    mouth.replies.text(ev.ReplyText(mouth.current.id, "```\ncode\n```\nThat is all. And now you. 🙂"), 1.3)
    mouth.replies.text_ended(ev.ReplyTextEnded(mouth.current.id), 1.3)
    assert speaks(mouth) == [("That is all.", "en")]
    mouth.replies.release(None)
    assert speaks(mouth) == [(" And now you.", "en")]


def test_a_written_reply_is_not_for_the_speaker() -> None:
    mouth = Mouth(modality="text")
    mouth.replies.start(NONE, None, waits=False)
    mouth.replies.text(ev.ReplyText(mouth.current.id, "Hello there. How are you?"), 1.3)
    assert speaks(mouth) == []


def test_what_was_not_heard_is_said_in_the_same_language() -> None:
    mouth = Mouth()
    mouth.replies.start(NONE, turn(), waits=False)
    mouth.say("Hi there. How are you today?", 1000, 1.0)
    mouth.replies.send_due(1.0, held=False)
    mouth.replies.stop(1.05, "turn_detected")
    mouth.take()
    assert mouth.replies.resume()
    assert speaks(mouth) == [("Hi there.", "en"), (" How are you today?", "en")]


def test_the_end_says_who_spoke_and_when_each_word_was_said() -> None:
    mouth, by = Mouth(), ev.SpokenBy("af_heart", "hf_alpha", "hi", "language")
    mouth.replies.start(NONE, None, waits=False)
    reply_id = mouth.current.id
    mouth.replies.text(ev.ReplyText(reply_id, "Hi there."), 1.0)
    mouth.replies.text_ended(ev.ReplyTextEnded(reply_id), 1.0)
    words = (("Hi", 0.0, 50.0), ("there.", 50.0, 100.0))
    mouth.replies.phrase_audio(ev.PhraseAudio(reply_id, 0, sound(100), words, by, (0, 3)), 1.0)
    mouth.replies.phrase_ended(ev.PhraseEnded(reply_id, 0), 1.0)
    mouth.replies.send_due(1.0, held=False)
    [ended] = [command for command in mouth.take() if isinstance(command, ev.ReplyEnded)]
    assert (ended.by, ended.words) == (by, words)


def test_of_what_is_sent_again_only_the_reply_s_own_counts() -> None:
    mouth = Mouth()
    mouth.replies.reconnected(ev.Reconnected(1_000.0, (("resp_9", 500.0),)), 1.0)  # there is no reply
    mouth.replies.start(NONE, None, waits=False)
    mouth.say("Hi there.", 1000, 1.0)
    mouth.replies.send_due(1.0, held=False)
    sent_ms = mouth.current.audio_ms
    unheard = (("resp_9", 500.0), (mouth.current.id, 200.0))
    mouth.replies.reconnected(ev.Reconnected(60_000.0, unheard), 1.1)
    assert mouth.current.ledger.heard_ms(1.1) == pytest.approx(sent_ms - 200)
