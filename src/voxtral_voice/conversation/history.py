"""The items of the conversation, in order, and the messages a responder is given.

Knows: what was said, heard, called and given back. Does not know: the wire's item objects, models, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeGuard

from voxtral_voice.conversation.events import (
    CallItem,
    Entry,
    Item,
    ItemReference,
    ItemStatus,
    OutputItem,
    Shown,
    Sound,
)


class History:
    """At most `max_items` items with `max_chars` characters in all; when one is added to a full one the oldest go."""

    def __init__(self, max_items: int, max_chars: int) -> None:
        self._items: list[Entry] = []
        self._max_items, self._max_chars = max_items, max_chars

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._items)

    def __contains__(self, item_id: str) -> bool:
        return self.get(item_id) is not None

    def get(self, item_id: str) -> Entry | None:
        return next((item for item in self._items if item.id == item_id), None)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def add(self, item: Entry, after: str | None = None) -> str | None:
        """Append, or put behind `after` ("root" = at the front). Returns the id that it now stands behind.

        Raises KeyError when `after` is unknown.
        """
        index = self._index_behind(after)
        self._items.insert(index, item)
        before = self._items[index - 1].id if index else None
        self._forget_oldest(item)
        return before

    def _forget_oldest(self, new: Entry) -> None:
        """Until it is within its limits; the new one stays in any case."""
        chars = sum(map(size_of, self._items))
        while len(self._items) > 1 and (len(self._items) > self._max_items or chars > self._max_chars):
            chars -= size_of(self._items.pop(1 if self._items[0] is new else 0))

    def delete(self, item_id: str) -> None:
        self._items = [item for item in self._items if item.id != item_id]

    def update(self, item_id: str, *, text: str | None, status: ItemStatus) -> None:
        """Of a message. Nothing happens when the item was deleted in the meantime."""
        item = self.get(item_id)
        if isinstance(item, Item):
            self.put(replace(item, text=text, status=status))

    def put(self, item: Entry) -> None:
        """In place of the one with its id. Nothing happens when that was deleted in the meantime."""
        self._items = [item if old.id == item.id else old for old in self._items]

    def messages(
        self,
        instructions: str,
        chosen: Sequence[Shown | ItemReference] | None = None,
        sound: Sound | None = None,
    ) -> tuple[Shown, ...]:
        """Instructions first (as a system message), then all that has something to say, oldest first; or in place of
        that what was chosen. sound: shown in place of its item's words."""
        system: tuple[Shown, ...] = (("system", instructions),) if instructions else ()
        entries = self._items if chosen is None else map(self._resolved, chosen)
        return system + tuple(chain.from_iterable(_shown(entry, sound) for entry in entries))

    def shows_last(self, item_id: str, chosen: Sequence[Shown | ItemReference] | None = None) -> bool:
        """If it were shown as a sound: there, and nowhere before."""
        sound = Sound(item_id, 0, 0)
        shown = self.messages("", chosen, sound)
        return sound in shown[-1:] and sound not in shown[:-1]

    def _resolved(self, chosen: Shown | ItemReference) -> Shown | Entry | None:
        """None for an item that was deleted in the meantime."""
        return self.get(chosen.item_id) if isinstance(chosen, ItemReference) else chosen

    def _index_behind(self, after: str | None) -> int:
        if after is None:
            return len(self._items)
        if after == "root":
            return 0
        for index, item in enumerate(self._items):
            if item.id == after:
                return index + 1
        raise KeyError(after)


def _shown(part: Shown | Entry | None, sound: Sound | None) -> tuple[Shown, ...]:
    if not isinstance(part, Item | CallItem | OutputItem):
        return () if part is None else (part,)
    return (sound,) if sound is not None and sound.item_id == part.id else shown(part)


def kept_of(history: Iterable[Entry], said_id: str | None = None, heard: str = "") -> tuple[Entry, ...]:
    """What another server goes on with: not the speech whose words are not known, nor calls that are not whole.
    said_id: of what is being said, of which only what was heard stays."""
    whole = (entry for entry in history if not _is_pending(entry))
    cut = (replace(entry, text=heard, status="incomplete") if _is_said(entry, said_id) else entry for entry in whole)
    return tuple(entry for entry in cut if heard or entry.id != said_id)


def _is_said(entry: Entry, said_id: str | None) -> TypeGuard[Item]:
    return isinstance(entry, Item) and entry.id == said_id and entry.status == "in_progress"


def _is_pending(entry: Entry) -> bool:
    return entry.text is None if isinstance(entry, Item) else entry.status == "in_progress"


def shown(item: Entry) -> tuple[Shown, ...]:
    """What a responder sees of it: nothing of a message without words and pictures, or of a call that is not whole."""
    if isinstance(item, Item):
        words = item.text or ""
        return (*item.pictures, (item.role, words)) if words or item.pictures else ()
    if isinstance(item, OutputItem):
        return (item.result,)
    return (item.call,) if item.status == "completed" else ()


def size_of(item: Entry) -> int:
    """In characters."""
    if isinstance(item, Item):
        return len(item.text or "") + sum(len(picture.url) for picture in item.pictures)
    if isinstance(item, CallItem):
        return len(item.call.name) + len(item.call.arguments)
    return len(item.result.output)
