"""Kokoro: its files, and (with the real model) what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hibari.voices import voice_path

from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, SpeechChunk
from voxtral_voice.engines.kokoro import Kokoro, at_speed, chunk_of, language_of, open_model
from voxtral_voice.engines.phonemes import Utterance, WordSpan
from voxtral_voice.engines.student import Student
from voxtral_voice.engines.voice_styles import VoiceStyles
from voxtral_voice.engines.voices import DEFAULT_VOICES, LOUDNESS_LUFS, VOICES
from voxtral_voice.errors import EngineError, RequestError

SPOKEN = {"en": "Good morning.", "hi": "नमस्ते, आप कैसे हैं?"}


# --- files (no model needed)


@pytest.mark.parametrize("content", [b"", b"not a model " * 100])
def test_a_damaged_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"m\.onnx is not a usable model"):
        open_model(tmp_path / "m.onnx", extra_output="x", threads=1)


def test_a_model_without_the_inner_tensor_is_named() -> None:
    with pytest.raises(EngineError, match=r"heart.*\.onnx is not a usable model|hibari\.onnx is not a usable model"):
        open_model(Path(voice_path("heart")), extra_output="/no/such/tensor", threads=1)


def test_an_inner_tensor_becomes_an_output() -> None:
    session = open_model(Path(voice_path("heart")), extra_output="/Clip_output_0", threads=1)
    assert [output.name for output in session.get_outputs()][-1] == "/Clip_output_0"


async def test_a_missing_model_is_an_error_at_the_start(tmp_path: Path) -> None:
    for voice in DEFAULT_VOICES:
        (tmp_path / f"{voice}.bin").write_bytes(bytes(522_240))
    kokoro = Kokoro(tmp_path / "none.onnx", tmp_path)
    with pytest.raises(EngineError, match=r"none\.onnx cannot be read"):
        await kokoro.start()
    await kokoro.aclose()


@pytest.mark.parametrize("broken", ["af_sarah", "bf_emma"])
async def test_a_damaged_voice_that_is_offered_first_is_an_error_at_the_start(tmp_path: Path, broken: str) -> None:
    for voice in (*DEFAULT_VOICES, "bm_lewis", "bf_emma"):
        (tmp_path / f"{voice}.bin").write_bytes(bytes(1 if voice == broken else 522_240))
    kokoro = Kokoro(tmp_path / "none.onnx", tmp_path, voice="bm_lewis:0.5,bf_emma:0.5")
    with pytest.raises(EngineError, match=rf"{broken}\.bin is damaged \(1 bytes, not 522240\): run"):
        await kokoro.start()
    await kokoro.aclose()


# --- durations to word times


def tone(ms: float) -> Samples:
    return (0.3 * np.sin(np.arange(round(ms * 24)) * 2 * np.pi * 440 / SPEAK_RATE_HZ)).astype(np.float32)


def test_word_times_follow_the_durations_and_the_trimmed_head() -> None:
    utterance = Utterance("ab, cd", (WordSpan("ab,", 0, 2), WordSpan("cd", 4, 6)))
    audio = np.concatenate([np.zeros(300 * 24, np.float32), tone(700), np.zeros(500 * 24, np.float32)])
    token_ms = np.array([340, 100, 100, 50, 100, 100, 200, 500], np.float32)  # pad a b , space c d pad
    chunk = chunk_of(utterance, audio, token_ms, "ab, cd", 1.0)
    assert [(time.word, time.start_ms, time.end_ms) for time in chunk.words] == [
        ("ab,", 10, 210),
        ("cd", 360, 660),
    ]
    assert chunk.samples.size == (10 + 700 + 40) * 24
    later = chunk_of(utterance, audio, token_ms, "ab, cd", 1.0, before_ms=2000)
    assert [time.start_ms for time in later.words] == [2010, 2360], "counted from the phrase's beginning"


def test_a_fast_voice_pauses_less_and_a_slow_one_more() -> None:
    sizes = [chunk_of(Utterance("a."), tone(300), np.zeros(4, np.float32), "A.", s).samples.size for s in (0.5, 1, 2)]
    assert [before - after for before, after in pairwise(sizes)] == [250 * 24, 125 * 24]


def test_silence_is_not_passed_off_as_speech() -> None:
    with pytest.raises(EngineError, match="made no sound"):
        chunk_of(Utterance("a"), np.zeros(24000, np.float32), np.zeros(3, np.float32), "a", 1.0)


def test_a_voice_reads_its_own_language_as_its_people_do() -> None:
    assert language_of(VOICES["bf_emma"], None) == language_of(VOICES["bf_emma"], "en") == "en-GB"
    assert language_of(VOICES["bf_emma"], "hi") == "hi"


async def test_it_must_be_started(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not running: await start"):
        await say(Kokoro(tmp_path / "m.onnx", tmp_path), "Hello.", "af_heart")


# --- the real model


@pytest.fixture(scope="module")
def running_kokoro(model_files: Callable[[str], Path]) -> Kokoro:
    """Loaded once for this file, and never closed: the process ends."""
    voices = [model_files(f"voices/{voice}.bin") for voice in VOICES]
    kokoro = Kokoro(model_files("kokoro-v1.0-int8.onnx"), voices[0].parent)
    asyncio.run(kokoro.start())
    return kokoro


async def say(kokoro: Kokoro, text: str, voice: str, speed: float = 1.0) -> list[SpeechChunk]:
    return [chunk async for chunk in kokoro.speak(text, voice=voice, speed=speed)]


def pitch_hz(samples: Samples) -> float:
    """Median over voiced 50 ms windows of the autocorrelation's peak."""
    found = []
    for window in np.lib.stride_tricks.sliding_window_view(samples, 1200)[::600]:
        correlation = np.correlate(window, window, "full")[1199:]
        lag = 60 + int(np.argmax(correlation[60:370]))
        if correlation[0] > 0.25 and correlation[lag] > 0.5 * correlation[0]:
            found.append(SPEAK_RATE_HZ / lag)
    return float(np.median(found))


