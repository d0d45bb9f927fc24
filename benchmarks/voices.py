"""Every voice: what Whisper base writes when it speaks, its pitch, its loudness, and how it keeps the speed asked for.

    .venv/bin/python -m benchmarks.voices [--voices all] [--sentences 20] [--across 10] [--out benchmarks/voices.json]

Each voice says the sentences of its language (benchmarks/voice_sentences.toml), cut into phrases as the server cuts
them, by the engine that the server uses for it; af_heart is also spoken by Kokoro itself, whose student is the default.
Whisper is told the language. Errors are pooled over the sentences, with a 95 % interval over them: of words (WER), of
characters (CER; for Japanese and Chinese in the place of words), and of phonemes (PER: both texts read by our own
reader), spellings made equal as benchmarks/spelling.py says. Kanji and kana, simplified and traditional characters are
not made equal: there PER is the figure that says what was understood.

Whisper base knows some languages badly, so that an error rate is an upper bound of the voice's own faults. Beside it
stand two others: what Whisper makes of recordings with known text (people in English, a package's synthetic voices in
the other languages), and the CER of each transcript against the nearest sentence that was not said.

--across: so many sentences are also read by voices of other languages.

The pitch is the median of the voiced windows of six sentences; the loudness is BS.1770's, over all of them. The speed:
two sentences at 0.5 and at 2, from the first audible sample to the last, times the speed, over the same at 1.

What was spoken and heard is kept in build/voices, so that a run that was broken off goes on, and only what has changed
is done again. 40 minutes of CPU from nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from tqdm import tqdm

from benchmarks.spelling import letter_errors, sound_errors, word_errors
from tests.e2e.speech import pitch_hz
from voxtral_voice.audio.level import first_audible_sample, last_audible_sample
from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench import corpus
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.bench.stats import rate
from voxtral_voice.conversation.phrases import PhraseSplitter
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Speaker, Transcriber, Voice
from voxtral_voice.engines.kokoro import Kokoro, language_of
from voxtral_voice.engines.phonemes import Phonemizer
from voxtral_voice.engines.student import VOICE as STUDENT_VOICE
from voxtral_voice.engines.student import Student, WithStudent
from voxtral_voice.engines.voices import DEFAULT_VOICES, GAINS_DB, VOICES
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.weights import default_weights_dir

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / "build" / "voices"
PROBES: Final = (("af_bella", "One, two, three."), ("af_heart", "Four, five."), ("hf_alpha", "नमस्ते।"))
"""(voice, text): when one of them sounds different at a speed, everything is spoken again at that speed."""
HEARING: Final = "".join(
    (ROOT / "src" / "voxtral_voice" / "engines" / name).read_text(encoding="utf-8")
    for name in ("whisper.py", "repetition.py", "log_mel.py")
)
"""When one of them changes, everything is heard again."""
SPEEDS: Final = (0.5, 2.0)
SPEED_SENTENCES: Final = 2
PITCH_SENTENCES: Final = 6
REFERENCES: Final = {"multi": "synthetic", "en-core": "people", "en-tel": "people"}
"""Sets of the bench corpus, and who speaks there."""
BY_KOKORO: Final = f"{STUDENT_VOICE} (Kokoro)"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence by one voice."""

    text: str
    samples: Samples
    """24 kHz."""
    cpu_s: float
    """To speak it, of all threads."""
    heard: str = ""


