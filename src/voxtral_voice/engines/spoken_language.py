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
    " do does did be been if so he she his her its our their let's well great in a an no come on back one as die son"
    " down up stop me us him them but by just go get out off over more some any all now then too very why who where"
    " could should may must had that's i'll you're we're can't i've two three four five",
    "es": "el los las y es un una que de en por para con no se su lo como más está son del al pero hay muy qué cómo"
    " cuándo dónde puedo puede usted gracias hola sí buenos buenas días claro también este esta eso yo tú mi la a"
    " muchas dos tres cuatro cinco",
    "fr": "le la les et est un une des que qui de dans pour avec pas je vous nous il elle ce cette sur au aux du en"
    " sont mais très où merci bonjour oui non c'est j'ai d'accord votre mon ma ne plus aussi peut être suis salut a y"
    " à l' d' j' qu' n' c' s' beaucoup deux trois quatre cinq",
    "it": "il lo la gli e è un una di che per con non si del della dei nel sono come più anche questo questa ma molto"
    " perché dove grazie ciao buongiorno sì io tu lei mio posso può c'è le i da al alla ho hai ha in a no o l' d'"
    " dell' all' nell' un' mille due tre quattro cinque",
    "pt": "o os as e é um uma de que para com não se do da dos das no na em por como mais está são mas muito você"
    " obrigado obrigada olá sim bom dia isso este esta eu meu minha também pode posso ao à foi tem onde a dois três"
    " quatro cinco",
    "de": "der die das und ist ein eine nicht ich sie wir mit für auf den dem zu von es auch wie was ja nein danke"
    " hallo guten im sind haben kann sehr aber oder bitte gut in zwei drei vier fünf",
    "nl": "de het een en is van ik je niet dat met voor op te zijn ook maar wat hoe ja nee bedankt hallo goed kan heeft"
    " deze dit wij aan er in twee drie vier vijf",
}
"""Of the languages with Latin letters that are heard: words that hardly a sentence is without. "l'" is the beginning of
a word."""
_WORDS_OF: Final = {language: frozenset(words.split()) for language, words in _SMALL_WORDS.items()}
_IN_NAMES: Final = frozenset(
    "de la el los las del der die den van von da do dos di le les du des l' d' a e i o y".split()
)
"""They come into other languages with names ("Los Angeles", "van Gogh"), or are letters ("1 e 2")."""
_SIGNS_OF: Final = {"es": frozenset("¿¡"), "pt": frozenset("ãõ"), "fr": frozenset("œêûù"), "de": frozenset("ß")}
"""Of one of them alone."""
_HINDI_WORDS: Final = frozenset(
    "है हैं हूँ हूं हो था थी थे का की के को में से ने पर और नहीं क्या मैं मैंने मुझे मेरा मेरी मेरे हम आप आपका आपकी"
    " आपके यह ये वह वो कर करो करें करता करती करते दिया गया गई भी तो ही जी हाँ हां कैसे कब कहाँ कल बजे".split()
)
_WORD: Final = re.compile(r"[^\W\d_]++(?:['’][^\W\d_]++)*+")
_DEVANAGARI_WORD: Final = re.compile(r"[\u0900-\u0963\u0970-\u097f]++")
_ASCII_PIECE: Final = re.compile(r"[A-Za-z\d]++")
_NOT_LATIN: Final = frozenset({*_SCRIPTS.values(), *_OTHER_SCRIPTS.values()})
SHOWN: Final = 2.0
"""What another language has to be ahead of the one that was told."""
SHOWN_UNTOLD: Final = 1.0
"""What a language has to have when nothing was told."""


