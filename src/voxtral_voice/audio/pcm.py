"""16-bit PCM to float samples and back.

Knows: byte layout (little endian, signed, mono). Does not know: rates, base64, sockets.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.errors import AudioError

Samples = npt.NDArray[np.float32]
"""float32 mono samples in [-1, 1], shape [n]; the rate is said where it is used."""

BYTES_PER_SAMPLE: Final = 2
FULL_SCALE: Final = 32_768
"""One int16 step is 1 / FULL_SCALE, so that every int16 value survives the way there and back."""

_INT16: Final = np.dtype("<i2")
_FULL_SCALE: Final = np.float32(FULL_SCALE)
_STEP: Final = np.float32(1 / FULL_SCALE)


def pcm16_to_float(data: bytes) -> Samples:
    """Little-endian int16 mono -> samples. Raises AudioError when a byte is left over."""
    if len(data) % BYTES_PER_SAMPLE:
        raise AudioError(
            f"16-bit PCM needs an even number of bytes, but {len(data)} came; send whole two-byte samples."
        )
    return np.multiply(np.frombuffer(data, _INT16), _STEP, dtype=np.float32)


def float_to_pcm16(samples: Samples) -> bytes:
    """Samples -> little-endian int16 mono, rounded to the nearest step; what is beyond [-1, 1] is clipped.

    Raises AudioError when a sample is not a number: there is no sound that would stand for it.
    """
    scaled = np.rint(samples * _FULL_SCALE)
    if np.isnan(scaled).any():
        raise AudioError("The audio holds samples that are not numbers (NaN); whatever made it has failed.")
    pcm: npt.NDArray[np.int16] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(_INT16)
    return pcm.tobytes()
