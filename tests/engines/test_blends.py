"""Blends: how they are written, what they are called, and what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.blends import MOST_PARTS, Blend, is_blend, parse
from voxtral_voice.engines.voices import VOICES, known
from voxtral_voice.errors import EngineError, RequestError


def find(name: str) -> Voice:
    return known(VOICES, name)


def canonical(name: str) -> str:
    return parse(name, find).voice.id


def weights(blend: Blend) -> dict[str, float]:
    return {part.voice.id: part.weight for part in blend.parts}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("af_heart:0.6,af_bella:0.4", "af_heart:0.6,af_bella:0.4"),
        ("af_bella:0.4,af_heart:0.6", "af_heart:0.6,af_bella:0.4"),
        (" af_bella : 2 , af_heart : 3 ", "af_heart:0.6,af_bella:0.4"),
        ("af_bella,af_heart", "af_bella:0.5,af_heart:0.5"),
        ("af_bella:.5,af_heart", "af_heart:0.667,af_bella:0.333"),
        ("af_heart:1,af_bella:1,af_sarah:1", "af_heart:0.334,af_bella:0.333,af_sarah:0.333"),
        ("hf_alpha:999999999,af_heart:999999.", "hf_alpha:0.999,af_heart:0.001"),
        ("af_heart:7", "af_heart"),
    ],
)
def test_one_blend_has_one_name(written: str, meant: str) -> None:
    assert is_blend(written)
    assert canonical(written) == meant


def test_a_voice_is_no_blend() -> None:
    assert not is_blend("af_heart")


def test_it_is_what_its_heaviest_part_is() -> None:
    voice = parse("af_heart:0.2,hm_psi:0.5,bf_emma:0.3", find).voice
    assert voice == Voice("hm_psi:0.5,bf_emma:0.3,af_heart:0.2", "hi", "male", "C")


def test_of_two_equal_parts_the_first_counts() -> None:
    assert parse("bf_emma,af_heart", find).voice.language == "en-GB"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (",", "A part of the blend has no voice ('')"),
        ("af_heart:0.6,", "A part of the blend has no voice ('')"),
        (":0.5", "A part of the blend has no voice (':0.5')"),
        ("af_heart:", "The weight in 'af_heart:' is no number above 0"),
        ("af_heart:-1,af_bella", "The weight in 'af_heart:-1' is no number above 0"),
        ("af_heart:much,af_bella", "The weight in 'af_heart:much' is no number above 0"),
        ("af_heart:nan,af_bella", "The weight in 'af_heart:nan' is no number above 0"),
        ("af_heart:1e9,af_bella", "The weight in 'af_heart:1e9' is no number above 0"),
        ("af_heart:٣,af_bella", "The weight in 'af_heart:٣' is no number above 0"),
        ("af_heart:1:2,af_bella", "The weight in 'af_heart:1:2' is no number above 0"),
        ("af_heart:0,af_bella", "The weight in 'af_heart:0' is no number above 0"),
        ("af_heart:0.000,af_bella:0", "The weight in 'af_heart:0.000' is no number above 0"),
        ("af_heart:1,af_bella:3000", "The weight of af_heart is less than a thousandth of the blend"),
        ("af_heart:1,af_bella,af_heart:2", "The blend has af_heart twice"),
        ("af_heart:" + "9" * 99, "The weight in 'af_heart:9999999999999999999999999999999...' is no number"),
    ],
)
def test_what_is_wrong_is_said(written: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(written, find)
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("af_heart:0.6,af_bella:0.4.")
    assert caught.value.engine == "speaker"


def test_eight_voices_are_a_blend_and_nine_are_not() -> None:
    names = list(VOICES)[: MOST_PARTS + 1]
    assert len(parse(",".join(names[:-1]), find).parts) == MOST_PARTS
    with pytest.raises(RequestError, match="8 voices at most, and this one has 9"):
        parse(",".join(names), find)


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(EngineError, match="no voice 'af_hart': use one of af_heart"):
        parse("af_bella:0.5,af_hart:0.5", find)


@given(st.lists(st.tuples(st.sampled_from(list(VOICES)), st.floats(0.02, 1)), min_size=1, max_size=8))
def test_the_name_of_a_blend_is_that_blend(parts: list[tuple[str, float]]) -> None:
    written = ",".join(f"{name}:{weight:.9f}" for name, weight in dict(parts).items())
    blend = parse(written, find)
    assert sum(weights(blend).values()) == pytest.approx(1)
    assert parse(blend.voice.id, find) == blend
