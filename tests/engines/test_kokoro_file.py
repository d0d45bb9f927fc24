"""What Kokoro runs is made once, kept beside the file, and never trusted blindly."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from voxtral_voice.engines import even_speed, kokoro_file, kokoro_graph
from voxtral_voice.engines.kokoro_file import for_this_cpu, signed_is_exact

FRAMES = "frames"


@pytest.fixture
def source() -> bytes:
    """A model that is none of Kokoro's; the rewriting is told apart by what it adds."""
    node = helper.make_node("Identity", ["tokens"], [FRAMES])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("tokens", TensorProto.FLOAT, [1])], [value(FRAMES, TensorProto.FLOAT, [1])]
    )
    made: bytes = helper.make_model(graph).SerializeToString()
    return made


@pytest.fixture
def writings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How often the graph was written anew, and whether with signed weights."""
    seen: list[bool] = []

    def rewritten(model: onnx.ModelProto, *, signed: bool) -> onnx.ModelProto:
        seen.append(signed)
        made = onnx.ModelProto()
        made.CopyFrom(model)
        made.producer_name = f"rewritten {signed}"
        return made

    monkeypatch.setattr(even_speed, "with_even_speed", lambda model, _frames: model)
    monkeypatch.setattr(kokoro_graph, "rewritten", rewritten)
    return seen


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_it_is_made_once(tmp_path: Path, source: bytes, writings: list[bool]) -> None:
    first = for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    again = for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    assert onnx.load_model_from_string(first).producer_name.startswith("rewritten")
    assert again == first
    assert len(writings) == 1
    (file,) = kept(tmp_path)
    assert file.name.startswith("k-cpu-")
    assert file.read_bytes() == first


def test_another_source_or_processor_takes_its_place(
    tmp_path: Path, source: bytes, writings: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kokoro_file, "signed_is_exact", lambda: True)
    for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    monkeypatch.setattr(kokoro_file, "signed_is_exact", lambda: False)
    for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    assert writings == [True, False]
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: bytes([data[0] ^ 1]) + data[1:]])
def test_what_was_changed_on_the_disk_is_made_again(
    tmp_path: Path, source: bytes, writings: list[bool], change: Callable[[bytes], bytes]
) -> None:
    first = for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    (file,) = kept(tmp_path)
    file.write_bytes(change(first))
    assert for_this_cpu(tmp_path / "k.onnx", source, FRAMES) == first
    assert kept(tmp_path) == [file]
    assert file.read_bytes() == first


def test_what_a_killed_process_left_is_removed(tmp_path: Path, source: bytes, writings: list[bool]) -> None:
    for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    (file,) = kept(tmp_path)
    left, written = (tmp_path / f"{file.name}.{pid}.part" for pid in (1, 2))
    other = tmp_path / "other.onnx.1.part"
    for part in (left, written, other):
        part.write_bytes(b"half")
    with written.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
        assert kept(tmp_path) == sorted((file, written, other))
    for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    assert kept(tmp_path) == sorted((file, other))


def test_a_folder_that_is_full_keeps_nothing(
    tmp_path: Path, source: bytes, writings: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert for_this_cpu(tmp_path / "k.onnx", source, FRAMES)
    assert not kept(tmp_path)


def test_a_folder_that_is_not_there_is_no_fault(tmp_path: Path, source: bytes, writings: list[bool]) -> None:
    made = for_this_cpu(tmp_path / "none" / "k.onnx", source, FRAMES)
    assert onnx.load_model_from_string(made).producer_name.startswith("rewritten")
    assert not kept(tmp_path)


@pytest.mark.parametrize("content", [None, b"not a model " * 10, b""])
def test_what_cannot_be_written_anew_speaks_as_it_is(
    tmp_path: Path, source: bytes, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    given = source if content is None else content
    assert for_this_cpu(tmp_path / "k.onnx", given, FRAMES) == given
    assert "spoken with as it is" in caplog.text
    assert not kept(tmp_path)


def test_this_processor_answers() -> None:
    assert signed_is_exact() in (True, False)
