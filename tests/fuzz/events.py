"""Events of clients: good ones, nearly good ones, and things that are none.

Knows: what clients may send, and how to spoil it. Does not know: what should come of it.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")


class Chance(Protocol):
    """Of `random.Random`, what is needed; bytes can be one, too."""

    def random(self) -> float: ...
    def randrange(self, start: int, stop: int = ..., /) -> int: ...
    def randbytes(self, n: int, /) -> bytes: ...
    def choice(self, seq: Sequence[T], /) -> T: ...


class Chosen:
    """What is chosen is in the bytes; at their end, always the first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def _next(self) -> int:
        self._at += 1
        return 0 if self._at > len(self._data) else self._data[self._at - 1]

    def random(self) -> float:
        return self._next() / 256

    def randrange(self, start: int, stop: int | None = None, /) -> int:
        low, high = (0, start) if stop is None else (start, stop)
        return low + (self._next() + 256 * self._next() * (high - low > 256)) % (high - low)

    def randbytes(self, n: int, /) -> bytes:
        return bytes([self._next()]) * n

    def choice(self, seq: Sequence[T], /) -> T:
        return seq[self._next() % len(seq)]


EVENTS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "input_audio_buffer.append", "audio": "AAAAAAAA", "event_id": "e1"},
    {"type": "input_audio_buffer.commit"},
    {"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief.", "tools": []}},
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200},
                },
                "output": {"voice": "alloy", "speed": 1.5, "format": {"type": "audio/pcm", "rate": 24000}},
            },
            "tool_choice": {"type": "function", "name": "f"},
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "voxtral_voice": {"events": True, "resume": True},
        },
    },
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"id": "i", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
        },
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "{}"}},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 100},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.delete", "item_id": "i"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "input": [{"type": "item_reference", "id": "i"}],
            "metadata": {"a": "b"},
            "max_output_tokens": "inf",
            "output_modalities": ["text"],
        },
    },
    {"type": "response.cancel", "response_id": "r"},
)

Make = Callable[[Chance], str | bytes]
ODD: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 2**63, -(2**63), 2**64, 1e308, 0.1, "", "\0", "x" * 600, "\ud800", [], [[]], {}, {"": ""}),
    *("item_1", "root", "NaN", "AAA", "audio/pcmu", "inf", "auto", {"type": "function"}, ["audio", "text"], "é" * 50),
)


def event(rng: Chance) -> str:
    """A good one."""
    return json.dumps(rng.choice(EVENTS))


def spoiled(rng: Chance) -> str:
    """A good one in which some places hold something else."""
    made = json.loads(event(rng))
    for _ in range(rng.choice((1, 1, 2, 5))):
        spoil(made, rng)
    return json.dumps(made)


def spoil(value: Any, rng: Chance) -> None:
    """Put something else in one place of it."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys:
        return
    key = rng.choice(keys)
    inner = value[key]
    if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
        spoil(inner, rng)
    elif isinstance(value, dict) and rng.random() < 0.2:
        value[rng.choice(("x", "type", "audio", "session", "é"))] = value.pop(key)
    else:
        value[key] = copy.deepcopy(rng.choice(ODD))


def broken(rng: Chance) -> str:
    """The text of one, with a piece cut out, doubled or changed."""
    text = event(rng)
    at, size = rng.randrange(len(text)), rng.randrange(1, 20)
    piece = rng.choice(("", text[at : at + size] * 3, chr(rng.randrange(1, 0xD800)), "[" * size, '"', "\\", "1e400"))
    return text[:at] + piece + text[at + size :]


def sound(rng: Chance) -> str:
    """Noise or silence, of any number of bytes."""
    size = rng.choice((0, 1, 2, 3, 479, 480, 960, 4800))
    data = rng.randbytes(size) if rng.random() < 0.3 else bytes(size)
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})


def nonsense(rng: Chance) -> str | bytes:
    size = rng.choice((0, 1, 5, 100, 3000))
    noise = rng.randbytes(size)
    made: tuple[str | bytes, ...] = (noise, noise.decode("latin-1"), "[" * size, " " * size, "0" * size)
    return rng.choice(made)


MAKERS: Final[tuple[tuple[Make, int], ...]] = ((spoiled, 40), (event, 20), (sound, 20), (broken, 12), (nonsense, 8))
