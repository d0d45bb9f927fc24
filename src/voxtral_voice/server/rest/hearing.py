"""A recording written down, piece by piece, each with its time.

Knows: the decoder, voice activity, the transcriber. Does not know: forms, formats, HTTP.

Decoding, cutting and transcribing go on in turn, so that the memory for a long recording is that for a piece of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import VAD_FRAME_SAMPLES
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import AudioError
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.cut import Cutter, Piece
from voxtral_voice.server.rest.decode import LONGEST_S, decoded
from voxtral_voice.server.rest.work import answer, working
from voxtral_voice.server.runtime import Runtime

TRANSCRIBE_S: Final = 60.0
"""For a piece; the sessions' turns come first, and several requests share the transcriber."""
VOICE_ACTIVITY_S: Final = 10.0
"""For a second of audio."""


@dataclass(frozen=True, slots=True)
class Segment:
    start_s: float
    end_s: float
    text: str


class Ear:
    """What all requests share. most: recordings heard at once; a thread each, which waits most of the time until more
    is wanted of it."""

    def __init__(self, runtime: Runtime, most: int) -> None:
        self.runtime = runtime
        self.decoder = Worker("decode", most)
        runtime.closing.callback(self.decoder.close)


class Hearing:
    """Of one recording. param: its name in the request. language: ISO 639-1; None = as in its first words."""

    def __init__(self, ear: Ear, file: BinaryIO, *, param: str, language: str | None = None, prompt: str = "") -> None:
        self._ear = ear
        self._file = file
        self._param = param
        self._prompt = prompt
        self._cutter = Cutter()
        self.language = language

    @property
    def seconds(self) -> float:
        """Length of what was decoded."""
        return self._cutter.seconds

    async def segments(self) -> AsyncGenerator[Segment, None]:
        """Those with words in them. Raises ApiError."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if text := await self._written(piece.audio):
                    yield Segment(piece.start_s, piece.end_s, text)
        for seam in ("voice_activity", "transcriber"):
            self._ear.runtime.worked(seam)

    async def text(self) -> str:
        async with aclosing(self.segments()) as segments:
            return " ".join([segment.text async for segment in segments])

    async def _written(self, audio: Samples) -> str:
        runtime = self._ear.runtime
        transcribe = runtime.engines.transcriber.transcribe
        job = partial(transcribe, audio, language=self.language, prompt=self._prompt, final=True)
        heard = await answer(runtime, "transcriber", job, TRANSCRIBE_S)
        if heard.text:
            self.language = heard.language or self.language  # "": the engine does not say
        return heard.text

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        session = self._ear.runtime.engines.voice_activity.session()
        async with aclosing(self._frames()) as blocks:
            async for frames in blocks:
                async with working(self._ear.runtime, "voice_activity", VOICE_ACTIVITY_S):
                    probabilities = await session.probabilities(frames)
                for frame, probability in zip(frames, probabilities, strict=True):
                    if (piece := self._cutter.push(frame, probability)) is not None:
                        yield piece
        if (piece := self._cutter.finish()) is not None:
            yield piece

    async def _frames(self) -> AsyncGenerator[Samples, None]:
        """[n, 512], n >= 1; the last frame is filled up with silence."""
        rest = np.zeros(0, np.float32)
        async with aclosing(self._blocks()) as blocks:
            async for block in blocks:
                samples = np.concatenate((rest, block))
                whole = samples.size // VAD_FRAME_SAMPLES * VAD_FRAME_SAMPLES
                rest = samples[whole:]
                if whole:
                    yield samples[:whole].reshape(-1, VAD_FRAME_SAMPLES)
        if rest.size:
            yield np.pad(rest, (0, VAD_FRAME_SAMPLES - rest.size))[None]

    async def _blocks(self) -> AsyncGenerator[Samples, None]:
        steps = partial(decoded, self._file, longest_s=LONGEST_S)
        try:
            async with aclosing(self._ear.decoder.stream(steps)) as blocks:
                async for block in blocks:
                    yield block
        except AudioError as error:
            raise errors.invalid(f"Invalid value for '{self._param}': {error}", self._param, "invalid_audio") from error
