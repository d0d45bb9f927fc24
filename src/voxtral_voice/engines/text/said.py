"""What is handed to the readers of phonemes.

Knows: nothing but its own shape.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """One white-space token of a text, and the words that are said for it."""

    written: str
    """As it stands in the text."""
    spoken: str
    """Words of its language in their own script, separated by single spaces, each with the punctuation that makes a
    pause behind it; "" when nothing is said for this token."""
