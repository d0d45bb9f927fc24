"""How loud each voice is, and the gain that makes it as loud as all others.

    .venv/bin/python -m benchmarks.voice_gains [--out benchmarks/voice_gains.json]

Each voice, and the student, says the first three sentences that `voice_sentences.toml` has for its language; their
loudness together (ITU-R BS.1770, `audio/loudness.py`), without a gain, says what gain it needs. One further sentence,
with that gain, says how well it fits (`checked_lufs`); `all_lufs` is the loudness of all four. Some blends, whose gains
are mixed as their styles are, are checked too. The gains in `engines/voices.py` and `engines/student.py` are those of
the JSON (a test compares them); after a run, put in the lines that it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.engines import student
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Speaker
from voxtral_voice.engines.blends import Blend, parse
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.voices import GAINS_DB, LOUDNESS_LUFS, VOICES, stock
from voxtral_voice.weights import default_weights_dir

MEASURED: Final = 3
CHECKED: Final = 1
BLENDS: Final = (
    "af_heart:0.6,af_bella:0.4",
    "af_heart:0.5,hf_alpha:0.5",
    "hm_psi:0.7,af_nicole:0.3",
    "am_michael:0.5,bf_emma:0.5",
)
HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Said:
    """Without a gain."""

    voice: str
    measured: Samples
    checked: Samples

    @property
    def lufs(self) -> float:
        return loudness_lufs(self.measured, SPEAK_RATE_HZ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "voice_gains.json")
    out = parser.parse_args().out
    rows = asyncio.run(measure_all())
    spreads = {f"{name}_spread_lu": spread([row[name] for row in rows]) for name in ("all_lufs", "checked_lufs")}
    result = {
        "command": "python -m benchmarks.voice_gains" + "".join(f" {word}" for word in sys.argv[1:]),
        "commit": commit(),
        "machine": machine(),
        "target_lufs": LOUDNESS_LUFS,
        **spreads,
        "loudest_peak_dbfs": max(row["peak_dbfs"] for row in rows),
        "voices": rows,
    }
    out.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(f"{row['voice']}={row['gain_db']}" for row in rows if row["voice"] not in BLENDS))


async def measure_all() -> list[dict[str, Any]]:
    sentences = tomllib.loads((HERE / "voice_sentences.toml").read_text(encoding="utf-8"))
    folder = default_weights_dir()
    kokoro = Kokoro(folder / "kokoro-v1.0-int8.onnx", folder / "voices", threads=1)
    little = student.Student()
    await kokoro.start()
    await little.start()
    rows = []
    for voice in VOICES.values():
        said = await say(kokoro, voice.id, sentences[voice.language], GAINS_DB[voice.id])
        rows.append(row_of(voice.id, said))
    said = await say(little, student.VOICE, sentences["en-US"], student.GAIN_DB)
    rows.append(row_of("student", said))
    gains = {row["voice"]: row["gain_db"] for row in rows}
    for name in BLENDS:
        blend = parse(name, stock)
        said = await say(kokoro, name, sentences[blend.voice.language], mixed(blend, GAINS_DB.__getitem__))
        rows.append(row_of(name, said, mixed(blend, gains.__getitem__)))
    await kokoro.aclose()
    await little.aclose()
    return rows


async def say(speaker: Speaker, voice: str, texts: Sequence[str], used_gain_db: float) -> Said:
    spoken = [await _one(speaker, voice, text) * _factor(-used_gain_db) for text in texts[: MEASURED + CHECKED]]
    return Said(voice, np.concatenate(spoken[:MEASURED]), np.concatenate(spoken[MEASURED:]))


async def _one(speaker: Speaker, voice: str, text: str) -> Samples:
    return np.concatenate([chunk.samples async for chunk in speaker.speak(text, voice=voice, speed=1.0)])


def mixed(blend: Blend, gain_of: Callable[[str], float]) -> float:
    return round(sum(part.weight * gain_of(part.voice.id) for part in blend.parts), 2)


def row_of(name: str, said: Said, gain_db: float | None = None) -> dict[str, Any]:
    """gain_db: None = what it needs."""
    gain = round(LOUDNESS_LUFS - said.lufs, 1) + 0.0 if gain_db is None else gain_db  # no minus zero
    everything = np.concatenate((said.measured, said.checked))
    peak = float(np.abs(everything).max()) * _factor(gain)
    row = {
        "voice": name,
        "lufs": round(said.lufs, 2),
        "gain_db": gain,
        "all_lufs": round(loudness_lufs(everything * _factor(gain), SPEAK_RATE_HZ), 2),
        "checked_lufs": round(loudness_lufs(said.checked * _factor(gain), SPEAK_RATE_HZ), 2),
        "peak_dbfs": round(float(20 * np.log10(peak)), 1),
    }
    print(row, file=sys.stderr, flush=True)
    return row


def spread(lufs: Sequence[float]) -> float:
    return round(max(lufs) - min(lufs), 2)


def _factor(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))


if __name__ == "__main__":
    main()
