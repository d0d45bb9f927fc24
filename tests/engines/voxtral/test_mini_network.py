"""Voxtral Mini hears, reads and writes what transformers does; sampling; checkpoints that are none."""

from __future__ import annotations

import json
import logging
import logging.handlers
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.engines.voxtral.original import audio_part, original
from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.voxtral.mini_prompt import Prompt, chat, transcription
from voxtral_voice.engines.voxtral.mini_sound import sound_of
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Network, Reading

pytestmark = pytest.mark.voxtral
COUNT = 16
"""Tokens that are compared."""


@pytest.fixture(scope="module")
def shared(tiny_mini: Path) -> Network:
    from voxtral_voice.engines.voxtral.mini_network import Network

    return Network(tiny_mini, "cpu", sequences=4, tokens=2048, seam="responder")


@pytest.fixture
def network(shared: Network) -> Iterator[Network]:
    """Remembers nothing."""
    from voxtral_voice.engines.voxtral.mini_memory import Memories

    shared._memories = Memories(shared._decoder, 4)
    shared._sounds.clear()
    yield shared
    for memory in shared._memories._idle:
        shared._decoder.end(memory.written)


def reading_of(network: Network, prompt: Prompt, *, keep: bool = True) -> Reading:
    from voxtral_voice.engines.voxtral.mini_network import Reading

    heard = network.hear([prompt.sound])[0] if prompt.sound else None
    return Reading(prompt, keep=keep, heard=heard)


def written(network: Network, *readings: Reading) -> list[list[int]]:
    """COUNT tokens of each, all together."""
    ids = [[token] for token in network.read(readings)]
    while len(ids[0]) < COUNT:
        for reading, tokens in zip(readings, ids, strict=True):
            reading.last = tokens[-1]
        for tokens, token in zip(ids, network.step(readings), strict=True):
            tokens.append(token)
    for reading in readings:
        network.release(reading)
    return ids


@pytest.mark.parametrize("seconds", [0.5, 30, 61])
def test_spectrograms_are_those_of_transformers(network: Network, tiny_mini: Path, seconds: float) -> None:
    audio = speech(seconds)
    theirs = original(tiny_mini).request(audio, None)["input_features"].numpy()
    ours = network._mel(sound_of(audio)).numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize(("seconds", "language"), [(2, "en"), (3, "hi"), (2.5, None), (30, "en"), (61, "hi")])
def test_a_transcription_is_that_of_generate(
    network: Network, tiny_mini: Path, seconds: float, language: str | None
) -> None:
    """60 s are two windows of 30 s in one prompt."""
    audio = speech(seconds, seed=1)
    model = original(tiny_mini)
    reading = reading_of(network, transcription(network.vocabulary, sound_of(audio), language))
    assert written(network, reading) == [model.written(model.request(audio, language), COUNT)]


def conversation(network: Network, seed: int) -> Prompt:
    messages = [Message("user", "Hello."), Message("assistant", "Yes?")]
    return chat(network.vocabulary, messages, sound=sound_of(speech(2, seed)), listens=True, room=1000)


def by_transformers(tiny_mini: Path, seed: int) -> list[int]:
    model = original(tiny_mini)
    said = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]
    heard = {"role": "user", "content": [audio_part(speech(2, seed))]}
    return model.written(model.conversation([*said, heard]), COUNT)


def test_an_answer_to_audio_is_that_of_generate(network: Network, tiny_mini: Path) -> None:
    assert written(network, reading_of(network, conversation(network, 3))) == [by_transformers(tiny_mini, 3)]


def test_several_texts_at_once_do_not_disturb_each_other(network: Network, tiny_mini: Path) -> None:
    readings = [reading_of(network, conversation(network, seed)) for seed in (1, 2, 3)]
    assert written(network, *readings) == [by_transformers(tiny_mini, seed) for seed in (1, 2, 3)]


def test_what_was_prepared_is_not_read_again_and_changes_nothing(network: Network, tiny_mini: Path) -> None:
    prompt = conversation(network, 1)
    before = Prompt(prompt.ids[: prompt.ids.index(network.vocabulary.audio)])
    network.prepare([reading_of(network, before)])
    reading = reading_of(network, prompt)
    network.prepare([reading])
    assert reading.cached == len(before.ids)
    again = reading_of(network, prompt)
    assert written(network, again) == [by_transformers(tiny_mini, 1)]
    assert again.cached == len(prompt.ids)


def test_a_prompt_is_read_from_the_middle_of_a_sound(network: Network, tiny_mini: Path) -> None:
    prompt = conversation(network, 2)
    middle = Prompt(prompt.ids[: prompt.ids.index(network.vocabulary.audio) + 100], prompt.sound)
    part = reading_of(network, middle)
    assert part.heard is not None
    part.heard = part.heard[:100]
    network.prepare([part])
    reading = reading_of(network, prompt)
    assert written(network, reading) == [by_transformers(tiny_mini, 2)]
    assert reading.cached == len(middle.ids)


def test_a_reply_that_is_over_is_the_beginning_of_the_next_prompt(network: Network) -> None:
    reading = reading_of(network, conversation(network, 1))
    ids = written(network, reading)[0]
    longer = Prompt((*reading.prompt.ids, *ids, network.vocabulary.end), reading.prompt.sound)
    following = reading_of(network, longer)
    network.read([following])
    assert following.cached == len(reading.prompt.ids) + COUNT - 1
    network.release(following)


