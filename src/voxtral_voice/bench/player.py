"""A loudspeaker made of arithmetic: what is heard of the audio that arrives, and when.

Knows: that audio is played at once and in order, what a client must obey (stop when told), what is audible.
Does not know: clocks (every time is given, in seconds), wires, which reply answers what.

Live callers and the scoring of a recorded timeline use the same player. Audible: windows of 10 ms above -45 dBFS and
15 dB above the reply's own noise floor, three in a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from voxtral_voice.audio.level import AUDIBLE_DBFS, AUDIBLE_WINDOWS, WINDOW_MS
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.playout import PlayoutLedger

PLAY_RATE_HZ: Final = 24_000
ABOVE_FLOOR_DB: Final = 15.0
FLOOR_PERCENTILE: Final = 5
HIGHEST_FLOOR_DBFS: Final = -55.0
"""A reply without a pause has no noise floor to be seen; it is not taken for louder than this."""
AUDIBLE_PEAK: Final = 10 ** (AUDIBLE_DBFS / 20)
WINDOW_SAMPLES: Final = PLAY_RATE_HZ * WINDOW_MS // 1000


@dataclass(slots=True)
class Played:
    """One reply in the loudspeaker. Times in seconds on the caller's clock."""

    reply: str
    ledger: PlayoutLedger
    first_at: float
    """The first audio arrived."""
    last_at: float
    """The latest audio arrived."""
    pieces: list[tuple[float, Samples]] = field(default_factory=list)
    """(when it is played, audio), in order."""
    cut_at: float | None = None
    loud_until: float = -math.inf
    """Where the last piece with any sample above the level of sound will have been played."""
    _sound: int | None = None
    _samples_seen: int = 0

    @property
    def audio(self) -> Samples:
        """As it arrived, also what was cut off; 24 kHz."""
        return np.concatenate([np.zeros(0, np.float32), *(samples for _, samples in self.pieces)])

    @property
    def ends_at(self) -> float:
        """When the queue runs empty, or was emptied."""
        return self.ledger.ends_at() if self.cut_at is None else self.cut_at

    @property
    def sound_at(self) -> float | None:
        """When the first audible window was, is or will be played; None when it was cut before, or there is none."""
        index = self._first_sound()
        at = None if index is None else self._window_plays_at(index)
        return None if at is not None and self.cut_at is not None and at >= self.cut_at else at

    @property
    def leading_silence_ms(self) -> float | None:
        """Audio of the reply before the first audible window; None when there is none."""
        index = self._first_sound()
        return None if index is None else index * 1000 / PLAY_RATE_HZ

    @property
    def silent_at(self) -> float | None:
        """When the last audible window that was played had ended; None when none was."""
        loud = _audible(self.audio)
        played = [start for start in loud if self.cut_at is None or self._plays_at(start) < self.cut_at]
        if not played:
            return None
        end = self._plays_at(played[-1] + AUDIBLE_WINDOWS * WINDOW_SAMPLES - 1) + 1 / PLAY_RATE_HZ
        return end if self.cut_at is None else min(end, self.cut_at)

    def played_ms(self, now: float) -> float:
        return self.ledger.heard_ms(now if self.cut_at is None else min(now, self.cut_at))

    def _first_sound(self) -> int | None:
        """Sample index, remembered once found: the noise floor of what comes later does not move it. Live callers ask
        while audio arrives; the scoring asks once, when all of it is there."""
        total = sum(len(samples) for _, samples in self.pieces)
        if self._sound is None and total > self._samples_seen:
            self._samples_seen = total
            loud = _audible(self.audio)
            self._sound = loud[0] if loud else None
        return self._sound

    def _window_plays_at(self, index: int) -> float:
        """A window that a gap goes through is played where the gap ends: what is loud in it comes after."""
        begins, ends = self._plays_at(index), self._plays_at(index + WINDOW_SAMPLES - 1)
        gap_s = ends - begins - (WINDOW_SAMPLES - 1) / PLAY_RATE_HZ
        return begins if gap_s < 1 / PLAY_RATE_HZ else max(at for at, _ in self.pieces if at <= ends)

    def _plays_at(self, index: int) -> float:
        """index: of a sample of `audio`."""
        begins = np.cumsum([0, *(len(samples) for _, samples in self.pieces)])
        piece = int(np.searchsorted(begins, index, side="right")) - 1
        return self.pieces[piece][0] + (index - int(begins[piece])) / PLAY_RATE_HZ


