"""The network against a plain one, and its file: read without running what is in it."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.speech import say, silence, white_noise
from voxtral_voice.engines.base import LISTEN_RATE_HZ
from voxtral_voice.engines.speaker_embedding import LAYERS, MEL_BANDS, SIZE, Float32, SpeakerEncoder, without_silence
from voxtral_voice.errors import EngineError

WINDOW = 160 * 160


def weights() -> dict[str, Float32]:
    rng = np.random.default_rng(0)

    def some(*shape: int) -> Float32:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    made = {"linear.weight": some(SIZE, SIZE), "linear.bias": some(SIZE)}
    for number in range(LAYERS):
        made[f"lstm.weight_ih_l{number}"] = some(4 * SIZE, SIZE if number else MEL_BANDS)
        made[f"lstm.weight_hh_l{number}"] = some(4 * SIZE, SIZE)
        made[f"lstm.bias_ih_l{number}"] = some(4 * SIZE)
        made[f"lstm.bias_hh_l{number}"] = some(4 * SIZE)
    return made


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder(weights())


def plain(frames: Float32) -> Float32:
    """[160, 40] -> [256], one step after the other, as torch.nn.LSTM's documentation has it."""
    known = weights()
    sequence = list(frames)
    for number in range(LAYERS):
        hidden = cell = np.zeros(SIZE)
        states = []
        for value in sequence:
            gates = known[f"lstm.weight_ih_l{number}"] @ value + known[f"lstm.bias_ih_l{number}"]
            gates = gates + known[f"lstm.weight_hh_l{number}"] @ hidden + known[f"lstm.bias_hh_l{number}"]
            i, f, g, o = np.split(gates, 4)
            cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            hidden = np.tanh(cell) / (1 + np.exp(-o))
            states.append(hidden)
        sequence = states
    embedding = np.maximum(known["linear.weight"] @ sequence[-1] + known["linear.bias"], 0)
    return np.asarray(embedding / np.linalg.norm(embedding), np.float32)


def test_the_network_is_the_plain_one(encoder: SpeakerEncoder) -> None:
    frames = np.random.default_rng(1).random((2, 160, MEL_BANDS), np.float32)
    assert encoder._run(frames) == pytest.approx(np.stack([plain(one) for one in frames]), abs=1e-5)


def test_windows_are_1600_ms_every_800(encoder: SpeakerEncoder) -> None:
    assert encoder.windows(white_noise(1.0, -20)).shape == (1, SIZE)
    assert encoder.windows(white_noise(4.0, -20)).shape == (4, SIZE)
    assert np.linalg.norm(encoder.embed(white_noise(4.0, -20))) == pytest.approx(1, abs=1e-5)


def test_the_level_does_not_matter(encoder: SpeakerEncoder) -> None:
    speech = say("I would like to book a table.")
    assert encoder.embed(speech) == pytest.approx(encoder.embed(speech * np.float32(0.05)), abs=1e-4)
    assert np.isfinite(encoder.embed(silence(2))).all()


def test_long_silences_are_cut_short() -> None:
    audio = np.concatenate((silence(2), white_noise(1, -20), silence(3), white_noise(1, -20), silence(2)))
    assert without_silence(audio).size / LISTEN_RATE_HZ == pytest.approx(2.75, abs=0.1)
    assert without_silence(silence(0.01)).size == silence(0.01).size


# --- the file ---------------------------------------------------------------------------------------------------


def inner(value: object) -> bytes:
    """The pickle's own words for it, without its beginning and end."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key: str, values: Float32) -> bytes:
    storage = b"((" + inner("storage") + b"ctorch\nFloatStorage\n" + inner(key) + inner("cpu") + inner(values.size)
    described = storage + b"NtQ" + inner(0) + inner(values.shape) + inner(()) + b"\x89" + inner(OrderedDict()) + b"tR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + described


def checkpoint(tensors: dict[str, Float32]) -> bytes:
    """As PyTorch wrote it before its files were zip files."""
    state = b"}(" + b"".join(inner(name) + tensor(name, values) for name, values in tensors.items()) + b"u"
    whole = b"\x80\x02}" + inner("model_state") + state + b"s."
    head = b"".join(pickle.dumps(value, 2) for value in (119547037146038801333356, 1001, {"little_endian": True}))
    data = b"".join(struct.pack("<q", v.size) + v.astype("<f4").tobytes() for v in tensors.values())
    return head + whole + pickle.dumps(list(tensors), 2) + data


def test_a_checkpoint_is_read(tmp_path: Path, encoder: SpeakerEncoder) -> None:
    path = tmp_path / "encoder.pt"
    path.write_bytes(checkpoint(weights()))
    read, noise = SpeakerEncoder.load(path), white_noise(1.6, -20)
    assert read.embed(noise) == pytest.approx(encoder.embed(noise))


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code was run",))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Ran out of input"),
        (b"not a checkpoint", "is no usable speaker encoder"),
        (pickle.dumps(Evil(), 2), "it names __builtin__.print"),
        (checkpoint(weights())[:-1000], "it ends too soon"),
        (checkpoint({**weights(), "linear.bias": np.full(SIZE, np.nan, np.float32)}), "values that are no numbers"),
        (checkpoint({"linear.bias": np.zeros(SIZE, np.float32)}), "lstm."),
    ],
    ids=["empty", "text", "code", "cut", "nan", "incomplete"],
)
def test_a_file_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, reason: str) -> None:
    path = tmp_path / "encoder.pt"
    path.write_bytes(data)
    with pytest.raises(EngineError) as error:
        SpeakerEncoder.load(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No such file"):
        SpeakerEncoder.load(tmp_path / "encoder.pt")


# --- the real one -----------------------------------------------------------------------------------------------


@pytest.mark.models
def test_one_voice_is_more_like_itself_than_like_noise(model_files: Callable[[str], Path]) -> None:
    real = SpeakerEncoder.load(model_files("speaker-encoder.pt"))
    one, other = real.embed(say("I would like to book a table for two.")), real.embed(say("The weather is fine today."))
    assert one @ other > 0.75
    assert one @ real.embed(white_noise(3, -20)) < 0.6
