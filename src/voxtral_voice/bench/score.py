"""Recorded conversations -> figures. Pure: the same records always give the same figures.

Knows: what each figure is, and what counts as an error. Does not know: clocks, servers, which reply answers what
(`attribution` has the rules), what is measured of one (`turn`).

A turn without an audible answer within its deadline is missed: it is an error, and it counts as the whole deadline in
the quantiles of V2V, so that a server that stops answering does not look fast. A turn whose answer is a cut-in is
counted there, and its V2V (mostly negative) is in no quantile. Wire time and leading silence are those of turns that
were answered and whose V2V is averaged.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from voxtral_voice.bench import stats, words
from voxtral_voice.bench.clip import INTENT
from voxtral_voice.bench.player import PLAY_RATE_HZ
from voxtral_voice.bench.record import Lost, Refused, SessionRecord
from voxtral_voice.bench.stats import Estimate, Point, Share, Spread, Tradeoff
from voxtral_voice.bench.targets import Judged, judged
from voxtral_voice.bench.turn import TurnFigures, turns

VOID_LATENESS_MS: Final = 10.0
"""A run whose microphone was later than this at the 99th percentile measured itself."""
BYTES_PER_MS: Final = 2 * PLAY_RATE_HZ // 1000
NOISES: Final = ("cough", "door")
REASONS: Final = 3
"""Different ones that are kept of what a server says of its troubles."""
REASON_CHARACTERS: Final = 200

Figure = TypeVar("Figure")


@dataclass(frozen=True, slots=True)
class Latency:
    """In ms, over turns that wanted an answer."""

    v2v_ms: Spread
    wire_ms: Spread
    leading_silence_ms: Spread
    missed: Share


@dataclass(frozen=True, slots=True)
class CutIns:
    count: int
    """Of all kinds, in all turns."""
    hold: Share
    """Pauses of hold clips in which something cut in."""
    hold_by_condition: dict[str, Share]
    plain: Share
    """Turns that are no hold clips, and that something cut into all the same."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    stopped: Share
    """Of the barge-ins over a reply that did not come to its own end just then: silent within STOP_WITHIN_MS."""
    heard_stop_ms: Spread
    decision_stop_ms: Spread
    """From the server's word that it is broken off to the last old sound."""
    server_stop_ms: Spread
    old_audio_after_stop_ms: float
    """In all, after taps too."""
    old_bytes_after_stop: int
    """The same, as 16-bit samples."""
    words_off: Spread
    """Words by which the server's text of the interrupted reply differs from what was played (`words.heard_words`)."""
    latency: Latency
    """Of the answers to them."""


@dataclass(frozen=True, slots=True)
class FalseStops:
    """Of the taps over a reply, and of the replies that were heard again: those that broke it off."""

    all: Share
    by_kind: dict[str, Share]
    """backchannel, noise, fixed echo (of other sentences), own echo (of the reply itself)."""
    by_condition: dict[str, Share]


@dataclass(frozen=True, slots=True)
class Intents:
    """Of turns that need no language model."""

    latency: Latency
    recognised: Share
    """The reply holds the words of the intent's answer."""


@dataclass(frozen=True, slots=True)
class Sounded:
    """Sound without speech, into silence: neither may be more than 0."""

    minutes: float
    turns: int
    """Committed."""
    replies: int


@dataclass(frozen=True, slots=True)
class Soak:
    all: Sounded
    by_condition: dict[str, Sounded]


