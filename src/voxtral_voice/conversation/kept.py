"""What another server needs to go on with a conversation, and where in a reply it goes on. Pure.

Knows: the history, the reply that is being said, when each of its words is heard. Does not know: stores, the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from voxtral_voice.conversation.events import Entry, Item, Restored


@dataclass(frozen=True, slots=True)
class Saying:
    """A reply that is being said."""

    item_id: str
    made: str
    """Its text, as far as that is."""
    places: tuple[tuple[float, int], ...]
    """(ms, characters), in order: so far into its audio so much of the text is heard. As far as there is audio."""


def heard_to(kept: Restored, saying: Saying, heard_ms: float) -> Restored:
    """The same when the client has got so much of the reply's audio, more or less than had been sent."""
    end = max((chars for ms, chars in saying.places if ms <= heard_ms), default=0)
    heard, rest = saying.made[:end].rstrip(), saying.made[end:].strip()
    item = Item(saying.item_id, "assistant", "audio", heard, "incomplete" if rest else "completed")
    if not heard:
        history = tuple(entry for entry in kept.history if entry.id != item.id)
        return replace(kept, history=history, rest="" if kept.owed else rest)
    if any(entry.id == item.id for entry in kept.history):
        history = tuple(item if entry.id == item.id else entry for entry in kept.history)
    else:
        history = (*kept.history, item)
    return replace(kept, history=history, rest=rest, owed=False)


def without_pictures(history: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(
        replace(entry, pictures=()) if isinstance(entry, Item) and entry.pictures else entry for entry in history
    )
