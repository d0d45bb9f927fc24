"""What may be printed to a person's terminal of a text that came from anyone.

Knows: characters. Does not know: what the text is.
"""

from __future__ import annotations

import sys


def printable(text: str, most: int = sys.maxsize) -> str:
    """On one line and at most `most` characters long before escaping. What would move the cursor, colour the terminal,
    turn the text around or is no character at all is shown as its escape."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
