"""The voices that this package offers, as data.

Knows: id, language and gender of each Kokoro voice in use. Does not know: their files, models, what a session chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from voxtral_voice.engines.base import Voice

EMBEDDED_VOICES: Final[Mapping[str, Voice]] = MappingProxyType(
    {
        voice.id: voice
        for voice in (
            Voice("af_heart", "en", "female"),
            Voice("af_bella", "en", "female"),
            Voice("af_nicole", "en", "female"),
            Voice("af_sarah", "en", "female"),
            Voice("hf_alpha", "hi", "female"),
            Voice("hf_beta", "hi", "female"),
            Voice("hm_omega", "hi", "male"),
            Voice("hm_psi", "hi", "male"),
        )
    }
)
"""By id; American English and Hindi, as named in Kokoro-82M's VOICES.md."""
