from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.bench.timeline import record, reply, said, tone
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Purpose,
    Refused,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    Said,
    SessionRecord,
    TextArrived,
    TurnCommitted,
)
from voxtral_voice.bench.score import Figures, figures, tradeoff
from voxtral_voice.bench.stats import Estimate, Point, Spread

Seen = Observation | list[Observation]


def talk(*waits: float | None, clip: str = "en-core/one", **changed: Any) -> SessionRecord:
    """One turn for each wait in s from its end to the sound of the answer; None: no answer."""
    things = [said(20 * i, 20 * i + 1, clip=clip, **changed) for i in range(len(waits))]
    seen = [reply(str(i), 20 * i + 1 + wait - 0.01) for i, wait in enumerate(waits) if wait is not None]
    return record(things, *seen)


def one(thing: Said, *seen: Seen) -> Figures:
    return figures([record([thing], *seen)])


def p50(spread: Spread) -> float | None:
    return spread.p50.value if spread.p50 else None


# --- latency


def test_quantiles_are_over_the_turns_of_all_sessions() -> None:
    found = figures([talk(0.2, 0.4), talk(0.6, 0.8, clip="en-core/two")])
    assert (found.sessions, found.turns, found.taps, found.caller_minutes) == (2, 4, 0, 2.0)
    assert (found.latency.v2v_ms.n, found.latency.v2v_ms.groups) == (4, 2)
    assert found.latency.v2v_ms.p50 == Estimate(500.0, 300.0, 700.0)
    assert p50(found.latency.wire_ms) == 500.0
    assert p50(found.latency.leading_silence_ms) == 0.0
    assert found.statuses == {"completed": 4}


def test_a_missed_turn_counts_as_the_deadline_and_as_an_error() -> None:
    found = figures([talk(0.2, None, 0.4)])
    assert found.latency.v2v_ms.n == 3
    assert found.latency.v2v_ms.p99
    assert found.latency.v2v_ms.p99.value == pytest.approx(14_708)
    assert found.latency.wire_ms.n == 2
    assert (found.missed.count, found.missed.of) == (found.latency.missed.count, found.latency.missed.of) == (1, 3)
    assert found.statuses == {"completed": 2, "no_answer": 1}


def test_a_cut_in_is_in_no_quantile() -> None:
    found = figures([talk(0.3, -0.5)])
    assert (found.latency.v2v_ms.n, p50(found.latency.v2v_ms), found.latency.wire_ms.n) == (1, 300.0, 1)
    assert (found.cut_ins.count, found.cut_ins.plain.count, found.cut_ins.plain.of) == (1, 1, 2)
    assert found.missed.count == 0


def test_sets_and_languages_are_reported_apart() -> None:
    found = figures([talk(0.2), talk(0.4, clip="hi/a", language="hi"), talk(0.6, clip="hi/b", language="hi")])
    assert {name: p50(each.v2v_ms) for name, each in found.by_set.items()} == {"en-core": 200.0, "hi": 500.0}
    assert {name: each.v2v_ms.n for name, each in found.by_language.items()} == {"en": 1, "hi": 2}


def test_jitter_is_of_the_player() -> None:
    assert p50(figures([talk(0.2)], jitter_ms=60).latency.v2v_ms) == 260.0


# --- cut-ins


def test_cut_ins_of_hold_clips_are_a_share_of_their_pauses() -> None:
    pauses = ((0.3, 0.5), (0.7, 0.8))
    cut = record([said(0, 1, kind="hold", pauses=pauses, condition="200 ms", clip="hold/a")], reply("a", 0.4, 0.05))
    kept = record([said(0, 1, kind="hold", pauses=pauses[:1], condition="500 ms", clip="hold/b")], reply("a", 1.4))
    hold = figures([cut, kept]).cut_ins
    assert (hold.count, hold.hold.count, hold.hold.of) == (1, 1, 3)
    assert {name: (each.count, each.of) for name, each in hold.hold_by_condition.items()} == {
        "200 ms": (1, 2),
        "500 ms": (0, 1),
    }
    assert (hold.plain.of, hold.plain.percent) == (0, None)


