"""English: what is known by its letters, counts, what stands between."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("NASA and the API", "NASA and the API"),
        ("the JSON file", "the Jason file"),
        ("C++ and C#", "C plus plus and C sharp"),
        ("AT&T, R&D and Q&A", "AT and T, R and D and Q and eh"),
        ("The WHO said", "The W.H.O. said"),
        ("WHO said so", "WHO said so"),
        ("plan A.", "plan eh."),
        ("A to Z", "eh to Z"),
    ],
)
def test_acronyms_are_spelled_or_read(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("call 911 now", "call nine one one now"),
        ("OTP is 482913", "OTP is four eight two nine one three"),
        ("4111 1111 1111 1111", "four one one one, one one one one, one one one one, one one one one"),
        ("123-45-6789", "one two three, four five, six seven eight nine"),
        (
            "12345678901234567890",
            "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
        ),
        ("1-2-3 go", "one, two, three go"),
        ("NY 10001", "NY one zero zero zero one"),
    ],
)
def test_digits_that_count_nothing(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1st, 22nd and 113th", "first, twenty-second and one hundred thirteenth"),
        ("the 1980s", "the nineteen eighties"),
        ("the '90s", "the nineties"),
        ("in her 20s", "in her twenties"),
        ("1920x1080", "nineteen twenty by ten eighty"),
        ("4x4 m", "four by four m"),
        ("2x faster", "two times faster"),
        ("720p", "seven twenty P"),
        ("Python 3.11", "Python three point eleven"),
        ("Boeing 747", "Boeing seven forty-seven"),
        ("RTX 4090", "RTX forty ninety"),
        ("HTTP 404", "HTTP four oh four"),
        ("1,234", "one thousand two hundred thirty-four"),
        ("007", "zero zero seven"),
        ("MP3", "MP three"),
    ],
)
def test_counts(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10–12 items", "ten to twelve items"),
        ("10 - 12 items", "ten to twelve items"),
        ("-5 and +5", "minus five and plus five"),
        ("~50 people", "about fifty people"),
        ("<5 or >10", "less than five or greater than ten"),
        ("a < b", "a less than b"),
        ("#5 on the list", "number five on the list"),
        ("#hashtag", "hashtag hashtag"),
        ("@user", "at user"),
        ("5+ years", "five plus years"),
        ("B- and A+", "B minus and eh plus"),
        ("a -> b", "a to b"),
        ("use -m and --help", "use dash m and dash dash help"),
    ],
)
def test_signs_between_and_in_front(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("and/or", "and or"),
        ("yes/no", "yes slash no"),
        ("TCP/IP", "TCP IP"),
        ("snake_case", "snake case"),
        ("foo.bar", "foo dot bar"),
        ("$HOME", "dollar HOME"),
        ("Tom & Jerry", "Tom and Jerry"),
        ("50 % off", "fifty percent off"),
        ("5★", "five stars"),
    ],
)
def test_signs(written: str, said: str) -> None:
    assert spoken(written) == said
