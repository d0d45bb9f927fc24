"""Clips for the stub, from a JSON file or a folder.

Knows: the two layouts. Does not know: where the recordings come from.

A JSON file is a list of {"id", "text", "wav"}, "wav" being a path relative to the file; "language" ("en"), "kind"
("turn"), "onset_s" (0) and "end_s" (the file's end) may be left out. A folder holds NAME.wav beside NAME.txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from voxtral_voice.audio.wav import read_speech
from voxtral_voice.bench.clip import Clip
from voxtral_voice.errors import AudioError


def clips_of_json(path: Path) -> list[Clip]:
    """Raises AudioError."""
    try:
        entries = orjson.loads(path.read_bytes())
    except OSError as error:
        raise AudioError(f"The list of clips {path} cannot be read ({error.strerror}).") from error
    except orjson.JSONDecodeError as error:
        raise AudioError(f"The list of clips {path} is not JSON: {error}.") from error
    if not isinstance(entries, list):
        raise AudioError(f'{path} is no list of clips: write [{{"id": ..., "text": ..., "wav": ...}}, ...].')
    return [_clip(entry, path) for entry in entries]


def clips_in(folder: Path) -> list[Clip]:
    """Raises AudioError."""
    recordings = sorted(folder.glob("*.wav"))
    if not recordings:
        raise AudioError(f"{folder} holds no WAV files; give a folder of NAME.wav, each beside its NAME.txt.")
    return [_recording(wav) for wav in recordings]


def _recording(wav: Path) -> Clip:
    words = wav.with_suffix(".txt")
    try:
        text = words.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise AudioError(f"The words of {wav} cannot be read: {words} ({error.strerror}).") from error
    return _clip({"id": wav.stem, "text": text, "wav": wav.name}, wav)


def _clip(entry: Any, path: Path) -> Clip:
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(key), str) for key in ("id", "text", "wav")):
        raise AudioError(f'A clip in {path} lacks "id", "text" or "wav": {orjson.dumps(entry)[:200].decode()}.')
    samples, rate_hz = read_speech(path.parent / entry["wav"])
    return Clip(
        entry["id"],
        entry.get("kind", "turn"),
        entry["text"],
        entry.get("language", "en"),
        samples,
        rate_hz,
        entry.get("onset_s", 0.0),
        entry.get("end_s", len(samples) / rate_hz),
    )
