"""Abbreviations and Roman numerals in English.

Knows: where a short form stands, and whether its full stop ends the sentence too. Does not know: what it is short for.
"""

from __future__ import annotations

import re
from typing import Final

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.english_numbers import cardinal, ordinal
from voxtral_voice.engines.text.rules import Match, Parts, Rule, one_of, rule

_ROMAN: Final = r"(?=[IVXLC]{1,7}(?![\w']))(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_CHAPTERS: Final = (
    "Chapter|Part|Act|Scene|Volume|Vol\\.|Book|Section|Title|Article|Phase|Stage|Type|Level|Grade|Class|Appendix|Figure|Table|"
    "World War|Super Bowl|Episode|Round|Schedule|Annex"
)


def short_form_rules() -> tuple[Rule, ...]:
    before = one_of(words.BEFORE_NUMBERS)
    return (
        rule(rf"(?i)(?<![\w.])({before})\.\s?(?=[#]?\d)", lambda m: words.BEFORE_NUMBERS[m[1].lower()]),
        rule(r"(?<=[a-z] )(St|Dr|Sq|Ct)(?:\.|(?=\s*[,;)]|\s*$))(?=\s*[,;)]|\s+[a-z]|\s*$)", _behind_name),
        rule(r"(?<=[a-z] )(St|Dr)\.(?=\s+(?:Apt|Suite|Unit|#|It|He|She|They|We|The|I|You|Turn|Then)\b)", _behind_name),
        rule(
            rf"(?<![\w.])({one_of(words.BEFORE_NAMES)})\.\s?(?=[A-Z\"“(]|and\s[A-Z])",
            lambda m: words.BEFORE_NAMES[m[1]],
        ),
        rule(rf"(?<![\w.])({one_of(words.BARE_BEFORE_NAMES)})(?=\s[A-Z][a-z])", lambda m: words.BEFORE_NAMES[m[1]]),
        rule(rf"(?<=[\w,] )({one_of(words.BEHIND_NAMES)})\.(?!\w)", _behind_name),
        rule(rf"(?<![\w.])({one_of([*words.ANYWHERE, *(w.capitalize() for w in words.ANYWHERE)])})\.(?!\w)", _short),
        rule(rf"(?<![\w.])(?=[IVX])({_ROMAN})(?=\s(?:century|centuries)\b)", lambda m: ordinal(roman(m[1]))),
        rule(rf"(?<=\b)({_CHAPTERS})(\s)({_ROMAN})(?![\w'])", _chapter),
        rule(rf"(?<![\w.])([A-Z][a-z]+)(\s)({_ROMAN})(?![\w'])", _ruler),
        rule(
            r"(?<![\w.])(?=[IVX]{2,6}(?![\w']))(X{0,3}(?:IX|IV|V?I{0,3}))(?!\w|\s(?:drip|fluid|line|bag|pole))",
            lambda m: cardinal(roman(m[1])),
        ),
    )


_NEW_SENTENCE: Final = re.compile(
    r"[\"”')]*(?:\s*$|\s*\n|\s+(?:It|He|She|They|We|The|I|You|This|That|Then|But|And|So|In|A|An|If|When|There|What|How|Is|Are|Do)\b)"
)


def _ends_sentence(m: Match) -> bool:
    """The full stop is also that of the sentence."""
    return _NEW_SENTENCE.match(m.string, m.end(), m.end() + 40) is not None


def _behind_name(m: Match) -> str:
    return words.BEHIND_NAMES[m[1]] + ("." if _ends_sentence(m) else "")


def _short(m: Match) -> str | None:
    said = words.ANYWHERE.get(m[1]) or words.ANYWHERE[m[1][0].lower() + m[1][1:]]
    if m[1].lower() in ("min", "max", "sat", "sun", "mar", "temp", "est", "ext") and _ends_sentence(m):
        return None
    follows = m.string[m.end() : m.end() + 4].lstrip()
    starts_anew = m[1] in ("etc", "p.m", "a.m", "P.M", "A.M") and follows[:1].isupper()
    return said + ("." if _ends_sentence(m) or starts_anew else "")


def roman(numeral: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[c] for c in numeral]
    following = [*values[1:], 0]
    return sum(-value if value < after else value for value, after in zip(values, following, strict=True))


def _chapter(m: Match) -> Parts | None:
    n = roman(m[3])
    return (*m[1].replace("Vol.", "volume").split(), cardinal(n)) if n else None


def _ruler(m: Match) -> Parts | None:
    """Henry VIII is the eighth, Rocky IV is four; a lone I, or letters that are short for something, are no number."""
    n = roman(m[3])
    if not n or (m[1] not in words.REGNAL and (m[3] in "I" or set(m[3]) & set("LC") or m[3] in ("V", "X"))):
        return None
    if m[1] in words.REGNAL:
        return None if m[3] == "I" and not _is_after_name(m) else (m[1], f"the {ordinal(n)}")
    return (m[1], cardinal(n))


def _is_after_name(m: Match) -> bool:
    """ "Elizabeth I was", not "Peter I think": a verb of being, a stop or the end follows."""
    return (
        re.match(r"\s*(?:$|[,.;:)]|was|is|of|and|ruled|reigned|had|became|died)", m.string[m.end() : m.end() + 12])
        is not None
    )