# --- interruptions and taps


def over(purpose: Purpose, *seen: Seen, condition: str = "") -> SessionRecord:
    """Said from 2 to 3 s, over a reply from 1.21 to 9.21 s."""
    things = [said(0, 1), said(2, 3, purpose, "tap/mhm" if purpose == "tap" else "en-core/stop", condition=condition)]
    return record(things, reply("old", 1.2, 8.0), *seen)


def test_interruptions() -> None:
    stopped = over("barge_in", Flushed(2.4), AudioArrived(2.5, "old", tone(0.1)), reply("b", 3.5))
    found = figures([stopped, over("barge_in")])
    assert (found.barge_in.stopped.count, found.barge_in.stopped.of) == (1, 2)
    assert p50(found.barge_in.heard_stop_ms) == (300 + 7110) / 2
    assert p50(found.barge_in.server_stop_ms) == 200.0
    assert found.barge_in.old_audio_after_stop_ms == 100.0
    assert (found.barge_in.latency.v2v_ms.n, found.barge_in.latency.missed.count) == (2, 1)
    assert (found.turns, found.missed.of, found.latency.v2v_ms.n) == (4, 4, 2)


def test_false_stops_are_a_share_of_the_taps_by_condition() -> None:
    taps = [over("tap", condition="mhm"), over("tap", Flushed(2.4), condition="cough"), over("tap", condition="cough")]
    found = figures([*taps, record([said(0, 1, "tap")])])
    assert (found.taps, found.turns) == (4, 3)
    assert (found.false_stops.all.count, found.false_stops.all.of) == (1, 3)
    assert {name: each.count for name, each in found.false_stops.by_condition.items()} == {"": 0, "cough": 1, "mhm": 0}
    assert found.missed.of == 3


# --- continuity


def test_underruns_are_counted_per_minute_of_reply() -> None:
    begun = reply("a", 1.2, 3.0)
    found = one(said(0, 1), begun, AudioArrived(4.46, "a", tone(3.0))).continuity
    assert (found.reply_minutes, found.underruns, found.underruns_per_minute, found.longest_gap_ms) == (
        0.1,
        1,
        10.0,
        250.0,
    )


def test_without_replies_there_is_no_rate() -> None:
    found = figures([]).continuity
    assert (found.underruns, found.underruns_per_minute, found.longest_gap_ms) == (0, None, 0.0)


# --- words


def test_transcripts_are_scored_by_language() -> None:
    english = one(said(0, 1), Heard(1.2, "i", "What is this?"), reply("a", 1.3)).transcripts["en"]
    assert (english.unit, english.turns, english.missing) == ("word", 1, 0)
    assert (english.error_percent, english.wer_percent) == (Estimate(33.333), 33.333)
    hindi = one(said(0, 1, language="hi", text="नमस्ते"), Heard(1.2, "i", "नमस्त")).transcripts["hi"]
    assert (hindi.unit, hindi.error_percent, hindi.wer_percent) == ("character", Estimate(16.667), 100.0)
    chinese = one(said(0, 1, language="zh", text="你好 吗"), Heard(1.2, "i", "你好")).transcripts["zh"]
    assert (chinese.error_percent, chinese.wer_percent, chinese.cer_percent) == (Estimate(33.333), None, 33.333)


def test_a_transcript_that_is_missing_is_all_wrong_but_a_server_without_any_is_not_scored() -> None:
    things = [said(0, 1), said(5, 6)]
    some = figures([record(things, TurnCommitted(1.1, "i"), Heard(1.2, "i", "what is that"))]).transcripts["en"]
    assert (some.missing, some.error_percent) == (1, Estimate(50.0))
    assert figures([record(things)]).transcripts == {}
    assert one(said(0, 1, text=""), Heard(1.2, "i", "mhm")).transcripts == {}


def test_texts_without_words_have_no_rate() -> None:
    english = one(said(0, 1, text="?!"), Heard(1.2, "i", "mhm")).transcripts["en"]
    assert (english.error_percent, english.wer_percent, english.cer_percent) == (None, None, None)


