"""A replayed session for a person to read.

Knows: which fields say something, and how. Does not know: files, whether the core says the same today.

        1.248  FramesHeard sample=18944 (1.184 s) probability=0.95
                 open -> hearing
                 > SpeechStarted item_1 start_sample=10240 (0.640 s)

Times are seconds since the first event. Steps in which audio only came and went are summed up in one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import groupby
from typing import Final

import numpy as np

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.replay.compare import Replayed
from voxtral_voice.replay.recording import Header, Step

HEARD_HZ: Final = 16_000
SPOKEN_HZ: Final = 24_000
LONGEST: Final = 60
"""Characters of a text that are shown."""
UNDER: Final = " " * 14
OUR_ID: Final = re.compile("(item|resp)_[0-9a-f]{20}")
USUAL: Final[dict[str, object]] = {
    "tools": (),
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "pictures": (),
    "aside": False,
    "sound_ms": 0.0,
    "finish": "stop",
    "grows": False,
    "words": (),
    "places": (),
}
"""What a field of this name says when there is nothing to say."""


class Listing:
    """add(one) and end() give the lines to print."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._began: float | None = None
        self._quiet: list[Replayed] = []
        """Steps of audio in which nothing happened."""

    def add(self, one: Replayed) -> Iterator[str]:
        if self._began is None:
            self._began = one.step.at
            yield from self._head()
        if _is_quiet(one):
            self._quiet.append(one)
            return
        yield from self.end()
        yield f"{self._time(one)}  {shown(one.step.event)}"
        if one.before is not one.after:
            yield f"{UNDER}{one.before.value} -> {one.after.value}"
        yield from _said(one.step.commands)
        if one.step.raised is not None:
            yield f"{UNDER}! the core failed: {one.step.raised}"

    def end(self) -> Iterator[str]:
        """What waits."""
        if self._quiet:
            steps = [one.step for one in self._quiet]
            yield f"{self._time(self._quiet[0])}  ... {_summary(steps)}"
            self._quiet.clear()

    def _head(self) -> Iterator[str]:
        header = self._header
        content = "with" if header.content else "without"
        yield f"{header.session}, {header.began}, voxtral-voice {header.package}, {content} what was said"
        yield from (f"  {shown(part)}" for part in (header.policy, header.settings))

    def _time(self, one: Replayed) -> str:
        return f"{one.step.at - (self._began or 0.0):12.3f}"


def _is_quiet(one: Replayed) -> bool:
    """Audio that came and went, and nothing else."""
    step = one.step
    happened = step.raised is not None or one.before is not one.after
    happened |= any(not isinstance(command, ev.ReplyAudioDelta) for command in step.commands)
    return not happened and isinstance(step.event, ev.AudioReceived | ev.FramesHeard | ev.Wake)


def _summary(steps: Sequence[Step]) -> str:
    """Of quiet ones."""
    frames = [p for step in steps if isinstance(step.event, ev.FramesHeard) for p in step.event.probabilities]
    ends = [step.event.end_sample for step in steps if isinstance(step.event, ev.AudioReceived)]
    sent = [command for step in steps for command in step.commands]
    parts = [f"audio up to {ends[-1] / HEARD_HZ:.3f} s"] if ends else []
    parts += [f"{len(frames)} frames, {_spread('probabilities', frames)}"] if frames else []
    parts += [f"{_spoken_ms(sent)} sent"] if sent else []
    return "; ".join(parts) or "woken"


FRAMES: Final = {"probabilities": "speech {:.2f}", "levels_db": "level {:.0f} dBFS", "echoes": "echo {:.2f}"}
"""Fields with a number for each frame."""


def _spread(name: str, values: Sequence[float]) -> str:
    words, form = FRAMES[name].split(" ", 1)
    low, high = form.format(min(values)), form.format(max(values))
    return f"{words} {low}" if low == high else f"{words} {low.split()[0]} to {high}"


def _spoken_ms(commands: Iterable[ev.Command]) -> str:
    samples = sum(command.samples.size for command in commands if isinstance(command, ev.ReplyAudioDelta))
    return f"{1000 * samples / SPOKEN_HZ:.0f} ms"


def _said(commands: Sequence[ev.Command]) -> Iterator[str]:
    for kind, group in groupby(commands, type):
        if kind is ev.ReplyAudioDelta:
            yield f"{UNDER}> ReplyAudioDelta {_spoken_ms(group)}"
            continue
        for command in group:
            yield f"{UNDER}> {shown(command)}"
            if isinstance(command, ev.ReplyEnded) and command.timeline is not None:
                yield f"{UNDER}    {_stages(command.timeline)}"


def _stages(timeline: Timeline) -> str:
    """Last voiced sample in to first audio out."""
    stages = " + ".join(f"{name} {ms:.0f}" for name, ms in timeline.stages_ms().items())
    total, endpoint = timeline.total_ms(), timeline.endpoint_ms()
    parts = [stages or "no stage was reached"]
    parts += [f"= {total:.0f} ms"] if total is not None else []
    parts += [f"(turn over after {endpoint:.0f} ms)"] if endpoint is not None else []
    return " ".join(parts)


# --- one message ------------------------------------------------------------------------------------------------


def shown(message: object) -> str:
    """Name and fields; those that are None, or as in `USUAL`, are left out."""
    told = [(field.name, getattr(message, field.name)) for field in fields(message)]  # type: ignore[arg-type]
    parts = [_field(name, value) for name, value in told if not _says_nothing(name, value)]
    return " ".join([type(message).__name__, *filter(None, parts)])


def _says_nothing(name: str, value: object) -> bool:
    return value is None or (name in USUAL and value == USUAL[name])


def _field(name: str, value: object) -> str:
    match value:
        case Timeline():
            return ""
        case np.ndarray():
            return f"{1000 * value.size / SPOKEN_HZ:.0f} ms"
        case str():
            return _id(value) if name == "id" or name.endswith("_id") else f"{name}={_text(_id(value))}"
        case float():
            return f"{name}={value:.3g}"
        case int() if name.endswith("_sample"):
            return f"{name}={value} ({value / HEARD_HZ:.3f} s)"
        case tuple():
            return _list(name, value)
        case Enum():
            return f"{name}={value.name.lower()}"
        case _ if is_dataclass(value):
            return f"[{shown(value)}]"
    return f"{name}={value}"


def _list(name: str, values: tuple[object, ...]) -> str:
    if name in FRAMES:
        return _spread(name, [value for value in values if isinstance(value, float)]) if values else ""
    if name == "messages" and values:
        return f"{len(values)} messages, last {_last(values[-1])}"
    return f"{len(values)} {name}"


def _last(message: object) -> str:
    """Of what a responder is shown."""
    if isinstance(message, tuple):
        role, text = message
        return f"of {role}: {_text(str(text))}"
    return f"[{shown(message)}]"


def _id(text: str) -> str:
    """Ours are long and differ at once."""
    return text[:13] if OUR_ID.fullmatch(text) else text


def _text(text: str) -> str:
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    plain = short.isascii() and short.replace("_", "").isalnum()
    return short if plain else repr(short)
