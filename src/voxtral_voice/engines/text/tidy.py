"""What is left of a word when the rules are done: letters, and stops that make a pause.

Knows: which stops the voice knows. Does not know: languages, rules.
"""

from __future__ import annotations

import re
from typing import Final

_STOPS: Final = (
    (re.compile(r"[।॥|]+"), "."),
    (re.compile(r"\.{2,}"), "…"), (re.compile(r"-{2,}|^\s*[-−]\s*$|[–—]+"), "—"),
)  # fmt: skip
_DROPPED: Final = re.compile(
    r"[^\w\s\u0900-\u097f\u200c\u200d,.;:!?…—()“”\"'\-、。，！？：；・ー「」『』（）\u0300-\u036f]|_"
)
_LOOSE_HYPHEN: Final = re.compile(r"(?<![^\W\d_])-|-(?![^\W_])(?!\d)")
_LOOSE_QUOTE: Final = re.compile(r"(?<!\w)'(?!(?:em|til|cause|tis|twas|bout|n)\b)|'(?!\w)")
_RUN: Final = re.compile(r"((?<=[A-Z])\.(?=[,;:!?]))?([,.;:!?…—]+)")
"""The full stop of an abbreviation is none of them."""
_BEFORE_STOP: Final = re.compile(r"\s+(?=[,.;:!?…)”]|'s\b)")
_BEHIND_OPENING: Final = re.compile(r"(?<=[(“])\s+")
_AT_QUOTE: Final = re.compile(r"(?<=^\")\s+|(?<=^\(\")\s+|\s+(?=\"[,.;:!?…)]*$)| (?=-[^\W\d_]{2})")
"""A quotation mark belongs to its word, a hyphen to its number ("ten-year-old")."""
_CJK: Final = "\u3000-\u30ff\u3400-\u9fff"
_NO_SPACE: Final = re.compile(rf"(?<=[{_CJK}\d])\s+(?=[{_CJK}])|(?<=[{_CJK}])\s+(?=\d)")
"""Chinese and Japanese have none between words."""
_SAID_ALONE: Final = frozenset(',.;:!?…—()“”"、。・「」『』！？，；：')
_LEADING: Final = re.compile(r"^[,;:.]+\s*(?=\w)")
_EMPTY: Final = re.compile(r"\([\s,.;:!?…—]*\)|“”|\"\"")
_RANK: Final = "?!….;:—,"
"""Of several stops in a row the first of these is kept."""


def tidy(said: str) -> str:
    """Words separated by single spaces, each with at most one stop behind it; "" when nothing is left to say."""
    for pattern, stop in _STOPS:
        said = pattern.sub(stop, said)
    said = _AT_QUOTE.sub("", _DROPPED.sub(" ", said).strip())
    said = _LOOSE_QUOTE.sub("", _LOOSE_HYPHEN.sub(" ", said))
    said = _EMPTY.sub("", said)
    said = _BEHIND_OPENING.sub("", _BEFORE_STOP.sub("", said))
    said = _RUN.sub(lambda run: (run[1] or "") + min(run[2], key=_RANK.index), said)
    said = _LEADING.sub("", said)
    said = "".join(c for c in said if c.isascii() or not c.isdigit())
    said = " ".join(_NO_SPACE.sub("", said).split())
    return said if any(c.isalnum() or c in _SAID_ALONE for c in said) else ""
