from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.realtime.audio_formats import Decoder, FormatName, Sound, encoder

TELEPHONE: list[FormatName] = ["audio/pcmu", "audio/pcma"]
FORMATS: list[FormatName] = ["audio/pcm", *TELEPHONE]


def tone(rate_hz: int = 24_000, seconds: float = 0.5) -> Samples:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.float32)


def likeness(one: Samples, other: Samples) -> float:
    """1: the same but for level."""
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_pcm_goes_out_as_it_is() -> None:
    assert encoder("audio/pcm")(tone()) == float_to_pcm16(tone())


def test_half_a_sample_waits_for_its_other_half() -> None:
    decoder = Decoder("audio/pcm")
    assert decoder.push(b"\x01\x02\x03") == b"\x01\x02"
    assert decoder.push(b"") == b""
    assert decoder.push(b"\x04\x05\x06") == b"\x03\x04\x05\x06"


def test_half_a_sample_is_dropped_where_the_stream_is_cut() -> None:
    decoder = Decoder("audio/pcm")
    decoder.push(b"\x01")
    decoder.cut()
    assert decoder.push(b"\x05\x06") == b"\x05\x06"


@given(st.lists(st.binary(max_size=9), max_size=20))
def test_no_byte_is_lost_or_moved(pieces: list[bytes]) -> None:
    decoder = Decoder("audio/pcm")
    got = [decoder.push(piece) for piece in pieces]
    assert all(len(pcm) % 2 == 0 for pcm in got)
    everything = b"".join(pieces)
    assert b"".join(got) == everything[: len(everything) // 2 * 2]


@pytest.mark.parametrize("name", TELEPHONE)
def test_there_and_back_it_sounds_the_same_a_little_later(name: FormatName) -> None:
    encode, decoder = encoder(name), Decoder(name)
    coded = b"".join(encode(piece) for piece in np.split(tone(), 25))
    assert len(coded) == 4000
    pcm = b"".join(decoder.push(coded[at : at + 160]) for at in range(0, len(coded), 160))
    heard, late = pcm16_to_float(pcm), 148  # 73 and 3 * 25 samples
    assert heard.size == 12_000
    assert likeness(heard[late:], tone()[:-late]) > 0.999
    assert abs(np.abs(heard).max() - 0.5) < 0.03


@pytest.mark.parametrize("name", TELEPHONE)
@pytest.mark.parametrize("count", [0, 1, 7, 160, 20_000])
def test_what_has_come_in_has_gone_out(name: FormatName, count: int) -> None:
    """Also through an append that is taken in pieces: a turn of 100 ms is 100 ms long."""
    assert len(Decoder(name).push(bytes(count))) == count * 3 * 2


@pytest.mark.parametrize("name", TELEPHONE)
def test_too_little_sound_for_a_telephone_is_kept_back(name: FormatName) -> None:
    encode = encoder(name)
    sizes = [len(encode(np.zeros(1, np.float32))) for _ in range(9)]
    assert sizes == [1, 0, 0] * 3


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_a_kept_sound_in_every_format(name: FormatName, rate_hz: int) -> None:
    audio = Sound(float_to_pcm16(tone(rate_hz)), rate_hz).encoded(name)
    assert len(audio) == (24_000 if name == "audio/pcm" else 4_000)
    heard = pcm16_to_float(Decoder(name).push(audio))
    late = 0 if name == "audio/pcm" else 75
    assert likeness(heard[late:], tone()[: 12_000 - late]) > 0.995