class Player:
    """jitter_ms: how long the first audio of a reply waits before it is played, as browsers and phones do."""

    def __init__(self, jitter_ms: float = 0.0) -> None:
        self._jitter_s = jitter_ms / 1000
        self._queue: list[Played] = []
        self.replies: dict[str, Played] = {}
        """Every reply that had audio, by id, in order of arrival."""

    def arrived(self, at: float, reply: str, samples: Samples) -> Played:
        """samples: 24 kHz, at least one."""
        played = self.replies.get(reply) or self._begin(at, reply)
        if played.cut_at is not None:
            return played
        duration_ms = len(samples) * 1000 / PLAY_RATE_HZ
        due = at if played.pieces else at + self._jitter_s
        others = [other for other in self._queue if other is not played and other.ends_at > at]
        behind = max((other.ends_at for other in others), default=due)
        played.pieces.append((played.ledger.sent(max(due, behind), duration_ms), samples))
        played.last_at = at
        if np.abs(samples).max(initial=0.0) > AUDIBLE_PEAK:
            played.loud_until = played.ledger.ends_at()
        self._queue = [*others, played]
        return played

    def _begin(self, at: float, reply: str) -> Played:
        played = self.replies[reply] = Played(reply, PlayoutLedger(), at, at)
        return played

    def played_from(self, begin: float, size: int) -> Samples:
        """What came out of the loudspeaker in `size` samples from `begin` on; silence where nothing did."""
        out = np.zeros(size, np.float32)
        for played in reversed(self.replies.values()):
            end = min(begin + size / PLAY_RATE_HZ, played.ends_at)
            for at, samples in reversed(played.pieces):
                if at + len(samples) / PLAY_RATE_HZ <= begin:
                    break
                until = min(size, round((end - begin) * PLAY_RATE_HZ))
                _lay(out[: max(0, until)], samples, round((at - begin) * PLAY_RATE_HZ))
        return out

    def flushed(self, now: float) -> Played | None:
        """Falls silent: whatever is in the queue is cut. Returns the reply that was being played, if one was; one that
        waited behind it is cut before its first sample."""
        waiting = [played for played in self._queue if played.cut_at is None and played.ends_at > now]
        for played in waiting:
            played.cut_at = now
        return min(waiting, key=lambda played: played.pieces[0][0], default=None)


def _lay(out: Samples, samples: Samples, at: int) -> None:
    """samples into `out` from its sample `at` on, which may lie before or behind it."""
    first = max(0, -at)
    count = min(len(samples) - first, len(out) - (at + first))
    if count > 0:
        out[at + first : at + first + count] = samples[first : first + count]


def _audible(samples: Samples) -> list[int]:
    """Sample indices at which three audible windows in a row begin."""
    windows = samples[: len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
    if len(windows) < AUDIBLE_WINDOWS:
        return []
    power = np.mean(np.square(windows, dtype=np.float64), axis=1)
    floor = min(np.percentile(power, FLOOR_PERCENTILE), 10 ** (HIGHEST_FLOOR_DBFS / 10))
    loud = power > max(10 ** (AUDIBLE_DBFS / 10), floor * 10 ** (ABOVE_FLOOR_DB / 10))
    runs = np.lib.stride_tricks.sliding_window_view(loud, AUDIBLE_WINDOWS).all(axis=1)
    return [int(run) * WINDOW_SAMPLES for run in np.flatnonzero(runs)]
