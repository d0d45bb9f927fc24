"""The eight voices: what Whisper base writes when they speak, their pitch, and what a second of speech costs.

    .venv/bin/python -m benchmarks.voices [--out benchmarks/voices.json]

Each voice says eight sentences of its language, cut into phrases as the server cuts them, by the engine that the server
uses for it; af_heart is also spoken by Kokoro itself, whose student is the default. Whisper is told the language.
Errors are pooled over the sentences: of words (WER) and of letters (CER), without case, punctuation, nuktas and the
difference between the two nasal signs. Whisper base knows little Hindi, so that a Hindi CER is an upper bound of the
voice's own faults; beside it stands the CER of the same words against the nearest of the other sentences, which is what
unintelligible speech would get. CPU is that of all threads, for the speech alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.speech import letter_errors, pitch_hz, word_errors
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.conversation.phrases import PhraseSplitter
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Speaker
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.student import VOICE as STUDENT_VOICE
from voxtral_voice.engines.student import Student, WithStudent
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.weights import default_weights_dir

SENTENCES = {
    "en": (
        "The last reader leaves the old library, and locks the door.",
        "You can take the train to the coast in the morning.",
        "Water boils faster when the pot is covered.",
        "My sister plays the piano, and my brother sings.",
        "Please turn left at the church, then cross the bridge.",
        "The weather will be cold and cloudy tomorrow.",
        "Bees make honey, and they also help the flowers.",
        "I am sorry, I did not understand your question.",
    ),
    "hi": (
        "मेरा नाम राम है, और मुझे कल सुबह दिल्ली जाना है।",
        "आज मौसम बहुत अच्छा है, चलो बाहर घूमने चलते हैं।",
        "भारत एक बहुत बड़ा देश है।",
        "आज शाम को हम सब साथ में खाना खाएंगे।",
        "नमस्ते, मैं आपकी क्या मदद करूँ?",
        "मुझे चाय पसंद है, लेकिन मेरी बहन को कॉफ़ी पसंद है।",
        "बच्चे स्कूल में पढ़ते हैं और शाम को खेलते हैं।",
        "यह किताब मेरे पिता ने मुझे दी थी।",
    ),
}


def main() -> None:
    out = parse().out
    began = time.monotonic()
    result = {
        "command": "python -m benchmarks.voices" + "".join(f" {word}" for word in sys.argv[1:]),
        "commit": commit(),
        "machine": machine(),
        "sentences_per_voice": len(SENTENCES["en"]),
        "written_by": "whisper-base int8, language given",
        "voices": asyncio.run(measure_all()),
        "wall_s": round(time.monotonic() - began),
    }
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "voices.json")
    return parser.parse_args()


async def measure_all() -> list[dict[str, Any]]:
    folder = default_weights_dir()
    kokoro = Kokoro(folder / "kokoro-v1.0-int8.onnx", folder / "voices")
    speaker, whisper = WithStudent(kokoro, Student()), Whisper(folder / "whisper-base")
    await speaker.start()
    await whisper.start()
    rows = [await measure(kokoro, STUDENT_VOICE, "kokoro", whisper)]
    for voice in DEFAULT_VOICES:
        engine = "student" if voice == STUDENT_VOICE else "kokoro"
        rows.append(await measure(speaker, voice, engine, whisper))
    await speaker.aclose()
    await whisper.aclose()
    return rows


async def measure(speaker: Speaker, voice: str, engine: str, whisper: Whisper) -> dict[str, Any]:
    language = VOICES[voice].speaks
    written = SENTENCES[language]
    before = time.process_time()
    spoken = [await speak(speaker, text, voice) for text in written]
    cpu_s = time.process_time() - before
    heard = [await hear(whisper, samples, language) for samples in spoken]
    audio_s = sum(map(len, spoken)) / SPEAK_RATE_HZ
    row = {
        "voice": voice,
        "engine": engine,
        "language": language,
        "wer": round(word_errors([*written], heard), 3),
        "cer": round(letter_errors([*written], heard), 3),
        "cer_against_other_sentences": round(against_others(written, heard), 3),
        "pitch_hz": round(pitch_hz(np.concatenate(spoken))),
        "audio_s": round(audio_s, 1),
        "cpu_s_per_audio_s": round(cpu_s / audio_s, 3),
    }
    print(row, flush=True)
    return {**row, "heard": heard}


async def speak(speaker: Speaker, text: str, voice: str) -> Samples:
    """24 kHz."""
    splitter = PhraseSplitter()
    phrases = [*splitter.feed(text), *splitter.finish()]
    pieces = [chunk.samples for phrase in phrases async for chunk in speaker.speak(phrase, voice=voice, speed=1.0)]
    return np.concatenate(pieces)


async def hear(whisper: Whisper, samples: Samples, language: str) -> str:
    audio = resample(samples, SPEAK_RATE_HZ, LISTEN_RATE_HZ)
    return (await whisper.transcribe(audio, language=language, prompt="", final=True)).text


def against_others(written: Sequence[str], heard: Sequence[str]) -> float:
    """Mean over what was heard of the CER against the nearest sentence that was not said."""
    nearest = [
        min(letter_errors(other, text) for other in written if other != said)
        for said, text in zip(written, heard, strict=True)
    ]
    return float(np.mean(nearest))


if __name__ == "__main__":
    main()
