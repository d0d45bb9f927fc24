"""All eight voices, as the server speaks with them: written down again by Whisper, their pitch, loudness and speed.

English is compared by words, Hindi by letters: Whisper base knows little Hindi, and writes most words a letter or two
off. `benchmarks/voices.py` has the figures; here are bounds that a voice without its language's phonemes is far from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.caller import Reply, calling
from tests.e2e.speech import Studio, letter_errors, pitch_hz, studio_of, word_errors
from voxtral_voice.audio.level import first_audible_sample, last_audible_sample, rms_dbfs
from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]
embedded = pytest.mark.parametrize("live_server", ["embedded"], indirect=True)

TEXTS: Final = {
    "en": "The last reader leaves the old library, and locks the door.",
    "hi": "मेरा नाम राम है, और मुझे कल सुबह दिल्ली जाना है।",
}
"""The Hindi one is among those that Whisper base hears best, whoever says them."""
ANOTHER_HINDI_TEXT: Final = "आज शाम को हम सब साथ में खाना खाएंगे, चलो बाहर चलते हैं।"
SHORT_TEXTS: Final = {"en": "The last reader leaves the old library.", "hi": "मुझे कल सुबह दिल्ली जाना है।"}
LOUDEST_APART_LU: Final = 2.0
DEFAULTS: Final = tuple(VOICES[voice] for voice in DEFAULT_VOICES)
MALE_BELOW_HZ: Final = 165
"""The Hindi men speak at 135 to 160 Hz, the women at 180 to 220. Among the English ones are women only."""


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


@pytest.fixture(scope="session")
def spoken(live_server: str) -> Mapping[str, Reply]:
    """By voice: what the server answered when it was asked to say the text of the voice's language."""
    return asyncio.run(_speak_all(live_server))


async def _speak_all(url: str) -> Mapping[str, Reply]:
    return {voice.id: await _speak(url, voice.id, TEXTS[voice.speaks]) for voice in DEFAULTS}


async def _speak(url: str, voice: str, text: str) -> Reply:
    async with calling(url, audio={"output": {"voice": voice}}) as caller:
        await caller.repeated(text)
        reply = await caller.reply(0)
    caller.judge()
    return reply


@embedded
@pytest.mark.parametrize("voice", DEFAULT_VOICES)
def test_the_voice_speaks_and_is_understood(spoken: Mapping[str, Reply], studio: Studio, voice: str) -> None:
    language, reply = VOICES[voice].speaks, spoken[voice]
    assert (reply.done.status, reply.done.audio.output.voice, reply.text) == ("completed", voice, TEXTS[language])
    assert rms_dbfs(reply.audio) > -35
    heard = asyncio.run(studio.hear(reply.audio, language))
    if language == "en":
        assert word_errors(reply.text, heard) <= 0.15
    else:
        errors = letter_errors(reply.text, heard)
        assert errors < 0.45, heard
        assert errors < 0.6 * letter_errors(ANOTHER_HINDI_TEXT, heard)


@embedded
def test_men_and_women_are_told_apart_by_their_pitch(spoken: Mapping[str, Reply]) -> None:
    pitches = {voice.id: pitch_hz(spoken[voice.id].audio) for voice in DEFAULTS if voice.speaks == "hi"}
    deep = {voice for voice, hz in pitches.items() if hz < MALE_BELOW_HZ}
    assert deep == {voice.id for voice in DEFAULTS if voice.gender == "male"}, pitches


@embedded
def test_all_voices_are_as_loud_as_each_other(spoken: Mapping[str, Reply]) -> None:
    """The table of gains was made of other sentences."""
    loudness = {voice: loudness_lufs(reply.audio, SPEAK_RATE_HZ) for voice, reply in spoken.items()}
    assert max(loudness.values()) - min(loudness.values()) <= LOUDEST_APART_LU, loudness


@pytest.mark.parametrize("voice", ["am_michael", "hf_beta"])
def test_speech_takes_the_time_that_was_asked_for(studio: Studio, voice: str) -> None:
    text = SHORT_TEXTS[VOICES[voice].speaks]
    usual, slow, fast = (_span(asyncio.run(studio.say(text, voice, speed))) for speed in (1.0, 0.5, 2.0))
    assert slow / usual == pytest.approx(2, rel=0.05)
    assert fast / usual == pytest.approx(1 / 2, rel=0.05)


def _span(samples: Samples) -> int:
    first, last = first_audible_sample(samples, SPEAK_RATE_HZ), last_audible_sample(samples, SPEAK_RATE_HZ)
    assert first is not None
    assert last is not None
    return last - first


@embedded
@pytest.mark.parametrize("language", TEXTS)
def test_no_two_voices_are_the_same(spoken: Mapping[str, Reply], language: str) -> None:
    """One voice says a text in the same time whenever it says it; each of these takes its own."""
    lengths = {v.id: len(spoken[v.id].audio) for v in DEFAULTS if v.speaks == language}
    assert len(set(lengths.values())) == 4, lengths
