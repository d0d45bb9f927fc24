from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.conversation.phrases import LONGEST_CHARS, SLACK, STAGES, Cut, PhraseSplitter


def cuts(text: str, size: int = 3) -> list[Cut]:
    splitter = PhraseSplitter()
    made: list[Cut] = []
    for i in range(0, len(text), size):
        made += splitter.feed(text[i : i + size])
    return made + splitter.finish()


def split(text: str, size: int = 3) -> list[str]:
    return [cut.text for cut in cuts(text, size)]


@pytest.mark.parametrize(
    "phrases",
    [
        ["Hello there.", " How are you today?"],
        ["Of course,", " I can help you with that,", " if you like."],
        ["Well, yes."],
        ["Surely!", " Dr. Smith lives at No. 5 Elm St. in Springfield.", " He is in."],
        ["It costs $3.50,", " and the meeting is at 10:30 on 1,000 screens."],
        ["J. R. R. Tolkien wrote it.", " It is long."],
        ["So do I.", " You too?"],
        ["1. Take the flour.", " 2. Add water slowly."],
        ["She said “Stop!”", " and then she left."],
        ["One line\n", "another line of words"],
        ["**Hello there!**", " _How are you?_", " «Fine, it seems.»", " (Good.)"],
        ["I think you should take ", "the train because it is much faster."],
        ["You can make it ", "with a spoon."],
        ["The train is late ", "because it snows."],
        ["The largest ocean ", "is the Pacific."],
        ["Bees that make honey ", "can sting."],
        ["One two three four five six ", "seven eight nine ten."],
        ["They know stories by F. Scott Fitzgerald."],
        ["You can make tea ", "or wine."],
        ["One day you gave us them all."],
        ["Charles Dickens wrote long novels ", "about the poor people."],
        ["The the the the the the ", "the the end."],
        [" "],
        [],
    ],
)
def test_where_a_voice_may_pause(phrases: list[str]) -> None:
    for size in (1, 3, 1000):
        assert split("".join(phrases), size) == phrases


@pytest.mark.parametrize(
    "phrases",
    [
        ["पेरिस फ्रांस की राजधानी है।", " यह बहुत सुंदर शहर है॥", " सच में।"],
        ["मैं ठीक हूँ।", "आप कैसे हैं?", " बहुत धन्यवाद!"],  # a danda needs no space
        ["¡Buenos días!", " ¿Cómo está usted?", " El Sr. García vive en la Av. Central,", " y trabaja mucho."],
        ["Bonjour !", " Comment ça va ?", " Très bien\u202f! Mme. Dupont est là."],
        ["La capitale della Francia ", "è Parigi."],
        ["Buongiorno!", " Il sig. Rossi, p.es. Mario,", " è qui."],
        ["A capital do Brasil ", "é Brasília."],
        ["Obrigado!", " A Sra. Silva mora na Av. Brasil."],
        ["こんにちは。", "お元気ですか？", "私は元気です、ありがとうございます。", "では、始めましょう。"],
        ["彼は「もちろんです。」", "と言いました。"],
        ["私は東京の大学で経済学を", "勉強しています日本語の先生になりたいです"],  # where hiragana end
        ["人工智能正在改变我们的生", "活方式和工作方式未来还会更多"],
        ["很高兴认识你！", "你今天过得怎么样，", "我们一起去吃饭吧。", "好的，没有问题。"],
        ["很高兴认识你!", "你今天过得怎么样?"],  # marks of another script, without spaces
        ["안녕하세요.", " 저는 잘 지내요."],
    ],
)
def test_where_a_voice_may_pause_in_other_languages(phrases: list[str]) -> None:
    for size in (1, 3, 1000):
        assert split("".join(phrases), size) == phrases


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Yes. I am sure of it.", "Yes. I am sure of it."),
        ("No! Never do that.", "No! Never do that."),
        ("Sí, claro. Ahora mismo.", "Sí, claro."),
        ("हाँ। मैं कर सकता हूँ।", "हाँ। मैं कर सकता हूँ।"),
        ("はい。わかりました。", "はい。わかりました。"),
        ("🙂🙂🙂🙂🙂🙂. Hello there.", "🙂🙂🙂🙂🙂🙂. Hello there."),
        ("42. That is all.", "42. That is all."),  # as in a list
        ("It is 42. That is all.", "It is 42."),
        ("Yes.", "Yes."),
    ],
)
def test_what_would_sound_clipped_alone_joins_the_next(text: str, first: str) -> None:
    assert split(text)[0] == split(text, 1000)[0] == first


def test_phrases_grow() -> None:
    assert split(
        "Good morning, my friend, I am here, as I said I would be, today, in the end, for you all, my friend."
    ) == [
        "Good morning,",
        " my friend, I am here,",
        " as I said I would be,",
        " today, in the end, for you all,",
        " my friend.",
    ]
    lengths = [len(phrase.split()) for phrase in split("hop " * 100)]
    assert lengths == [6, 12, 24, 24, 24, 10]


