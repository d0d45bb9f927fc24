"""A clip becomes a voice: with a speaker of buzzes that needs no model, and with Kokoro."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.engines.speech import say, white_noise
from tests.engines.test_pitch import buzz
from tests.engines.test_voice_clone_space import packs
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines import voice_clone_fit
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.speaker_embedding import SpeakerEncoder, unit
from voxtral_voice.engines.voice_clone_fit import ATTEMPTS, CHECK, PHRASES, KokoroCloner
from voxtral_voice.engines.voice_clone_space import Learned, span
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.engines.voices import Styles
from voxtral_voice.errors import EngineError, RequestError

HERE = Path()


class Encoder:
    """Hears the power of 256 bands, and no time."""

    def windows(self, speech: Samples) -> Samples:
        pieces = np.array_split(speech, max(1, speech.size // LISTEN_RATE_HZ))
        return unit(np.stack([np.abs(np.fft.rfft(piece[:4096], 4096))[:1024:4] + 1e-3 for piece in pieces]))

    def embed(self, speech: Samples) -> Samples:
        return unit(self.windows(speech).mean(axis=0))


@dataclass
class Buzzer:
    """Pitch and level follow two numbers of the style."""

    said: list[str] = field(default_factory=list)
    silent: bool = False
    hangs: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def try_styles(self, text: str, styles: Styles) -> Samples:
        assert styles.shape == STYLE_SHAPE
        self.said.append(text)
        self.begun.set()
        if self.hangs:
            await asyncio.Event().wait()
        hz = float(np.clip(150 + 20 * styles[20, 0, 130], 70, 300))
        tone = buzz(hz, 1.2, 0.0 if self.silent else 0.1)
        return resample(tone, LISTEN_RATE_HZ, SPEAK_RATE_HZ)


def learned() -> Learned:
    by_style = np.zeros((256, 257))
    by_style[130, 256] = 2.0
    rows = np.full((4, 256), 1 / 16)
    return Learned(by_style, tuple(packs()), rows, np.array([2.0, 4.0, 6.0, 8.0]))


@pytest.fixture
def cloner(monkeypatch: pytest.MonkeyPatch) -> tuple[KokoroCloner, Buzzer]:
    monkeypatch.setattr(voice_clone_fit, "read_space", lambda *_: span(packs()))
    monkeypatch.setattr(voice_clone_fit, "read_learned", learned)
    monkeypatch.setattr(SpeakerEncoder, "load", lambda _: Encoder())
    buzzer = Buzzer()
    return KokoroCloner(buzzer, HERE, HERE, tuple(packs())), buzzer


async def test_a_clip_becomes_a_voice(cloner: tuple[KokoroCloner, Buzzer]) -> None:
    make, buzzer = cloner
    await make.start()
    made = await make.clone(buzz(180, 6))
    assert made.styles.shape == STYLE_SHAPE
    assert made.styles.dtype == np.float32
    assert made.gender == "female"
    assert made.pitch_hz == pytest.approx(180, rel=0.02)
    assert 0 < made.similarity <= 1.0001
    assert -20 < made.gain_db <= voice_clone_fit.MOST_GAIN_DB
    assert buzzer.said == [*PHRASES] * ATTEMPTS + [CHECK]
    await make.aclose()


async def test_a_low_voice_is_a_mans(cloner: tuple[KokoroCloner, Buzzer]) -> None:
    assert (await cloner[0].clone(buzz(110, 6))).gender == "male"


async def test_what_has_no_voice_in_it(cloner: tuple[KokoroCloner, Buzzer]) -> None:
    with pytest.raises(RequestError, match="No voice was found"):
        await cloner[0].clone(white_noise(6, -20))
    assert cloner[1].said == []


async def test_a_model_that_makes_no_sound(cloner: tuple[KokoroCloner, Buzzer]) -> None:
    cloner[1].silent = True
    with pytest.raises(EngineError, match="made no voice"):
        await cloner[0].clone(buzz(180, 6))


async def test_cancelling_stops_behind_a_phrase(cloner: tuple[KokoroCloner, Buzzer]) -> None:
    make, buzzer = cloner
    buzzer.hangs = True
    task = asyncio.create_task(make.clone(buzz(180, 6)))
    await buzzer.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert buzzer.said == [PHRASES[0]]


# --- Kokoro -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def kokoro(model_files: Callable[[str], Path]) -> AsyncIterator[Kokoro]:
    model = model_files("kokoro-v1.0-int8.onnx")
    engine = Kokoro(model, model.parent / "voices")
    await engine.start()
    yield engine
    await engine.aclose()


@pytest.mark.models
async def test_a_real_clone_speaks_like_the_clip_while_a_phrase_is_spoken(
    kokoro: Kokoro, model_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One attempt; the phrase that comes meanwhile is not kept waiting, and what gave way to it is done again."""
    monkeypatch.setattr(voice_clone_fit, "ATTEMPTS", 1)
    encoder = model_files("speaker-encoder.pt")
    clip = np.concatenate(
        (say("I would like to book a table for two people."), say("The weather is fine today, is it?"))
    )
    cloning = asyncio.create_task(KokoroCloner(kokoro, encoder, encoder.parent / "voices").clone(clip))
    while not kokoro._trials:  # noqa: ASYNC110 - nothing tells when a trial begins
        await asyncio.sleep(0.01)
    assert [chunk async for chunk in kokoro.speak("Yes.", voice="af_heart", speed=1)]
    made = await cloning
    assert made.gender == "female"
    assert made.similarity > 0.6
    assert abs(made.gain_db) < 6
