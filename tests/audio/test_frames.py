from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.audio.frames import KEEP_S, LISTEN_RATE_HZ, Framer, InputBuffer
from voxtral_voice.audio.pcm import Samples


def ramp(start: int, end: int) -> Samples:
    """Audio whose samples say their own number."""
    return np.arange(start, end, dtype=np.float32)


def test_audio_is_found_again_by_its_absolute_number() -> None:
    buffer = InputBuffer()
    buffer.append(ramp(0, 100))
    buffer.append(ramp(100, 250))
    assert (buffer.start_sample, buffer.end_sample) == (0, 250)
    assert buffer.slice(90, 110).tolist() == list(range(90, 110))


def test_a_slice_is_clamped_to_what_is_kept() -> None:
    buffer = InputBuffer()
    buffer.append(ramp(0, 100))
    buffer.forget(40)
    assert buffer.slice(0, 1_000).tolist() == list(range(40, 100))
    assert len(buffer.slice(0, 40)) == 0
    assert len(buffer.slice(100, 200)) == 0
    assert len(buffer.slice(60, 50)) == 0


def test_a_slice_is_a_copy_that_later_audio_does_not_touch() -> None:
    buffer = InputBuffer(keep_s=0.01)
    buffer.append(ramp(0, 160))
    kept = buffer.slice(0, 160)
    buffer.append(ramp(160, 320))
    assert kept.tolist() == list(range(160))


def test_forgetting_does_not_go_back_nor_beyond_the_end() -> None:
    buffer = InputBuffer()
    buffer.append(ramp(0, 100))
    buffer.forget(50)
    buffer.forget(20)
    assert buffer.start_sample == 50
    buffer.forget(1_000)
    assert buffer.start_sample == buffer.end_sample == 100
    buffer.append(ramp(100, 110))
    assert buffer.slice(0, 200).tolist() == list(range(100, 110))


def test_what_is_dropped_takes_no_memory_and_the_numbers_go_on() -> None:
    buffer = InputBuffer()
    buffer.append(ramp(0, 48_000))
    buffer.drop()
    assert buffer._store.size == 0
    assert (buffer.start_sample, buffer.end_sample) == (48_000, 48_000)
    buffer.append(ramp(48_000, 48_010))
    assert buffer.slice(0, 50_000).tolist() == list(range(48_000, 48_010))


def test_the_oldest_audio_goes_when_the_bound_is_reached() -> None:
    buffer = InputBuffer(keep_s=0.1)
    for start in range(0, 16_000, 320):
        buffer.append(ramp(start, start + 320))
    assert buffer.end_sample == 16_000
    assert buffer.slice(0, 16_000).tolist() == list(range(14_400, 16_000))


def test_one_piece_longer_than_the_bound_leaves_its_end() -> None:
    buffer = InputBuffer(keep_s=0.01)
    buffer.append(ramp(0, 50))
    buffer.append(ramp(50, 1_000))
    assert buffer.slice(0, 1_000).tolist() == list(range(840, 1_000))


def test_two_minutes_are_kept_unless_told_otherwise() -> None:
    buffer = InputBuffer()
    minute = np.zeros(60 * LISTEN_RATE_HZ, np.float32)
    for _ in range(3):
        buffer.append(minute)
    assert buffer.end_sample - buffer.start_sample == KEEP_S * LISTEN_RATE_HZ == 120 * 16_000


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4_000)), max_size=40))
def test_whatever_happens_the_numbers_stay_right(steps: list[tuple[int, int]]) -> None:
    buffer, end, start = InputBuffer(keep_s=0.05), 0, 0
    for length, forget in steps:
        buffer.append(ramp(end, end + length))
        end += length
        buffer.forget(forget)
        start = max(start, end - 800, min(forget, end))
        assert (buffer.start_sample, buffer.end_sample) == (start, end)
        assert buffer.slice(0, end).tolist() == list(range(start, end))


def test_frames_come_when_they_are_whole_and_the_rest_is_carried_over() -> None:
    framer = Framer()
    assert framer.push(ramp(0, 500)).shape == (0, 512)
    assert framer.next_sample == 0
    frames = framer.push(ramp(500, 1_500))
    assert frames.shape == (2, 512)
    assert frames[1].tolist() == list(range(512, 1_024))
    assert framer.next_sample == 1_024


@given(st.lists(st.integers(0, 200), max_size=30), st.sampled_from([1, 32, 160]))
def test_frames_in_a_row_are_the_stream(lengths: list[int], frame: int) -> None:
    framer, end, out = Framer(frame), 0, 0
    for length in lengths:
        assert framer.next_sample == out
        frames = framer.push(ramp(end, end + length))
        end += length
        assert frames.ravel().tolist() == list(range(out, out + frames.size))
        out += frames.size
    assert 0 <= end - out < frame


@pytest.mark.parametrize("keep_s", [0.01, 1.0])
def test_memory_stays_near_the_bound(keep_s: float) -> None:
    buffer = InputBuffer(keep_s)
    for _ in range(200):
        buffer.append(np.zeros(320, np.float32))
    assert buffer._store.size <= keep_s * LISTEN_RATE_HZ * 1.125
