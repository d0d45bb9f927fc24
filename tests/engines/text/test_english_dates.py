"""English dates and times of day."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-11-23", "November twenty-third, twenty twenty-six"),
        ("2026/11/23", "November twenty-third, twenty twenty-six"),
        ("11/23/2026", "November twenty-third, twenty twenty-six"),
        ("23/11/2026", "November twenty-third, twenty twenty-six"),
        ("23.11.2026", "November twenty-third, twenty twenty-six"),
        ("1/2/99", "January second, nineteen ninety-nine"),
        ("11/2026", "November twenty twenty-six"),
        ("2026-11-23T10:30:00Z", "November twenty-third, twenty twenty-six, ten thirty"),
        ("Nov 23, 2026", "November twenty-third, twenty twenty-six"),
        ("Nov. 3rd", "November third"),
        ("23 Nov 2026", "the twenty-third of November, twenty twenty-six"),
        ("the 23rd of November", "the twenty-third of November"),
        ("Aug 5–7, 2026", "August fifth to seventh, twenty twenty-six"),
        ("Nov 2026", "November twenty twenty-six"),
        ("Mon, Nov 23", "Monday, November twenty-third"),
    ],
)
def test_dates(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-13-45", "twenty twenty-six to thirteen to forty-five"),
        ("99/99/2026", "ninety-nine ninety-nine twenty twenty-six"),
        ("May 45", "May forty-five"),
    ],
)
def test_what_is_no_date(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10:30", "ten thirty"),
        ("5:00", "five o'clock"),
        ("17:05", "seventeen oh five"),
        ("18:00", "eighteen hundred"),
        ("00:00", "midnight"),
        ("5 pm", "five PM"),
        ("5pm", "five PM"),
        ("5:30 p.m. today", "five thirty PM today"),
        ("It is 5 p.m. Then", "It is five PM. Then"),
        ("9:00 AM", "nine AM"),
        ("12:00 noon", "twelve noon"),
        ("10:30:15", "ten thirty and fifteen seconds"),
        ("10:30:01 am", "ten thirty and one second AM"),
        ("9am–5pm", "nine AM to five PM"),
    ],
)
def test_times(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("16:9", "sixteen to nine"),
        ("3:1", "three to one"),
        ("10:99", "ten to ninety-nine"),
    ],
)
def test_ratios(written: str, said: str) -> None:
    assert spoken(written) == said


def test_the_british_put_the_day_first() -> None:
    assert spoken("11/12/2026", "en-GB") == "the eleventh of December, twenty twenty-six"
    assert spoken("11/12/2026") == "November twelfth, twenty twenty-six"
