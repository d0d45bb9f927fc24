"""The items of the conversation, in order, and the messages a responder is given.

Knows: what was said and heard. Does not know: the wire's item objects, models, time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from voxtral_voice.conversation.events import Item, ItemStatus, Role


class History:
    """At most `max_items` items; when one more is added the oldest goes."""

    def __init__(self, max_items: int) -> None:
        self._items: list[Item] = []
        self._max_items = max_items

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __contains__(self, item_id: str) -> bool:
        return self.get(item_id) is not None

    def get(self, item_id: str) -> Item | None:
        return next((item for item in self._items if item.id == item_id), None)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Append, or put behind `after` ("root" = at the front). Returns the id that it now stands behind.

        Raises KeyError when `after` is unknown.
        """
        index = self._index_behind(after)
        self._items.insert(index, item)
        before = self._items[index - 1].id if index else None
        if len(self._items) > self._max_items:
            del self._items[1 if index == 0 else 0]
        return before

    def delete(self, item_id: str) -> None:
        self._items = [item for item in self._items if item.id != item_id]

    def update(self, item_id: str, *, text: str | None, status: ItemStatus) -> None:
        """Nothing happens when the item was deleted in the meantime."""
        self._items = [replace(item, text=text, status=status) if item.id == item_id else item for item in self._items]

    def messages(self, instructions: str) -> tuple[tuple[Role, str], ...]:
        """Instructions first (as a system message), then every item that has words, oldest first."""
        system: tuple[tuple[Role, str], ...] = (("system", instructions),) if instructions else ()
        return system + tuple((item.role, item.text) for item in self._items if item.text)

    def _index_behind(self, after: str | None) -> int:
        if after is None:
            return len(self._items)
        if after == "root":
            return 0
        for index, item in enumerate(self._items):
            if item.id == after:
                return index + 1
        raise KeyError(after)
