from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.weights.voxtral_folder import safetensors, voxtral_files, write
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.checkpoint import Checkpoint, Layout, Model, look

NESTED = b"[" * 100_000
CONFIG = b'{"model_type": "voxtral", "audio_config": %s, "text_config": %s}'


def with_header(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def refusal(folder: Path, wanted: Model = "mini", layout: Layout = "transformers") -> str:
    with pytest.raises(WeightsError) as raised:
        look(folder, wanted=wanted, layout=layout)
    return str(raised.value)


@pytest.mark.parametrize("model", ["mini", "realtime"])
@pytest.mark.parametrize(("layout", "shards"), [("transformers", 0), ("transformers", 3), ("mistral", 0)])
def test_a_whole_folder(tmp_path: Path, model: Model, layout: Layout, shards: int) -> None:
    folder = write(tmp_path / "m", voxtral_files(model, layout, shards))
    size = len(safetensors()) * max(shards, 1)
    assert look(folder, wanted=model, layout=layout) == Checkpoint(folder, model, layout, size)


def test_both_layouts_in_one_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {**voxtral_files("mini", "mistral"), **voxtral_files("mini", "transformers")})
    assert look(folder, wanted="mini", layout="mistral").layout == "mistral"
    assert look(folder, wanted="mini", layout="transformers").layout == "transformers"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none", "realtime") == (
        f"There is no folder {tmp_path / 'none'} with Voxtral Realtime: name another with --voxtral-realtime."
    )


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} holds no Voxtral Mini: there is no config.json in it. Name another folder with --voxtral-mini."
    )


def test_the_other_layout_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", "mistral"))
    assert refusal(folder) == (
        f"{folder} has params.json but no config.json, which transformers needs: add the files for it, or choose "
        "--voxtral-backend vllm."
    )
    folder = write(tmp_path / "t", voxtral_files("mini", "transformers"))
    assert refusal(folder, layout="mistral").endswith(
        "vllm needs: add the files for it, or choose --voxtral-backend transformers."
    )


@pytest.mark.parametrize("layout", ["transformers", "mistral"])
def test_the_wrong_model(tmp_path: Path, layout: Layout) -> None:
    folder = write(tmp_path / "m", voxtral_files("realtime", layout))
    assert refusal(folder, "mini", layout) == (
        f"{folder} holds Voxtral Realtime, and Voxtral Mini is wanted there: name another folder with --voxtral-mini."
    )
    folder = write(tmp_path / "n", voxtral_files("mini", layout))
    assert "holds Voxtral Mini, and Voxtral Realtime is wanted there" in refusal(folder, "realtime", layout)


def test_another_model_altogether(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "m", {**voxtral_files("mini", "transformers"), "config.json": b'{"model_type": "whisper"}'}
    )
    assert "holds a model of type whisper, and Voxtral Mini is wanted there" in refusal(folder)


@pytest.mark.parametrize(
    "content", [b'{"dim": 64}', b'{"multimodal": 5}', b'{"multimodal": {"whisper_model_args": {"encoder_args": [1]}}}']
)
def test_a_model_without_ears(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path / "m", {**voxtral_files("mini", "mistral"), "params.json": content})
    assert "holds a model without ears, and Voxtral Mini is wanted there" in refusal(folder, layout="mistral")


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("tekken.json", "transformers"),
        ("tekken.json", "mistral"),
        ("model-00002-of-00003.safetensors", "transformers"),
        ("consolidated.safetensors", "mistral"),
    ],
)
def test_a_missing_file(tmp_path: Path, name: str, layout: Layout) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", layout, shards=3))
    (folder / name).unlink()
    assert refusal(folder, layout=layout) == (
        f"The model in {folder} is not whole: {name} is not there. Run 'voxtral-voice models pull' with the same "
        "settings, or copy the folder again."
    )


@pytest.mark.parametrize("left", [".cache/huggingface/download/abc.incomplete", "model.safetensors.0123.part"])
def test_a_download_that_never_ended_is_named(tmp_path: Path, left: str) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", "transformers"))
    (folder / "model.safetensors").unlink()
    (folder / left).parent.mkdir(parents=True, exist_ok=True)
    (folder / left).write_bytes(b"x")
    assert "model.safetensors is not there; a download of it was never finished." in refusal(folder)


