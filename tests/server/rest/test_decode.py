from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.e2e.speech import frequency_hz
from tests.server.rest.sdk import CONTAINERS, recording, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.errors import AudioError
from voxtral_voice.server.rest.decode import BLOCK_SAMPLES, decoded, kind_of


def heard(data: bytes, longest_s: float = 60) -> Samples:
    return np.concatenate([*decoded(io.BytesIO(data), longest_s=longest_s)])


def wav(rate_hz: int, channels: int, samples: np.ndarray, code: int = 1) -> bytes:
    data = samples.tobytes()
    width = samples.itemsize
    head = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * channels * width, channels * width, 8 * width)
    size = len(head) + len(data) + 20
    riff = struct.pack("<4sI8sI", b"RIFF", size, b"WAVEfmt ", len(head))
    return riff + head + struct.pack("<4sI", b"data", len(data)) + data


@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_every_container(ending: str, rate_hz: int) -> None:
    samples = heard(recording(ending, tone(3, rate_hz), rate_hz))
    assert samples.dtype == np.float32
    assert len(samples) / 16_000 == pytest.approx(3, abs=0.11)
    assert frequency_hz(samples[16_000:32_000], 16_000) == pytest.approx(440, abs=1)


def test_it_comes_in_seconds() -> None:
    blocks = [*decoded(io.BytesIO(recording("mp3", tone(3.5))))]
    assert all(BLOCK_SAMPLES <= block.size < 1.2 * BLOCK_SAMPLES for block in blocks[:-1])
    assert len(blocks) >= 3


def test_channels_are_mixed_and_floats_clipped() -> None:
    left = np.full(16_000, 0.5, np.float32)
    both = np.stack((left, -left), axis=1)
    assert np.abs(heard(wav(16_000, 2, both, code=3))).max() < 1e-3
    assert heard(wav(16_000, 1, np.full(16_000, 7, np.float32), code=3)).max() == 1


def test_a_name_or_a_type_means_nothing_only_the_first_bytes_do() -> None:
    for ending in CONTAINERS:
        assert kind_of(io.BytesIO(recording(ending, tone(0.5)))) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\xff",
        b"hello, this is a text",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<?xml version='1.0'?><MPD></MPD>",
        b"\x00" * 100,
    ],
)
def test_what_is_no_recording(data: bytes) -> None:
    with pytest.raises(AudioError, match=r"no audio that can be read: send WAV"):
        heard(data)


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_head_without_a_body(ending: str) -> None:
    data = recording(ending, tone(1))
    with pytest.raises(AudioError):
        heard(data[:20])


@pytest.mark.parametrize("rate_hz", [1, 3_999, 192_001, 4_000_000])
def test_an_odd_rate(rate_hz: int) -> None:
    with pytest.raises(AudioError, match="sample rate"):
        heard(wav(rate_hz, 1, np.zeros(1000, np.int16)))


def test_too_many_channels() -> None:
    with pytest.raises(AudioError, match="channels"):
        heard(wav(16_000, 9, np.zeros(9_000, np.int16)))


def test_no_sound() -> None:
    with pytest.raises(AudioError, match=r"no audio|cannot be decoded"):
        heard(wav(16_000, 1, np.zeros(0, np.int16)))


def test_samples_that_are_no_numbers() -> None:
    with pytest.raises(AudioError, match="not numbers"):
        heard(wav(16_000, 1, np.full(16_000, np.nan, np.float32), code=3))


@pytest.mark.parametrize("ending", CONTAINERS)
def test_too_long(ending: str) -> None:
    with pytest.raises(AudioError, match=r"longer than 0\.05 minutes"):
        heard(recording(ending, tone(5)), longest_s=3)


def test_a_small_file_that_stands_for_hours_costs_no_memory() -> None:
    data = recording("flac", np.zeros(16_000 * 600, np.float32))
    assert len(data) < 200_000
    tracemalloc.start()
    with pytest.raises(AudioError, match="longer than"):
        for _ in decoded(io.BytesIO(data), longest_s=300):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_wav_of_unknown_length() -> None:
    """As this server makes them itself."""
    data = bytearray(recording("wav", tone(1)))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    data[4:8] = b"\xff\xff\xff\xff"
    assert len(heard(bytes(data))) == pytest.approx(16_000, abs=10)


def test_a_little_damage_is_heard_over() -> None:
    data = bytearray(recording("mp3", tone(20)))
    data[5_000:5_200] = b"\x00" * 200
    assert len(heard(bytes(data))) / 16_000 == pytest.approx(20, abs=0.5)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*CONTAINERS]), st.data())
def test_any_damage_ends_in_sound_or_in_one_sentence(ending: str, choices: st.DataObject) -> None:
    data = bytearray(RECORDINGS[ending])
    for _ in range(choices.draw(st.integers(1, 20))):
        data[choices.draw(st.integers(0, len(data) - 1))] = choices.draw(st.integers(0, 255))
    cut = choices.draw(st.integers(0, len(data)))
    try:
        samples = heard(bytes(data[:cut]))
    except AudioError as error:
        assert str(error).endswith(".")  # noqa: PT017
    else:
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1


RECORDINGS = {ending: recording(ending, tone(0.5)) for ending in CONTAINERS}