@pytest.mark.models
@pytest.mark.parametrize("voice", DEFAULT_VOICES)
async def test_every_voice_speaks_its_language(running_kokoro: Kokoro, voice: str) -> None:
    text = SPOKEN[VOICES[voice].speaks]
    (chunk,) = await say(running_kokoro, text, voice)
    assert chunk.samples.dtype == np.float32
    assert 0.6 < chunk.samples.size / SPEAK_RATE_HZ < 3.0
    assert 0.1 < float(np.abs(chunk.samples).max()) <= 1.0
    assert [time.word for time in chunk.words] == text.split()
    edges = [edge for time in chunk.words for edge in (time.start_ms, time.end_ms)]
    assert edges == sorted(edges)
    assert edges[-1] <= chunk.samples.size * 1000 / SPEAK_RATE_HZ


@pytest.mark.models
async def test_all_voices_and_the_student_are_equally_loud(running_kokoro: Kokoro) -> None:
    student = Student()
    await student.start()
    spoken = [chunk async for chunk in student.speak(SPOKEN["en"], voice="af_heart", speed=1.0)]
    await student.aclose()
    levels = [loudness_lufs(chunk.samples, SPEAK_RATE_HZ) for chunk in spoken]
    for voice in DEFAULT_VOICES:
        (chunk,) = await say(running_kokoro, SPOKEN[VOICES[voice].speaks], voice)
        levels.append(loudness_lufs(chunk.samples, SPEAK_RATE_HZ))
        assert float(np.abs(chunk.samples).max()) < 0.9
    assert max(levels) - min(levels) < 4  # of one short phrase; benchmarks/voice_gains.json has them within 2 LU
    assert float(np.mean(levels)) == pytest.approx(LOUDNESS_LUFS, abs=2)


@pytest.mark.models
async def test_men_speak_lower_than_women(running_kokoro: Kokoro) -> None:
    voices = [voice for voice in DEFAULT_VOICES if voice.startswith("h")]
    pitch = {voice: pitch_hz((await say(running_kokoro, "नमस्ते।", voice))[0].samples) for voice in voices}
    assert max(pitch["hm_omega"], pitch["hm_psi"]) < 160 < min(pitch["hf_alpha"], pitch["hf_beta"])


@pytest.mark.models
async def test_the_script_decides_how_it_is_read(running_kokoro: Kokoro) -> None:
    assert await say(running_kokoro, "नमस्ते।", "af_bella")
    assert await say(running_kokoro, "Hello.", "hm_psi")


