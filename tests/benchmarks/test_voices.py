"""The measuring of voices, with fakes in the place of models, and figures made by hand."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import voices
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import SpeechChunk, Transcript
from voxtral_voice.engines.fakes import FakeSpeaker, FakeTranscriber
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES


class Counted(FakeSpeaker):
    """At once, and it counts what it was asked to say."""

    def __init__(self, louder: float = 1) -> None:
        super().__init__(0, 0)
        self._louder = louder
        self.asked: list[str] = []

    def times(self, text: str) -> int:
        return self.asked.count(text)

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append(text)
        async for chunk in super().speak(text, voice=voice, speed=speed, language=language):
            yield replace(chunk, samples=chunk.samples * np.float32(self._louder))


class Deaf(FakeTranscriber):
    """Hears all of it right but the last letter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.calls = text, 0

    async def transcribe(
        self,
        audio: Samples,  # noqa: ARG002
        *,
        language: str | None,
        prompt: str,  # noqa: ARG002
        final: bool,  # noqa: ARG002
    ) -> Transcript:
        self.calls += 1
        return Transcript(self.text, language or "")


def test_every_language_has_its_twenty_sentences_of_a_few_words() -> None:
    found = voices.sentences()
    assert {*found} == {voice.language for voice in VOICES.values()}
    for language, texts in found.items():
        assert len({*texts}) == 20, language
        lengths = [len(text.split()) for text in texts]
        if language in ("ja", "zh"):
            assert all(10 <= len(text) <= 30 for text in texts)
        else:
            assert (min(lengths) >= 5, max(lengths) <= 12) == (True, True), language
        assert not any(character.isdigit() for text in texts for character in text)


async def test_what_was_spoken_and_heard_is_not_done_again(tmp_path: Path) -> None:
    speaker, ear = Counted(), Deaf("Good mornin")
    for _ in range(2):
        said = await voices.Studio(speaker, ear, tmp_path).round_trip("Good morning.", "af_bella", "en")
        assert (said.text, said.heard) == ("Good morning.", "Good mornin")
    assert (speaker.times("Good morning."), ear.calls) == (1, 1)
    for voice, speed in (("af_bella", 2.0), ("af_heart", 1.0)):
        await voices.Studio(speaker, ear, tmp_path).speak("Good morning.", voice, speed)
    assert speaker.times("Good morning.") == 3


async def test_an_engine_that_sounds_different_speaks_all_again(tmp_path: Path) -> None:
    for number in (1, 2):
        speaker = Counted(louder=number)
        for _ in range(2):
            await voices.Studio(speaker, Deaf(""), tmp_path).speak("Good morning.", "af_bella")
        assert speaker.times("Good morning.") == 1


async def test_durations_are_against_what_was_asked(tmp_path: Path) -> None:
    studio = voices.Studio(Counted(), Deaf(""), tmp_path)
    found = await voices.durations(studio, "af_bella", ["One two three four.", "Five six."])
    assert {*found} == {"0.5", "2"}
    assert list(found.values()) == pytest.approx([1, 1], rel=0.05)


def said(*pairs: tuple[str, str]) -> list[voices.Said]:
    return [voices.Said(text, np.zeros(10, np.float32), 1.0, heard) for text, heard in pairs]


def test_errors_are_pooled_over_the_sentences() -> None:
    found = voices.errors(said(("the cat sat", "the cat sat"), ("a dog", "a log")), "en")
    assert (found["wer"]["value"], found["wer"]["of"]) == (20.0, 5)
    assert found["cer"] == {"value": 6.2, "low": 0.0, "high": 20.0, "of": 16}
    assert found["per"]["value"] > 0


def test_japanese_has_characters_for_words() -> None:
    found = voices.errors(said(("猫です", "犬です")), "ja")
    assert found["wer"] == found["cer"] == {"value": 33.3, "of": 3}


def test_against_the_nearest_sentence_that_was_not_said() -> None:
    heard = said(("one two", "one two"), ("six ten", "six ten"))
    assert voices.against_others(heard, ["one two", "six ten", "six tin"], "en") > 40


def test_only_what_was_heard_otherwise_is_listed() -> None:
    found = voices.wrong(said(("The cat.", "the cat"), ("a dog", "a log")), "en")
    assert found == [{"said": "a dog", "heard": "a log"}]


def test_the_span_is_from_sound_to_sound() -> None:
    silence, tone = np.zeros(2400, np.float32), np.full(2400, 0.3, np.float32)
    assert voices.span(voices.Said("", np.concatenate([silence, tone, silence]), 0.0)) == 2400


def test_who_is_not_told_apart_by_pitch() -> None:
    rows = [
        {"voice": name, "language": "hi", "gender": gender, "pitch_hz": hz}
        for name, gender, hz in (("a", "female", 200), ("b", "female", 130), ("c", "male", 140), ("d", "male", 110))
    ]
    (found,) = voices.pitches(rows)
    assert found == {"language": "hi", "women_hz": [130, 200], "men_hz": [110, 140], "not_apart": ["b", "c"]}
    assert voices.pitches(rows[:2])[0]["not_apart"] == []


def test_voices_are_named_one_by_one_or_as_a_set() -> None:
    assert voices.voices_named("default") == DEFAULT_VOICES
    assert voices.voices_named("all") == tuple(VOICES)
    assert voices.voices_named("af_sky,hm_psi") == ("af_sky", "hm_psi")
    assert {VOICES[name].language for name in voices.voices_named("best")} == {*voices.sentences()}
    with pytest.raises(argparse.ArgumentTypeError, match="no voice xx"):
        voices.voices_named("xx")


def test_every_crossing_is_into_another_language() -> None:
    found = list(voices.crossings())
    assert ("hf_alpha", "en-US") in found
    assert ("af_heart", "hi") in found
    assert all(VOICES[name].speaks != tag.partition("-")[0] for name, tag in found)
    assert len({*found}) == len(found)
