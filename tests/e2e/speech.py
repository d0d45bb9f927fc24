"""Speech for tests with real models: sentences said aloud, speech written down again, and how far two texts differ.

Knows: Kokoro's voices, Whisper, how words are compared. Does not know: the server.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import jiwer
import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.registry import WHISPER_FILES
from voxtral_voice.engines.voices import DEFAULT_VOICES
from voxtral_voice.engines.whisper import Whisper

Locate = Callable[[str], Path]

GUESTS: Final = ("am_michael", "am_puck", "bf_emma")
"""None of them speaks for the server unless it is asked to: whoever is heard in them is the user."""
LOWEST_HZ, HIGHEST_HZ = 60, 400
"""Of a voice."""


class Studio:
    """The speakers and the listener. Made by `studio_of`."""

    def __init__(self, locate: Locate) -> None:
        *_, voice = [locate(f"voices/{name}.bin") for name in (*DEFAULT_VOICES, *GUESTS)]
        self._kokoro = Kokoro(locate("kokoro-v1.0-int8.onnx"), voice.parent)
        model, *_ = [locate(name) for name in WHISPER_FILES]
        self._whisper = Whisper(model.parent)
        self._said: dict[tuple[str, str, float], Samples] = {}

    async def start(self) -> None:
        await self._kokoro.start()
        await self._whisper.start()

    async def say(self, text: str, voice: str = "am_michael", speed: float = 1.0) -> Samples:
        """24 kHz."""
        key = text, voice, speed
        if key not in self._said:
            pieces = [chunk.samples async for chunk in self._kokoro.speak(text, voice=voice, speed=speed)]
            self._said[key] = np.concatenate(pieces)
        return self._said[key]

    async def hear(self, samples: Samples, language: str = "en") -> str:
        """samples: 24 kHz. What Whisper base writes."""
        audio = resample(samples, SPEAK_RATE_HZ, LISTEN_RATE_HZ)
        return (await self._whisper.transcribe(audio, language=language, prompt="", final=True)).text


@cache
def studio_of(locate: Locate) -> Studio:
    """Loaded once for all tests, and never closed: the process ends."""
    studio = Studio(locate)
    asyncio.run(studio.start())
    return studio


# --- texts ------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Lower-case words without punctuation. Devanagari loses its nuktas and has one nasal sign: both are written at
    will."""
    text = unicodedata.normalize("NFD", text.lower()).replace("\N{DEVANAGARI SIGN NUKTA}", "")
    text = text.replace("\N{DEVANAGARI SIGN CANDRABINDU}", "\N{DEVANAGARI SIGN ANUSVARA}").replace("-", " ")
    kept = (character for character in text if unicodedata.category(character)[0] not in "PS")
    return " ".join("".join(kept).split())


def word_errors(written: str | list[str], heard: str | list[str]) -> float:
    """Word error rate; of several texts, pooled over all their words."""
    return float(jiwer.wer(_plain_all(written), _plain_all(heard)))


def letter_errors(written: str | list[str], heard: str | list[str]) -> float:
    """Character error rate; of several texts, pooled over all their characters."""
    return float(jiwer.cer(_plain_all(written), _plain_all(heard)))


def _plain_all(texts: str | list[str]) -> list[str]:
    return [plain(text) for text in ([texts] if isinstance(texts, str) else texts)]


# --- sound ------------------------------------------------------------------------------------------------------


def frequency_hz(samples: Samples, rate_hz: int) -> float:
    """Of a steady tone: the peak of its spectrum, to a small part of a Hz (a parabola through three bins)."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-12)
    peak = int(np.argmax(spectrum))
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return float(peak + (left - right) / (2 * (left - 2 * middle + right))) * rate_hz / len(samples)


def pitch_hz(samples: Samples, rate_hz: int = SPEAK_RATE_HZ) -> float:
    """Of a voice: the median over its voiced windows (autocorrelation of 40 ms)."""
    size, step = rate_hz // 25, rate_hz // 100
    shortest, longest = rate_hz // HIGHEST_HZ, rate_hz // LOWEST_HZ
    found = []
    for begin in range(0, len(samples) - size - longest, step):
        window, later = samples[begin : begin + size], samples[begin : begin + size + longest]
        energy = float(window @ window)
        if energy / size < 1e-4:  # -40 dBFS
            continue
        power = np.convolve(later**2, np.ones(size), "valid")[shortest:]
        likeness = np.correlate(later, window, "valid")[shortest:] / np.sqrt(power * energy + 1e-12)
        if likeness.max() > 0.8:
            found.append(rate_hz / (shortest + int(np.argmax(likeness > 0.95 * likeness.max()))))
    return float(np.median(found))
