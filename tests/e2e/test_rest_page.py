"""Every example of docs/rest.md is run as it stands there, but for the address, against the real models."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import missing

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

PAGE: Final = Path(__file__).parents[2] / "docs" / "rest.md"
BLOCK: Final = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES: Final = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
PRINTS: Final = (
    ("sh", ""),
    ("python", r"^[3-9]\.\d s of speech$"),
    ("sh", r'"text":"The quick brown fox .*}1\n00:00:00,\d{3} --> 00:00:0[2-4],\d{3}\nThe quick'),
    ("python", "^heard: The quick brown fox jumps"),
    ("sh", r'"role":"assistant","content":"[^"]*Paris'),
    ("python", "^answer: .*Paris"),
)
"""Language, and what the example prints, in the order of the page."""


def run(language: str, text: str, folder: Path) -> str:
    if language == "sh" and shutil.which("curl") is None:
        missing("curl is not installed")
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("live_server", ["embedded"], indirect=True)
def test_the_examples_in_their_order(live_server: str, tmp_path: Path) -> None:
    """The later ones use the files of those before."""
    assert len(EXAMPLES) == len(PRINTS)
    for (language, text), (expected, pattern) in zip(EXAMPLES, PRINTS, strict=True):
        assert language == expected
        assert "http://127.0.0.1:8000" in text
        printed = run(language, text.replace("http://127.0.0.1:8000", live_server), tmp_path)
        assert re.search(pattern, printed, re.MULTILINE), f"{text}\nprinted:\n{printed}"
    assert (tmp_path / "speech.mp3").stat().st_size > 5_000
