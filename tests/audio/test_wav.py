from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtral_voice.audio import wav
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.wav import read_speech, write_wav
from voxtral_voice.errors import AudioError


def tone(rate_hz: int, seconds: float = 0.5, level: float = 0.5) -> Samples:
    return (level * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 1e-2), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 0), ("ULAW", 2e-2)],
)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_any_sample_format_and_rate_is_read(tmp_path: Path, subtype: str, step: float, rate_hz: int) -> None:
    soundfile.write(tmp_path / "q.wav", tone(rate_hz), rate_hz, subtype=subtype)
    samples, rate = read_speech(tmp_path / "q.wav")
    assert rate == rate_hz
    assert samples.dtype == np.float32
    assert np.abs(samples - tone(rate_hz)).max() <= step


def test_channels_are_mixed_down(tmp_path: Path) -> None:
    left, right = tone(16_000), np.zeros(8_000, np.float32)
    soundfile.write(tmp_path / "q.wav", np.stack((left, right), axis=1), 16_000, subtype="FLOAT")
    samples, _ = read_speech(tmp_path / "q.wav")
    np.testing.assert_allclose(samples, left / 2, atol=1e-6)


def test_other_formats_of_the_library_are_read_too(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "q.flac", tone(16_000), 16_000)
    assert len(read_speech(tmp_path / "q.flac")[0]) == 8_000


def test_a_float_file_that_is_too_loud_is_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "q.wav", tone(16_000, level=4.0), 16_000, subtype="FLOAT")
    samples, _ = read_speech(tmp_path / "q.wav")
    assert (samples.min(), samples.max()) == (-1, 1)


def test_a_chunk_before_the_audio_is_skipped(tmp_path: Path) -> None:
    whole = encoded(tmp_path)
    path = tmp_path / "list.wav"
    path.write_bytes(whole[:12] + b"LIST" + struct.pack("<I", 5) + b"hello\0" + whole[12:])
    assert len(read_speech(path)[0]) == 8_000


def encoded(folder: Path) -> bytes:
    write_wav(folder / "whole.wav", tone(16_000), 16_000)
    return (folder / "whole.wav").read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_speech(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.endswith(".")
    return text


def test_a_missing_file() -> None:
    assert "does not exist" in refusal(Path("/nowhere/question.wav"))


def test_a_directory(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_a_path_that_leads_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be read: Not a directory" in refusal(tmp_path / "file" / "q.wav")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "q.wav").write_bytes(b"")
    assert "is empty" in refusal(tmp_path / "q.wav")


@pytest.mark.parametrize("content", [b"a", b"RIFF", b"<html>" * 100, b"RIFF\0\0\0\0WAVE", bytes(range(256)) * 9])
def test_a_file_that_is_not_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "q.wav").write_bytes(content)
    assert "not an audio file" in refusal(tmp_path / "q.wav")


@pytest.mark.parametrize("left", [46, 1_000, 16_043])
def test_a_truncated_file(tmp_path: Path, left: int) -> None:
    path = tmp_path / "q.wav"
    path.write_bytes(encoded(tmp_path)[:left])
    assert f"is truncated: its header promises 16044 bytes, but it has {left}" in refusal(path)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_a_size_left_open_by_a_pipe_is_no_promise(tmp_path: Path, size: int) -> None:
    data = bytearray(encoded(tmp_path))
    data[40:44] = struct.pack("<I", size)
    (tmp_path / "q.wav").write_bytes(data)
    if size:
        assert len(read_speech(tmp_path / "q.wav")[0]) == 8_000
    else:
        assert "holds no audio" in refusal(tmp_path / "q.wav")


def test_a_header_without_audio(tmp_path: Path) -> None:
    write_wav(tmp_path / "q.wav", np.zeros(0, np.float32), 16_000)
    assert "holds no audio" in refusal(tmp_path / "q.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(16_000)
    samples[100] = bad
    soundfile.write(tmp_path / "q.wav", samples, 16_000, subtype="FLOAT")
    assert "not numbers" in refusal(tmp_path / "q.wav")


@pytest.mark.parametrize("rate_hz", [1, 400_000])
def test_a_rate_that_no_speech_has(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "q.wav", tone(16_000), rate_hz)
    assert f"sample rate of {rate_hz} Hz" in refusal(tmp_path / "q.wav")


def test_more_than_half_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "LONGEST_S", 0.4)
    soundfile.write(tmp_path / "q.wav", tone(16_000, seconds=30), 16_000)
    assert "is longer than" in refusal(tmp_path / "q.wav")


def test_half_an_hour_is_the_bound() -> None:
    assert wav.LONGEST_S == 30 * 60


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(24_000), 24_000)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype, info.format) == (24_000, 1, "PCM_16", "WAV")
    np.testing.assert_allclose(read_speech(tmp_path / "a.wav")[0], tone(24_000), atol=1 / 32_768)


def test_an_older_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for seconds in (1.0, 0.5):
        write_wav(tmp_path / "a.wav", tone(24_000, seconds), 24_000)
    assert len(read_speech(tmp_path / "a.wav")[0]) == 12_000
    assert os.listdir(tmp_path) == ["a.wav"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"cannot be written: No such file or directory"):
        write_wav(tmp_path / "nowhere" / "a.wav", tone(24_000), 24_000)


def test_a_target_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(AudioError, match=r"a\.wav cannot be written: Is a directory"):
        write_wav(tmp_path / "a.wav", tone(24_000), 24_000)
    assert os.listdir(tmp_path) == ["a.wav"]


def test_a_device_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=r"a\.wav cannot be written: it is a device or a pipe; name a file\."):
        write_wav(tmp_path / "a.wav", tone(24_000), 24_000)
    assert (tmp_path / "a.wav").is_fifo()


@contextmanager
def small_files() -> Iterator[None]:
    """The system refuses files over 1 000 bytes, as a full disk does. For as short as can be: the test runner's own
    output may be such a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_older_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("older")
    refused = pytest.raises(AudioError, match=r"a\.wav cannot be written: .*; choose another place\.")
    with refused, small_files():
        write_wav(tmp_path / "a.wav", tone(24_000), 24_000)
    assert os.listdir(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_text() == "older"
