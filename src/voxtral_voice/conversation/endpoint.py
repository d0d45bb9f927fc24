"""When is the turn over? One pure function with its constants.

Knows: what the client asked for, and what sound and words say about the turn so far. Does not know: clocks (the wait
is counted from the last voiced sample), audio, who computed the signals or when they come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from voxtral_voice.conversation.events import TurnDetection

MAX_WAIT_MS: Final = {"low": 8000.0, "medium": 4000.0, "auto": 4000.0, "high": 2000.0}
"""Longest silence inside an unfinished turn, by eagerness (OpenAI Realtime API reference, semantic_vad)."""

UNJUDGED: Final = 0.5
"""Assumed probability that the turn is over until the judge has spoken (it takes some 50 ms)."""

SHORTEST_MS: Final = (120.0, 180.0, 260.0)
"""Wait when the turn is surely over, at patience 0, 0.5 and 1."""
LONGEST_MS: Final = (1000.0, 2000.0, 3000.0)
"""Wait when it surely is not."""
EVEN_ODDS: Final = (-1.5, 0.0, 1.5)
"""Log-odds that the turn is over at which the wait is half-way between the two, on a scale of ratios."""
STEEPNESS: Final = 1.5
"""How fast the wait falls as those odds rise."""
WORDLESS_MS: Final = (300.0, 450.0, 650.0)
"""Least wait while the words are not known: they come some 260 ms into the silence."""

SURE: Final = 0.001
"""No signal counts as surer than this."""

UNFINISHED: Final = frozenset(
    "a an the and or but so because if that which who when while with without for from to of in on at by into about"
    " my your his her its our their this these those is are was were am be been would could should can will shall"
    " may might must have has had do does did not very more most rather quite um uh er erm hmm like"
    " और या लेकिन मगर कि जो तो अगर क्योंकि का की के को में से पर ने तक लिए एक मेरा मेरी मेरे".split()
)
"""Last words after which a sentence goes on."""
TAIL_CHARACTERS: Final = 200
"""Of the words, the end that is looked at."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of the turn so far; None = not (yet) known."""

    judged: float | None = None
    """P(turn is over) from its sound."""
    words: str | None = None
    """Its transcript; "" when there are no words."""
    words_judged: float | None = None
    """P(the words are a finished utterance) from the responder's language model."""
    language: str | None = None
    speech_ms: float = 0.0
    """From the onset to the last voiced sample."""
    pauses_ms: tuple[float, ...] = ()
    """Pauses inside turns of this speaker in this session after which they went on, latest last."""


def endpoint_wait_ms(detection: TurnDetection, signals: Signals) -> float:
    """Silence after the last voiced sample that ends the turn.

    server_vad: the client's own `silence_duration_ms`, whatever the signals say. semantic_vad: between a shortest and
    a longest wait, by the probability that the turn is over.
    """
    if detection.kind == "server_vad":
        return float(detection.silence_duration_ms)
    patience = min(1.0, max(0.0, detection.patience))
    shortest, longest = _at(SHORTEST_MS, patience), _at(LONGEST_MS, patience)
    unsure = 1 / (1 + math.exp(STEEPNESS * (_log_odds(completeness(signals)) - _at(EVEN_ODDS, patience))))
    wait = shortest * math.pow(longest / shortest, unsure)
    if signals.words is None:
        wait = max(wait, _at(WORDLESS_MS, patience))
    return min(wait, MAX_WAIT_MS[detection.eagerness])


def completeness(signals: Signals) -> float:
    """The probability that the turn is over."""
    odds = 0.5 * _log_odds(UNJUDGED if signals.judged is None else signals.judged)
    if signals.words_judged is not None:
        odds += 0.5 * _log_odds(signals.words_judged) + 1.0
    if signals.words is not None and _goes_on(signals.words):
        odds -= 3.0
    return 1 / (1 + math.exp(-odds))


def _log_odds(probability: float) -> float:
    sure = min(1 - SURE, max(SURE, probability))
    return math.log(sure / (1 - sure))


def _at(points: tuple[float, float, float], patience: float) -> float:
    """Straight lines between the values at 0, 0.5 and 1."""
    low, middle, high = points
    return low + (middle - low) * 2 * patience if patience < 0.5 else middle + (high - middle) * (2 * patience - 1)


def _goes_on(words: str) -> bool:
    """The last word is one that no sentence ends with."""
    last = words[-TAIL_CHARACTERS:].split()[-1:]
    return bool(last) and last[0].strip(".,…-").casefold() in UNFINISHED


def judged_wait_ms(detection: TurnDetection, judged: float | None, min_wait_ms: float) -> float:
    """The rule by sound alone, until the session gives all signals.

    Between `min_wait_ms` (judge certain that the turn is over) and the eagerness's maximum, geometrically.
    """
    if detection.kind == "server_vad":
        return float(detection.silence_duration_ms)
    longest = MAX_WAIT_MS[detection.eagerness]
    certainty = UNJUDGED if judged is None else min(1.0, max(0.0, judged))
    return longest * math.pow(min_wait_ms / longest, certainty)
