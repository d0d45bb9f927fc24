"""OpenAI's SDK for Node over HTTP: its own calls, text -> speech -> text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import NODE, ROOT
from tests.clients.told import lines, of_kind
from tests.e2e.speech import word_errors

pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]


def test_models_speech_transcriptions_and_chat(node: str, server: str, clips: Path, tmp_path: Path) -> None:
    command = [node, str(NODE / "rest.mjs"), server, str(clips), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    told = lines(done.stdout)
    (models,) = of_kind(told, "models")
    assert len(models["models"]) >= 3
    (speech,) = of_kind(told, "speech")
    assert word_errors(speech["input"], speech["whole"]) <= 0.15
    assert speech["done"] == "transcript.text.done"
    assert word_errors(speech["input"], speech["streamed"]) <= 0.15
    (chat,) = of_kind(told, "chat")
    assert chat["said"]
    assert chat["streamed"] == chat["said"]
    (missing,) = of_kind(told, "missing")
    assert missing == {"kind": "missing", "status": 404, "code": "model_not_found"}