def test_answers_are_looked_through_for_the_fact() -> None:
    asked = said(0, 1, answer="Paris")
    right = record([asked], reply("a", 1.2), TextArrived(1.3, "a", "It is Paris."))
    wrong = record([asked, said(5, 6)], reply("a", 1.2), TextArrived(1.3, "a", "It is Rome."))
    found = figures([right, wrong]).right_answers
    assert (found.count, found.of) == (1, 2)


# --- what the server says of itself


def test_stages_keep_their_order() -> None:
    trace = {"stages_ms": {"silence": 64, "hold": 10}, "endpoint_ms": 200}
    found = one(said(0, 1), reply("a", 1.2)[:2], ReplyEnded(1.3, "a", "completed", None, trace))
    assert [(name, p50(stage)) for name, stage in found.stages_ms.items()] == [("silence", 64.0), ("hold", 10.0)]
    assert found.endpoint_ms
    assert p50(found.endpoint_ms) == 200.0


def test_without_a_trace_there_are_no_stages() -> None:
    found = figures([talk(0.2)])
    assert (found.stages_ms, found.endpoint_ms) == ({}, None)


# --- troubles


def test_troubles_are_counted() -> None:
    found = one(said(0, 1), ReplyBegan(1.2, "a"), Refused(1.3, "too long"), Refused(1.4, "no"), Lost(1.5, "it closed"))
    assert (found.refused, found.lost, found.missed.count) == (2, 1, 1)


@pytest.mark.parametrize(
    ("lateness_ms", "void"), [((1.0, 2.0), False), ((1.0, 10.0), False), ((1.0, 99.0), True), ((), True)]
)
def test_a_late_microphone_voids_the_run(lateness_ms: tuple[float, ...], void: bool) -> None:
    assert figures([replace(talk(0.2), lateness_ms=lateness_ms)]).void is void


def test_lateness_is_of_all_chunks() -> None:
    records = [replace(talk(0.2), lateness_ms=(1.0,) * 50), replace(talk(0.2), lateness_ms=(3.0,) * 50)]
    lateness = figures(records).lateness
    assert (lateness.chunks, lateness.p50_ms, lateness.p99_ms) == (100, 2.0, 3.0)
    assert figures([]).lateness.p99_ms is None


def test_the_same_records_give_the_same_json() -> None:
    records = [talk(0.2, 0.4), over("barge_in", Flushed(2.4)), over("tap")]
    found = figures(records).as_json()
    assert found["latency"]["v2v_ms"]["p50"]["value"] == 210.0
    assert orjson.dumps(found) == orjson.dumps(figures(records).as_json())


# --- several runs


def run(wait_s: float, cut: int, *, endpoint_ms: float | None = None) -> Figures:
    """Ten hold clips with a pause at 0.5 s, so many of them cut in there."""
    trace = None if endpoint_ms is None else {"endpoint_ms": endpoint_ms}
    things = [
        said(20 * i, 20 * i + 1, kind="hold", clip=f"hold/{i}", pauses=((20 * i + 0.5, 20 * i + 0.7),))
        for i in range(10)
    ]
    seen: list[Seen] = [
        [
            *reply(str(i), thing.end + wait_s - 0.01)[:2],
            ReplyEnded(thing.end + wait_s, str(i), "completed", None, trace),
        ]
        for i, thing in enumerate(things)
    ]
    seen += [reply(f"early {i}", 20 * i + 0.55, 0.05) for i in range(cut)]
    return figures([record(things, *seen)])


def test_runs_at_several_settings_make_a_curve() -> None:
    found = tradeoff([("fast", run(0.4, 2)), ("slow", run(0.8, 0))])
    assert found.keys() == {"v2v"}
    assert found["v2v"].points == (Point("fast", 400.0, 20.0), Point("slow", 800.0, 0.0))
    assert found["v2v"].numbers.latency_at_10_percent_ms == 600.0


def test_the_endpoint_wait_is_a_latency_of_its_own_when_every_run_has_it() -> None:
    runs = [("fast", run(0.4, 2, endpoint_ms=200)), ("slow", run(0.8, 0, endpoint_ms=600))]
    assert tradeoff(runs)["endpoint_wait"].points == (Point("fast", 200.0, 20.0), Point("slow", 600.0, 0.0))
    assert tradeoff([runs[0], ("slow", run(0.8, 0))]).keys() == {"v2v"}


