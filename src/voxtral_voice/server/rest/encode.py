"""Speech to bytes in the formats of `/v1/audio/speech`, piece by piece.

Knows: containers and codecs. Does not know: who speaks, HTTP. Blocking: each call may take some milliseconds of CPU.

A piece is encoded at once, as far as the codec's frames go; nothing of it is kept back to fill a buffer. No format
needs its length known before its end: a WAV says that it is endless, and an MP3 has no table of contents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal, Protocol

import av
import numpy as np

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, float_to_pcm16
from voxtral_voice.engines.base import SPEAK_RATE_HZ

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMATS: Final[tuple[Format, ...]] = ("mp3", "opus", "aac", "flac", "wav", "pcm")

PAGE_MS: Final = 100
"""Of an Ogg page: Opus leaves this much later, and each page costs some 30 bytes. FFmpeg's own is one second."""
ENDLESS: Final = 0xFFFF_FFFF
"""Size of a WAV that is still being written."""


class Encoder(Protocol):
    def push(self, samples: Samples) -> bytes:
        """samples: 24 kHz. What is ready, perhaps nothing."""

    def finish(self) -> bytes:
        """The rest."""


@dataclass(frozen=True, slots=True)
class Kind:
    media_type: str
    make: Callable[[], Encoder]


class Pcm:
    """16 bits, little endian, mono, 24 kHz. head: comes first."""

    def __init__(self, head: bytes = b"") -> None:
        self._head = head

    def push(self, samples: Samples) -> bytes:
        head, self._head = self._head, b""
        return head + float_to_pcm16(samples)

    def finish(self) -> bytes:
        return b""


class Coded:
    """muxer, codec: FFmpeg's names."""

    def __init__(self, muxer: str, codec: str, bit_rate: int | None, options: Mapping[str, str]) -> None:
        self._sink = _Sink()
        flags = {"flush_packets": "1", "fflags": "+bitexact", **options}  # bitexact: no version of any library in it
        self._container = av.open(self._sink, "w", format=muxer, container_options=flags)
        stream = self._container.add_stream(codec, rate=SPEAK_RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        if bit_rate is not None:
            self._stream.bit_rate = bit_rate
        self._next = 0

    def push(self, samples: Samples) -> bytes:
        pcm = np.frombuffer(float_to_pcm16(samples), np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = SPEAK_RATE_HZ
        frame.time_base = Fraction(1, SPEAK_RATE_HZ)
        frame.pts = self._next
        self._next += samples.size
        self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


class _Sink:
    """A file that can only be written on."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        written = bytes(self._written)
        self._written.clear()
        return written


def _wav_head() -> bytes:
    rate, width = SPEAK_RATE_HZ, BYTES_PER_SAMPLE
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * width, width, 8 * width)
    head = struct.pack("<4sI8sI", b"RIFF", ENDLESS, b"WAVEfmt ", len(form))
    return head + form + struct.pack("<4sI", b"data", ENDLESS)


KINDS: Final[Mapping[Format, Kind]] = MappingProxyType(
    {
        "mp3": Kind(
            "audio/mpeg",
            lambda: Coded("mp3", "libmp3lame", 64_000, {"write_xing": "0", "id3v2_version": "0"}),
        ),
        "opus": Kind(
            "audio/ogg",
            lambda: Coded("ogg", "libopus", 32_000, {"page_duration": str(PAGE_MS * 1000)}),
        ),
        "aac": Kind("audio/aac", lambda: Coded("adts", "aac", 64_000, {})),
        "flac": Kind("audio/flac", lambda: Coded("flac", "flac", None, {})),
        "wav": Kind("audio/wav", lambda: Pcm(_wav_head())),
        "pcm": Kind("audio/pcm", Pcm),
    }
)