def test_a_transcription_and_an_answer_share_what_was_heard(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    hear = network._model.get_audio_features

    def counted(mel: object, **options: object) -> object:
        heard.append(1)
        return hear(mel, **options)

    monkeypatch.setattr(network._model, "get_audio_features", counted)
    one, two = network.hear([sound_of(speech(1)), sound_of(speech(1).copy())])
    assert one is two is network.hear([sound_of(speech(1))])[0]
    assert len(heard) == 1


def test_only_some_sounds_are_kept(network: Network) -> None:
    from voxtral_voice.engines.voxtral.mini_network import KEPT_SOUNDS

    for seed in range(KEPT_SOUNDS + 2):
        network.hear([sound_of(speech(0.2, seed))])
    assert len(network._sounds) == KEPT_SOUNDS
    assert sound_of(speech(0.2, 0)).digest not in network._sounds


# --- sampling -----------------------------------------------------------------------------------------------------


def drawn(logits: list[float], temperature: float, top_p: float, count: int = 400) -> list[int]:
    from voxtral_voice.engines.voxtral.mini_network import Sampling, _drawn

    sampling = Sampling(temperature, top_p, np.random.default_rng(0))
    found = [_drawn(np.array(logits, np.float32), sampling) for _ in range(count)]
    return [found.count(index) for index in range(len(logits))]


def test_tokens_are_drawn_by_their_probability() -> None:
    often, seldom, never = drawn([1.0, 0.8, -1.0], 0.2, 0.95)
    assert often / (often + seldom) == pytest.approx(1 / (1 + np.exp(-1)), abs=0.06)
    assert never == 0


def test_only_those_of_the_top_share_are_drawn() -> None:
    assert drawn([1.0, 0.8, 0.7], 0.2, 0.5) == [400, 0, 0]
    assert min(drawn([1.0, 1.0, 1.0], 0.2, 1.0)) > 90


def test_a_low_temperature_takes_the_likeliest() -> None:
    assert drawn([2.0, 1.9], 0.001, 1.0) == [400, 0]


def test_greedy_and_sampled_texts_take_a_step_together(network: Network, tiny_mini: Path) -> None:
    from voxtral_voice.engines.voxtral.mini_network import Sampling

    def sampled(seed: int) -> Reading:
        reading = reading_of(network, conversation(network, 2), keep=False)
        reading.sampling = Sampling(2.0, 1.0, np.random.default_rng(seed))
        return reading

    greedy, one, same, other = written(network, reading_of(network, conversation(network, 1)), *map(sampled, (5, 5, 6)))
    assert greedy == by_transformers(tiny_mini, 1)
    assert one == same
    assert one != other


# --- checkpoints --------------------------------------------------------------------------------------------------


def refused(folder: Path, device: str = "cpu") -> str:
    from voxtral_voice.engines.voxtral.mini_network import Network

    with pytest.raises(EngineError) as caught:
        Network(folder, device, sequences=1, tokens=512, seam="transcriber")
    assert caught.value.engine == "transcriber"
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.fixture
def copy(tiny_mini: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_mini, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["config.json", "tekken.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert refused(copy) == f"{copy / name} is missing: fetch Voxtral Mini again."


def test_weights_that_are_not_there(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert "cannot be loaded as Voxtral Mini (OSError" in refused(copy)


def test_weights_that_break_off(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "are damaged" in refused(copy)


def test_weights_of_which_some_are_missing(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights[next(name for name in weights if name.endswith("lm_head.weight"))]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "are not complete" in refused(copy)


def test_weights_of_another_size_are_one_sentence_and_no_report(copy: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers.utils import logging as loud

    weights = load_file(copy / "model.safetensors")
    name = next(name for name in weights if name.endswith("lm_head.weight"))
    save_file(weights | {name: weights[name][:8].clone()}, copy / "model.safetensors", metadata={"format": "pt"})
    heard = logging.handlers.BufferingHandler(100)
    loud.set_verbosity_warning()
    loud.add_handler(heard)
    try:
        assert "are not complete" in refused(copy)
    finally:
        loud.remove_handler(heard)
    assert [record.getMessage() for record in heard.buffer] == []


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_config(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    assert "config.json is damaged" in refused(copy)


@pytest.mark.parametrize("content", ["{", "{}", '{"config": {"version": "v99"}}'])
def test_a_damaged_tokenizer(copy: Path, content: str) -> None:
    (copy / "tekken.json").write_text(content)
    assert "cannot be loaded as Voxtral Mini" in refused(copy)


def test_freed_it_holds_no_memory(tiny_mini: Path) -> None:
    from voxtral_voice.engines.voxtral.mini_network import Network

    network = Network(tiny_mini, "cpu", sequences=2, tokens=512, seam="responder")
    network.warm(2)
    held = [weakref.ref(network._decoder._keys), weakref.ref(network._model.lm_head.weight)]
    network.free()
    assert [tensor() for tensor in held] == [None, None]


def test_the_other_model(tiny_realtime: Path) -> None:
    assert "'voxtral_realtime', and Voxtral Mini is wanted" in refused(tiny_realtime)


def test_a_gpu_that_is_not_there(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cuda:0, but torch finds no CUDA" in refused(tiny_mini, "cuda:0")


def test_sizes_that_do_not_agree(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["hidden_size"] = 32
    (copy / "config.json").write_text(json.dumps(config))
    assert "Voxtral Mini" in refused(copy)
