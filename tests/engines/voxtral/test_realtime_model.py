"""The checkpoint and what may be wrong with it; hearing and writing apart, against transformers' own forward."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from voxtral_voice.errors import BusyError, EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

pytestmark = pytest.mark.voxtral


@pytest.fixture(scope="module")
def model(tiny_realtime: Path) -> RealtimeModel:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

    return RealtimeModel(tiny_realtime, "cpu", 480)


def test_framing_is_that_of_the_tokenizer(model: RealtimeModel) -> None:
    framing = model.framing
    assert (framing.token_samples, framing.ahead_samples, framing.before_samples) == (1280, 40, 200)
    assert (framing.left_tokens, framing.delay_tokens, framing.right_tokens, framing.end_id) == (32, 6, 17, 2)
    assert model.prompt == [1, *[32] * 38]
    assert framing.prompt_tokens == 39


@pytest.mark.parametrize("delay_ms", [80, 2400])
def test_another_delay_is_another_prompt(tiny_realtime: Path, delay_ms: int) -> None:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

    model = RealtimeModel(tiny_realtime, "cpu", delay_ms)
    tokens = delay_ms // 80
    assert len(model.prompt) == 33 + tokens == model.framing.prompt_tokens
    assert model.framing.right_tokens == 11 + tokens


def test_hearing_then_writing_is_forward(model: RealtimeModel, tiny_realtime: Path) -> None:
    """Step by step against `forward` with its own caches, on the frames of its own feature extractor."""
    import torch
    from transformers import VoxtralRealtimeForConditionalGeneration, VoxtralRealtimeProcessor

    theirs = VoxtralRealtimeForConditionalGeneration.from_pretrained(tiny_realtime, dtype=torch.float32).eval()
    extractor = VoxtralRealtimeProcessor.from_pretrained(tiny_realtime).feature_extractor
    audio = np.random.default_rng(1).normal(0, 0.1, 60 * 1280 + 240).astype(np.float32)
    place, last, ids, their_ids = model.begin(), model.prompt, list[int](), list[int]()
    cache: dict[str, object] = {}
    for token, count in [(0, 39), *((token, 1) for token in range(39, 60))]:
        sound = audio[token * 1280 : (token + count) * 1280 + 240]
        place.heard, heard = model.hear([(place.heard, sound)])[0]
        if token:
            place.written.length = token
            ids += model.write([(place.written, ids[-1], heard[0])])
        else:
            ids += model.read([(place.written, heard)])
        mel = extractor(np.pad(sound, (0, 160)), sampling_rate=16000, center=False, return_tensors="pt").input_features
        with torch.inference_mode():
            out = theirs(torch.tensor([last]), mel, num_delay_tokens=6, use_cache=True, logits_to_keep=1, **cache)
        cache = {
            "past_key_values": out.past_key_values,
            "encoder_past_key_values": out.encoder_past_key_values,
            "padding_cache": out.padding_cache,
        }
        last = [int(out.logits[0, -1].argmax())]
        their_ids += last
    model.end(place)
    assert ids == their_ids
    assert len(set(ids)) > 5


# --- what may be wrong ------------------------------------------------------------------------------------------------


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def halved(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def lacking_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    left = {name: weight for name, weight in weights.items() if "layers.1" not in name}
    assert len(left) < len(weights)
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})


def of_kind(kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"model_type": kind}))

    return change


def garbled(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text("{not JSON")

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without("config.json"), "config.json is missing: fetch Voxtral Realtime again"),
        (without("tekken.json"), "tekken.json is missing"),
        (without("model.safetensors"), "cannot be loaded as Voxtral Realtime"),
        (garbled("config.json"), "config.json is damaged"),
        (garbled("tekken.json"), "cannot be loaded as Voxtral Realtime"),
        (halved, "are damaged"),
        (lacking_a_layer, "are not complete"),
        (of_kind("voxtral"), "holds a model of type 'voxtral', and Voxtral Realtime is wanted here"),
    ],
)
def test_a_checkpoint_that_is_none(
    tiny_realtime: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

    folder = tmp_path / "realtime"
    shutil.copytree(tiny_realtime, folder)
    damage(folder)
    with pytest.raises(EngineError, match=words) as failure:
        RealtimeModel(folder, "cpu", 480)
    assert failure.value.engine == "transcriber"
    assert "\n" not in str(failure.value)


def test_no_folder(tmp_path: Path) -> None:
    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

    with pytest.raises(EngineError, match=r"config\.json is missing"):
        RealtimeModel(tmp_path / "nothing", "cpu", 480)


def test_no_cuda(tiny_realtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="was to run on cuda:0, but torch finds no CUDA"):
        RealtimeModel(tiny_realtime, "cuda:0", 480)


def test_full_memory_is_said(model: RealtimeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB.\nGPU 0 has ...")

    monkeypatch.setattr(model.encoder, "hear", full)
    place = model.begin()
    with pytest.raises(EngineError, match=r"while it heard: the GPU's memory is full \(CUDA out of memory.*2 MiB\)\.$"):
        model.hear([(place.heard, np.zeros(1520, np.float32))])
    model.end(place)


def test_all_places_are_taken(model: RealtimeModel) -> None:
    from voxtral_voice.engines.voxtral.realtime_model import STREAMS

    places = [model.begin() for _ in range(STREAMS)]
    with pytest.raises(BusyError, match=f"All {STREAMS} places"):
        model.begin()
    for place in places:
        model.end(place)
        model.end(place)  # a second time is nothing
    model.end(model.begin())


def test_half_a_place_is_not_kept(model: RealtimeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(model.decoder, "begin", full)
        with pytest.raises(MemoryError):
            model.begin()
    assert len(model.encoder._free) == len(model.decoder._free)
