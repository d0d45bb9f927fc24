"""When a token is due is when the real vLLM gave it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.vllm.recorded import lines, silence, speech
from tests.engines.vllm.test_recorded import utterances
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.engines.base import Samples
from voxtral_voice.engines.vllm.hearing import SLACK_TOKENS, TOKEN_BYTES, TOKEN_MS, Hearing, quiet_ms_around


def pcm(*sounds: Samples) -> bytes:
    return float_to_pcm16(np.concatenate(sounds))


def heard(hearing: Hearing, *texts: str) -> None:
    for text in texts:
        hearing.heard(text)


@pytest.mark.parametrize("n", range(3))
def test_no_recorded_token_came_before_it_was_due_and_in_the_end_all_had_come(n: int) -> None:
    hearing = Hearing(480)
    for line in list(utterances("realtime_utterances"))[n]:
        event = line["event"]
        if "audio_bytes" in event:
            hearing.sent(bytes(event["audio_bytes"]))
        if event.get("final"):
            hearing.finished()
        if event["type"] == "transcription.delta":
            assert hearing.behind > 0
            hearing.heard(event["delta"])
        if event["type"] == "transcription.done":
            assert hearing.behind == 0
            assert hearing.text == event["text"].strip()
            assert not hearing.endless


def test_a_token_that_is_due_came_at_once_in_real_time() -> None:
    """Recorded: the first token after the eighth 80 ms, and then one after each."""
    hearing, lag = Hearing(480), 0
    for line in next(utterances("realtime_utterances")):
        event = line["event"]
        if "audio_bytes" in event:
            hearing.sent(bytes(event["audio_bytes"]))
            lag = max(lag, hearing.behind)
        if event["type"] == "transcription.delta" and not event.get("final"):
            hearing.heard("")
        if event.get("final"):
            break
    assert lag == 1
    assert lines("realtime_utterances")


@pytest.mark.parametrize(("delay_ms", "samples"), [(80, 2600), (480, 9000), (2400, 39_720)])
def test_the_first_token_is_due_after_the_delay(delay_ms: int, samples: int) -> None:
    hearing = Hearing(delay_ms)
    hearing.sent(bytes(2 * samples - 2))
    assert hearing.due == 0
    hearing.sent(bytes(2))
    assert hearing.due == 1
    hearing.sent(bytes(TOKEN_BYTES))
    assert hearing.due == hearing.behind == 2


def test_words_are_where_their_sound_is() -> None:
    hearing = Hearing(480)
    hearing.sent(pcm(speech(1, 2, 3)))
    heard(hearing, "", " one", "", "")
    assert hearing.text == "one"
    assert hearing.heard_bytes == 4 * TOKEN_BYTES
    assert hearing.said_bytes == 2 * TOKEN_BYTES
    heard(hearing, *[""] * 20)
    assert hearing.heard_bytes == len(pcm(speech(1, 2, 3)))


def test_a_word_in_many_tokens_is_put_together_and_not_cut() -> None:
    hearing = Hearing(480)
    heard(hearing, " नम", "स्", "", "ते", " yaar", "!")
    assert hearing.text == "नमस्ते yaar!"


def test_audible_sound_without_a_word_is_barren_once_it_was_heard() -> None:
    hearing = Hearing(480)
    for part in np.array_split(np.concatenate([speech(1), silence(800), speech(2)]), 7):
        hearing.sent(float_to_pcm16(part))
    assert hearing.barren_ms == 0
    heard(hearing, *[""] * 10)
    assert hearing.barren_ms == 4 * TOKEN_MS
    heard(hearing, *[""] * 10)
    assert hearing.barren_ms == 8 * TOKEN_MS
    heard(hearing, " word")
    assert hearing.barren_ms == 0


def test_more_tokens_than_there_can_be() -> None:
    hearing = Hearing(480)
    hearing.sent(bytes(TOKEN_BYTES * 5))
    heard(hearing, *[""] * (4 + 11 + SLACK_TOKENS))
    assert not hearing.endless
    hearing.heard("")
    assert hearing.endless


@pytest.mark.parametrize(
    ("before", "behind", "quiet_ms"),
    [
        (speech(1), speech(2), 80),
        (np.concatenate([speech(1), silence(100)]), np.concatenate([silence(150), speech(2)]), 330),
        (silence(300), silence(5000), 1300),
        (speech(1)[:-1280], speech(1), 0),
        (speech(1), speech(1)[:0], 80),
    ],
)
def test_how_long_it_is_quiet(before: Samples, behind: Samples, quiet_ms: int) -> None:
    found = quiet_ms_around(pcm(before, behind), len(pcm(before)))
    assert abs(found - quiet_ms) <= 10
