"""Opens ONNX models the way a shared small machine wants them.

Knows: session options and what ONNX runtime raises. Does not know: what a model computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from voxtral_voice.errors import EngineError

Array = npt.NDArray[Any]

ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxModel:
    """One model on the CPU. `threads`: of one run. Idle threads sleep: spinning would starve the other engines.

    engine: the seam's name, for errors.
    """

    def __init__(self, path: Path, *, engine: str, threads: int) -> None:
        self._engine = engine
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            raise EngineError(engine, f"{path} cannot be loaded as an ONNX model ({error}); fetch it again.") from error

    def run(self, inputs: Mapping[str, Array]) -> list[npt.NDArray[np.float32]]:
        """inputs: by the model's input names. Returns its outputs in order. Raises EngineError."""
        try:
            outputs: list[npt.NDArray[np.float32]] = self._session.run(None, dict(inputs))
        except ORT_ERRORS as error:
            raise EngineError(self._engine, f"The {self._engine} model failed: {error}") from error
        return outputs
