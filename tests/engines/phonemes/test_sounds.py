"""Words and phoneme groups. Readers are scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from voxtral_voice.engines.phonemes.sounds import MOST_STEPS, Sound, in_groups


def reader(said: Mapping[str, str]) -> Callable[[str], str]:
    """Says whole texts as it is told, and other words as they are."""
    return lambda text: said.get(text, text)


def test_one_group_for_each_word() -> None:
    assert in_groups(["one", "—", "two."], reader({"one — two.": "wˈʌn tˈu."})) == [
        Sound(0, "wˈʌn"),
        Sound(2, "tˈu."),
    ]


def test_a_number_has_as_many_groups_as_it_has_alone() -> None:
    said = {"pay 42 now": "pA fɔ ti nW", "42": "fɔ ti"}
    assert in_groups(["pay", "42", "now"], reader(said)) == [Sound(0, "pA"), Sound(1, "fɔ ti"), Sound(2, "nW")]


def test_words_that_the_reader_joined_share_a_group() -> None:
    said = {"il y a des enfants": "ilja dez ɑ̃fɑ̃", "y": "iɡʁɛk", "des": "de", "enfants": "ɑ̃fɑ̃"}
    sounds = in_groups(["il", "y", "a", "des", "enfants"], reader(said))
    assert [sound.stretch for sound in sounds if not sound.glued] == [0, 3, 4]
    assert "".join(sound.symbols for sound in sounds if sound.stretch < 3) == "ilja"
    assert sounds[-2:] == [Sound(3, "dez"), Sound(4, "ɑ̃fɑ̃")]


def test_a_group_that_no_word_has_alone_goes_to_a_neighbour() -> None:
    said = {"5 7 July": "fIv tə sɛvən ʤulI", "5": "fIv", "7": "sɛvən", "July": "ʤulI"}
    sounds = in_groups(["5", "7", "July"], reader(said))
    assert [sound.stretch for sound in sounds] == [0, 1, 2]
    assert " ".join(sound.symbols for sound in sounds) == "fIv tə sɛvən ʤulI"
    assert sounds[2] == Sound(2, "ʤulI")


def test_what_is_too_long_to_match_is_shared_out() -> None:
    count = 60
    assert count * count > MOST_STEPS
    words = [f"w{i % 10}" for i in range(count)]
    sounds = in_groups(words, lambda text: "ab" if " " not in text else "ab " * (count - 1))
    assert [sound.stretch for sound in sounds] == list(range(count))
    assert "".join(sound.symbols for sound in sounds).replace(" ", "") == "ab" * (count - 1)


def test_nothing_is_said_of_nothing() -> None:
    assert in_groups(["—"], reader({"—": ""})) == []
    assert in_groups(["a", "b"], reader({"a b": ""})) == []
