"""The core as a whole: every race is a few lines here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conversation.stage import SERVER_VAD, Stage, names, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.asides import MOST
from voxtral_voice.conversation.contest import Kind
from voxtral_voice.conversation.endpoint import Signals, endpoint_wait_ms, odds_of_ending
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.listener import LONGEST_TAIL_MS, MAX_COMMIT_MS, NUDGE
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.replies import REMEMBERED_REPLIES
from voxtral_voice.conversation.session import MOST_SOUNDS, MOST_TURNS

MANUAL = ev.Settings(turn_detection=None)


@pytest.fixture
def stage() -> Stage:
    return Stage()


UNSURE = 0.7
"""What the judge says when the wait is to be some 600 ms."""
SURE = Signals(0.99, "what is the capital of France", 0.8, "en")


# --- a turn -----------------------------------------------------------------------------------------------------


def test_a_turn_from_onset_to_the_end_of_playout(stage: Stage) -> None:
    stage.silence(500)
    out = stage.speak(800)
    assert names(out) == ["SpeechStarted"]
    assert stage.last(ev.SpeechStarted).start_sample == round(0.5 * 16_000 / 512) * 512 - 4800
    out = stage.silence(128)
    assert names(out) == ["Transcribe"]
    assert stage.state() is State.SETTLING
    assert names(stage.transcribe("hello")) == ["Prepare", "Respond"]
    assert stage.last(ev.Prepare).messages == stage.last(ev.Respond).messages == (("user", "hello"),)
    stage.judge(0.99)
    stage.answer("Hi there.", 1000)
    assert stage.all(ev.ReplyStarted) == []  # held
    out = stage.silence(300)
    assert names(out)[:7] == [
        "Judge",
        "SpeechStopped",
        "AudioCommitted",
        "TranscriptDelta",
        "TranscriptDone",
        "ReplyStarted",
        "ReplyTextDelta",
    ]
    stage.silence(2000)
    assert stage.state() is State.OPEN
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.text, ended.audio_ms) == ("completed", "Hi there.", 1000)
    assert stage.texts() == [("user", "hello"), ("assistant", "Hi there.")]
    assert stage.session.wake_at() is None


def test_the_stages_of_a_turn_sum_to_its_latency(stage: Stage) -> None:
    stage.turn()
    stage.silence(2000)
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    total = timeline.total_ms()
    assert total is not None
    assert sum(timeline.stages_ms().values()) == pytest.approx(total, abs=1)
    wait = endpoint_wait_ms(ev.TurnDetection(), SURE)
    assert timeline.endpoint_ms() == pytest.approx(wait, abs=40)
    assert total == pytest.approx(wait, abs=40)


def test_audio_leaves_at_most_the_lead_ahead_of_playout(stage: Stage) -> None:
    stage.turn()
    played_ms = 1000 * (stage.now - stage.sent[0])
    sent_ms = 40 * len(stage.sent)
    lead_ms = Policy().lead_ms
    assert played_ms + lead_ms - 40 <= sent_ms <= played_ms + lead_ms + 40
    stage.pass_time(5000)
    assert 40 * len(stage.sent) == 1000
    assert stage.state() is State.OPEN


def test_speech_that_goes_on_drops_what_was_prepared(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(128)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    reply_id = stage.answer()
    assert ev.StopReply(reply_id) not in stage.speak(300)
    assert ev.StopReply(reply_id) in stage.speak(300)
    assert stage.last(ev.Speculated) == ev.Speculated("dropped", "order a pizza")
    stage.silence(128)
    stage.transcribe("order a pizza with cheese")
    stage.judge(0.99)
    second = stage.answer("Sure.")
    stage.silence(3000)
    assert [c.reply_id for c in stage.all(ev.ReplyStarted)] == [second]
    assert stage.texts() == [("user", "order a pizza with cheese"), ("assistant", "Sure.")]


def test_a_sound_without_another_word_keeps_what_was_prepared(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("Order a pizza.")
    reply_id = stage.answer("Sure.")
    stage.speak(160)
    assert stage.state() is State.HEARING
    stage.silence(96)
    stage.transcribe("order a pizza")
    stage.judge(0.99)
    stage.silence(3000)
    assert [c.reply_id for c in stage.all(ev.Respond)] == [reply_id]
    assert [c.outcome for c in stage.all(ev.Speculated)] == ["begun", "kept"]
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    assert min(timeline.stages_ms().values()) >= 0


def test_an_answer_to_the_same_words_is_kept_also_when_the_client_ends_the_turn(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    reply_id = stage.answer("Sure.")
    stage.speak(160)
    stage.do(ev.CommitAudio())
    assert stage.all(ev.ReplyStarted) == []
    stage.transcribe("order a pizza")
    assert stage.last(ev.ReplyStarted).reply_id == reply_id


def test_an_unfinished_sentence_costs_no_answer(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(0.02)
    out = stage.transcribe("I would like to order a")
    assert "Respond" not in names(out)
    assert "Respond" in names(stage.silence(4000))  # in the end it is answered all the same
    assert stage.state() is State.REPLYING


def test_an_answer_that_was_dropped_too_often_waits_for_the_end_of_the_turn() -> None:
    stage = Stage(policy=Policy(max_dropped=2))
    for words in ("one pizza", "one pizza two cokes", "one pizza two cokes three cakes"):
        stage.speak(800)
        stage.silence(96)
        stage.judge(UNSURE)
        stage.transcribe(words)
    assert [c.text for c in stage.all(ev.Speculated) if c.outcome == "begun"] == ["one pizza", "one pizza two cokes"]
    assert "Respond" in names(stage.silence(4000))


def test_other_words_while_the_client_ends_the_turn_drop_it(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    reply_id = stage.answer("Sure.")
    stage.speak(160)
    stage.do(ev.CommitAudio())
    assert ev.StopReply(reply_id) in stage.transcribe("order a pizza now")
    assert stage.last(ev.ReplyStarted).reply_id != reply_id


def test_other_words_after_a_short_sound_drop_it(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    first = stage.last(ev.Respond).reply_id
    stage.speak(160)
    stage.do(ev.ReplyText(first, "Sure. "))  # its work goes on meanwhile
    stage.silence(96)
    stage.judge(UNSURE)
    assert ev.StopReply(first) in stage.transcribe("order a pizza please")
    assert stage.last(ev.Respond).reply_id != first


def test_a_look_at_words_that_are_not_the_last_changes_nothing(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    before = stage.session.wake_at()
    assert stage.do(ev.WordsJudged(99, 0.99)) == []
    assert stage.session.wake_at() == before


def test_a_parked_answer_that_fails_is_forgotten(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    first = stage.last(ev.Respond).reply_id
    stage.speak(160)
    assert ev.StopReply(first) in stage.do(ev.ReplyFailed(first, "responder", "no memory"))
    stage.silence(96)
    stage.transcribe("order a pizza")
    assert stage.last(ev.Respond).reply_id != first


def almost_over(stage: Stage) -> float:
    """Silence until there is one frame before the deadline. Returns the deadline."""
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    deadline = stage.session.wake_at()
    assert deadline is not None
    while stage.now + 0.064 < deadline:
        stage.silence(32)
    return deadline


def test_a_sound_at_the_deadline_is_waited_for(stage: Stage) -> None:
    deadline = almost_over(stage)
    stage.speak(96)
    assert stage.now > deadline
    assert stage.state() is State.HEARING


def test_a_click_at_the_deadline_delays_it_by_a_moment(stage: Stage) -> None:
    deadline = almost_over(stage)
    stage.speak(32)
    stage.pass_time(30)
    assert stage.now > deadline
    assert stage.state() is State.SETTLING
    stage.silence(96)
    assert stage.state() is State.REPLYING


def test_speech_before_the_transcript_abandons_it(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(128)
    attempt = stage.last(ev.Transcribe).attempt
    assert ev.Abandon(attempt) in stage.speak(128)
    assert stage.do(ev.TranscriptHeard(attempt, "late", "en", True)) == []
    assert stage.do(ev.TurnJudged(attempt, 0.9)) == []


def test_the_judge_moves_the_deadline(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    unjudged = stage.session.wake_at()
    stage.judge(0.01)
    unfinished = stage.session.wake_at()
    stage.judge(0.99)
    finished = stage.session.wake_at()
    assert finished is not None
    assert unjudged is not None
    assert unfinished is not None
    assert finished < unjudged < unfinished


def test_a_judgement_of_an_earlier_pause_changes_nothing(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stale = stage.last(ev.Transcribe).attempt
    stage.speak(300)
    stage.silence(96)
    before = stage.session.wake_at()
    stage.do(ev.TurnJudged(stale, 0.99))
    assert stage.session.wake_at() == before


def test_server_vad_waits_for_its_silence_and_asks_no_judge() -> None:
    stage = Stage(ev.Settings(turn_detection=SERVER_VAD))
    stage.speak(800)
    stage.silence(450)
    assert stage.all(ev.Judge) == []
    assert stage.state() is State.SETTLING
    stage.silence(100)
    assert stage.state() is State.REPLYING


def test_a_transcript_that_comes_after_the_commit_starts_the_reply(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(0.99)
    stage.silence(500)
    assert stage.last(ev.AudioCommitted).item.text is None
    assert stage.all(ev.ReplyStarted) == []
    assert names(stage.transcribe("hello")) == ["TranscriptDelta", "TranscriptDone", "Respond", "ReplyStarted"]
    assert stage.last(ev.Respond).messages == (("user", "hello"),)


@pytest.mark.parametrize("late", [False, True])
def test_a_turn_without_words_gets_no_reply(stage: Stage, late: bool) -> None:
    stage.speak(300)
    stage.silence(96)
    if not late:
        stage.transcribe("")
    stage.silence(2600)
    if late:
        stage.transcribe("  ")
    assert stage.last(ev.TranscriptDone).text == ""
    assert stage.all(ev.Respond) == []
    assert stage.state() is State.OPEN
    stage.turn()


@pytest.mark.parametrize("late", [False, True])
def test_a_lost_transcript_is_a_failed_reply_and_the_conversation_goes_on(stage: Stage, late: bool) -> None:
    stage.speak(800)
    stage.silence(96)
    failed = ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: out of memory")
    if not late:
        stage.do(failed)
    stage.silence(2600)
    if late:
        stage.do(failed)
    assert stage.last(ev.TranscriptLost).message == "transcriber: out of memory"
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.error) == ("failed", "transcriber: out of memory")
    assert stage.state() is State.OPEN
    stage.turn()


def test_no_reply_by_itself_when_the_client_says_so() -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(create_response=False)))
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    stage.silence(2000)
    assert stage.all(ev.Respond) == []
    assert stage.state() is State.OPEN
    stage.do(ev.CreateReply())
    assert stage.last(ev.Respond).messages == (("user", "hello"),)


def test_a_turn_that_never_ends_is_ended() -> None:
    stage = Stage(policy=Policy(max_turn_ms=2000, partial_every_ms=0))
    stage.speak(2016)
    assert stage.state() is State.REPLYING
    job = stage.last(ev.Transcribe)
    assert job.final
    assert 1900 <= (job.end_sample - job.start_sample) / 16 <= 2100
    stage.speak(1200)  # and what is said after it is a new turn
    assert len(stage.all(ev.SpeechStarted)) == 2


# --- partial transcripts ----------------------------------------------------------------------------------------


def test_partials_tell_only_what_two_in_a_row_agree_on(stage: Stage) -> None:
    stage.speak(1200)
    assert [c.final for c in stage.all(ev.Transcribe)] == [False]
    assert names(stage.partial("what is a")) == ["Prepare"]
    stage.speak(1100)
    assert ev.TranscriptDelta("item_1", "what is") in stage.partial("what is the cap")
    stage.speak(1100)
    assert ev.TranscriptDelta("item_1", " the") in stage.partial("what is the capital")
    assert stage.last(ev.Prepare).messages == (("user", "what is the capital"),)
    stage.speak(1100)
    assert names(stage.partial("which is the capital")) == ["Prepare"]
    stage.silence(96)
    stage.transcribe("what is the capital of France")
    stage.judge(0.99)
    stage.silence(500)
    assert "".join(d.delta for d in stage.all(ev.TranscriptDelta)) == "what is the capital of France"


def test_the_final_transcript_may_contradict_the_partials(stage: Stage) -> None:
    stage.speak(1200)
    stage.partial("witch is")
    stage.speak(1100)
    stage.partial("witch is the")
    stage.silence(96)
    stage.transcribe("which is the capital")
    stage.silence(3000)
    assert [d.delta for d in stage.all(ev.TranscriptDelta)] == ["witch is"]
    assert stage.last(ev.TranscriptDone).text == "which is the capital"


def test_one_partial_at_a_time_and_none_for_a_second_when_it_fails(stage: Stage) -> None:
    stage.speak(3000)
    assert len(stage.all(ev.Transcribe)) == 1
    assert stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "busy")) == []
    stage.speak(960)
    assert len(stage.all(ev.Transcribe)) == 1
    stage.speak(64)
    assert len(stage.all(ev.Transcribe)) == 2
    assert ev.Abandon(2) in stage.silence(96)


# --- interruptions ----------------------------------------------------------------------------------------------


def test_a_barge_in_cancels_the_reply_and_keeps_only_what_was_heard(stage: Stage) -> None:
    reply_id = stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.silence(300)
    stage.speak(256)
    assert stage.state() is State.CONTESTED
    out = stage.partial("no, I meant")
    kinds = names(out)
    assert kinds.index("SpeechStarted") < kinds.index("ReplyEnded")
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.reason) == ("cancelled", "turn_detected")
    assert ev.StopReply(reply_id) in out
    heard = stage.texts()[-1][1]
    assert heard is not None
    assert "One two three" in heard
    assert "Six" not in heard
    for late in (
        ev.ReplyText(reply_id, "more"),
        ev.ReplyTextEnded(reply_id),
        ev.PhraseAudio(reply_id, 0, sound(100)),
        ev.PhraseEnded(reply_id, 0),
        ev.ReplyFailed(reply_id, "speaker", "late"),
    ):
        assert stage.do(late) == []


def test_nothing_leaves_during_a_contest(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.silence(64)
    sent = len(stage.all(ev.ReplyAudioDelta))
    stage.speak(128)
    assert stage.state() is State.CONTESTED
    held = len(stage.all(ev.ReplyAudioDelta))
    stage.speak(128)
    assert len(stage.all(ev.ReplyAudioDelta)) == held >= sent


def test_a_backchannel_does_not_stop_the_reply(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.speak(224)
    assert stage.state() is State.CONTESTED
    stage.silence(300)
    assert stage.state() is State.REPLYING
    stage.partial("Mhm.")
    stage.silence(2000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert len(stage.all(ev.SpeechStarted)) == 1


def test_an_interruption_of_the_last_words_still_playing_cuts_the_history() -> None:
    stage = Stage(policy=Policy(lead_ms=400))
    stage.turn(reply="One two three four five.")
    stage.silence(300)
    assert stage.last(ev.ReplyEnded).status == "completed"
    stage.speak(192)
    stage.partial("stop")
    assert len(stage.all(ev.ReplyEnded)) == 1
    heard = stage.texts()[-1][1]
    assert heard is not None
    assert heard.startswith("One")
    assert "five" not in heard


def test_interruption_before_the_reply_has_begun_drops_it(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(0.99)
    stage.silence(640)
    assert stage.state() is State.REPLYING
    stage.speak(1000)
    assert stage.state() is State.HEARING
    first = next(c for c in stage.all(ev.Transcribe) if c.final)
    assert names(stage.do(ev.TranscriptHeard(first.attempt, "first words", "en", True))) == [
        "TranscriptDelta",
        "TranscriptDone",
    ]
    stage.silence(96)
    stage.transcribe("second words")
    assert stage.last(ev.Respond).messages == (("user", "first words"), ("user", "second words"))


def test_without_interrupt_response_the_reply_goes_on_and_the_turn_opens_after_it() -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(interrupt_response=False)))
    stage.turn(reply="One two three.")
    stage.speak(2000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.state() is State.HEARING
    assert len(stage.all(ev.SpeechStarted)) == 2


def test_without_interrupt_response_a_sound_that_ends_is_over() -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(interrupt_response=False)))
    stage.turn(reply="One two three four five. Six seven eight.")
    stage.speak(300)
    assert stage.state() is State.CONTESTED
    stage.silence(96)
    assert stage.state() is State.REPLYING


def test_a_contest_ends_when_no_more_audio_comes(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.speak(256)
    stage.silence(32)
    stage.pass_time(5000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.state() is State.OPEN
    stage.turn()


def test_a_sound_that_fell_silent_at_the_contest_deadline_is_no_interruption(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.speak(256)
    stage.pass_time(10)
    stage.silence(32)
    stage.pass_time(60)
    assert stage.state() is State.CONTESTED
    stage.silence(128)
    assert stage.state() is State.REPLYING


def interrupted(stage: Stage, reply: str = "One two three four five. Six seven eight nine ten.") -> None:
    """A long sound without words stops the reply."""
    stage.turn(reply=reply)
    stage.silence(300)
    stage.speak(1200)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"


def test_after_an_interruption_without_words_the_reply_goes_on_from_the_last_word_heard(stage: Stage) -> None:
    interrupted(stage)
    heard = stage.texts()[-1][1]
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    recite = stage.last(ev.Recite)
    assert stage.last(ev.ReplyStarted).reply_id == recite.reply_id
    rest = " ".join(c.text.strip() for c in stage.all(ev.Speak) if c.reply_id == recite.reply_id)
    assert f"{heard} {rest}" == "One two three four five. Six seven eight nine ten."
    stage.say(recite.reply_id, 500)
    stage.silence(3000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.texts()[-1] == ("assistant", rest)


def test_an_interruption_with_words_is_answered_instead(stage: Stage) -> None:
    interrupted(stage)
    stage.silence(96)
    stage.transcribe("what about Rome")
    stage.answer("It is in Italy.")
    stage.silence(3000)
    assert stage.all(ev.Recite) == []


def test_a_reply_of_which_not_all_was_made_begins_anew(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("tell me a story")
    stage.judge(0.99)
    first = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(first, "Once upon a time there was a king. And "))
    stage.say(first, 3000)
    stage.silence(500)
    stage.speak(1200)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    assert stage.all(ev.Recite) == []
    assert stage.last(ev.Respond).reply_id == stage.last(ev.ReplyStarted).reply_id != first


def test_what_was_heard_to_the_end_is_not_said_again(stage: Stage) -> None:
    stage.turn(reply="One two three.")
    stage.silence(700)
    stage.speak(300)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(3000)
    assert stage.all(ev.Recite) == []
    assert stage.state() is State.OPEN


def test_a_strong_word_interrupts_also_when_it_is_understood_late(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven. Eight nine ten eleven.")
    stage.speak(224)
    stage.silence(192)
    assert stage.state() is State.REPLYING  # the audio goes on meanwhile
    out = stage.partial("Stop!")
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    assert names(out)[-1:] == ["Transcribe"]  # the turn is all of it, and perhaps over
    assert stage.state() is State.SETTLING


def test_short_words_with_gaps_are_one_sound(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven. Eight nine ten eleven.")
    for _ in range(3):
        stage.speak(160)
        stage.silence(96)
    job = stage.last(ev.Transcribe)
    assert not job.final
    stage.partial("no, no, no")
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    started = stage.all(ev.SpeechStarted)[-1]
    assert stage.last(ev.Transcribe).start_sample <= started.start_sample + 200 * 16


def test_words_about_the_end_of_a_reply_are_a_turn(stage: Stage) -> None:
    stage.turn(reply="One two.")
    stage.silence(300)
    stage.speak(224)
    stage.silence(192)
    stage.pass_time(400)
    assert stage.state() is State.OPEN
    stage.partial("And in Spain?")
    assert stage.state() is State.SETTLING
    stage.transcribe("And in Spain?")
    stage.answer("Madrid.")
    stage.silence(2000)
    assert stage.texts()[-2:] == [("user", "And in Spain?"), ("assistant", "Madrid.")]


def test_our_own_voice_is_not_speech(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    for _ in range(20):
        stage.pass_time(32)
        first, stage.samples = stage.samples, stage.samples + 512
        stage.do(ev.FramesHeard(first, (0.95,), (-30.0,), (0.9,)))
    assert stage.state() is State.REPLYING
    assert stage.last(ev.ReplyEnded).status == "completed"


def test_a_quiet_voice_in_the_room_needs_longer(stage: Stage) -> None:
    stage.level_db = -20.0
    stage.turn(reply="One two three four five six seven eight.")
    stage.level_db = -40.0
    stage.speak(960)
    assert stage.state() is State.CONTESTED


def test_a_transcript_of_a_sound_that_failed_leaves_its_length(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.speak(224)
    assert stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "busy")) == []
    stage.speak(1000)
    assert stage.state() is State.HEARING


def test_speech_of_which_no_more_audio_comes_is_over(stage: Stage) -> None:
    stage.speak(800)
    fell_silent = stage.now
    stage.pass_time(1600)
    assert stage.state() is State.SETTLING
    stage.transcribe("hello")
    stage.answer("Hi.")
    stage.pass_time(4000)
    assert stage.texts() == [("user", "hello"), ("assistant", "Hi.")]
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    assert timeline.speech_end == pytest.approx(fell_silent)


# --- what a second look found -----------------------------------------------------------------------------------


def parked(stage: Stage, words: str = "order a pizza") -> str:
    """The user goes on, with a sound so far. Returns the id of the answer that is parked."""
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe(words)
    stage.speak(160)
    assert stage.state() is State.HEARING
    return stage.last(ev.Respond).reply_id


@pytest.mark.parametrize(
    "change",
    [
        ev.Configure(ev.Settings(instructions="Be a pirate.")),
        ev.AddItem(ev.Item("item_x", "system", "text", "It is raining."), None),
        ev.CreateReply(ev.ReplyOptions(modality="text")),
    ],
)
def test_a_parked_answer_is_of_no_use_when_what_it_was_made_of_changes(stage: Stage, change: ev.Event) -> None:
    first = parked(stage)
    assert ev.StopReply(first) in stage.do(change)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("order a pizza")
    assert stage.last(ev.Respond).reply_id != first


def test_a_request_during_a_turn_without_words_is_answered(stage: Stage) -> None:
    stage.speak(300)
    stage.do(ev.CreateReply(ev.ReplyOptions(instructions="Say hello.", request="mark")))
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    assert stage.last(ev.ReplyStarted).request == "mark"
    assert stage.last(ev.Respond).messages == (("system", "Say hello."),)


def test_a_question_whose_words_were_awaited_survives_a_noise() -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(kind="server_vad", silence_duration_ms=200)))
    stage.speak(800)
    stage.silence(320)
    question = stage.last(ev.Transcribe).attempt
    stage.speak(1200)
    assert stage.state() is State.HEARING
    stage.do(ev.TranscriptHeard(question, "what is the capital of France", "en", True))
    stage.silence(96)
    stage.transcribe("")
    stage.silence(400)
    assert stage.last(ev.Respond).messages == (("user", "what is the capital of France"),)
    assert stage.last(ev.ReplyStarted).reply_id == stage.last(ev.Respond).reply_id


def test_what_the_client_says_was_heard_is_where_the_reply_goes_on(stage: Stage) -> None:
    interrupted(stage)
    stage.do(ev.TruncateItem(stage.message_id(), 150))
    assert stage.texts()[-1] == ("assistant", "One")
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    assert stage.last(ev.Recite).reply_id == stage.last(ev.ReplyStarted).reply_id
    assert next(c.text for c in stage.all(ev.Speak) if c.reply_id == stage.last(ev.Recite).reply_id).startswith("two")


@pytest.mark.parametrize("forget", ["clear", "delete"])
def test_a_reply_that_is_over_and_done_with_does_not_come_back(stage: Stage, forget: str) -> None:
    interrupted(stage)
    item = stage.message_id()
    stage.do(ev.ClearAudio() if forget == "clear" else ev.DeleteItem(item))
    stage.silence(2000)
    stage.speak(300)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(2000)
    assert stage.all(ev.Recite) == []


def test_what_begins_anew_is_what_was_asked_for(stage: Stage) -> None:
    stage.do(ev.AddItem(ev.Item("item_x", "user", "text", "hi"), None))
    stage.do(ev.CreateReply(ev.ReplyOptions(instructions="Be a pirate.", request="mark", audio_format="audio/pcmu")))
    first = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(first, "Ahoy there my friend, how are you. And "))
    stage.say(first, 3000)
    stage.silence(300)
    stage.speak(1200)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    again = stage.last(ev.Respond)
    assert again.reply_id != first
    assert again.messages[0] == ("system", "Be a pirate.")
    started = stage.last(ev.ReplyStarted)
    assert (started.request, started.audio_format) == (None, "audio/pcmu")


def test_an_answer_that_was_parked_is_none_to_the_next_turn(stage: Stage) -> None:
    first = parked(stage, "no")
    stage.do(ev.CommitAudio())
    committed = stage.last(ev.Transcribe)
    stage.speak(1200)
    assert ev.StopReply(first) in stage.log
    stage.do(ev.TranscriptHeard(committed.attempt, "no wait", "en", True))
    stage.silence(96)
    stage.transcribe("no")
    assert stage.last(ev.Respond).reply_id != first


def test_a_voice_that_drops_is_still_the_same_turn(stage: Stage) -> None:
    stage.level_db = -15.0
    stage.speak(1500)
    stage.level_db = -40.0
    stage.speak(96)
    stage.judge(0.999)
    stage.transcribe("order a pizza")
    stage.speak(1000)
    assert stage.state() is State.HEARING
    assert stage.all(ev.AudioCommitted) == []


def test_the_next_turn_begins_where_the_last_transcript_ended(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(32)
    stage.judge(0.999)
    stage.transcribe("order a pizza")
    transcribed_to = next(c for c in stage.all(ev.Transcribe) if c.final).end_sample
    stage.silence(400)
    stage.do(ev.CancelReply(None))
    stage.do(ev.CommitAudio())
    assert stage.last(ev.Transcribe).start_sample == transcribed_to


def test_a_faint_sound_that_never_ends_costs_little(stage: Stage) -> None:
    stage.level_db = -15.0
    stage.turn(reply="One two three. " * 60)
    stage.level_db = -45.0
    for _ in range(60):
        stage.speak(500)
        for job in stage.all(ev.Transcribe)[-1:]:
            stage.do(ev.TranscriptHeard(job.attempt, "", "en", False))
    jobs = [c for c in stage.all(ev.Transcribe) if not c.final]
    assert len(jobs) < 20
    assert max(c.end_sample - c.start_sample for c in jobs) <= 16 * 4_200


def test_the_idle_timeout_does_not_speak_over_somebody_who_begins() -> None:
    idle = ev.TurnDetection(kind="server_vad", silence_duration_ms=500, idle_timeout_ms=5000)
    stage = Stage(ev.Settings(turn_detection=idle))
    stage.speak(800)
    stage.silence(128)
    stage.transcribe("hello")
    stage.answer("It is Paris.")
    while stage.state() is not State.OPEN:
        stage.silence(32)
    due = stage.session.wake_at()
    assert due is not None
    while stage.now + 0.064 < due:
        stage.silence(32)
    stage.speak(160)
    assert stage.now > due
    assert stage.all(ev.IdleTimeout) == []
    assert stage.state() is State.HEARING


def test_idle_is_only_after_a_reply_and_only_where_replies_are_wanted() -> None:
    idle = ev.TurnDetection(kind="server_vad", silence_duration_ms=500, idle_timeout_ms=5000)
    stage = Stage(ev.Settings(turn_detection=idle))
    stage.speak(300)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(8000)
    assert stage.all(ev.IdleTimeout) == []


def test_flicker_does_not_keep_a_turn_open_for_ever(stage: Stage) -> None:
    almost_over(stage)
    for _ in range(40):
        stage.speak(32)
        stage.silence(32)
    assert stage.all(ev.AudioCommitted)


def test_when_nobody_speaks_the_idle_timeout_asks() -> None:
    idle = ev.TurnDetection(kind="server_vad", silence_duration_ms=500, idle_timeout_ms=5000)
    stage = Stage(ev.Settings(turn_detection=idle))
    stage.silence(8000)
    assert stage.all(ev.IdleTimeout) == []  # it counts from a reply's end
    stage.speak(800)
    stage.silence(128)
    stage.transcribe("hello")
    stage.answer("It is Paris.")
    stage.silence(1600)
    assert stage.state() is State.OPEN
    out = stage.silence(5200)
    kinds = names(out)
    assert kinds[kinds.index("IdleTimeout") :][:6] == [
        "IdleTimeout", "ItemAdded", "AudioCommitted", "TranscriptDone", "ReplyStarted", "Respond",
    ]  # fmt: skip
    assert stage.last(ev.Respond).messages[-1] == ("system", NUDGE)
    stage.answer("Are you still there?")
    stage.silence(2500)
    stage.speak(800)
    stage.silence(3000)
    assert len(stage.all(ev.IdleTimeout)) == 1


# --- the client's requests --------------------------------------------------------------------------------------


def test_cancel_stops_the_reply(stage: Stage) -> None:
    reply_id = stage.turn()
    out = stage.do(ev.CancelReply(reply_id))
    assert names(out) == ["StopReply", "ReplyEnded"]
    assert stage.last(ev.ReplyEnded).reason == "client_cancelled"
    assert stage.state() is State.OPEN
    assert stage.do(ev.CancelReply(None)) == [
        ev.Refused("response_cancel_not_active", "Cancellation failed: no active response found")
    ]


def test_cancel_of_another_reply_is_refused(stage: Stage) -> None:
    stage.turn()
    assert names(stage.do(ev.CancelReply("resp_x"))) == ["Refused"]
    assert stage.state() is State.REPLYING


def test_cancel_cannot_reach_a_speculative_reply(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    assert names(stage.do(ev.CancelReply(None))) == ["Refused"]


def test_cancel_during_a_contest_opens_the_turn(stage: Stage) -> None:
    stage.turn(reply="One two three four five six seven.")
    stage.speak(128)
    assert names(stage.do(ev.CancelReply(None))) == ["SpeechStarted", "StopReply", "ReplyEnded"]
    assert stage.state() is State.HEARING


def test_text_in_audio_out(stage: Stage) -> None:
    item = ev.Item("item_a", "user", "text", "hello")
    assert stage.do(ev.AddItem(item, None)) == [ev.ItemAdded(item, None)]
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]
    stage.answer("Hi there.", 400)
    stage.pass_time(1000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.last(ev.ReplyEnded).timeline is None
    assert stage.state() is State.OPEN


def test_text_out_needs_no_speaker_and_no_playout() -> None:
    stage = Stage(ev.Settings(modality="text", instructions="Be kind.", max_output_tokens=7))
    stage.do(ev.AddItem(ev.Item("item_a", "user", "text", "hello"), None))
    stage.do(ev.CreateReply())
    assert stage.last(ev.Respond).messages == (("system", "Be kind."), ("user", "hello"))
    assert stage.last(ev.Respond).max_tokens == 7
    stage.answer("Hi there. Good day.")
    assert stage.all(ev.Speak) == []
    assert "".join(d.delta for d in stage.all(ev.ReplyTextDelta)) == "Hi there. Good day."
    assert stage.state() is State.OPEN


def test_options_of_one_reply_override_the_session() -> None:
    stage = Stage(ev.Settings(instructions="Be kind."))
    stage.do(ev.CreateReply(ev.ReplyOptions("Be brief.", "af_bella", "text", 3)))
    started = stage.last(ev.ReplyStarted)
    assert (started.voice, started.modality, started.max_output_tokens) == ("af_bella", "text", 3)
    assert stage.last(ev.Respond).messages == (("system", "Be brief."),)


def test_a_second_reply_is_refused_until_the_first_ended(stage: Stage) -> None:
    reply_id = stage.turn()
    out = stage.do(ev.CreateReply())
    assert names(out) == ["Refused"]
    assert reply_id in stage.last(ev.Refused).message
    stage.silence(480)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.state() is State.REPLYING  # its last words are still playing
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]
    stage.answer("More.", 200)
    stage.silence(2000)
    assert stage.state() is State.OPEN
    assert len(stage.all(ev.ReplyEnded)) == 2


def test_a_reply_asked_for_in_a_contest_starts(stage: Stage) -> None:
    stage.turn()
    stage.silence(480)
    stage.speak(128)
    assert stage.state() is State.CONTESTED
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]


@pytest.mark.parametrize("settling", [False, True])
def test_a_reply_asked_for_while_the_user_speaks_waits_for_the_turn(settling: bool) -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(create_response=False)))
    stage.speak(800)
    if settling:
        stage.silence(96)
    assert stage.do(ev.CreateReply(ev.ReplyOptions(voice="af_bella"))) == []
    if not settling:
        stage.silence(96)
    stage.transcribe("hello")
    stage.silence(3000)
    assert stage.last(ev.ReplyStarted).voice == "af_bella"


@pytest.mark.parametrize(("options", "begun_again"), [(ev.ReplyOptions(), False), (ev.ReplyOptions("Shout."), True)])
def test_asking_for_a_reply_that_is_being_prepared(stage: Stage, options: ev.ReplyOptions, begun_again: bool) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    first = stage.last(ev.Respond).reply_id
    assert (ev.StopReply(first) in stage.do(ev.CreateReply(options))) is begun_again
    stage.judge(0.99)
    stage.silence(3000)
    assert (stage.last(ev.ReplyStarted).reply_id != first) is begun_again
    assert len(stage.all(ev.ReplyStarted)) == 1


def test_an_asked_reply_comes_when_the_turn_is_dropped(stage: Stage) -> None:
    stage.speak(800)
    stage.do(ev.CreateReply())
    out = stage.do(ev.ClearAudio())
    assert [n for n in names(out) if n in ("SpeechStopped", "ReplyStarted")] == ["SpeechStopped", "ReplyStarted"]
    assert stage.state() is State.REPLYING


def test_a_second_ask_is_refused_while_the_first_waits_for_the_turn(stage: Stage) -> None:
    stage.speak(800)
    assert stage.do(ev.CreateReply()) == []
    assert names(stage.do(ev.CreateReply())) == ["Refused"]


@pytest.mark.parametrize(
    "change",
    [
        ev.Configure(ev.Settings(instructions="Shout.")),
        ev.AddItem(ev.Item("mine", "system", "text", "Shout."), None),
        ev.DeleteItem("mine_0"),
    ],
)
def test_what_is_changed_in_the_pause_is_in_the_reply(stage: Stage, change: ev.Event) -> None:
    stage.do(ev.AddItem(ev.Item("mine_0", "user", "text", "before"), None))
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    first = stage.last(ev.Respond)
    assert ev.StopReply(first.reply_id) in stage.do(change)
    again = stage.last(ev.Respond)
    assert again.messages != first.messages
    assert again.messages[-1] in (("user", "hello"), ("system", "Shout."))


def test_a_prepared_reply_that_is_not_wanted_any_more_is_stopped(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.Configure(ev.Settings(turn_detection=ev.TurnDetection(create_response=False))))
    stage.silence(3000)
    assert ev.StopReply(reply_id) in stage.log
    assert stage.all(ev.ReplyStarted) == []
    assert stage.state() is State.OPEN


def test_an_answer_without_a_word_is_a_failure(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    stage.do(ev.ReplyTextEnded(stage.last(ev.Respond).reply_id))
    stage.silence(3000)
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.error) == ("failed", "responder: it gave no answer.")


# --- push to talk -----------------------------------------------------------------------------------------------


def test_push_to_talk_waits_for_the_words() -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    assert stage.log == []
    assert names(stage.do(ev.CommitAudio())) == ["Transcribe", "AudioCommitted"]
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted"]
    out = stage.transcribe("hello")
    assert names(out) == ["TranscriptDelta", "TranscriptDone", "Respond"]
    assert stage.last(ev.Respond).messages == (("user", "hello"),)
    stage.answer()
    stage.pass_time(5000)
    assert stage.last(ev.ReplyEnded).status == "completed"
    assert stage.last(ev.ReplyEnded).timeline is not None


def test_push_to_talk_with_a_lost_transcript_fails_the_reply() -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    stage.do(ev.CommitAudio())
    stage.do(ev.CreateReply())
    stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: gone"))
    assert stage.last(ev.ReplyEnded).error == "transcriber: gone"
    assert stage.state() is State.OPEN


def test_push_to_talk_during_a_reply_adds_the_turn() -> None:
    stage = Stage(MANUAL)
    stage.do(ev.CreateReply())
    stage.answer()
    stage.speak(500)
    stage.do(ev.CommitAudio())
    stage.transcribe("and now")
    assert stage.state() is State.REPLYING
    assert stage.all(ev.ReplyEnded) == []
    assert ("user", "and now") in stage.texts()


def test_a_commit_of_too_little_audio_is_refused() -> None:
    stage = Stage(MANUAL)
    stage.speak(64)
    assert stage.do(ev.CommitAudio()) == [
        ev.Refused(
            "input_audio_buffer_commit_empty",
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
            "but buffer only has 64.00ms of audio.",
        )
    ]


def test_the_client_may_end_the_turn_early(stage: Stage) -> None:
    stage.speak(800)
    out = stage.do(ev.CommitAudio())
    assert names(out) == ["Transcribe", "SpeechStopped", "AudioCommitted"]
    assert stage.state() is State.REPLYING
    job = stage.last(ev.Transcribe)
    assert job.end_sample == stage.samples


def test_the_client_may_end_the_turn_in_a_pause(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    assert "ReplyStarted" in names(stage.do(ev.CommitAudio()))


def test_a_commit_during_a_contest_is_an_interruption(stage: Stage) -> None:
    stage.turn()
    stage.speak(128)
    out = stage.do(ev.CommitAudio())
    assert [n for n in names(out) if n in ("SpeechStarted", "ReplyEnded", "AudioCommitted")] == [
        "SpeechStarted",
        "ReplyEnded",
        "AudioCommitted",
    ]


def test_a_commit_under_voice_activity_takes_what_is_there_and_answers(stage: Stage) -> None:
    stage.silence(40_000)
    assert stage.all(ev.ForgetAudio)
    out = stage.do(ev.CommitAudio())
    assert names(out) == ["Transcribe", "AudioCommitted", "ReplyStarted"]
    job = stage.last(ev.Transcribe)
    assert (job.end_sample - job.start_sample) / 16 == MAX_COMMIT_MS
    stage.transcribe("")
    stage.do(ev.CommitAudio())
    assert stage.last(ev.Refused).code == "input_audio_buffer_commit_empty"
    stage.silence(200)
    stage.do(ev.CommitAudio())  # during the reply: no second one
    assert len(stage.all(ev.ReplyStarted)) == 1


def test_old_audio_is_given_up_only_when_no_turn_needs_it(stage: Stage) -> None:
    stage.silence(36_000)
    assert [c.before_sample / 16_000 for c in stage.all(ev.ForgetAudio)] == [pytest.approx(5.0, abs=0.1)]
    assert stage.hear(38_000, 0.95)
    assert len(stage.all(ev.ForgetAudio)) == 1


@pytest.mark.parametrize("settling", [False, True])
def test_clear_drops_the_turn(stage: Stage, settling: bool) -> None:
    stage.speak(800)
    if settling:
        stage.silence(96)
        stage.transcribe("hello")
    out = stage.do(ev.ClearAudio())
    assert names(out)[-3:] == ["ForgetAudio", "ResetVoiceActivity", "AudioCleared"]
    assert stage.state() is State.OPEN
    stage.silence(3000)
    assert stage.all(ev.AudioCommitted) == []
    assert stage.texts() == []
    stage.turn()


def test_clear_during_a_contest_lets_the_reply_go_on(stage: Stage) -> None:
    stage.turn()
    stage.speak(128)
    stage.do(ev.ClearAudio())
    assert stage.state() is State.REPLYING


# --- settings ---------------------------------------------------------------------------------------------------


def test_switching_to_push_to_talk_keeps_the_audio_and_closes_the_turn(stage: Stage) -> None:
    stage.speak(800)
    assert names(stage.do(ev.Configure(MANUAL))) == ["SpeechStopped", "Configured"]
    assert stage.state() is State.OPEN
    stage.speak(200)
    stage.do(ev.CommitAudio())
    job = stage.last(ev.Transcribe)
    assert (job.start_sample, job.end_sample) == (0, stage.samples)


def test_a_new_threshold_counts_from_the_next_frame(stage: Stage) -> None:
    stage.do(ev.Configure(ev.Settings(turn_detection=ev.TurnDetection(kind="server_vad", threshold=0.9))))
    stage.hear(500, 0.8)
    assert stage.all(ev.SpeechStarted) == []
    stage.do(ev.Configure(ev.Settings()))
    stage.hear(500, 0.8)
    assert len(stage.all(ev.SpeechStarted)) == 1


def test_settings_that_stay_manual_change_nothing_else() -> None:
    stage = Stage(MANUAL)
    assert names(stage.do(ev.Configure(MANUAL))) == ["Configured"]


# --- items ------------------------------------------------------------------------------------------------------


def test_items_in_order_and_their_errors(stage: Stage) -> None:
    for item_id in "ab":
        stage.do(ev.AddItem(ev.Item(item_id, "user", "text", item_id), None))
    assert stage.do(ev.AddItem(ev.Item("c", "user", "text", "c"), "a"))[0] == ev.ItemAdded(
        ev.Item("c", "user", "text", "c"), "a"
    )
    stage.do(ev.AddItem(ev.Item("d", "system", "text", "d"), "root"))
    assert [text for _, text in stage.texts()] == ["d", "a", "c", "b"]
    codes = []
    for event in (
        ev.AddItem(ev.Item("a", "user", "text", "again"), None),
        ev.AddItem(ev.Item("e", "user", "text", "e"), "nobody"),
        ev.DeleteItem("nobody"),
        ev.TruncateItem("nobody", 1),
        ev.TruncateItem("a", 1),
    ):
        stage.do(event)
        codes.append(stage.last(ev.Refused).code)
    assert codes == [
        "item_create_duplicate_item_id",
        "item_create_invalid_previous_item_id",
        "item_delete_invalid_item_id",
        "item_truncate_invalid_item_id",
        "unsupported_content_type",
    ]
    assert stage.do(ev.DeleteItem("c")) == [ev.ItemDeleted("c")]
    assert [text for _, text in stage.texts()] == ["d", "a", "b"]


def test_truncate_overrides_the_estimate_and_is_clamped(stage: Stage) -> None:
    stage.turn(reply="One two three four five.")
    stage.silence(3000)
    item_id = stage.message_id()
    out = stage.do(ev.TruncateItem(item_id, 420))
    assert out == [ev.ItemTruncated(item_id, 420, "One two")]
    assert stage.texts()[-1] == ("assistant", "One two")
    assert stage.do(ev.TruncateItem(item_id, 99_999)) == [ev.ItemTruncated(item_id, 1000, "One two three four five.")]


def test_truncate_of_a_reply_still_being_sent_stops_it(stage: Stage) -> None:
    stage.turn(reply="One two three four five.")
    item_id = stage.message_id()
    out = stage.do(ev.TruncateItem(item_id, 0))
    assert names(out) == ["StopReply", "ReplyEnded", "ItemTruncated"]
    assert stage.texts()[-1] == ("assistant", "")


def test_only_the_last_replies_can_be_truncated() -> None:
    stage = Stage(ev.Settings(modality="audio"))
    for _ in range(REMEMBERED_REPLIES + 1):
        stage.do(ev.CreateReply())
        stage.answer("Hi.", 40)
        stage.pass_time(100)
    first = stage.message_id(0)
    stage.do(ev.TruncateItem(first, 0))
    assert stage.last(ev.Refused).code == "unsupported_content_type"


# --- failures ---------------------------------------------------------------------------------------------------


def test_a_speculative_failure_shows_when_the_turn_is_committed(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    reply_id = stage.last(ev.Respond).reply_id
    assert stage.do(ev.ReplyFailed(reply_id, "responder", "no memory")) == [ev.StopReply(reply_id)]
    stage.silence(3000)
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.error) == ("failed", "responder: no memory")
    assert stage.state() is State.OPEN
    stage.turn()


def test_a_failure_in_the_middle_keeps_what_was_sent(stage: Stage) -> None:
    reply_id = stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.silence(160)
    stage.do(ev.ReplyFailed(reply_id, "speaker", "gone"))
    assert stage.last(ev.ReplyEnded).status == "failed"
    heard = stage.texts()[-1][1]
    assert heard is not None
    assert heard.startswith("One")
    assert "ten" not in heard


def test_a_wake_that_nobody_needs_does_nothing(stage: Stage) -> None:
    assert stage.do(ev.Wake()) == []


def test_a_signal_that_the_table_does_not_list_changes_nothing(stage: Stage) -> None:
    before = stage.session.history
    assert names(stage.do(ev.ClearAudio())) == ["ForgetAudio", "ResetVoiceActivity", "AudioCleared"]
    assert stage.state() is State.OPEN
    assert stage.session.history is before


# --- what words decide ------------------------------------------------------------------------------------------


def test_facts_of_a_sound_decide_in_place_of_its_words(stage: Stage) -> None:
    stage.turn(reply="It is Paris, and has been for a long time.")
    stage.speak(224)
    stop = ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "Stop.", "en", False)
    facts = stage.session.facts(stop)
    assert facts == ev.WordFacts(kind=Kind.STRONG)
    assert stage.session.facts(replace(stop, attempt=999)) == ev.WordFacts()
    stage.do(replace(stop, text="xxxx.", facts=facts))
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"


def test_facts_of_a_turn_decide_in_place_of_its_words(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("Order a pizza.")
    stage.speak(160)
    stage.silence(96)
    job = stage.last(ev.Transcribe)
    pizza, salad = (ev.TranscriptHeard(job.attempt, f"order a {dish}", "en", True) for dish in ("pizza", "salad"))
    assert not stage.session.facts(salad).parked
    facts = stage.session.facts(pizza)
    assert facts == ev.WordFacts(ending=odds_of_ending("order a pizza"), parked=True)
    stage.do(replace(salad, facts=facts))
    stage.silence(3000)
    assert stage.last(ev.Speculated) == ev.Speculated("kept", "Order a pizza.")


def test_the_end_of_the_words_decides_how_long_is_waited_for_more() -> None:
    waits = []
    for facts in (None, ev.WordFacts(ending=odds_of_ending("I would like to..."))):
        stage = Stage()
        stage.speak(800)
        stage.silence(96)
        stage.judge(0.99)
        stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "Order a pizza.", "en", True, facts))
        waits.append((stage.session.wake_at() or 0.0) - stage.now)
    assert waits[0] < 0.5 < 1.0 < waits[1]


# --- tools ------------------------------------------------------------------------------------------------------

WEATHER = ev.Tool("weather", "What the weather is like.", '{"type": "object"}')
HELPFUL = ev.Settings(tools=(WEATHER,))


def call(stage: Stage, *pieces: str, index: int = 0) -> None:
    """The last reply's tool is called, with arguments in these pieces."""
    reply_id = stage.all(ev.Respond)[-1].reply_id
    for piece in pieces:
        stage.do(ev.ReplyCall(reply_id, index, f"call_{index}", "weather", piece))


