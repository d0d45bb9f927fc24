"""Silero VAD v5: is someone speaking, 32 ms at a time.

Knows: the model's recurrent state and context, and how to join sessions into one run. Does not know: thresholds,
turns, sockets.

Source: github.com/snakers4/silero-vad (MIT), the 16 kHz branch of the v5 ONNX file: `input` [b, 64 + 512] (the last
64 samples of the previous frame, then the frame), `state` [2, b, 128], `sr`; out come `output` [b, 1] and the next
state. The batch dimension is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
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
        self._waiting: list[_Request] = []  # one per call in flight; the next run takes them all
        self._due = False
        """A run is under way, or will be: it takes care of those that wait."""

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
            raise _not_running()
        request = _Request(state, frames, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._run_waiting)
        return await request.heard

    def _load(self) -> None:
        self._model = OnnxModel(self._path, engine="voice_activity", threads=self._threads)

    def _run_waiting(self) -> None:
        requests, self._waiting = [request for request in self._waiting if not request.heard.done()], []
        if self._model is None:
            _fail(requests, _not_running())
            self._due = False
            return
        run = self._worker.begin(partial(_hear, self._model, requests))
        run.add_done_callback(partial(self._ran, requests))

    def _ran(self, requests: list[_Request], run: asyncio.Future[list[list[float]]]) -> None:
        error = _not_running() if run.cancelled() else run.exception()
        if error is not None:
            _fail(requests, error)
        else:
            for request, probabilities in zip(requests, run.result(), strict=True):
                if not request.heard.done():
                    request.heard.set_result(probabilities)
        self._due = bool(self._waiting)
        if self._due:
            self._run_waiting()


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
    heard: asyncio.Future[list[float]]
    """Done early when the caller was cancelled."""


def _not_running() -> EngineError:
    return EngineError("voice_activity", "Voice activity is not running; call start() first.")


def _fail(requests: list[_Request], error: BaseException) -> None:
    for request in requests:
        if not request.heard.done():
            request.heard.set_exception(error)


def _hear(model: OnnxModel, requests: list[_Request]) -> list[list[float]]:
    """The probabilities of each request. Several of one session are computed one after the other."""
    lanes: dict[_State, list[int]] = {}
    for index, request in enumerate(requests):
        lanes.setdefault(request.state, []).append(index)
    order = [
        [(index, frame) for index in of_session for frame in requests[index].frames] for of_session in lanes.values()
    ]
    heard: list[list[float]] = [[] for _ in requests]
    for step in range(max(map(len, order), default=0)):
        now = [(state, *frames[step]) for state, frames in zip(lanes, order, strict=True) if step < len(frames)]
        outputs = _step(model, [state for state, _, _ in now], [frame for _, _, frame in now])
        for (_, index, _), probability in zip(now, outputs, strict=True):
            heard[index].append(probability)
    return heard


def _step(model: OnnxModel, states: list[_State], frames: list[Samples]) -> list[float]:
    """One frame of each session in one run."""
    inputs = np.empty((len(states), CONTEXT_SAMPLES + VAD_FRAME_SAMPLES), np.float32)
    recurrent = np.empty((2, len(states), 128), np.float32)
    for row, (state, frame) in enumerate(zip(states, frames, strict=True)):
        inputs[row, :CONTEXT_SAMPLES] = state.context
        inputs[row, CONTEXT_SAMPLES:] = frame
        recurrent[:, row] = state.recurrent
    output, after = model.run({"input": inputs, "state": recurrent, "sr": _RATE})
    for row, state in enumerate(states):
        state.recurrent = after[:, row].copy()  # not the whole batch is kept
        state.context = inputs[row, -CONTEXT_SAMPLES:].copy()
    probabilities: list[float] = output[:, 0].tolist()
    return probabilities
