"""What Kokoro costs on this CPU: the graph that is run against the catalogue's file, and what a user waits for.

    .venv/bin/python -m benchmarks.kokoro_speed [--replies 100] [--out benchmarks/kokoro_speed.json]

- cost: CPU-seconds of one thread per second of the model's audio (silence included) by length of phrase, and per
  second of what is given out (trimmed, with its pause), the two graphs in turn, median.
- distance: log-spectral distance (1024 samples, frames up to 50 dB below the loudest, floor 80 dB below) and the same
  in 80 mel bands, between the two, with the file's own durations; beside it that of the file to itself when the style
  changes by a part in 100,000, which nobody hears: the smallest change tips the rounding to 8 bits, so that this is the
  floor of the measure.
- round trip: Whisper base's word errors on both, over the same sentences.
- first sound: wall time from the phrase to the first audible sample, full model on 2 threads and student; beside it the
  naive way, the whole reply in one run of the catalogue's file, untrimmed.
- underruns: replies of about 15 s, phrase n+1 made while n plays: how often a phrase is not there in time, and by how
  much the nearest one was.
- joins: the largest step between two samples at the joins of phrases, against the largest within them; loudness of
  a short phrase beside a long sentence (BS.1770), and of the student beside the full model.
- memory: of a process with the model, after a phrase of 5 s, and after one of 12 s.

Wall times hang on the load of the machine, which is said. About 10 minutes on two free cores; 5 with --replies 10.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import psutil

from benchmarks.spelling import word_errors
from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.conversation.phrases import PhraseSplitter
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Samples, Speaker
from voxtral_voice.engines.kokoro import Kokoro, open_model, run_model, speed_of
from voxtral_voice.engines.kokoro_file import for_this_cpu, signed_is_exact
from voxtral_voice.engines.kokoro_graph import rewritten
from voxtral_voice.engines.phonemes import Phonemizer, Utterance
from voxtral_voice.engines.student import Student
from voxtral_voice.engines.trim import AUDIBLE_DBFS, pause_after_ms, trim
from voxtral_voice.engines.voice_styles import VoiceStyles
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.weights import default_weights_dir

HERE: Final = Path(__file__).parent
MODEL: Final = "kokoro-v1.0-int8.onnx"
FRAMES: Final = "/encoder/Clip_output_0"
PHRASES: Final = {
    "5 words": "The moon pulls on it.",
    "12 words": "The moon pulls on the water, so the sea rises every day.",
    "30 words": "The moon pulls on the water of the oceans, and that is why the sea rises and falls twice a day, "
    "a little later every day, on all coasts that are open to it.",
}
FIVE_WORDS: Final = (
    "The moon pulls on it.",
    "Sure, I can do that.",
    "It is half past nine.",
    "I would go by train.",
    "That is a good question.",
)
REST: Final = (
    "It is closest to us about once a month, and then the tides are a little higher than usual.",
    "You can see it best on a clear evening, when the sun has just gone down behind the hills.",
    "People have watched it for thousands of years, and made their calendars by it.",
    "The first people walked on it in the summer of nineteen sixty nine, and came back safely.",
)
TURNS: Final = 7
NUDGE: Final = 1e-5
Row = dict[str, Any]
Floats = npt.NDArray[np.floating[Any]]


class Model:
    """One graph, on one thread unless said."""

    def __init__(self, prepare: Callable[[bytes], bytes] = bytes, threads: int = 1) -> None:
        folder = default_weights_dir()
        self._session = open_model(folder / MODEL, extra_output=FRAMES, threads=threads, prepare=prepare)
        self._styles = VoiceStyles(folder / "voices")

    def say(self, utterance: Utterance, voice: str, nudge: float = 0.0) -> Samples:
        """Untrimmed."""
        feeds = {
            "tokens": np.array([utterance.ids], np.int64),
            "style": (self._styles.style(voice, len(utterance.symbols)) * (1 + nudge)).astype(np.float32),
            "speed": speed_of(self._session, len(utterance.ids), 1.0),
        }
        audio: Samples = run_model(self._session, ["audio"], feeds)[0]
        return audio


def shipped_graph() -> Callable[[bytes], bytes]:
    return partial(for_this_cpu, default_weights_dir() / MODEL, frames=FRAMES)


def same_durations(source: bytes) -> bytes:
    """The graph written anew, and nothing else changed."""
    made: bytes = rewritten(onnx.load_model_from_string(source), signed=signed_is_exact()).SerializeToString()
    return made


def main() -> None:
    options = _options()
    if options.memory:
        print(json.dumps(memory(shipped=options.memory == "shipped")))
        return
    began = time.monotonic()
    result = {
        "command": "python -m benchmarks.kokoro_speed" + "".join(f" {word}" for word in sys.argv[1:]),
        "commit": commit(),
        "machine": machine(),
        **models(),
        **asyncio.run(engines(options.replies)),
        "memory_mb": {name: _child(name) for name in ("original", "shipped")},
        "load_1min_at_the_end": round(os.getloadavg()[0], 1),
        "wall_s": round(time.monotonic() - began),
    }
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=100)
    parser.add_argument("--out", type=Path, default=HERE / "kokoro_speed.json")
    parser.add_argument("--memory", choices=("original", "shipped"), help=argparse.SUPPRESS)
    return parser.parse_args()


# --- the two graphs -----------------------------------------------------------------------------------------------


def models() -> Row:
    original, shipped = Model(), Model(shipped_graph())
    phonemizer = Phonemizer()
    costs = {name: cost(original, shipped, read(phonemizer, text, "en-US"), text) for name, text in PHRASES.items()}
    return {
        "cost": costs,
        "distance_db": distances(original, Model(same_durations), phonemizer),
        "round_trip": asyncio.run(round_trip(original, shipped, phonemizer)),
    }


def read(phonemizer: Phonemizer, text: str, language: str) -> Utterance:
    (utterance,) = phonemizer.read(text, language=language).utterances
    return utterance


def cost(original: Model, shipped: Model, utterance: Utterance, text: str) -> Row:
    """Both in turn, so that the load of the machine is the same for both."""
    times: dict[str, list[float]] = {"original": [], "shipped": []}
    for _ in range(TURNS + 1):
        for name, model in (("original", original), ("shipped", shipped)):
            began = time.process_time()
            audio = model.say(utterance, "af_heart")
            times[name].append(time.process_time() - began)
    cpu_s = {name: statistics.median(each[1:]) for name, each in times.items()}
    raw_s, given_s = audio.size / SPEAK_RATE_HZ, trimmed(audio, text).size / SPEAK_RATE_HZ
    return {
        "audio_s": round(raw_s, 2),
        "given_out_s": round(given_s, 2),
        "cpu_s_per_s": {name: round(each / raw_s, 3) for name, each in cpu_s.items()},
        "cpu_s_per_s_given_out": {name: round(each / given_s, 3) for name, each in cpu_s.items()},
        "shipped_to_original": round(
            statistics.median(b / a for a, b in zip(*(each[1:] for each in times.values()), strict=True)), 3
        ),
    }


def trimmed(audio: Samples, text: str) -> Samples:
    return trim(audio, pause_ms=pause_after_ms(text)).samples


def distances(original: Model, shipped: Model, phonemizer: Phonemizer) -> Row:
    """Mean over the default voices, one sentence each; of those whose durations are the same."""
    rows: list[Row] = []
    for voice in DEFAULT_VOICES:
        language = VOICES[voice].language
        utterance = read(phonemizer, sentences()[language][0], language)
        before = original.say(utterance, voice)
        pairs = {"shipped": shipped.say(utterance, voice), "itself_nudged": original.say(utterance, voice, NUDGE)}
        rows.append({name: distance(before, after) for name, after in pairs.items()})
    return {
        name: {
            "spectral": _mean([row[name][0] for row in rows if row[name]]),
            "mel": _mean([row[name][1] for row in rows if row[name]]),
            "voices_of_the_same_length": sum(row[name] is not None for row in rows),
        }
        for name in ("shipped", "itself_nudged")
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 2) if values else None


def distance(one: Samples, other: Samples) -> tuple[float, float] | None:
    """Spectral and mel; None: they are not of one length."""
    if one.size != other.size:
        return None
    a, b = power(one), power(other)
    loud = 10 * np.log10(a.sum(axis=1)) > 10 * np.log10(a.sum(axis=1).max()) - 50
    bands = mel_bands()
    return _distance(a[loud], b[loud]), _distance(a[loud] @ bands, b[loud] @ bands)


def _distance(one: Floats, other: Floats) -> float:
    floor = one.max() * 1e-8
    levels = [10 * np.log10(np.maximum(each, floor)) for each in (one, other)]
    return float(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=1)).mean())


def power(audio: Samples) -> Floats:
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1024)[::256] * np.hanning(1024)
    found: Floats = np.abs(np.fft.rfft(frames)) ** 2 + 1e-12
    return found


def mel_bands(count: int = 80) -> Floats:
    """[bins, bands]"""
    hz = np.linspace(0, SPEAK_RATE_HZ / 2, 513)[:, None]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + hz.max() / 700), count + 2) / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)))


async def round_trip(original: Model, shipped: Model, phonemizer: Phonemizer) -> Row:
    """Twenty English sentences, over the four English voices of the default list."""
    whisper = Whisper(default_weights_dir() / "whisper-base")
    await whisper.start()
    voices = [voice for voice in DEFAULT_VOICES if VOICES[voice].speaks == "en"]
    counts: dict[str, list[tuple[int, int]]] = {"original": [], "shipped": []}
    for i, text in enumerate(sentences()["en-US"][:20]):
        utterance = read(phonemizer, text, "en-US")
        for name, model in (("original", original), ("shipped", shipped)):
            heard = await hear(whisper, trimmed(model.say(utterance, voices[i % len(voices)]), text))
            counts[name].append(word_errors(text, heard, "en"))
    await whisper.aclose()
    return {
        name: {"errors": sum(wrong for wrong, _ in each), "words": sum(said for _, said in each)}
        for name, each in counts.items()
    }


async def hear(whisper: Whisper, audio: Samples) -> str:
    listened = resample(audio, SPEAK_RATE_HZ, LISTEN_RATE_HZ)
    return (await whisper.transcribe(listened, language="en", prompt="", final=True)).text


def sentences() -> dict[str, list[str]]:
    return tomllib.loads((HERE / "voice_sentences.toml").read_text(encoding="utf-8"))


# --- the engines --------------------------------------------------------------------------------------------------


async def engines(replies: int) -> Row:
    folder = default_weights_dir()
    kokoro = Kokoro(folder / MODEL, folder / "voices", threads=2)
    student = Student()
    await kokoro.start()
    await student.start()
    try:
        return {
            "first_sound_ms": await first_sounds(kokoro, student),
            "underruns": await underruns(kokoro, replies),
            "joins": await joins(kokoro, student),
        }
    finally:
        await kokoro.aclose()
        await student.aclose()


def audible_after_ms(audio: Samples) -> float:
    windows = audio[: audio.size // 240 * 240].reshape(-1, 240)
    loud = np.flatnonzero(np.sqrt(np.mean(windows**2, axis=1)) > 10 ** (AUDIBLE_DBFS / 20))
    return float(loud[0] * 10)


async def first_sounds(kokoro: Speaker, student: Speaker) -> Row:
    naive, phonemizer = Model(threads=2), Phonemizer()
    found: Row = {"load_1min": round(os.getloadavg()[0], 1)}
    for name, more in (("5 words", 0), ("reply of 2 s", 0), ("reply of 20 s", len(REST))):
        texts = [" ".join((first, *REST[:more])) for first in FIVE_WORDS]
        found[name] = {
            "full": _middle([await first_sound(kokoro, text) for text in texts]),
            "student": _middle([await first_sound(student, text) for text in texts]),
            "naive": _middle([_naive(naive, phonemizer, text) for text in texts]),
        }
    return found


def _middle(values: Sequence[float]) -> Row:
    return {"median": round(statistics.median(values)), "worst": round(max(values))}


async def first_sound(speaker: Speaker, reply: str) -> float:
    """The reply's text is there at once; its first phrase is spoken first."""
    first = cut(reply)[0]
    began = time.perf_counter()
    async for chunk in speaker.speak(first, voice="af_heart", speed=1.0):
        return (time.perf_counter() - began) * 1000 + audible_after_ms(chunk.samples)
    raise AssertionError("nothing was said")


