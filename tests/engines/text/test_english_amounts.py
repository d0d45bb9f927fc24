"""English money, percent and units."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("$1", "one dollar"),
        ("$0.50", "fifty cents"),
        ("$1.01", "one dollar and one cent"),
        ("£20", "twenty pounds"),
        ("£1.20", "one pound and twenty pence"),
        ("€1.2M", "one point two million euros"),
        ("$5 million", "five million dollars"),
        ("$5-10 million", "five to ten million dollars"),
        ("₹1,00,000", "one hundred thousand rupees"),
        ("₹5 lakh", "five lakh rupees"),
        ("$20/month", "twenty dollars per month"),
        ("$1,200/mo", "one thousand two hundred dollars per month"),
        ("20 USD", "twenty dollars"),
        ("USD 20", "twenty dollars"),
        ("Rs. 500", "five hundred rupees"),
        ("Rs 500/-", "five hundred rupees"),
        ("3,50 €", "three euros and fifty cents"),
        ("50¢", "fifty cents"),
        ("$ 5", "five dollars"),
        ("-$5", "minus five dollars"),
        ("$-5", "minus five dollars"),
        ("$-5.50 million", "minus five point five zero million dollars"),
        ("$1.2345", "one point two three four five dollars"),
    ],
)
def test_money(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("50%", "fifty percent"),
        ("10-20%", "ten to twenty percent"),
        ("3.5 %", "three point five percent"),
    ],
)
def test_percent(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5 km", "five kilometers"),
        ("1 km", "one kilometer"),
        ("100 km/h", "one hundred kilometers per hour"),
        ("16GB", "sixteen gigabytes"),
        ("72°F", "seventy-two degrees Fahrenheit"),
        ("-5°C", "minus five degrees Celsius"),
        ("5 m²", "five square meters"),
        ("10-km run", "ten kilometer run"),
        ("5'10\"", "five foot ten"),
        ("6' tall", "six feet tall"),
        ('27" monitor', "twenty-seven inch monitor"),
        ('27" wide', "twenty-seven inches wide"),
        ("2 mi. away", "two miles away"),
        ("5 in the morning", "five in the morning"),
        ("km/h", "kilometers per hour"),
    ],
)
def test_units(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("100K followers", "one hundred thousand followers"),
        ("10k users", "ten thousand users"),
        ("4K video", "four K video"),
        ("7B model", "seven B model"),
        ("1.5M users", "one point five million users"),
        ("3M people", "three million people"),
    ],
)
def test_scaled_numbers(written: str, said: str) -> None:
    assert spoken(written) == said
