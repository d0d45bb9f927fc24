"""Clips from a file or a folder, or one sentence about what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.stub.make import RATE_HZ, babble
from voxtral_voice.audio.wav import write_wav
from voxtral_voice.bench.stub.listing import clips_in, clips_of_json
from voxtral_voice.errors import AudioError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wavs").mkdir()
    for name, seconds in (("b", 1.0), ("a", 2.0)):
        write_wav(tmp_path / "wavs" / f"{name}.wav", babble(1, seconds), RATE_HZ)
        (tmp_path / "wavs" / f"{name}.txt").write_text(f"Say {name}.\n")
    return tmp_path


def listed(folder: Path, content: Any) -> Path:
    path = folder / "clips.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_folder(folder: Path) -> None:
    first, second = clips_in(folder / "wavs")
    assert (first.id, first.text, first.end_s) == ("a", "Say a.", 2.0)
    assert (second.id, second.text, second.end_s) == ("b", "Say b.", 1.0)
    np.testing.assert_allclose(second.samples, babble(1, 1.0), atol=1e-4)


def test_a_file(folder: Path) -> None:
    plain = {"id": "x", "text": "Hi", "wav": "wavs/a.wav"}
    full = {**plain, "id": "y", "language": "de", "kind": "hold", "onset_s": 0.2, "end_s": 1.5}
    first, second = clips_of_json(listed(folder, [plain, full]))
    assert (first.id, first.kind, first.language, first.onset_s, first.end_s) == ("x", "turn", "en", 0, 2.0)
    assert (second.id, second.kind, second.language, second.onset_s, second.end_s) == ("y", "hold", "de", 0.2, 1.5)
    assert (first.rate_hz, len(first.samples)) == (RATE_HZ, 2 * RATE_HZ)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"The list of clips .*clips\.json is not JSON: .*\."),
        ({}, r".*clips\.json is no list of clips: write .*"),
        ([1], r'A clip in .*clips\.json lacks "id", "text" or "wav": 1\.'),
        ([{"id": "x", "wav": "a.wav"}], r'A clip in .* lacks "id", "text" or "wav": \{"id":"x","wav":"a\.wav"\}\.'),
        ([{"id": "x", "text": "", "wav": "none.wav"}], r".*none\.wav does not exist\."),
    ],
)
def test_a_wrong_file_is_one_sentence(folder: Path, content: Any, sentence: str) -> None:
    with pytest.raises(AudioError, match=f"^{sentence}$"):
        clips_of_json(listed(folder, content))


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (
            lambda folder: clips_of_json(folder / "none.json"),
            r"The list of clips .* cannot be read \(No such file.*\)\.",
        ),
        (clips_in, r".* holds no WAV files; give a folder of NAME\.wav, each beside its NAME\.txt\."),
    ],
)
def test_nothing_there_is_one_sentence(folder: Path, read: Callable[[Path], Any], sentence: str) -> None:
    with pytest.raises(AudioError, match=f"^{sentence}$"):
        read(folder)


def test_a_recording_without_its_words(folder: Path) -> None:
    (folder / "wavs" / "a.txt").unlink()
    with pytest.raises(AudioError, match=r"The words of .*a\.wav cannot be read: .*a\.txt \(No such file"):
        clips_in(folder / "wavs")
