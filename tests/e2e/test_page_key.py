"""The page and a server that asks for a key, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from playwright.async_api import expect
from pydantic import SecretStr

from tests.e2e.browser import Visit, visit
from tests.e2e.test_page import press, told
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.server.run import running

pytestmark = pytest.mark.browser

KEY: Final = "a-key-of-a-good-length"


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[str]:
    async with running(Config(profile="fake", server=ServerConfig(port=0, **settings))) as url:
        yield url


async def give(guest: Visit, key: str) -> None:
    await guest.page.get_by_label("Key").fill(key)
    await guest.page.keyboard.press("Enter")


def excused(guest: Visit) -> list[str]:
    """What the browser complains about, but for the refusals."""
    return [text for text in guest.complaints if "401" not in text and "HTTP Authentication failed" not in text]


async def test_the_page_asks_for_the_key_once() -> None:
    async with serving(api_keys=SecretStr(KEY)) as url, visit(url) as guest:
        await expect(guest.page.get_by_label("Key")).to_be_hidden()
        await press(guest, "Connect")
        await told(guest, "The server asks for a key", "")
        assert await guest.ask("voxtral.phase") == "locked"
        await expect(guest.page.get_by_label("Key")).to_be_focused()
        await guest.screenshots("key")
        for wrong in ("wrong-key-of-some-length", "it is no key at all", "schlüssel"):
            await give(guest, wrong)
            await told(guest, "The server does not take this key", "")
            await expect(guest.page.get_by_label("Key")).to_have_value("")
        await give(guest, f" {KEY} ")
        await guest.phase("idle")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()
        assert await guest.ask("sessionStorage.getItem('voxtral.key')") == KEY
        assert await guest.ask("Object.values(localStorage).join()") == ""
        await guest.page.reload()
        await guest.until("window.voxtral !== undefined")
        await press(guest, "Connect")
        await guest.phase("idle")
        await guest.page.get_by_label("Type a message").fill("Hello.")
        await guest.page.keyboard.press("Enter")
        await guest.until("voxtral.turns.some((turn) => turn.role === 'assistant' && turn.text !== '')")
        assert all(KEY not in address for address in guest.requests)
        assert excused(guest) == []


async def test_a_page_without_a_key_asks_for_none() -> None:
    async with serving() as url, visit(url) as guest:
        await press(guest, "Connect")
        await guest.phase("idle")
        assert [address for address in guest.requests if "/v1/realtime" in address] == []
        assert guest.complaints == []


async def test_a_page_of_an_address_that_is_not_allowed() -> None:
    """Nobody has named it, and there is no key that its visitors would need."""
    async with serving() as url:
        named = url.replace("127.0.0.1", "voxtral.test")
        switches = [
            "--host-resolver-rules=MAP voxtral.test 127.0.0.1",
            f"--unsafely-treat-insecure-origin-as-secure={named}",
        ]
        async with visit(named, switches=switches) as guest:
            await press(guest, "Connect")
            await told(guest, "The server does not let pages of this address in", "--server-allowed-origins")
