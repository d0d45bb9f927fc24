from __future__ import annotations

from typing import Any

import httpx
import pytest

from voxtral_voice.bench.work import Work, between, counters, read

TEXT = """
# HELP voxtral_voice_work_seconds_total CPU time of the engines.
# TYPE voxtral_voice_work_seconds_total counter
voxtral_voice_work_seconds_total{engine="responder",outcome="used"} 6.0
voxtral_voice_work_seconds_total{engine="responder",outcome="dropped"} 1.5
voxtral_voice_work_seconds_total{outcome="dropped",engine="speaker"} 0.5
voxtral_voice_work_seconds_total{engine="speaker"} 7
voxtral_voice_turns_total 3.0
"""
COUNTED = {("responder", "used"): 6.0, ("responder", "dropped"): 1.5, ("speaker", "dropped"): 0.5}


def test_the_counter_is_found_among_others() -> None:
    assert read(TEXT) == COUNTED


def test_a_server_that_does_not_count_has_no_figure() -> None:
    assert read("voxtral_voice_turns_total 3.0") is None
    assert between(None, None) is None


def test_what_was_done_before_does_not_count() -> None:
    work = between({("responder", "used"): 4.0}, COUNTED)
    assert work == Work({"responder": 2.0}, {"responder": 1.5, "speaker": 0.5})
    assert work.as_json() == {
        "used_s": {"responder": 2.0},
        "dropped_s": {"responder": 1.5, "speaker": 0.5},
        "dropped_total_s": 2.0,
        "dropped_percent": 50.0,
    }
    assert between(None, COUNTED) == Work({"responder": 6.0}, {"responder": 1.5, "speaker": 0.5})
    assert Work({}, {}).dropped_percent is None


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://127.0.0.1:8000/v1/realtime?model=x", "http://127.0.0.1:8000/metrics"),
        ("wss://there/v1/realtime", "https://there/metrics"),
    ],
)
def test_it_is_asked_beside_the_socket(url: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(where: str, **_: Any) -> httpx.Response:
        return httpx.Response(200 if where == asked else 404, text=TEXT)

    monkeypatch.setattr(httpx, "get", get)
    assert counters(url) == COUNTED
    assert counters("ws://elsewhere/v1/realtime") is None


def test_nobody_there_is_no_error() -> None:
    assert counters("ws://127.0.0.1:9/v1/realtime") is None