def _naive(model: Model, phonemizer: Phonemizer, text: str) -> float:
    utterances = phonemizer.read(text, language="en-US").utterances
    began = time.perf_counter()
    audio = [model.say(utterance, "af_heart") for utterance in utterances]
    return (time.perf_counter() - began) * 1000 + audible_after_ms(audio[0])


def cut(text: str) -> list[str]:
    splitter = PhraseSplitter()
    cuts = [*splitter.feed(text), *splitter.finish()]
    return [each.text for each in cuts if not each.silent]


async def underruns(speaker: Speaker, replies: int) -> Row:
    spare_ms: list[float] = []
    lengths: list[float] = []
    late = 0
    for i in range(replies):
        order = [(i + j) % len(REST) for j in range(3)]
        text = " ".join((FIVE_WORDS[i % len(FIVE_WORDS)], *(REST[j] for j in order)))
        spares, length = await play(speaker, text, DEFAULT_VOICES[i % 4])
        spare_ms += spares
        lengths.append(length)
        late += any(spare < 0 for spare in spares)
    return {
        "replies": replies,
        "seconds": round(statistics.median(lengths), 1),
        "late": late,
        "least_spare_ms": round(min(spare_ms)),
        "median_spare_ms": round(statistics.median(spare_ms)),
        "load_1min": round(os.getloadavg()[0], 1),
    }


