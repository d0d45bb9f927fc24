"""The user's side alone: positions, transcripts, what the client is told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.conversation.stage import names
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.gate import FRAME_SAMPLES, Offset, Onset
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.listener import (
    FORGET_STEP_MS,
    LONGEST_TAIL_MS,
    MAX_COMMIT_MS,
    Listener,
    samples,
)
from voxtral_voice.conversation.policy import Policy


class Ear:
    """A listener, what it said, and frames by the dozen."""

    def __init__(self, detection: ev.TurnDetection | None = None, **policy: Any) -> None:
        counter = itertools.count(1)
        self.out: list[ev.Command] = []
        self.history = History(10, 1_000)
        settings = ev.Settings(turn_detection=detection or ev.TurnDetection())
        self.listener = Listener(
            settings, lambda kind: f"{kind}_{next(counter)}", Policy(**policy), self.history, self.out
        )

    def hear(self, frames: int, probability: float) -> list[Onset | Offset]:
        edges = []
        for _ in range(frames):
            edges.append(self.listener.hear(self.listener.heard_to, probability))
            self.listener.received = self.listener.heard_to
        return [edge for edge in edges if edge is not None]

    def fall_silent(self, now: float) -> None:
        self.listener.settle(now, now)
        self.listener.transcribe_turn()

    def take(self) -> list[ev.Command]:
        taken = self.out.copy()
        self.out.clear()
        return taken


def test_a_turn_begins_before_its_onset_by_the_padding() -> None:
    ear = Ear()
    ear.hear(20, 0.0)
    assert ear.hear(5, 0.9) == [Onset(20 * FRAME_SAMPLES)]
    ear.listener.open_turn()
    assert ear.take() == [ev.SpeechStarted("item_1", 20 * FRAME_SAMPLES - samples(300))]
    assert ear.listener.speaking


def test_the_padding_never_reaches_into_the_turn_before() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    ear.hear(5, 0.0)
    ear.fall_silent(1.0)
    ear.listener.commit_turn(2.0)
    ear.take()
    ear.hear(3, 0.9)
    ear.listener.open_turn()
    assert ear.listener.open.start_sample == 10 * FRAME_SAMPLES


def test_a_silence_is_transcribed_at_once_and_judged_a_little_later() -> None:
    ear = Ear()
    ear.hear(10, 0.9)
    ear.listener.open_turn()
    ear.hear(3, 0.0)
    ear.take()
    ear.fall_silent(1.0)
    ear.listener.judge_if_due()
    [job] = ear.take()
    assert isinstance(job, ev.Transcribe)
    timeline = ear.listener.open.timeline
    assert timeline.offsets_ms() == {"speech_end": 0.0, "tentative_end": 96.0}
    ear.hear(3, 0.0)
    ear.listener.judge_if_due()
    ear.listener.judge_if_due()
    [judge] = ear.take()
    assert judge == ev.Judge(job.attempt, job.start_sample, job.end_sample + 3 * FRAME_SAMPLES)


def test_only_the_last_silence_is_judged() -> None:
    ear = Ear()
    ear.hear(10, 0.9)
    ear.listener.open_turn()
    ear.hear(3, 0.0)
    ear.fall_silent(1.0)
    assert not ear.listener.judged(ev.TurnJudged(0, 0.9))
    assert ear.listener.judged(ev.TurnJudged(1, 0.9))
    assert ear.listener.open.judged == 0.9
    ear.listener.go_on()
    assert ear.listener.open.judged is None
    assert ev.Abandon(1) in ear.take()


@pytest.mark.parametrize(("kind", "asked"), [("semantic_vad", 1), ("server_vad", 0)])
def test_server_vad_needs_no_judge(kind: str, asked: int) -> None:
    ear = Ear(ev.TurnDetection(kind=kind))  # type: ignore[arg-type]
    ear.hear(10, 0.9)
    ear.listener.open_turn()
    ear.hear(10, 0.0)
    ear.fall_silent(1.0)
    ear.listener.judge_if_due()
    assert names(ear.take()).count("Judge") == asked


def test_partials_one_at_a_time_at_their_distance() -> None:
    ear = Ear(partial_every_ms=320)
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    ear.take()
    ear.listener.transcribe_partial_if_due()
    assert ear.take() == []
    ear.hear(5, 0.9)
    ear.listener.transcribe_partial_if_due()
    assert names(ear.take()) == ["Transcribe"]
    ear.hear(20, 0.9)
    ear.listener.transcribe_partial_if_due()
    assert ear.take() == []
    assert ear.listener.transcript(ev.TranscriptHeard(1, "one two", "en", False), 1.0) is None
    ear.listener.transcribe_partial_if_due()
    assert names(ear.take()) == ["Transcribe"]
    assert ear.listener.transcript_failed(ev.TranscriptFailed(2, "busy")) is None


def test_a_partial_that_failed_is_tried_again_a_second_later() -> None:
    ear = Ear(partial_every_ms=160)
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    ear.hear(5, 0.9)
    ear.listener.transcribe_partial_if_due()
    assert ear.listener.transcript_failed(ev.TranscriptFailed(1, "transcriber: busy")) is None
    ear.take()
    ear.hear(31, 0.9)
    ear.listener.transcribe_partial_if_due()
    assert ear.take() == []
    ear.hear(1, 0.9)
    ear.listener.transcribe_partial_if_due()
    assert names(ear.take()) == ["Transcribe"]


def test_no_partials_when_they_are_switched_off() -> None:
    ear = Ear(partial_every_ms=0)
    ear.hear(100, 0.9)
    ear.listener.open_turn()
    ear.take()
    ear.listener.transcribe_partial_if_due()
    assert ear.take() == []


def test_a_transcript_nobody_waits_for_is_ignored() -> None:
    ear = Ear()
    assert ear.listener.transcript(ev.TranscriptHeard(7, "late", "en", True), 1.0) is None
    assert ear.listener.transcript_failed(ev.TranscriptFailed(7, "late")) is None


def test_a_committed_turn_waits_for_its_words() -> None:
    ear = Ear()
    ear.hear(10, 0.9)
    ear.listener.open_turn()
    ear.hear(3, 0.0)
    ear.fall_silent(1.0)
    turn = ear.listener.commit_turn(1.5)
    assert ear.listener.awaited() == [turn]
    assert ear.history.messages("") == ()
    assert ear.listener.transcript(ev.TranscriptHeard(1, " hello ", "hi", True), 2.0) is turn
    assert ear.listener.awaited() == []
    ear.take()
    ear.listener.tell_transcript(turn)
    delta, done = ear.take()
    assert delta == ev.TranscriptDelta("item_1", "hello")
    assert isinstance(done, ev.TranscriptDone)
    assert ear.history.messages("") == (("user", "hello"),)
    assert turn.language == "hi"


def test_a_lost_transcript_is_told() -> None:
    ear = Ear()
    ear.hear(10, 0.9)
    ear.listener.open_turn()
    ear.fall_silent(1.0)
    turn = ear.listener.transcript_failed(ev.TranscriptFailed(1, "transcriber: gone"))
    assert turn is ear.listener.open
    ear.listener.commit_turn(2.0)
    assert ear.take()[-1] == ev.TranscriptLost("item_1", "transcriber: gone")


def test_a_turn_ended_from_outside_ends_at_the_last_frame() -> None:
    ear = Ear(max_turn_ms=320)
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    assert not ear.listener.is_overlong()
    ear.hear(10, 0.9)
    assert ear.listener.is_overlong()
    ear.listener.end_here()
    assert ear.listener.open.end_sample == 15 * FRAME_SAMPLES
    assert ear.hear(3, 0.9) == [Onset(15 * FRAME_SAMPLES)]


def test_a_dropped_turn_is_over_for_the_client() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    ear.listener.drop_turn()
    assert ear.take()[-1] == ev.SpeechStopped("item_1", 5 * FRAME_SAMPLES)
    ear.hear(3, 0.9)
    ear.listener.open_turn()
    assert ear.listener.open.start_sample == 5 * FRAME_SAMPLES


def test_the_buffer_is_what_was_not_committed_or_cleared() -> None:
    ear = Ear()
    ear.hear(100, 0.0)
    assert ear.listener.uncommitted_ms == 3200
    ear.listener.commit_buffer(1.0)
    job = ear.take()[0]
    assert isinstance(job, ev.Transcribe)
    assert (job.start_sample, job.end_sample) == (0, 100 * FRAME_SAMPLES)
    assert ear.listener.uncommitted_ms == 0
    ear.hear(10, 0.0)
    ear.listener.clear()
    assert ear.listener.uncommitted_ms == 0
    assert names(ear.take()) == ["ForgetAudio", "ResetVoiceActivity", "AudioCleared"]


def test_a_commit_by_hand_takes_all_when_the_client_ends_turns_and_the_last_seconds_otherwise() -> None:
    for detection, start in ((None, 0), (ev.TurnDetection(), 40_000 - MAX_COMMIT_MS)):
        ear = Ear()
        ear.listener.configure(ev.Settings(turn_detection=detection))
        ear.listener.received = samples(40_000)
        ear.listener.commit_buffer(1.0)
        job = ear.take()[0]
        assert isinstance(job, ev.Transcribe)
        assert job.start_sample == samples(start)


def test_old_audio_is_given_up_in_steps_and_never_during_a_turn() -> None:
    ear = Ear()
    frames = (MAX_COMMIT_MS + FORGET_STEP_MS) // 32 + 1
    ear.hear(frames, 0.0)
    ear.listener.forget_old_audio()
    assert names(ear.take()) == ["ForgetAudio"]
    ear.listener.forget_old_audio()
    assert ear.take() == []
    ear.hear(frames, 0.9)
    ear.listener.open_turn()
    ear.take()
    ear.listener.forget_old_audio()
    assert ear.take() == []


def test_the_threshold_is_the_clients() -> None:
    ear = Ear()
    ear.listener.configure(ev.Settings(turn_detection=ev.TurnDetection(threshold=0.95)))
    assert ear.hear(10, 0.9) == []


def test_a_client_that_ends_turns_itself_needs_no_threshold() -> None:
    ear = Ear()
    ear.hear(2, 0.9)
    ear.listener.configure(ev.Settings(turn_detection=None))
    assert not ear.listener.speaking


def test_silence_without_a_turn_is_only_an_edge() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    assert ear.hear(5, 0.0) == [Offset(5 * FRAME_SAMPLES)]


def test_words_are_told_when_two_partials_agree_and_are_never_taken_back() -> None:
    ear = Ear(partial_every_ms=32)
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    for attempt, text in enumerate(["what is a", "what is the cap", "what was the capital", "what is the capital"], 1):
        ear.hear(2, 0.9)
        ear.listener.transcribe_partial_if_due()
        ear.listener.transcript(ev.TranscriptHeard(attempt, text, "en", False), 1.0)
    assert [c.delta for c in ear.out if isinstance(c, ev.TranscriptDelta)] == ["what is"]
    ear.fall_silent(2.0)
    turn = ear.listener.transcript(ev.TranscriptHeard(5, "which is the capital", "en", True), 2.1)
    assert turn is not None
    ear.take()
    ear.listener.commit_turn(2.2)
    assert names(ear.take())[-1] == "TranscriptDone"


def test_ending_where_nobody_speaks_moves_no_end() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    ear.listener.open_turn()
    ear.hear(3, 0.0)
    ear.listener.end_here()
    assert ear.listener.open.end_sample == 5 * FRAME_SAMPLES


def test_a_sound_of_which_all_was_committed_has_no_transcript() -> None:
    ear = Ear()
    ear.hear(10, 0.9)
    ear.listener.overhear()
    ear.listener.received = 100_000
    sound = ear.listener.overheard
    ear.listener.commit_buffer(1.0)  # the client's audio is ahead of what was heard
    ear.listener.overheard = sound
    ear.take()
    ear.listener.transcribe_sound_if_due()
    assert ear.take() == []


def test_a_sound_that_is_kept_begins_the_next_turn_and_its_silence_is_not_transcribed() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    ear.listener.overhear()
    ear.hear(5, 0.9)
    assert not ear.listener.overheard_waits
    ear.listener.keep_sound()
    assert ear.listener.overheard_waits
    assert ear.take() == []
    ear.hear(60, 0.0)
    ear.listener.open_turn()
    ear.fall_silent(1.0)
    [_, job] = ear.take()
    assert isinstance(job, ev.Transcribe)
    assert (job.start_sample, job.end_sample) == (0, 10 * FRAME_SAMPLES + samples(LONGEST_TAIL_MS))
    assert not ear.listener.overheard_waits


def test_a_kept_sound_needs_no_words_any_more() -> None:
    ear = Ear()
    ear.hear(5, 0.9)
    ear.listener.overhear()
    ear.listener.transcribe_sound_if_due()
    ear.listener.keep_sound()
    asked, abandoned = ear.take()
    assert isinstance(asked, ev.Transcribe)
    assert abandoned == ev.Abandon(asked.attempt)
    ear.listener.configure(ev.Settings(turn_detection=ev.TurnDetection(interrupt_response=False)))
    assert ear.listener.overheard_waits
    ear.listener.configure(ev.Settings())
    assert not ear.listener.overheard_waits
    ear.listener.configure(ev.Settings(turn_detection=None))
    assert ear.listener.overheard is None
