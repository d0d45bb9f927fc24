from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from tests.server.stack import serving
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.admission import FULL, Admission, Place
from voxtral_voice.server.protocols.full import Gate, RefusingHttp
from voxtral_voice.server.refusals import Refusals, raw

HEAD = (
    "GET /v1/realtime HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DOOR = "404 from the door"


async def door(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{kind}.start", "status": 404, "headers": [(b"content-length", b"%d" % len(DOOR))]})
    await send({"type": f"{kind}.body", "body": DOOR.encode()})


class Full:
    """A server of one place, which is taken."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.admission = Admission(LimitsConfig(), 1)
        place = self.admission.enter(b"", "198.51.100.1", 0.0)
        assert isinstance(place, Place)
        self.place = place
        self.gate = Gate()
        self.port = 0

    def opens(self) -> Refusals:
        refusals = Refusals(self.metrics)
        self.gate.opens(self.admission, refusals)
        return refusals

    async def refused(self) -> float:
        text = await asyncio.to_thread(self.metrics.text)
        families = text_string_to_metric_families(text.decode())
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == "voxtral_voice_sessions_refused_total")

    async def asked(self, head: str) -> bytes:
        """All that the server says until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{head}\r\n".encode())
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def full() -> AsyncIterator[Full]:
    made = Full()
    async with serving(door, http=partial(RefusingHttp, made.gate)) as (_, made.port):
        yield made


async def test_a_full_server_answers_at_once(full: Full) -> None:
    full.opens()
    assert await full.asked(HEAD) == raw(FULL)
    assert await full.refused() == 1


@pytest.mark.parametrize(
    "more",
    [
        "Origin: http://h\r\n",
        "X-Voxtral-Voice-Resume: token\r\n",
        "Sec-WebSocket-Protocol: realtime, voxtral-voice-resume.token\r\n",
    ],
)
async def test_what_is_left_to_the_door(full: Full, more: str) -> None:
    full.opens()
    assert DOOR.encode() in await full.asked(HEAD + more)
    assert await full.refused() == 0


async def test_pages_that_cannot_be_told_in_their_own_way_are_refused_at_once(full: Full) -> None:
    refusals = full.opens()
    while refusals.may_tell_page(asyncio.get_running_loop().time()):
        pass
    assert await full.asked(HEAD + "Origin: http://h\r\n") == raw(FULL)


async def test_other_subprotocols_make_no_difference(full: Full) -> None:
    full.opens()
    assert await full.asked(HEAD + "Sec-WebSocket-Protocol: realtime\r\n") == raw(FULL)


async def test_where_there_is_a_place_the_door_is_asked(full: Full) -> None:
    full.opens()
    full.place.leave()
    assert DOOR.encode() in await full.asked(HEAD)


async def test_requests_are_none_of_it(full: Full) -> None:
    full.opens()
    assert DOOR.encode() in await full.asked("GET /v1/realtime HTTP/1.1\r\nHost: h\r\nConnection: close\r\n")


async def test_before_the_engines_are_there_all_is_left_to_what_answers_then(full: Full) -> None:
    assert DOOR.encode() in await full.asked(HEAD)
