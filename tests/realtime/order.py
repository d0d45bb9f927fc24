"""What must hold of any traffic, whoever sent it: used by every test that sees some, by the fuzzing and by the soak.

    check(events)                    of the server, from session.created on, to a moment when nothing is under way
    check(events, finished=False)    to any moment
    check_both(traffic)              of both sides: ("client" or "server", event), in the order of this end of the line

    Order()                          the same as it happens: `receive` (the server's), `sent` (the client's), `finish`

The rules are those that real clients break on:

 1. at most one response of the conversation is active; the others are beside it, and few
 2. one response.done for each response.created, and it sums the response up
 3. nothing of a response after its response.done
 4. what is added or opened is done, once, inside its response, at its index
 5. conversation.item.added stands before any other use of an item, and its done follows
 6. the deltas are the text, the arguments and the sound
 7. speech_started and speech_stopped alternate, times grow, what has stopped is committed
 8. a response that is interrupted ends before the turn that interrupts it is committed
 9. a client event gets its answer, or one error that names it         (`answers`)
10. session.update changes what it names, or nothing                   (`answers`)
11. event_id is there, and never twice
12. each event is one that stock clients know                          (`oracle`)
13. nothing of a response beside the conversation is in it
14. no task outlives its connection                                    (`test_sequences`)
15. a silence that times out does so while nobody speaks, and is committed before anything else is said or answered
16. words are told to a client that asked for them, once for each of its items
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import pybase64

from tests.realtime.answers import Answers
from tests.realtime.replies import Event, Replies, Sound

Traffic = Iterable[tuple[Literal["client", "server"], Event]]
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def check(events: list[Event], *, finished: bool = True) -> None:
    """Raises AssertionError that names the event and the rule."""
    check_both((("server", event) for event in events), finished=finished)


def check_both(traffic: Traffic, *, finished: bool = True) -> None:
    order = Order()
    for index, (side, event) in enumerate(traffic):
        try:
            if side == "client":
                order.sent(event)
            else:
                order.receive(event)
        except AssertionError as error:
            raise AssertionError(f"event {index}, {event.get('type')}: {error}") from None
    if finished:
        order.finish()


class Order:
    """The server's side alone, until `sent` is called for the first time. Raises AssertionError that names the rule."""

    def __init__(self) -> None:
        self.replies = Replies()
        self.answers: Answers | None = None
        self.session: Event | None = None
        """As the client was told last; None: it was not told."""
        self.items: list[str] = []
        """The conversation, as the client knows it."""
        self.item_kinds: dict[str, str] = {}
        """Of all items that ever were: message or call, role, kind of content."""
        self._truncated: set[str] = set()
        self._undone: dict[str, str | None] = {}
        """Items that are not done -> what they stand behind."""
        self._speech = Speech()
        self._next: tuple[str, str] | None = None
        """The event that has to come now, and its item."""
        self._event_ids: set[str] = set()
        self._steps: dict[str, Callable[[Event], None]] = {
            "session.created": self._session,
            "session.updated": self._session,
            "conversation.item.added": self._added,
            "conversation.item.done": self._done,
            "conversation.item.deleted": self._deleted,
            "conversation.item.retrieved": self._retrieved,
            "conversation.item.truncated": self._truncate,
            "input_audio_buffer.speech_started": self._started,
            "input_audio_buffer.speech_stopped": self._speech.stopped,
            "input_audio_buffer.committed": self._committed,
            "input_audio_buffer.cleared": self._speech.cleared,
            "input_audio_buffer.timeout_triggered": self._timed_out,
            f"{TRANSCRIPTION}.delta": self._words,
            f"{TRANSCRIPTION}.completed": self._all_words,
            f"{TRANSCRIPTION}.failed": self._all_words,
        }

    @property
    def _active(self) -> str | None:
        return self.replies.active

    # --- both sides ---------------------------------------------------------------------------------------------

    def receive(self, event: Event) -> None:
        kind = event["type"]
        event_id = event.get("event_id")
        assert event_id, "rule 11: no event_id"
        assert event_id not in self._event_ids, f"rule 11: {event_id} was used before"
        self._event_ids.add(event_id)
        if self._next is not None:
            self._expected(event)
        if kind.startswith("response."):
            if kind == "response.created":
                self._created(event)
            self.replies.receive(event)
        elif (step := self._steps.get(kind)) is not None:
            step(event)
        if self.answers is not None:
            self.answers.received(event)

    def sent(self, event: object) -> None:
        """Before it can be answered: what the client sends, or what is left of it when it is no event at all."""
        if self.answers is None:
            self.answers = Answers(self.session)
        self.answers.sent(event)

    def finish(self) -> None:
        """Nothing is under way."""
        self.replies.finish()
        assert not self._undone, f"rule 5: no conversation.item.done for {', '.join(self._undone)}"
        assert self._next is None, f"rule 5: {self._next} is missing"
        self._speech.finish()
        if self.answers is not None:
            self.answers.finish()

    def _expected(self, event: Event) -> None:
        assert self._next is not None
        kind, item_id = self._next
        right = event["type"] == kind and event["item"]["id"] == item_id
        assert right, f"rule 5: {kind} of {item_id} comes first"
        self._next = None

    # --- the session --------------------------------------------------------------------------------------------

    def _session(self, event: Event) -> None:
        first = event["type"] == "session.created"
        assert first == (self.session is None), "rule 3: session.created comes first, and once"
        self.session = event["session"]
        self._speech.configured(event["session"])

    # --- items --------------------------------------------------------------------------------------------------

    def _added(self, event: Event) -> None:
        item, previous = event["item"], event["previous_item_id"]
        item_id = item["id"]
        assert item_id not in self.items, f"rule 5: {item_id} was added before"
        assert previous is None or previous in self.items, f"rule 5: {item_id} stands behind {previous}, not there"
        self.items.insert(0 if previous is None else self.items.index(previous) + 1, item_id)
        self._undone[item_id] = previous
        self._truncated.discard(item_id)
        self.item_kinds[item_id] = _kind(item)
        if not self.replies.told(item):
            self._next = ("conversation.item.done", item_id)

    def _done(self, event: Event) -> None:
        item, previous = event["item"], event["previous_item_id"]
        item_id = item["id"]
        self.replies.told_done(item)
        assert item_id in self._undone, f"rule 5: {item_id} was not added, or is done"
        behind = self._undone.pop(item_id)
        assert previous in (None, behind), f"rule 5: {item_id} stood behind {behind}, now behind {previous}"

    def _deleted(self, event: Event) -> None:
        self._is_there(event["item_id"])
        self.items.remove(event["item_id"])
        self._speech.forgotten(event["item_id"])

    def _retrieved(self, event: Event) -> None:
        item = event["item"]
        item_id = item["id"]
        self._is_there(item_id)
        kind, known = _kind(item), self.item_kinds[item_id]
        assert kind == known, f"rule 5: {item_id} was added as {known}, and is {kind}"
        for content in item.get("content", []):
            if content.get("audio") is not None and item_id in self.replies.sounds:
                self._sounds_as_sent(item_id, content["audio"])

    def _sounds_as_sent(self, item_id: str, audio: str) -> None:
        """Not more than was sent; all of it when nothing was cut off. G.711 is made anew from what was said."""
        sent, kept = self.replies.sounds[item_id], Sound("")
        kept.add(pybase64.b64decode(audio, validate=True))
        if sent.encoding != "audio/pcm" or self._encoding != "audio/pcm":
            return
        assert kept.size <= sent.size, f"rule 6: {item_id} has {kept.size} bytes of sound, {sent.size} were sent"
        if item_id not in self._truncated and item_id not in self._undone:
            assert kept == Sound("", sent.size, sent.sum), f"rule 6: {item_id} sounds otherwise than it was sent"

    @property
    def _encoding(self) -> str | None:
        """Of what is sent."""
        output = (self.session or {}).get("audio", {}).get("output")
        return None if output is None else output["format"]["type"]

    def _truncate(self, event: Event) -> None:
        self._is_there(event["item_id"])
        assert self.item_kinds[event["item_id"]].startswith("message assistant"), "rule 5: it is not the assistant's"
        assert event["audio_end_ms"] >= 0, "rule 7: nothing ends before it begins"
        self._truncated.add(event["item_id"])

    def _is_there(self, item_id: str) -> None:
        assert item_id in self.items, f"rule 5: {item_id} was not added, or was deleted"

    # --- speech -------------------------------------------------------------------------------------------------

    def _started(self, event: Event) -> None:
        self._speech.started(event, self.replies.active)

    def _committed(self, event: Event) -> None:
        self._speech.committed(event, self.replies.active)
        self._next = ("conversation.item.added", event["item_id"])

    def _timed_out(self, event: Event) -> None:
        assert self.replies.active is None, f"rule 15: {self.replies.active} is active"
        self._speech.timed_out(event)

    def _created(self, event: Event) -> None:
        kind = (self.session or {}).get("type")
        assert kind != "transcription", "rule 3: a session that transcribes has no responses"
        if event["response"]["conversation_id"] is not None:
            self._speech.answered()

    # --- words --------------------------------------------------------------------------------------------------

    def _words(self, event: Event) -> None:
        self._speech.words(event, self.item_kinds)

    def _all_words(self, event: Event) -> None:
        assert event["item_id"] in self.item_kinds, f"rule 5: {event['item_id']} was not added"
        self._speech.words(event, self.item_kinds, last=True)


