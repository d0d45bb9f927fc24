"""Folders as Voxtral's are, with weights of a few bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from voxtral_voice.weights.checkpoint import Layout, Model


def safetensors(values: int = 8) -> bytes:
    """A file with one tensor of so many bytes."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [values], "data_offsets": [0, values]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(values)


def voxtral_files(model: Model, layout: Layout, shards: int = 0) -> dict[str, bytes]:
    """Name -> content. shards: of the transformers layout; 0 = one file."""
    tokenizer = json.dumps({"config": {}, "vocab": [{}], "audio": {"transcription_delay_ms": 480}}).encode()
    if layout == "mistral":
        whisper = {"encoder_args": {"causal": True} if model == "realtime" else {}}
        settings = json.dumps({"multimodal": {"whisper_model_args": whisper}}).encode()
        return {"params.json": settings, "tekken.json": tokenizer, "consolidated.safetensors": safetensors()}
    kind = {"mini": "voxtral", "realtime": "voxtral_realtime"}[model]
    config = {"model_type": kind, "audio_config": {}, "text_config": {}}
    files = {"config.json": json.dumps(config).encode(), "tekken.json": tokenizer}
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    if shards:
        index = {"metadata": {}, "weight_map": {f"tensor{i}": name for i, name in enumerate(names)}}
        files["model.safetensors.index.json"] = json.dumps(index).encode()
    weights = {name: safetensors() for name in names or ["model.safetensors"]}
    return {**files, "processor_config.json": b"{}", **weights}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
