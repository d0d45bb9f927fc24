"""A model file that is no model is a clear error. What a good one computes is tested where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voxtral_voice.engines.onnx_model import OnnxModel
from voxtral_voice.errors import EngineError


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"absent\.onnx cannot be loaded") as caught:
        OnnxModel(tmp_path / "absent.onnx", engine="turn_judge", threads=1)
    assert caught.value.engine == "turn_judge"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"damaged\.onnx cannot be loaded .*fetch it again"):
        OnnxModel(damaged, engine="turn_judge", threads=1)


@pytest.mark.models
def test_a_failed_run_is_an_engine_error(model_files: Callable[[str], Path]) -> None:
    model = OnnxModel(model_files("smart-turn-v3.2.onnx"), engine="turn_judge", threads=1)
    with pytest.raises(EngineError, match="The turn_judge model failed") as caught:
        model.run({"input_features": np.zeros((1, 80, 8), np.float32)})
    assert caught.value.engine == "turn_judge"