class Speech:
    """What the user says: rules 7, 8, 15 and 16."""

    def __init__(self) -> None:
        self._interrupts = False
        self._tells_words = True
        """Unless it is known otherwise."""
        self._speaking: str | None = None
        self._stopped: str | None = None
        """Not committed yet."""
        self._spoken: str | None = None
        self._doomed: str | None = None
        """The response that was active when the user began to speak, and has to end."""
        self._timeout: str | None = None
        """The item of a timeout that is not committed yet."""
        self._wordless: dict[str, None] = {}
        """Items whose words were not told yet."""
        self._worded: set[str] = set()
        self._last_ms = 0

    def configured(self, session: Event) -> None:
        inputs = session["audio"]["input"]
        detection = inputs["turn_detection"]
        self._interrupts = detection is not None and detection.get("interrupt_response", False)
        self._tells_words = inputs["transcription"] is not None
        if not self._tells_words:
            self._wordless.clear()
        if detection is None:
            self._stopped = None

    def started(self, event: Event, active: str | None) -> None:
        self._all_committed()
        assert self._speaking is None, f"rule 7: {self._speaking} did not stop"
        self._speaking = self._spoken = event["item_id"]
        self._doomed = active if self._interrupts else None
        self._grows(event["audio_start_ms"])

    def stopped(self, event: Event) -> None:
        assert self._speaking == event["item_id"], f"rule 7: {event['item_id']} did not start"
        self._speaking, self._stopped = None, event["item_id"]
        self._grows(event["audio_end_ms"])

    def cleared(self, _: Event) -> None:
        self._stopped = None

    def committed(self, event: Event, active: str | None) -> None:
        item_id = event["item_id"]
        if self._timeout is not None:
            assert item_id == self._timeout, f"rule 15: {self._timeout} comes first"
        elif self._stopped is not None:
            assert item_id == self._stopped, f"rule 7: {self._stopped} comes first"
            assert active is None or active != self._doomed, f"rule 8: {active} is active"
        assert item_id != self._speaking, f"rule 7: {item_id} did not stop"
        self._stopped = self._timeout = None
        if self._tells_words:
            self._wordless[item_id] = None

    def timed_out(self, event: Event) -> None:
        self._all_committed()
        assert self._speaking is None, f"rule 15: {self._speaking} is being said"
        self._timeout = event["item_id"]
        self._grows(event["audio_start_ms"])
        self._grows(event["audio_end_ms"])

    def answered(self) -> None:
        assert self._timeout is None, f"rule 15: {self._timeout} was not committed"

    def words(self, event: Event, items: dict[str, str], *, last: bool = False) -> None:
        item_id = event["item_id"]
        assert self._tells_words, "rule 16: nobody asked for words"
        assert item_id in items or item_id == self._spoken, f"rule 5: {item_id} was not added"
        assert item_id not in self._worded, f"rule 16: all words of {item_id} were told"
        if last:
            self._worded.add(item_id)
            self._wordless.pop(item_id, None)

    def forgotten(self, item_id: str) -> None:
        """It was deleted, and may come again."""
        self._wordless.pop(item_id, None)
        self._worded.discard(item_id)

    def finish(self) -> None:
        self._all_committed()
        assert not self._wordless, f"rule 16: no words of {', '.join(self._wordless)}"

    def _all_committed(self) -> None:
        assert self._timeout is None, f"rule 15: {self._timeout} was not committed"
        assert self._stopped is None, f"rule 7: {self._stopped} was not committed"

    def _grows(self, ms: int) -> None:
        assert ms >= self._last_ms, f"rule 7: {ms} ms after {self._last_ms} ms"
        self._last_ms = ms


def _kind(item: dict[str, Any]) -> str:
    return " ".join(filter(None, (item["type"], item.get("role"))))
