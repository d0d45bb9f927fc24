"""The symbols that Kokoro (and its distilled student) were trained on, and what is made of them.

Knows: Kokoro's symbol table, the shape of what the model speaks in one run. Does not know: languages, readers, models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_SYMBOLS: Final = 200
"""Longest utterance, about 12 s. The model takes 510 symbols, but beyond about 400 it rushes, and its memory grows
with the length of a run and stays (0.7 GB at 230 symbols)."""

_SYMBOL_RUNS: Final = (
    (1, ";:,.!?"), (9, '—…"()“” \u0303ʣʥʦʨᵝꭧAI'), (31, "O"), (33, "Q"), (35, "ST"), (39, "W"),
    (41, "Yᵊabcdef"), (50, "hijklmnopqrstuvwxyzɑɐɒæ"), (75, "βɔɕç"), (80, "ɖðʤə"), (85, "ɚɛɜ"), (90, "ɟ"),
    (92, "ɡ"), (99, "ɥ"), (101, "ɨɪʝ"), (110, "ɯɰŋɳɲɴø"), (118, "ɸθœ"), (123, "ɹ"), (125, "ɾɻ"),
    (128, "ʁɽʂʃʈʧ"), (135, "ʊʋ"), (138, "ʌɣɤ"), (142, "χʎ"), (147, "ʒʔ"), (156, "ˈˌː"), (162, "ʰ"),
    (164, "ʲ"), (169, "↓"), (171, "→↗↘"), (177, "ᵻ"),
)  # fmt: skip
"""(first id, symbols with that and the next ids): `vocab` in Kokoro-82M's config.json."""

SYMBOL_IDS: Final[dict[str, int]] = {
    symbol: first + i for first, symbols in _SYMBOL_RUNS for i, symbol in enumerate(symbols)
}
"""114 symbols, ids below 178. Id 0 opens and closes a sequence."""

STOPS: Final = ';:,.!?—…"()“”'
"""Symbols of punctuation."""
OPENING: Final = "(“"
"""Stops that belong to what follows them."""


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Where one word of the text lies in the symbols: [first, end), without the stops behind it."""

    word: str
    """A piece of the text as written: what stands between two spaces, and in Japanese and Chinese, which have none, a
    word with the stops behind it. The words of a reading stand in the order of the text and do not overlap."""
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the model speaks in one run."""

    symbols: str
    """1 to MAX_SYMBOLS keys of SYMBOL_IDS, at least one of them a sound."""
    words: tuple[WordSpan, ...] = ()
    """In order; () when words and phoneme groups could not be matched."""

    @property
    def ids(self) -> list[int]:
        """Model input: one id per symbol between two zeros."""
        return [0, *(SYMBOL_IDS[symbol] for symbol in self.symbols), 0]


@dataclass(frozen=True, slots=True)
class Reading:
    utterances: tuple[Utterance, ...]
    """In order; () when there is nothing to say aloud."""
    dropped: str = ""
    """Letters of the text, and symbols of the readers, that the model has no sound for; each once, sorted."""
