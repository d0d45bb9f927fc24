"""Letters tell a language where one alone is written so."""

from __future__ import annotations

import pytest

from voxtral_voice.engines.spoken_language import LANGUAGES, language_of, language_of_text


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


@pytest.mark.parametrize(
    ("text", "told", "language"),
    [
        ("", None, ""),
        ("12 + 3 😀", "hi", "hi"),  # no letters
        ("12 + 3", None, ""),
        ("Good morning!", None, "en"),
        ("Alright then, folks.", None, ""),
        ("Alright then, folks.", "en-GB", "en"),
        ("Alright then, folks.", "hi", "en"),  # not written as Hindi is
        ("Alright then, folks.", "ja", "en"),
        ("नमस्ते, आप कैसे हैं?", "en", "hi"),
        ("मेरा laptop ठीक करो", "en", "hi"),
        ("The word नमस्ते means hello.", "hi", "en"),
        ("これはペンです", "zh", "ja"),
        ("東京", "ja", "ja"),
        ("北京", None, "zh"),
        ("你好，我很好。", "en", "zh"),
        ("안녕하세요", "en", "ko"),
        ("Добрый день", "en", "ru"),
        ("Καλημέρα", "en", "el"),
        ("ሰላም", "am", "am"),  # a script that is in no table
        ("مرحبا بك", "en", "ar"),
        ("Claro, puedo ayudarte con eso.", "en", "es"),
        ("¡Hola! ¿Qué tal?", None, "es"),
        ("Bien sûr, je peux vous aider.", "en", "fr"),
        ("Certo, posso aiutarti con questo.", "en", "it"),
        ("Claro, você pode fazer isso.", "es", "pt"),
        ("Guten Tag, wie kann ich helfen?", "en", "de"),
        ("Natuurlijk, ik kan je helpen.", "en", "nl"),
        ("Sure, I can help you with that.", "es", "en"),
        ("Sure, I can help you with that.", "hi", "en"),
        ("I'm fine, it’s nothing.", "fr", "en"),
        ("Hola.", "en", "en"),  # one word is not enough against what was told
        ("Hola.", None, "es"),
        ("Dzień dobry, jak się masz?", "pl", "pl"),
        ("No.", "it", "it"),
    ],
)
def test_language_of_what_is_to_be_spoken(text: str, told: str | None, language: str) -> None:
    assert language_of_text(text, told) == language
