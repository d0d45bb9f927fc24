"""The voices that this package offers, as data.

Knows: id, language, gender and loudness of each Kokoro voice in use. Does not know: their files,
models, what a session chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from voxtral_voice.engines.base import Voice
from voxtral_voice.errors import EngineError

EMBEDDED_VOICES: Final[Mapping[str, Voice]] = MappingProxyType(
    {
        voice.id: voice
        for voice in (
            Voice("af_heart", "en-US", "female"),
            Voice("af_bella", "en-US", "female"),
            Voice("af_nicole", "en-US", "female"),
            Voice("af_sarah", "en-US", "female"),
            Voice("hf_alpha", "hi", "female"),
            Voice("hf_beta", "hi", "female"),
            Voice("hm_omega", "hi", "male"),
            Voice("hm_psi", "hi", "male"),
        )
    }
)
"""By id; American English and Hindi, as named in Kokoro-82M's VOICES.md."""

GAINS_DB: Final[Mapping[str, float]] = MappingProxyType(
    {
        "af_heart": 0.0,
        "af_bella": -0.8,
        "af_nicole": -1.5,
        "af_sarah": -1.9,
        "hf_alpha": -8.0,
        "hf_beta": -6.9,
        "hm_omega": -7.3,
        "hm_psi": -6.2,
    }
)
"""Makes every voice as loud as `af_heart` (-21.6 dBFS, RMS of the audible windows of three sentences). Unchanged, the
Hindi voices clip."""


def known(voices: Mapping[str, Voice], name: str) -> Voice:
    """Raises EngineError."""
    if name not in voices:
        raise EngineError("speaker", f"There is no voice {name!r}: use one of {', '.join(voices)}.")
    return voices[name]


def gain_db(voice: str) -> float:
    """A voice that was never measured is taken to be as loud as the loudest of its language: soft, but not clipped."""
    alike = (gain for name, gain in GAINS_DB.items() if name[:1] == voice[:1])
    return GAINS_DB.get(voice, min(alike, default=min(GAINS_DB.values())))
