"""Speaks the apologies of `server/apology.py` with Kokoro, and writes them where the server looks for them.

usage: .venv/bin/python scripts/render_apologies.py
"""

from __future__ import annotations

import asyncio
import os
import re

import numpy as np
import soundfile

from voxtral_voice.config import load
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, Speaker
from voxtral_voice.server import apology
from voxtral_voice.server.runtime import build_engines

PAUSE_S = 0.25
"""Between the two sentences of each."""
QUALITY = 0.87
"""Of Opus, 0 (best) to 1: about 40 kbit/s, at which a voice cannot be told from the original."""


async def spoken(speaker: Speaker, text: str, voice: str, language: str) -> Samples:
    parts: list[Samples] = []
    for sentence in re.findall(r"[^.。।]+[.。।]", text):
        parts += [] if not parts else [np.zeros(round(PAUSE_S * SPEAK_RATE_HZ), np.float32)]
        parts += [c.samples async for c in speaker.speak(sentence.strip(), voice=voice, speed=1.0, language=language)]
    return np.concatenate(parts)


async def main() -> None:
    settings = {**os.environ, "VOXTRAL_VOICE_SPEAKER_STUDENT": "false"}
    speaker = build_engines(load(None, settings, []).config).speaker
    await speaker.start()
    apology.FOLDER.mkdir(exist_ok=True)
    for engine in apology.TEXTS:
        for tag, voice in apology.VOICES.items():
            samples = await spoken(speaker, apology.text(engine, tag), voice, tag.partition("-")[0])
            path = apology.file(engine, tag)
            form = {"format": "OGG", "subtype": "OPUS", "compression_level": QUALITY}
            soundfile.write(path, samples, SPEAK_RATE_HZ, **form)
            print(f"{path.name}: {len(samples) / SPEAK_RATE_HZ:.1f} s, {path.stat().st_size} bytes")
    await speaker.aclose()


if __name__ == "__main__":
    asyncio.run(main())
