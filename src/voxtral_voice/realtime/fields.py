"""Reading JSON that a client sent: typed, bounded, and a clear problem for everything else.

Knows: JSON types, ranges, the names of fields, the error codes of the protocol. Does not know: any event.

A `Check` takes (value, param) and gives the checked value or raises `FieldError`. `param` is the field's full name as
the client would write it ("session.audio.output.speed"). A FieldError becomes a
Problem on the wire, and an HTTP error at the server's endpoints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

import orjson
import pybase64

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

T = TypeVar("T")
L = TypeVar("L", bound=str)
Check: TypeAlias = Callable[[Json, str], T]

MAX_TEXT_CHARS: Final = 100_000
"""Longest text in one field; far beyond any model's context here."""
MAX_NAME_CHARS: Final = 100
"""Of a key that a client made up and that is named in an error."""
MAX_SMALL_JSON_BYTES: Final = 16_384
"""Largest free-form object that is echoed."""
MAX_UNKNOWN: Final = 20
"""Names of unknown keys that are told of one object."""
MIB: Final = 1024 * 1024
MAX_AUDIO_BYTES: Final = 15 * MIB
"""Decoded audio in one event (OpenAI Realtime API)."""
MAX_AUDIO_CHARS: Final = MAX_AUDIO_BYTES // 3 * 4

