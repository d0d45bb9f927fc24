"""Finds the loop a decoder fell into. Knows: lists of token ids. Does not know: models, text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LOOP_TOKENS: Final = 8
"""A shorter tail is no loop: "no, no, no" is speech."""
COPIES_AT_LIMIT: Final = 3
"""Copies that make a loop when the decoder ran into its length limit."""
LONG_COPIES_AT_LIMIT: Final = 2
"""The same of LOOP_TOKENS or more each: nobody says a sentence twice as fast as the limit."""
COPIES_AT_END: Final = 5
"""The same when it ended by itself: people do say things three or four times."""


def without_loop(tokens: Sequence[int], *, hit_limit: bool) -> list[int]:
    """tokens whose tail repeats one n-gram (the last copy perhaps cut short) are cut behind its first copy.

    hit_limit: the decoder stopped because it might not write more. Returns all tokens when there is no loop.
    """
    for period in range(1, len(tokens) // LONG_COPIES_AT_LIMIT + 1):
        echoed = _echoed(tokens, period)
        if echoed >= period * (_copies(period, hit_limit) - 1) and echoed + period >= LOOP_TOKENS:
            return list(tokens[: len(tokens) - echoed])
    return list(tokens)


def _copies(period: int, hit_limit: bool) -> int:
    if not hit_limit:
        return COPIES_AT_END
    return LONG_COPIES_AT_LIMIT if period >= LOOP_TOKENS else COPIES_AT_LIMIT


def _echoed(tokens: Sequence[int], period: int) -> int:
    """How many tokens at the end equal the one `period` before them."""
    count = 0
    while count < len(tokens) - period and tokens[-1 - count] == tokens[-1 - count - period]:
        count += 1
    return count
