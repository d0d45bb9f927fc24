"""The libraries of the gpu profile, as `make voxtral` puts them together: mistral-common with a newer numpy than it
asks for, all with the versions of the rest of the project."""

from __future__ import annotations

import base64
import io
import re
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.voxtral

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) ", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / name).read_text()))


def test_the_lock_agrees_with_that_of_the_rest() -> None:
    ours, rest = locked("requirements-voxtral.lock"), locked("requirements.lock")
    assert {name: (ours[name], rest[name]) for name in ours.keys() & rest.keys() if ours[name] != rest[name]} == {}
    assert {"numpy", "torch"} & ours.keys() == set()


def test_what_is_installed_is_what_is_locked() -> None:
    wanted = locked("requirements-voxtral.lock") | {"numpy": locked("requirements.lock")["numpy"]}
    installed = {name: metadata.version(name) for name in wanted}
    assert installed == wanted
    assert metadata.version("torch").partition("+")[0] == "2.13.0"


def test_mistral_common_works_with_the_numpy_that_is_locked() -> None:
    """Its audio: WAV bytes in, resampled, back to base64."""
    from mistral_common.tokens.tokenizers.audio import Audio

    samples = np.sin(np.arange(24_000, dtype=np.float32) / 20)
    wav = io.BytesIO()
    soundfile.write(wav, samples, 24_000, format="WAV", subtype="FLOAT")
    audio = Audio.from_base64(base64.b64encode(wav.getvalue()).decode())
    audio.resample(16_000)
    assert audio.sampling_rate == 16_000
    assert len(audio.audio_array) == 16_000
    again = Audio.from_base64(audio.to_base64("wav"))
    assert np.abs(again.audio_array - audio.audio_array).max() < 1e-3


def test_the_extra_is_what_is_locked_and_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["voxtral"]
    lines = (ROOT / "requirements-voxtral.in").read_text().splitlines()
    assert {line for line in extras if not line.startswith("torch")} == {line for line in lines if ">=" in line}
    assert [line for line in extras if line.startswith("torch")] == ["torch>=2.13"]
