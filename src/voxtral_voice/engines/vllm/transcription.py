"""Transcriber behind vLLM's `/v1/audio/transcriptions`: Voxtral Mini, which hears a turn as a whole.

Knows: that request, and vLLM's way of streaming the answer, which is not OpenAI's: chunks as of a chat. Does not know:
HTTP's failures (`openai_http`), sessions.

It is streamed so that a server that hangs is told from one that works, and so that its work ends when nobody waits for
it any more. What has nothing audible in it is not asked for: the model finds words in silence too (`audible`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from voxtral_voice.engines.audible import audible
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.openai_audio import form, wav
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.openai_stream import chunks, part_of, text_of
from voxtral_voice.engines.openai_transcriber import PATH
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.spoken_language import language_of
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.kind import longest_tokens, noise, require_whole_turns
from voxtral_voice.engines.vllm.patience import nobody, patient

FEWEST_TOKENS: Final = 48
TOKENS_PER_S: Final = 20
"""Speech has some 4 tokens a second, 12 in scripts of which the vocabulary has only bytes. A model that goes round in
circles is stopped there."""


class VllmTranscriber:
    streams = False

    def __init__(
        self, remote: Remote, *, admission: Admission | None = None, suspect: Callable[[], None] = nobody
    ) -> None:
        """admission: shared by all engines of this server. suspect: called when it seems to hang."""
        self._server = OpenAIServer("transcriber", remote)
        self._suspect = suspect
        self._admission = admission or Admission()

    @property
    def name(self) -> str:
        return self._server.name

    async def start(self) -> None:
        """Find the server and its model, and let it hear something. Raises EngineError."""
        started = False
        try:
            await self._server.start()
            await require_whole_turns(self._server)
            await self._heard(noise(), language="en", prompt="")
            started = True
        finally:
            if not started:
                await self.aclose()

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
        text = await self._heard(audio, language, prompt) if audible(audio) else ""
        return Transcript(text, language or language_of(text, None))

    async def _heard(self, audio: Samples, language: str | None, prompt: str) -> str:
        texts = patient(self._texts(audio, language, prompt), self._server, self._suspect)
        async with self._admission.place(self._server), aclosing(texts):
            return "".join([text async for text in texts]).strip()

    async def _texts(self, audio: Samples, language: str | None, prompt: str) -> AsyncGenerator[str, None]:
        allowed = FEWEST_TOKENS + TOKENS_PER_S * len(audio) // LISTEN_RATE_HZ
        fields = {
            "model": self._server.model,
            "stream": "true",
            "temperature": "0",
            "max_completion_tokens": str(min(allowed, longest_tokens(self._server) // 2)),
            "language": language or "",
            "prompt": prompt,
        }
        body, content_type = form(((name, value) for name, value in fields.items() if value), wav(audio))
        async with (
            self._server.post(PATH, body, content_type) as answer,
            aclosing(chunks(answer, done_only=True)) as found,
        ):
            async for chunk in found:
                yield text_of(part_of(chunk).get("content"))
