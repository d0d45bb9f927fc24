from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import pytest

from tests.conversation.stage import Stage, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.timeline import Timeline

FULL = Timeline(10.0, 10.1, 10.4, 10.5, 10.55, 10.6, 10.3, 10.6)


def test_stages_sum_to_the_whole() -> None:
    assert FULL.stages_ms() == {
        "silence": 100.0,
        "transcript": 300.0,
        "first_token": 100.0,
        "first_phrase": 50.0,
        "first_audio": 50.0,
        "hold": 0.0,
    }
    assert FULL.total_ms() == pytest.approx(600)
    assert FULL.endpoint_ms() == pytest.approx(300)
    assert FULL.offsets_ms()["commit"] == pytest.approx(300)
    assert FULL.offsets_ms()["speech_end"] == 0


def test_a_stage_that_was_not_reached_is_left_out() -> None:
    timeline = Timeline(speech_end=1.0, tentative_end=1.1, first_token=1.5)
    assert timeline.stages_ms() == {"silence": 100.0, "first_token": 400.0}
    assert timeline.total_ms() is None
    assert timeline.endpoint_ms() is None


def test_without_speech_there_is_nothing_to_tell() -> None:
    timeline = Timeline(commit=1.0, first_sent=2.0)
    assert (timeline.stages_ms(), timeline.offsets_ms()) == ({}, {})
    assert (timeline.total_ms(), timeline.endpoint_ms()) == (None, None)


# --- in which mode what is waited for ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Engines:
    """How long each of them takes, in ms."""

    transcript: float = 300
    """Of the whole turn, or what of it is left when the user falls silent."""
    judge: float = 20
    prepare: float = 30
    first_token: float = 40
    audio: float = 50


class Timed(Stage):
    """Engines answer what they are asked after their time; the judge is sure."""

    def __init__(self, policy: Policy, engines: Engines) -> None:
        super().__init__(policy=policy)
        self._engines = engines
        self._agenda: list[tuple[float, int, ev.Event]] = []
        self._entries = itertools.count()

    def do(self, event: ev.Event) -> list[ev.Command]:
        out = super().do(event)
        for command in out:
            self._plan(command)
        return out

    def pass_time(self, ms: float) -> list[ev.Command]:
        until, out = self.now + ms / 1000, []
        while self._agenda and self._agenda[0][0] <= until:
            at, _, event = heapq.heappop(self._agenda)
            out += super().pass_time(max(0.0, 1000 * (at - self.now)))
            out += self.do(event)
        return out + super().pass_time(max(0.0, 1000 * (until - self.now)))

    def _plan(self, command: ev.Command) -> None:
        engines = self._engines
        match command:
            case ev.Transcribe(attempt, final=True):
                self._later(engines.transcript, ev.TranscriptHeard(attempt, "Order a pizza.", "en", True))
            case ev.Judge(attempt):
                self._later(engines.judge, ev.TurnJudged(attempt, 0.999))
            case ev.Prepare(attempt):
                self._later(engines.prepare, ev.WordsJudged(attempt, None))
            case ev.Respond(reply_id):
                self._later(engines.first_token, ev.ReplyText(reply_id, "It is on its way."))
                self._later(engines.first_token + 1, ev.ReplyTextEnded(reply_id))
            case ev.Speak(reply_id, phrase):
                self._later(engines.audio, ev.PhraseAudio(reply_id, phrase, sound(1000)))
                self._later(engines.audio + 1, ev.PhraseEnded(reply_id, phrase))

    def _later(self, ms: float, event: ev.Event) -> None:
        heapq.heappush(self._agenda, (self.now + ms / 1000, next(self._entries), event))


def timeline_of(policy: Policy, engines: Engines) -> Timeline:
    """Of one turn, spoken and answered."""
    stage = Timed(policy, engines)
    stage.speak(1500)
    stage.silence(6000)
    timeline = stage.last(ev.ReplyEnded).timeline
    assert timeline is not None
    return timeline


def total_ms(policy: Policy, engines: Engines) -> float:
    total = timeline_of(policy, engines).total_ms()
    assert total is not None
    return total


WHOLE = Policy(partial_every_ms=0)
STREAMED = Policy(partial_every_ms=160, streams=True)
HEARD = Policy(partial_every_ms=0, listens=True)


def test_an_answer_to_what_is_heard_does_not_wait_for_the_transcript() -> None:
    """Neither its wait nor its stages know of it, however long it takes."""
    totals = {total_ms(HEARD, Engines(transcript)) for transcript in (300, 1000, 3000)}
    assert len(totals) == 1
    waiting = [total_ms(WHOLE, Engines(transcript)) for transcript in (300, 1000, 3000)]
    assert max(totals) < min(waiting)
    assert waiting[1] - waiting[0] > 500
    assert waiting[2] - waiting[1] == pytest.approx(2000, abs=1)
    timeline = timeline_of(HEARD, Engines(60))  # nor is it a stage when it is there before the first token
    assert "transcript" not in timeline.stages_ms()
    assert sum(timeline.stages_ms().values()) == pytest.approx(timeline.total_ms(), abs=1)


def test_with_a_stream_only_its_end_is_waited_for() -> None:
    """What is heard while it is said is in no stage: the transcript's is the flush."""
    for flush in (50, 400, 800):
        assert timeline_of(STREAMED, Engines(flush)).stages_ms()["transcript"] == pytest.approx(flush, abs=1)
    late = total_ms(STREAMED, Engines(800)) - total_ms(STREAMED, Engines(700))
    assert late == pytest.approx(100, abs=1)
    assert total_ms(STREAMED, Engines(50)) == total_ms(STREAMED, Engines(150))  # both within the wait for the end