async def play(speaker: Speaker, text: str, voice: str) -> tuple[list[float], float]:
    """For each phrase but the first: how long it was there before it was to be heard. And the seconds of it all."""
    spares: list[float] = []
    ends_at, length = 0.0, 0.0
    for phrase in cut(text):
        async for chunk in speaker.speak(phrase, voice=voice, speed=1.0):
            now, seconds = time.perf_counter(), chunk.samples.size / SPEAK_RATE_HZ
            if ends_at:
                spares.append((ends_at - now) * 1000)
            ends_at = max(ends_at, now) + seconds
            length += seconds
    return spares, length


async def joins(kokoro: Speaker, student: Speaker) -> Row:
    reply = [FIVE_WORDS[0], *REST]
    return {
        "steps": {
            voice: steps([await said(kokoro, text, voice) for text in reply]) for voice in ("af_heart", "hm_psi")
        },
        "loudness_lufs": {
            "full": {text: await loudness(kokoro, text) for text in ("Yes.", "Sure.", FIVE_WORDS[0], REST[0])},
            "student": {text: await loudness(student, text) for text in ("Yes.", "Sure.", FIVE_WORDS[0], REST[0])},
        },
    }


async def said(speaker: Speaker, text: str, voice: str) -> Samples:
    return np.concatenate([chunk.samples async for chunk in speaker.speak(text, voice=voice, speed=1.0)])


