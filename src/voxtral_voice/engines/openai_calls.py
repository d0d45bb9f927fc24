"""Tool calls out of the chunks of a streamed chat completion, whatever the server's manners. Pure, but for new ids.

Knows: `tool_calls` entries as servers send them: in pieces or whole, several at once, with or without an index (or all
with the same one), without ids, with a new id in each piece, with the name again in each, with arguments that are an
object. Does not know: HTTP, events, the rest of a chunk.

Calls come out one after the other, as `base.CallPiece` wants them: what a server sends of a later call before an
earlier one is whole is held back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson

from voxtral_voice.engines.base import CallPiece

ID_CHARS: Final = 9
"""Of an id that we give: letters and digits, as many as the strictest servers (Mistral's) want to see in a history."""
MAX_ID_CHARS: Final = 512
"""Of an id that a server gives: a longer one is replaced by one of ours."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of `tool_calls`, as far as it is what it should be."""

    position: int | None
    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class _Call:
    position: int | None
    id: str
    name: str
    arguments: str
    index: int | None = None
    """Ours, once it has begun; so is the next."""
    own_id: str = ""
    told: int = 0
    """Characters of its arguments."""

    @property
    def whole(self) -> bool:
        """Its arguments are an object from end to end."""
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(orjson.loads(self.arguments), dict)
        except orjson.JSONDecodeError:
            return False


class Calls:
    """Those of one answer. known: ids that the conversation has already; the calls here get others."""

    def __init__(self, known: Collection[str] = ()) -> None:
        self._ids = set(known)
        self._calls: list[_Call] = []
        self._ended = 0
        """So many of them are whole and told."""
        self._begun = 0

    @property
    def size(self) -> int:
        """Characters of all arguments, names and ids, and something for each call."""
        return sum(len(call.arguments) + len(call.name) + len(call.id) + 100 for call in self._calls)

    @property
    def longest_name(self) -> int:
        """In characters."""
        return max((len(call.name) for call in self._calls), default=0)

    def take(self, entries: object) -> list[CallPiece]:
        """entries: `tool_calls` of a chunk, or of a whole answer."""
        for content in entries if isinstance(entries, list) else ():
            if isinstance(content, dict):
                self._add(_entry(content))
        return self._ready()

    def rest(self, *, cut_off: bool) -> list[CallPiece]:
        """The answer is over. cut_off: in the middle, so that what is not whole is nothing to begin with."""
        pieces: list[CallPiece] = []
        for call in self._calls[self._ended :]:
            if cut_off and not call.whole:
                continue
            if not call.arguments.strip():
                call.arguments += "{}"
            pieces += self._news(call)
        return pieces

    def _add(self, entry: _Entry) -> None:
        call = self._meant(entry)
        if call is None or _is_another(entry, call):
            self._calls.append(_Call(entry.position, entry.id, entry.name, entry.arguments))
            return
        call.id = call.id or entry.id
        call.name = call.name or entry.name
        if not call.whole:  # else it is said again
            call.arguments += entry.arguments

    def _meant(self, entry: _Entry) -> _Call | None:
        """The call that this may be more of."""
        if entry.position is not None:
            found = [call for call in self._calls if call.position == entry.position]
        else:
            found = [call for call in self._calls if entry.id and call.id == entry.id] or self._calls
        return found[-1] if found else None

    def _ready(self) -> list[CallPiece]:
        pieces: list[CallPiece] = []
        for call in self._calls[self._ended :]:
            pieces += self._news(call)
            if call is self._calls[-1] or not call.whole:
                break
            self._ended += 1
        return pieces

    def _news(self, call: _Call) -> list[CallPiece]:
        """What is not told of it yet; nothing of a call without a name."""
        more = call.arguments[call.told :]
        if not call.name or (call.index is not None and not more):
            return []
        if call.index is None:
            call.index, call.own_id = self._begun, self._own(call.id)
            self._begun += 1
        call.told = len(call.arguments)
        return [CallPiece(call.index, call.own_id, call.name, more)]

    def _own(self, call_id: str) -> str:
        while not 0 < len(call_id) <= MAX_ID_CHARS or call_id in self._ids:
            call_id = uuid4().hex[:ID_CHARS]
        self._ids.add(call_id)
        return call_id


def _entry(content: Mapping[str, Any]) -> _Entry:
    position, function = content.get("index"), content.get("function")
    function = function if isinstance(function, dict) else {}
    return _Entry(
        position if isinstance(position, int) else None,
        _text(content.get("id")),
        _text(function.get("name")),
        _arguments(function.get("arguments")),
    )


def _is_another(entry: _Entry, call: _Call) -> bool:
    """Not more of this call but one of its own. Only what has a name begins a call."""
    if not entry.name or not call.name:
        return False
    if entry.name != call.name or (entry.id and call.id and entry.id != call.id):
        return True
    return call.whole and entry.arguments.strip() not in ("", call.arguments.strip())


def _arguments(content: object) -> str:
    return orjson.dumps(content).decode() if isinstance(content, dict) else _text(content)


def _text(content: object) -> str:
    return content if isinstance(content, str) else ""