def ended_text(stage: Stage, finish: ev.Finish = "stop", usage: ev.Usage | None = None) -> list[ev.Command]:
    return stage.do(ev.ReplyTextEnded(stage.all(ev.Respond)[-1].reply_id, finish, usage))


def output(stage: Stage, call_id: str = "call_0") -> list[ev.Command]:
    return stage.do(ev.AddItem(ev.OutputItem(f"out_{call_id}", ev.ToolOutput(call_id, "sunny")), None))


def asked_about_the_weather(stage: Stage) -> None:
    """A turn up to the answer's first words."""
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("what is the weather in Paris")
    stage.judge(0.99)


def test_a_call_that_was_prepared_is_told_when_the_turn_is_over() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    respond = stage.last(ev.Respond)
    assert (respond.tools, respond.tool_choice, respond.parallel_tool_calls) == ((WEATHER,), "auto", True)
    call(stage, '{"city": ', '"Paris"}')
    ended_text(stage, usage=ev.Usage(40, 9))
    assert stage.all(ev.ReplyCallStarted) == []
    out = stage.silence(400)
    kinds = names(out)
    assert kinds[kinds.index("ReplyStarted") :][:6] == [
        "ReplyStarted", "ReplyCallStarted", "ReplyCallDelta", "ReplyCallEnded", "StopReply", "ReplyEnded",
    ]  # fmt: skip
    assert stage.last(ev.ReplyStarted).item_id is None
    assert stage.last(ev.ReplyCallDelta).delta == '{"city": "Paris"}'
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.text, ended.audio_ms, ended.usage) == ("completed", "", 0, ev.Usage(40, 9))
    assert stage.state() is State.OPEN


