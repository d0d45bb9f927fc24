"""Checkpoints with random weights are whole, of the published size, and write words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.voxtral.original import Original, original
from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.voxtral import random_weights
from voxtral_voice.engines.voxtral.random_weights import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.voxtral


def test_transformers_loads_the_mini_checkpoint_whole(tiny_mini: Path) -> None:
    from transformers import VoxtralForConditionalGeneration

    _, found = VoxtralForConditionalGeneration.from_pretrained(tiny_mini, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]


def test_transformers_loads_the_realtime_checkpoint_whole(tiny_realtime: Path) -> None:
    from transformers import VoxtralRealtimeForConditionalGeneration

    _, found = VoxtralRealtimeForConditionalGeneration.from_pretrained(tiny_realtime, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]


def test_mini_writes_words_and_depends_on_what_it_hears(tiny_mini: Path) -> None:
    model = original(tiny_mini)
    texts = [written(model, seed) for seed in (1, 2)]
    assert texts[0] != texts[1]
    for ids in texts:
        assert len(set(ids)) > 8
        assert set(model.text(ids)) <= set("abcdefghijklmnopqrstuvwxyz .,?")


def written(model: Original, seed: int, *, ends: bool = False) -> list[int]:
    return model.written(model.request(speech(2, seed), "en"), 60, ends=ends)


def test_a_text_ends_behind_its_first_full_stop_and_never_at_once(tiny_mini: Path) -> None:
    model = original(tiny_mini)
    for seed in range(12):
        text = model.text(written(model, seed, ends=True))
        assert text.count(".") == 1
        assert text.endswith(".")
        assert text[1].isalpha()


def test_the_same_seed_gives_the_same_weights(tiny_mini: Path, tmp_path: Path) -> None:
    again = random_weights.write(tmp_path / "again", "mini", "tiny")
    other = random_weights.write(tmp_path / "other", "mini", "tiny", seed=1)
    weights = (tiny_mini / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == weights
    assert (other / "model.safetensors").read_bytes() != weights


@pytest.mark.parametrize(("kind", "billions", "layers"), [("mini", 4.68, (32, 30)), ("realtime", 4.43, (32, 26))])
def test_the_real_size_is_the_published_one(kind: Kind, billions: float, layers: tuple[int, int]) -> None:
    builders: dict[Kind, Callable[[random_weights.Size], Any]] = {
        "mini": random_weights._mini,
        "realtime": random_weights._realtime,
    }
    model = builders[kind]("real")
    count = sum(weights.numel() for weights in {id(p): p for p in model.parameters()}.values())
    assert count / 1e9 == pytest.approx(billions, abs=0.02)
    assert (len(model.model.audio_tower.layers), len(model.model.language_model.layers)) == layers
    assert str(model.dtype) == "torch.bfloat16"
    assert model.device.type == "meta"  # nothing is made before it is drawn where it stays


def test_the_tokenizer_of_the_real_size_has_the_whole_vocabulary(tmp_path: Path) -> None:
    from voxtral_voice.engines.voxtral.tokens import Vocabulary

    size = random_weights.VOCABULARY["real"]
    vocabulary = Vocabulary(random_weights._tokenizer_file(tmp_path / "tekken.json", "mini", size))
    text = "मुझे कल की meeting में देर हो गई।"
    ids = vocabulary.ids(text)
    assert max(ids) > random_weights.VOCABULARY["tiny"]
    assert b"".join(map(vocabulary.piece, ids)).decode() == text