def test_one_point_or_none_is_no_curve() -> None:
    assert tradeoff([("fast", run(0.4, 2)), ("no hold clips", figures([talk(0.2)])), ("nothing", figures([]))]) == {}
    assert tradeoff([]) == {}


# --- intents, echoes, noise, heard text


def test_intents_are_apart_from_answers_of_the_language_model() -> None:
    asked = said(0, 1, clip="questions/a"), said(20, 21, clip="intents/time", condition="intent", answer="It's")
    other = said(40, 41, clip="intents/day", condition="intent", answer="Today is")
    seen = [*reply("a", 1.59), *reply("b", 21.19), TextArrived(21.3, "b", "It's 5 PM."), *reply("c", 41.39)]
    found = figures([record([*asked, other], seen)])
    assert (found.latency.v2v_ms.n, p50(found.latency.v2v_ms)) == (1, 600.0)
    assert (found.intents.latency.v2v_ms.n, p50(found.intents.latency.v2v_ms)) == (2, 300.0)
    assert (found.intents.recognised.count, found.intents.recognised.of, found.right_answers.of) == (1, 2, 0)
    assert found.by_set.keys() == {"questions", "intents"}
    assert found.missed.of == 3


def test_false_stops_are_counted_by_kind() -> None:
    kinds = ["backchannel", "cough", "door", "echo -10 dB"]
    taps = [said(20 * i + 3, 20 * i + 4, "tap", condition=kind) for i, kind in enumerate(kinds)]
    taps += [said(83, 84, "echo", condition="own echo -10 dB"), said(103, 104, "echo", condition="own echo -20 dB")]
    things = [thing for i, tap in enumerate(taps) for thing in (said(20 * i, 20 * i + 1), tap)]
    stops = [Flushed(3.5), Flushed(23.5), Flushed(83.5)]
    found = figures([record(things, *[reply(str(i), 20 * i + 1.2, 8.0) for i in range(6)], *stops)])
    counted = {kind: (each.count, each.of) for kind, each in found.false_stops.by_kind.items()}
    assert counted == {"backchannel": (1, 1), "fixed echo": (0, 1), "noise": (1, 2), "own echo": (1, 2)}
    assert (found.false_stops.all.count, found.false_stops.all.of, found.taps, found.turns) == (3, 6, 6, 6)
    assert found.false_stops.by_condition["own echo -20 dB"].count == 0


def test_turns_out_of_noise_are_counted_by_sound() -> None:
    things = [said(0, 30, "soak", kind="soak", condition="hum -35 dB", onset=0.0)]
    things += [said(40, 70, "soak", kind="soak", condition="white -20 dB", onset=40.0)]
    found = figures([record(things, TurnCommitted(50, "i", 49), reply("a", 50.2), TurnCommitted(60, "j", 59))])
    assert (found.soak.all.minutes, found.soak.all.turns, found.soak.all.replies) == (1.0, 2, 1)
    assert (found.soak.by_condition["hum -35 dB"].turns, found.soak.by_condition["white -20 dB"].turns) == (0, 2)
    assert (found.turns, found.taps, found.missed.of) == (0, 0, 0)


def test_after_an_interruption_the_stop_the_bytes_and_the_words() -> None:
    things = [said(0, 1), said(2.1, 3, "barge_in")]
    told: list[Observation] = [
        TextArrived(1.3, "old", "One two three four."),
        Remembered(4, "old", "One two three four"),
    ]
    late = AudioArrived(2.6, "old", tone(0.01))
    one_record = record(things, reply("old", 1.2, 8.0), told, Flushed(2.5), late)
    found = figures([replace(one_record, by_ear={"old": "one two"})]).barge_in
    assert (p50(found.decision_stop_ms), p50(found.words_off), found.words_off.n) == (0.0, 2.0, 1)
    assert (found.old_audio_after_stop_ms, found.old_bytes_after_stop) == (10.0, 480)