def test_a_call_of_a_turn_that_goes_on_is_never_told() -> None:
    stage = Stage(HELPFUL)
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("what is the weather")
    call(stage, "{}")
    ended_text(stage)
    stage.speak(600)
    stage.silence(96)
    stage.transcribe("what is the weather in Paris")
    stage.silence(3000)
    assert stage.all(ev.ReplyCallStarted) == []
    assert [type(item) for item in stage.session.history] == [ev.Item]


def test_a_call_that_was_parked_is_told_with_its_stamps() -> None:
    stage = Stage(HELPFUL)
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("what is the weather")
    call(stage, "{}")
    ended_text(stage)
    stage.speak(160)
    stage.silence(96)
    stage.transcribe("what is the weather")
    stage.judge(0.99)
    stage.silence(3000)
    assert len(stage.all(ev.ReplyCallEnded)) == 1
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    assert timeline.first_token is not None
    assert timeline.first_audio is None


def test_a_tool_round() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    call(stage, "{}")
    ended_text(stage)
    stage.silence(400)
    assert names(output(stage)) == ["ItemAdded"]
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]
    assert stage.last(ev.Respond).messages == (
        ("user", "what is the weather in Paris"),
        ev.ToolCall("call_0", "weather", "{}"),
        ev.ToolOutput("call_0", "sunny"),
    )
    stage.answer("It is sunny.")
    stage.pass_time(3000)
    assert names(stage.log)[-3:] == ["ReplyAudioDelta", "StopReply", "ReplyEnded"]
    started = stage.last(ev.ReplyMessageStarted)
    assert started.after == "out_call_0"
    assert stage.texts()[-1] == ("assistant", "It is sunny.")


