"""What each stage of an answer may take at most, and what it took.

Knows: the targets that the project set out with, which of our server's stages each is about. Does not know: how stages
are measured, how a table looks.

    preprocessing       < 50 ms    `silence`: last voiced sample -> silence is noticed. Decoding, resampling, voice
                                   activity; most of it is waiting for a frame that is silent
    understanding       < 150 ms   `transcript`: silence noticed -> the final words. Where a model answers straight from
    (Voxtral)                      the audio no words are waited for, and this is `first_token`: silence noticed ->
                                   first word of the answer
    response, intents   < 50 ms    `first_token` + `first_phrase` (only the latter where the first word is counted
                                   above), of turns that need no language model
    response                       the same of the other turns; no target was set
    speech              < 200 ms   `first_audio`: the first phrase -> its first audio
    held for the end               `hold`: audio that is ready waits for the turn to be over
    output              < 30 ms    what is left of V2V: sending, network, the player's wait, leading silence
    V2V                 < 500 ms   last voiced sample spoken -> first audible sample played

The stages of one turn sum to its V2V. They begin where the server heard the last voiced sample, V2V where it was
spoken: the difference is in `output`, which may be some ms too small for that, and below 0. A target is met when the
p95 is below its limit. A server that sends no stages is judged by V2V alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from voxtral_voice.bench import stats
from voxtral_voice.bench.stats import Spread
from voxtral_voice.bench.turn import TurnFigures

Verdict = Literal["met", "met at p50", "missed", "not tried", ""]
"""met at p50: the median is below the limit and the p95 is not. "": there is no limit."""
Ms = float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """One line of the table."""

    target: str
    what: str
    limit_ms: float | None
    measured_ms: Spread
    verdict: Verdict


def judged(plain: Sequence[TurnFigures], intents: Sequence[TurnFigures]) -> tuple[Judged, ...]:
    """plain: turns said into silence, without those that need no language model (intents)."""
    every = [*plain, *intents]
    return (
        _judged("preprocessing", 50, every, _preprocessing, "last voiced sample to silence noticed"),
        _judged(
            "understanding (Voxtral)", 150, every, _understanding, "to the final words, or to the first of an answer"
        ),
        _judged("response, intents", 50, intents, _response, "to the first phrase, without a language model"),
        _judged("response", None, plain, _response, "to the first phrase"),
        _judged("speech", 200, every, _speech, "to the first phrase's first audio"),
        _judged("held for the end", None, every, _held, "audio that is ready waits for the commit"),
        _judged("output", 30, every, _output, "sending, network, player, leading silence"),
        _judged("V2V, intents", 500, intents, _v2v, "last voiced sample to first audible sample"),
        _judged("V2V", 500, plain, _v2v, "last voiced sample to first audible sample"),
    )


def _judged(
    target: str, limit_ms: float | None, turns: Iterable[TurnFigures], value: Callable[[TurnFigures], Ms], what: str
) -> Judged:
    spread = stats.spread((turn.said_clip, ms) for turn in turns if (ms := value(turn)) is not None)
    return Judged(target, what, limit_ms, spread, _verdict(spread, limit_ms))


def _verdict(spread: Spread, limit_ms: float | None) -> Verdict:
    if spread.p50 is None or spread.p95 is None:
        return "not tried"
    if limit_ms is None:
        return ""
    if spread.p95.value < limit_ms:
        return "met"
    return "met at p50" if spread.p50.value < limit_ms else "missed"


# --- of one turn ------------------------------------------------------------------------------------------------


def _stages(turn: TurnFigures) -> dict[str, float]:
    """Of a turn that was answered in time."""
    return {} if turn.missed or turn.answered_early else turn.stages_ms


def _preprocessing(turn: TurnFigures) -> Ms:
    return _stages(turn).get("silence")


def _understanding(turn: TurnFigures) -> Ms:
    stages = _stages(turn)
    return stages.get("transcript", stages.get("first_token"))


def _response(turn: TurnFigures) -> Ms:
    stages = _stages(turn)
    if "first_phrase" not in stages:
        return None
    return stages["first_phrase"] + (stages.get("first_token", 0.0) if "transcript" in stages else 0.0)


def _speech(turn: TurnFigures) -> Ms:
    return _stages(turn).get("first_audio")


def _held(turn: TurnFigures) -> Ms:
    return _stages(turn).get("hold")


def _output(turn: TurnFigures) -> Ms:
    stages = _stages(turn)
    if "hold" not in stages or turn.v2v_ms is None:
        return None
    return turn.v2v_ms - sum(stages.values())


def _v2v(turn: TurnFigures) -> Ms:
    """As it counts in quantiles: a missed turn is its whole deadline."""
    return turn.counted_v2v_ms
