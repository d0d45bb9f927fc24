"""The formats of audio on the wire: to the 24 kHz that the server works with, and from it.

Knows: the three formats, half samples, that telephone audio has 8 kHz. Does not know: base64, events, whose audio it
is.

A telephone's stream is 3 ms late from its beginning on, so that what has come in has gone out, to the last sample, and
no audio of a turn waits for the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from voxtral_voice.audio.g711 import Law, float_to_g711, g711_to_float
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.audio.resample import prompt_resampler, resample
from voxtral_voice.conversation.events import AudioFormat

FormatName = AudioFormat
RATE_HZ: Final = 24_000
"""Of audio/pcm, and of all audio behind the wire."""
TELEPHONE_HZ: Final = 8_000
PIECE_BYTES: Final = TELEPHONE_HZ
"""1 s: the resampler's work space grows with what it gets at once."""
LAWS: Final[dict[FormatName, Law]] = {"audio/pcmu": "mu", "audio/pcma": "a"}


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of audio that somebody has kept."""

    pcm: bytes
    """16-bit little-endian mono."""
    rate_hz: int

    def encoded(self, name: FormatName) -> bytes:
        law = LAWS.get(name)
        samples = resample(pcm16_to_float(self.pcm), self.rate_hz, RATE_HZ if law is None else TELEPHONE_HZ)
        return float_to_pcm16(samples) if law is None else float_to_g711(samples, law)


class Decoder:
    """One stream of the client's audio. `push`: the next piece, any length -> whole 16-bit samples at 24 kHz."""

    def __init__(self, name: FormatName) -> None:
        self.name = name
        law = LAWS.get(name)
        self.push: Callable[[bytes], bytes] = self._whole_samples if law is None else _from_telephone(law)
        self._half_sample = b""

    def cut(self) -> None:
        """The next piece begins with a new sample."""
        self._half_sample = b""

    def _whole_samples(self, data: bytes) -> bytes:
        data = self._half_sample + data if self._half_sample else data
        whole = len(data) - len(data) % BYTES_PER_SAMPLE
        self._half_sample = data[whole:]
        return data[:whole]


def encoder(name: FormatName) -> Callable[[Samples], bytes]:
    """For one reply: the next samples at 24 kHz -> bytes, none if they are too few for a sample at 8 kHz."""
    law = LAWS.get(name)
    return float_to_pcm16 if law is None else _to_telephone(law)


def _from_telephone(law: Law) -> Callable[[bytes], bytes]:
    resampler = prompt_resampler(TELEPHONE_HZ, RATE_HZ)

    def push(data: bytes) -> bytes:
        pieces = (g711_to_float(data[at : at + PIECE_BYTES], law) for at in range(0, len(data), PIECE_BYTES))
        return b"".join(float_to_pcm16(resampler.push(piece)) for piece in pieces)

    return push


def _to_telephone(law: Law) -> Callable[[Samples], bytes]:
    resampler = prompt_resampler(RATE_HZ, TELEPHONE_HZ)
    return lambda samples: float_to_g711(resampler.push(samples), law)
