"""Runs clients' programs, and judges what the user of a client got in one call.

Knows: the plan of the call (programs/call.py), what the scripted model answers. Does not know: clients, the server.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.brain import STORY, WEATHER
from tests.clients.programs.call import CUT_AFTER_S, RATE_HZ, WRITTEN
from tests.e2e.speech import Studio, plain, word_errors
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples, pcm16_to_float

PATIENCE_S: Final = 150.0
ANSWERS: Final = ("question", "weather", "story", "repeat", "written")
PRESSED: Final = "pressed"
"""And this one, where a client has push to talk."""
WORDS_PER_S: Final = 4.5
"""More than the voice says."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Program:
    command: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)


def printed_by(program: Program) -> str:
    """What it printed. It has to end well."""
    env = {**os.environ, **program.env}
    done = subprocess.run(
        program.command, cwd=program.folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def begun(names: Iterable[str], program: Callable[[str], Program], pool: ThreadPoolExecutor) -> dict[str, Future[str]]:
    """What each of these programs will have printed: they mostly wait, so several run at once. A program that is not
    there is told to whoever asks for it."""
    found: dict[str, Future[str]] = {}
    for name in names:
        try:
            found[name] = pool.submit(printed_by, program(name))
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            found[name] = Future()
            found[name].set_exception(missing)
    return found


def chosen(request: pytest.FixtureRequest, parameter: str) -> list[str]:
    """The values of this parameter for which tests of the asking module were selected, in order."""
    tests = [item for item in request.session.items if item.path == request.path]
    specs = [getattr(item, "callspec", None) for item in tests]
    return list(dict.fromkeys(spec.params[parameter] for spec in specs if spec and parameter in spec.params))


def lines(printed: str) -> list[Line]:
    """That a program of ours told."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


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
            assert 1 <= len(samples) / RATE_HZ <= CUT_AFTER_S + 4
        else:
            assert word_errors(text, heard := await studio.hear(samples)) <= 0.25, (name, text, heard)
