"""What is said for a text, in one string."""

from __future__ import annotations

from voxtral_voice.engines.text import as_spoken


def spoken(text: str, language: str = "en") -> str:
    return " ".join(one.spoken for one in as_spoken(text, language) if one.spoken)
