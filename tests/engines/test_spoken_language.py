"""Letters tell a language where one alone is written so."""

from __future__ import annotations

import pytest

from voxtral_voice.engines.spoken_language import LANGUAGES, language_of


@pytest.mark.parametrize(
    ("text", "told", "language"),
    [
        ("Good day", "fr", "fr"),  # it was told
        ("Good day", None, ""),  # Latin letters are of many
        ("", None, ""),
        ("12 + 3", None, ""),
        ("नमस्ते", None, "hi"),
        ("मेरा laptop ठीक करो please", None, ""),  # as many of one as of the other
        ("मुझे बताइए ok", None, "hi"),
        ("नमस्ते", "pl", "hi"),  # a language that the model does not know
        ("dzień dobry", "pl", ""),
        ("日本語です", None, "ja"),
        ("你好吗", None, "zh"),
        ("안녕하세요", None, "ko"),
        ("Привет", None, "ru"),
        ("مرحبا", None, "ar"),
    ],
)
def test_language(text: str, told: str | None, language: str) -> None:
    assert language_of(text, told) == language
    assert language in ("", *LANGUAGES)