def saying_and_calling(stage: Stage) -> str:
    """The assistant says something and calls a tool; what it says is still leaving. Returns the reply's id."""
    asked_about_the_weather(stage)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "Let me see what I can find."))
    call(stage, '{"city": "Paris"}')
    ended_text(stage)
    stage.say(reply_id, 2000)
    stage.silence(400)
    assert stage.all(ev.ReplyEnded) == []
    assert len(stage.all(ev.ReplyCallEnded)) == 1
    return reply_id


def test_a_call_does_not_wait_for_the_words_before_it() -> None:
    stage = Stage(HELPFUL)
    saying_and_calling(stage)
    kinds = names(stage.log)
    assert kinds.index("ReplyMessageStarted") < kinds.index("ReplyCallStarted") < kinds.index("ReplyAudioDelta")
    assert stage.last(ev.ReplyCallStarted).after == stage.last(ev.ReplyMessageStarted).item_id


def test_an_answer_to_the_tool_s_output_follows_the_words_that_are_still_said() -> None:
    stage = Stage(HELPFUL)
    first = saying_and_calling(stage)
    output(stage)
    assert stage.do(ev.CreateReply(ev.ReplyOptions(request="mark"))) == []
    assert names(stage.do(ev.CreateReply())) == ["Refused"]
    while not stage.all(ev.ReplyEnded):
        stage.silence(32)
    assert names(stage.log)[-4:] == ["StopReply", "ReplyEnded", "ReplyStarted", "Respond"]
    assert stage.state() is State.REPLYING
    assert stage.last(ev.ReplyStarted).request == "mark"
    stage.answer("It is sunny.")
    stage.silence(3000)
    assert [c.reply_id == first for c in stage.all(ev.ReplyEnded)] == [True, False]
    assert stage.state() is State.OPEN


def test_an_output_that_comes_during_another_answer_is_answered_after_it() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    call(stage, "{}")
    call(stage, "{}", index=1)
    ended_text(stage)
    stage.silence(400)
    output(stage)
    stage.do(ev.CreateReply())
    stage.answer("It is sunny in Paris.")
    assert names(stage.do(ev.CreateReply())) == ["Refused"]
    output(stage, "call_1")
    assert stage.do(ev.CreateReply()) == []
    stage.silence(3000)
    assert stage.last(ev.Respond).messages[-2:] == (
        ("assistant", "It is sunny in Paris."),
        ev.ToolOutput("call_1", "sunny"),
    )
    assert len(stage.all(ev.ReplyStarted)) == 3


def test_an_answer_that_waits_is_the_next_turn_s_when_the_user_interrupts() -> None:
    stage = Stage(HELPFUL)
    saying_and_calling(stage)
    output(stage)
    stage.do(ev.CreateReply(ev.ReplyOptions(request="mark")))
    stage.speak(1200)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    stage.silence(96)
    stage.transcribe("and in Rome")
    stage.answer("Sunny too.")
    stage.silence(3000)
    assert [c.request for c in stage.all(ev.ReplyStarted)] == [None, "mark"]
    assert ev.ToolOutput("call_0", "sunny") in stage.last(ev.Respond).messages


@pytest.mark.parametrize("by_id", [False, True])
def test_a_cancel_that_names_no_reply_is_for_all_that_was_asked_for(by_id: bool) -> None:
    stage = Stage(HELPFUL)
    first = saying_and_calling(stage)
    output(stage)
    stage.do(ev.CreateReply())
    stage.do(ev.CancelReply(first if by_id else None))
    assert [c.status for c in stage.all(ev.ReplyEnded)] == ["cancelled"] * (1 if by_id else 2)
    assert len(stage.all(ev.ReplyStarted)) == 2
    assert stage.state() is (State.REPLYING if by_id else State.OPEN)


