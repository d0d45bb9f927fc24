"""What is only there for the eye goes."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken
from voxtral_voice.engines.text import as_spoken
from voxtral_voice.engines.text.marks import without_marks


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("some **bold**, *it*, _x_, ***y***, ~~z~~, ==w==", "some bold, it, x, y, z, w"),
        ("2*3*4, 2 * 3, snake_case, __init__, a==b", "2*3*4, 2 * 3, snake_case, init, a==b"),
        ("[the docs](https://a.b/c_(d)) ![a cat](x.png) [a][1]", "the docs a cat a"),
        ("[a [b](c)](d) [[[", "[a b](d) [[["),
        ("said[1] so [12] far[^note] [1, 2]", "said so [12] far [1, 2]"),
        ("<b>bo</b>ld a<br>b <https://x.y/z> <!-- no --> 3 < 5", "bold a, b https://x.y/z  3 < 5"),
        ("है[1] किया।[2] है<br>फिर", "है किया। है, फिर"),
        ("&lt;a&gt; &amp; &#39;b&#x27; &nosuch; AT&T", "<a> & 'b' &nosuch; AT&T"),
        ("`code` and ``more``", "code and more"),
        (r"\*not bold\*", "*not bold*"),
        ("hi 👨‍👩‍👧 1️⃣ 🇮🇳 👍🏽 ❤️ ok", "hi  1    ok"),
        ("a\u200bb\u202ec\x07d\u00ade", "abcde"),
        ("क्‍ष क्‌ष", "क्‍ष क्‌ष"),
        ("𝐇𝐢 ａｂ ﬁ ① ٤٢ ४२", "Hi ab fi 1 42 42"),
        ("‘a’ – “b”", "'a' – “b”"),
    ],
)
def test_inside_a_line(written: str, left: str) -> None:
    assert without_marks(written).text == left


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("# A title\nText", "A title. Text"),
        ("Title\n=====\nText", "Title. Text"),
        ("- a\n* b\n+ c, \n• d", "a. b. c, d"),
        ("1. one\n2) two", "one. one. two. two"),
        ("- [ ] to do\n- [x] done\n", "to do. done."),
        ("> quoted\n> > twice", "quoted twice"),
        ("One\n\nTwo", "One. Two"),
        ("One\nTwo", "One Two"),
        ("a\n---\nb", "a. b"),
        ("a\n\n[x]: https://y.z\n", "a."),
        ("a\n```py\nx = 1\n```\nb", "a b"),
        ("a\n~~~\nx\n```\ny", "a"),
        ("```x = 1```\nb", "b"),
        ("|a|b|\n|--|--|\n|1|2|\n\nend", "end"),
        ("a | b\n--|--\n1 | 2\nend", "end"),
    ],
)
def test_blocks(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize("written", ["", " \n ", "😀", "**", "```\ncode\n```", "|a|b|", "\u200b", "---", "<!-- x -->"])
def test_nothing_to_say(written: str) -> None:
    assert spoken(written) == ""


def test_what_is_left_knows_its_token() -> None:
    marked = without_marks("one **two** [three four](x) <b>five</b>")
    places = {c: token for c, token in zip(marked.text, marked.tokens, strict=True) if c.isalpha()}
    assert marked.text == "one two three four five"
    assert [places[c] for c in "nwhuv"] == [0, 1, 2, 3, 4]


def test_each_token_says_its_own_words() -> None:
    said = as_spoken("**See** [5 km](x), 😀 at 5 pm.", "en")
    assert [(one.written, one.spoken) for one in said] == [
        ("**See**", "See"),
        ("[5", "five"),
        ("km](x),", "kilometers,"),
        ("😀", ""),
        ("at", "at"),
        ("5", "five"),
        ("pm.", "PM."),
    ]
