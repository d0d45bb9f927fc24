"""Small makers for these tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import orjson

from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.voices import Voices

VOICES = Voices(("af_heart", "af_bella", "am_michael", "hf_alpha"), "af_heart")


def counted_ids() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda kind: f"{kind}_{next(numbers)}"


def session_object() -> SessionObject:
    return SessionObject("sess_1", "voxtral-voice", 1_800_000_000, VOICES, VOICES.default)


def frame(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, **fields}).decode()
