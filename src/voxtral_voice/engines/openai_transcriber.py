"""Transcriber behind any URL that speaks OpenAI's `/audio/transcriptions`.

Knows: that request and its answer. Does not know: HTTP's failures (`openai_http`), sessions.

A partial costs the server as much as a final transcript; `turns.partial_every_ms = 0` asks for none.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from typing import Final

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, float_to_pcm16
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote

PATH: Final = "/audio/transcriptions"


class OpenAITranscriber:
    def __init__(self, remote: Remote) -> None:
        self._server = OpenAIServer("transcriber", remote)

    @property
    def name(self) -> str:
        return self._server.name

    async def start(self) -> None:
        await self._server.start()

    async def aclose(self) -> None:
        await self._server.aclose()

    def stream(self, *, language: str | None, prompt: str) -> None:
        """It hears a turn as a whole."""

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,
        final: bool,  # noqa: ARG002
    ) -> Transcript:
        fields = {"model": self._server.model, "response_format": "json", "language": language or "", "prompt": prompt}
        body, content_type = _form(((name, value) for name, value in fields.items() if value), _wav(audio))
        async with self._server.post(PATH, body, content_type) as answer:
            content = await answer.json()
        text = content.get("text")
        if not isinstance(text, str):
            raise answer.error("answered without a `text`")
        return Transcript(text.strip(), _language(content.get("language"), language, text))


def _form(fields: Iterable[tuple[str, str]], wav: bytes) -> tuple[bytes, str]:
    """multipart/form-data (RFC 7578), and its Content-Type."""
    boundary = secrets.token_hex(16)
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    texts = "".join(f'{part}{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    head = f'{texts}{part}file"; filename="turn.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return b"".join(
        (head.encode(), wav, f"\r\n--{boundary}--\r\n".encode())
    ), f"multipart/form-data; boundary={boundary}"


def _wav(audio: Samples) -> bytes:
    """audio: 16 kHz. 16-bit mono."""
    pcm = float_to_pcm16(audio)
    rate = LISTEN_RATE_HZ
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 8 * BYTES_PER_SAMPLE)
    head = struct.pack("<4sI8sI", b"RIFF", 36 + len(pcm), b"WAVEfmt ", len(form))
    return b"".join((head, form, struct.pack("<4sI", b"data", len(pcm)), pcm))


def _language(heard: object, told: str | None, text: str) -> str:
    """The server's word for it when that is a code, else what it was told, else what the letters say."""
    if isinstance(heard, str) and len(heard) == 2:
        return heard.lower()
    return told or ("hi" if any("\u0900" <= c <= "\u097f" for c in text) else "en")
