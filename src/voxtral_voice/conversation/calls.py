"""The tool calls of one reply: what was made of them, and what of that the client was told.

Knows: their order and their pieces. Does not know: the history, models, what a tool does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from voxtral_voice.conversation.events import CallItem, ItemStatus, ReplyCall, ToolCall


@dataclass(slots=True)
class Call:
    item_id: str
    call_id: str
    name: str
    whole: bool = False
    """All of its arguments are there."""
    begun: bool = False
    """The client knows of it."""
    ended: bool = False
    """The client knows that it is whole."""
    _pieces: list[str] = field(default_factory=list)
    _told: int = 0

    def add(self, arguments: str) -> None:
        self._pieces.append(arguments)

    def take_delta(self) -> str:
        """Of its arguments, what was not taken yet."""
        delta = "".join(self._pieces[self._told :])
        self._told = len(self._pieces)
        return delta

    def item(self, status: ItemStatus) -> CallItem:
        """With the arguments that were taken."""
        return CallItem(self.item_id, ToolCall(self.call_id, self.name, "".join(self._pieces[: self._told])), status)


class Calls:
    """In the order of their beginning."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, event: ReplyCall, ids: Callable[[str], str]) -> None:
        """More of the last one, or the first of the next."""
        if event.index >= len(self._calls):
            self.end()
            self._calls.append(Call(ids("item"), event.call_id, event.name))
        self._calls[-1].add(event.arguments)

    def end(self) -> None:
        """No more comes of the last one."""
        if self._calls:
            self._calls[-1].whole = True

    @property
    def any_told(self) -> bool:
        """The client may have called a tool."""
        return any(call.ended for call in self._calls)
