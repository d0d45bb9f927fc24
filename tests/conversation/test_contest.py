from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.contest import (
    BACKCHANNELS,
    CARRY_ON_MS,
    DENIAL_MS,
    FAINT_DB,
    FRESH_MS,
    OPENERS,
    OVER_MS,
    QUIET_DB,
    STRONG,
    STRONG_MS,
    WAIT_MS,
    WORDLESS_MS,
    WORDS_MS,
    Kind,
    Sound,
    Verdict,
    kind_of,
    look_again_ms,
    verdict,
)

MIDDLE = 0.5
PHRASES = ("", "mhm", "stop", "yeah but", "Hamla", "seven of nine", "good morning to you", "ठीक है")


def sound(
    voiced_ms: float = 250.0,
    words: str | None = None,
    *,
    silent_ms: float = 0.0,
    words_to_ms: float | None = None,
    language: str | None = "en",
    saying: str = "",
    level_db: float | None = None,
    usual_db: float | None = None,
) -> Sound:
    covered = voiced_ms if words_to_ms is None else words_to_ms
    kind = kind_of(words, language, saying)
    return Sound(voiced_ms + silent_ms, voiced_ms, silent_ms, level_db, usual_db, kind, covered, language)


def worded(words: str | None, language: str | None, saying: str, **heard: float) -> Sound:
    return Sound(kind=kind_of(words, language, saying), language=language, **heard)


sounds = st.builds(
    worded,
    elapsed_ms=st.floats(0, 5_000),
    voiced_ms=st.floats(0, 5_000),
    silent_ms=st.one_of(st.just(0.0), st.floats(0, 2_000)),
    level_db=st.none() | st.floats(-120, 0),
    usual_db=st.none() | st.floats(-120, 0),
    words=st.none()
    | st.text()
    | st.sampled_from(["", "mhm", "stop", "yeah but", "Hamla", "seven of nine", "good morning to you", "ठीक है"]),
    words_to_ms=st.floats(0, 5_000),
    language=st.none() | st.sampled_from(["en", "hi", "ja", "xx"]),
    saying=st.text() | st.just("good morning to you all"),
)
dials = st.floats(-1, 2)


@pytest.mark.parametrize("words", ["Stop.", "stop", "No, I", "Wait a", "Okay, stop", "yeah no", "Hold on", "Sorry, I"])
def test_a_word_that_asks_for_the_floor_stops_at_once(words: str) -> None:
    assert verdict(sound(60, words), MIDDLE) is Verdict.INTERRUPTION


@pytest.mark.parametrize("silent_ms", [OVER_MS, 500.0])
@pytest.mark.parametrize("words", ["Mm-hmm.", "Mhm", "Yeah.", "Okay, right!", "Uh-huh.", "I see.", "Yeah, yeah, yeah"])
def test_a_backchannel_that_is_over_is_one(words: str, silent_ms: float) -> None:
    assert verdict(sound(450, words, silent_ms=silent_ms), MIDDLE) is Verdict.BACKCHANNEL


def test_words_that_begin_like_a_backchannel_are_waited_for() -> None:
    assert verdict(sound(300, "Yeah"), MIDDLE) is Verdict.UNDECIDED
    assert verdict(sound(450, "Yeah, but what about"), MIDDLE) is Verdict.INTERRUPTION


def test_words_interrupt_when_there_is_enough_sound_for_words() -> None:
    long = WORDS_MS.at(MIDDLE)
    assert verdict(sound(long, "Seven of the"), MIDDLE) is Verdict.INTERRUPTION
    assert verdict(sound(long - 1, "Seven of the"), MIDDLE) is Verdict.UNDECIDED
    assert verdict(sound(long - 1, "Seven of the", silent_ms=WAIT_MS), MIDDLE) is Verdict.BACKCHANNEL
    assert verdict(sound(long, "सात आठ नौ", language="hi"), MIDDLE) is Verdict.UNDECIDED


