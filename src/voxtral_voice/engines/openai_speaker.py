"""Speaker behind any URL that speaks OpenAI's `/audio/speech`, streamed as 24 kHz PCM.

Knows: that request, the bytes of its answer. Does not know: HTTP's failures (`openai_http`), sessions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import orjson

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, SpeechChunk, Voice
from voxtral_voice.engines.openai_http import Answer, OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.trim import StreamTrim, pause_after_ms
from voxtral_voice.engines.voices import VOICES, known

PATH: Final = "/audio/speech"
RAW: Final = frozenset({"", "audio/pcm", "audio/l16", "audio/raw", "application/octet-stream", "binary/octet-stream"})
WAV: Final = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
MAX_HEADER_BYTES: Final = 64 * 1024


class OpenAISpeaker:
    """voices: names that the server knows; () = all of Kokoro's."""

    def __init__(self, remote: Remote, voices: Sequence[str] = ()) -> None:
        self._server = OpenAIServer("speaker", remote)
        self._voices = MappingProxyType({name: _voice(name) for name in voices}) if voices else VOICES

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def voices(self) -> Mapping[str, Voice]:
        return self._voices

    async def start(self) -> None:
        await self._server.start()

    async def aclose(self) -> None:
        await self._server.aclose()

    def find(self, name: str) -> Voice:
        return known(self.voices, name)

    async def speak(
        self,
        text: str,
        *,
        voice: str,
        speed: float,
        language: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.find(voice)
        if not any(c.isalnum() for c in text):
            return
        request: dict[str, object] = {"model": self._server.model, "input": text, "voice": voice}
        request |= {"response_format": "pcm"} | ({} if speed == 1 else {"speed": speed})
        silence = StreamTrim(pause_after_ms(text) / max(speed, 1.0))
        async with self._server.post(PATH, orjson.dumps(request)) as answer:
            decoder = Decoder(answer.kind in WAV)
            if answer.kind not in RAW | WAV:
                raise await self._wrong_kind(answer)
            async for piece in answer.pieces():
                if len(samples := silence.push(self._decoded(decoder, piece, answer))):
                    yield SpeechChunk(samples)
        if len(samples := silence.finish()):
            yield SpeechChunk(samples)
        if not silence.heard:
            raise answer.error("made no sound for a phrase")

    def _decoded(self, decoder: Decoder, piece: bytes, answer: Answer) -> Samples:
        try:
            return decoder.feed(piece)
        except ValueError as error:
            raise answer.error(f"sent {error}, and 24 kHz 16-bit mono PCM was asked for") from error

    async def _wrong_kind(self, answer: Answer) -> Exception:
        if answer.kind == "application/json":
            await answer.json()
        return self._server.error(
            f"{answer.url} sent {answer.kind}, and PCM was asked for.",
            "sent something else than the PCM it was asked for",
        )


class Decoder:
    """PCM16 in pieces cut anywhere, also inside a sample. A WAV's header, announced or not, is taken off."""

    def __init__(self, is_wav: bool) -> None:
        self._is_wav = is_wav
        self._rest = b""
        self._in_sound = False

    def feed(self, piece: bytes) -> Samples:
        """Raises ValueError, in half a sentence, for audio of another kind."""
        data = self._rest + piece
        if not self._in_sound:
            start = self._start_of_sound(data)
            if start is None:
                self._rest = data
                return pcm16_to_float(b"")
            self._in_sound = True
            data = data[start:]
        whole = len(data) & ~1
        self._rest = data[whole:]
        return pcm16_to_float(data[:whole])

    def _start_of_sound(self, data: bytes) -> int | None:
        """None: more is needed to know."""
        if len(data) < 4:
            return None
        if data[:4] == b"RIFF":
            return _after_header(data)
        if self._is_wav:
            raise ValueError("a WAV without a header")
        if data[:3] == b"ID3" or data[:4] in (b"OggS", b"fLaC"):
            raise ValueError("a compressed file")
        return 0


def _after_header(data: bytes) -> int | None:
    """Where the samples of a WAV begin; None while its header is not all there."""
    at = 12
    while len(data) >= at + 8:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data":
            return at + 8
        if name == b"fmt " and len(data) >= at + 24:
            _check_format(data[at + 8 : at + 24])
        at += 8 + size + size % 2
    if len(data) > MAX_HEADER_BYTES:
        raise ValueError("a WAV without samples")
    return None


def _check_format(form: bytes) -> None:
    channels, rate_hz = int.from_bytes(form[2:4], "little"), int.from_bytes(form[4:8], "little")
    bits = int.from_bytes(form[14:16], "little")
    if (channels, rate_hz, bits) != (1, SPEAK_RATE_HZ, 16):
        raise ValueError(f"a WAV of {rate_hz} Hz with {channels} channels of {bits} bits")


def _voice(name: str) -> Voice:
    """Of a server's voice nothing is known but its name, unless it has one of Kokoro's."""
    return VOICES.get(name, Voice(name, "", ""))
