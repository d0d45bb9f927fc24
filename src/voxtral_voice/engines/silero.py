"""Silero VAD v5: is someone speaking, 32 ms at a time.

Knows: the model's recurrent state and context, and how to join sessions into one run. Does not know: thresholds,
turns, sockets.

Source: github.com/snakers4/silero-vad (MIT), the 16 kHz branch of the v5 ONNX file: `input` [b, 64 + 512] (the last
64 samples of the previous frame, then the frame), `state` [2, b, 128], `sr`; out come `output` [b, 1] and the next
state. The batch dimension is free.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from voxtral_voice.engines.onnx_model import OnnxModel
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

CONTEXT_SAMPLES: Final = 64
_RATE: Final = np.array(LISTEN_RATE_HZ, dtype=np.int64)


class Silero:
    """All sessions share one model and one thread. Frames of several sessions that wait at the same moment are
    computed in one batched run."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        self._model: OnnxModel | None = None
        self._worker = Worker("silero")
        self._waiting: deque[_Request] = deque()  # one per call in flight; the next run takes them all

    @property
    def name(self) -> str:
        return self._path.stem

    async def start(self) -> None:
        await self._worker.run(self._load)
        await self.session().probabilities(np.zeros((1, VAD_FRAME_SAMPLES), np.float32))

    async def aclose(self) -> None:
        self._model = None
        self._worker.close()

    def session(self) -> SileroSession:
        return SileroSession(self)

    async def compute(self, state: _State, frames: Samples) -> Sequence[float]:
        """frames: [n, 512], n >= 1. Moves `state` on by n frames and returns n probabilities."""
        if self._model is None:
            raise EngineError("voice_activity", "Voice activity is not running; call start() first.")
        request = _Request(state, frames)
        self._waiting.append(request)
        await self._worker.run(self._compute_waiting)
        if request.probabilities is None:  # joined to the run of another session, and that run failed
            raise EngineError("voice_activity", "Voice activity failed on a run shared with other sessions.")
        return request.probabilities

    def _load(self) -> None:
        self._model = OnnxModel(self._path, engine="voice_activity", threads=self._threads)

    def _compute_waiting(self) -> None:
        """On the worker's one thread: everything that waits now. A request taken here leaves its own call nothing to
        do, and its result is there before that call is over, because the thread runs one call after the other."""
        requests: list[_Request] = []
        while self._waiting:
            requests.append(self._waiting.popleft())
        model = self._model
        if model is None:
            return
        lanes: dict[_State, list[_Request]] = {}
        for request in requests:
            lanes.setdefault(request.state, []).append(request)
        frames = [np.concatenate([request.frames for request in lane]) for lane in lanes.values()]
        heard = _run(model, list(lanes), frames)
        for lane, probabilities in zip(lanes.values(), heard, strict=True):
            rest = iter(probabilities)
            for request in lane:
                request.probabilities = list(itertools.islice(rest, len(request.frames)))


class SileroSession:
    """The recurrent state of one session."""

    def __init__(self, engine: Silero) -> None:
        self._engine = engine
        self._state = _State()

    async def probabilities(self, frames: Samples) -> Sequence[float]:
        if frames.ndim != 2 or frames.shape[1] != VAD_FRAME_SAMPLES:
            raise EngineError(
                "voice_activity", f"Voice activity takes frames of shape [n, 512], not {list(frames.shape)}."
            )
        if not len(frames):
            return []
        return await self._engine.compute(self._state, frames)

    def reset(self) -> None:
        self._state = _State()  # a run in progress goes on with the old one, which nobody reads any more


@dataclass(slots=True, eq=False)
class _State:
    """Touched only by the worker's thread once it is handed over."""

    recurrent: Samples = field(default_factory=lambda: np.zeros((2, 128), np.float32))
    context: Samples = field(default_factory=lambda: np.zeros(CONTEXT_SAMPLES, np.float32))


@dataclass(slots=True, eq=False)
class _Request:
    state: _State
    frames: Samples
    probabilities: Sequence[float] | None = None


def _run(model: OnnxModel, states: list[_State], frames: list[Samples]) -> list[list[float]]:
    """frames[i]: [n_i, 512] of states[i]. Step k runs the k-th frame of every session that has one."""
    heard: list[list[float]] = [[] for _ in states]
    for step in range(max((len(of_session) for of_session in frames), default=0)):
        rows = [row for row, of_session in enumerate(frames) if step < len(of_session)]
        outputs = _step(model, [states[row] for row in rows], [frames[row][step] for row in rows])
        for row, probability in zip(rows, outputs, strict=True):
            heard[row].append(probability)
    return heard


def _step(model: OnnxModel, states: list[_State], frames: list[Samples]) -> list[float]:
    """One frame of each session in one run."""
    inputs = np.stack([np.concatenate((state.context, frame)) for state, frame in zip(states, frames, strict=True)])
    recurrent = np.stack([state.recurrent for state in states], axis=1)
    output, after = model.run({"input": inputs.astype(np.float32, copy=False), "state": recurrent, "sr": _RATE})
    for row, state in enumerate(states):
        state.recurrent = after[:, row]
        state.context = inputs[row, -CONTEXT_SAMPLES:]
    probabilities: list[float] = output[:, 0].tolist()
    return probabilities
