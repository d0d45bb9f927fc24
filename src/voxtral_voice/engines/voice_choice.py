"""Which voice speaks a reply in this language.

Knows: voices as data, grades. Does not know: engines, models, what was said.

The voice that was asked for speaks, if it can:

- its own language; American and British English are one;
- Hindi voices read English too, as who speaks Hindi does;
- a voice whose language is not known (a server's own, a cloned one) reads every language.

Else the best one of that language speaks: of the same gender, if there is one, then by grade, then as they are listed.
When there is none, the one asked for reads it as it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from voxtral_voice.engines.base import Voice

Why = Literal["asked", "language", "no_voice"]
"""Why a voice speaks: it was asked for and can; the one asked for cannot; none can, and it was asked for."""

ALSO_READS: Final = {"hi": ("en",)}
"""Language of a voice -> others that it reads."""
_GRADES: Final = [letter + sign for letter in "ABCDEF" for sign in ("+", "", "-")]


def voice_for(voices: Mapping[str, Voice], asked: Voice, language: str) -> Voice:
    """voices: those that there are, the default ones first. language: ISO 639-1 of the words; "" = not known."""
    if reads(asked, language):
        return asked
    able = [voice for voice in voices.values() if voice.speaks == language]
    return min(able, key=lambda voice: (voice.gender != asked.gender, _place(voice.grade)), default=asked)


def why(asked: Voice, used: Voice, language: str) -> Why:
    if used.id != asked.id:
        return "language"
    return "asked" if reads(asked, language) else "no_voice"


def reads(voice: Voice, language: str) -> bool:
    own = voice.speaks
    return not language or not own or language == own or language in ALSO_READS.get(own, ())


def _place(grade: str) -> int:
    """0 is the best; not graded comes last."""
    return _GRADES.index(grade) if grade in _GRADES else len(_GRADES)
