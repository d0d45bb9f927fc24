"""Frozen dataclasses <-> JSON, by their annotations.

Knows: the few types that the core's messages are made of. Does not know: which messages there are, files.

A tagged message is an object with one field, its class: {"TurnJudged": {"attempt": 1, "probability": 0.97}}. All fields
are written. Where a field may be one of several things, the first that its annotation names is written as it is, and
the others, which are messages, tagged. On reading, a field that is missing takes its default, so that older files can
be read; whatever else does not fit is a CodecError.

Audio is {"silence": number of samples} when all of it is zero, else {"pcm16": base64 of little-endian int16}.
"""

from __future__ import annotations

import sys
import types
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from voxtral_voice.audio.pcm import float_to_pcm16, pcm16_to_float
from voxtral_voice.errors import AudioError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]
T = TypeVar("T")

MAX_SILENCE: Final = 24_000 * 3600
"""Samples; a number in a file may not fill the memory."""


class CodecError(ValueError):
    """The JSON is not what was asked for; the text says what is wrong and where in the message."""


def tagged(message: object) -> JsonObject:
    return {type(message).__name__: untagged(message)}


def untagged(message: object) -> JsonObject:
    kind: Any = type(message)
    written: JsonObject = _writer(kind)(message)
    return written


def read_tagged(value: Json, kinds: Mapping[str, type[T]]) -> T:
    """`kinds` by the names of their classes."""
    if not isinstance(value, dict) or len(value) != 1:
        raise CodecError("a message should be an object with one field, its class")
    [(name, body)] = value.items()
    if name not in kinds:
        raise CodecError(f"{shown(name)} is no message that is known here")
    return read_untagged(body, kinds[name])


def read_untagged(value: Json, kind: type[T], name: str = "") -> T:
    """name: what it is called in an error; "" = its class."""
    hint: Any = kind
    try:
        message: T = _reader(hint)(value)
    except CodecError as error:
        raise CodecError(f"{name or kind.__name__}{error}") from None
    return message


