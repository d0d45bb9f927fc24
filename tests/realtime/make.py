"""Small makers for these tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import strategies as st

from voxtral_voice.errors import VoiceError
from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.voices import Voices

NAMES = ("af_heart", "af_bella", "am_michael", "hf_alpha")


def find(name: str) -> str:
    raise VoiceError(f"There is no voice {name!r}: use one of {', '.join(NAMES)}.")


VOICES = Voices(NAMES, "af_heart", find)


def counted_ids() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda kind: f"{kind}_{next(numbers)}"


def session_object() -> SessionObject:
    return SessionObject("sess_1", "voxtral-voice", 1_800_000_000, VOICES, VOICES.default)


def frame(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, **fields}).decode()


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def change_one_place(draw: Callable[[st.SearchStrategy[Any]], Any], event: dict[str, Any]) -> None:
    """Somewhere in the event, put something else or nothing."""
    *way, last = draw(st.sampled_from(_places(event)))
    target: Any = event
    for key in way:
        target = target[key]
    if draw(st.booleans()):
        target[last] = draw(JSON)
    else:
        del target[last]


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [place for key, entry in inner for place in _places(entry, (*at, key))]
