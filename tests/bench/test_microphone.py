from __future__ import annotations

import numpy as np
import pytest

from tests.realtime_stub import tone
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples, pcm16_to_float
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.microphone import Microphone, encoded, room_tone

RATE_HZ = 24_000


def clip(samples: Samples, rate_hz: int = RATE_HZ) -> Clip:
    return Clip("test/tone", "turn", "la", "en", samples, rate_hz, onset_s=0.0, end_s=len(samples) / rate_hz)


def as_it_is(pcm: bytes) -> bytes:
    return pcm


def out(microphone: Microphone, chunks: int = 1) -> Samples:
    sent = [microphone.next_chunk() for _ in range(chunks)]
    return pcm16_to_float(b"".join(chunk for chunk in sent if isinstance(chunk, bytes)))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_a_silent_microphone_gives_room_tone_and_not_digital_silence(rate_hz: int) -> None:
    microphone = Microphone(rate_hz, as_it_is)
    for number in range(120):
        assert microphone.position == number * rate_hz // 50
        chunk = out(microphone)
        assert len(chunk) == rate_hz // 50
        assert -72 < rms_dbfs(chunk) < -68


def test_the_tone_has_no_period_inside_a_second() -> None:
    second = out(Microphone(RATE_HZ, as_it_is), 50).reshape(50, -1)
    assert len(np.unique(second, axis=0)) == 50


def test_what_is_said_goes_out_over_the_room_tone_behind_the_chunk_that_is_being_filled() -> None:
    microphone = Microphone(RATE_HZ, as_it_is)
    out(microphone)
    assert microphone.say(clip(tone(30))) == 960
    assert microphone.say(clip(tone(10))) == 960 + 960
    assert -72 < rms_dbfs(out(microphone)) < -68
    heard = out(microphone, 4)
    assert np.abs(heard[:720] - tone(30)).max() < 0.01
    assert -74 < rms_dbfs(heard[720:960]) < -66
    assert np.abs(heard[960:1200] - tone(10)).max() < 0.01
    assert -72 < rms_dbfs(heard[1200:]) < -68
    assert microphone.position == 6 * 480
    assert microphone.say(clip(tone(10))) == 7 * 480


def test_a_clip_of_whole_chunks_is_not_made_longer() -> None:
    assert len(encoded(clip(tone(40)), RATE_HZ, as_it_is)) == 2
    assert len(encoded(clip(tone(41)), RATE_HZ, as_it_is)) == 3


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8_000, 24_000), (16_000, 24_000), (24_000, 16_000)])
def test_a_clip_of_another_rate_is_converted(from_hz: int, to_hz: int) -> None:
    samples = (0.3 * np.sin(2 * np.pi * 440 * np.arange(from_hz) / from_hz)).astype(np.float32)
    microphone = Microphone(to_hz, as_it_is)
    microphone.say(clip(samples, from_hz))
    out(microphone)
    spectrum = np.abs(np.fft.rfft(out(microphone, 50)))
    assert len(spectrum) == to_hz // 2 + 1
    assert np.argmax(spectrum) == 440


def test_a_chunk_is_written_for_the_wire_once_for_all_microphones() -> None:
    written = []

    def counted(pcm: bytes) -> str:
        written.append(len(pcm))
        return "chunk"

    said = clip(tone(60))
    for _ in range(10):
        microphone = Microphone(16_000, counted)
        microphone.say(said)
        assert [microphone.next_chunk() for _ in range(60)] == ["chunk"] * 60
    assert written == [640] * (50 + 3)
    room_tone(16_000, as_it_is)
    assert len(written) == 53


def test_clips_with_the_same_name_are_not_mixed_up() -> None:
    one, other = clip(tone(20)), clip(tone(20, level=0.1))
    assert encoded(one, RATE_HZ, as_it_is) != encoded(other, RATE_HZ, as_it_is)


def test_other_sound_is_mixed_into_the_room_tone_and_not_into_words() -> None:
    microphone, sound = Microphone(RATE_HZ, as_it_is), tone(20)
    chunk = microphone.next_chunk(sound)
    assert isinstance(chunk, bytes)
    assert np.abs(pcm16_to_float(chunk) - sound).max() < 0.01
    assert microphone.next_chunk(np.zeros(480, np.float32)) == Microphone(RATE_HZ, as_it_is)._tone[1]
    microphone.say(clip(tone(20, level=0.1)))
    assert rms_dbfs(out(microphone)) < -68
    said = microphone.next_chunk(sound)
    assert isinstance(said, bytes)
    assert np.abs(pcm16_to_float(said) - tone(20, level=0.1)).max() < 0.01