@pytest.mark.parametrize(("joiner", "words"), [("because", 20), ("quietly", 24)])
def test_a_later_phrase_is_cut_only_when_it_is_long(joiner: str, words: int) -> None:
    text = "Yes, well, it is so, as I said. " + "hop " * 20 + joiner + " skip" * 20
    *_, later, rest = split(text)
    assert len(later.split()) == words
    assert rest.split()[-1] == "skip"


def test_a_short_sentence_joins_the_next_one() -> None:
    assert split("No. 5 is here. Yes. That is right. Fine. It is. Good.") == [
        "No. 5 is here.", " Yes. That is right.", " Fine. It is.", " Good.",
    ]  # fmt: skip


CODE = "```python\nprint('Hello there. How are you?')\n\n| x | y\n```\n"
TABLE = "| a | b |\n|---|---|\n  | Hello there. How are you? | 2 |\n"


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (f"Here it is:\n{CODE}That is all of it.", ["Here it is:", "That is all of it."]),
        (f"Here it is\n\n{CODE}{CODE}\nThat is all of it.", ["Here it is\n\n", "\nThat is all of it."]),
        (f"Ok\n{CODE}", ["Ok\n"]),
        (CODE, []),
        (CODE.removesuffix("```\n"), []),  # it never ends
        (CODE.replace("```", "~~~"), []),
        ("   ```\nx```\n````\nHello there.", ["Hello there."]),
        ("```\n" + "a b " * 500 + "\n```\nHello there.", ["Hello there."]),
        ("Use ```x``` here, please.", ["Use ```x``` here,", " please."]),  # in the line
        (f"{TABLE}That is all of it.", ["That is all of it."]),
        (f"Look at this table\n{TABLE}\n{TABLE}", ["Look at this table\n"]),
        ("| a | b", []),
        ("Either a | b or c.", ["Either a | b ", "or c."]),
        ("Well, yes, | a |", ["Well, yes,", " | a |"]),
        ("👍", []),
        ("Hello there.\n\n---\n\nHow are you?", ["Hello there.", "\n\n---\n\nHow are you?"]),
        ("?! ... !!", []),
    ],
)
def test_what_nobody_speaks(text: str, spoken: list[str]) -> None:
    for size in (1, 3, 1000):
        made = cuts(text, size)
        assert "".join(cut.text for cut in made) == text
        assert [cut.text for cut in made if not cut.silent] == spoken


@pytest.mark.parametrize("text", ["a" * 100_000, "." * 100_000, "a, " * 1_000 + "b" * 2_000, "字" * 10_000])
def test_odd_text_is_cut_by_length_and_costs_no_more_than_it(text: str) -> None:
    phrases = split(text, len(text))
    assert "".join(phrases) == text
    assert max(map(len, phrases)) <= LONGEST_CHARS


def cost_s(text: str) -> float:
    began = time.thread_time()
    PhraseSplitter().feed(text)
    return time.thread_time() - began


@pytest.mark.parametrize("unit", ["a", ".", ",'", "\n", " ", "\"'.", "\n\t", "```\n", "|\n", "。"])
def test_a_run_is_not_tried_from_each_of_its_characters(unit: str) -> None:
    """That would cost its square, some 0.4 s here instead of 0.01 s."""
    assert min(cost_s(unit * (100_000 // len(unit))) for _ in range(5)) < 0.15


def test_nothing_in_nothing_out() -> None:
    assert split("") == []


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab .,!?।\n1;:\"'。、字あ`|~*»A")), st.integers(1, 7))
def test_phrases_concatenate_to_the_text_however_it_arrives(text: str, size: int) -> None:
    for text_so_far in (text, text.replace("`", "```").replace("a", "because")):
        some, whole = cuts(text_so_far, size), cuts(text_so_far, len(text_so_far) or 1)
        assert "".join(cut.text for cut in some) == text_so_far
        assert [cut for cut in some if not cut.silent] == [cut for cut in whole if not cut.silent]


@given(st.lists(st.text("abc", min_size=1, max_size=5), max_size=120))
def test_no_phrase_without_marks_is_longer_than_the_limit(words: list[str]) -> None:
    phrases = split(" ".join(words))
    for phrase, limits in zip(phrases, STAGES + STAGES[-1:] * len(phrases), strict=False):
        assert len(phrase.split()) <= limits.longest + 1


@given(st.text("字あア々", min_size=1, max_size=200))
def test_no_phrase_without_spaces_is_longer_than_the_limit(text: str) -> None:
    phrases = split(text)
    for phrase, limits in zip(phrases, STAGES + STAGES[-1:] * len(phrases), strict=False):
        assert len(phrase) / 2 <= limits.longest + SLACK


def test_what_is_in_no_phrase_yet_is_pending() -> None:
    splitter = PhraseSplitter()
    assert [cut.text for cut in splitter.feed("Hello there. How are")] == ["Hello there."]
    assert splitter.pending == " How are"
    assert splitter.finish() == [Cut(" How are")]
    assert splitter.pending == ""