def language_of_text(text: str, told: str | None) -> str:
    """ISO 639-1 of words to be spoken; "" when nothing shows it and nothing was told.

    **The script decides first**, of the most words: Devanagari is Hindi, kana Japanese, Han characters Chinese unless
    Japanese was told, and so on. Of characters that are written without spaces two count as a word. A text with both
    Devanagari and Latin words is in the language of its small words, as Hindi is with English nouns in it; with as many
    of each, in that of the most words. Numbers, and what is grown together with them ("1e9"), decide nothing.

    **Of Latin letters the small words decide.** Each different one counts 1, one that names have, too, 0.5
    (`_IN_NAMES`), and so does a letter of one language alone; Spanish ¿ and ¡ count 1. A language that is `SHOWN` (2)
    ahead of the one told is the text's: one small word never is. Otherwise what was told counts, if it is written so,
    or else English, as in the mouth of a Hindi or Japanese speaker. When nothing was told, it is the one with the most,
    at least `SHOWN_UNTOLD` (1), and none when two have as many.
    """
    told = (told or "").partition("-")[0].lower()
    text = _ASCII_PIECE.sub(_without_numbers, unicodedata.normalize("NFC", text))
    script, kana = _main_script(text)
    if not script:
        return told
    if script == "LATIN":
        return _latin_language(text, told)
    if script == "CJK":
        return "ja" if kana or told == "ja" else "zh"
    return _SCRIPTS.get(script) or _OTHER_SCRIPTS.get(script) or told


def _without_numbers(piece: re.Match[str]) -> str:
    return piece[0] if piece[0].isalpha() else " "


def _main_script(text: str) -> tuple[str, bool]:
    """What most words are written in, kana as "CJK"; and whether there are kana."""
    counts, kana = _words_by_script(text)
    if counts["DEVANAGARI"] and counts["LATIN"]:
        hindi = len(_HINDI_WORDS.intersection(_DEVANAGARI_WORD.findall(text)))
        others = max(_scores(text).values())
        if hindi != others:
            return ("DEVANAGARI" if hindi > others else "LATIN"), kana
    script, count = max(counts.items(), key=lambda item: item[1])
    return (script if count else ""), kana


def _words_by_script(text: str) -> tuple[Counter[str], bool]:
    """A mark (a vowel sign, say) and an apostrophe go on with the word that they are in."""
    halves, kana, before = Counter({"CJK": 0}), False, ""
    for letter in text:
        if before and (letter in "'’" or unicodedata.category(letter).startswith("M")):
            continue
        script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0] if letter.isalpha() else ""
        if script in ("HIRAGANA", "KATAKANA"):
            kana, script = True, "CJK"
        if script == "CJK":
            halves[script] += 1
        elif script and script != before:
            halves[script] += 2
        before = script
    return halves, kana


def _latin_language(text: str, told: str) -> str:
    scores = _scores(text)
    own = told if told and told not in _NOT_LATIN else ""
    usual = own or ("en" if told else "")
    best = max(scores, key=lambda language: scores[language])
    if usual:
        return best if scores[best] >= scores.get(usual, 0) + SHOWN else usual
    alone = list(scores.values()).count(scores[best]) == 1
    return best if alone and scores[best] >= SHOWN_UNTOLD else ""


def _scores(text: str) -> dict[str, float]:
    found = {_small(word[0]) for word in _WORD.finditer(text)}
    signs = frozenset(text.lower())
    return {
        language: sum(0.5 if word in _IN_NAMES else 1.0 for word in found & known)
        + sum(0.5 if sign.isalpha() else 1.0 for sign in signs & _SIGNS_OF.get(language, frozenset()))
        for language, known in _WORDS_OF.items()
    }


def _small(word: str) -> str:
    """As the tables have it: of "l'eau" only "l'"; nothing of a capital that stands alone, which is an initial."""
    word = word.replace("’", "'")
    if len(word) == 1 and word.isupper() and word != "I":
        return ""
    word = word.lower()
    beginning, apostrophe, _ = word.partition("'")
    if not apostrophe or any(word in known for known in _WORDS_OF.values()):
        return word
    return beginning + apostrophe
