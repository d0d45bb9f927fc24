"""What is said for tricky texts is what was reviewed."""

from __future__ import annotations

from collections import Counter

from tests.engines.golden import FILE, as_toml, head, read_again, readings

REVIEWED = readings(FILE.read_text("utf-8"))


def test_every_reading_is_the_reviewed_one() -> None:
    """When it fails: `python -m tests.engines.golden` shows all differences."""
    differences = [(old, new) for old, new in zip(REVIEWED, read_again(REVIEWED), strict=True) if old != new]
    assert differences == []


def test_there_are_200_texts_of_all_nine_languages() -> None:
    counts = Counter(reading.language for reading in REVIEWED)
    assert len({reading.written for reading in REVIEWED}) == len(REVIEWED) >= 200
    assert counts.keys() == {"en", "es", "fr", "hi", "it", "ja", "pt", "zh", "en-GB"}
    assert counts["en"] >= 80
    assert counts["hi"] >= 60


def test_the_file_is_written_as_it_is_read() -> None:
    text = FILE.read_text("utf-8")
    assert as_toml(head(text), readings(text)) == text
