"""The bench's own error in "heard text": words found by ear, against the voice's word times.

    .venv/bin/python -m benchmarks.heard_words

Sentences of the assistant's voice are cut at random places (seeded); a word counts as played when half of it was.
Writes benchmarks/heard_words.json.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import orjson

from voxtral_voice.audio.resample import resample
from voxtral_voice.bench import ear
from voxtral_voice.bench.corpus.voices import speaker
from voxtral_voice.bench.machine import commit
from voxtral_voice.bench.words import heard_words
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, SpeechChunk

FILE: Final = Path(__file__).with_suffix(".json")
VOICE: Final = "af_heart"
CUTS: Final = 6
"""Of each sentence."""
CUT_S: Final = (0.8, 2.2)
"""A barge-in begins 1 s into a reply, and is noticed some 300 ms later."""
TEXTS: Final = (
    "Paris is the capital of France, and it is a big city.",
    "A spider has eight legs and many eyes.",
    "The sky is blue because of the way light scatters.",
    "You can boil an egg in about ten minutes.",
    "The moon is far away from the earth.",
    "Penguins live in the cold south, near the ice.",
    "Bees make honey from the flowers that they visit.",
)


async def main() -> int:
    rng, off = random.Random(1), Counter[str]()
    spoken = [(text, chunk) for text in TEXTS for chunk in await say(text)]
    async with ear.transcriber() as hear:
        for text, chunk in spoken:
            for _ in range(CUTS):
                off[await error(hear, text, chunk, rng.uniform(*CUT_S))] += 1
    found = {"commit": commit(), "cuts": len(spoken) * CUTS, "words_too_many": dict(sorted(off.items()))}
    FILE.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    print(found)
    return 0


async def say(text: str) -> list[SpeechChunk]:
    kokoro = speaker()
    await kokoro.start()
    try:
        return [chunk async for chunk in kokoro.speak(text, voice=VOICE, speed=1.0)]
    finally:
        await kokoro.aclose()


async def error(hear: ear.Ear, text: str, chunk: SpeechChunk, cut_s: float) -> str:
    """Words by ear, less words by their times; "none" when nothing was understood."""
    played = sum((word.start_ms + word.end_ms) / 2 <= cut_s * 1000 for word in chunk.words)
    audio = resample(chunk.samples[: round(cut_s * SPEAK_RATE_HZ)], SPEAK_RATE_HZ, LISTEN_RATE_HZ)
    found = heard_words(text, await hear(audio, "en"), "", "en")
    return "none" if found is None else str(found.played - played)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