def test_a_call_that_is_interrupted_is_incomplete() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    stage.silence(400)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "Let me see. "))
    stage.say(reply_id, 3000)
    call(stage, '{"ci')
    stage.speak(1200)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    assert stage.last(ev.ReplyEnded).usage is None
    [item] = [item for item in stage.session.history if isinstance(item, ev.CallItem)]
    assert (item.call.arguments, item.status) == ('{"ci', "incomplete")
    assert stage.do(ev.ReplyCall(reply_id, 0, "call_0", "weather", "ty")) == []
    stage.silence(96)
    stage.transcribe("never mind")
    assert not any(isinstance(shown, ev.ToolCall) for shown in stage.last(ev.Respond).messages)


def test_after_an_interruption_without_words_a_tool_is_not_called_again() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    stage.silence(400)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "Let me see what I can find. "))
    stage.say(reply_id, 3000)
    call(stage, "{}")
    call(stage, "{}", index=1)
    stage.speak(1200)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(2000)
    assert len(stage.all(ev.ReplyStarted)) == 1
    assert stage.state() is State.OPEN


def test_words_beside_a_call_go_on_after_an_interruption_without_words() -> None:
    stage = Stage(HELPFUL)
    saying_and_calling(stage)
    stage.speak(1200)
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    recite = stage.last(ev.Recite)
    assert stage.last(ev.ReplyStarted).reply_id == recite.reply_id
    assert stage.last(ev.ReplyStarted).item_id is not None
    stage.say(recite.reply_id, 200)
    stage.silence(3000)
    assert len(stage.all(ev.ReplyCallStarted)) == 1


def test_a_call_waits_for_the_end_of_a_contest() -> None:
    stage = Stage(HELPFUL)
    asked_about_the_weather(stage)
    stage.silence(400)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "Let me see what I can find. "))
    stage.say(reply_id, 3000)
    stage.speak(224)
    assert stage.state() is State.CONTESTED
    call(stage, "{}")
    ended_text(stage)
    assert stage.all(ev.ReplyCallStarted) == []
    stage.partial("mhm")
    stage.silence(192)
    assert len(stage.all(ev.ReplyCallEnded)) == 1


def test_a_call_of_which_the_tokens_ran_out_is_incomplete() -> None:
    stage = Stage(HELPFUL)
    stage.do(ev.CreateReply())
    call(stage, '{"ci')
    ended_text(stage, "length", ev.Usage(40, 5))
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.reason, ended.usage) == ("incomplete", "max_output_tokens", ev.Usage(40, 5))
    assert stage.all(ev.ReplyCallEnded) == []
    assert [item.status for item in stage.session.history] == ["incomplete"]


def test_words_of_which_the_tokens_ran_out_are_all_said_first() -> None:
    stage = Stage(ev.Settings(max_output_tokens=5))
    stage.do(ev.CreateReply())
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "One two three"))
    ended_text(stage, "length")
    stage.say(reply_id, 1000)
    stage.pass_time(500)
    assert stage.all(ev.ReplyEnded) == []
    stage.pass_time(2000)
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.reason, ended.text) == ("incomplete", "max_output_tokens", "One two three")
    [item] = stage.session.history
    assert item == ev.Item(item.id, "assistant", "audio", "One two three", "incomplete")


def test_tools_may_be_another_s_for_one_reply() -> None:
    stage = Stage(HELPFUL)
    stage.do(ev.CreateReply(ev.ReplyOptions(tool_choice="none")))
    assert stage.last(ev.ReplyStarted).item_id is not None
    assert (stage.last(ev.Respond).tools, stage.last(ev.Respond).tool_choice) == ((WEATHER,), "none")


def test_a_failure_before_the_first_word_has_no_message() -> None:
    stage = Stage(HELPFUL)
    stage.do(ev.CreateReply())
    stage.do(ev.ReplyFailed(stage.last(ev.Respond).reply_id, "responder", "no memory"))
    assert names(stage.log) == ["ReplyStarted", "Respond", "StopReply", "ReplyEnded"]
    assert list(stage.session.history) == []


def test_a_call_cannot_be_truncated() -> None:
    stage = Stage(HELPFUL)
    stage.do(ev.CreateReply())
    call(stage, "{}")
    ended_text(stage)
    stage.do(ev.TruncateItem(stage.last(ev.ReplyCallStarted).item_id, 0))
    assert stage.last(ev.Refused).code == "unsupported_content_type"


# --- beside the conversation ------------------------------------------------------------------------------------

ASIDE = ev.ReplyOptions(modality="text", aside=True)


def aside_answers(stage: Stage, reply_id: str, text: str = "A question.") -> list[ev.Command]:
    stage.do(ev.ReplyText(reply_id, text))
    return stage.do(ev.ReplyTextEnded(reply_id))


def test_an_aside_goes_on_whatever_the_conversation_does(stage: Stage) -> None:
    stage.turn(reply="One two three four five. Six seven eight nine ten.")
    out = stage.do(ev.CreateReply(ASIDE))
    assert names(out) == ["ReplyStarted", "Respond"]
    aside = stage.last(ev.ReplyStarted).reply_id
    stage.silence(300)
    stage.speak(1200)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    stage.do(ev.CancelReply(None))
    assert stage.last(ev.Refused).code == "response_cancel_not_active"
    before = stage.texts()
    out = aside_answers(stage, aside)
    assert names(out) == ["ReplyTextDelta", "StopReply", "ReplyEnded"]
    assert stage.last(ev.ReplyEnded) == ev.ReplyEnded(aside, "completed", None, "A question.", 0, None, None)
    assert stage.texts() == before


def test_an_aside_is_cancelled_by_its_name(stage: Stage) -> None:
    stage.do(ev.CreateReply(ASIDE))
    aside = stage.last(ev.ReplyStarted).reply_id
    assert names(stage.do(ev.CancelReply(aside))) == ["StopReply", "ReplyEnded"]
    assert stage.last(ev.ReplyEnded).reason == "client_cancelled"
    assert stage.do(ev.ReplyText(aside, "late")) == []
    assert names(stage.do(ev.CancelReply(aside))) == ["Refused"]


def test_an_aside_s_audio_and_calls_and_failure(stage: Stage) -> None:
    stage.do(ev.CreateReply(ev.ReplyOptions(aside=True, tools=(WEATHER,))))
    aside = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(aside, "Hello there."))
    call(stage, "{}")
    stage.say(aside, 3000)
    assert stage.now < stage.session.wake_at() < stage.now + 0.1  # type: ignore[operator]
    stage.pass_time(300)
    assert sum(c.samples.size for c in stage.all(ev.ReplyAudioDelta)) == 72_000
    assert stage.state() is State.OPEN
    stage.do(ev.ReplyFailed(aside, "responder", "no memory"))
    assert stage.last(ev.ReplyEnded).error == "responder: no memory"
    assert stage.session.wake_at() is None


def test_there_are_only_so_many_asides(stage: Stage) -> None:
    for _ in range(MOST):
        stage.do(ev.CreateReply(ASIDE))
    stage.do(ev.CreateReply(ASIDE))
    assert stage.last(ev.Refused).code == "rate_limit_exceeded"
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]


def test_an_aside_about_what_was_just_said_waits_for_the_words() -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    stage.do(ev.CommitAudio())
    assert names(stage.do(ev.CreateReply(ASIDE))) == ["ReplyStarted"]
    out = stage.transcribe("hello")
    assert names(out) == ["TranscriptDelta", "TranscriptDone", "Respond"]
    assert stage.last(ev.Respond).messages == (("user", "hello"),)
    stage.do(ev.Configure(ev.Settings(modality="audio", instructions="Shout.")))
    stage.do(ev.CreateReply(ev.ReplyOptions(aside=True)))
    assert stage.last(ev.Respond).messages[0] == ("system", "Shout.")


# --- other input ------------------------------------------------------------------------------------------------


def test_a_reply_may_answer_something_else(stage: Stage) -> None:
    stage.do(ev.AddItem(ev.Item("a", "user", "text", "hello"), None))
    stage.do(ev.AddItem(ev.Item("b", "user", "text", "goodbye"), None))
    stage.do(ev.CreateReply(ev.ReplyOptions(input=(ev.ItemReference("a"), ("user", "In French?")))))
    assert stage.last(ev.Respond).messages == (("user", "hello"), ("user", "In French?"))
    stage.answer("Bonjour.")
    stage.pass_time(3000)
    assert stage.texts()[-1] == ("assistant", "Bonjour.")


@pytest.mark.parametrize("aside", [False, True])
def test_a_reference_to_nothing_is_refused(stage: Stage, aside: bool) -> None:
    stage.do(ev.CreateReply(ev.ReplyOptions(aside=aside, input=(("user", "hi"), ev.ItemReference("nobody")))))
    refused = stage.last(ev.Refused)
    assert (refused.code, refused.param) == ("item_not_found", "response.input")
    assert stage.state() is State.OPEN


@pytest.mark.parametrize("refers", [False, True])
def test_other_input_waits_for_words_only_when_it_needs_them(refers: bool) -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    stage.do(ev.CommitAudio())
    spoken = ev.ItemReference(stage.last(ev.AudioCommitted).item.id)
    out = stage.do(ev.CreateReply(ev.ReplyOptions(input=(spoken,) if refers else (("user", "hi"),))))
    assert names(out) == (["ReplyStarted"] if refers else ["ReplyStarted", "Respond"])
    if refers:
        stage.transcribe("hello")
    assert stage.last(ev.Respond).messages == (("user", "hello" if refers else "hi"),)


