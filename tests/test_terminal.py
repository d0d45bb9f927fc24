"""What a terminal gets of a stranger's text."""

from __future__ import annotations

import pytest

from voxtral_voice.terminal import printable


@pytest.mark.parametrize(
    ("line", "shown_as"),
    [
        ("नमस्ते, é 你好 \\n 'x'", "नमस्ते, é 你好 \\n 'x'"),
        ("\x1b[31m\x07\r\x7f\x9b", r"\x1b[31m\x07\r\x7f\x9b"),
        ("\ud800\u202e\u2028", r"\ud800\u202e\u2028"),
    ],
)
def test_what_would_change_the_terminal_is_escaped(line: str, shown_as: str) -> None:
    assert printable(line) == shown_as
    assert printable(line).encode()


def test_a_long_text_is_cut() -> None:
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abcdefg", 6) == "abcde…"
