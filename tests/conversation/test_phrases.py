from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.phrases import FIRST, LATER, LONGEST_CHARS, PhraseSplitter


def split(text: str, size: int = 3) -> list[str]:
    splitter = PhraseSplitter()
    phrases: list[str] = []
    for i in range(0, len(text), size):
        phrases += splitter.feed(text[i : i + size])
    return phrases + splitter.finish()


@pytest.mark.parametrize(
    "phrases",
    [
        ["Hello there.", " How are you today?"],
        ["Of course,", " I can help you with that,", " if you like."],
        ["Well, yes."],
        ["Sure!", " Dr. Smith lives at No. 5 Elm St. in Springfield.", " He is in."],
        ["It costs $3.50,", " and the meeting is at 10:30 on 1,000 screens."],
        ["J. R. R. Tolkien wrote it.", " It is long."],
        ["So do I.", " You too?"],
        ["1. Take the flour.", " 2. Add water slowly."],
        ["पेरिस फ्रांस की राजधानी है।", " यह बहुत सुंदर शहर है॥", " सच में।"],
        ["She said “Stop!”", " and then she left."],
        ["One line\n", "another line of words"],
        ["Yes…", " I think so too."],
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
        [" ", "\n"],
    ],
)
def test_where_a_voice_may_pause(phrases: list[str]) -> None:
    text = "".join(phrases)
    expected = phrases if text.strip() else [text]
    for size in (1, 3, 1000):
        assert split(text, size) == expected


def test_a_comma_ends_the_first_phrase_sooner_than_a_later_one() -> None:
    assert split("Good morning, my friend, I am here, as I said I would be, today.") == [
        "Good morning,",
        " my friend, I am here,",
        " as I said I would be,",
        " today.",
    ]


@pytest.mark.parametrize(("joiner", "words"), [("because", 20), ("quietly", 24)])
def test_a_later_phrase_is_cut_only_when_it_is_long(joiner: str, words: int) -> None:
    first, later, rest = split("Yes, well, " + "hop " * 20 + joiner + " skip" * 20)
    assert (first, len(later.split())) == ("Yes, well,", words)
    assert rest.split()[-1] == "skip"


def test_a_short_sentence_joins_the_next_one_but_not_at_the_start() -> None:
    assert split("No. 5 is here. Yes. That is right. Fine.") == ["No. 5 is here.", " Yes. That is right.", " Fine."]


@pytest.mark.parametrize("text", ["a" * 100_000, "." * 100_000, "a, " * 1_000 + "b" * 2_000])
def test_odd_text_is_cut_by_length_and_costs_no_more_than_it(text: str) -> None:
    splitter = PhraseSplitter()
    phrases = [*splitter.feed(text), *splitter.finish()]
    assert "".join(phrases) == text
    assert max(map(len, phrases)) <= LONGEST_CHARS


def cost_s(text: str) -> float:
    began = time.thread_time()
    PhraseSplitter().feed(text)
    return time.thread_time() - began


@pytest.mark.parametrize("unit", ["a", ".", ",'", "\n", " ", "\"'.", "\n\t"])
def test_a_run_is_not_tried_from_each_of_its_characters(unit: str) -> None:
    """That would cost its square, some 0.4 s here instead of 0.01 s."""
    assert min(cost_s(unit * (100_000 // len(unit))) for _ in range(5)) < 0.15


def test_nothing_in_nothing_out() -> None:
    assert split("") == []


@given(st.text(alphabet=st.sampled_from("ab .,!?।\n1;:\"'")), st.integers(1, 7))
def test_phrases_concatenate_to_the_text_however_it_arrives(text: str, size: int) -> None:
    assert "".join(split(text, size)) == text


@given(st.lists(st.text("abc", min_size=1, max_size=5), max_size=80))
def test_no_phrase_without_marks_is_longer_than_the_limit(words: list[str]) -> None:
    phrases = split(" ".join(words))
    for phrase, limits in zip(phrases, [FIRST] + [LATER] * len(phrases), strict=False):
        assert len(phrase.split()) <= limits.longest + 1


def test_what_is_in_no_phrase_yet_is_pending() -> None:
    splitter = PhraseSplitter()
    assert splitter.feed("Hello there. How are") == ["Hello there."]
    assert splitter.pending == " How are"
