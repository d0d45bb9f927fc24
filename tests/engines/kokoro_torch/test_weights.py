"""The catalogue's ONNX file holds the weights of the network, and they make the sound that ONNX runtime makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxtral_voice.errors import EngineError

pytestmark = pytest.mark.voxtral

IDS = (0, 50, 157, 43, 135, 16, 53, 68, 16, 46, 4, 0)
INSIDE = {
    "frames": "/encoder/Clip_output_0",
    "natural": "/encoder/predictor/ReduceSum_output_0",
    "pitch": "/encoder/Reshape_output_0",
    "decoded": "/decoder/decoder/decode.3/Div_4_output_0",
    "source": "/decoder/decoder/generator/Concat_3_output_0",
}
"""Tensors of the file."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/encoder/text_encoder/cnn.0/cnn.0.0", "text_encoder.cnn.0.conv"),
        ("encoder.text_encoder.cnn.2.1.gamma", "text_encoder.cnn.2.norm.weight"),
        ("/encoder/F0.1/pool", "predictor.F0.1.pool"),
        ("/encoder/shared", "predictor.shared"),
        ("encoder.predictor.N_proj.bias", "predictor.N_proj.bias"),
        ("encoder.bert.embeddings.LayerNorm.weight", "bert.LayerNorm.weight"),
        (
            "/encoder/bert/encoder/albert_layer_groups.0/albert_layers.0/attention/query",
            "bert.layer.attention.query",
        ),
        ("/encoder/bert/encoder/embedding_hidden_mapping_in", "bert.embedding_hidden_mapping_in"),
        ("/decoder/decoder/generator/resblocks.0/convs1.2", "decoder.generator.resblocks.0.convs1.2"),
        ("decoder.decoder.asr_res.0.bias", "decoder.asr_res.bias"),
    ],
)
def test_what_the_file_calls_it(name: str, expected: str) -> None:
    from voxtral_voice.engines.kokoro_torch.weights import ours

    assert ours(name) == expected


@pytest.mark.parametrize("content", [b"", b"not a model " * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    from voxtral_voice.engines.kokoro_torch.weights import load

    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"m\.onnx is not a usable model \(.+\): fetch it again"):
        load(tmp_path / "m.onnx", "cpu")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    from voxtral_voice.engines.kokoro_torch.weights import load

    with pytest.raises(EngineError, match=r"none\.onnx cannot be read"):
        load(tmp_path / "none.onnx", "cpu")


def test_another_model_is_none(tmp_path: Path) -> None:
    from hibari.voices import voice_path

    from voxtral_voice.engines.kokoro_torch.weights import load

    with pytest.raises(EngineError, match="is not a usable model"):
        load(Path(voice_path("heart")), "cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    from voxtral_voice.engines.kokoro_torch.weights import require_device

    require_device("cpu")
    with pytest.raises(EngineError, match=r"was to run on cuda:99, but torch finds .* CUDA devices? here"):
        require_device("cuda:99")


@pytest.fixture(scope="module")
def files(model_files: Callable[[str], Path]) -> tuple[Path, Path]:
    return model_files("kokoro-v1.0-int8.onnx"), model_files("voices/af_heart.bin")


@pytest.fixture(scope="module")
def original(files: tuple[Path, Path]) -> dict[str, Any]:
    """By ONNX runtime, on the file's weights as floats."""
    import onnx
    import onnxruntime

    from voxtral_voice.engines.dequantised import dequantised

    model = dequantised(onnx.load(files[0]))
    names = list(INSIDE.values())
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"tokens": np.array([IDS]), "style": style(files)[None], "speed": np.ones(1, np.float32)}
    return dict(zip(("audio", *INSIDE), session.run(["audio", *names], feeds), strict=True))


def style(files: tuple[Path, Path]) -> Any:
    return np.fromfile(files[1], "<f4").reshape(510, 256)[len(IDS) - 3]


@pytest.mark.models
def test_its_weights_make_what_onnx_runtime_makes(files: tuple[Path, Path], original: dict[str, Any]) -> None:
    """Durations and pitch are the same; so is the sound, of the same source: the file's own has no noise, and says -pi
    where PyTorch says pi."""
    import torch

    from voxtral_voice.engines.kokoro_torch.network import Phrase
    from voxtral_voice.engines.kokoro_torch.rows import Rows
    from voxtral_voice.engines.kokoro_torch.weights import load

    kokoro = load(files[0], "cpu")
    (plan,) = kokoro.plan([Phrase(IDS, style(files), 1.0)])
    symbols, said = Rows([len(IDS)], torch.device("cpu")), original["frames"][0].astype(int).tolist()
    frames = Rows([sum(said)], torch.device("cpu"))
    spread = plan.encoded.repeat_interleave(torch.tensor(said), dim=0)[None]
    with torch.inference_mode():
        natural = kokoro.predictor.durations(plan.encoded[None], symbols)
        pitch_hz, _ = kokoro.predictor.curves(spread, plan.style[None, 128:], frames)
        decoded, source = (torch.from_numpy(original[name]) for name in ("decoded", "source"))
        sound = kokoro.decoder.generator.shaped(decoded, plan.style[None, :128], source, frames.scaled(2))
    np.testing.assert_allclose(natural, original["natural"], atol=1e-4)
    np.testing.assert_allclose(pitch_hz[0], original["pitch"], atol=0.01)
    rest = original["audio"] - sound[0].numpy()
    assert 10 * np.log10(np.square(original["audio"]).sum() / np.square(rest).sum()) > 80