def steps(phrases: Sequence[Samples]) -> Row:
    """Largest difference of neighbouring samples."""
    return {
        "within": round(max(float(np.abs(np.diff(each)).max()) for each in phrases), 4),
        "at_joins": round(max(abs(float(b[0] - a[-1])) for a, b in _pairs(phrases)), 4),
    }


def _pairs(phrases: Sequence[Samples]) -> Iterator[tuple[Samples, Samples]]:
    return itertools.pairwise(phrases)


async def loudness(speaker: Speaker, text: str) -> float:
    return round(loudness_lufs(await said(speaker, text, "af_heart"), SPEAK_RATE_HZ), 1)


# --- memory -------------------------------------------------------------------------------------------------------


def _child(name: str) -> Row:
    command = [sys.executable, "-m", "benchmarks.kokoro_speed", "--memory", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent)
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def memory(*, shipped: bool) -> Row:
    began = time.process_time()
    model, phonemizer = Model(shipped_graph() if shipped else bytes, threads=2), Phonemizer()
    found = {"load_cpu_s": round(time.process_time() - began, 1), "loaded": _resident()}
    for name, text in (("after_5_s", PHRASES["12 words"]), ("after_12_s", PHRASES["30 words"])):
        model.say(read(phonemizer, text, "en-US"), "af_heart")
        found[name] = _resident()
    return found


def _resident() -> int:
    return int(psutil.Process().memory_info().rss / 1e6)


if __name__ == "__main__":
    main()
