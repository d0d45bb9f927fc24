"""A stretch of speech: what is due when, its end, and the one that follows it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import Samples
from voxtral_voice.engines.voxtral.realtime_stream import COMPARED_TOKENS, PAUSE_TOKENS, Framing, Stretch

TOKEN = 1280
END = 2
FRAMING = Framing(
    token_samples=TOKEN,
    ahead_samples=40,
    before_samples=200,
    left_tokens=32,
    delay_tokens=6,
    right_tokens=17,
    end_id=END,
)
FIRST = 7 * TOKEN + 40
"""Samples of speech that the first token needs."""


def ramp(count: int, start: int = 1) -> Samples:
    return np.arange(start, start + count, dtype=np.float32)


def loud(tokens: int, level: float = 1.0) -> Samples:
    return np.full(tokens * TOKEN, level, np.float32)


def read(stretch: Stretch, most: int = 16, token: int = 1000) -> int:
    """All that is due. Returns how many times."""
    times = 0
    while count := stretch.due(most):
        stretch.audio_of(count)
        stretch.read(count, [token] * (count if stretch.tokens else 1))
        times += 1
    return times


def started(audio: Samples) -> Stretch:
    stretch = Stretch(FRAMING)
    stretch.add(audio)
    return stretch


def test_the_prompt_is_due_with_the_first_half_second() -> None:
    stretch = started(ramp(FIRST - 1))
    assert stretch.due(16) == 0
    stretch.add(ramp(1))
    assert stretch.due(16) == 39 == FRAMING.prompt_tokens
    assert FIRST / 16_000 == 0.5625


def test_then_a_token_is_due_with_every_80_ms() -> None:
    stretch = started(ramp(FIRST))
    stretch.read(39, [1000])
    stretch.add(ramp(TOKEN - 1))
    assert stretch.due(16) == 0
    stretch.add(ramp(1))
    assert stretch.due(16) == 1
    stretch.add(ramp(20 * TOKEN))
    assert stretch.due(16) == 16


def test_audio_of_the_prompt_begins_with_silence() -> None:
    audio = started(ramp(FIRST)).audio_of(39)
    assert len(audio) == 200 + 39 * TOKEN + 40
    assert not audio[: 200 + 32 * TOKEN].any()
    np.testing.assert_array_equal(audio[200 + 32 * TOKEN :], ramp(FIRST))


def test_audio_of_a_token_reaches_to_both_sides() -> None:
    stretch = started(ramp(FIRST + TOKEN))
    stretch.read(39, [1000])
    np.testing.assert_array_equal(stretch.audio_of(1), ramp(200 + TOKEN + 40, start=7 * TOKEN - 200 + 1))


@given(st.lists(st.integers(0, 5000), max_size=30), st.integers(1, 20))
def test_packets_of_any_size_make_the_same(sizes: list[int], most: int) -> None:
    """What the model is given, put together, is the audio."""
    stretch, heard, said = Stretch(FRAMING), [], 0
    for size in sizes:
        stretch.add(ramp(size, start=1 + said))
        said += size
        while count := stretch.due(most):
            heard.append(stretch.audio_of(count)[200:-40])
            stretch.read(count, [1000])
    assert stretch.tokens == (0 if said < FIRST else 32 + (said - 40) // TOKEN)
    if heard:
        np.testing.assert_array_equal(np.concatenate(heard)[32 * TOKEN :], ramp((said - 40) // TOKEN * TOKEN))


def test_of_a_long_stretch_only_the_end_is_kept() -> None:
    stretch = Stretch(FRAMING)
    for _ in range(1000):
        stretch.add(loud(1))
        read(stretch)
    assert len(stretch._audio) < 12 * TOKEN


def test_nothing_is_due_behind_the_end_the_model_wrote() -> None:
    stretch = started(loud(30))
    stretch.read(39, [END])
    assert stretch.over
    assert stretch.due(16) == 0


# --- its end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, 1, 1280, 9000, 9001, 20 * 1280, 20 * 1280 + 39, 20 * 1280 + 41, 33333])
def test_an_end_has_as_many_tokens_as_the_offline_model_reads(samples: int) -> None:
    stretch = started(ramp(samples))
    read(stretch)
    ending = stretch.ending()
    assert ending.ends
    assert ending.due(FRAMING.ending_tokens) > 0
    read(ending, FRAMING.ending_tokens)
    assert ending.tokens == 32 + -(-samples // TOKEN) + 17 - 1


def test_an_end_is_heard_in_one_size() -> None:
    for samples in range(FIRST, FIRST + 3 * TOKEN, 97):
        stretch = started(ramp(samples))
        read(stretch)
        ending = stretch.ending()
        assert 16 <= ending.due(100) <= FRAMING.ending_tokens == 18
        audio = ending.audio_of(ending.due(100))
        assert len(audio) == 200 + 18 * TOKEN + 40
        rest = samples - (stretch.tokens - 32) * TOKEN
        np.testing.assert_array_equal(audio[200 : 200 + rest], ramp(rest, start=1 + samples - rest))
        assert not audio[200 + rest :].any()


def test_an_end_leaves_the_stretch_as_it_was() -> None:
    stretch = started(ramp(33333))
    read(stretch)
    tokens, ids = stretch.tokens, list(stretch.ids)
    read(stretch.ending(), FRAMING.ending_tokens, token=1111)
    assert (stretch.tokens, stretch.ids) == (tokens, ids)
    assert not stretch.ends
    stretch.add(ramp(TOKEN, start=33334))
    np.testing.assert_array_equal(stretch.audio_of(1)[200:], ramp(TOKEN + 40, start=(tokens - 32) * TOKEN + 1))


# --- one that follows -------------------------------------------------------------------------------------------------


def test_a_pause_is_quieter_than_the_last_ten_seconds_all_along() -> None:
    speech = np.random.default_rng(0).uniform(0.4, 1.0, COMPARED_TOKENS + 20)
    stretch, seen = Stretch(FRAMING), []
    for level in [*speech, *[0.1] * PAUSE_TOKENS, 0.5, 0.1, 0.1, 0.1]:
        stretch.add(loud(1, level))
        read(stretch, 1)
        seen.append(stretch.pauses)
    stretch.add(loud(1, 0.1))
    read(stretch, 1)  # the level of a token is known when the next one begins
    assert all(seen[:7])  # nothing was heard yet
    assert not any(seen[7 : len(speech) + PAUSE_TOKENS])
    assert [*seen[len(speech) + PAUSE_TOKENS :], stretch.pauses] == [True, False, False, False, True]


def test_a_cut_loses_nothing() -> None:
    stretch = started(ramp(100 * TOKEN + 777))
    read(stretch)
    heard = (stretch.tokens - 32) * TOKEN
    ending, following = stretch.cut()
    np.testing.assert_array_equal(following._audio[200 + 32 * TOKEN :], ramp(100 * TOKEN + 777)[heard - TOKEN :])
    assert not ending.audio_of(1)[200:].any()
    assert ending.due(100) == 16
    assert not following.tokens
    assert not following.ids


def test_after_its_end_what_came_within_the_delay_is_heard_again() -> None:
    stretch = started(ramp(100 * TOKEN))
    read(stretch)
    stretch.ids.append(END)
    following = stretch.after_end()
    heard = (stretch.tokens - 32) * TOKEN
    np.testing.assert_array_equal(following._audio[200 + 32 * TOKEN :], ramp(100 * TOKEN)[heard - 6 * TOKEN :])


def test_a_model_that_always_ends_gets_on() -> None:
    stretch, stretches = started(ramp(50 * TOKEN)), 0
    while count := stretch.due(16):
        stretch.read(count, [END])
        stretch = stretch.after_end()
        stretches += 1
    assert stretches <= 50
