"""Digits and stops."""

from __future__ import annotations

import pytest

from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.spoken import digits_by_one, spread, stops_around


@pytest.mark.parametrize(
    ("written", "read"),
    [("४२ ٤٢ m²", "42 42 m2"), ("1,234,567", "1,234,567"), ("4111111111111111", " ".join("4111111111111111"))],
)
def test_digits(written: str, read: str) -> None:
    assert digits_by_one(written) == read


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("“Nguyen”,", ("“", "Nguyen", "”,")),
        ("word", ("", "word", "")),
        ("-5%", ("", "-5%", "")),
        ("--x", ("--", "x", "")),
        ("...", ("...", "", "")),
        ("", ("", "", "")),
    ],
)
def test_stops_around_a_word(text: str, parts: tuple[str, str, str]) -> None:
    assert stops_around(text) == parts


def test_stops_are_quickly_found_in_a_long_line_of_them() -> None:
    assert stops_around("a" + "-" * 100_000 + "b")[1].startswith("a-")


def test_stops_go_to_the_first_and_the_last_word() -> None:
    assert list(spread([("a", "A"), ("b", "B")], "“-", "”.", 3)) == [
        Sound(3, "“A", written="a"),
        Sound(3, "B”.", written="b"),
    ]
    assert list(spread([], "", "…", 0)) == [Sound(0, "…", glued=True)]
    assert list(spread([], "-", "", 0)) == []


def test_a_stopped_breath_joins_words() -> None:
    assert [sound.glued for sound in spread([("a", "aʔ"), ("b", "b"), ("c", "ʔc")], "", "", 0)] == [False, True, True]
