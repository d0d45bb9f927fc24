"""A headless Chromium with a microphone that plays a file, and the page as files for a scripted server.

Knows: Chromium's switches, the page's debug handle (`window.voxtral`). Does not know: which server answers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

import hibari
import numpy as np
from playwright.async_api import Page, ViewportSize, async_playwright
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

import voxtral_voice
from tests.conftest import missing
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.audio.wav import write_wav
from voxtral_voice.engines.voices import VOICES, described

PAGE: Final = Path(voxtral_voice.__file__).parent / "server" / "page"
ARTIFACTS: Final = Path(__file__).parent / "artifacts"
MICROPHONE_HZ: Final = 48_000
QUIET_NOISE: Final = 0.0005
WAIT_MS: Final = 20_000
CSP: Final = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
SWITCHES: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
)

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}


def chromium() -> str:
    """Where Chromium is; without one the test skips (on CI: fails)."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("Chromium is not installed (apt-get install chromium)")
    return str(found)


# --- the microphone


def spoken(path: Path, parts: Sequence[str | float]) -> Path:
    """Writes what the microphone hears: sentences, and pauses in seconds, over quiet noise."""
    speak = hibari.Hibari()
    pieces = [speak(part, seed=1) if isinstance(part, str) else np.zeros(int(24_000 * part)) for part in parts]
    samples = np.concatenate(pieces).astype(np.float32)
    samples += np.random.default_rng(7).normal(0, QUIET_NOISE, len(samples)).astype(np.float32)
    write_wav(path, resample(samples, 24_000, MICROPHONE_HZ), MICROPHONE_HZ)
    return path


def microphone_switches(microphone: Path | Literal["none", "denied"]) -> list[str]:
    """denied: nobody answers the browser's question, and headless that means no."""
    if microphone == "none":
        return ["--use-fake-ui-for-media-stream"]
    if microphone == "denied":
        return ["--use-fake-device-for-media-stream"]
    played = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    return ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", played]


# --- the browser


@dataclass(frozen=True, slots=True)
class Recording:
    """What went to the speakers. started_at: page time, in ms, of the first sample."""

    rate_hz: int
    started_at: float
    samples: Samples

    def sounding_ms(self, from_ms: float = 0) -> float:
        """How much of it, from so many ms after the start, is not silence."""
        rest = self.samples[int(from_ms * self.rate_hz / 1000) :]
        windows = rest[: len(rest) // 24 * 24].reshape(-1, 24)
        return float(np.sum(np.abs(windows).max(axis=1, initial=0) > 1e-4)) * 24 * 1000 / self.rate_hz


@dataclass(slots=True)
class Visit:
    """The page in a browser. complaints: console errors and uncaught exceptions. requests: every address asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def until(self, condition: str, timeout_ms: float = WAIT_MS) -> None:
        """Waits for a JavaScript condition over `voxtral`. (Playwright's own wait is refused by the page's CSP.)"""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not await self.page.evaluate(condition):  # noqa: ASYNC110 - a condition in another process
                    await asyncio.sleep(0.02)
        except TimeoutError:
            state = await self.page.evaluate("window.voxtral && [voxtral.phase, voxtral.counters]")
            raise AssertionError(f"{condition} did not come true; the page is at {state}") from None

    async def phase(self, phase: str, timeout_ms: float = WAIT_MS) -> None:
        await self.until(f"voxtral.phase === '{phase}'", timeout_ms)

    async def ask(self, expression: str) -> Any:
        return await self.page.evaluate(expression)

    async def turns(self, role: str) -> list[dict[str, Any]]:
        return [turn for turn in await self.ask("voxtral.turns") if turn["role"] == role]

    async def recording(self) -> Recording:
        rate_hz, started_at, encoded = await self.ask(
            """() => {
                const { rateHz, startedAt, samples } = voxtral.recording();
                const bytes = new Uint8Array(samples.buffer);
                let binary = "";
                for (let i = 0; i < bytes.length; i += 8192)
                    binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
                return [rateHz, startedAt, btoa(binary)];
            }"""
        )
        return Recording(rate_hz, started_at, np.frombuffer(base64.b64decode(encoded), np.float32))

    async def screenshots(self, name: str) -> None:
        """The page as it is now: light and dark, desktop and phone."""
        ARTIFACTS.mkdir(exist_ok=True)
        for size, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            await self.page.set_viewport_size(viewport)
            for scheme in ("light", "dark"):
                await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await self.page.wait_for_timeout(60)  # the strip is drawn with the next frame
                await self.page.screenshot(path=ARTIFACTS / f"{name}-{size}-{scheme}.png", animations="disabled")
        await self.page.set_viewport_size(DESKTOP)
        await self.page.emulate_media(color_scheme="light")


@asynccontextmanager
async def visit(
    url: str,
    microphone: Path | Literal["none", "denied"] = "none",
    viewport: ViewportSize = DESKTOP,
    switches: Sequence[str] = (),
) -> AsyncIterator[Visit]:
    """Opens the page, with its debug handle."""
    executable = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=[*SWITCHES, *microphone_switches(microphone), *switches]
        )
        page = await browser.new_page(viewport=viewport)
        guest = Visit(page)
        page.on("console", lambda message: _complain(guest, message.type, message.text))
        page.on("pageerror", lambda error: guest.complaints.append(str(error)))
        page.on("request", lambda request: guest.requests.append(request.url))
        await page.goto(f"{url}/?debug")
        await guest.until("window.voxtral !== undefined")
        try:
            yield guest
        finally:
            await browser.close()


def _complain(guest: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        guest.complaints.append(text)


# --- the page's files, for a scripted server


def page_files(_connection: ServerConnection, request: Request) -> Response | None:
    """`process_request` of a websockets server: the page as our server serves it."""
    path = request.path.partition("?")[0]
    if path == "/v1/realtime":
        return None
    file = PAGE / "index.html" if path == "/" else PAGE / path.removeprefix("/page/")
    if path == "/readyz":
        return _response(HTTPStatus.OK, "text/plain", b"ok")
    if path == "/v1/voices":
        body = {"data": [described(voice) for voice in VOICES.values()], "default_voice": "af_heart"}
        return _response(HTTPStatus.OK, "application/json", json.dumps(body).encode())
    if not file.is_file():
        return _response(HTTPStatus.NOT_FOUND, "text/plain", b"")
    return _response(HTTPStatus.OK, mimetypes.guess_type(file.name)[0] or "", file.read_bytes())


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": CSP})
    return Response(status.value, status.phrase, headers, body)
