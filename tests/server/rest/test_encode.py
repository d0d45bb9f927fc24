from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from tests.e2e.speech import frequency_hz
from tests.server.rest.sdk import tone
from voxtral_voice.audio.pcm import Samples, pcm16_to_float
from voxtral_voice.server.rest.decode import decoded
from voxtral_voice.server.rest.encode import FORMATS, KINDS, Format

HZ = 440.0
PIECE_S = 0.25
MAGIC: dict[Format, bytes] = {"mp3": b"\xff", "opus": b"OggS", "aac": b"\xff", "flac": b"fLaC", "wav": b"RIFF"}


def encoded(form: Format, pieces: list[Samples]) -> list[bytes]:
    encoder = KINDS[form].make()
    return [*(encoder.push(piece) for piece in pieces), encoder.finish()]


def speech(count: int) -> list[Samples]:
    """So many pieces of PIECE_S, without a seam."""
    return np.split(tone(count * PIECE_S, 24_000, HZ), count)


def test_there_is_a_kind_for_every_format() -> None:
    assert tuple(KINDS) == FORMATS


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "pcm"])
def test_what_is_encoded_is_heard_again(form: Format) -> None:
    data = b"".join(encoded(form, speech(8)))
    assert data.startswith(MAGIC[form])
    heard = np.concatenate([*decoded(io.BytesIO(data))])
    assert len(heard) / 16_000 == pytest.approx(2.0, abs=0.11)  # codecs add up to two of their frames
    middle = heard[8_000:24_000]
    assert frequency_hz(middle, 16_000) == pytest.approx(HZ, abs=1)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_pcm_is_what_it_is() -> None:
    pieces = speech(3)
    data = b"".join(encoded("pcm", pieces))
    assert np.allclose(pcm16_to_float(data), np.concatenate(pieces), atol=1 / 32_768)


def test_wav_is_read_by_others_though_its_length_is_not_known() -> None:
    data = b"".join(encoded("wav", speech(2)))
    assert struct.unpack("<I", data[40:44]) == (0xFFFF_FFFF,)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert len(file.readframes(10**6)) == 2 * 24_000 * 2 * PIECE_S


@pytest.mark.parametrize("form", FORMATS)
def test_a_piece_leaves_at_once(form: Format) -> None:
    """But for a frame of the codec, and what it looks ahead: what has come by a piece's end covers most of its time."""
    pieces = encoded(form, speech(8))
    sizes = [len(piece) for piece in pieces]
    assert all(sizes[:-1])
    steady = sizes[2:-1]
    assert max(steady) < 3 * min(steady)
    assert sizes[-1] < 3 * max(sizes[:-1])


def test_two_encodings_of_the_same_are_the_same() -> None:
    """Nothing of the machine, the time or a version is in them."""
    for form in FORMATS:
        assert encoded(form, speech(2)) == encoded(form, speech(2)), form