@pytest.mark.parametrize("words", ["Hamla.", "Hamla, Hamla", "Tim", "I"])
def test_one_odd_word_may_be_a_hum_that_was_misheard(words: str) -> None:
    long = WORDLESS_MS.at(MIDDLE)
    assert verdict(sound(long - 1, words), MIDDLE) is Verdict.UNDECIDED
    assert verdict(sound(long, words), MIDDLE) is Verdict.INTERRUPTION
    assert verdict(sound(long - 1, words, silent_ms=OVER_MS), MIDDLE) is Verdict.BACKCHANNEL  # and there is no more


def test_a_strong_word_in_hindi_needs_some_sound() -> None:
    heard = sound(STRONG_MS["hi"], "रुको", language="hi")
    assert verdict(heard, MIDDLE) is Verdict.INTERRUPTION
    assert verdict(replace(heard, words_to_ms=STRONG_MS["hi"] - 1), MIDDLE) is Verdict.UNDECIDED


def test_a_backchannel_that_goes_on_is_one_before_it_ends() -> None:
    assert verdict(sound(CARRY_ON_MS, "Yeah yeah yeah"), MIDDLE) is Verdict.BACKCHANNEL


def test_without_words_it_is_the_length() -> None:
    long = WORDLESS_MS.at(MIDDLE)
    assert verdict(sound(long - 1), MIDDLE) is Verdict.UNDECIDED
    assert verdict(sound(long), MIDDLE) is Verdict.INTERRUPTION
    assert verdict(sound(long - 1, silent_ms=WAIT_MS), MIDDLE) is Verdict.BACKCHANNEL


def test_a_sound_without_words_is_noise() -> None:
    assert verdict(sound(300, "", silent_ms=OVER_MS), MIDDLE) is Verdict.NOISE
    assert verdict(sound(3_000, " ... "), MIDDLE) is Verdict.NOISE


def test_a_transcript_that_is_too_old_does_not_count() -> None:
    old = sound(WORDLESS_MS.at(MIDDLE), "mhm", words_to_ms=WORDLESS_MS.at(MIDDLE) - FRESH_MS)
    assert verdict(old, MIDDLE) is Verdict.INTERRUPTION
    assert verdict(replace(old, words_to_ms=old.words_to_ms + 1), MIDDLE) is Verdict.BACKCHANNEL


def test_our_own_words_are_noise() -> None:
    saying = "Tomorrow will be cloudy, with a little rain."
    assert verdict(sound(500, "Will be CLOUDY with", saying=saying, silent_ms=200), MIDDLE) is Verdict.NOISE
    assert verdict(sound(500, "Will be cloudy this", saying=saying, silent_ms=200), MIDDLE) is Verdict.NOISE
    assert verdict(sound(900, "It was cloudy then", saying=saying), MIDDLE) is Verdict.INTERRUPTION


def test_one_word_of_ours_may_be_the_users() -> None:
    assert kind_of("No", "en", "There is no rain.") is Kind.WORD
    assert kind_of("No", "en", "There is rain.") is Kind.DENIAL


def test_a_hum_that_begins_like_no_is_waited_for() -> None:
    assert verdict(sound(DENIAL_MS - 1, "No."), MIDDLE) is Verdict.UNDECIDED
    assert verdict(sound(DENIAL_MS, "No."), MIDDLE) is Verdict.INTERRUPTION


def test_a_faint_sound_is_noise_unless_it_says_something() -> None:
    level_db = -25.0 - FAINT_DB
    assert verdict(sound(2000, level_db=level_db, usual_db=-25.0), MIDDLE) is Verdict.NOISE
    assert verdict(sound(2000, "Emma", level_db=level_db, usual_db=-25.0), MIDDLE) is Verdict.NOISE
    assert verdict(sound(900, "Stop", level_db=level_db, usual_db=-25.0), MIDDLE) is Verdict.INTERRUPTION
    assert verdict(sound(2000, "Seven of the", level_db=level_db, usual_db=-25.0), MIDDLE) is Verdict.INTERRUPTION


def test_a_quiet_sound_has_to_last_longer() -> None:
    long = WORDLESS_MS.at(MIDDLE)
    quiet = sound(long, level_db=-45.0, usual_db=-45.0 + QUIET_DB)
    assert verdict(quiet, MIDDLE) is Verdict.UNDECIDED
    assert verdict(replace(quiet, level_db=-44.0), MIDDLE) is Verdict.INTERRUPTION
    assert verdict(replace(quiet, usual_db=None), MIDDLE) is Verdict.INTERRUPTION


