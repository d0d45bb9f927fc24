"""What must hold of any stretch of server events, whoever sent them: used here and by the end-to-end tests.

    check(events)                    from session.created on, to a moment when no response is active
    check(events, finished=False)    to any moment

The rules are those that real clients break on:

1. at most one response is active                       4. what is added or opened is done, once, inside its response
2. one response.done for each response.created          5. conversation.item.added stands before any other use of an
3. nothing of a response after its response.done           item, and its done follows
6. the deltas of a text are the text                    7. speech_started and speech_stopped alternate, times grow
8. event_id is there, and never twice                     9. a silence that times out does so while nobody speaks, and
                                                             is committed before anything else is said or answered
"""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

BEFORE_ADDED = ("input_audio_buffer.", "conversation.item.input_audio_transcription.", "response.output_item.added")
"""These may name an item that was not added yet: the id of a user's item is made when the speech starts."""
TEXTS = {
    "response.output_text.done": "text",
    "response.output_audio_transcript.done": "transcript",
}


def check(events: list[Event], *, finished: bool = True) -> None:
    """Raises AssertionError that names the event and the rule."""
    order = Order()
    for index, event in enumerate(events):
        try:
            order.receive(event)
        except AssertionError as error:
            raise AssertionError(f"event {index}, {event.get('type')}: {error}") from None
    if finished:
        order.finish()


class Order:
    def __init__(self) -> None:
        self._event_ids: set[str] = set()
        self._active: str | None = None
        self._over: set[str] = set()
        self._open: set[tuple[str, ...]] = set()
        """What was opened in the active response and is not done yet."""
        self._added: set[str] = set()
        self._deleted: set[str] = set()
        """These may be added again."""
        self._undone: set[str] = set()
        self._texts: dict[tuple[str, str], str] = {}
        self._said: set[tuple[str, str]] = set()
        """Texts and audio that are done."""
        self._speech: str | None = None
        self._last_ms = 0
        self._timed_out: str | None = None
        """The item of a timeout that is not committed yet."""

    def receive(self, event: Event) -> None:
        self._identity(event)
        self._response(event)
        self._pairs(event)
        self._items(event)
        self._deltas(event)
        self._speech_times(event)
        self._timeouts(event)

    def finish(self) -> None:
        assert self._active is None, f"rule 2: {self._active} has no response.done"
        assert not self._undone, f"rule 5: no conversation.item.done for {self._undone}"
        assert self._timed_out is None, f"rule 9: {self._timed_out} was not committed"

    def _identity(self, event: Event) -> None:
        event_id = event.get("event_id")
        assert event_id, "rule 8: no event_id"
        assert event_id not in self._event_ids, f"rule 8: {event_id} was used before"
        self._event_ids.add(event_id)

    def _response(self, event: Event) -> None:
        kind = event["type"]
        response_id: Any = event["response"]["id"] if "response" in event else event.get("response_id")
        if kind == "response.created":
            assert self._active is None, f"rule 1: {self._active} is active"
            assert response_id not in self._over, f"rule 2: {response_id} was there before"
            self._active = response_id
        elif response_id is not None:
            assert response_id not in self._over, f"rule 3: {response_id} is done"
            assert response_id == self._active, f"rule 3: {response_id} was not created"
        if kind == "response.done":
            assert not self._open, f"rule 4: not done: {sorted(self._open)}"
            self._over.add(response_id)
            self._active = None

    def _pairs(self, event: Event) -> None:
        pairs = {
            "response.output_item": ("output_index",),
            "response.content_part": ("output_index", "content_index"),
        }
        what, _, step = event["type"].rpartition(".")
        if what not in pairs:
            return
        key = (what, *(str(event[index]) for index in pairs[what]))
        if step == "added":
            assert key not in self._open, f"rule 4: {key} is open"
            self._open.add(key)
        else:
            assert key in self._open, f"rule 4: {key} is not open"
            self._open.remove(key)

    def _items(self, event: Event) -> None:
        kind = event["type"]
        item_id = event["item"]["id"] if "item" in event else event.get("item_id")
        previous = event.get("previous_item_id")
        if previous is not None:
            assert previous in self._added, f"rule 5: {previous} stands before {item_id} but was not added"
        if item_id is None or kind.startswith(BEFORE_ADDED):
            return
        if kind == "conversation.item.added":
            assert item_id not in self._added - self._deleted, f"rule 5: {item_id} was added before"
            self._added.add(item_id)
            self._deleted.discard(item_id)
            self._undone.add(item_id)
            return
        assert item_id in self._added, f"rule 5: {item_id} was not added"
        if kind == "conversation.item.deleted":
            assert item_id not in self._deleted, f"rule 5: {item_id} was deleted before"
            self._deleted.add(item_id)
        elif kind == "conversation.item.done":
            assert item_id in self._undone, f"rule 5: {item_id} was done before"
            self._undone.remove(item_id)

    def _deltas(self, event: Event) -> None:
        what, _, step = event["type"].rpartition(".")
        if not what.startswith("response.output_"):
            return
        key = (event["response_id"], what)
        if step == "delta":
            assert key not in self._said, f"rule 6: {what} is done"
            self._texts[key] = self._texts.get(key, "") + event["delta"]
            return
        self._said.add(key)
        if event["type"] in TEXTS:
            said, given = event[TEXTS[event["type"]]], self._texts.get(key, "")
            assert said == given, f"rule 6: the deltas say {given!r}, the end says {said!r}"

    def _speech_times(self, event: Event) -> None:
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            assert self._speech is None, f"rule 7: {self._speech} did not stop"
            self._speech = event["item_id"]
            self._grows(event["audio_start_ms"])
        elif kind == "input_audio_buffer.speech_stopped":
            assert self._speech == event["item_id"], f"rule 7: {event['item_id']} did not start"
            self._speech = None
            self._grows(event["audio_end_ms"])
        elif kind == "input_audio_buffer.cleared":
            self._speech = None

    def _timeouts(self, event: Event) -> None:
        kind = event["type"]
        if kind == "input_audio_buffer.timeout_triggered":
            assert self._speech is None, f"rule 9: {self._speech} is being said"
            assert self._active is None, f"rule 9: {self._active} is active"
            assert self._timed_out is None, f"rule 9: {self._timed_out} was not committed"
            self._timed_out = event["item_id"]
            self._grows(event["audio_start_ms"])
            self._grows(event["audio_end_ms"])
        elif self._timed_out and kind == "input_audio_buffer.committed":
            assert event["item_id"] == self._timed_out, f"rule 9: {self._timed_out} comes first"
            self._timed_out = None
        elif kind in ("input_audio_buffer.speech_started", "response.created"):
            assert self._timed_out is None, f"rule 9: {self._timed_out} was not committed"

    def _grows(self, ms: int) -> None:
        assert ms >= self._last_ms, f"rule 7: {ms} ms after {self._last_ms} ms"
        self._last_ms = ms