def test_a_folder_without_a_processor(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", "transformers"))
    (folder / "processor_config.json").unlink()
    assert "neither processor_config.json nor preprocessor_config.json is there" in refusal(folder)
    (folder / "preprocessor_config.json").write_text("{}")
    look(folder, wanted="mini", layout="transformers")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (safetensors(8)[:-3], r"model\.safetensors has 73 of 76 bytes"),
        (safetensors(8) + b"x", r"model\.safetensors has 77 of 76 bytes"),
        (safetensors(8)[:20], r"model\.safetensors ends in its header, after 20 bytes"),
        (b"", r"model\.safetensors is no safetensors file \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"model\.safetensors is no safetensors file \(43 bytes\)"),
        (b"\x02\0\0\0\0\0\0\0[]", r"model\.safetensors has a header that cannot be read"),
        (b"\x02\0\0\0\0\0\0\0{x", r"model\.safetensors has a header that cannot be read"),
        (with_header(b'{"a": 1}'), r"model\.safetensors has a header that cannot be read"),
        (
            with_header(b'{"a": {"data_offsets": [0, Infinity]}}'),
            r"model\.safetensors has a header that cannot be read",
        ),
        (with_header(b'{"a": {"data_offsets": [0, 1e9]}}'), r"model\.safetensors has a header that cannot be read"),
        (with_header(b'{"a": {"data_offsets": [0, 1%s]}}' % (b"0" * 400)), r"has a header that cannot be right\."),
        (with_header(b'{"a": {"data_offsets": [0, -8]}}'), r"model\.safetensors has a header that cannot be right\."),
        (with_header(NESTED), r"model\.safetensors has a header that cannot be read"),
        (with_header(b"{}"), r"model\.safetensors has no weights in it\."),
        (with_header(b'{"__metadata__": {"format": "pt"}}'), r"model\.safetensors has no weights in it\."),
    ],
)
def test_weights_that_are_not_whole(tmp_path: Path, content: bytes, reason: str) -> None:
    folder = write(tmp_path / "m", {**voxtral_files("mini", "transformers"), "model.safetensors": content})
    assert re.search(reason, refusal(folder))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"\xff", "config.json cannot be read"),
        ("config.json", b"[]", "config.json holds no settings"),
        ("config.json", NESTED, "config.json cannot be read"),
        ("config.json", CONFIG % (b"5", b"{}"), "is not whole: config.json has no usable audio_config."),
        ("config.json", CONFIG % (b"{}", b'"x"'), "is not whole: config.json has no usable text_config."),
        ("config.json", b'{"model_type": "voxtral"}', "is not whole: config.json has no usable audio_config."),
        ("tekken.json", b"version https://git-lfs.github.com/spec/v1", "tekken.json cannot be read"),
        ("tekken.json", b"{}", "is not whole: tekken.json has no usable config."),
        ("tekken.json", b'{"config": {}, "vocab": {}, "audio": {}}', "tekken.json has no usable vocab."),
        ("tekken.json", b'{"config": {}, "vocab": [], "audio": null}', "tekken.json has no usable audio."),
        ("model.safetensors.index.json", b"{}", "model.safetensors.index.json names no shards"),
        ("model.safetensors.index.json", b'{"weight_map": []}', "model.safetensors.index.json names no shards"),
    ],
)
def test_settings_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    folder = write(tmp_path / "m", {**voxtral_files("mini", "transformers"), name: content})
    assert reason in refusal(folder)


# --- what the system refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "tekken.json", "model.safetensors"])
def test_files_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", "transformers"))
    monkeypatch.setattr(Path, "open", refusing(Path.open, folder / name))
    assert refusal(folder) == (
        f"{folder / name} cannot be read (Permission denied): let this user read the folder and all files in it, or "
        "name another with --voxtral-mini."
    )


def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "m", voxtral_files("mini", "transformers"))
    monkeypatch.setattr(Path, "stat", refusing(Path.stat, folder))
    assert refusal(folder).startswith(f"{folder} cannot be read (Permission denied): let this user read")


def refusing(allowed: Callable[..., Any], refused: Path) -> Callable[..., Any]:
    """As `allowed`, but for one path, as for a user who may not: root, who often runs tests, may read everything."""

    def may(path: Path, *args: Any, **options: Any) -> Any:
        if path == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path, *args, **options)

    return may


def test_a_name_that_is_too_long_for_a_folder() -> None:
    sentence = refusal(Path("/" + "a" * 5_000))
    assert sentence.startswith(f"/{'a' * 199}... cannot be read (File name too long): name another with")
    assert len(sentence) < 300