# --- what is asked for --------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> None:
    options = parse(words)
    began = time.monotonic()
    rows = asyncio.run(measure_all(options))
    result = {
        "command": " ".join(["python -m benchmarks.voices", *(sys.argv[1:] if words is None else words)]),
        "commit": commit(),
        "machine": machine(),
        "written_by": "whisper-base int8, language given",
        "sentences_per_voice": options.sentences,
        **rows,
        "wall_s": round(time.monotonic() - began),
    }
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=voices_named, default="all", help='"all", "default", "best", or names')
    parser.add_argument("--sentences", type=int, default=20, help="of each voice (20)")
    parser.add_argument("--across", type=int, default=10, help="sentences in languages not a voice's own (10)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "voices.json")
    return parser.parse_args(words)


def voices_named(text: str) -> tuple[str, ...]:
    """ "best": of each language, the best-graded one of each gender."""
    if text == "best":
        return tuple(best().values())
    found = {"all": tuple(VOICES), "default": DEFAULT_VOICES}.get(text) or tuple(text.split(","))
    if unknown := [name for name in found if name not in VOICES]:
        raise argparse.ArgumentTypeError(f"there is no voice {unknown[0]}")
    return found


def best() -> Mapping[tuple[str, str], str]:
    """(language, gender) -> the first one of the table, where the better ones stand first."""
    firsts: dict[tuple[str, str], str] = {}
    for voice in VOICES.values():
        firsts.setdefault((voice.language, voice.gender), voice.id)
    return firsts


def sentences() -> Mapping[str, Sequence[str]]:
    """By BCP 47 tag."""
    found: Mapping[str, Sequence[str]] = tomllib.loads(
        (Path(__file__).parent / "voice_sentences.toml").read_text(encoding="utf-8")
    )
    return found


# --- the whole ----------------------------------------------------------------------------------------------------


async def measure_all(options: argparse.Namespace) -> Row:
    folder = default_weights_dir()
    kokoro = Kokoro(folder / "kokoro-v1.0-int8.onnx", folder / "voices")
    speaker, whisper = WithStudent(kokoro, Student()), Whisper(folder / "whisper-base")
    await speaker.start()
    await whisper.start()
    studio, alone = Studio(speaker, whisper), Studio(kokoro, whisper)
    try:
        rows = [await measure(studio, VOICES[name], options.sentences) for name in tqdm(options.voices)]
        if STUDENT_VOICE in options.voices:
            rows.insert(0, {**await measure(alone, VOICES[STUDENT_VOICE], options.sentences), "voice": BY_KOKORO})
        return {
            "voices": rows,
            "pitch": pitches(rows),
            "loudness_lu": spread([row["loudness_lufs"] for row in rows]),
            "references": await references(studio),
            "across": [await across(alone, name, tag, options.across) for name, tag in crossings() if options.across],
        }
    finally:
        await speaker.aclose()
        await whisper.aclose()


async def measure(studio: Studio, voice: Voice, count: int) -> Row:
    """All that is known of a voice, over the first `count` sentences of its language."""
    all_written = sentences()[voice.language]
    said = [await studio.round_trip(text, voice.id, voice.speaks) for text in all_written[:count]]
    sound = np.concatenate([each.samples for each in said])
    audio_s = len(sound) / SPEAK_RATE_HZ
    row = {
        **asdict(voice),
        "voice": voice.id,
        **errors(said, voice.speaks),
        "cer_against_other_sentences": against_others(said, all_written, voice.speaks),
        "pitch_hz": round(pitch_hz(np.concatenate([each.samples for each in said[:PITCH_SENTENCES]]))),
        "loudness_lufs": round(loudness_lufs(sound, SPEAK_RATE_HZ), 2),
        "duration_as_asked": await durations(studio, voice.id, all_written[:SPEED_SENTENCES]),
        "audio_s": round(audio_s, 1),
        "cpu_s_per_audio_s": round(sum(each.cpu_s for each in said) / audio_s, 3),
        "wrong": wrong(said, voice.speaks),
    }
    del row["id"]
    tqdm.write(f"{voice.id}: {summary(row)}")
    return row


def summary(row: Row) -> str:
    rates = " ".join(f"{name} {row[name]['value']}" for name in ("wer", "cer", "per"))
    others, pitch, loudness = row["cer_against_other_sentences"], row["pitch_hz"], row["loudness_lufs"]
    return f"{rates} others {others} {pitch} Hz {loudness} LUFS {row['duration_as_asked']}"


def errors(said: Sequence[Said], language: str) -> Row:
    """Percent, with an interval over the sentences. Where words are not told apart by spaces, WER is the CER."""
    counted = {"cer": letter_errors, "per": sound_errors}
    counted["wer"] = letter_errors if language in ("ja", "zh") else word_errors
    return {name: percent((each, *count(each.text, each.heard, language)) for each in said)
            for name, count in sorted(counted.items(), reverse=True)}  # fmt: skip


def percent(counted: Iterable[tuple[Said, int, int]]) -> Row:
    rows = [(each.text, wrong_count, length) for each, wrong_count, length in counted]
    estimate = rate(rows)
    assert estimate is not None, "sentences have words"
    ends = {name: round(end, 1) for name in ("low", "high") if (end := getattr(estimate, name)) is not None}
    return {"value": round(estimate.value, 1), **ends, "of": sum(length for _, _, length in rows)}


def against_others(said: Sequence[Said], written: Sequence[str], language: str) -> float:
    """Mean over what was heard of the CER against the nearest sentence that was not said, in percent: what speech
    that cannot be understood would get."""
    nearest = [min(_cer(other, each.heard, language) for other in written if other != each.text) for each in said]
    return round(100 * float(np.mean(nearest)), 1)


def _cer(text: str, heard: str, language: str) -> float:
    wrong_count, length = letter_errors(text, heard, language)
    return wrong_count / length


def wrong(said: Sequence[Said], language: str) -> list[Row]:
    """The sentences that were not heard as they were said."""
    return [
        {"said": each.text, "heard": each.heard} for each in said if letter_errors(each.text, each.heard, language)[0]
    ]


async def durations(studio: Studio, voice: str, written: Sequence[str]) -> Row:
    """Speed -> how long it took, times the speed, over how long at 1: 1 is as asked."""
    usual = [span(await studio.speak(text, voice)) for text in written]
    found = {}
    for speed in SPEEDS:
        spans = [span(await studio.speak(text, voice, speed)) for text in written]
        found[f"{speed:g}"] = round(speed * sum(spans) / sum(usual), 3)
    return found


def span(said: Said) -> int:
    """Samples from the first audible one to the last."""
    first = first_audible_sample(said.samples, SPEAK_RATE_HZ)
    last = last_audible_sample(said.samples, SPEAK_RATE_HZ)
    assert first is not None, said.text
    assert last is not None, said.text
    return last - first


def pitches(rows: Sequence[Row]) -> list[Row]:
    """Per language: the pitches of the women and of the men, and who of them is on the wrong side of the middle."""
    found = []
    for language in dict.fromkeys(row["language"] for row in rows):
        here = [row for row in rows if row["language"] == language]
        women, men = (sorted(row["pitch_hz"] for row in here if row["gender"] == who) for who in ("female", "male"))
        odd = [row["voice"] for row in here if _is_odd(row, women, men)]
        found.append({"language": language, "women_hz": women, "men_hz": men, "not_apart": odd})
    return found


def _is_odd(row: Row, women: Sequence[int], men: Sequence[int]) -> bool:
    """A man above a woman, or a woman below a man."""
    if row["gender"] == "male":
        return bool(women) and row["pitch_hz"] >= min(women)
    return bool(men) and row["pitch_hz"] <= max(men)


def spread(values: Sequence[float]) -> Row:
    return {"lowest": min(values), "highest": max(values), "range": round(max(values) - min(values), 2)}


# --- beside the voices --------------------------------------------------------------------------------------------


async def references(studio: Studio) -> list[Row]:
    """What the same transcriber makes of recordings."""
    groups: dict[tuple[str, str], list[Said]] = {}
    for clip in corpus.load(list(REFERENCES)):
        if any(voice.speaks == clip.language for voice in VOICES.values()):
            samples = resample(clip.samples, clip.rate_hz, SPEAK_RATE_HZ)
            heard = await studio.hear(samples, clip.language)
            said = Said(clip.text, samples, 0.0, heard)
            groups.setdefault((clip.language, REFERENCES[clip.id.split("/")[0]]), []).append(said)
    return [
        {
            "language": language,
            "spoken_by": who,
            "clips": len(said),
            **errors(said, language),
            "wrong": wrong(said, language),
        }
        for (language, who), said in groups.items()
    ]


def crossings() -> Iterable[tuple[str, str]]:
    """(voice, tag of a language that is not its own): the default ones between English and Hindi; the best woman of
    every other language reads English, and af_bella reads hers."""
    own = {tag: next(v.id for v in VOICES.values() if v.language == tag) for tag in sentences()}
    yield from ((name, "hi" if VOICES[name].speaks == "en" else "en-US") for name in DEFAULT_VOICES)
    for tag, name in own.items():
        if VOICES[name].speaks not in ("en", "hi"):
            yield name, "en-US"
            yield "af_bella", tag


async def across(studio: Studio, name: str, tag: str, count: int) -> Row:
    language = tag.partition("-")[0]
    said = [await studio.round_trip(text, name, language) for text in sentences()[tag][:count]]
    row = {"voice": name, "of": VOICES[name].language, "reads": tag, "sentences": count, **errors(said, language)}
    tqdm.write(f"{name} reads {tag}: wer {row['wer']['value']} cer {row['cer']['value']} per {row['per']['value']}")
    return {**row, "wrong": wrong(said, language)}


# --- speaking and hearing, once -----------------------------------------------------------------------------------


class Studio:
    """Speaks and hears; what it has spoken or heard before, it takes from the cache."""

    def __init__(self, speaker: Speaker, transcriber: Transcriber, cache: Path = CACHE) -> None:
        self._speaker = speaker
        self._transcriber = transcriber
        self._cache = cache
        self._versions: dict[float, str] = {}
        self._phonemizer = Phonemizer()

    async def round_trip(self, text: str, voice: str, language: str) -> Said:
        said = await self.speak(text, voice, language=language)
        heard = await self.hear(said.samples, language)
        return Said(text, said.samples, said.cpu_s, heard)

    async def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Said:
        phrases = phrases_of(text)
        read = language_of(VOICES[voice], language)
        symbols = [
            each.symbols for phrase in phrases for each in self._phonemizer.read(phrase, language=read).utterances
        ]
        key = _key(await self._same(speed), self._speaker.name, text, voice, GAINS_DB[voice], speed, symbols)
        path = self._cache / "spoken" / f"{voice}-{key}.flac"
        facts = path.with_suffix(".json")
        if not facts.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            before = time.process_time()
            samples = await self._made(phrases, voice, speed, language)
            spent_s = time.process_time() - before
            soundfile.write(path, samples, SPEAK_RATE_HZ, subtype="PCM_16")
            facts.write_text(
                json.dumps({"text": text, "phonemes": symbols, "cpu_s": spent_s}, ensure_ascii=False), encoding="utf-8"
            )
        samples, _ = soundfile.read(path, dtype="float32")
        return Said(text, samples, json.loads(facts.read_text(encoding="utf-8"))["cpu_s"])

    async def _made(self, phrases: Sequence[str], voice: str, speed: float, language: str | None) -> Samples:
        return np.concatenate(
            [
                chunk.samples
                for phrase in phrases
                async for chunk in self._speaker.speak(phrase, voice=voice, speed=speed, language=language)
            ]
        )

    async def _same(self, speed: float) -> str:
        """Of the engine: what it makes of the probes."""
        if speed not in self._versions:
            made = [await self._made([text], voice, speed, None) for voice, text in PROBES]
            self._versions[speed] = _key(*(hashlib.sha256(float_to_pcm16(sound)).hexdigest() for sound in made))
        return self._versions[speed]

    async def hear(self, samples: Samples, language: str) -> str:
        """samples: 24 kHz."""
        key = _key(self._transcriber.name, HEARING, language, hashlib.sha256(samples.tobytes()).hexdigest())
        path = self._cache / "heard" / f"{key}.txt"
        if not path.is_file():
            audio = resample(samples, SPEAK_RATE_HZ, LISTEN_RATE_HZ)
            heard = await self._transcriber.transcribe(audio, language=language, prompt="", final=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(heard.text, encoding="utf-8")
        return path.read_text(encoding="utf-8")


def phrases_of(text: str) -> list[str]:
    """As the server speaks it."""
    splitter = PhraseSplitter()
    return [cut.text for cut in (*splitter.feed(text), *splitter.finish()) if not cut.silent]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
