from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tests.server.caller import tone
from voxtral_voice.audio.frames import KEEP_S
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.server.ingest import Ingest

SECOND = float_to_pcm16(tone(1_000))


def test_a_second_becomes_16_khz_and_frames_of_512() -> None:
    ingest = Ingest()
    first, frames = ingest.push(SECOND)
    assert first == 0
    assert frames.shape == (31, 512)
    assert frames.dtype == np.float32
    assert ingest.audio.end_sample == pytest.approx(16_000, abs=32)
    assert ingest.framed_to == 31 * 512
    heard = ingest.audio.slice(0, 16_000)
    assert np.array_equal(heard[: 31 * 512], frames.reshape(-1))
    assert np.argmax(np.abs(np.fft.rfft(heard[:16_000], 16_000))) == 440


@pytest.mark.parametrize("chunk_bytes", [2, 480, 960, 4_800, 4_802, 30_000])
def test_chunks_of_any_size_are_one_stream(chunk_bytes: int) -> None:
    pieces, whole = Ingest(), Ingest()
    pushed = [pieces.push(SECOND[at : at + chunk_bytes]) for at in range(0, len(SECOND), chunk_bytes)]
    _, frames = whole.push(SECOND)
    np.testing.assert_array_equal(np.concatenate([frames for _, frames in pushed]), frames)
    for (first, before), (second, _) in pairwise(pushed):
        assert second == first + len(before) * 512


def test_nothing_comes_of_nothing() -> None:
    ingest = Ingest()
    first, frames = ingest.push(b"")
    assert (first, frames.shape, ingest.audio.end_sample) == (0, (0, 512), 0)


def test_the_largest_append_takes_little_more_than_its_own_room() -> None:
    """15 MiB, 5 minutes; the last two are kept."""
    ingest = Ingest()
    pcm = bytes(15 * 1024 * 1024)
    tracemalloc.start()
    _, frames = ingest.push(pcm)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames.nbytes == pytest.approx(len(pcm) * 4 / 3, rel=0.001)
    assert most < 3.5 * len(pcm)
    assert kept - frames.nbytes < 10_000_000
    assert ingest.audio.end_sample - ingest.audio.start_sample == KEEP_S * 16_000


def test_what_makes_no_frame_whole_waits_until_it_is_asked_for() -> None:
    ingest = Ingest()
    _, frames = ingest.push(SECOND[:960])
    assert (len(frames), ingest.audio.end_sample) == (0, 0)
    ingest.flush()
    assert ingest.audio.end_sample == pytest.approx(320, abs=32)
    assert ingest.framed_to == 0
    _, frames = ingest.push(SECOND[960:])
    whole = Ingest()
    np.testing.assert_array_equal(frames, whole.push(SECOND)[1])
    assert ingest.audio.end_sample == whole.audio.end_sample


def test_a_frame_comes_as_soon_as_its_last_sample_can_be_known() -> None:
    """Two samples at 24 kHz at a time: the filter's delay of 1.5 ms, and not more."""
    ingest, pushed = Ingest(), 0
    while not len(ingest.push(SECOND[pushed : pushed + 4])[1]):
        pushed += 4
    assert 32 < 1_000 * pushed / 2 / 24_000 < 34
