"""What is left of a word when the rules are done."""

from __future__ import annotations

import pytest

from voxtral_voice.engines.text.tidy import tidy


@pytest.mark.parametrize(
    ("left", "tidied"),
    [
        ("Wow!!!", "Wow!"),
        ("Really?!?!", "Really?"),
        ("Wait...", "Wait…"),
        ("है।।", "है."),
        ("U.K.,", "U.K.,"),
        (" five  ,", "five,"),
        ("( five )", "(five)"),
        ('" five "', '"five"'),
        (" ten -year-old", "ten-year-old"),
        ("GPT- four ", "GPT four"),
        ("-", "—"),
        ("--", "—"),
        ("'quoted'", "quoted"),
        ("don't", "don't"),
        ("'em", "'em"),
        ("#*|~^", "."),
        ("<>{}[]", ""),
        ("()", ""),
        ("五 元 。", "五元。"),
        ("x⁴ ₂", "x"),
        ("\u093a", ""),
    ],
)
def test_tidy(left: str, tidied: str) -> None:
    assert tidy(left) == tidied
