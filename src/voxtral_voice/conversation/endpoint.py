"""When is the turn over? One pure function with its constants.

Knows: what the client asked for, and what sound and words say about the turn so far. Does not know: clocks (the wait
is counted from the last voiced sample), audio, who computed the signals or when they come.

The probability that the turn is over is a logistic regression, one for each set of signals that can be known: sound
only, sound and words, and those with the judgement of the words. Each was fitted on 246 ends and 419 cuts at random
word boundaries (telephone prompts by a person; sentences in eight synthetic voices, some in Hindi), both kinds with the
same weight in all; none of these recordings or sentences is in the benchmark. The dial below was set on them too, but
with the benchmark in sight. A signal was kept when it lowered the log loss of sentences left out of the fit (8 folds):
sound 0.53, its bend 0.52, last word and final mark 0.47, words judged 0.37. Once the words are judged, these changed
nothing: the last word, question marks, single words, a digit at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from voxtral_voice.conversation.events import TurnDetection

Dial = tuple[float, float, float]
"""At patience 0, 0.5 and 1; straight lines between."""

SHORTEST_MS: Final[Dial] = (110.0, 185.0, 240.0)
"""Wait when the turn is surely over."""
LONGEST_MS: Final[Dial] = (1300.0, 1830.0, 3000.0)
"""Wait when it surely is not: longer than most pauses in the midst of a sentence, and within the 8, 4 and 2 s that
OpenAI's API allows each eagerness."""
EVEN_ODDS: Final[Dial] = (1.5, 1.73, 2.0)
"""Log-odds that the turn is over at which the wait is half-way, on a scale of ratios, between the two. More, and fewer
pauses are cut off while the median wait stays the same, but more finished sentences wait for long."""
EVEN_ODDS_UNHEARD: Final[Dial] = (-0.6, 1.8, 2.2)
"""The same while the words are not known yet. They come 260 ms into the silence and their judgement 60 ms later, so
that a turn is over faster only by sound alone: what the impatient risk, they risk here."""
EVEN_ODDS_UNJUDGED: Final[Dial] = (0.3, 1.1, 1.6)
"""The same while the words are not judged. Never, when the responder cannot: then at 1.6 half the finished turns would
wait for more than a second."""
UNJUDGED_MS: Final = 360.0
"""Least wait then, so that a judgement that is under way comes in time."""
STEEPNESS: Final = 5.0
"""How fast the wait falls as the log-odds rise. At 3 twice as many pauses of the benchmark were cut off for the same
median wait; at 8 more of the speakers' own short ones."""

SURE_SOUND: Final = 0.002
SURE_WORDS: Final = 0.001
"""A probability counts as no surer than this; the judges seldom are."""
BEND: Final = 3.9
"""Log-odds of the sound (98 %) above which they say much more: 27 of 100 ends and 3 of 100 cuts are above 98.5 %."""

NO_WORDS_MS: Final = 400.0
"""Wait when nothing was said at all: a cough. There is no sentence to finish; what it interrupted goes on soon."""

HINDI: Final = 0.9
"""Added where the words are not judged: Smart Turn is less sure at the ends of Hindi (median 0.93 instead of 0.97)."""

TAIL_CHARACTERS: Final = 200
"""Of the words, the end that is looked at."""
FINAL_MARKS: Final = ".?!।。？！"
OPEN_MARKS: Final = ("...", "…", ",", "-", ":", "、", "，")
"""What the transcriber writes behind words that it hears break off."""
UNFINISHED: Final = frozenset(
    "a an the and or but so because if that which who when while with without for from to of in on at by into about"
    " my your his her its our their this these those is are was were am be been would could should can will shall"
    " may might must have has had do does did not very more most rather quite um uh er erm hmm like"
    " और या लेकिन मगर कि जो तो अगर क्योंकि का की के को में से पर ने तक लिए एक मेरा मेरी मेरे".split()
)
"""Last words after which a sentence goes on."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of the turn so far; None = not (yet) known."""

    judged: float | None = None
    """P(turn is over) from its sound."""
    words: str | None = None
    """Its transcript, with the transcriber's marks; "" when there are no words."""
    words_judged: float | None = None
    """P(the words are a finished utterance) from the responder's language model."""
    language: str | None = None
    ending: float | None = None
    """`odds_of_ending` of the words; None: found from them."""
    judging: bool = True
    """The words that are there may be judged yet."""


def endpoint_wait_ms(detection: TurnDetection, signals: Signals) -> float:
    """Silence after the last voiced sample that ends the turn.

    server_vad: the client's own `silence_duration_ms`, whatever the signals say. semantic_vad: between a shortest and
    a longest wait, by the probability that the turn is over. It is to be asked again whenever a signal comes.
    """
    if detection.kind == "server_vad":
        return float(detection.silence_duration_ms)
    if signals.words is not None and not signals.words.strip():
        return NO_WORDS_MS
    patience = min(1.0, max(0.0, detection.patience))
    shortest, longest = _at(SHORTEST_MS, patience), _at(LONGEST_MS, patience)
    doubt = _probability(STEEPNESS * (_at(_even_odds(signals), patience) - log_odds(signals)))
    wait = shortest * math.pow(longest / shortest, doubt)
    if signals.words is not None and signals.words_judged is None and signals.judging:
        wait = max(wait, UNJUDGED_MS)
    return wait


def _even_odds(signals: Signals) -> Dial:
    if signals.words is None:
        return EVEN_ODDS_UNHEARD
    return EVEN_ODDS_UNJUDGED if signals.words_judged is None else EVEN_ODDS


def log_odds(signals: Signals) -> float:
    """That the turn is over, where as many silences are ends as are pauses; calibrated."""
    sound = 0.0 if signals.judged is None else _odds_of(signals.judged, SURE_SOUND)
    bent = max(0.0, sound - BEND)
    if signals.words is None:
        return -0.67 + 0.42 * sound + 1.87 * bent
    if signals.words_judged is not None:
        return 0.57 + 0.34 * sound + 0.87 * bent + 0.61 * _odds_of(signals.words_judged, SURE_WORDS)
    ending = odds_of_ending(signals.words) if signals.ending is None else signals.ending
    return 0.41 * sound + ending + (HINDI if signals.language == "hi" else 0.0)


def odds_of_ending(words: str) -> float:
    """What the end of the words adds."""
    tail = words[-TAIL_CHARACTERS:].rstrip()
    last = tail.split()[-1:]
    goes_on = -1.6 if last and last[0].strip(".,…-").casefold() in UNFINISHED else 0.0
    if tail.endswith(OPEN_MARKS):
        return goes_on - 4.0
    return goes_on if tail.endswith(tuple(FINAL_MARKS)) else goes_on - 1.3


def _odds_of(probability: float, sure: float) -> float:
    """Log-odds."""
    bounded = min(1 - sure, max(sure, probability))
    return math.log(bounded / (1 - bounded))


def _probability(odds: float) -> float:
    """odds: their logarithm."""
    return 1 / (1 + math.exp(-odds))


def _at(dial: Dial, patience: float) -> float:
    fast, middle, careful = dial
    return fast + (middle - fast) * 2 * patience if patience < 0.5 else middle + (careful - middle) * (2 * patience - 1)
