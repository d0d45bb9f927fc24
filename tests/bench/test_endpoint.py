"""How an endpoint setting is written."""

from __future__ import annotations

import pytest

from voxtral_voice.bench.endpoint import turn_detection
from voxtral_voice.errors import BenchError


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ("default", None),
        ("server_vad", {"type": "server_vad"}),
        ("server_vad:300", {"type": "server_vad", "silence_duration_ms": 300}),
        ("semantic_vad", {"type": "semantic_vad"}),
        ("semantic_vad:high", {"type": "semantic_vad", "eagerness": "high"}),
        ("semantic_vad:0", {"type": "semantic_vad", "patience": 0.0}),
        ("semantic_vad:0.25", {"type": "semantic_vad", "patience": 0.25}),
        ("semantic_vad:1", {"type": "semantic_vad", "patience": 1.0}),
    ],
)
def test_what_is_asked_for(spec: str, asked: object) -> None:
    assert turn_detection(spec) == asked


@pytest.mark.parametrize(
    "spec", ["", "vad", "server_vad:soon", "server_vad:-1", "semantic_vad:500", "semantic_vad:1.5", "default:1"]
)
def test_anything_else_is_refused_with_the_way_to_write_it(spec: str) -> None:
    with pytest.raises(BenchError, match=r"write default, server_vad:500 .* or semantic_vad:0\.25"):
        turn_detection(spec)
