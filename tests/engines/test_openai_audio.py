"""A WAV that others can read. Forms are tested where they are sent (`test_openai_transcriber`)."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.engines.base import LISTEN_RATE_HZ
from voxtral_voice.engines.openai_audio import wav


def test_a_wav() -> None:
    audio = np.linspace(-1, 1, 999, dtype=np.float32)
    with soundfile.SoundFile(io.BytesIO(wav(audio))) as sound:
        assert (sound.samplerate, sound.channels, sound.subtype) == (LISTEN_RATE_HZ, 1, "PCM_16")
        assert sound.read(dtype="int16").tobytes() == float_to_pcm16(audio)


def test_a_wav_of_nothing() -> None:
    with soundfile.SoundFile(io.BytesIO(wav(np.zeros(0, np.float32)))) as sound:
        assert len(sound) == 0