@pytest.mark.parametrize(
    ("language", "phrase"), [(name, each) for name, these in BACKCHANNELS.items() for each in these]
)
def test_every_backchannel_is_one_in_its_language_and_in_an_unknown_one(language: str, phrase: str) -> None:
    assert kind_of(phrase, language or "xx", "") is Kind.BACKCHANNEL
    assert kind_of(f"{phrase}, {phrase}!", language or None, "") is Kind.BACKCHANNEL


@pytest.mark.parametrize(
    ("language", "phrase"),
    [(name, each) for table in (STRONG, OPENERS) for name, these in table.items() for each in these],
)
def test_every_strong_word_is_one_in_its_language(language: str, phrase: str) -> None:
    assert kind_of(phrase, language, "") in (Kind.STRONG, Kind.DENIAL)


def test_only_a_lone_no_is_a_denial() -> None:
    heard = {words: kind_of(words, "en", "") for words in ("No.", "Nope", "No, no", "yeah no", "No, I", "Stop")}
    assert [words for words, kind in heard.items() if kind is Kind.DENIAL] == ["No.", "Nope"]
    assert set(heard.values()) == {Kind.DENIAL, Kind.STRONG}


def test_a_word_means_what_it_means_in_its_language() -> None:
    assert kind_of("para", "es", "") is Kind.STRONG
    assert kind_of("para", "it", "") is Kind.WORD
    assert kind_of("sí", "it", "") is Kind.BACKCHANNEL  # accents do not count
    assert kind_of("हां जी", "hi", "") is Kind.BACKCHANNEL
    assert kind_of("そうですね。はい", "ja", "") is Kind.BACKCHANNEL


@given(sounds, dials, dials)
def test_more_patience_never_makes_an_interruption(heard: Sound, one: float, other: float) -> None:
    less, more = sorted((one, other))
    if verdict(heard, less) is not Verdict.INTERRUPTION:
        assert verdict(heard, more) is not Verdict.INTERRUPTION


@given(sounds, dials)
def test_an_undecided_sound_is_decided_when_it_says(heard: Sound, patience: float) -> None:
    at_ms = look_again_ms(heard, patience)
    assert (at_ms is None) == (verdict(heard, patience) is not Verdict.UNDECIDED)
    if at_ms is None:
        return
    assert at_ms >= heard.elapsed_ms
    more_ms = at_ms - heard.elapsed_ms + 0.001  # rounding
    later = replace(heard, elapsed_ms=heard.elapsed_ms + more_ms)
    later = (
        replace(later, silent_ms=later.silent_ms + more_ms)
        if heard.silent_ms
        else replace(later, voiced_ms=later.voiced_ms + more_ms)
    )
    assert verdict(later, patience) is not Verdict.UNDECIDED


@given(st.text(), st.none() | st.text(max_size=3), st.text())
def test_any_transcript_is_of_some_kind(words: str, language: str | None, saying: str) -> None:
    assert isinstance(kind_of(words, language, saying), Kind)


@pytest.mark.parametrize("word", ["yeah ", "a", "ﷺ", "\u0301", "ठीक है ", "はい", "\ud800"])
def test_a_transcript_without_end_is_read_in_bounded_time(word: str) -> None:
    began = time.thread_time()
    kind_of(word * 100_000, "ja", word * 100_000)
    assert time.thread_time() - began < 1.0


def test_words_bring_the_decision_forward() -> None:
    assert look_again_ms(sound(200), MIDDLE) == WORDLESS_MS.at(MIDDLE)
    assert look_again_ms(sound(200, "Seven of the"), MIDDLE) == WORDS_MS.at(MIDDLE)
    assert look_again_ms(sound(200, "yeah", words_to_ms=200), MIDDLE) == max(200 + FRESH_MS, WORDLESS_MS.at(MIDDLE))
    assert look_again_ms(sound(200, "stop"), MIDDLE) is None


def test_numbers_that_are_none_decide_nothing() -> None:
    broken = Sound(math.nan, math.nan, math.nan, math.nan, math.nan, Kind.UNKNOWN, math.nan, None)
    assert verdict(broken, math.nan) is Verdict.UNDECIDED