@pytest.mark.models
async def test_a_blend_speaks_between_its_voices(running_kokoro: Kokoro) -> None:
    low, high = "hm_omega", "hf_alpha"
    pitch = [
        pitch_hz((await say(running_kokoro, "नमस्ते।", voice))[0].samples)
        for voice in (low, f"{low}:0.5,{high}:0.5", high)
    ]
    assert pitch == sorted(pitch)
    assert pitch[0] + 5 < pitch[1] < pitch[2] - 5


@pytest.mark.models
async def test_a_damaged_voice_ends_its_phrase_and_nothing_else(
    running_kokoro: Kokoro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pm_santa.bin").write_bytes(b"x")
    monkeypatch.setattr(running_kokoro, "_styles", VoiceStyles(tmp_path))
    with pytest.raises(RequestError, match=r"pm_santa\.bin is damaged") as caught:
        await say(running_kokoro, "Hello.", "pm_santa")
    assert str(tmp_path) not in caught.value.told
    monkeypatch.undo()
    assert await say(running_kokoro, "Hello.", "af_heart")


@pytest.mark.models
async def test_a_pause_lies_between_the_words_it_parts(running_kokoro: Kokoro) -> None:
    (chunk,) = await say(running_kokoro, "Bananas, potatoes.", "af_heart")
    before, after = chunk.words
    between = chunk.samples[round(before.end_ms * 24) : round(after.start_ms * 24)]
    inside = chunk.samples[round(before.start_ms * 24) : round(before.end_ms * 24)]
    assert float(np.sqrt(np.mean(between**2))) < 0.25 * float(np.sqrt(np.mean(inside**2)))


@pytest.mark.models
async def test_speed_changes_the_length(running_kokoro: Kokoro) -> None:
    slow, fast = [
        (await say(running_kokoro, "Good morning", "af_heart", speed))[0].samples.size for speed in (0.7, 1.4)
    ]
    assert slow > 1.6 * fast


@pytest.mark.models
async def test_nothing_to_say_yields_nothing(running_kokoro: Kokoro) -> None:
    assert await say(running_kokoro, "…", "hf_alpha") == []


@pytest.mark.models
async def test_a_phrase_nobody_waits_for_is_stopped_inside_its_run(
    running_kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with an error of the runtime, which only its terminate flag can cause here."""
    ended: asyncio.Queue[BaseException | None] = asyncio.Queue()  # one entry
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    run = running_kokoro._run

    def watched(*arguments: object) -> object:
        loop.call_soon_threadsafe(begun.set)
        try:
            result = run(*arguments)  # type: ignore[arg-type]
        except EngineError as error:
            loop.call_soon_threadsafe(ended.put_nowait, error)
            raise
        loop.call_soon_threadsafe(ended.put_nowait, None)
        return result

    monkeypatch.setattr(running_kokoro, "_run", watched)
    phrase = "a long sentence that goes on and on about the rain in the mountains and nothing else at all"
    speaking = asyncio.create_task(say(running_kokoro, phrase, "af_heart"))
    await begun.wait()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert "terminate" in str(await ended.get())
    monkeypatch.undo()
    assert await say(running_kokoro, "Hello.", "af_heart")


@pytest.mark.models
async def test_a_speaker_closed_early_stops(running_kokoro: Kokoro) -> None:
    text = "When the rain had stopped, we walked down to the river, " * 8

    async def first_piece() -> AsyncIterator[SpeechChunk]:
        async with aclosing(running_kokoro.speak(text, voice="af_heart", speed=4.0)) as chunks:
            async for chunk in chunks:
                yield chunk
                return

    assert [chunk async for chunk in first_piece()]
    assert await say(running_kokoro, "Hello.", "af_heart")


@pytest.mark.parametrize(("speed", "ratio"), [(0.5, 1.0), (1.25, 1.0), (2.5, 2.0)])
def test_what_is_faster_than_a_model_speaks_is_done_to_its_sound(speed: float, ratio: float) -> None:
    audio, token_ms = at_speed(tone(600), np.array([100, 500], np.float32), speed)
    assert audio.size == round(600 * 24 / ratio)
    assert token_ms.tolist() == [100 / ratio, 500 / ratio]
