"""Smart Turn v3: has the speaker finished, or only paused?

Knows: the model's window and normalisation. Does not know: silence, deadlines, what is done with the answer.

Source: pipecat-ai/smart-turn-v3 (BSD-2), model card and pipecat's `local_smart_turn_v3`: the last 8 s, zeros before
shorter audio, brought to zero mean and unit variance over the whole window, Whisper's log-mel; the output, although
its name is `logits`, is already a probability.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.log_mel import Float32, log_mel
from voxtral_voice.engines.onnx_model import OnnxModel
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

WINDOW_SAMPLES: Final = 8 * LISTEN_RATE_HZ
_EPSILON: Final = np.float32(1e-7)


class SmartTurn:
    """One judgement at a time on one thread."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        self._model: OnnxModel | None = None
        self._worker = Worker("smart-turn")

    @property
    def name(self) -> str:
        return self._path.stem

    async def start(self) -> None:
        await self._worker.run(self._load)
        await self.complete_probability(np.zeros(LISTEN_RATE_HZ, np.float32))

    async def aclose(self) -> None:
        self._model = None
        self._worker.close()

    async def complete_probability(self, audio: Samples) -> float:
        model = self._model
        if model is None:
            raise EngineError("turn_judge", "The turn judge is not running; call start() first.")
        if audio.ndim != 1 or not len(audio):
            raise EngineError("turn_judge", f"The turn judge takes mono samples, not shape {list(audio.shape)}.")
        return await self._worker.run(lambda: _judge(model, audio))

    def _load(self) -> None:
        self._model = OnnxModel(self._path, engine="turn_judge", threads=self._threads)


def _judge(model: OnnxModel, audio: Samples) -> float:
    (probability,) = model.run({"input_features": features(audio)[None]})
    return float(probability[0, 0])


def features(audio: Samples) -> Float32:
    """audio: 16 kHz, any length. Returns [80, 800]."""
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    last = audio[-WINDOW_SAMPLES:]
    window[WINDOW_SAMPLES - len(last) :] = last
    return log_mel((window - window.mean()) / np.sqrt(window.var() + _EPSILON))
