"""What we send is read by agents-js: by its schemas, and by its transport, which throws at what it does not like."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.realtime.coverage import ROWS
from tests.realtime.test_sequences import run

JUDGE = Path(__file__).parent / "zod_judge.mjs"
MODULES = Path(__file__).parents[1] / "clients" / "node" / "node_modules"
SEQUENCES = 150


@pytest.fixture(scope="module")
def modules() -> Path:
    if not (MODULES / "@openai" / "agents-realtime").is_dir():
        missing(f"{MODULES} has no @openai/agents-realtime (scripts/install_clients)")
    return MODULES


def judged(modules: Path, frames: Sequence[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The faults, and what the judge says at the end."""
    ran = subprocess.run(["node", JUDGE, modules], input=b"\n".join(frames), capture_output=True, timeout=110)
    assert ran.returncode == 0, ran.stderr.decode()
    *faults, end = [json.loads(line) for line in ran.stdout.splitlines()]
    return faults, end


def test_every_event_is_one_that_agents_js_reads(modules: Path) -> None:
    frames = [frame for seed in range(SEQUENCES) for frame in run(seed, judged=False).frames]
    frames += [frame for row in ROWS for frame in row.driven().frames]
    faults, end = judged(modules, [frame for frame in frames if len(frame) < 1_000_000])
    assert faults == []
    assert end["judged"] > 1000
    assert end["known"] > 30


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_audio.delta", "event_id": "e"},
        {"type": "input_audio_buffer.cleared"},
        {
            "type": "conversation.item.added",
            "event_id": "e",
            "item": {"id": "U", "type": "message", "role": "user", "content": [{"type": "input_audio"}]},
        },
    ],
)
def test_the_judge_finds_what_agents_js_cannot_read(modules: Path, event: dict[str, Any]) -> None:
    faults, _ = judged(modules, [json.dumps(event).encode()])
    assert faults
