"""The file that Kokoro runs on this CPU: made from the catalogue's once, and kept beside it.

Knows: which rewriting there is (`kokoro_graph`, `even_speed`), whether this processor adds signed 8-bit products
without overflow, where the result is kept. Does not know: how it is run.

It is kept in the folder of the file as `<name>-cpu-<source>-<content>.onnx`: `source` is the hash of the catalogue's
file, of the code that rewrites it and of the processor's kind; `content` that of the file itself. What does not fit is
made again; where nothing can be written it is made at each start (1.4 CPU-seconds); where it cannot be made the
catalogue's file speaks, half as fast. While it is written it is a `.part`, locked by its writer: one that nobody locks
is of a process that was killed, and is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper, numpy_helper

from voxtral_voice.engines import even_speed, kokoro_graph, onnx_patterns

log = logging.getLogger(__name__)

_HASH_LETTERS: Final = 16
PART: Final = ".part"


def for_this_cpu(path: Path, source: bytes, frames: str) -> bytes:
    """The model to run. path: of the catalogue's file. source: its bytes. frames: the value that says how long each
    token is. Never fails: at worst it is the source."""
    signed = signed_is_exact()
    _remove_abandoned(path.parent, f"{path.stem}-cpu-")
    prefix = f"{path.stem}-cpu-{_source_hash(source, signed)}-"
    kept = _kept(path.parent, prefix)
    if kept is not None:
        return kept
    try:
        model = even_speed.with_even_speed(onnx.load_model_from_string(source), frames)
        made: bytes = kokoro_graph.rewritten(model, signed=signed).SerializeToString()
    except (DecodeError, ValueError) as error:
        log.warning("%s is spoken with as it is, at half the speed: %s", path.name, str(error).splitlines()[0][:200])
        return source
    _keep(path.parent, f"{path.stem}-cpu-", f"{prefix}{_hash(made)}.onnx", made)
    return made


def signed_is_exact() -> bool:
    """Whether a product of unsigned and signed bytes is right at its largest: without 8-bit instructions (VNNI) ONNX
    runtime adds two products in 16 bits, and what is too large is cut off."""
    largest = np.full((1, 4), 255, np.uint8), np.full((4, 16), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    a = helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, [1, 4])
    c = helper.make_tensor_value_info("c", onnx.TensorProto.INT32, [1, 16])
    graph = helper.make_graph([node], "largest", [a], [c], [numpy_helper.from_array(largest[1], "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": largest[0]})
    return bool((product == 4 * 255 * 127).all())


def _source_hash(source: bytes, signed: bool) -> str:
    code = (Path(module.__file__ or "").read_bytes() for module in (even_speed, kokoro_graph, onnx_patterns))
    return _hash(source, bytes([signed]), *code)


def _hash(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:_HASH_LETTERS]


def _kept(folder: Path, prefix: str) -> bytes | None:
    for path in folder.glob(f"{prefix}*.onnx"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if path.stem == prefix + _hash(data):
            return data
    return None


def _keep(folder: Path, stem: str, name: str, made: bytes) -> None:
    """In the place of what an earlier version kept. A folder that cannot be written to is no fault."""
    part = folder / f"{name}.{os.getpid()}{PART}"
    try:
        with part.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(made)
            file.flush()
            for old in folder.glob(f"{stem}*-*.onnx"):
                old.unlink()
            part.replace(folder / name)
    except OSError as error:
        log.info("%s is made again at each start (%s)", name, error.strerror)
        with contextlib.suppress(OSError):
            part.unlink()


def _remove_abandoned(folder: Path, stem: str) -> None:
    """Parts of processes that were killed: 92 MB each. The system gives up a process's locks with it."""
    for part in folder.glob(f"{stem}*{PART}"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
