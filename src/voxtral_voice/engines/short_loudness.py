"""A short phrase as loud as a long one.

Knows: the loudness that all voices have (`voices.LOUDNESS_LUFS`). Does not know: models, voices, text.

A voice's gain makes its sentences equally loud; a word alone comes out up to 3 LU louder ("Sure." in Kokoro's af_heart,
"हाँ।") or softer (by the student, af_bella), and stands out beside the sentence that follows.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.voices import LOUDNESS_LUFS

SHORT_MS: Final = 1_500
"""With its pause; what is longer has the loudness of its voice, to a decibel."""
MOST_DB: Final = 3.0
"""Of change: more would be no unevenness but something else."""


def evened(samples: Samples) -> Samples:
    """samples: a phrase, 24 kHz, trimmed."""
    if samples.size > SHORT_MS * SPEAK_RATE_HZ / 1000:
        return samples
    found_lufs = loudness_lufs(samples, SPEAK_RATE_HZ)
    gain_db = float(np.clip(LOUDNESS_LUFS - found_lufs, -MOST_DB, MOST_DB))
    even: Samples = np.clip(samples * 10 ** (gain_db / 20), -1.0, 1.0).astype(np.float32)
    return even
