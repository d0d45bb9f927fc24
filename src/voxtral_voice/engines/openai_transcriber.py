"""Transcriber behind any URL that speaks OpenAI's `/audio/transcriptions`.

Knows: that request and its answer. Does not know: HTTP's failures (`openai_http`), sessions.

A partial costs the server as much as a final transcript; `turns.partial_every_ms = 0` asks for none.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.engines.base import Samples, Transcript
from voxtral_voice.engines.openai_audio import form, wav
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote

PATH: Final = "/audio/transcriptions"


class OpenAITranscriber:
    streams = False

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
        body, content_type = form(((name, value) for name, value in fields.items() if value), wav(audio))
        async with self._server.post(PATH, body, content_type) as answer:
            content = await answer.json()
        text = content.get("text")
        if not isinstance(text, str):
            raise answer.error("answered without a `text`")
        return Transcript(text.strip(), language_of(content.get("language"), language, text))


def language_of(heard: object, told: str | None, text: str) -> str:
    """The server's word for it when that is a code, else what it was told, else what the letters say."""
    if isinstance(heard, str) and len(heard) == 2:
        return heard.lower()
    return told or ("hi" if any("\u0900" <= c <= "\u097f" for c in text) else "en")
