"""Recorded conversations -> figures. Pure: the same records always give the same figures.

Knows: what each figure is, and what counts as an error. Does not know: clocks, servers, which reply answers what
(`attribution` has the rules).

A turn without an audible answer within its deadline is missed: it is an error, and it counts as the whole deadline in
the quantiles of V2V, so that a server that stops answering does not look fast. A turn whose answer is a cut-in is
counted there, and its V2V (mostly negative) is in no quantile. Wire time and leading silence are those of turns that
were answered and whose V2V is averaged.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard, TypeVar

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench import stats, words
from voxtral_voice.bench.attribution import Exchange, Reply, exchanges
from voxtral_voice.bench.clip import Kind
from voxtral_voice.bench.record import Lost, Purpose, Refused, SessionRecord
from voxtral_voice.bench.stats import Estimate, Share, Spread

STOP_WITHIN_MS: Final = 2_000.0
"""A real interruption must have silenced the reply by then, counted from its onset (tau-voice's window)."""
GO_ON_FOR_S: Final = 1.0
"""After a tap's end; a reply broken off later than that was not broken off by the tap (tau-voice's window)."""
VOID_LATENESS_MS: Final = 10.0
"""A run whose microphone was later than this at the 99th percentile measured itself."""

Figure = TypeVar("Figure")
Status = Literal["completed", "cancelled", "failed", "incomplete", "no_answer", "unfinished"]
"""Of the answer's last part, as the server says; no_answer: no reply, or one without audio that never ended;
unfinished: it had audio, went silent and never ended."""


@dataclass(frozen=True, slots=True, eq=False)
class TurnFigures:
    """What came of one thing said. Times in ms; None = it did not happen."""

    said_clip: str
    kind: Kind
    purpose: Purpose
    condition: str
    language: str
    text: str
    expected: str | None
    """Words that a right answer holds."""
    status: Status
    heard: str | None
    """The server's transcript of what was said."""
    said: str
    """The answer's transcript."""
    audio: Samples
    """The answer as it arrived, 24 kHz, also what was cut off; audio that arrived after the cut is not in it."""
    v2v_ms: float | None
    """Last voiced sample spoken -> first audible sample of the answer played. Negative: it cut in."""
    wire_ms: float | None
    """Last voiced sample spoken -> the answer's first audio message arrived."""
    leading_silence_ms: float | None
    """Audio of the answer before its first audible sample; part of v2v_ms."""
    played_ms: float
    underruns: int
    longest_gap_ms: float
    pauses: int
    """Put into the clip."""
    pauses_cut: int
    """Pauses after whose beginning, and before the next one's, something cut in."""
    cut_ins: int
    answered_early: bool
    """The answer is itself a cut-in; its V2V is in no quantile."""
    missed: bool
    """It wanted an answer, and nothing of one was audible after its end and within the deadline. Always False for a
    tap."""
    deadline_ms: float
    stop_ms: float | None
    """Heard stop: onset of this -> the older reply's last audible sample was played. Of a barge-in also when the reply
    just went on to its end; of a tap only when it broke the reply off."""
    server_stop_ms: float | None
    """Server stop: onset of this -> the last that the server had to do with it, which is the arrival of the older
    reply's last audio or of the message on which the player fell silent, whichever is later."""
    old_audio_after_stop_ms: float
    """Audio of the older reply that arrived after it had been broken off."""
    stopped: bool | None
    """Barge-in: the older reply was silent within STOP_WITHIN_MS. Tap: it was broken off (a false stop). None: nothing
    to be stopped, or the reply came to its own end within the window."""
    trace: Mapping[str, Any] | None
    error: str | None
    """Why the answer failed or there is none, in the server's words."""

    @property
    def wants_answer(self) -> bool:
        return self.purpose != "tap"

    @property
    def counted_v2v_ms(self) -> float | None:
        """As it counts in quantiles."""
        if self.missed:
            return self.deadline_ms
        return None if self.answered_early else self.v2v_ms

    @property
    def stages_ms(self) -> dict[str, float]:
        """The server's own stages; none when its trace has none, or is not of our shape."""
        stages = (self.trace or {}).get("stages_ms")
        numbers = stages.items() if isinstance(stages, Mapping) else ()
        return {str(name): float(ms) for name, ms in numbers if _is_number(ms)}

    @property
    def endpoint_ms(self) -> float | None:
        """Last voiced sample -> commit, as the server says."""
        wait = (self.trace or {}).get("endpoint_ms")
        return float(wait) if _is_number(wait) else None

    def as_json(self) -> dict[str, Any]:
        """Without the audio."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("audio", "trace")]
        fields = {name: getattr(self, name) for name in names}
        return fields | {"stages_ms": self.stages_ms, "endpoint_ms": self.endpoint_ms}


def turns(record: SessionRecord, jitter_ms: float = 0.0) -> tuple[TurnFigures, ...]:
    """One for each thing said, in order. jitter_ms: of the player's buffer."""
    return tuple(_turn(exchange) for exchange in exchanges(record, jitter_ms))


def _turn(exchange: Exchange) -> TurnFigures:
    said, parts = exchange.said, exchange.answer()
    played = [part.played for part in parts if part.played]
    first = played[0] if played else None
    cut_ins = exchange.cut_ins()
    stop = _stop(exchange)
    return TurnFigures(
        said_clip=said.clip,
        kind=said.kind,
        purpose=said.purpose,
        condition=said.condition,
        language=said.language,
        text=said.text,
        expected=said.answer,
        status=_status(parts),
        heard=exchange.heard(),
        said=" ".join(part.text.strip() for part in parts if part.text.strip()),
        audio=np.concatenate([np.zeros(0, np.float32), *(each.audio for each in played)]),
        v2v_ms=_between_ms(said.end, first.sound_at if first else None),
        wire_ms=_between_ms(said.end, first.first_at if first else None),
        leading_silence_ms=_rounded(first.leading_silence_ms if first else None),
        played_ms=round(sum(each.played_ms(math.inf) for each in played), 1),
        underruns=sum(each.ledger.underruns for each in played),
        longest_gap_ms=round(max((each.ledger.longest_gap_ms for each in played), default=0.0), 1),
        pauses=len(said.pauses),
        pauses_cut=len({sum(begin < at for begin, _ in said.pauses) for at in cut_ins} - {0}),
        cut_ins=len(cut_ins),
        answered_early=bool(parts) and exchange.is_cut_in(parts[0]),
        missed=said.purpose != "tap" and not _answered(exchange, parts),
        deadline_ms=said.deadline_s * 1000,
        stop_ms=stop.stop_ms,
        server_stop_ms=stop.server_stop_ms,
        old_audio_after_stop_ms=stop.old_audio_ms,
        stopped=stop.stopped,
        trace=next((part.ended.trace for part in parts if part.ended and part.ended.trace is not None), None),
        error=next((part.ended.error for part in parts if part.ended and part.ended.error), exchange.refusal),
    )


def _status(parts: Sequence[Reply]) -> Status:
    last = parts[-1] if parts else None
    if last and last.ended:
        return last.ended.status
    return "unfinished" if last and last.played else "no_answer"


def _answered(exchange: Exchange, parts: Sequence[Reply]) -> bool:
    """A cut-in that was withdrawn is no answer, though a part of it may have been heard after the end."""
    end = exchange.said.end
    return any(
        part.played is not None
        and part.sound_at is not None
        and part.sound_at <= end + exchange.said.deadline_s
        and (part.played.silent_at or 0.0) > end
        and not (exchange.is_cut_in(part) and exchange.withdrawn(part))
        for part in parts
    )


@dataclass(frozen=True, slots=True)
class _Stop:
    """The four fields of TurnFigures about the older reply."""

    stopped: bool | None = None
    stop_ms: float | None = None
    server_stop_ms: float | None = None
    old_audio_ms: float = 0.0


def _stop(exchange: Exchange) -> _Stop:
    older = exchange.older
    if older is None or exchange.said.purpose == "turn":
        return _Stop()
    return _false_stop(exchange, older) if exchange.said.purpose == "tap" else _real_stop(exchange, older)


def _real_stop(exchange: Exchange, older: Reply) -> _Stop:
    broken = older.broken_off_at is not None and older.broken_off_at >= exchange.said.onset
    stop = _measured(exchange, older)
    late = stop.stop_ms is not None and stop.stop_ms > STOP_WITHIN_MS
    return dataclasses.replace(stop, stopped=not late) if broken or late else _Stop()


def _false_stop(exchange: Exchange, older: Reply) -> _Stop:
    until = min(exchange.said.end + GO_ON_FOR_S, exchange.next_onset)
    broken = older.broken_off_at is not None and exchange.said.onset <= older.broken_off_at <= until
    return dataclasses.replace(_measured(exchange, older), stopped=True) if broken else _Stop(stopped=False)


def _measured(exchange: Exchange, older: Reply) -> _Stop:
    """Without the verdict. A reply that had fallen silent by itself before the onset took 0 ms to stop."""
    onset, broken_at = exchange.said.onset, older.broken_off_at
    played, last = older.played, max(at for at, _ in older.arrivals)
    silent_at = (played and played.silent_at) or onset
    flushed_at = (played and played.cut_at) or last
    return _Stop(
        stop_ms=_between_ms(onset, max(onset, silent_at)),
        server_stop_ms=_between_ms(onset, max(onset, last, flushed_at)),
        old_audio_ms=round(sum(ms for at, ms in older.arrivals if broken_at is not None and at > broken_at), 1),
    )


def _between_ms(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 1)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --- figures of many turns ----------------------------------------------------------------------------------------


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
    server_stop_ms: Spread
    old_audio_after_stop_ms: float
    """In all, after taps too."""
    latency: Latency
    """Of the answers to them."""


@dataclass(frozen=True, slots=True)
class FalseStops:
    """Of the taps over a reply: those that broke it off."""

    all: Share
    by_condition: dict[str, Share]


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
    """Of turns said into silence."""
    by_language: dict[str, Latency]
    by_set: dict[str, Latency]
    """The set is the part of a clip's id before the "/"."""
    missed: Share
    """Of everything that wanted an answer, barge-ins too."""
    cut_ins: CutIns
    barge_in: BargeIn
    false_stops: FalseStops
    continuity: Continuity
    transcripts: dict[str, Transcripts]
    """By language; only those of which the server sent a transcript at all."""
    right_answers: Share
    """Of the turns with an expected answer: the reply holds it."""
    stages_ms: dict[str, Spread]
    """The server's own stages, when it sends them."""
    endpoint_ms: Spread | None
    """Last voiced sample -> commit, as the server says; None when it does not."""
    statuses: dict[str, int]
    """Of what wanted an answer."""
    refused: int
    """Errors of the server that belong to no reply."""
    lost: int
    """Connections that broke."""
    lateness: Lateness
    void: bool
    """The microphone was late, or sent nothing: nothing here may be quoted."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def figures(records: Sequence[SessionRecord], jitter_ms: float = 0.0) -> Figures:
    said = [turn for record in records for turn in turns(record, jitter_ms)]
    wanted = [turn for turn in said if turn.wants_answer]
    plain = [turn for turn in wanted if turn.purpose == "turn"]
    lateness = _lateness(records)
    return Figures(
        sessions=len(records),
        turns=len(wanted),
        taps=len(said) - len(wanted),
        caller_minutes=round(sum(record.ended - record.began for record in records) / 60, 3),
        latency=_latency(plain),
        by_language=_by(plain, lambda turn: turn.language, _latency),
        by_set=_by(plain, lambda turn: turn.said_clip.split("/")[0], _latency),
        missed=_missed(wanted),
        cut_ins=_cut_ins(wanted),
        barge_in=_barge_in(said),
        false_stops=_false_stops(said),
        continuity=_continuity(wanted),
        transcripts=_transcripts(wanted),
        right_answers=_right_answers(wanted),
        stages_ms=_stages(plain),
        endpoint_ms=_endpoint(plain),
        statuses=dict(sorted(Counter(turn.status for turn in wanted).items())),
        refused=sum(isinstance(seen, Refused) for record in records for seen in record.seen),
        lost=sum(isinstance(seen, Lost) for record in records for seen in record.seen),
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
    tried = [turn for turn in said if turn.purpose == "barge_in"]
    return BargeIn(
        stopped=_stopped(tried),
        heard_stop_ms=_spread(tried, lambda turn: turn.stop_ms),
        server_stop_ms=_spread(tried, lambda turn: turn.server_stop_ms),
        old_audio_after_stop_ms=round(sum(turn.old_audio_after_stop_ms for turn in said), 1),
        latency=_latency(tried),
    )


def _false_stops(said: Sequence[TurnFigures]) -> FalseStops:
    taps = [turn for turn in said if turn.purpose == "tap"]
    return FalseStops(_stopped(taps), _by(taps, lambda turn: turn.condition, _stopped))


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


def _lateness(records: Sequence[SessionRecord]) -> Lateness:
    all_ms = [ms for record in records for ms in record.lateness_ms]
    if not all_ms:
        return Lateness(0, None, None)
    return Lateness(len(all_ms), round(stats.quantile(all_ms, 0.5), 2), round(stats.quantile(all_ms, 0.99), 2))
