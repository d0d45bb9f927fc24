from __future__ import annotations

import pytest

from voxtral_voice.engines.placement import Placement, index, parse, place


def test_what_is_not_placed_is_on_the_first_gpu_and_the_speaker_on_the_cpu() -> None:
    assert place(parse(""), one_model=False) == Placement("cuda:0", "cuda:0", "cpu")


@pytest.mark.parametrize(
    ("text", "placement"),
    [
        ("transcriber=cuda:0,speaker=cuda:1", Placement("cuda:0", "cuda:0", "cuda:1")),
        (" responder = cuda:3 , ", Placement("cuda:0", "cuda:3", "cpu")),
        ("cpu", Placement("cpu", "cpu", "cpu")),
        ("cuda:1", Placement("cuda:1", "cuda:1", "cpu")),
        ("cuda, speaker=cuda", Placement("cuda:0", "cuda:0", "cuda:0")),
    ],
)
def test_parts_are_placed_by_name_or_all_that_need_a_gpu_at_once(text: str, placement: Placement) -> None:
    assert place(parse(text), one_model=False) == placement


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ear=cuda:0", "ear is no engine that can be placed; transcriber, responder, speaker are"),
        ("=cuda:0", "nothing is no engine"),
        ("transcriber=", "nothing is no device"),
        ("gpu0", "gpu0 is no device; cpu, cuda:0, cuda:1 and so on are"),
        ("transcriber=cuda:x", "cuda:x is no device"),
        ("cuda:123", "cuda:123 is no device"),
        ("speaker=cpu,speaker=cuda:0", "speaker is placed twice"),
        ("cuda:0,responder=cuda:1", "responder is placed twice"),
    ],
)
def test_a_wrong_placement_says_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text)


def test_one_model_is_in_one_place() -> None:
    assert place(parse("transcriber=cuda:1"), one_model=True) == Placement("cuda:1", "cuda:1", "cpu")
    assert place(parse("responder=cpu,speaker=cuda:0"), one_model=True) == Placement("cpu", "cpu", "cuda:0")
    assert place(parse("transcriber=cuda:1,responder=cuda:1"), one_model=True).responder == "cuda:1"
    assert place(parse(""), one_model=True) == Placement()
    with pytest.raises(ValueError, match="cannot be on cpu and on cuda:1 at once"):
        place(parse("transcriber=cuda:1,responder=cpu"), one_model=True)


def test_a_gpu_has_a_number() -> None:
    assert [index(device) for device in ("cpu", "cuda:0", "cuda:12")] == [None, 0, 12]
