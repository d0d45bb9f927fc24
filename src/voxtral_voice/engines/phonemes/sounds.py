"""What readers hand over, and which word of a text made which phoneme group.

Knows: that readers of languages with spaces give groups between spaces, mostly one for each word. Does not know:
languages, scripts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class Sound:
    """How one stretch, or one word of a stretch, is said."""

    stretch: int
    """Its number in what the reader was given."""
    symbols: str
    """Groups between spaces, stops included; may hold symbols that the model does not know."""
    glued: bool = False
    """No space before it."""
    written: str = ""
    """The word within the stretch, where the reader found several."""


MOST_STEPS: Final = 2_000
"""Words times groups up to which they are matched one by one (about 0.1 s); beyond it, by their share of the whole."""
_MOST_JOINED: Final = 4
"""Words that a reader says as one group ("il y a")."""


def in_groups(words: Sequence[str], read: Callable[[str], str]) -> list[Sound]:
    """Words of one language, read together.

    Words and groups are matched by counting the groups that each word has when it is read alone; where the counts do
    not add up (a reader joined words), by the symbols that they share.
    """
    groups = read(" ".join(words)).split()
    if len(words) == 1:
        return [Sound(0, " ".join(groups))] if groups else []
    if (counts := _plain_counts(words, groups)) is None:
        alone = [tuple(read(word).split()) for word in words]
        counts = [len(own) for own in alone]
        if sum(counts) != len(groups):
            return _matched(alone, groups)
    sounds, taken = [], 0
    for i, count in enumerate(counts):
        if count:
            sounds.append(Sound(i, " ".join(groups[taken : taken + count])))
        taken += count
    return sounds


def _plain_counts(words: Sequence[str], groups: Sequence[str]) -> list[int] | None:
    """One group for each word with letters, where that adds up and no number is among them."""
    ones = [1 if any(c.isalnum() for c in word) else 0 for word in words]
    numbers = any(c.isdigit() for word in words for c in word)
    return None if numbers or sum(ones) != len(groups) else ones


def _matched(alone: Sequence[tuple[str, ...]], groups: Sequence[str]) -> list[Sound]:
    sounds: list[Sound] = []
    word = group = 0
    for words_taken, groups_taken in _steps(alone, groups):
        symbols = " ".join(groups[group : group + groups_taken])
        lengths = [len("".join(own)) for own in alone[word : word + words_taken]]
        sounds += [Sound(word + i, part, glued=i > 0) for i, part in enumerate(_shared(symbols, lengths)) if part]
        word, group = word + words_taken, group + groups_taken
    return sounds


def _shared(symbols: str, lengths: Sequence[int]) -> list[str]:
    """One group cut into as many parts as words made it, in proportion to their lengths alone."""
    total = sum(lengths) or 1
    edges = [round(len(symbols) * sum(lengths[:i]) / total) for i in range(len(lengths))] + [len(symbols)]
    return [symbols[first:end] for first, end in pairwise(edges)]


_Way = tuple[float, tuple[int, int]]
"""Cost to the end, and the first step."""


def _steps(alone: Sequence[tuple[str, ...]], groups: Sequence[str]) -> list[tuple[int, int]]:
    """(words, groups) of each step of the cheapest way through both; a step is one word and its groups, or a few words
    and one group."""
    all_at_once = [(len(alone), len(groups))]
    if len(alone) * len(groups) > MOST_STEPS:
        return all_at_once
    best: dict[tuple[int, int], _Way] = {(len(alone), len(groups)): (0.0, (0, 0))}
    for word in reversed(range(len(alone))):
        for group in range(len(groups) + 1):
            ways = [
                (rest[0] + _cost(alone[word : word + words], groups[group : group + taken]), (words, taken))
                for words, taken in _choices(len(alone[word]))
                if (rest := best.get((word + words, group + taken))) is not None
            ]
            if ways:
                best[word, group] = min(ways)
    return _way(best) if (0, 0) in best else all_at_once


def _choices(groups_alone: int) -> Iterator[tuple[int, int]]:
    yield from ((1, taken) for taken in range(groups_alone + 3))
    yield from ((joined, 1) for joined in range(2, _MOST_JOINED + 1))


def _way(best: Mapping[tuple[int, int], _Way]) -> list[tuple[int, int]]:
    steps, at = [], (0, 0)
    while (step := best[at][1]) != (0, 0):
        steps.append(step)
        at = (at[0] + step[0], at[1] + step[1])
    return steps


def _cost(words: Sequence[tuple[str, ...]], groups: Sequence[str]) -> float:
    """Symbols that only one side has. A word mostly has as many groups as it has alone, and is seldom joined."""
    own, read = Counter("".join(map("".join, words))), Counter("".join(groups))
    odd = len(words) - 1 if len(words) > 1 else 3 * abs(len(groups) - len(words[0]))
    return ((own - read) + (read - own)).total() + odd