@dataclass(frozen=True, slots=True)
class Continuity:
    """Of the answers as they were played."""

    reply_minutes: float
    underruns: int
    underruns_per_minute: float | None
    longest_gap_ms: float


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Of one language. A turn without a transcript counts as one of which nothing was understood."""

    unit: words.Unit
    turns: int
    missing: int
    error_percent: Estimate | None
    """WER or CER, by `unit`: all errors over all units, with an interval over clips."""
    wer_percent: float | None
    """None for languages without spaces."""
    cer_percent: float | None


@dataclass(frozen=True, slots=True)
class Lateness:
    """By how much the microphone's chunks left after they were due."""

    chunks: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    sessions: int
    turns: int
    """Things said that wanted an answer."""
    taps: int
    caller_minutes: float
    """Of microphone, all sessions together."""
    latency: Latency
    """Of turns said into silence, intents left out."""
    intents: Intents
    by_language: dict[str, Latency]
    by_set: dict[str, Latency]
    """The set is the part of a clip's id before the "/"."""
    missed: Share
    """Of everything that wanted an answer, barge-ins too."""
    cut_ins: CutIns
    barge_in: BargeIn
    false_stops: FalseStops
    soak: Soak
    continuity: Continuity
    transcripts: dict[str, Transcripts]
    """By language; only those of which the server sent a transcript at all."""
    right_answers: Share
    """Of the turns with an expected answer: the reply holds it."""
    stages_ms: dict[str, Spread]
    """The server's own stages, when it sends them."""
    endpoint_ms: Spread | None
    """Last voiced sample -> commit, as the server says; None when it does not."""
    targets: tuple[Judged, ...]
    statuses: dict[str, int]
    """Of what wanted an answer."""
    refused: int
    """Errors of the server that belong to no reply."""
    refusals: tuple[str, ...]
    """What they said: the first few that differ."""
    lost: int
    """Connections that broke."""
    lost_reasons: tuple[str, ...]
    """Why: the first few that differ."""
    lateness: Lateness
    void: bool
    """The microphone was late, or sent nothing: nothing here may be quoted."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def figures(records: Sequence[SessionRecord], jitter_ms: float = 0.0) -> Figures:
    said = [turn for record in records for turn in turns(record, jitter_ms)]
    wanted = [turn for turn in said if turn.wants_answer]
    alone = [turn for turn in wanted if turn.purpose == "turn"]
    intents, plain = ([turn for turn in alone if (turn.condition == INTENT) is wanted] for wanted in (True, False))
    lateness = _lateness(records)
    seen = [each for record in records for each in record.seen]
    refused = [each.message for each in seen if isinstance(each, Refused)]
    lost = [each.reason for each in seen if isinstance(each, Lost)]
    return Figures(
        sessions=len(records),
        turns=len(wanted),
        taps=sum(turn.purpose in ("tap", "echo") for turn in said),
        caller_minutes=round(sum(record.ended - record.began for record in records) / 60, 3),
        latency=_latency(plain),
        intents=Intents(_latency(intents), _right_answers(intents)),
        by_language=_by(plain, lambda turn: turn.language, _latency),
        by_set=_by(alone, lambda turn: turn.said_clip.split("/")[0], _latency),
        missed=_missed(wanted),
        cut_ins=_cut_ins(wanted),
        barge_in=_barge_in(said),
        false_stops=_false_stops(said),
        soak=_soak(said),
        continuity=_continuity(wanted),
        transcripts=_transcripts(wanted),
        right_answers=_right_answers(turn for turn in wanted if turn.condition != INTENT),
        stages_ms=_stages(plain),
        endpoint_ms=_endpoint(plain),
        targets=judged(plain, intents),
        statuses=dict(sorted(Counter(turn.status for turn in wanted).items())),
        refused=len(refused),
        refusals=_reasons(refused),
        lost=len(lost),
        lost_reasons=_reasons(lost),
        lateness=lateness,
        void=lateness.p99_ms is None or lateness.p99_ms > VOID_LATENESS_MS,
    )


def _by(
    said: Iterable[TurnFigures], key: Callable[[TurnFigures], str], figure: Callable[[list[TurnFigures]], Figure]
) -> dict[str, Figure]:
    """The same figure for each value of the key, by name."""
    groups: dict[str, list[TurnFigures]] = {}
    for turn in said:
        groups.setdefault(key(turn), []).append(turn)
    return {name: figure(groups[name]) for name in sorted(groups)}


def _spread(said: Iterable[TurnFigures], value: Callable[[TurnFigures], float | None]) -> Spread:
    return stats.spread((turn.said_clip, ms) for turn in said if (ms := value(turn)) is not None)


def _latency(said: Sequence[TurnFigures]) -> Latency:
    answered = [turn for turn in said if not turn.missed and not turn.answered_early]
    return Latency(
        v2v_ms=_spread(said, lambda turn: turn.counted_v2v_ms),
        wire_ms=_spread(answered, lambda turn: turn.wire_ms),
        leading_silence_ms=_spread(answered, lambda turn: turn.leading_silence_ms),
        missed=_missed(said),
    )


def _missed(said: Iterable[TurnFigures]) -> Share:
    return stats.share((turn.said_clip, turn.missed) for turn in said)


def _cut_ins(said: Sequence[TurnFigures]) -> CutIns:
    hold = [turn for turn in said if turn.kind == "hold"]
    return CutIns(
        count=sum(turn.cut_ins for turn in said),
        hold=_pauses(hold),
        hold_by_condition=_by(hold, lambda turn: turn.condition, _pauses),
        plain=stats.share((turn.said_clip, turn.cut_ins > 0) for turn in said if turn.kind != "hold"),
    )


def _pauses(hold: Iterable[TurnFigures]) -> Share:
    return stats.share((turn.said_clip, i < turn.pauses_cut) for turn in hold for i in range(turn.pauses))


def _barge_in(said: Sequence[TurnFigures]) -> BargeIn:
    tried, old_ms = [turn for turn in said if turn.purpose == "barge_in"], sum(t.old_audio_after_stop_ms for t in said)
    return BargeIn(
        stopped=_stopped(tried),
        heard_stop_ms=_spread(tried, lambda turn: turn.stop_ms),
        decision_stop_ms=_spread(tried, lambda turn: turn.decision_stop_ms),
        server_stop_ms=_spread(tried, lambda turn: turn.server_stop_ms),
        old_audio_after_stop_ms=round(old_ms, 1),
        old_bytes_after_stop=round(old_ms * BYTES_PER_MS),
        words_off=_spread(tried, lambda turn: turn.heard_words.off if turn.heard_words else None),
        latency=_latency(tried),
    )


def _false_stops(said: Sequence[TurnFigures]) -> FalseStops:
    taps = [turn for turn in said if turn.purpose in ("tap", "echo")]
    kinds, conditions = _by(taps, _kind_of_tap, _stopped), _by(taps, lambda turn: turn.condition, _stopped)
    return FalseStops(_stopped(taps), kinds, conditions)


def _kind_of_tap(turn: TurnFigures) -> str:
    if turn.purpose == "echo":
        return "own echo"
    if turn.condition.startswith("echo "):
        return "fixed echo"
    return "noise" if turn.condition in NOISES else "backchannel"


def _soak(said: Iterable[TurnFigures]) -> Soak:
    soaks = [turn for turn in said if turn.purpose == "soak"]
    return Soak(_sounded(soaks), _by(soaks, lambda turn: turn.condition, _sounded))


def _sounded(soaks: Sequence[TurnFigures]) -> Sounded:
    minutes = sum(turn.said_ms for turn in soaks) / 60_000
    return Sounded(round(minutes, 3), sum(turn.commits for turn in soaks), sum(turn.replies for turn in soaks))


def _stopped(said: Iterable[TurnFigures]) -> Share:
    return stats.share((turn.said_clip, turn.stopped) for turn in said if turn.stopped is not None)


def _continuity(said: Sequence[TurnFigures]) -> Continuity:
    minutes, underruns = sum(turn.played_ms for turn in said) / 60_000, sum(turn.underruns for turn in said)
    return Continuity(
        reply_minutes=round(minutes, 3),
        underruns=underruns,
        underruns_per_minute=round(underruns / minutes, 3) if minutes else None,
        longest_gap_ms=max((turn.longest_gap_ms for turn in said), default=0.0),
    )


def _transcripts(said: Iterable[TurnFigures]) -> dict[str, Transcripts]:
    texts = _by([turn for turn in said if turn.text], lambda turn: turn.language, _transcripts_of)
    return {language: figure for language, figure in texts.items() if figure.missing < figure.turns}


def _transcripts_of(said: Sequence[TurnFigures]) -> Transcripts:
    language = said[0].language
    unit = words.unit(language)
    wer = None if language in words.SPACELESS else _errors(said, "word")
    cer = _errors(said, "character")
    return Transcripts(
        unit=unit,
        turns=len(said),
        missing=sum(turn.heard is None for turn in said),
        error_percent=cer if unit == "character" else wer,
        wer_percent=wer.value if wer else None,
        cer_percent=cer.value if cer else None,
    )


def _errors(said: Sequence[TurnFigures], unit: words.Unit) -> Estimate | None:
    counted = [(turn.said_clip, words.distance(turn.text, turn.heard or "", turn.language, unit)) for turn in said]
    return stats.rate((clip, each.errors, each.length) for clip, each in counted)


def _right_answers(said: Iterable[TurnFigures]) -> Share:
    return stats.share(
        (turn.said_clip, words.holds(turn.said, turn.expected, turn.language)) for turn in said if turn.expected
    )


def _stages(said: Sequence[TurnFigures]) -> dict[str, Spread]:
    """In the order in which the server names them."""
    names = dict.fromkeys(name for turn in said for name in turn.stages_ms)
    return {name: _stage(said, name) for name in names}


def _stage(said: Iterable[TurnFigures], name: str) -> Spread:
    return _spread(said, lambda turn: turn.stages_ms.get(name))


def _endpoint(said: Sequence[TurnFigures]) -> Spread | None:
    found = _spread(said, lambda turn: turn.endpoint_ms)
    return found if found.n else None


def _reasons(said: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason[:REASON_CHARACTERS] for reason in said))[:REASONS]


def _lateness(records: Sequence[SessionRecord]) -> Lateness:
    all_ms = [ms for record in records for ms in record.lateness_ms]
    if not all_ms:
        return Lateness(0, None, None)
    return Lateness(len(all_ms), round(stats.quantile(all_ms, 0.5), 2), round(stats.quantile(all_ms, 0.99), 2))


# --- figures of many runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Curve:
    """A server at several endpoint settings."""

    points: tuple[Point, ...]
    """As they were run."""
    numbers: Tradeoff


def tradeoff(runs: Sequence[tuple[str, Figures]]) -> dict[str, Curve]:
    """runs: (endpoint setting, figures). Median latency against the share of hold pauses that were cut, by what is
    called latency: "v2v", and "endpoint_wait" (what eot-bench compares) when the server says it in every run. A run
    without hold pauses is no point; none at all without two points."""
    waits = {"v2v": [(name, run.latency.v2v_ms, run) for name, run in runs]}
    waits["endpoint_wait"] = [(name, run.endpoint_ms, run) for name, run in runs if run.endpoint_ms is not None]
    curves = {kind: _curve(found) for kind, found in waits.items() if len(found) == len(runs)}
    return {kind: curve for kind, curve in curves.items() if len(curve.points) > 1}


def _curve(runs: Iterable[tuple[str, Spread, Figures]]) -> Curve:
    points = tuple(
        Point(name, wait.p50.value, run.cut_ins.hold.percent.value)
        for name, wait, run in runs
        if wait.p50 is not None and run.cut_ins.hold.percent is not None
    )
    return Curve(points, stats.tradeoff(points))
