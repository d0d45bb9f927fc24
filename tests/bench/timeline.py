"""Words for hand-made timelines: what was said, what came back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.clip import Kind
from voxtral_voice.bench.player import PLAY_RATE_HZ
from voxtral_voice.bench.record import (
    AudioArrived,
    Observation,
    Purpose,
    ReplyBegan,
    ReplyEnded,
    Said,
    SessionRecord,
    Status,
)

LOUD = 0.1
ONSET_S = 0.1
"""In every clip of these timelines, after its beginning."""


def tone(seconds: float) -> Samples:
    """Audible from its first window to its last."""
    steps = np.arange(round(seconds * PLAY_RATE_HZ))
    return (LOUD * np.sin(2 * np.pi * 440 * steps / PLAY_RATE_HZ)).astype(np.float32)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * PLAY_RATE_HZ), np.float32)


def said(begin: float, end: float, purpose: Purpose = "turn", clip: str = "en-core/one", **changed: Any) -> Said:
    kind: Kind = "tap" if purpose == "tap" else "turn"
    plain = Said(clip, kind, purpose, "what is that", "en", "", begin, begin + ONSET_S, end)
    return dataclasses.replace(plain, **changed)


def reply(
    name: str, at: float, seconds: float = 1.0, *, ended: float | None = None, status: Status = "completed"
) -> list[Observation]:
    """Begins at `at`, all of it audible and arriving 10 ms later, ends 20 ms later or when told."""
    return [
        ReplyBegan(at, name),
        AudioArrived(at + 0.01, name, tone(seconds)),
        ReplyEnded(at + 0.02 if ended is None else ended, name, status),
    ]


def record(
    things: Sequence[Said], *seen: Observation | list[Observation], lateness_ms: tuple[float, ...] = (1.0,)
) -> SessionRecord:
    """Observations are put in order of time; those of the same time stay as they are."""
    flat = [each for one in seen for each in (one if isinstance(one, list) else [one])]
    return SessionRecord(tuple(things), tuple(sorted(flat, key=lambda each: each.at)), lateness_ms, 0.0, 60.0)
