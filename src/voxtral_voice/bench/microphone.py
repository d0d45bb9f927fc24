"""A microphone that never stops: what is said, over the tone of a quiet room, in chunks of 20 ms.

Knows: samples, chunks, and how one wire writes a chunk (a function that is given). Does not know: clocks, sockets,
who listens. Positions count samples at the wire's rate, from the first one.

Chunks are written for the wire once: the room's tone for all microphones of a process, a clip when it is first said
(or before, by `encoded`). So a chunk in the course of a conversation costs no arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip

CHUNK_MS: Final = 20
ROOM_TONE_DBFS: Final = -70.0
"""Level of the noise that a quiet room's microphone gives; digital silence does not exist there."""
ROOM_TONE_CHUNKS: Final = 50
"""One second of it, again and again."""
CLIPS_KEPT: Final = 512

Message = str | bytes
"""What a WebSocket carries: text or binary."""
Encode = Callable[[bytes], Message]
"""PCM16 of one chunk -> the message that carries it."""


class Microphone:
    def __init__(self, rate_hz: int, encode: Encode) -> None:
        self.rate_hz = rate_hz
        self._encode = encode
        self._tone = room_tone(rate_hz, encode)
        self._waiting: deque[Message] = deque()  # bound: none, it holds what the caller decided to say
        self._chunks = 0

    @property
    def chunk_samples(self) -> int:
        return self.rate_hz * CHUNK_MS // 1000

    @property
    def position(self) -> int:
        """The first sample of the chunk that is being filled."""
        return self._chunks * self.chunk_samples

    def say(self, clip: Clip) -> int:
        """Goes out behind what is still to be said, and behind the chunk that is being filled now: it has begun, and
        nobody speaks before he decides to. Returns the position of its beginning."""
        if not self._waiting:
            self._waiting.append(self._tone[self._chunks % ROOM_TONE_CHUNKS])
        begin = self.position + len(self._waiting) * self.chunk_samples
        self._waiting.extend(encoded(clip, self.rate_hz, self._encode))
        return begin

    def next_chunk(self, over: Samples | None = None) -> Message:
        """The next 20 ms. over: [chunk_samples] of other sound, mixed in; not where the caller speaks himself."""
        number, self._chunks = self._chunks, self._chunks + 1
        if self._waiting:
            return self._waiting.popleft()
        if over is None or not over.any():
            return self._tone[number % ROOM_TONE_CHUNKS]
        return self._encode(float_to_pcm16(_noise(self.rate_hz)[number % ROOM_TONE_CHUNKS] + over))


@lru_cache(maxsize=CLIPS_KEPT)
def encoded(clip: Clip, rate_hz: int, encode: Encode) -> tuple[Message, ...]:
    """The clip over room tone, in whole chunks; the rest of the last one is room tone."""
    size = rate_hz * CHUNK_MS // 1000
    words = resample(clip.samples, clip.rate_hz, rate_hz)
    count = -(-len(words) // size)
    noise = _noise(rate_hz).ravel()
    over = np.resize(noise, count * size)
    over[: len(words)] += words
    return tuple(encode(float_to_pcm16(chunk)) for chunk in over.reshape(count, size))


@lru_cache(maxsize=8)
def room_tone(rate_hz: int, encode: Encode) -> tuple[Message, ...]:
    """One second of it; the same for every microphone."""
    return tuple(encode(float_to_pcm16(chunk)) for chunk in _noise(rate_hz))


@lru_cache(maxsize=8)
def _noise(rate_hz: int) -> Samples:
    """[ROOM_TONE_CHUNKS, samples of a chunk]."""
    noise = np.random.default_rng(0).standard_normal((ROOM_TONE_CHUNKS, rate_hz * CHUNK_MS // 1000))
    tone: Samples = (noise * 10 ** (ROOM_TONE_DBFS / 20)).astype(np.float32)
    return tone
