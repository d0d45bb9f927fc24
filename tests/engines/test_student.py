"""The student speaker. Its model comes with its package, so these tests run everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Speaker, SpeechChunk
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.engines.student import Student, WithStudent
from voxtral_voice.errors import EngineError


@pytest.fixture
async def student() -> AsyncIterator[Student]:
    speaker = Student()
    await speaker.start()
    yield speaker
    await speaker.aclose()


async def say(speaker: Speaker, text: str, *, voice: str = "af_heart", speed: float = 1.0) -> list[SpeechChunk]:
    return [chunk async for chunk in speaker.speak(text, voice=voice, speed=speed)]


async def test_it_speaks_a_phrase(student: Student) -> None:
    (chunk,) = await say(student, "Good morning, how are you?")
    assert chunk.samples.dtype == np.float32
    assert 1.0 < chunk.samples.size / SPEAK_RATE_HZ < 3.0
    assert 0.1 < float(np.abs(chunk.samples).max()) <= 1.0


async def test_its_words_are_timed(student: Student) -> None:
    (chunk,) = await say(student, "Good morning, how are you?")
    assert [time.word for time in chunk.words] == ["Good", "morning,", "how", "are", "you?"]
    edges = [edge for time in chunk.words for edge in (time.start_ms, time.end_ms)]
    assert edges == sorted(edges)
    assert edges[0] < 60
    assert 0 <= chunk.samples.size * 1000 / SPEAK_RATE_HZ - edges[-1] < 350


async def test_a_pause_in_the_audio_lies_between_the_words_it_parts(student: Student) -> None:
    (chunk,) = await say(student, "Bananas, potatoes.")
    before, after = chunk.words
    between = chunk.samples[round(before.end_ms * 24) : round(after.start_ms * 24)]
    inside = chunk.samples[round(before.start_ms * 24) : round(before.end_ms * 24)]
    assert float(np.sqrt(np.mean(between**2))) < 0.25 * float(np.sqrt(np.mean(inside**2)))


async def test_the_same_text_is_the_same_audio(student: Student) -> None:
    first, second = await say(student, "Hello."), await say(student, "Hello.")
    np.testing.assert_array_equal(first[0].samples, second[0].samples)


async def test_speed_changes_the_length(student: Student) -> None:
    text = "The weather will be warm and sunny"
    slow, natural, fast = [(await say(student, text, speed=speed))[0].samples.size for speed in (0.5, 1.0, 2.0)]
    assert slow > 1.6 * natural
    assert natural > 1.6 * fast


async def test_nothing_to_say_yields_nothing(student: Student) -> None:
    assert await say(student, " … ") == []


@pytest.mark.parametrize(
    ("text", "voice", "speed", "message"),
    [
        ("Hi.", "hf_alpha", 1.0, "There is no voice 'hf_alpha': use one of af_heart."),
        ("Hi.", "af_heart", 0.2, "Speed 0.2 is out of range: use 0.25 to 4."),
        ("Hi.", "af_heart", float("nan"), "Speed nan is out of range: use 0.25 to 4."),
        ("नमस्ते", "af_heart", 1.0, "reads English only"),
    ],
)
async def test_what_it_cannot_do(student: Student, text: str, voice: str, speed: float, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        await say(student, text, voice=voice, speed=speed)
    assert caught.value.engine == "speaker"


async def test_it_must_be_started() -> None:
    with pytest.raises(EngineError, match="not running: await start"):
        await say(Student(), "Hello.")


async def test_closing_twice_is_safe(student: Student) -> None:
    await student.aclose()
    await student.aclose()


# --- WithStudent


@pytest.fixture
def kokoro() -> FakeSpeaker:
    return FakeSpeaker()


def is_fake(chunks: list[SpeechChunk], expected: list[SpeechChunk]) -> bool:
    return [chunk.samples.tolist() for chunk in chunks] == [chunk.samples.tolist() for chunk in expected]


@pytest.mark.parametrize(
    ("text", "voice", "by_student"),
    [
        ("Hello.", "af_heart", True),
        ("42", "af_heart", True),
        ("Hello.", "af_bella", False),
        ("नमस्ते।", "af_heart", False),
        ("Say नमस्ते.", "af_heart", False),
        ("नमस्ते।", "hf_alpha", False),
        ("Hello.", "hm_psi", False),
    ],
)
async def test_the_student_speaks_english_in_its_own_voice_only(
    student: Student, kokoro: FakeSpeaker, text: str, voice: str, by_student: bool
) -> None:
    both = WithStudent(kokoro, student)
    spoken = await say(both, text, voice=voice)
    assert is_fake(spoken, await say(kokoro, text, voice=voice)) is not by_student


async def test_together_they_have_all_voices(student: Student, kokoro: FakeSpeaker) -> None:
    both = WithStudent(kokoro, student)
    assert both.voices == kokoro.voices
    assert student.name in both.name
    assert kokoro.name in both.name


async def test_they_start_and_close_together(kokoro: FakeSpeaker) -> None:
    both = WithStudent(kokoro, Student())
    await both.start()
    assert await say(both, "Hello.", voice="af_heart")
    await both.aclose()
    with pytest.raises(EngineError):
        await say(both, "Hello.", voice="af_heart")
