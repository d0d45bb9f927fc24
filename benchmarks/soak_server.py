"""The server of the soak, in a process of its own: scripted engines that repeat the caller's secret, and now and then
one of them is broken.

Knows: engines, what of this process can be counted. Does not know: callers, limits.

Prints its URL, then one JSON object a line: a sample every SAMPLE_S, and each break when it is over. Ends with stdin.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import logging
import random
import re
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Final

import numpy as np
import psutil
import uvloop

from benchmarks.soak_judge import Sample
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Message, Samples, SpeechChunk, Transcript
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeSpeaker, FakeTranscriber
from voxtral_voice.engines.registry import Engines
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.server import memory, run

SAMPLE_S: Final = 5.0
BREAK_EVERY_S: Final = 20.0
BROKEN_S: Final = 0.5
RESUME_S: Final = 10
"""Callers are away for less; sessions of those who never come back are soon over."""
MIB: Final = 2**20
SECRET: Final = re.compile("sesame[a-p]{8}")
"""A caller's word. Letters only, so that no voice reads it in parts; no base64 of audio has it by chance."""
BRIEF: Final = "Be brief."
LINES: Final = (
    "What is the weather in Paris?",
    "Tell me something about the sea.",
    "Stop, that is not what I meant.",
    "How are you today?",
)
STORY: Final = "The sea is wide and deep. Ships sail on it. Fish live in it. Nobody has seen all of it."
LOWEST_HZ, STEP_HZ = 300, 30
"""Each voice is a tone of its own, so that one caller's sound in another's ear is heard."""

VOICE_NAMES: Final = tuple(VOICES)


def tone_hz(voice: str) -> int:
    return LOWEST_HZ + STEP_HZ * VOICE_NAMES.index(voice)


class Hears(FakeTranscriber):
    """A line, and the word that the caller asked it to expect."""

    async def transcribe(self, audio: Samples, *, language: str | None, prompt: str, final: bool) -> Transcript:
        heard = await super().transcribe(audio, language=language, prompt=prompt, final=final)
        words = " ".join(SECRET.findall(prompt))
        return replace(heard, text=f"{heard.text} {words}") if heard.text and words else heard


class Says(FakeSpeaker):
    """As long as the fake's, in the tone of the voice."""

    def __init__(self) -> None:
        super().__init__()
        self._tones: dict[tuple[int, int], Samples] = {}

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        async with aclosing(super().speak(text, voice=voice, speed=speed, language=language)) as chunks:
            async for chunk in chunks:
                yield replace(chunk, samples=self._tone(voice, chunk.samples))

    def _tone(self, voice: str, like: Samples) -> Samples:
        if voice not in VOICES:  # a blend
            return like
        key = tone_hz(voice), len(like)
        if key not in self._tones:
            loud = np.abs(like) > 0.005
            wave = 0.1 * np.sin(2 * np.pi * key[0] * np.arange(len(like)) / SPEAK_RATE_HZ)
            self._tones[key] = (wave * loud).astype(np.float32)
        return self._tones[key]


def answer(messages: Sequence[Message]) -> str:
    """With every word that the model was shown: what it should not have been shown is heard."""
    shown = " ".join(message.text for message in messages)
    words = " ".join(dict.fromkeys(SECRET.findall(shown)))
    told = f" The word is {words}." if words else ""
    if BRIEF in shown:
        return f"Yes.{told}"
    return (STORY if len(messages) % 2 else "Yes, of course.") + told


def engines(transcriber: Hears, responder: FakeResponder, speaker: Says) -> Engines:
    return registry.fake(transcriber=transcriber, responder=responder, speaker=speaker)


# --- the process -------------------------------------------------------------------------------------------------


async def serve(seed: int, config: Config) -> None:
    parts = Hears(LINES), FakeResponder(answer), Says()
    setattr(run, "build_engines", lambda *_: engines(*parts))  # noqa: B010 - it is not exported
    logging.disable(logging.ERROR)
    async with run.running(config) as url:
        memory.settle()
        print(url, flush=True)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(break_now_and_then(parts, seed)), group.create_task(tell_samples())]
            await asyncio.to_thread(sys.stdin.read)
            for task in tasks:
                task.cancel()


async def break_now_and_then(parts: tuple[Hears, FakeResponder, Says], seed: int) -> None:
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * BREAK_EVERY_S)
        part = rng.choice(parts)
        began = time.monotonic()
        part.broken = Broken("broken for the soak")
        await asyncio.sleep(BROKEN_S)
        part.broken = None
        print(json.dumps({"broken": [began, time.monotonic()]}), flush=True)


async def tell_samples() -> None:
    process, began = psutil.Process(), time.monotonic()
    while True:
        print(json.dumps(asdict(sample(process, time.monotonic() - began))), flush=True)
        await asyncio.sleep(SAMPLE_S)


def sample(process: psutil.Process, at_s: float) -> Sample:
    times, heap = process.cpu_times(), _mallinfo()
    return Sample(
        round(at_s, 1),
        round(process.memory_info().rss / MIB, 2),
        len(asyncio.all_tasks()),
        process.num_fds(),
        round(times.user + times.system, 2),
        round((heap.arena + heap.hblkhd) / MIB, 1),
        round((heap.uordblks + heap.hblkhd) / MIB, 1),
        sys.getallocatedblocks(),
    )


class Heap(ctypes.Structure):
    """mallinfo2(3): arena and hblkhd are held, uordblks and hblkhd in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _mallinfo() -> Heap:
    """Nothing but zeros where the C library has no such call."""
    try:
        call = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return Heap()
    call.restype = Heap
    found: Heap = call()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    uvloop.run(serve(options.seed, Config(profile="fake", server=ServerConfig(port=0, resume_s=RESUME_S))))


if __name__ == "__main__":
    main()
