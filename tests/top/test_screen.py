from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.top.reading import Look
from voxtral_voice.top.scrape import Scrape
from voxtral_voice.top.screen import Screen

SESSION: dict[str, Any] = {
    "id": "sess_0123456789abcdef",
    "age_s": 75.2,
    "state": "replying",
    "turns": 4,
    "replies": 3,
    "interruptions": 1,
    "underruns": 2,
    "last_latency_ms": 412.3,
    "user_audio_s": 70.0,
    "reply_audio_s": 31.0,
    "queues": {"frames": 3, "events": 0},
}
ENGINES = {"responder": "smollm2-135m", "speaker": "kokoro", "turn_judge": "smart turn"}


def look(sessions: int = 1, **changed: Any) -> Look:
    metrics = Metrics()
    metrics.sessions.set(sessions)
    metrics.loop_lag.set(0.062)
    for stage, seconds in (("silence", 0.18), ("transcript", 0.06), ("first_audio", 0.12)):
        metrics.stage_latency.labels(stage).observe(seconds)
    metrics.turn_latency.observe(0.41)
    metrics.engine_failures.labels("speaker").inc(2)
    metrics.refusals.labels("server_full").inc(3)
    scrape = Scrape(metrics.text().decode())
    many = tuple({**SESSION, "id": f"sess_{number:02}"} for number in range(sessions))
    usual: dict[str, Any] = {"failing": {"speaker": "it took too long"}, "state": "failing", "lately_s": None}
    usual |= changed
    return Look("http://there:1", scrape, scrape, sessions=many, engines=ENGINES, **usual)


def shown(screen: Screen, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, height=200, force_terminal=False)
    console.print(screen)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if name in line]
    return line[line.index(name) + len(name) :].split()


def test_everything_that_an_operator_asks_for_is_on_it() -> None:
    text = shown(Screen(look()))
    assert "http://there:1" in text
    assert "failing" in text
    assert "loop lag 62 ms" in text
    assert row(text, "first audio")[:3] == ["125", "148", "1"]
    assert row(text, "voice to voice")[:3] == ["450", "495", "1"]
    assert "server_full 3" in text
    assert "it took too long" in text
    assert row(text, "sess_00") == ["75", "s", "4", "1", "412", "70", "s", "31", "s", "2", "3", "replying"]


def test_what_failed_and_what_works() -> None:
    text = shown(Screen(look()))
    assert row(text, "speaker")[:2] == ["0", "2"]
    assert row(text, "turn judge")[-2:] == ["smart", "turn"]


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    text = shown(Screen(look()), width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("failing", "voice to voice", "speaker", "sess_", "loop"):
        assert word in text


def test_sessions_that_have_no_room_are_counted() -> None:
    text = shown(Screen(look(50), lines=30))
    assert "sess_00" in text
    assert "sess_49" not in text
    assert len(text.splitlines()) <= 30
    named = sum("sess_" in line for line in text.splitlines())
    assert f"and {50 - named} more" in text
    assert "sess_49" in shown(Screen(look(50)))


def test_no_sessions() -> None:
    assert "no sessions" in shown(Screen(look(0)))


def test_rates_need_two_looks() -> None:
    assert "cpu" not in shown(Screen(look()))
    text = shown(Screen(look(lately_s=30.0)))
    assert "a minute 0" in text
    assert "cpu" in text
    assert "in 30 s" in text


def test_what_an_operator_should_not_overlook() -> None:
    text = "# TYPE voxtral_voice_overloaded gauge\nvoxtral_voice_overloaded 1.0\nvoxtral_voice_sessions_held 2.0\n"
    one, scrape = look(), Scrape(text)
    told = shown(Screen(Look(one.url, scrape, scrape, None, (), "ready", {}, {})))
    assert "overloaded: takes nobody new" in told
    assert "held 2" in told


def test_why_there_is_no_newer_look() -> None:
    assert "No server answers" in shown(Screen(look(), trouble="No server answers at http://there:1."))


def test_what_a_server_says_moves_no_cursor_and_is_no_markup() -> None:
    odd = look(failing={"speaker": "\x1b[2J [red]gone[/red]"})
    text = shown(Screen(odd), 160)
    assert "\x1b" not in text
    assert "[red]gone[/red]" in text


@pytest.mark.parametrize("session", [{}, {"age_s": "x", "turns": None, "queues": 3, "last_latency_ms": []}])
def test_a_session_without_what_it_should_have_is_shown_all_the_same(session: dict[str, Any]) -> None:
    one = look(1)
    text = shown(Screen(Look(one.url, one.total, one.lately, None, (session,), "ready", {}, {})))
    assert "session" in text


def test_an_engine_that_is_not_asked_any_more() -> None:
    one = look()
    total = Scrape('# TYPE voxtral_voice_circuit_state gauge\nvoxtral_voice_circuit_state{engine="speaker"} 2.0\n')
    text = shown(Screen(Look(one.url, total, total, None, (), "failing", ENGINES, one.failing)), 160)
    assert "switched off: it took too long" in text
