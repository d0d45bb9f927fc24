"""Folders with a Voxtral checkpoint: is everything there, whole, and of the model that is wanted?

Knows: the two layouts, their files, how long a safetensors file has to be. Does not know: how folders get here
(`repository`), what a model does. Reads settings and headers, never weights.

    transformers   config.json, tekken.json, a processor's settings, model.safetensors or the shards that
                   model.safetensors.index.json names
    mistral        params.json, tekken.json, consolidated.safetensors: what vLLM reads

A published repository has both, and both are the whole model: only the one that is needed is fetched.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
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
TOKENIZER: Final = "tekken.json"
INDEX: Final = "model.safetensors.index.json"
READERS: Final[dict[Layout, str]] = {"transformers": "transformers", "mistral": "vllm"}
WHOLE: Final[dict[Layout, str]] = {"transformers": "model.safetensors", "mistral": "consolidated.safetensors"}
LONGEST_HEADER: Final = 100_000_000
"""Bytes, as the format says."""
UNFINISHED: Final = ("*.incomplete", "*.part", ".cache/huggingface/download/*.incomplete")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    model: Model
    layout: Layout
    weights_bytes: int


def look(folder: Path, *, wanted: Model, layout: Layout) -> Checkpoint:
    """Raises WeightsError with what is missing or wrong, and what to do."""
    if not folder.is_dir():
        raise WeightsError(f"There is no folder {folder} with {NAMES[wanted]}: name another with {_flag(wanted)}.")
    _require_settings(folder, wanted, layout)
    found = _model(folder, layout)
    if found != wanted:
        held = NAMES.get(found, found)
        raise WeightsError(
            f"{folder} holds {held}, and {NAMES[wanted]} is wanted there: name another folder with {_flag(wanted)}."
        )
    _require(folder, TOKENIZER)
    if layout == "transformers" and not any((folder / name).is_file() for name in PROCESSORS):
        _incomplete(folder, f"neither {' nor '.join(PROCESSORS)} is there")
    return Checkpoint(folder, wanted, layout, sum(_whole_bytes(folder, name) for name in _weights(folder, layout)))


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


def _model(folder: Path, layout: Layout) -> str:
    """As config.json calls it, unless it is one of ours."""
    settings = _json(folder / SETTINGS[layout])
    if layout == "transformers":
        kind = str(settings.get("model_type"))
        return TYPES.get(kind, f"a model of type {kind}")
    whisper = (settings.get("multimodal") or {}).get("whisper_model_args") or {}
    if "encoder_args" not in whisper:
        return "a model without ears"
    return "realtime" if whisper["encoder_args"].get("causal") else "mini"


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
        return max((int(t["data_offsets"][1]) for key, t in tensors.items() if key != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        _incomplete(folder, f"{name} has a header that cannot be read")


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
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): fetch it again.") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds no settings: fetch it again.")
    return value
