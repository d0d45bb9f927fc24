"""Which language a text is in: of a turn, where the model that heard it does not tell, and of a reply.

Knows: what Voxtral hears, scripts, the small words of languages with Latin letters. Does not know: audio, models,
grammar.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

LANGUAGES: Final = ("en", "es", "fr", "de", "ru", "zh", "ja", "it", "pt", "nl", "ar", "hi", "ko")
"""What Voxtral Realtime hears, by its card. It finds out by itself which one it is, and does not tell."""
_SCRIPTS: Final = {
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "CYRILLIC": "ru",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
}
"""First word of a letter's Unicode name -> the one language of the 13 that is written so."""


def language_of(text: str, told: str | None) -> str:
    """ISO 639-1. What the model was told, if it knows that language; else what the letters say, "" for Latin ones."""
    if told in LANGUAGES:
        return told
    names = [unicodedata.name(letter, "").split(" ", 1)[0] for letter in text if letter.isalpha()]
    spoken = [_SCRIPTS[name] for name in names if name in _SCRIPTS]
    if 2 * len(spoken) <= len(names):
        return ""
    return "ja" if "ja" in spoken else max(set(spoken), key=spoken.count)


# --- of a reply -------------------------------------------------------------------------------------------------

_OTHER_SCRIPTS: Final = {
    "BENGALI": "bn", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa", "HEBREW": "he", "KANNADA": "kn",
    "MALAYALAM": "ml", "TAMIL": "ta", "TELUGU": "te", "THAI": "th",
}  # fmt: skip
"""As `_SCRIPTS`, of languages that Voxtral does not hear."""
_SMALL_WORDS: Final = {
    "en": "the and of to is are was were you your it that this with for not what how my we they have has can will would"
    " there here from or at i i'm it's don't yes hello please thanks thank good sure okay about which when help"
    " do does did be been if so he she his her its our their let's well great in",
    "es": "el los las y es un una que de en por para con no se su lo como más está son del al pero hay muy qué cómo"
    " cuándo dónde puedo puede usted gracias hola sí buenos buenas días claro también este esta eso yo tú mi la",
    "fr": "le la les et est un une des que qui de dans pour avec pas je vous nous il elle ce cette sur au aux du en"
    " sont mais très où merci bonjour oui non c'est j'ai d'accord votre mon ma ne plus aussi peut être suis salut",
    "it": "il lo la gli e è un una di che per con non si del della dei nel sono come più anche questo questa ma molto"
    " perché dove grazie ciao buongiorno sì io tu lei mio posso può c'è le i da al alla ho hai ha in",
    "pt": "o os as e é um uma de que para com não se do da dos das no na em por como mais está são mas muito você"
    " obrigado obrigada olá sim bom dia isso este esta eu meu minha também pode posso ao à foi tem onde",
    "de": "der die das und ist ein eine nicht ich sie wir mit für auf den dem zu von es auch wie was ja nein danke"
    " hallo guten im sind haben kann sehr aber oder bitte gut in",
    "nl": "de het een en is van ik je niet dat met voor op te zijn ook maar wat hoe ja nee bedankt hallo goed kan heeft"
    " deze dit wij aan er in",
}
"""Of the languages with Latin letters that are heard: words that hardly a sentence is without."""
_WORDS_OF: Final = {language: frozenset(words.split()) for language, words in _SMALL_WORDS.items()}
_SIGNS_OF: Final = {"es": frozenset("ñ¿¡"), "pt": frozenset("ãõ"), "fr": frozenset("œêûù"), "de": frozenset("ß")}
"""Of one of them alone; each counts as a word."""
_WORD: Final = re.compile(r"[^\W\d_]++(?:['’][^\W\d_]++)*+")
_NOT_LATIN: Final = frozenset({*_SCRIPTS.values(), *_OTHER_SCRIPTS.values()})
SHOWN: Final = 2
"""So many more words of another language than of the one that was told make it that one. A single one may be a name, or
the same word in both."""


def language_of_text(text: str, told: str | None) -> str:
    """ISO 639-1 of words to be spoken; "" when nothing shows it and nothing was told.

    The script decides first: Devanagari is Hindi, kana Japanese, Han characters Chinese unless Japanese was told, and
    so on. Of Latin letters the small words decide when they speak clearly against what was told; else that counts, if
    it is written so, and else they are English, as in the mouth of a Hindi or Japanese speaker.
    """
    told = (told or "").partition("-")[0].lower()
    script, kana = _main_script(text)
    if not script:
        return told
    if script == "LATIN":
        return _latin_language(text, told)
    if script == "CJK":
        return "ja" if kana or told == "ja" else "zh"
    return _SCRIPTS.get(script) or _OTHER_SCRIPTS.get(script) or told


def _main_script(text: str) -> tuple[str, bool]:
    """What most letters are written in, kana as "CJK"; and whether there are kana."""
    counts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            counts[unicodedata.name(letter, "").split(" ", 1)[0]] += 1
    kana = counts.pop("HIRAGANA", 0) + counts.pop("KATAKANA", 0)
    counts["CJK"] += kana
    script, count = counts.most_common(1)[0]
    return (script if count else ""), kana > 0


def _latin_language(text: str, told: str) -> str:
    words = [word.group().replace("’", "'").lower() for word in _WORD.finditer(text)]
    scores = {
        language: sum(word in known for word in words) + sum(c in _SIGNS_OF.get(language, ()) for c in text.lower())
        for language, known in _WORDS_OF.items()
    }
    own = told if told and told not in _NOT_LATIN else ""
    usual = own or ("en" if told else "")
    best = max(scores, key=lambda language: (scores[language], language == usual))
    return best if scores[best] >= scores.get(usual, 0) + (SHOWN if usual else 1) else usual
