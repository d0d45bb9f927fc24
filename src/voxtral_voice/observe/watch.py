"""One session as an operator sees it: where it is, how it fares, what waits in it. Never what is said in it.

Knows: the core's notices and their times, the metrics. Does not know: the wire, engines, who looks.

Barge-in and underruns are what the server can know of them. Barge-in ends when the client is told to stop: the network
comes on top. An underrun is a gap in the audio of a reply for a client that plays at once and has no buffer of its own;
the silence of a contest is meant, and none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.spans import Span, Turn, turn_span
from voxtral_voice.observe.trace import observe

HEAR_RATE_HZ: Final = 16_000
"""Positions of the user's audio are in these samples."""
PLAY_RATE_HZ: Final = 24_000
GRAIN_S: Final = 0.001
"""A gap shorter than this is the clock's."""

Export = Callable[[Span, float], None]
"""Takes a finished turn and the time on the session's clock; never waits."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What the shell knows of a session, asked for when it is needed."""

    received: Callable[[], int]
    """Samples of the user's audio, at 16 kHz."""
    padding_ms: Callable[[], float]
    """That is put before the first voiced sample of a turn."""
    queues: Callable[[], Mapping[str, int]]
    """By name: how much waits in it."""


@dataclass(frozen=True, slots=True)
class Glance:
    """At a session, at one moment."""

    id: str
    age_s: float
    state: str
    """Of the floor: open, hearing, settling, replying, contested; or held, for a client that may come back."""
    turns: int
    replies: int
    interruptions: int
    underruns: int
    last_latency_ms: float | None
    """Of the last turn that was answered with audio: last voiced sample in to first audio out."""
    user_audio_s: float
    reply_audio_s: float
    queues: Mapping[str, int]


@dataclass(slots=True)
class _Playing:
    """A reply's audio at a client that plays at once."""

    turn: str | None
    spoken_from: float | None
    """When the user began to speak in that turn, as it was noticed."""
    aside: bool
    ends_at: float | None = None
    held: bool = False
    """Nothing has left on purpose since the last of its audio."""


class Watch:
    """began: on the session's clock, as `now` is everywhere here."""

    def __init__(
        self,
        session_id: str,
        metrics: Metrics,
        shell: Shell,
        began: float,
        *,
        models: Mapping[str, str] | None = None,
        export: Export | None = None,
    ) -> None:
        self.session_id = session_id
        self.turn: str | None = None
        """The user's newest item that was or is being spoken."""
        self._metrics, self._shell, self._began = metrics, shell, began
        self._models, self._export = models or {}, export
        self._state = "open"
        self._turns = self._replies = self._interruptions = self._underruns = 0
        self._last_latency_ms: float | None = None
        self._reply_audio_s = 0.0
        self._playing: dict[str, _Playing] = {}
        """Replies that have begun and not ended."""
        self._spoken_from: float | None = None
        """When the speech of the newest turn was noticed."""
        self._onset = 0.0
        """Its first voiced sample."""

    def note(self, notice: ev.Notice, now: float) -> None:
        match notice:
            case ev.FloorChanged(state):
                self._floor(state)
            case ev.SpeechStarted(item_id, start_sample):
                self.turn, self._spoken_from = item_id, now
                self._onset = start_sample + self._shell.padding_ms() * HEAR_RATE_HZ / 1000
            case ev.AudioCommitted(item):
                self.turn = item.id
                self._turns += 1
            case ev.ReplyStarted(reply_id):
                self._playing[reply_id] = _Playing(self.turn, self._spoken_from, notice.aside)
            case ev.ReplyAudioDelta():
                self._reply_audio(notice)
            case ev.ReplyEnded():
                self._reply_ended(notice, now)
                return
            case _:
                pass
        observe(notice, self._metrics, self.turn)

    def glance(self, now: float) -> Glance:
        return Glance(
            self.session_id,
            now - self._began,
            self._state,
            self._turns,
            self._replies,
            self._interruptions,
            self._underruns,
            self._last_latency_ms,
            self._shell.received() / HEAR_RATE_HZ,
            self._reply_audio_s,
            self._shell.queues(),
        )

    # --- one notice ---------------------------------------------------------------------------------------------

    def _floor(self, state: str) -> None:
        self._state = state
        if state == "contested":
            for playing in self._playing.values():
                playing.held = True

    def _reply_audio(self, notice: ev.ReplyAudioDelta) -> None:
        seconds = notice.samples.size / PLAY_RATE_HZ
        self._reply_audio_s += seconds
        self._metrics.reply_audio.inc(seconds)
        playing = self._playing.get(notice.reply_id)
        if playing is None or playing.aside:  # nobody need play it
            return
        gap_s = 0.0 if playing.ends_at is None else notice.plays_at - playing.ends_at
        if gap_s > GRAIN_S and not playing.held:
            self._underruns += 1
            self._metrics.underruns.inc()
            self._metrics.underrun_time.inc(gap_s)
        playing.ends_at, playing.held = notice.plays_at + seconds, False

    def _reply_ended(self, reply: ev.ReplyEnded, now: float) -> None:
        self._replies += 1
        playing = self._playing.pop(reply.reply_id, None)
        turn, spoken_from = (None, None) if playing is None else (playing.turn, playing.spoken_from)
        if reply.reason == "turn_detected":
            self._interrupted(now)
        if reply.timeline is not None and (latency_ms := reply.timeline.total_ms()) is not None:
            self._last_latency_ms = latency_ms
        observe(reply, self._metrics, turn)
        self._trace(Turn(self.session_id, turn, reply, now, spoken_from, self._models))

    def _trace(self, turn: Turn) -> None:
        if self._export is not None and (span := turn_span(turn)) is not None:
            self._export(span, turn.ended_at)

    def _interrupted(self, now: float) -> None:
        self._interruptions += 1
        if self._spoken_from == now:  # the turn that did it was opened in the same step of the core
            self._metrics.barge_in.observe(max(0.0, (self._shell.received() - self._onset) / HEAR_RATE_HZ))