def shown(value: Json) -> str:
    """As far as it fits in a sentence."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


# --- writing ----------------------------------------------------------------------------------------------------


@cache
def _writer(hint: Any) -> Callable[[Any], Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union_writer(*_parts(hint))
    if origin is tuple:
        return _tuple_writer(inner)
    if origin is np.ndarray:
        return _write_audio
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass_writer(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: value.name.lower()
    if origin is Literal:
        return str
    if hint in (int, float, str, bool):
        kind: Callable[[Any], Any] = hint
        return kind
    raise TypeError(f"the codec does not know {hint}")


def _union_writer(plain: Any, tagged_kinds: Mapping[str, type]) -> Callable[[Any], Any]:
    write, kinds = _writer(plain), frozenset(tagged_kinds.values())

    def write_one(value: Any) -> Any:
        if value is None:
            return None
        return tagged(value) if type(value) in kinds else write(value)

    return write_one


def _dataclass_writer(kind: Any) -> Callable[[Any], JsonObject]:
    hints = get_type_hints(kind)
    parts = [(field.name, _writer(hints[field.name])) for field in fields(kind)]
    return lambda value: {name: write(getattr(value, name)) for name, write in parts}


def _tuple_writer(inner: tuple[Any, ...]) -> Callable[[Any], list[Json]]:
    if inner[-1] is Ellipsis:
        write = _writer(inner[0])
        return lambda value: [write(part) for part in value]
    writers = [_writer(hint) for hint in inner]
    return lambda value: [write(part) for write, part in zip(writers, value, strict=True)]


def _write_audio(samples: Any) -> JsonObject:
    if samples.any():
        return {"pcm16": b64encode(float_to_pcm16(samples)).decode()}
    return {"silence": int(samples.size)}


# --- reading ----------------------------------------------------------------------------------------------------

_Reader = Callable[[Json], Any]
"""Raises CodecError with the end of a sentence that begins with the value's name; each level above puts its own before
it. So a name costs something only when it is needed."""


@cache
def _reader(hint: Any) -> _Reader:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union_reader(*_parts(hint), optional=types.NoneType in inner)
    if origin is tuple:
        return _tuple_reader(inner)
    if origin is np.ndarray:
        return _read_audio
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass_reader(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice_reader({member.name.lower(): member for member in hint})
    if origin is Literal:
        return _choice_reader(dict(zip(inner, inner, strict=True)))
    if hint in _SCALARS:
        return _SCALARS[hint]
    raise TypeError(f"the codec does not know {hint}")


def _union_reader(plain: Any, tagged_kinds: Mapping[str, type], *, optional: bool) -> _Reader:
    read = _reader(plain)

    def read_one(value: Json) -> object:
        if value is None and optional:
            return None
        if isinstance(value, dict) and len(value) == 1:
            [(name, body)] = value.items()
            if name in tagged_kinds:
                return _reader(tagged_kinds[name])(body)
        return read(value)

    return read_one


def _dataclass_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    needed = {f.name: None for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}.keys()

    def read(value: Json) -> object:
        if not isinstance(value, dict):
            raise CodecError(f" should be an object, not {shown(value)}")
        if not needed <= value.keys():
            raise CodecError(f" lacks the field {next(name for name in needed if name not in value)!r}")
        found = {}
        for name, part in value.items():
            if name not in readers:
                raise CodecError(f" has no field {shown(name)}")
            try:
                found[name] = readers[name](part)
            except CodecError as error:
                raise CodecError(f".{name}{error}") from None
        return kind(**found)

    return read


def _tuple_reader(inner: tuple[Any, ...]) -> _Reader:
    endless = inner[-1] is Ellipsis
    readers = [_reader(hint) for hint in inner if hint is not Ellipsis]

    def read(value: Json) -> tuple[object, ...]:
        if not isinstance(value, list) or not (endless or len(value) == len(readers)):
            raise CodecError(f" should be a list{'' if endless else f' of {len(readers)}'}, not {shown(value)}")
        if endless:
            return tuple(map(readers[0], value))
        return tuple(read_part(part) for read_part, part in zip(readers, value, strict=True))

    return read


def _choice_reader(choices: Mapping[str, object]) -> _Reader:
    """By what is written for each."""

    def read(value: Json) -> object:
        if not isinstance(value, str) or value not in choices:
            raise CodecError(f" should be one of {', '.join(choices)}, not {shown(value)}")
        return choices[value]

    return read


def _read_audio(value: Json) -> object:
    [(form, body)] = value.items() if isinstance(value, dict) and len(value) == 1 else [("", None)]
    if form == "silence" and type(body) is int and 0 <= body <= MAX_SILENCE:
        return np.broadcast_to(np.zeros(1, np.float32), (body,))  # takes no memory
    if form == "pcm16" and isinstance(body, str):
        try:
            return pcm16_to_float(b64decode(body, validate=True))
        except (ValueError, AudioError) as error:
            raise CodecError(" holds no 16-bit samples in base64") from error
    raise CodecError(f" should be audio, not {shown(value)}")


def _number(value: Json) -> float:
    if type(value) is float:
        return value
    if type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    raise CodecError(f" should be a number, not {shown(value)}")


def _scalar(kind: type, words: str) -> _Reader:
    def read(value: Json) -> object:
        if type(value) is not kind:
            raise CodecError(f" should be {words}, not {shown(value)}")
        return value

    return read


_SCALARS: Final[Mapping[Any, _Reader]] = {
    bool: _scalar(bool, "true or false"),
    int: _scalar(int, "a whole number"),
    str: _scalar(str, "a text"),
    float: _number,
}


def _parts(hint: Any) -> tuple[Any, dict[str, type]]:
    """Of a union: what is written as it is, and the messages that are tagged."""
    plain, *others = [part for part in get_args(hint) if part is not types.NoneType]
    return plain, {other.__name__: other for other in others}
