"""All models are measured to the end at a tiny size on the CPU, and their real sizes are those that were released."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.voxtral

MINI = {"mel_cpu", "mel_device", "encode", "prefill", "token", "transcription", "audio_chat", "eager", "memory"}
SPEAKER = {"phrase", "first_at_a_length", "together", "uneven", "memory"}
REALTIME = {"begin", "mel", "step", "copy", "flush", "eager", "memory"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    import torch

    from benchmarks import gpu

    path = tmp_path_factory.mktemp("gpu") / "gpu.json"
    words = f"--device cpu --size tiny --repeats 2 --streams 1 3 --commit abc --out {path}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # models this small only wait for one another's threads
    try:
        assert gpu.main(words.split()) == 0
    finally:
        torch.set_num_threads(threads)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_piece_has_its_figures(written: dict[str, Any]) -> None:
    assert written["mini"].keys() >= MINI
    assert written["realtime"].keys() >= REALTIME
    assert written["speaker"].keys() >= SPEAKER
    assert [*written["speaker"]["phrase"]] == ["10 symbols", "20 symbols", "40 symbols", "80 symbols", "160 symbols"]
    assert [*written["speaker"]["together"]] == ["1 phrases", "3 phrases"]
    assert written["speaker"]["together"]["3 phrases"]["audio_s"] == 3.15
    assert [*written["speaker"]["uneven"]] == ["3 phrases"]
    assert [*written["mini"]["transcription"]] == ["2 s", "5 s", "20 s"]
    assert [*written["realtime"]["step"]] == ["1 streams", "3 streams"]
    assert {name: each["tokens"] for name, each in written["realtime"]["flush"].items()} == {"240 ms": 14, "480 ms": 17}


def test_the_file_says_where_and_how(written: dict[str, Any]) -> None:
    assert written["command"].startswith("python -m benchmarks.gpu --device cpu --size tiny")
    assert written["commit"] == "abc"
    assert written["machine"]["libraries"]["torch"]
    assert written["weights"] == "random, tiny size"


def test_a_figure_is_the_middle_of_its_runs(written: dict[str, Any]) -> None:
    for figure in (written["mini"]["encode"], written["realtime"]["step"]["3 streams"]):
        assert 0 < figure["low_ms"] <= figure["median_ms"] <= figure["high_ms"]
        assert figure["n"] == 2


@pytest.mark.parametrize(("kind", "billions"), [("mini", 4.68), ("realtime", 4.43)])
def test_the_real_sizes_are_those_that_were_released(kind: str, billions: float) -> None:
    import torch
    from transformers import VoxtralForConditionalGeneration, VoxtralRealtimeForConditionalGeneration

    from benchmarks import gpu

    with torch.device("meta"):
        model = (
            VoxtralForConditionalGeneration(gpu.mini_config(tiny=False))
            if kind == "mini"
            else VoxtralRealtimeForConditionalGeneration(gpu.realtime_config(tiny=False))
        )
    assert round(sum(each.numel() for each in model.parameters()) / 1e9, 2) == billions
