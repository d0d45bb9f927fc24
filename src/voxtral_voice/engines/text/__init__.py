"""Written text to the words that a person would say.

Knows: markdown, emoji, numbers, dates, money, units and abbreviations as they are written. Does not know: phonemes,
voices, audio, sessions.
"""

from __future__ import annotations

from voxtral_voice.engines.text.said import Said

__all__ = ["Said", "as_spoken"]


def as_spoken(text: str, language: str) -> tuple[Said, ...]:
    """text: as written, of any length. language: ISO 639-1, of what the letters do not tell. One Said per white-space
    token of the text, in order."""
    return tuple(Said(word, word) for word in text.split())
