from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from tests.observe.test_trace import ENDED, TIMELINE, value
from voxtral_voice.conversation import events as ev
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.spans import Span
from voxtral_voice.observe.watch import Shell, Watch

STARTED = ev.ReplyStarted("resp_1", "item_2", "item_1", "audio", "af_heart", None)


@dataclass
class Seen:
    """A session that is watched, and what the shell says of it."""

    received: int = 0
    depths: dict[str, int] = field(default_factory=dict)
    spans: list[tuple[Span, float]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        shell = Shell(lambda: self.received, lambda: 300.0, lambda: self.depths)
        self.watch = Watch("sess_1", self.metrics, shell, 5.0, export=lambda span, now: self.spans.append((span, now)))

    def note(self, now: float, *notices: ev.Notice) -> None:
        for notice in notices:
            self.watch.note(notice, now)

    def value(self, name: str, **labels: str) -> float:
        return value(self.metrics, name, **labels)


def audio(ms: int, plays_at: float, reply_id: str = "resp_1") -> ev.ReplyAudioDelta:
    return ev.ReplyAudioDelta(reply_id, np.zeros(24 * ms, np.float32), plays_at)


def committed(item_id: str) -> ev.AudioCommitted:
    return ev.AudioCommitted(ev.Item(item_id, "user", "audio", None), None)


def test_a_glance_says_where_a_session_is_and_how_it_fares() -> None:
    seen = Seen(received=32_000, depths={"frames": 3})
    seen.note(10.0, ev.FloorChanged("hearing"), ev.SpeechStarted("item_1", 0))
    seen.note(11.0, committed("item_1"), ev.FloorChanged("replying"), STARTED, audio(500, 11.0))
    seen.note(11.5, ENDED)
    glance = seen.watch.glance(12.0)
    assert (glance.id, glance.age_s, glance.state) == ("sess_1", 7.0, "replying")
    assert (glance.turns, glance.replies, glance.interruptions, glance.underruns) == (1, 1, 0, 0)
    assert (glance.last_latency_ms, glance.user_audio_s, glance.reply_audio_s) == (410.0, 2.0, 0.5)
    assert glance.queues == {"frames": 3}
    assert seen.value("reply_audio_seconds_total") == 0.5
    assert seen.value("turns_total") == 1


def test_the_turn_is_the_one_that_is_spoken_and_then_the_one_that_is_answered() -> None:
    seen = Seen()
    assert seen.watch.turn is None
    seen.note(1.0, ev.SpeechStarted("item_1", 0))
    assert seen.watch.turn == "item_1"
    seen.note(2.0, committed("item_7"))
    assert seen.watch.turn == "item_7"


def test_barge_in_is_from_the_first_voiced_sample_to_the_stop() -> None:
    """The sound began 0.4 s of audio ago; the turn's beginning is padded by another 0.3 s."""
    seen = Seen(received=160_000)
    seen.note(10.0, ev.SpeechStarted("item_0", 0), committed("item_0"), STARTED)
    start = 160_000 - int(0.7 * 16_000)
    seen.note(12.0, ev.SpeechStarted("item_1", start), interrupted())
    assert seen.value("barge_in_seconds_count") == 1
    assert seen.value("barge_in_seconds_sum") == pytest.approx(0.4)
    assert seen.watch.glance(12.0).interruptions == 1


@pytest.mark.parametrize("reason", [None, "client_cancelled"])
def test_a_reply_that_nobody_talked_into_is_no_barge_in(reason: Any) -> None:
    seen = Seen()
    seen.note(12.0, STARTED, ev.SpeechStarted("item_1", 0), replace(ENDED, reason=reason))
    assert seen.value("barge_in_seconds_count") == 0
    assert seen.watch.glance(12.0).interruptions == 0


def test_a_gap_in_a_reply_is_an_underrun_with_its_length() -> None:
    seen = Seen()
    seen.note(10.0, STARTED, audio(100, 10.0), audio(100, 10.1), audio(100, 10.45))
    assert seen.value("underruns_total") == 1
    assert seen.value("underrun_seconds_total") == pytest.approx(0.25)
    assert seen.watch.glance(11.0).underruns == 1


def test_what_is_held_on_purpose_is_no_underrun_and_what_comes_later_is() -> None:
    seen = Seen()
    seen.note(10.0, STARTED, audio(100, 10.0), ev.FloorChanged("contested"), ev.FloorChanged("replying"))
    seen.note(10.9, audio(100, 10.9))
    assert seen.value("underruns_total") == 0
    seen.note(11.5, audio(100, 11.5))
    assert seen.value("underruns_total") == 1


def test_replies_outside_the_conversation_are_not_played() -> None:
    seen = Seen()
    seen.note(10.0, replace(STARTED, aside=True), audio(100, 10.0), audio(100, 13.0))
    assert seen.value("underruns_total") == 0
    assert seen.value("reply_audio_seconds_total") == pytest.approx(0.2)


def test_a_new_reply_begins_without_a_gap() -> None:
    seen = Seen()
    seen.note(10.0, STARTED, audio(100, 10.0), ENDED)
    seen.note(20.0, replace(STARTED, reply_id="resp_2"), audio(100, 20.0, "resp_2"))
    assert seen.value("underruns_total") == 0


def test_a_turn_is_traced_when_its_reply_ends() -> None:
    seen = Seen()
    seen.note(9.0, ev.SpeechStarted("item_1", 0))
    seen.note(10.4, committed("item_1"), STARTED)
    assert seen.spans == []
    seen.note(12.0, ENDED)
    [(span, now)] = seen.spans
    assert now == 12.0
    assert (span.start, span.end) == (9.0, 12.0)
    assert span.attributes["voxtral_voice.turn.id"] == "item_1"


def test_an_interrupted_reply_belongs_to_the_turn_that_it_answers() -> None:
    seen = Seen()
    seen.note(9.0, ev.SpeechStarted("item_1", 0), committed("item_1"), STARTED)
    seen.note(12.0, ev.SpeechStarted("item_2", 0), interrupted())
    [(span, _)] = seen.spans
    assert span.attributes["voxtral_voice.turn.id"] == "item_1"
    assert span.attributes["gen_ai.agent.invocation.end_reason"] == "interrupted"


def test_a_reply_that_no_spoken_turn_asked_for_is_not_traced() -> None:
    seen = Seen()
    seen.note(9.0, STARTED, replace(ENDED, timeline=None))
    assert seen.spans == []


def interrupted() -> ev.ReplyEnded:
    return replace(ENDED, status="cancelled", reason="turn_detected", timeline=TIMELINE)
