"""English sums and fractions."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2+2=4", "two plus two equals four"),
        ("3×4", "three times four"),
        ("5 - 3 = 2", "five minus three equals two"),
        ("10-5=5", "ten minus five equals five"),
        ("6/2=3", "six divided by two equals three"),
        ("10 / 2", "ten divided by two"),
        ("2 * 3", "two times three"),
        ("x² + y²", "x squared plus y squared"),
        ("x^2 + y^3 = z^n", "x squared plus y cubed equals z to the power of n"),
        ("2^10", "two to the power of ten"),
        ("10⁻³", "ten to the power of minus three"),
        ("6.02×10²³", "six point zero two times ten to the power of twenty-three"),
        ("1.5e-6", "one point five times ten to the power of minus six"),
        ("E=mc²", "E equals m c squared"),
        ("√16", "the square root of sixteen"),
        ("x <= 5", "x less than or equal to five"),
        ("a != b", "a is not equal to b"),
        ("a == b", "a equals b"),
        ("3 ÷ 2", "three divided by two"),
    ],
)
def test_sums(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1/2", "one half"),
        ("3/4", "three quarters"),
        ("2/3", "two thirds"),
        ("7/10", "seven out of ten"),
        ("5/16", "five sixteenths"),
        ("120/80", "one hundred twenty over eighty"),
        ("½ cup", "one half cup"),
        ("2½ cups", "two and a half cups"),
        ("2 1/2 tsp", "two and a half teaspoons"),
        ("1/3 tsp", "one third teaspoon"),
        ("11/23", "November twenty-third"),
        ("word¹", "word"),
    ],
)
def test_fractions(written: str, said: str) -> None:
    assert spoken(written) == said
