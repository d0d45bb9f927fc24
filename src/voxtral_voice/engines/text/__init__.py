"""Written text to the words that a person would say.

Knows: the order of the work. Does not know: phonemes, voices, audio, sessions.

What is only there for the eye goes (`marks`); each word's language is found (`scripts`); the rules of each language
turn its numbers, signs and short forms into words (`english`, `hindi`, `romance`, `east_asian`); what is left over is
tidied.
"""

from __future__ import annotations

from collections.abc import Sequence

from voxtral_voice.engines.text.east_asian import chinese_rules, japanese_rules
from voxtral_voice.engines.text.english import english_rules
from voxtral_voice.engines.text.hindi import hindi_rules
from voxtral_voice.engines.text.marks import without_marks
from voxtral_voice.engines.text.romance import LANGUAGES as ROMANCE
from voxtral_voice.engines.text.romance import romance_rules
from voxtral_voice.engines.text.rules import Rule, Work
from voxtral_voice.engines.text.said import Said
from voxtral_voice.engines.text.scripts import languages_of
from voxtral_voice.engines.text.tidy import tidy

__all__ = ["Said", "as_spoken"]


def as_spoken(text: str, language: str) -> tuple[Said, ...]:
    """text: as written, of any length. language: ISO 639-1 code or BCP 47 tag of the text, for what its letters do not
    tell. One Said per white-space token of the text, in order. Takes time in proportion to the length of the text."""
    written = text.split()
    marked = without_marks(text)
    work = Work(marked)
    code = language.split("-")[0].lower()
    kept = _by_token(marked.text, marked.tokens, len(written))
    languages = languages_of(kept, code)
    for own in dict.fromkeys(languages):
        work.apply(_rules(own, language), lambda token, own=own: token >= 0 and languages[token] == own)  # type: ignore[misc]
    said = work.said(len(written))
    return tuple(Said(word, tidy(out)) for word, out in zip(written, said, strict=True))


def _by_token(text: str, tokens: Sequence[int], count: int) -> list[str]:
    words: list[list[str]] = [[] for _ in range(count)]
    for c, token in zip(text, tokens, strict=True):
        if token >= 0 and not c.isspace():
            words[token].append(c)
    return ["".join(letters) for letters in words]


def _rules(own: str, text_language: str) -> tuple[Rule, ...]:
    if own == "hi":
        return hindi_rules()
    if own == "zh":
        return chinese_rules()
    if own == "ja":
        return japanese_rules()
    if own in ROMANCE:
        return romance_rules(own)
    return english_rules(day_first=text_language.lower() == "en-gb")