ProblemCode = Literal[
    "invalid_json",
    "invalid_event",
    "invalid_value",
    "missing_required_parameter",
    "unknown_parameter",
    "item_create_duplicate_item_id",
    "item_retrieve_invalid_item_id",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a client event; answered with an `error` event, and the session goes on."""

    code: ProblemCode
    message: str
    param: str | None = None
    client_event_id: str | None = None
    """`event_id` of the client event, None when it gave none."""


class FieldError(Exception):
    """A Problem on its way to the edge of this package."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def invalid(param: str, expected: str, value: Json) -> FieldError:
    """`expected` completes "expected ..."."""
    return invalid_size(param, expected, shown(value))


def invalid_size(param: str, expected: str, got: str) -> FieldError:
    """For a value too large to be shown: `got` says how large."""
    message = f"Invalid value for '{param}': expected {expected}, but got {got}."
    return FieldError(Problem("invalid_value", message, param))


def unsupported(param: str, instead: str) -> FieldError:
    """`instead` is a sentence that says what to do."""
    return FieldError(Problem("invalid_value", f"Invalid value for '{param}': this is not supported. {instead}", param))


def shown(value: Json) -> str:
    """The value as far as it fits in an error message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # half a surrogate pair, which JSON cannot have; a whole number of more than 64 bits
        text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:56]}..."


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of the client, and its full name ("" = the event itself)."""

    values: JsonObject
    name: str = ""

    @classmethod
    def of(cls, value: Json, name: str) -> Fields:
        if not isinstance(value, dict):
            raise invalid(name, "an object", value)
        return cls(value, name)

    def param(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def required(self, key: str, check: Check[T]) -> T:
        """null counts as missing."""
        value = self.values.get(key)
        if value is None:
            param = self.param(key)
            raise FieldError(Problem("missing_required_parameter", f"Missing required parameter: '{param}'.", param))
        return check(value, self.param(key))

    def optional(self, key: str, check: Check[T], default: T) -> T:
        """`default` when absent or null."""
        return self.patch(key, check, default, default)

    def patch(self, key: str, check: Check[T], current: T, cleared: T) -> T:
        """`current` when absent, `cleared` when null."""
        if key not in self.values:
            return current
        value = self.values[key]
        return cleared if value is None else check(value, self.param(key))

    def inner(self, key: str) -> Fields:
        """The object under `key`; absent or null is an empty one."""
        return self.optional(key, Fields.of, Fields({}, self.param(key)))

    def only(self, *known: str) -> None:
        """Refuse other keys, unless they are null."""
        for param in self.unknown(*known):
            message = f"Unknown parameter: '{param}'. Known here are {', '.join(known)}."
            raise FieldError(Problem("unknown_parameter", message, param))

    def unknown(self, *known: str) -> tuple[str, ...]:
        """Full names of other keys that are not null, the first few."""
        keys = (key for key, value in self.values.items() if key not in known and value is not None)
        return tuple(self.param(key[:MAX_NAME_CHARS]) for key in islice(keys, MAX_UNKNOWN))


# --- checks -----------------------------------------------------------------------------------------------------


def text(most_chars: int = MAX_TEXT_CHARS, least_chars: int = 0) -> Check[str]:
    def check(value: Json, param: str) -> str:
        if not isinstance(value, str):
            raise invalid(param, "a string", value)
        if not least_chars <= len(value) <= most_chars:
            raise invalid_size(param, f"{least_chars} to {most_chars} characters", f"{len(value)}")
        return value

    return check


def choice(*allowed: L) -> Check[L]:
    def check(value: Json, param: str) -> L:
        for known in allowed:
            if value == known:
                return known
        raise invalid(param, f"one of {', '.join(repr(known) for known in allowed)}", value)

    return check


def number(low: float, high: float) -> Check[float]:
    def check(value: Json, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise invalid(param, f"a number from {low:g} to {high:g}", value)
        return value

    return check


def integer(low: int, high: int) -> Check[int]:
    """Also takes 500.0, which some clients send for 500."""

    def check(value: Json, param: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise invalid(param, f"an integer from {low} to {high}", value)
        if value != int(value):
            raise invalid(param, "an integer", value)
        return int(value)

    return check


def boolean(value: Json, param: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(param, "true or false", value)
    return value


def each(check: Check[T], most: int) -> Check[list[T]]:
    """An array of at most `most` values."""

    def check_all(value: Json, param: str) -> list[T]:
        if not isinstance(value, list):
            raise invalid(param, "an array", value)
        if len(value) > most:
            raise invalid_size(param, f"at most {most} entries", f"{len(value)}")
        return [check(entry, f"{param}[{index}]") for index, entry in enumerate(value)]

    return check_all


def shape(
    checks: Mapping[str, Check[Json]], *, required: tuple[str, ...] = (), strict: bool = False
) -> Check[JsonObject]:
    """An object with these keys, as given but for unknown keys, which are dropped (strict: refused)."""

    def check(value: Json, param: str) -> JsonObject:
        fields = Fields.of(value, param)
        if strict:
            fields.only(*checks)
        for key in required:
            fields.required(key, checks[key])
        return {key: fields.optional(key, checks[key], None) for key in checks if key in fields.values}

    return check


def json_text(most_bytes: int) -> Check[str]:
    """Any object, as the JSON that it is: not too large, and not nested too deep for the encoder."""

    def check(value: Json, param: str) -> str:
        try:
            encoded = orjson.dumps(Fields.of(value, param).values)
        except orjson.JSONEncodeError as error:
            raise invalid(param, "an object that is not nested so deep", value) from error
        if len(encoded) > most_bytes:
            raise invalid_size(param, f"at most {most_bytes} bytes of JSON", f"{len(encoded)}")
        return encoded.decode()

    return check


def small_object(value: Json, param: str) -> JsonObject:
    """Any object that can be echoed."""
    json_text(MAX_SMALL_JSON_BYTES)(value, param)
    return Fields.of(value, param).values


def audio_bytes(value: Json, param: str) -> bytes:
    """Base64, strict; what the bytes are is not known here."""
    audio = value if isinstance(value, str) else text()(value, param)
    if len(audio) > MAX_AUDIO_CHARS:
        most, got = f"at most {MAX_AUDIO_BYTES // MIB} MiB of audio in one event", len(audio) * 3 / 4 / MIB
        raise invalid_size(param, most, f"{got:.1f} MiB; send it in smaller pieces")
    try:
        return pybase64.b64decode(audio, validate=True)
    except ValueError as error:
        raise invalid_size(param, "base64 (RFC 4648, padded, no line breaks)", "something else") from error
