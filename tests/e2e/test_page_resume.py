"""The page and a connection that breaks, in a real browser: it comes back by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Visit, visit
from tests.e2e.test_page import press, told
from tests.faults.proxy import Proxy, proxy_to
from tests.server.caller import calling
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.server.run import running

pytestmark = pytest.mark.browser

LONG = "This is quite a long message, so that there is time enough to break the connection while it is said again."
ANSWER = f"You said: {LONG}"


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@asynccontextmanager
async def served(limits: LimitsConfig | None = None) -> AsyncIterator[str]:
    config = Config(profile="fake", server=ServerConfig(port=0), limits=limits or LimitsConfig())
    async with running(config) as url:
        yield url


@asynccontextmanager
async def visited(url: str) -> AsyncIterator[tuple[Visit, Proxy]]:
    """The page, connected through a proxy."""
    async with proxy_to(port_of(url)) as proxy, visit(f"http://127.0.0.1:{proxy.port}") as guest:
        await press(guest, "Connect")
        await guest.phase("idle")
        await guest.until("voxtral.wire.token !== null")
        yield guest, proxy


async def asked(guest: Visit, text: str) -> None:
    await guest.page.get_by_label("Type a message").fill(text)
    await guest.page.keyboard.press("Enter")


def excused(guest: Visit) -> list[str]:
    """What the browser complains about, but for the connections that broke or were refused."""
    return [text for text in guest.complaints if "WebSocket" not in text and "ERR_" not in text]


async def test_an_answer_goes_on_over_another_connection() -> None:
    async with served() as url, visited(url) as (guest, proxy):
        session = await guest.ask("voxtral.conversation.session.id")
        await asked(guest, LONG)
        await guest.phase("speaking")
        proxy.stall()
        proxy.reset()
        await guest.phase("reconnecting")
        await expect(guest.page.get_by_text("What you say meanwhile is kept.")).to_be_visible()
        await guest.screenshots("reconnecting")
        proxy.go_on()
        await guest.until("['idle', 'speaking', 'thinking'].includes(voxtral.phase)")
        await guest.until("voxtral.turns.length === 2 && voxtral.turns[1].status === 'done'")
        [answer] = await guest.turns("assistant")
        assert answer["text"] == ANSWER
        assert answer["playedMs"] == pytest.approx(answer["receivedMs"], abs=20)
        assert await guest.ask("voxtral.conversation.session.id") == session
        await asked(guest, "And once more.")
        await guest.until("voxtral.turns.length === 4 && voxtral.turns[3].text === 'You said: And once more.'")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()
        assert excused(guest) == []


async def test_what_is_typed_without_a_connection_is_answered() -> None:
    async with served() as url, visited(url) as (guest, proxy):
        proxy.stall()
        proxy.reset()
        await guest.phase("reconnecting")
        await asked(guest, "Are you there?")
        proxy.go_on()
        await guest.until("voxtral.turns.length === 2 && voxtral.turns[1].text.includes('Are you there')")
        await guest.until("voxtral.turns[1].status === 'done'")
        assert excused(guest) == []


async def test_of_a_session_that_is_gone_the_transcript_stays() -> None:
    """Another server has taken the place of the first."""
    async with AsyncExitStack() as first, served() as other:
        url = await first.enter_async_context(served())
        guest, proxy = await first.enter_async_context(visited(url))
        await asked(guest, "Hello.")
        await guest.until("voxtral.turns[1]?.status === 'done'")
        session = await guest.ask("voxtral.conversation.session.id")
        proxy._to = port_of(other)
        proxy.reset()
        await guest.until(f"voxtral.conversation.session.id !== '{session}' && voxtral.phase === 'idle'")
        assert [turn["text"] for turn in await guest.ask("voxtral.turns")] == ["Hello.", "You said: Hello."]
        await asked(guest, "Hello again.")
        await guest.until("voxtral.turns[3]?.text === 'You said: Hello again.'")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()
        assert excused(guest) == []


async def test_a_visitor_who_is_tired_of_waiting_disconnects() -> None:
    async with served() as url, visited(url) as (guest, proxy):
        proxy.stall()
        proxy.reset()
        await guest.phase("reconnecting")
        await press(guest, "Disconnect")
        await guest.phase("disconnected")
        proxy.go_on()
        await press(guest, "Connect")
        await guest.phase("idle")
        assert excused(guest) == []


async def test_a_server_that_is_full_says_so() -> None:
    async with served(LimitsConfig(sessions=1)) as url, calling(url), visit(url) as guest:
        await press(guest, "Connect")
        await told(guest, "The server reports a problem", "The server is full: try again in a few seconds.")
        assert await guest.ask("voxtral.phase") == "error"
