"""The user's audio: kept by absolute sample number, and cut into frames for voice activity.

Knows: positions, counted in samples at 16 kHz since the session began. Does not know: speech, turns, time of
day.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples

LISTEN_RATE_HZ: Final = 16_000
FRAME_SAMPLES: Final = 512
"""32 ms, the frame of Silero VAD v5."""
KEEP_S: Final = 120.0
"""A turn longer than this loses its beginning; without a bound a client could fill the memory."""
_FIRST_CAPACITY: Final = 2 * LISTEN_RATE_HZ


class InputBuffer:
    """One session's microphone audio, float32 at 16 kHz.

    keep_s: seconds kept at most; when full, the oldest audio is dropped.
    """

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._most = int(keep_s * LISTEN_RATE_HZ)
        self._store = np.empty(0, np.float32)
        self._offset = 0
        """Where the kept audio begins in `_store`."""
        self._start = 0
        self._end = 0

    @property
    def _capacity_most(self) -> int:
        """An eighth of slack, so that the kept audio is moved once in a while and not at every append."""
        return self._most + max(1, self._most // 8)

    @property
    def start_sample(self) -> int:
        """The oldest sample still kept."""
        return self._start

    @property
    def end_sample(self) -> int:
        """Total received since the session began."""
        return self._end

    def append(self, samples: Samples) -> None:
        self._end += len(samples)
        samples = samples[max(0, len(samples) - self._most) :]
        self.forget(self._end - self._most)  # bound: the oldest audio is dropped
        held = self._end - len(samples) - self._start
        self._make_room(held, len(samples))
        at = self._offset + held
        self._store[at : at + len(samples)] = samples

    def slice(self, start: int, end: int) -> Samples:
        """A copy of samples [start, end), clamped to what is kept; empty when nothing of it is."""
        start = min(max(start, self._start), self._end)
        end = min(max(end, start), self._end)
        shift = self._offset - self._start
        return self._store[start + shift : end + shift].copy()

    def forget(self, before_sample: int) -> None:
        """Drop what is older. Going back is not possible: an earlier number does nothing."""
        before_sample = min(before_sample, self._end)
        if before_sample > self._start:
            self._offset += before_sample - self._start
            self._start = before_sample

    def drop(self) -> None:
        """Nothing is kept, nor the memory for it; what comes later is."""
        self.forget(self._end)
        self._store, self._offset = np.empty(0, np.float32), 0

    def _make_room(self, held: int, more: int) -> None:
        """Move the `held` samples to the front of the store, or into a larger one, when `more` do not fit
        behind."""
        if self._offset + held + more <= len(self._store):
            return
        kept = self._store[self._offset : self._offset + held]
        if 2 * (held + more) > len(self._store):
            wanted = max(2 * (held + more), _FIRST_CAPACITY)
            self._store = np.empty(min(wanted, self._capacity_most), np.float32)
        self._store[:held] = kept
        self._offset = 0


class Framer:
    """Cuts a stream into frames of equal length and carries the rest over."""

    def __init__(self, frame_samples: int = FRAME_SAMPLES) -> None:
        self._frame_samples = frame_samples
        self._rest = np.zeros(0, np.float32)
        self._next = 0

    @property
    def next_sample(self) -> int:
        """Absolute number of the first sample of the next frame to come out."""
        return self._next

    def push(self, samples: Samples) -> Samples:
        """Returns the frames that are now whole, [n, frame_samples]; n may be 0."""
        stream = np.concatenate((self._rest, samples))
        whole = len(stream) // self._frame_samples * self._frame_samples
        self._rest = stream[whole:]
        self._next += whole
        return stream[:whole].reshape(-1, self._frame_samples)
