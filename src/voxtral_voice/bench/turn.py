"""What came of each thing said: its answer's times, its transcript, and whether it stopped what it should stop.

Knows: what is measured of one turn, when one is missed, what stops an older reply. Does not know: clocks, servers,
which reply answers what (`attribution`), figures over many turns (`score`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard, get_args

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench import words
from voxtral_voice.bench.attribution import Exchange, Reply, exchanges
from voxtral_voice.bench.clip import Kind
from voxtral_voice.bench.record import WANT_ANSWERS, Purpose, SessionRecord
from voxtral_voice.bench.words import HeardWords

STOP_WITHIN_MS: Final = 2_000.0
"""A real interruption must have silenced the reply by then, counted from its onset (tau-voice's window)."""
GO_ON_FOR_S: Final = 1.0
"""After a tap's end; a reply broken off later than that was not broken off by the tap (tau-voice's window)."""

Status = Literal["completed", "cancelled", "failed", "incomplete", "no_answer", "unfinished"]
"""Of the answer's last part, as the server says; no_answer: no reply, or one without audio that never ended;
unfinished: it had audio, went silent and never ended. A word that is none of these counts as incomplete."""
TRACE_MS: Final = (0.0, 1e6)
"""A server's own time outside of these is none."""


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
    decision_stop_ms: float | None
    """The first message from which a client knows that the older reply is broken off (the user speaks, or the reply was
    cancelled) -> its last audible sample was played."""
    server_stop_ms: float | None
    """Server stop: onset of this -> the last that the server had to do with it, which is the arrival of the older
    reply's last audio or of the message on which the player fell silent, whichever is later."""
    old_audio_after_stop_ms: float
    """Audio of the older reply that arrived after it had been broken off."""
    stopped: bool | None
    """Barge-in: the older reply was silent within STOP_WITHIN_MS. Tap: it was broken off (a false stop). Echo: it was,
    or a turn was committed. None: nothing to be stopped, the reply came to its own end within the window, or the
    connection broke within it."""
    heard_words: HeardWords | None
    """Of the reply that a barge-in broke off; None when the server did not say, or nobody listened."""
    said_ms: float
    commits: int
    """Turns that the server took it for."""
    replies: int
    """To it."""
    trace: Mapping[str, Any] | None
    """As it came; None also when it is of another shape."""
    error: str | None
    """Why the answer failed or there is none, in the server's words."""

    @property
    def wants_answer(self) -> bool:
        return self.purpose in WANT_ANSWERS

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
        return {str(name): float(ms) for name, ms in numbers if _is_time(ms)}

    @property
    def endpoint_ms(self) -> float | None:
        """Last voiced sample -> commit, as the server says."""
        wait = (self.trace or {}).get("endpoint_ms")
        return float(wait) if _is_time(wait) else None

    def as_json(self) -> dict[str, Any]:
        """Without the audio."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("audio", "trace")]
        fields = {name: getattr(self, name) for name in names}
        fields["heard_words"] = None if self.heard_words is None else dataclasses.asdict(self.heard_words)
        return fields | {"stages_ms": self.stages_ms, "endpoint_ms": self.endpoint_ms}


def turns(record: SessionRecord, jitter_ms: float = 0.0) -> tuple[TurnFigures, ...]:
    """One for each thing said, in order. jitter_ms: of the player's buffer."""
    return tuple(_turn(exchange) for exchange in exchanges(record, jitter_ms))


def _turn(exchange: Exchange) -> TurnFigures:
    said, parts = exchange.said, exchange.answer()
    played = [part.played for part in parts if part.played]
    first = played[0] if played else None
    cut_ins = exchange.cut_ins()
    stop, missed = _stop(exchange), said.wants_answer and not _answered(exchange, parts)
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
        missed=missed,
        deadline_ms=said.deadline_s * 1000,
        stop_ms=stop.stop_ms,
        decision_stop_ms=stop.decision_stop_ms,
        server_stop_ms=stop.server_stop_ms,
        old_audio_after_stop_ms=stop.old_audio_ms,
        stopped=stop.stopped,
        heard_words=_heard_words(exchange),
        said_ms=round((said.end - said.onset) * 1000, 1),
        commits=len(exchange.commits),
        replies=len(exchange.replies),
        trace=next((part.ended.trace for part in parts if part.ended and isinstance(part.ended.trace, Mapping)), None),
        error=next(
            (part.ended.error for part in parts if part.ended and part.ended.error),
            exchange.refusal if missed else None,
        ),
    )


def _status(parts: Sequence[Reply]) -> Status:
    last = parts[-1] if parts else None
    if last and last.ended:
        return last.ended.status if last.ended.status in get_args(Status) else "incomplete"
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
    """The five fields of TurnFigures about the older reply."""

    stopped: bool | None = None
    stop_ms: float | None = None
    decision_stop_ms: float | None = None
    server_stop_ms: float | None = None
    old_audio_ms: float = 0.0


def _stop(exchange: Exchange) -> _Stop:
    older = exchange.older
    unknown = exchange.lost_at < exchange.said.onset + STOP_WITHIN_MS / 1000
    if older is None or unknown or exchange.said.purpose not in ("barge_in", "tap", "echo"):
        return _Stop()
    return _real_stop(exchange, older) if exchange.said.purpose == "barge_in" else _false_stop(exchange, older)


def _real_stop(exchange: Exchange, older: Reply) -> _Stop:
    broken = older.broken_off_at is not None and older.broken_off_at >= exchange.said.onset
    stop = _measured(exchange, older)
    late = stop.stop_ms is not None and stop.stop_ms > STOP_WITHIN_MS
    return dataclasses.replace(stop, stopped=not late) if broken or late else _Stop()


def _false_stop(exchange: Exchange, older: Reply) -> _Stop:
    until = min(exchange.said.end + GO_ON_FOR_S, exchange.next_onset)
    broken = older.broken_off_at is not None and exchange.said.onset <= older.broken_off_at <= until
    if broken:
        return dataclasses.replace(_measured(exchange, older), stopped=True)
    return _Stop(stopped=exchange.said.purpose == "echo" and bool(exchange.commits))


def _measured(exchange: Exchange, older: Reply) -> _Stop:
    """Without the verdict. A reply that had fallen silent by itself before the onset took 0 ms to stop."""
    onset, broken_at = exchange.said.onset, older.broken_off_at
    played, last = older.played, max(at for at, _ in older.arrivals)
    silent_at = (played and played.silent_at) or onset
    flushed_at = (played and played.cut_at) or last
    decided_at = older.decided_at
    return _Stop(
        stop_ms=_between_ms(onset, max(onset, silent_at)),
        decision_stop_ms=None if decided_at is None else _between_ms(decided_at, max(decided_at, silent_at)),
        server_stop_ms=_between_ms(onset, max(onset, last, flushed_at)),
        old_audio_ms=round(sum(ms for at, ms in older.arrivals if broken_at is not None and at > broken_at), 1),
    )


def _heard_words(exchange: Exchange) -> HeardWords | None:
    older, said = exchange.older, exchange.said
    if said.purpose != "barge_in" or older is None or older.remembered is None or older.by_ear is None:
        return None
    return words.heard_words(older.text, older.by_ear, older.remembered, said.language)


def _between_ms(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 1)


def _is_time(value: object) -> TypeGuard[float]:
    low, high = TRACE_MS
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
