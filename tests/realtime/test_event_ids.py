from __future__ import annotations

from voxtral_voice.realtime.event_ids import MOST_RUNS, AudioRuns, EventIds, Run, heard_ms, number_of

PREFIX = "0123456789ab"


def test_events_are_counted_and_nothing_else() -> None:
    ids = EventIds(PREFIX, lambda kind: f"{kind}_other")
    assert ids("event") == "event_0123456789ab00000001"
    assert ids("item") == "item_other"
    assert ids("event") == "event_0123456789ab00000002"
    assert (ids.count, ids.prefix) == (2, PREFIX)


def test_the_number_of_an_event() -> None:
    assert number_of("event_0123456789ab0000002a", PREFIX) == 42
    for other in (
        "",
        "event_1",
        "event_0123456789ac0000002a",
        "event_0123456789ab0000002a0",
        "event_0123456789abxxxxxxxx",
    ):
        assert number_of(other, PREFIX) is None


def runs(*audio: tuple[int, str, float]) -> list[Run]:
    made = AudioRuns()
    for number, reply_id, ms in audio:
        made.add(number, reply_id, ms)
    return [*made.runs]


def test_audio_in_a_row_is_one_run() -> None:
    assert runs((5, "r", 20.0), (6, "r", 20.0), (7, "r", 20.0)) == [Run(5, 20.0, 20.0, 3)]
    assert runs((5, "r", 20.0), (7, "r", 20.0)) == [Run(5, 20.0, 20.0), Run(7, 40.0, 20.0)]
    assert runs((5, "r", 20.0), (6, "r", 10.0)) == [Run(5, 20.0, 20.0), Run(6, 30.0, 10.0)]


def test_another_reply_begins_anew() -> None:
    assert runs((5, "r", 20.0), (6, "r", 20.0), (9, "s", 20.0)) == [Run(9, 20.0, 20.0)]


def test_the_oldest_runs_go() -> None:
    made = runs(*((2 * number, "r", 20.0) for number in range(MOST_RUNS + 5)))
    assert len(made) == MOST_RUNS
    assert made[-1].end_ms == 20.0 * (MOST_RUNS + 5)


def test_how_much_was_heard() -> None:
    made = [Run(10, 20.0, 20.0, 5), Run(17, 120.0, 20.0, 2)]
    assert heard_ms([], 10) is None
    assert heard_ms(made, 9) == 0.0
    assert heard_ms(made, 10) == 20.0
    assert heard_ms(made, 14) == 100.0
    assert heard_ms(made, 16) == 100.0, "no audio came with these"
    assert heard_ms(made, 18) == 140.0
    assert heard_ms(made, 20) == 180.0, "sent behind what they know of"