def test_other_input_is_not_mixed_with_the_turn_that_is_over(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    stage.do(ev.CreateReply(ev.ReplyOptions(input=(("user", "hi"),))))
    stage.silence(3000)
    assert stage.last(ev.Respond).messages == (("user", "hi"),)


# --- cancels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after_ms", "lives"), [(200, True), (400, False)])
def test_a_late_cancel_does_not_reach_the_reply_after_the_interruption(after_ms: int, lives: bool) -> None:
    stage = Stage()
    stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.speak(256)
    stage.partial("no, I meant")
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    stage.do(ev.ClearAudio())
    stage.do(ev.CreateReply())
    second = stage.last(ev.ReplyStarted).reply_id
    stage.pass_time(after_ms)
    stage.do(ev.CancelReply(None))
    if lives:
        assert stage.last(ev.Refused).code == "response_cancel_not_active"
        assert names(stage.do(ev.CancelReply(second))) == ["StopReply", "ReplyEnded"]  # by its name it can be meant
    assert stage.last(ev.ReplyEnded).reply_id == second


@pytest.mark.parametrize("contested", [False, True])
def test_a_cancel_reaches_the_reply_that_waits_for_the_words(stage: Stage, contested: bool) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(0.99)
    stage.silence(640)
    assert stage.state() is State.REPLYING
    if contested:
        stage.speak(128)
    out = stage.do(ev.CancelReply(None))
    assert [n for n in names(out) if n.startswith(("Reply", "Stop"))] == ["ReplyStarted", "StopReply", "ReplyEnded"]
    assert stage.last(ev.ReplyEnded).reason == "client_cancelled"
    assert stage.state() is (State.HEARING if contested else State.OPEN)
    first = next(c for c in stage.all(ev.Transcribe) if c.final)
    assert names(stage.do(ev.TranscriptHeard(first.attempt, "hello", "en", True))) == [
        "TranscriptDelta",
        "TranscriptDone",
    ]
    assert stage.all(ev.Respond) == []


def test_a_cancel_of_what_the_client_asked_for_meanwhile_gives_its_request_back(stage: Stage) -> None:
    stage.speak(800)
    stage.do(ev.CreateReply(ev.ReplyOptions(request="mark")))
    stage.do(ev.CommitAudio())
    stage.do(ev.CancelReply(None))
    assert stage.last(ev.ReplyStarted).request == "mark"
    assert stage.last(ev.ReplyEnded).status == "cancelled"


# --- replies that may not be interrupted ------------------------------------------------------------------------

POLITE = ev.Settings(turn_detection=ev.TurnDetection(interrupt_response=False))


def said_into(stage: Stage, words: str | None, ms: float = 480) -> None:
    """During a reply of 2 s; with its words, when they come."""
    reply_id = stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.do(ev.PhraseAudio(reply_id, 1, sound(1000)))
    stage.do(ev.PhraseEnded(reply_id, 1))
    stage.silence(96)
    stage.speak(ms)
    stage.silence(128)
    if words is not None:
        stage.partial(words)
    stage.silence(96)


def test_what_is_said_into_a_reply_that_may_not_be_interrupted_is_the_next_turn() -> None:
    stage = Stage(POLITE)
    said_into(stage, "and what about Rome")
    assert stage.state() is State.REPLYING
    assert len(stage.all(ev.SpeechStarted)) == 1
    stage.silence(2000)
    assert stage.all(ev.ReplyEnded)[0].status == "completed"
    kinds = names(stage.log)
    assert kinds.index("SpeechStarted", kinds.index("ReplyEnded")) > 0
    job = stage.last(ev.Transcribe)
    assert job.final
    assert 480 <= (job.end_sample - job.start_sample) / 16 <= 300 + 480 + LONGEST_TAIL_MS
    stage.transcribe("and what about Rome")
    stage.answer("Rome too.")
    stage.silence(3000)
    assert stage.texts()[-2:] == [("user", "and what about Rome"), ("assistant", "Rome too.")]


@pytest.mark.parametrize("words", ["mhm", "", None])
def test_what_is_no_turn_is_none_after_it_either(words: str | None) -> None:
    stage = Stage(POLITE)
    said_into(stage, words, ms=192)
    stage.silence(5000)
    assert len(stage.all(ev.SpeechStarted)) == 1
    assert stage.state() is State.OPEN


def test_more_that_is_said_belongs_to_it() -> None:
    stage = Stage(POLITE)
    said_into(stage, "no, wait")
    asked = len(stage.all(ev.Transcribe))
    stage.speak(256)
    assert stage.state() is State.CONTESTED
    stage.silence(160)
    assert stage.state() is State.REPLYING
    assert len(stage.all(ev.Transcribe)) == asked  # it is a turn in any case
    stage.silence(2000)
    assert len(stage.all(ev.SpeechStarted)) == 2


def test_its_words_may_be_under_way_when_it_is_long_enough() -> None:
    stage = Stage(POLITE)
    stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.speak(224)
    attempt = stage.last(ev.Transcribe).attempt
    out = stage.speak(1000)
    assert ev.Abandon(attempt) in out
    assert stage.do(ev.TranscriptHeard(attempt, "late", "en", False)) == []


def test_it_interrupts_as_soon_as_it_may() -> None:
    stage = Stage(POLITE)
    said_into(stage, "no, wait")
    stage.do(ev.Configure(ev.Settings()))
    stage.silence(32)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    assert len(stage.all(ev.SpeechStarted)) == 2


def test_a_cancel_makes_room_for_it() -> None:
    stage = Stage(POLITE)
    said_into(stage, "no, wait")
    stage.do(ev.CancelReply(None))
    assert stage.state() is State.SETTLING
    assert stage.last(ev.Transcribe).final


@pytest.mark.parametrize("event", [ev.ClearAudio(), ev.CommitAudio(), ev.Configure(MANUAL)])
def test_it_is_no_turn_of_its_own_when_the_client_says_so(event: ev.Event) -> None:
    stage = Stage(POLITE)
    said_into(stage, "no, wait")
    stage.do(event)
    stage.silence(5000)
    assert len(stage.all(ev.SpeechStarted)) == 1


# --- items with sound -------------------------------------------------------------------------------------------


def test_the_sound_of_a_turn_is_told() -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    stage.do(ev.CommitAudio())
    committed = stage.last(ev.AudioCommitted)
    assert (committed.start_sample, committed.end_sample) == (0, stage.samples)


def test_the_sound_of_a_turn_ends_with_its_last_transcript(stage: Stage) -> None:
    stage.turn()
    committed, job = stage.last(ev.AudioCommitted), stage.last(ev.Transcribe)
    assert (committed.start_sample, committed.end_sample) == (job.start_sample, job.end_sample)


def test_an_item_with_sound_is_transcribed_and_its_words_are_waited_for(stage: Stage) -> None:
    item = ev.Item("mine", "user", "audio", None)
    out = stage.do(ev.AddItem(item, None, sound_ms=1500))
    assert out == [ev.ItemAdded(item, None), ev.TranscribeItem(1, "mine", None, "")]
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted"]
    out = stage.do(ev.TranscriptHeard(1, "hello", "en", True))
    assert out[:2] == [ev.TranscriptDelta("mine", "hello"), ev.TranscriptDone("mine", "hello", 1.5)]
    assert stage.last(ev.Respond).messages == (("user", "hello"),)
    assert stage.texts()[0] == ("user", "hello")


def test_an_item_whose_sound_cannot_be_understood_is_told_so(stage: Stage) -> None:
    stage.do(ev.AddItem(ev.Item("mine", "user", "audio", None), None, sound_ms=1500))
    assert stage.do(ev.TranscriptFailed(1, "transcriber: busy")) == [ev.TranscriptLost("mine", "transcriber: busy")]
    assert stage.texts() == [("user", "")]


@pytest.mark.parametrize(
    "event",
    [
        ev.AddItem(ev.Item("mine", "user", "audio", "hello"), None, sound_ms=1500),
        ev.AddItem(ev.Item("mine", "user", "audio", None), None),
        ev.AddItem(ev.CallItem("mine", ev.ToolCall("call_0", "weather", "{}")), None, sound_ms=1.0),
    ],
)
def test_what_has_words_or_no_sound_is_not_transcribed(stage: Stage, event: ev.AddItem) -> None:
    assert names(stage.do(event)) == ["ItemAdded"]


def test_audio_that_was_given_up_cannot_be_committed(stage: Stage) -> None:
    stage.silence(40_000)
    forgotten = stage.last(ev.ForgetAudio).before_sample
    stage.do(ev.Configure(MANUAL))
    stage.do(ev.CommitAudio())
    assert stage.last(ev.Transcribe).start_sample == forgotten


@pytest.mark.parametrize("after_ms", [0, 96])
def test_speech_before_the_switch_to_push_to_talk_is_in_the_buffer(stage: Stage, after_ms: float) -> None:
    stage.silence(500)
    stage.speak(800)
    stage.silence(after_ms)
    stage.do(ev.Configure(MANUAL))
    stage.speak(320)
    stage.do(ev.CommitAudio())
    committed = stage.last(ev.AudioCommitted)
    assert (committed.start_sample, committed.end_sample) == (0, stage.samples)


# --- ids that are taken -----------------------------------------------------------------------------------------


def mine(item_id: str) -> ev.AddItem:
    return ev.AddItem(ev.Item(item_id, "user", "text", "hello"), None)


def test_the_id_of_what_is_being_said_stays_taken_when_its_item_is_deleted(stage: Stage) -> None:
    stage.turn()
    item_id = stage.message_id()
    assert names(stage.do(ev.DeleteItem(item_id))) == ["ItemDeleted"]
    assert stage.do(mine(item_id))[0] == ev.Refused(
        "item_create_duplicate_item_id", f"Error adding item: the item with id '{item_id}' already exists.", "item.id"
    )
    stage.silence(3000)
    assert names(stage.do(mine(item_id))) == ["ItemAdded"]
    stage.do(ev.TruncateItem(item_id, 0))
    assert stage.last(ev.Refused).code == "unsupported_content_type"
    assert stage.texts()[-1] == ("user", "hello")


def test_a_deleted_reply_cannot_be_truncated_under_its_old_name(stage: Stage) -> None:
    stage.turn()
    stage.silence(3000)
    stage.do(ev.DeleteItem(stage.message_id()))
    stage.do(mine(stage.message_id()))
    stage.do(ev.TruncateItem(stage.message_id(), 0))
    assert stage.last(ev.Refused).code == "unsupported_content_type"
    assert stage.texts()[-1] == ("user", "hello")


def test_the_id_of_a_turn_is_taken_until_its_words_are_there() -> None:
    stage = Stage(MANUAL)
    stage.speak(1000)
    stage.do(ev.CommitAudio())
    item_id = stage.last(ev.AudioCommitted).item.id
    stage.do(ev.DeleteItem(item_id))
    assert names(stage.do(mine(item_id))) == ["Refused"]
    stage.transcribe("hello")
    assert names(stage.do(mine(item_id))) == ["ItemAdded"]


def test_the_id_of_speech_is_taken(stage: Stage) -> None:
    stage.speak(800)
    assert names(stage.do(mine(stage.last(ev.SpeechStarted).item_id))) == ["Refused"]


def test_the_ids_of_asides_and_calls_are_taken(stage: Stage) -> None:
    stage.do(ev.CreateReply(ev.ReplyOptions(aside=True, tools=(WEATHER,))))
    call(stage, "{}")
    assert names(stage.do(mine(stage.last(ev.ReplyCallStarted).item_id))) == ["Refused"]
    ended_text(stage)
    assert names(stage.do(mine(stage.last(ev.ReplyCallStarted).item_id))) == ["ItemAdded"]


def test_a_request_that_waits_for_a_turn_s_words_is_not_lost_when_the_client_commits_more(stage: Stage) -> None:
    stage.speak(800)
    stage.do(ev.CreateReply(ev.ReplyOptions(request="mark")))
    stage.silence(96)
    stage.judge(0.99)
    stage.silence(2600)
    assert stage.state() is State.REPLYING
    out = stage.do(ev.CommitAudio())
    assert names(out) == ["Transcribe", "AudioCommitted", "ReplyStarted"]
    assert stage.last(ev.ReplyStarted).request == "mark"
    stage.do(ev.CancelReply(None))
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted"]


def test_frames_of_audio_that_the_client_has_committed_begin_no_turn(stage: Stage) -> None:
    """They were on their way to voice activity."""
    stage.silence(320)
    stage.do(ev.AudioReceived(stage.samples + 32 * 512))
    stage.do(ev.CommitAudio())
    committed = stage.last(ev.AudioCommitted).end_sample
    stage.speak(320)
    assert stage.all(ev.SpeechStarted) == []
    while stage.samples < committed:
        stage.speak(32)
    stage.do(ev.CancelReply(None))
    stage.speak(320)
    assert stage.last(ev.SpeechStarted).start_sample >= committed


def test_what_waits_for_the_end_of_a_long_reply_is_still_there() -> None:
    stage = Stage(POLITE)
    reply_id = stage.turn(reply="One two three four five. Six seven eight nine ten.")
    stage.speak(480)
    stage.partial("and what about Rome")
    stage.silence(40_000)
    said = next(c for c in stage.all(ev.Transcribe) if not c.final)
    assert not [c for c in stage.all(ev.ForgetAudio) if c.before_sample > said.start_sample]
    stage.silence(60_000)
    assert [c for c in stage.all(ev.ForgetAudio) if c.before_sample > said.end_sample]  # not for ever
    stage.do(ev.ReplyFailed(reply_id, "speaker", "gone"))
    assert stage.state() is State.SETTLING


def test_words_that_come_late_are_a_turn_too_after_a_reply_that_may_not_be_interrupted() -> None:
    stage = Stage(POLITE)
    said_into(stage, None)
    stage.silence(640)
    stage.partial("and what about Rome")
    stage.silence(2000)
    assert len(stage.all(ev.SpeechStarted)) == 2


def test_a_text_reply_that_is_interrupted_is_not_said_again() -> None:
    stage = Stage(ev.Settings(modality="text"))
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("hello")
    stage.judge(0.99)
    stage.silence(400)
    stage.do(ev.ReplyText(stage.last(ev.Respond).reply_id, "Hi there. And "))
    stage.speak(1200)
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    stage.silence(96)
    stage.transcribe("")
    stage.silence(2000)
    assert len(stage.all(ev.ReplyStarted)) == 1


def test_a_new_patience_leaves_the_idle_timeout_as_it_is() -> None:
    idle = ev.TurnDetection(kind="server_vad", silence_duration_ms=500, idle_timeout_ms=5000)
    stage = Stage(ev.Settings(turn_detection=idle))
    stage.turn()
    stage.silence(2000)
    assert stage.state() is State.OPEN
    due = stage.session.wake_at()
    assert due is not None
    stage.do(ev.Configure(ev.Settings(turn_detection=replace(idle, patience=0.2))))
    assert stage.session.wake_at() == due


# --- words that are not there yet -------------------------------------------------------------------------------


def wordless(stage: Stage, *item_ids: str) -> None:
    """Items with sound; the attempts are numbered in their order."""
    for item_id in item_ids:
        stage.do(ev.AddItem(ev.Item(item_id, "user", "audio", None), None, sound_ms=1500))


def test_a_reply_waits_for_all_words_that_it_is_to_see(stage: Stage) -> None:
    wordless(stage, "a", "b")
    stage.do(ev.CreateReply())
    stage.do(ev.CreateReply(ASIDE))
    assert stage.do(ev.TranscriptHeard(2, "two", "en", True))[-1] == ev.TranscriptDone("b", "two", 1.5)
    assert names(stage.do(ev.TranscriptHeard(1, "one", "en", True)))[-2:] == ["Respond", "Respond"]
    assert [job.messages for job in stage.all(ev.Respond)] == [(("user", "one"), ("user", "two"))] * 2


@pytest.mark.parametrize("event", [ev.TranscriptFailed(1, "transcriber: busy"), ev.DeleteItem("a")])
def test_older_words_that_never_come_are_left_out(stage: Stage, event: ev.Event) -> None:
    wordless(stage, "a", "b")
    stage.do(ev.TranscriptHeard(2, "two", "en", True))
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted"]
    assert names(stage.do(event))[-1] == "Respond"
    assert stage.last(ev.Respond).messages == (("user", "two"),)


def test_a_reply_that_is_asked_for_by_what_is_lost_fails_at_once(stage: Stage) -> None:
    wordless(stage, "a", "b")
    stage.do(ev.CreateReply())
    stage.do(ev.TranscriptFailed(2, "transcriber: busy"))
    assert (stage.last(ev.ReplyEnded).status, stage.all(ev.Respond)) == ("failed", [])


def test_a_spoken_turn_is_not_answered_without_the_words_before_it(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    wordless(stage, "a")
    item = stage.last(ev.TranscribeItem)
    stage.transcribe("hello")
    stage.silence(3000)
    assert stage.all(ev.Respond) == []
    stage.do(ev.TranscriptHeard(item.attempt, "one", "en", True))
    assert stage.last(ev.Respond).messages == (("user", "one"), ("user", "hello"))
    assert len(stage.all(ev.ReplyStarted)) == 1


def test_what_is_prepared_is_dropped_for_an_item_without_words(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(96)
    stage.judge(UNSURE)
    stage.transcribe("hello")
    prepared = stage.last(ev.Respond)
    wordless(stage, "a")
    assert ev.StopReply(prepared.reply_id) in stage.log
    assert stage.last(ev.Respond) is prepared


def test_there_are_only_so_many_sounds_to_be_transcribed(stage: Stage) -> None:
    wordless(stage, *map(str, range(MOST_SOUNDS)))
    out = stage.do(ev.AddItem(ev.Item("more", "user", "audio", None), None, sound_ms=1500))
    assert [(c.code, c.param) for c in out if isinstance(c, ev.Refused)] == [("rate_limit_exceeded", "item")]
    assert names(stage.do(ev.AddItem(ev.Item("text", "user", "text", "hi"), None))) == ["ItemAdded"]
    stage.do(ev.TranscriptHeard(1, "one", "en", True))
    wordless(stage, "more")
    assert stage.last(ev.TranscribeItem).item_id == "more"


def test_there_are_only_so_many_turns_without_words() -> None:
    stage = Stage(MANUAL)
    for _ in range(MOST_TURNS + 1):
        stage.speak(200)
        stage.do(ev.CommitAudio())
    assert [refused.code for refused in stage.all(ev.Refused)] == ["rate_limit_exceeded"]
    assert len(stage.all(ev.AudioCommitted)) == MOST_TURNS
    stage.transcribe("hello")
    assert names(stage.do(ev.CommitAudio()))[:1] == ["Transcribe"]


@pytest.mark.parametrize("settling", [False, True])
def test_a_cancel_reaches_what_waits_for_the_turn_to_end(stage: Stage, settling: bool) -> None:
    stage.speak(800)
    if settling:
        stage.silence(96)
        stage.transcribe("hello")
    stage.do(ev.CreateReply(ev.ReplyOptions(request="mark")))
    state = stage.state()
    stage.do(ev.CancelReply(None))
    assert stage.last(ev.ReplyStarted).request == "mark"
    assert (stage.last(ev.ReplyEnded).status, stage.last(ev.ReplyEnded).reason) == ("cancelled", "client_cancelled")
    assert stage.state() is state
    if not settling:
        stage.silence(96)
        stage.transcribe("hello")
    stage.silence(3000)
    assert [started.request for started in stage.all(ev.ReplyStarted)] == ["mark", None]


# --- a transcriber that hears a turn while it is said -----------------------------------------------------------


def test_only_the_open_turn_grows() -> None:
    """Not a sound during a reply, and not what the client commits by itself."""
    stage = Stage(policy=Policy(streams=True, partial_every_ms=160))
    stage.turn()
    jobs = stage.all(ev.Transcribe)
    assert [job.final for job in jobs] == [False, True]  # the first is not answered, so that there is no other
    assert all(job.grows for job in jobs)
    stage.speak(320)
    assert [job.grows for job in stage.all(ev.Transcribe)[2:]] == [False]
    manual = Stage(MANUAL, Policy(streams=True))
    manual.hear(800, 0.0)
    manual.do(ev.CommitAudio())
    assert [job.grows for job in manual.all(ev.Transcribe)] == [False]


def test_words_that_come_often_are_shown_to_the_responder_seldom() -> None:
    stage = Stage(policy=Policy(streams=True, partial_every_ms=160))
    stage.speak(96)
    for count in range(12):
        stage.speak(192)
        stage.partial(" ".join(["word"] * (count + 1)))
    looks = [command.messages[-1] for command in stage.all(ev.Prepare)]
    assert len(stage.all(ev.Transcribe)) == 12
    assert looks == [("user", "word"), ("user", " ".join(["word"] * 7))]
    assert "".join(delta.delta for delta in stage.all(ev.TranscriptDelta)) == " ".join(["word"] * 11)


# --- a responder that listens itself ----------------------------------------------------------------------------

LISTENING = Policy(listens=True, partial_every_ms=0)


def prepared(stage: Stage) -> list[ev.Command]:
    """The responder has computed what it can of the turn's sound, and cannot say whether it is over."""
    return stage.do(ev.WordsJudged(stage.last(ev.Prepare).attempt, None))


def spoken_turn(stage: Stage, ms: float = 800) -> ev.Sound:
    """Up to its tentative end, and the judge is sure. Returns its sound."""
    stage.speak(ms)
    stage.silence(96)
    stage.judge(0.99)
    part = stage.last(ev.Prepare).messages[-1]
    assert isinstance(part, ev.Sound)
    return part


def test_a_turn_is_answered_by_its_sound_without_any_words() -> None:
    stage = Stage(policy=LISTENING)
    stage.silence(512)
    stage.speak(800)
    out = stage.silence(96)
    assert names(out) == ["Prepare", "Transcribe"]
    job, started = stage.last(ev.Transcribe), stage.last(ev.SpeechStarted)
    heard = ev.Sound(started.item_id, started.start_sample, job.end_sample)
    assert stage.last(ev.Prepare) == ev.Prepare(job.attempt, (heard,), None)
    assert names(prepared(stage)) == []  # the end of the turn is too far away for that
    assert names(stage.judge(0.99)) == ["Respond"]
    assert stage.last(ev.Respond).messages == (heard,)
    assert stage.last(ev.Speculated) == ev.Speculated("begun", "")
    reply_id = stage.answer("It is Paris.")
    stage.silence(400)
    assert stage.last(ev.ReplyStarted).reply_id == reply_id
    assert stage.texts() == [("user", None), ("assistant", "")]
    stage.transcribe("what is the capital of France")
    assert stage.last(ev.TranscriptDone).text == "what is the capital of France"
    assert stage.texts()[0] == ("user", "what is the capital of France")
    stage.silence(1500)
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    assert timeline.transcript is None
    assert sum(timeline.stages_ms().values()) == pytest.approx(timeline.total_ms(), abs=1)


def test_a_transcript_that_is_early_goes_with_the_sound_and_moves_the_deadline() -> None:
    """There is nobody who judges the words, so that no time is kept for it."""
    stage = Stage(policy=LISTENING)
    spoken_turn(stage)
    assert names(stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "Order a pizza.", "en", True))) == []
    signals = Signals(0.99, "Order a pizza.", None, "en", judging=False)
    deadline = stage.now - 0.096 + endpoint_wait_ms(ev.TurnDetection(), signals) / 1000
    assert stage.session.wake_at() == pytest.approx(deadline)
    prepared(stage)
    [part] = stage.last(ev.Respond).messages
    assert isinstance(part, ev.Sound)
    assert part.text == "Order a pizza."
    assert stage.last(ev.Respond).language == "en"
    stage.answer()
    stage.silence(300)
    assert stage.last(ev.TranscriptDone).text == "Order a pizza."


def test_a_responder_that_was_not_ready_at_the_end_is_asked_then() -> None:
    stage = Stage(policy=LISTENING)
    heard = spoken_turn(stage)
    out = stage.silence(200)
    assert names(out)[-4:] == ["SpeechStopped", "AudioCommitted", "Respond", "ReplyStarted"]
    assert stage.last(ev.Respond).messages == (heard,)


def test_the_turns_before_are_words_and_are_waited_for() -> None:
    stage = Stage(policy=LISTENING)
    spoken_turn(stage)
    prepared(stage)
    reply_id = stage.answer("It is Paris.")
    first = stage.last(ev.Transcribe).attempt
    stage.silence(3000)
    heard = spoken_turn(stage)
    assert names(prepared(stage)) == []
    stage.silence(300)
    assert stage.state() is State.REPLYING
    assert stage.last(ev.Respond).reply_id == reply_id
    stage.do(ev.TranscriptHeard(first, "what is the capital of France", "en", True))
    assert stage.last(ev.Respond).messages == (
        ("user", "what is the capital of France"),
        ("assistant", "It is Paris."),
        heard,
    )


def test_a_turn_known_to_have_no_words_is_not_answered() -> None:
    stage = Stage(policy=LISTENING)
    spoken_turn(stage, 300)
    prepared(stage)
    reply_id = stage.last(ev.Respond).reply_id
    assert ev.StopReply(reply_id) in stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "", "en", True))
    assert names(prepared(stage)) == []
    stage.silence(600)
    assert stage.all(ev.ReplyStarted) == []
    assert stage.state() is State.OPEN


