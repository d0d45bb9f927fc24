"""Folders with a Voxtral checkpoint: is everything there, whole, and of the model that is wanted?

Knows: the two layouts, their files, how long a safetensors file has to be. Does not know: how folders get here
(`repository`), what a model does. Reads settings, the tokenizer and headers, never weights.

    transformers   config.json, tekken.json, a processor's settings, model.safetensors or the shards that
                   model.safetensors.index.json names
    mistral        params.json, tekken.json, consolidated.safetensors: what vLLM reads

A published repository has both, and both are the whole model: only the one that is needed is fetched.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from voxtral_voice.errors import WeightsError

Model = Literal["mini", "realtime"]
Layout = Literal["transformers", "mistral"]

NAMES: Final[dict[str, str]] = {"mini": "Voxtral Mini", "realtime": "Voxtral Realtime"}
TYPES: Final[dict[str, Model]] = {"voxtral": "mini", "voxtral_realtime": "realtime"}
"""What config.json calls them."""
SETTINGS: Final[dict[Layout, str]] = {"transformers": "config.json", "mistral": "params.json"}
PROCESSORS: Final = ("processor_config.json", "preprocessor_config.json")
"""One of them."""
PARTS: Final[Mapping[str, type]] = {"audio_config": dict, "text_config": dict}
"""That config.json has."""
TOKENIZER: Final = "tekken.json"
TOKENIZER_PARTS: Final[Mapping[str, type]] = {"config": dict, "vocab": list, "audio": dict}
INDEX: Final = "model.safetensors.index.json"
READERS: Final[dict[Layout, str]] = {"transformers": "transformers", "mistral": "vllm"}
WHOLE: Final[dict[Layout, str]] = {"transformers": "model.safetensors", "mistral": "consolidated.safetensors"}
LONGEST_HEADER: Final = 100_000_000
"""Bytes, as the format says."""
LARGEST_FILE: Final = 2**63 - 1
SHOWN_CHARS: Final = 200
"""Of a name that somebody chose."""
UNFINISHED: Final = ("*.incomplete", "*.part", ".cache/huggingface/download/*.incomplete")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    model: Model
    layout: Layout
    weights_bytes: int


def look(folder: Path, *, wanted: Model, layout: Layout) -> Checkpoint:
    """Raises WeightsError with what is missing or wrong, and what to do."""
    with _readable(folder, wanted):
        if not folder.is_dir():
            raise WeightsError(
                f"There is no folder {_shown(folder)} with {NAMES[wanted]}: name another with {_flag(wanted)}."
            )
        _require_settings(folder, wanted, layout)
        _require_model(folder, wanted, layout)
        _require_tokenizer(folder)
        weights = sum(_whole_bytes(folder, name) for name in _weights(folder, layout))
    return Checkpoint(folder, wanted, layout, weights)


def is_there(folder: Path, wanted: Model) -> bool:
    """Raises WeightsError when that cannot be known."""
    with _readable(folder, wanted):
        return folder.is_dir()


@contextmanager
def _readable(folder: Path, wanted: Model) -> Iterator[None]:
    """What the system refuses, as files of another user, is told as that."""
    try:
        yield
    except OSError as error:
        closed = isinstance(error, PermissionError)
        way_out = "let this user read the folder and all files in it, or name another" if closed else "name another"
        raise WeightsError(
            f"{_shown(error.filename or folder)} cannot be read ({error.strerror}): {way_out} with {_flag(wanted)}."
        ) from error


def _shown(path: object) -> str:
    text = str(path)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _require_model(folder: Path, wanted: Model, layout: Layout) -> None:
    settings = _json(folder / SETTINGS[layout])
    found = _model(settings, layout)
    if found != wanted:
        held = NAMES.get(found, found)
        raise WeightsError(
            f"{folder} holds {held}, and {NAMES[wanted]} is wanted there: name another folder with {_flag(wanted)}."
        )
    if layout != "transformers":
        return
    _require_parts(folder, SETTINGS[layout], settings, PARTS)
    if not any((folder / name).is_file() for name in PROCESSORS):
        _incomplete(folder, f"neither {' nor '.join(PROCESSORS)} is there")


def _require_tokenizer(folder: Path) -> None:
    _require(folder, TOKENIZER)
    _require_parts(folder, TOKENIZER, _json(folder / TOKENIZER), TOKENIZER_PARTS)


def _require_parts(folder: Path, name: str, content: Mapping[str, Any], parts: Mapping[str, type]) -> None:
    for part, kind in parts.items():
        if not isinstance(content.get(part), kind):
            _incomplete(folder, f"{name} has no usable {part}")


def _flag(wanted: Model) -> str:
    return f"--voxtral-{wanted}"


def _require_settings(folder: Path, wanted: Model, layout: Layout) -> None:
    if (folder / SETTINGS[layout]).is_file():
        return
    other: Layout = "mistral" if layout == "transformers" else "transformers"
    if not (folder / SETTINGS[other]).is_file():
        raise WeightsError(
            f"{folder} holds no {NAMES[wanted]}: there is no {SETTINGS[layout]} in it. Name another folder with "
            f"{_flag(wanted)}."
        )
    raise WeightsError(
        f"{folder} has {SETTINGS[other]} but no {SETTINGS[layout]}, which {READERS[layout]} needs: add the files for "
        f"it, or choose --voxtral-backend {READERS[other]}."
    )


def _model(settings: Mapping[str, Any], layout: Layout) -> str:
    """As config.json calls it, unless it is one of ours."""
    if layout == "transformers":
        kind = str(settings.get("model_type"))
        return TYPES.get(kind, f"a model of type {_shown(kind)}")
    ears = settings
    for name in ("multimodal", "whisper_model_args", "encoder_args"):
        found = ears.get(name)
        if not isinstance(found, dict):
            return "a model without ears"
        ears = found
    return "realtime" if ears.get("causal") else "mini"


def _weights(folder: Path, layout: Layout) -> list[str]:
    if layout == "transformers" and (folder / INDEX).is_file():
        names = _json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not names:
            _incomplete(folder, f"{INDEX} names no shards")
        return sorted(set(map(str, names.values())))
    return [WHOLE[layout]]


def _whole_bytes(folder: Path, name: str) -> int:
    """Size of a safetensors file, which is as long as its header says."""
    _require(folder, name)
    path = folder / name
    size = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(8)
        header_bytes = struct.unpack("<Q", begin)[0] if len(begin) == 8 else LONGEST_HEADER
        if header_bytes >= LONGEST_HEADER:
            _incomplete(folder, f"{name} is no safetensors file ({size:,} bytes)")
        if size < 8 + header_bytes:
            _incomplete(folder, f"{name} ends in its header, after {size:,} bytes")
        wanted = 8 + header_bytes + _end_of_tensors(folder, name, stream.read(header_bytes))
    if size != wanted:
        _incomplete(folder, f"{name} has {size:,} of {wanted:,} bytes")
    return size


def _end_of_tensors(folder: Path, name: str, header: bytes) -> int:
    try:
        tensors = json.loads(header)
        ends = [index(t["data_offsets"][1]) for key, t in tensors.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        _incomplete(folder, f"{name} has a header that cannot be read")
    if not ends:
        _incomplete(folder, f"{name} has no weights in it")
    if not 0 <= max(ends) <= LARGEST_FILE:
        _incomplete(folder, f"{name} has a header that cannot be right")
    return max(ends)


def _require(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        _incomplete(folder, f"{name} is not there")


def _incomplete(folder: Path, what: str) -> NoReturn:
    begun = any(next(folder.glob(pattern), None) for pattern in UNFINISHED)
    left = "; a download of it was never finished" if begun else ""
    raise WeightsError(
        f"The model in {folder} is not whole: {what}{left}. Run 'voxtral-voice models pull' with the same settings, or "
        "copy the folder again."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): fetch it again.") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds no settings: fetch it again.")
    return value
