from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tests.server.caller import tone
from voxtral_voice.audio.frames import KEEP_S
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.server.ingest import Ingest

SECOND = float_to_pcm16(tone(1_000))


def heard(ingest: Ingest, pcm: bytes, most: int = 100_000) -> tuple[int, Samples]:
    """What can be heard when this has come."""
    ingest.push(pcm)
    return ingest.frames(most)


def test_a_second_becomes_16_khz_and_frames_of_512() -> None:
    ingest = Ingest()
    first, frames = heard(ingest, SECOND)
    assert first == 0
    assert frames.shape == (31, 512)
    assert frames.dtype == np.float32
    assert ingest.audio.end_sample == pytest.approx(16_000, abs=32)
    assert ingest.framed_to == 31 * 512
    kept = ingest.audio.slice(0, 16_000)
    assert np.array_equal(kept[: 31 * 512], frames.reshape(-1))
    assert np.argmax(np.abs(np.fft.rfft(kept[:16_000], 16_000))) == 440


@pytest.mark.parametrize("chunk_bytes", [2, 480, 960, 4_800, 4_802, 30_000])
def test_chunks_of_any_size_are_one_stream(chunk_bytes: int) -> None:
    pieces = Ingest()
    pushed = [heard(pieces, SECOND[at : at + chunk_bytes]) for at in range(0, len(SECOND), chunk_bytes)]
    _, frames = heard(Ingest(), SECOND)
    np.testing.assert_array_equal(np.concatenate([frames for _, frames in pushed]), frames)
    for (first, before), (second, _) in pairwise(pushed):
        assert second == first + len(before) * 512


def test_100_ms_are_100_ms() -> None:
    """So much a client may commit: what it has sent is all there, however the filter's delay."""
    ingest = Ingest()
    ingest.push(SECOND[:4_800])
    ingest.flush()
    assert ingest.audio.end_sample == 1_600


def test_nothing_comes_of_nothing() -> None:
    ingest = Ingest()
    first, frames = heard(ingest, b"")
    assert (first, frames.shape, ingest.audio.end_sample) == (0, (0, 512), 0)


def test_frames_are_taken_in_parts() -> None:
    ingest, whole = Ingest(), heard(Ingest(), SECOND)[1]
    parts = [heard(ingest, SECOND[:24_000], 10)]
    while ingest.has_frames:
        parts.append(ingest.frames(10))
    parts.append(heard(ingest, SECOND[24_000:]))
    assert [first for first, _ in parts] == [0, 10 * 512, 15 * 512]
    np.testing.assert_array_equal(np.concatenate([frames for _, frames in parts]), whole)


def test_frames_that_are_forgotten_are_not_heard_but_kept() -> None:
    ingest, whole = Ingest(), heard(Ingest(), SECOND)[1]
    heard(ingest, SECOND[:24_000], 3)
    ingest.push(SECOND[24_000:36_000])
    ingest.forget_frames()
    assert not ingest.has_frames
    first, frames = heard(ingest, SECOND[36_000:])
    assert first == 23 * 512
    np.testing.assert_array_equal(frames, whole[23:])
    np.testing.assert_array_equal(ingest.audio.slice(0, 31 * 512), whole.reshape(-1))


def test_the_audio_is_up_to_date_when_it_is_asked_for() -> None:
    ingest = Ingest()
    ingest.push(SECOND[:960])
    assert (ingest.has_frames, ingest.audio.end_sample) == (False, 0)
    ingest.flush()
    assert ingest.audio.end_sample == pytest.approx(320, abs=32)
    assert not ingest.has_frames


def test_a_frame_is_whole_as_soon_as_32_ms_have_come() -> None:
    """Of which the last 1.5 ms, the filter's delay, are in the next one."""
    ingest, pushed = Ingest(), 0
    while not ingest.has_frames:
        ingest.push(SECOND[pushed : pushed + 4])
        pushed += 4
    assert 1_000 * pushed / 2 / 24_000 == 32
    assert len(ingest.frames(2)[1]) == 1


def test_the_largest_append_takes_little_more_than_its_own_room() -> None:
    """15 MiB, 5 minutes; the last two are kept."""
    ingest = Ingest()
    pcm = bytes(15 * 1024 * 1024)
    tracemalloc.start()
    for at in range(0, len(pcm), 24_000):
        heard(ingest, pcm[at : at + 24_000])
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < most < 20_000_000
    assert ingest.audio.end_sample - ingest.audio.start_sample == KEEP_S * 16_000
