from __future__ import annotations

import logging

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message
from starlette.websockets import WebSocket

from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.admission import FULL, KEY_FULL, Refused
from voxtral_voice.server.refusals import LOG_EVERY_S, PAGES_PER_S, Refusals, body, raw, response, tell_page


def test_the_body_has_the_form_of_openais_errors() -> None:
    assert orjson.loads(body(FULL)) == {
        "error": {"message": FULL.message, "type": "server_error", "param": None, "code": "server_full"}
    }
    assert orjson.loads(body(KEY_FULL))["error"]["type"] == "rate_limit_error"


def test_the_answer_in_bytes_is_the_answer() -> None:
    head, _, content = raw(FULL).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    answer = response(FULL)
    headers = dict(line.split(": ", 1) for line in lines)
    assert (status, content) == ("HTTP/1.1 503 Service Unavailable", answer.body)
    assert answer.status_code == 503
    assert headers == {**dict(answer.headers), "connection": "close"}
    assert headers["retry-after"] == str(FULL.retry_after_s)
    assert raw(KEY_FULL).startswith(b"HTTP/1.1 429 Too Many Requests\r\n")


def test_all_are_counted_and_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    metrics = Metrics()
    refusals = Refusals(metrics)
    for number in range(1000):
        refusals.note(FULL, 100.0 + number / 1000)
    refusals.note(FULL, 100.0 + LOG_EVERY_S)
    told = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "sessions_refused"]
    assert told == [{"reason": "sessions", "count": 1}, {"reason": "sessions", "count": 1000}]
    samples = [s for family in text_string_to_metric_families(metrics.text().decode()) for s in family.samples]
    counted = {s.name: s.value for s in samples if s.labels in ({"reason": "sessions"}, {"code": "server_full"})}
    assert counted["voxtral_voice_sessions_refused_total"] == counted["voxtral_voice_refusals_total"] == 1001


def test_so_many_pages_are_told_in_a_second() -> None:
    refusals = Refusals(Metrics())
    assert [refusals.may_tell_page(5.0) for _ in range(PAGES_PER_S + 1)] == [True] * PAGES_PER_S + [False]
    assert refusals.may_tell_page(5.0 + 1.01 / PAGES_PER_S)


async def told(refused: Refused, *, gone_after: int = 99, offered: tuple[str, ...] = ("realtime",)) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if len(sent) == gone_after:
            raise OSError
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/realtime", "headers": [], "subprotocols": list(offered)}
    await tell_page(refused, WebSocket(scope, receive, send))
    return sent


async def test_a_page_is_let_in_told_and_let_go() -> None:
    accepted, event, closed = await told(FULL)
    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "realtime")
    frame = orjson.loads(event["text"])
    assert frame["event_id"].startswith("event_")
    assert (frame["type"], frame["error"]["code"], frame["error"]["type"]) == ("error", "server_full", "server_error")
    assert (closed["code"], closed["reason"]) == (1013, FULL.message)
    assert (await told(FULL, offered=("other",)))[0]["subprotocol"] is None


@pytest.mark.parametrize("gone_after", [0, 1, 2])
async def test_a_page_that_goes_in_the_middle_is_fine(gone_after: int) -> None:
    assert len(await told(FULL, gone_after=gone_after)) == gone_after
