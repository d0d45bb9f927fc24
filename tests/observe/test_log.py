from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from voxtral_voice.observe import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger(log.ROOT)
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    log.set_up("info", stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[str]:
    """Without the time, whose shape is checked."""
    texts = stream.getvalue().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", text) for text in texts)
    return [text.partition(" ")[2] for text in texts]


def test_an_event_is_one_line_of_fields(stream: io.StringIO) -> None:
    log.event("session_opened", peer="127.0.0.1", port=8000, share=1 / 3, resumed=False, user=None)
    assert lines(stream) == ["INFO session_opened peer=127.0.0.1 port=8000 share=0.333333 resumed=false user=null"]


def test_values_with_blanks_or_line_ends_stay_on_the_line(stream: io.StringIO) -> None:
    log.event("engine_failed", "error", message='a "b"\nc=d', empty="")
    assert lines(stream) == ['ERROR engine_failed message="a \\"b\\"\\nc=d" empty=""']


def test_ids_are_on_every_line_inside_and_gone_outside(stream: io.StringIO) -> None:
    with log.about(session="s1"):
        with log.about(session="s2"):
            log.event("committed")
        log.event("waiting")
    log.event("closed")
    assert lines(stream) == ["INFO committed session=s2", "INFO waiting session=s1", "INFO closed"]


def test_a_turn_is_named_beside_its_session(stream: io.StringIO) -> None:
    with log.about(session="s1"):
        with log.about(turn="t1"):
            log.event("committed")
        log.event("ended", turn="t1")
        log.event("waiting")
    assert lines(stream) == [
        "INFO committed session=s1 turn=t1",
        "INFO ended session=s1 turn=t1",
        "INFO waiting session=s1",
    ]


def test_json_has_the_same_fields_one_object_a_line(stream: io.StringIO) -> None:
    log.set_up("info", stream, "json")
    with log.about(session="s1", turn="t1"):
        log.event("reply_ended", total_ms=410.5, reason=None, event="x")
        log.event("engine_failed", "error", message='a "b"\nc')
    logging.getLogger("somelib").warning("look out")
    first, second, third = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    about = {"session": "s1", "turn": "t1"}
    assert first == {"level": "info", "event": "reply_ended", **about, "total_ms": 410.5, "reason": None}
    assert second["message"] == 'a "b"\nc'
    assert (third["level"], third["event"], third["library"]) == ("warning", "library_said", "somelib")


async def test_two_tasks_keep_their_own_ids(stream: io.StringIO) -> None:
    async def session(name: str) -> None:
        with log.about(session=name):
            await asyncio.sleep(0)
            log.event("spoke")

    await asyncio.gather(session("a"), session("b"))
    assert lines(stream) == ["INFO spoke session=a", "INFO spoke session=b"]


def test_what_was_said_is_refused() -> None:
    with pytest.raises(ValueError, match="never holds what was said: transcript"):
        log.event("committed", transcript="hello")


def test_levels_below_are_left_out_and_libraries_speak_from_warnings_on(stream: io.StringIO) -> None:
    log.event("frame", "debug")
    logging.getLogger("somelib").info("chatter")
    logging.getLogger("somelib").warning("look out")
    assert lines(stream) == ['WARNING library_said library=somelib message="look out"']


def test_a_traceback_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        raise OSError("gone")
    except OSError:
        logging.getLogger(log.ROOT).exception("connection_failed")
    (line,) = lines(stream)
    assert line.startswith('ERROR connection_failed error="Traceback')
    assert 'OSError: gone"' in line


def test_set_up_twice_logs_once(stream: io.StringIO) -> None:
    log.set_up("error", stream)
    log.event("quiet", "warning")
    log.event("loud", "error")
    assert lines(stream) == ["ERROR loud"]