def test_a_turn_found_to_have_no_words_too_late_is_answered() -> None:
    stage = Stage(policy=LISTENING)
    spoken_turn(stage)
    prepared(stage)
    stage.answer("Hello there.")
    stage.silence(300)
    stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "", "en", True))
    assert stage.last(ev.TranscriptDone).text == ""
    stage.silence(2000)
    assert stage.last(ev.ReplyEnded).status == "completed"


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_lost_transcript_loses_no_answer(ready: bool, late: bool) -> None:
    stage = Stage(policy=LISTENING)
    spoken_turn(stage)
    failed = ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: out of memory")
    if ready:
        prepared(stage)
    if not late:
        stage.do(failed)
    stage.silence(200)
    if late:
        stage.do(failed)
    assert stage.last(ev.TranscriptLost).message == "transcriber: out of memory"
    stage.answer("It is Paris.")
    stage.silence(2000)
    assert stage.last(ev.ReplyEnded).status == "completed"


def test_speech_that_goes_on_drops_the_answer_and_its_preparation() -> None:
    stage = Stage(policy=replace(LISTENING, max_dropped=1))
    heard = spoken_turn(stage)
    prepared(stage)
    reply_id, attempt = stage.last(ev.Respond).reply_id, stage.last(ev.Prepare).attempt
    out = stage.speak(300)
    assert {ev.StopReply(reply_id), ev.Abandon(attempt)} <= {c for c in out if isinstance(c, ev.StopReply | ev.Abandon)}
    more = spoken_turn(stage, 300)
    assert (more.item_id, more.start_sample) == (heard.item_id, heard.start_sample)
    assert more.end_sample > heard.end_sample
    assert names(prepared(stage)) == []  # enough were dropped
    stage.silence(200)
    assert stage.last(ev.Respond).messages == (more,)


def test_speech_before_anything_was_answered_costs_none() -> None:
    stage = Stage(policy=replace(LISTENING, max_dropped=1))
    spoken_turn(stage)
    stage.speak(300)
    spoken_turn(stage, 300)
    assert names(prepared(stage)) == ["Respond"]


def test_an_answer_to_the_sound_is_prepared_again_when_what_it_is_made_of_changes() -> None:
    stage = Stage(policy=LISTENING)
    heard = spoken_turn(stage)
    prepared(stage)
    stage.do(ev.Configure(ev.Settings(instructions="Be brief.")))
    assert stage.last(ev.Respond).messages == (("system", "Be brief."), heard)


def test_no_sound_is_prepared_where_no_reply_is_wanted() -> None:
    stage = Stage(ev.Settings(turn_detection=ev.TurnDetection(create_response=False)), LISTENING)
    stage.speak(800)
    assert names(stage.silence(96)) == ["Transcribe"]


def test_push_to_talk_is_answered_by_its_sound_before_its_words() -> None:
    stage = Stage(MANUAL, LISTENING)
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted", "Respond"]
    item = stage.last(ev.AudioCommitted).item
    [heard] = stage.last(ev.Respond).messages
    assert heard == ev.Sound(item.id, 0, stage.samples)
    stage.transcribe("hello")
    assert stage.texts()[0] == ("user", "hello")


def test_push_to_talk_is_answered_by_its_words_when_they_are_there() -> None:
    stage = Stage(MANUAL, LISTENING)
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    stage.transcribe("hello")
    stage.do(ev.CreateReply())
    assert stage.last(ev.Respond).messages == (("user", "hello"),)


def test_only_the_newest_turn_is_heard() -> None:
    """The reply to the first waits for an item's words, and meanwhile the client commits a second."""
    stage = Stage(MANUAL, LISTENING)
    item = ev.Item("item_mine", "user", "audio", None)
    stage.do(ev.AddItem(item, None, sound_ms=500))
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    first = stage.last(ev.Transcribe).attempt
    assert names(stage.do(ev.CreateReply())) == ["ReplyStarted"]
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    stage.do(ev.TranscriptHeard(stage.last(ev.TranscribeItem).attempt, "good morning", "en", True))
    stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "and now", "en", True))
    assert stage.all(ev.Respond) == []
    stage.do(ev.TranscriptFailed(first, "transcriber: no"))
    assert stage.last(ev.ReplyEnded).status == "failed"


def test_a_reference_to_the_newest_turn_is_its_sound() -> None:
    stage = Stage(MANUAL, LISTENING)
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    item_id = stage.last(ev.AudioCommitted).item.id
    chosen: tuple[ev.Shown | ev.ItemReference, ...] = (("system", "Translate."), ev.ItemReference(item_id))
    stage.do(ev.CreateReply(ev.ReplyOptions(input=chosen)))
    assert stage.last(ev.Respond).messages == (("system", "Translate."), ev.Sound(item_id, 0, stage.samples))


def test_a_reference_with_something_behind_it_is_words_and_they_are_waited_for() -> None:
    stage = Stage(MANUAL, LISTENING)
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    item_id = stage.last(ev.AudioCommitted).item.id
    chosen: tuple[ev.Shown | ev.ItemReference, ...] = (ev.ItemReference(item_id), ("user", "Translate that."))
    assert names(stage.do(ev.CreateReply(ev.ReplyOptions(input=chosen)))) == ["ReplyStarted"]
    stage.transcribe("good morning")
    assert stage.last(ev.Respond).messages == (("user", "good morning"), ("user", "Translate that."))


CALL = ev.ToolCall("call_1", "weather", "{}")
OUTPUT = ev.ToolOutput("call_1", "sunny")


