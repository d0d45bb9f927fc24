"""Hindi and English in one sentence."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("मुझे 2 coffee चाहिए", "मुझे दो coffee चाहिए"),
        ("call 5 people को", "call five people को"),
        ("iPhone 15 लो", "iPhone fifteen लो"),
        ("balance 500 है", "balance पाँच सौ है"),
        ("GDP 7.5% है", "GDP साढ़े सात प्रतिशत है"),
        ("Dr. Singh 5 बजे आए", "Doctor Singh पाँच बजे आए"),
        ("OTP 482913 डालो", "OTP four eight two nine one three डालो"),
        ("हाँ, 5 people", "हाँ, five people"),
        ("1. पहला\n2. `x.json`", "एक. पहला. दो. x dot Jason"),
        ("मेरा MRP ₹999.", "मेरा MRP नौ सौ निन्यानवे रुपये."),
        ("I have 42 apples", "I have forty-two apples"),
        ("42", "बयालीस"),
    ],
)
def test_a_number_is_said_in_the_language_of_the_words_around_it(written: str, said: str) -> None:
    assert spoken(written, "hi") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ram@example.com पर", "ram at example dot com पर"),
        ("https://example.com/docs देखो", "example dot com slash docs देखो"),
        ("config.py में", "config dot pie में"),
    ],
)
def test_addresses_in_hindi_are_english(written: str, said: str) -> None:
    assert spoken(written, "hi") == said
