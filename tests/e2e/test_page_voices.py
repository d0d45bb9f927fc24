"""The page's menu of voices, and what each of them sounds like, in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from playwright.async_api import expect
from pydantic import SecretStr

from tests.e2e.browser import PAGE, Visit, visit
from tests.e2e.test_page import press, told
from voxtral_voice.config import Config, ServerConfig, SpeakerConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.base import SpeechChunk, Voice
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.errors import EngineError
from voxtral_voice.server import run
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.runtime import Runtime

pytestmark = pytest.mark.browser

KEY: Final = "a-key-of-a-good-length"
LARGEST_PAGE: Final = 100_000


class Speaker(FakeSpeaker):
    """Holds a sample back, or breaks, when it is told to."""

    def __init__(self) -> None:
        super().__init__(first_audio_ms=0, realtime_factor=0)
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.works = True
        self.asked: list[str] = []

    def find(self, name: str) -> Voice:
        return Voice(name, "", "female") if name.startswith("voice_") else super().find(name)

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append(voice)
        await self.may_speak.wait()
        if not self.works:
            raise EngineError("speaker", "it is hoarse")
        async for chunk in super().speak(text, voice=voice, speed=speed, language=language):
            yield chunk


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@asynccontextmanager
async def serving(
    speaker: Speaker,
    monkeypatch: pytest.MonkeyPatch,
    cloned: ClonedVoices | None = None,
    voice: str = "af_heart",
    **settings: Any,
) -> AsyncIterator[str]:
    monkeypatch.setattr(run, "build_engines", lambda *_, **__: registry.fake(speaker=speaker))
    monkeypatch.setattr(run, "Runtime", lambda *args, **fields: Runtime(*args, **{**fields, "cloned": cloned}))
    config = Config(profile="fake", server=ServerConfig(port=0, **settings), speaker=SpeakerConfig(voice=voice))
    async with run.running(config) as url:
        yield url


def menu(guest: Visit) -> Any:
    return guest.page.get_by_label("Voice", exact=True)


def hear(guest: Visit) -> Any:
    return guest.page.locator("#hear")


async def test_the_menu_has_every_voice_by_language(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(speaker, monkeypatch) as url, visit(url) as guest:
        assert await guest.page.locator("#voice option").evaluate_all("all => all.map((o) => o.value)") == [
            *sorted(VOICES, key=lambda name: (order(VOICES[name].language), [*VOICES].index(name)))
        ]
        groups = await guest.page.locator("#voice optgroup").evaluate_all("all => all.map((g) => g.label)")
        assert groups == [
            "American English",
            "Hindi",
            "British English",
            "Spanish",
            "French",
            "Italian",
            "Japanese",
            "Brazilian Portuguese",
            "Chinese",
        ]
        labels = dict(
            await guest.page.locator("#voice option").evaluate_all("all => all.map((o) => [o.value, o.text])")
        )
        assert (labels["af_nicole"], labels["pm_alex"]) == ("Nicole (woman, B-)", "Alex (man)")
        await menu(guest).select_option("ff_siwis")
        await press(guest, "Connect")
        await guest.phase("idle")
        await expect(menu(guest)).to_have_value("ff_siwis")
        assert (
            await guest.page.locator("#voice option").evaluate_all(
                "all => Object.fromEntries(all.map((o) => [o.value, o.text]))"
            )
            == labels
        )
        await guest.screenshots("voices")
        assert guest.complaints == []


def order(language: str) -> int:
    return [*dict.fromkeys(voice.language for voice in VOICES.values())].index(language)


async def test_a_voice_is_heard_with_the_keyboard_and_stopped(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(speaker, monkeypatch) as url, visit(url) as guest:
        await menu(guest).select_option("hf_alpha")
        await expect(hear(guest)).to_have_accessible_name("Hear it: Alpha (woman, C)")
        await hear(guest).focus()
        await guest.page.keyboard.press("Enter")
        await guest.until("voxtral.heard === 'hf_alpha'")
        await guest.until("voxtral.heard === null")  # to its end
        speaker.may_speak.clear()
        await menu(guest).select_option("bf_emma")
        await hear(guest).focus()
        await guest.page.keyboard.press("Space")
        await expect(hear(guest)).to_have_accessible_name("Stop: Emma (woman, B-)")
        await guest.page.keyboard.press("Space")
        await guest.until("voxtral.heard === null")
        await expect(hear(guest)).to_have_text("Hear it")
        assert set(speaker.asked) == {"hf_alpha", "bf_emma", "af_heart"}  # which is the synthetic turn's
        assert guest.complaints == []


async def test_another_voice_ends_what_is_heard(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(speaker, monkeypatch) as url, visit(url) as guest:
        await hear(guest).click()
        await guest.until("voxtral.heard === 'af_heart'")
        await menu(guest).select_option("hm_psi")
        assert await guest.ask("voxtral.heard") is None
        assert guest.complaints == []


async def test_a_voice_that_cannot_be_heard_says_why(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker.works = False
    async with serving(speaker, monkeypatch) as url, visit(url) as guest:
        await hear(guest).click()
        await told(guest, "This voice cannot be heard now", "The speaker failed: it is hoarse.")
        speaker.works = True
        await hear(guest).click()
        await guest.until("voxtral.heard === 'af_heart'")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()


async def test_with_a_key_and_a_voice_of_one_s_own(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloned = ClonedVoices(tmp_path)
    made = ClonedVoice(
        styles=np.zeros(STYLE_SHAPE, np.float32), gender="female", gain_db=0.0, pitch_hz=200.0, similarity=0.9
    )
    mine = cloned.add("key_1", "Grandma", "I may.", made).id
    async with serving(speaker, monkeypatch, cloned, api_keys=SecretStr(KEY)) as url, visit(url) as guest:
        await hear(guest).click()
        await told(guest, "The server asks for a key", "")
        await guest.page.get_by_label("Key").fill(KEY)
        await guest.page.keyboard.press("Enter")
        await guest.phase("idle")
        group = guest.page.locator("#voice optgroup").first
        await expect(group).to_have_attribute("label", "Your own")
        assert await group.locator("option").all_text_contents() == ["Grandma (woman)"]
        assert await group.locator("option").get_attribute("value") == mine
        await expect(menu(guest)).to_have_value("af_heart")
        await menu(guest).select_option(mine)
        await hear(guest).click()
        await guest.until(f"voxtral.heard === '{mine}'")
        await guest.until("voxtral.heard === null")
        speaker.asked.clear()
        await said(guest, "Hello.")
        assert set(speaker.asked) == {mine}
        await expect(guest.page.get_by_role("alert")).to_be_hidden()
        assert all(KEY not in address for address in guest.requests)


@pytest.mark.parametrize("voice", ["hf_beta", "af_heart:0.6,af_bella:0.4"])
async def test_the_server_s_own_choice_is_kept(speaker: Speaker, monkeypatch: pytest.MonkeyPatch, voice: str) -> None:
    async with serving(speaker, monkeypatch, voice=voice) as url, visit(url) as guest:
        await said(guest, "Hello.")
        await expect(menu(guest)).to_have_value(voice)
        assert set(speaker.asked) == {voice}
        assert guest.complaints == []


async def said(guest: Visit, text: str) -> None:
    """Typed, and answered aloud."""
    await guest.page.get_by_label("Type a message").fill(text)
    await guest.page.keyboard.press("Enter")
    await guest.until("voxtral.turns.some((turn) => turn.role === 'assistant' && turn.text !== '')")


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in PAGE.iterdir()) < LARGEST_PAGE
