"""Runs a client's program through one call, and judges what its user got.

Knows: the plan of the call (programs/call.py), what the scripted model answers. Does not know: clients, the server.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.clients.brain import STORY, WEATHER
from tests.clients.programs.call import CUT_AFTER_S, RATE_HZ, WRITTEN
from tests.e2e.speech import Studio, plain, word_errors
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples, pcm16_to_float

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 100.0
ANSWERS: Final = ("question", "weather", "story", "repeat", "written")
PRESSED: Final = "pressed"
"""And this one, where a client has push to talk."""
WORDS_PER_S: Final = 4.5
"""More than the voice says."""

Line = dict[str, Any]


async def told_by(command: Sequence[str], env: Mapping[str, str] | None = None) -> list[Line]:
    """Every line that a program of ours printed."""
    printed = await printed_by(command, folder=ROOT, env=env)
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


async def printed_by(command: Sequence[str], *, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What the program printed. It has to end well."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **(env or {})}, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert program.returncode == 0, f"{out.decode()}\n{err.decode()}"
    return out.decode()


def of_kind(told: Sequence[Line], kind: str) -> list[Line]:
    return [line for line in told if line["kind"] == kind]


def sound(told: Sequence[Line], name: str) -> Samples:
    """Of this answer, 24 kHz."""
    (line,) = [line for line in of_kind(told, "answer") if line["name"] == name]
    return pcm16_to_float(Path(line["file"]).read_bytes())


def begins(whole: str, text: str) -> bool:
    """Whether the text is how the whole begins, but for punctuation and a last word cut in two."""
    return bool(text.strip()) and plain(whole).startswith(plain(text.strip(" .…")))


async def judge(told: Sequence[Line], words: Mapping[str, str], studio: Studio) -> None:
    """Everything that a user of the client cares for."""
    assert of_kind(told, "error") == []
    names = [line["name"] for line in of_kind(told, "answer")]
    assert names in (list(ANSWERS), [*ANSWERS, PRESSED])
    assert [line["city"] for line in of_kind(told, "tool")] == ["Paris"]
    (history,) = of_kind(told, "history")
    asked = [item["text"] for item in history["items"] if item["role"] == "user"]
    said = [item["text"] for item in history["items"] if item["role"] == "assistant"]
    if PRESSED in names:
        assert word_errors(words["question"], asked.pop()) <= 0.2
        assert word_errors(f"You said: {words['question']}", said[-1]) <= 0.2
    _judge_words(asked, said[: len(ANSWERS)], words)
    await _judge_sounds(told, dict(zip(names, said, strict=True)), studio)


def _judge_words(asked: list[str], said: list[str], words: Mapping[str, str]) -> None:
    wanted = [*(words[name] for name in ("question", "weather", "story", "repeat")), WRITTEN]
    assert len(asked) == len(wanted), asked
    assert word_errors(wanted, asked) <= 0.2, asked
    question, weather, story, repeated, written = said
    assert word_errors(f"You said: {words['question']}", question) <= 0.2, question
    assert plain(weather) == plain(f"The weather in Paris is {WEATHER}.")
    assert begins(STORY, story), story
    assert len(story.split()) < len(STORY.split())
    assert begins(STORY, repeated), repeated  # what the server remembers is what was heard
    assert len(repeated.split()) <= WORDS_PER_S * (CUT_AFTER_S + 2)
    assert word_errors(f"First you said: {words['question']}", written) <= 0.2, written


async def _judge_sounds(told: Sequence[Line], said: Mapping[str, str], studio: Studio) -> None:
    for name, text in said.items():
        samples = sound(told, name)
        assert rms_dbfs(samples) > -35, name
        if name == "story":
            assert CUT_AFTER_S <= len(samples) / RATE_HZ <= CUT_AFTER_S + 4
        else:
            assert word_errors(text, heard := await studio.hear(samples)) <= 0.25, (name, text, heard)
