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
        ("Alright, folks.", None, ""),
        ("Alright, folks.", "en-GB", "en"),
        ("Alright, folks.", "hi", "en"),  # not written as Hindi is
        ("Alright, folks.", "ja", "en"),
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
        # Hindi with English words in it, and the other way round
        ("मैंने laptop order कर दिया है", None, "hi"),
        ("मैंने laptop order कर दिया है", "hi", "hi"),
        ("मैंने laptop order कर दिया है", "es", "hi"),
        ("मेरा meeting schedule change हो गया है", None, "hi"),
        ("कल 10:30 बजे WhatsApp call करते हैं", "en", "hi"),
        ("मेरा laptop screen display broken है", "en", "hi"),  # its grammar is Hindi
        ("The word है means is.", "hi", "en"),
        ("laptop नमस्ते", "en", "en"),  # as many of each
        ("laptop नमस्ते दुनिया", "en", "hi"),
        ("5000रुपये", "en", "hi"),
        ("Mera laptop order kar diya hai", "hi", "en"),
        ("Aap kaise hain?", None, ""),
        # a word or two that are names or the same in both
        ("No.", None, ""),
        ("No.", "en", "en"),
        ("Come on!", "en", "en"),
        ("Come on!", None, "en"),
        ("No problem.", "en", "en"),
        ("No way!", "en", "en"),
        ("Come back.", None, "en"),
        ("Los Angeles", None, ""),
        ("Los Angeles, Las Vegas, El Paso", "en", "en"),
        ("As soon as possible", None, ""),
        ("As always.", "en", "en"),
        ("Plus one", None, ""),
        ("Van Gogh", None, ""),
        ("Vincent van der Meer", "en", "en"),
        ("Oscar de la Hoya", "en", "en"),
        ("El Niño", "en", "en"),
        ("São Paulo", "en", "en"),
        ("Mon, Tue, Wed", "en", "en"),
        ("No one knows.", None, "en"),
        ("Van is leaving.", "en", "en"),
        ("La la la", None, ""),
        ("Die, die, die!", "en", "en"),
        ("Plan A, E or O", "en", "en"),
        ("C'est la vie.", "en", "en"),
        ("Bonjour", "en", "en"),
        ("Bonjour", "fr", "fr"),
        ("Bonjour", None, "fr"),
        # numbers
        ("1e999", None, ""),
        ("1e999", "en", "en"),
        ("1e999", "hi", "hi"),
        ("3o 4e 5y", "en", "en"),
        # clear evidence against what was told
        ("Il y a trois chats.", None, "fr"),
        ("Il y a trois chats.", "en", "fr"),
        ("Qu’est-ce que c’est ?", "en", "fr"),
        ("Merci beaucoup.", "en", "fr"),
        ("Muchas gracias.", "en", "es"),
        ("¡Hola!", "en", "es"),
        ("Grazie mille.", "en", "it"),
        ("La capitale d'Italia è Roma.", "en", "it"),
        ("Muito obrigado.", "en", "pt"),
        ("Isso e\u0301 meu.", "en", "pt"),  # letters and accents apart
        ("Nein, danke.", "en", "de"),
        ("Het regent en ik ga niet mee.", "en", "nl"),
        ("Come on!", "es", "en"),
        # characters without spaces
        ("コーヒー", "en", "ja"),
        ("My name is 山田太郎", "zh", "en"),
    ],
)
def test_language_of_what_is_to_be_spoken(text: str, told: str | None, language: str) -> None:
    assert language_of_text(text, told) == language