def called_before_the_words(stage: Stage) -> str:
    """A turn was heard, and answered with a call, whose output comes before its words. Returns the reply to that."""
    spoken_turn(stage)
    prepared(stage)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyCall(reply_id, 0, CALL.call_id, CALL.name, CALL.arguments))
    stage.do(ev.ReplyTextEnded(reply_id))
    stage.silence(300)
    assert stage.last(ev.ReplyEnded).reply_id == reply_id
    stage.do(ev.AddItem(ev.OutputItem("item_out", OUTPUT), None))
    stage.do(ev.CreateReply())
    assert stage.last(ev.Respond).reply_id == reply_id
    return stage.last(ev.ReplyStarted).reply_id


def test_the_reply_to_a_tool_s_output_waits_for_the_words_that_were_heard() -> None:
    """The output stands behind the turn, so that its sound would not be heard."""
    stage = Stage(ev.Settings(tools=(ev.Tool("weather", "", "{}"),)), LISTENING)
    second = called_before_the_words(stage)
    stage.transcribe("what is the weather")
    assert stage.last(ev.Respond).reply_id == second
    assert stage.last(ev.Respond).messages == (("user", "what is the weather"), CALL, OUTPUT)


def test_the_reply_to_a_tool_s_output_goes_on_when_words_that_were_heard_are_lost() -> None:
    stage = Stage(ev.Settings(tools=(ev.Tool("weather", "", "{}"),)), LISTENING)
    second = called_before_the_words(stage)
    stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: out of memory"))
    assert stage.last(ev.Respond).reply_id == second
    assert stage.last(ev.Respond).messages == (CALL, OUTPUT)
    stage.answer("It is sunny.")
    stage.silence(2000)
    assert stage.last(ev.ReplyEnded).status == "completed"


def test_there_is_no_answer_without_words_that_nobody_heard() -> None:
    stage = Stage(MANUAL, LISTENING)
    stage.hear(800, 0.0)
    stage.do(ev.CommitAudio())
    stage.do(ev.AddItem(ev.Item("item_mine", "system", "text", "Be brief."), None))
    stage.do(ev.CreateReply())
    stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: out of memory"))
    assert stage.all(ev.Respond) == []
    assert stage.last(ev.ReplyEnded).status == "failed"


def test_what_waited_for_an_interrupted_reply_is_the_turn_s_that_interrupts() -> None:
    """The client ends the turn in the moment in which it is heard to be one."""
    stage = Stage(ev.Settings(tools=(ev.Tool("weather", "", "{}"),)), LISTENING)
    spoken_turn(stage)
    prepared(stage)
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "Let me see what the weather is like in Paris. "))
    stage.do(ev.ReplyCall(reply_id, 0, "call_1", "weather", "{}"))
    stage.do(ev.ReplyTextEnded(reply_id))
    stage.say(reply_id, 3000)
    stage.silence(300)
    stage.say(reply_id, 3000)
    stage.transcribe("what is the weather")
    assert stage.all(ev.ReplyCallEnded) != []
    stage.do(ev.AddItem(ev.OutputItem("item_out", ev.ToolOutput("call_1", "sunny")), None))
    stage.do(ev.CreateReply(ev.ReplyOptions(request="again")))
    stage.speak(160)
    assert stage.state() is State.CONTESTED
    stage.do(ev.CommitAudio())
    assert stage.last(ev.ReplyEnded).reason == "turn_detected"
    assert stage.last(ev.ReplyStarted).request == "again"


# --- written replies --------------------------------------------------------------------------------------------


def test_a_written_reply_that_was_held_begins_again_after_an_interruption_without_words() -> None:
    stage = Stage(ev.Settings(modality="text"))
    stage.speak(800)
    stage.silence(96)
    stage.transcribe("what is the capital of France")
    stage.silence(300)
    first = stage.last(ev.Respond).reply_id
    stage.speak(160)
    stage.do(ev.ReplyText(first, "It is Paris."))
    stage.do(ev.ReplyTextEnded(first))
    stage.speak(1500)
    assert stage.last(ev.ReplyEnded).text == ""
    stage.silence(96)
    stage.transcribe("")
    stage.silence(600)
    assert stage.last(ev.ReplyStarted).reply_id != first
    assert stage.last(ev.Respond).messages == (("user", "what is the capital of France"),)


# --- an engine that fails ---------------------------------------------------------------------------------------

SORRY = "Sorry, I can't answer right now."
APOLOGISES = Policy(apologises=True)


def apologise(stage: Stage, ms: float = 1000) -> None:
    stage.do(ev.Apology(stage.last(ev.Apologise).reply_id, SORRY, sound(ms)))


def test_a_turn_whose_words_are_lost_is_apologised_for() -> None:
    stage = Stage(policy=APOLOGISES)
    stage.speak(800)
    stage.silence(128)
    stage.do(ev.TranscriptFailed(stage.last(ev.Transcribe).attempt, "transcriber: no ears"))
    stage.silence(3000)
    assert stage.last(ev.TranscriptLost).message == "transcriber: no ears"
    assert stage.last(ev.Apologise).engine == "transcriber"
    assert stage.state() is State.REPLYING
    apologise(stage)
    stage.silence(1500)
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.error, ended.text) == ("failed", "transcriber: no ears", SORRY)
    assert stage.texts()[-1] == ("assistant", SORRY)
    assert stage.state() is State.OPEN


def test_the_turn_after_an_apology_is_answered() -> None:
    stage = Stage(policy=APOLOGISES)
    stage.speak(800)
    stage.silence(128)
    stage.transcribe("what is the capital of France")
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyFailed(reply_id, "responder", "no memory"))
    assert stage.all(ev.Apologise) == []  # the turn may go on
    stage.silence(600)
    assert stage.last(ev.Apologise).reply_id == reply_id
    apologise(stage)
    stage.silence(2000)
    stage.turn("and of Italy", "It is Rome.")
    assert stage.last(ev.ReplyTextDelta).delta.strip() == "It is Rome."


def test_who_interrupts_an_apology_is_heard() -> None:
    stage = Stage(policy=APOLOGISES)
    stage.speak(800)
    stage.silence(128)
    stage.transcribe("what is the capital of France")
    stage.do(ev.ReplyFailed(stage.last(ev.Respond).reply_id, "responder", "no memory"))
    stage.silence(600)
    apologise(stage, 4000)
    stage.silence(300)
    stage.speak(1200)
    ended = stage.last(ev.ReplyEnded)
    assert (ended.status, ended.reason) == ("cancelled", "turn_detected")
    stage.silence(128)
    stage.transcribe("")  # it was a cough
    stage.silence(1000)
    assert stage.all(ev.Recite) == []
    first, again = stage.all(ev.Respond)
    assert again.messages[: len(first.messages)] == first.messages


# --- another server goes on with it ---------------------------------------------------------------------------------

THREE = "It is Paris. It lies on the Seine. Many people live there."


def goes_on(stage: Stage, settings: ev.Settings | None = None) -> Stage:
    """On another server."""
    other = Stage(settings or stage.session.settings)
    other.do(stage.session.kept())
    return other


def test_a_conversation_at_rest_is_kept_and_goes_on(stage: Stage) -> None:
    stage.turn()
    assert not stage.session.at_rest
    stage.silence(3000)
    assert stage.session.at_rest
    assert stage.session.all_taken_in
    other = goes_on(stage)
    assert other.texts() == stage.texts()
    assert (other.log, other.state()) == ([], State.OPEN)
    other.turn("and of Spain", "Madrid.")
    assert other.last(ev.Respond).messages[-1] == ("user", "and of Spain")
    assert ("assistant", "It is Paris.") in other.last(ev.Respond).messages


def test_the_rest_of_a_reply_is_recited_from_the_last_word_that_was_sent(stage: Stage) -> None:
    stage.turn(reply=THREE)
    stage.silence(200)
    kept = stage.session.kept()
    said = stage.last(ev.ReplyAudioDelta)
    [*_, item] = kept.history
    assert isinstance(item, ev.Item)
    assert (item.status, kept.owed) == ("incomplete", False)
    assert f"{item.text} {kept.rest}" == THREE
    assert item.text
    assert kept.rest
    assert stage.now < said.plays_at + said.samples.size / 24_000, "what was sent counts, though it plays on"
    other = goes_on(stage)
    assert other.state() is State.REPLYING
    assert names(other.log)[:2] == ["ReplyStarted", "Recite"]
    assert "".join(phrase.text for phrase in other.all(ev.Speak)) == kept.rest
    other.say(other.last(ev.ReplyStarted).reply_id, 400)
    other.silence(3000)
    assert other.texts()[-2:] == [("assistant", item.text), ("assistant", kept.rest)]
    assert other.state() is State.OPEN


def test_a_reply_of_which_nothing_was_sent_is_said_from_its_beginning(stage: Stage) -> None:
    stage.speak(800)
    stage.silence(128)
    stage.transcribe("hello")
    stage.silence(600)
    reply_id = stage.last(ev.Respond).reply_id
    assert stage.session.kept().owed, "its text is not whole"
    other = goes_on(stage)
    assert other.texts() == [("user", "hello"), ("assistant", "")]
    assert other.last(ev.Respond).messages == (("user", "hello"),)
    stage.do(ev.ReplyText(reply_id, "Hi there. "))
    stage.do(ev.ReplyTextEnded(reply_id))
    kept = stage.session.kept()
    assert (kept.rest, kept.owed) == ("Hi there.", False)
    assert [entry.id for entry in kept.history] == [stage.last(ev.AudioCommitted).item.id]


def test_speech_without_words_yet_is_asked_for_again(stage: Stage) -> None:
    """The client sends it again: it was not taken in."""
    stage.silence(500)
    assert stage.session.all_taken_in
    stage.speak(64)
    assert not stage.session.all_taken_in
    stage.speak(800)
    stage.silence(3000)
    assert stage.last(ev.AudioCommitted).item.text is None
    assert not stage.session.all_taken_in
    kept = stage.session.kept()
    assert (kept.history, kept.rest, kept.owed) == ((), "", False)
    other = goes_on(stage)
    assert (other.state(), other.log) == (State.OPEN, [])


def test_a_reply_that_waits_or_failed_or_has_called_a_tool_is_not_begun_again(stage: Stage) -> None:
    stage.do(ev.AddItem(ev.Item("u", "user", "text", "hello"), None))
    stage.do(ev.CreateReply(ev.ReplyOptions()))
    reply_id = stage.last(ev.Respond).reply_id
    assert stage.session.kept().owed
    stage.do(ev.ReplyCall(reply_id, 0, "call_1", "weather", "{}"))
    stage.do(ev.ReplyTextEnded(reply_id))
    assert not stage.session.kept().owed
    assert names(goes_on(stage).log) == []


def test_what_the_client_has_put_into_its_buffer_is_not_taken_in() -> None:
    stage = Stage(MANUAL)
    assert stage.session.all_taken_in
    stage.do(ev.AudioReceived(16_000))
    assert not stage.session.all_taken_in
    stage.do(ev.CommitAudio())
    stage.do(ev.CreateReply(ev.ReplyOptions()))
    assert not stage.session.all_taken_in
    assert stage.session.kept() == ev.Restored(()), "the client sends all of it again"
    stage.transcribe("hello")
    assert stage.session.all_taken_in


def test_a_text_reply_that_was_shown_is_not_shown_again() -> None:
    stage = Stage(ev.Settings(modality="text"))
    stage.do(ev.CreateReply(ev.ReplyOptions()))
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyText(reply_id, "It is Paris, and it lies on the Seine. "))
    kept = stage.session.kept()
    assert (kept.rest, kept.owed) == ("", False)
    assert [entry.text for entry in kept.history if isinstance(entry, ev.Item)] != [""]


def test_at_rest_there_is_nothing_beside_the_conversation(stage: Stage) -> None:
    stage.do(ev.CreateReply(ev.ReplyOptions(aside=True)))
    assert not stage.session.at_rest
    assert not stage.session.all_taken_in
    stage.answer("Yes.", 200)
    stage.silence(1000)
    assert stage.session.at_rest


# --- the client was away ----------------------------------------------------------------------------------------


def test_a_client_that_is_back_hears_the_rest(stage: Stage) -> None:
    reply_id = stage.turn(reply="It is Paris, and has been for a long time.")
    ledger = stage.session._replies.current.ledger  # type: ignore[union-attr]
    stage.do(ev.Reconnected(10_000.0, ((reply_id, 100.0),)))
    assert ledger.ahead_ms(stage.now) >= 100
    assert stage.state() is State.REPLYING


def test_when_which_word_of_a_reply_is_heard(stage: Stage) -> None:
    assert stage.session.being_said() is None
    stage.turn(reply="It is Paris.")
    saying = stage.session.being_said()
    assert saying is not None
    assert (saying.item_id, saying.made) == (stage.message_id(), "It is Paris.")
    assert [saying.made[:chars] for _, chars in saying.places] == ["It", "It is", "It is Paris.", "It is Paris."]
    assert [ms for ms, _ in saying.places] == sorted(ms for ms, _ in saying.places)
    assert saying.places[-1] == (999.0, len("It is Paris."))
    stage.silence(3000)
    assert stage.session.being_said() is None


def test_an_apology_is_not_kept_but_the_question() -> None:
    stage = Stage(policy=Policy(apologises=True))
    stage.do(ev.AddItem(ev.Item("u", "user", "text", "hello"), None))
    stage.do(ev.CreateReply(ev.ReplyOptions()))
    reply_id = stage.last(ev.Respond).reply_id
    stage.do(ev.ReplyFailed(reply_id, "responder", "gone"))
    stage.do(ev.Apology(reply_id, "Sorry.", sound(400)))
    kept = stage.session.kept()
    assert ([entry.id for entry in kept.history], kept.rest, kept.owed) == (["u"], "", True)
