"""The part of `order` that is about what the client asks: rules 9 and 10.

Knows: which event answers which, which answers may be late, what an update may change, what an error has to say. Does
not know: whether the answer is right in itself.

What a client sends and what it receives cross on their way, so an event that the server might have said by itself
(the commit of a spoken turn, a response to it) is perhaps an answer, and perhaps not: an error may still come. An
answer that only a request can have ends the wait for it, and for all that was asked before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Event = dict[str, Any]

LATE: Final = ("response.create",)
"""A response waits for the end of the user's turn, or of one that has called a tool."""
WITHOUT_ANSWER: Final = ("input_audio_buffer.append",)
BY_ITEM: Final = {
    "conversation.item.deleted": "conversation.item.delete",
    "conversation.item.retrieved": "conversation.item.retrieve",
    "conversation.item.truncated": "conversation.item.truncate",
}
IN_TURN: Final = {
    "session.updated": "session.update",
    "input_audio_buffer.cleared": "input_audio_buffer.clear",
}
NAMES_A_PARAM: Final = ("invalid_value", "missing_required_parameter", "unknown_parameter")
CODES: Final = frozenset({
    *NAMES_A_PARAM, "invalid_json", "invalid_event", "conversation_already_has_active_response",
    "response_cancel_not_active", "input_audio_buffer_commit_empty", "item_create_duplicate_item_id",
    "item_create_invalid_previous_item_id", "item_delete_invalid_item_id", "item_retrieve_invalid_item_id",
    "item_truncate_invalid_item_id", "item_not_found", "item_already_truncated", "unsupported_content_type",
    "cannot_update_voice", "rate_limit_exceeded", "session_expired", "internal_error",
})  # fmt: skip
MAX_ID_CHARS: Final = 512
ALONG: Final = ("response.", "conversation.item.", "voxtral_voice.")
"""Events that come while a cancel is being answered."""
MERGED: Final = ("audio", "audio.input", "audio.output", "audio.input.transcription")
"""Objects of the session of which only what is named changes; others are replaced as a whole."""


@dataclass(slots=True)
class Asked:
    kind: str
    """Of the client event; "" when it is none."""
    event: Event
    event_id: str | None
    perhaps: bool = False
    """Something came that may be its answer."""


Fits = Callable[[Asked], bool]


class Answers:
    """session: as it was told last, if it was. Raises AssertionError that names the rule."""

    def __init__(self, session: Event | None) -> None:
        self._session = session
        self._open: list[Asked] = []
        """Neither answered nor refused, oldest first."""
        self._refusable: Counter[str] = Counter()
        """Ids of events -> how many of them an error may still name."""
        self._nameless = False
        """Something without an id was sent."""
        self._turns: set[str] = set()
        """Items that voice activity, or a timeout, has begun."""
        self._due: set[str] = set()
        """Items that the server is about to add by itself."""
        self._responses: dict[str, str] = {}
        """Item -> the response of the conversation that it is of."""
        self._beside: set[str] = set()
        """Responses that are not of the conversation."""
        self._nudged = False
        """A timeout's nudge is to come."""
        self._cancels_more = False
        """A cancel without a name is being answered: it ends what waits, too."""

    @property
    def waiting(self) -> list[str]:
        """What is without an answer."""
        return [asked.kind for asked in self._open if not asked.perhaps]

    def waits_for_response(self, metadata: Event) -> bool:
        """One that was asked for with these has not begun."""
        return any(asked.kind == "response.create" and _wants_mark(asked, metadata) for asked in self._open)

    def sent(self, event: object) -> None:
        known = event if isinstance(event, dict) else {}
        event_id = known.get("event_id")
        if not (isinstance(event_id, str) and len(event_id) <= MAX_ID_CHARS):
            event_id = None
        if event_id is None:
            self._nameless = True
        else:
            self._refusable[event_id] += 1
        kind = known.get("type")
        if kind not in WITHOUT_ANSWER:
            self._open.append(Asked(kind if isinstance(kind, str) else "", known, event_id))

    def finish(self) -> None:
        assert not self.waiting, f"rule 9: no answer to {[asked.event for asked in self._open if not asked.perhaps]}"

    # --- what comes ---------------------------------------------------------------------------------------------

    def received(self, event: Event) -> None:
        kind = event["type"]
        self._cancels_more = self._cancels_more and kind.startswith(ALONG)
        if kind == "session.created":
            self._session = event["session"]
        elif kind == "error":
            self._error(event["error"])
        elif kind in IN_TURN:
            asked = self._answered(IN_TURN[kind], lambda _: True)
            if kind == "session.updated":
                self._session_updated(event["session"], asked.event["session"])
        elif kind in BY_ITEM:
            item_id = event["item"]["id"] if "item" in event else event["item_id"]
            self._answered(BY_ITEM[kind], lambda asked: asked.event.get("item_id") == item_id)
        elif kind == "conversation.item.added":
            self._item_added(event["item"])
        elif kind.startswith("input_audio_buffer."):
            self._input(event)
        elif kind.startswith("response."):
            self._response(event)

    def _error(self, error: Event) -> None:
        code, event_id = error["code"], error["event_id"]
        assert code in CODES, f"rule 9: there is no error {code}"
        assert error["message"], f"rule 9: {code} does not say why"
        assert code not in NAMES_A_PARAM or error["param"], f"rule 9: {code} does not say of what"
        if event_id is None:
            unnamed = self._nameless or error["type"] == "server_error"
            assert unnamed, f"rule 9: {error} names no event, but all had a name"
            self._refused_nameless()
            return
        assert self._refusable[event_id], f"rule 9: {error} is of an event that was not sent, or is answered"
        self._refusable[event_id] -= 1
        for asked in self._open:
            if asked.event_id == event_id:
                self._settle(asked)
                return

    def _refused_nameless(self) -> None:
        """The oldest of those without a name that has no answer, late ones last; if there is none it was an append."""
        nameless = [asked for asked in self._open if asked.event_id is None and not asked.perhaps]
        if nameless:
            self._open.remove(min(nameless, key=lambda asked: asked.kind in LATE))

    def _answered(self, kind: str, fits: Fits) -> Asked:
        """The first that it answers; nobody else causes such an event."""
        for asked in self._open:
            if asked.kind == kind and fits(asked):
                self._settle(asked)
                if asked.event_id is not None:
                    self._refusable[asked.event_id] -= 1
                return asked
        raise AssertionError(f"rule 9: nobody asked for it with {kind}")

    def _settle(self, asked: Asked) -> None:
        """It has its answer, so all before it have theirs, if they are not late ones."""
        place = self._open.index(asked)
        for before in self._open[:place]:
            answered = before.perhaps or before.kind in LATE
            assert answered, f"rule 9: {asked.event} is answered, {before.event} was not"
        late = [before for before in self._open[:place] if before.kind in LATE and not before.perhaps]
        self._open = [*late, *self._open[place + 1 :]]

    # --- what may also come by itself ---------------------------------------------------------------------------

    def _first(self, kind: str, fits: Fits) -> Asked | None:
        """That waits, else that has perhaps an answer."""
        fitting = [asked for asked in self._open if asked.kind == kind and fits(asked)]
        return next((asked for asked in fitting if not asked.perhaps), next(iter(fitting), None))

    def _input(self, event: Event) -> None:
        kind, item_id = event["type"].removeprefix("input_audio_buffer."), event["item_id"]
        if kind in ("speech_started", "timeout_triggered"):
            self._turns.add(item_id)
            self._nudged = kind == "timeout_triggered"
        elif kind == "committed":
            self._due.add(item_id)
            asked = self._first("input_audio_buffer.commit", lambda _: True)
            if item_id in self._turns:
                if asked is not None:
                    asked.perhaps = True
            else:
                assert asked is not None, f"rule 9: nobody committed {item_id}"
                self._settle(asked)

    def _item_added(self, item: Event) -> None:
        if item["id"] in self._due:
            self._due.remove(item["id"])
            return
        if self._nudged and item.get("role") == "system":
            self._nudged = False
            return
        self._answered("conversation.item.create", lambda asked: _creates(asked.event.get("item"), item))

    def _response(self, event: Event) -> None:
        kind = event["type"]
        if kind == "response.created":
            self._created(event["response"])
        elif kind == "response.output_item.added" and event["response_id"] not in self._beside:
            self._responses[event["item"]["id"]] = event["response_id"]
            self._due.add(event["item"]["id"])
        elif kind == "response.done":
            details = event["response"]["status_details"]
            if details is not None and details["reason"] == "client_cancelled":
                self._cancelled(event["response"]["id"])

    def _created(self, response: Event) -> None:
        """A response with metadata is the answer to who gave them; another one is perhaps nobody's."""
        metadata, aside = response["metadata"], response["conversation_id"] is None
        if aside:
            self._beside.add(response["id"])
        asked = self._first("response.create", lambda asked: _wants(asked.event.get("response"), metadata, aside))
        if metadata is None and not aside:
            if asked is not None:
                asked.perhaps = True
            return
        assert asked is not None, f"rule 9: nobody asked for {response['id']}"
        self._open.remove(asked)
        if asked.event_id is not None:
            self._refusable[asked.event_id] -= 1

    def _cancelled(self, response_id: str) -> None:
        """By response.cancel, or by the truncation of what is still being said."""
        for asked in self._open:
            if asked.kind == "response.cancel" and asked.event.get("response_id") in (None, response_id):
                self._settle(asked)
                self._cancels_more = asked.event.get("response_id") is None
                if asked.event_id is not None:
                    self._refusable[asked.event_id] -= 1
                return
            truncated = self._responses.get(_text(asked.event.get("item_id")))
            if asked.kind == "conversation.item.truncate" and truncated == response_id:
                return
        assert self._cancels_more, f"rule 9: nobody cancelled {response_id}"

    # --- the session --------------------------------------------------------------------------------------------

    def _session_updated(self, after: Event, patch: Event) -> None:
        before, self._session = self._session, after
        if before is None or before["type"] != after["type"]:
            return
        named = _named(patch)
        for path in _changed(_lasting(before), _lasting(after)):
            assert path in named or path.rpartition(".")[0] + ".*" in named, f"rule 10: {patch} has changed {path}"


def _wants_mark(asked: Asked, metadata: Event) -> bool:
    wanted = asked.event.get("response")
    return isinstance(wanted, dict) and wanted.get("metadata") == metadata


def _creates(wanted: object, item: Event) -> bool:
    if not isinstance(wanted, dict):
        return False
    if isinstance(wanted.get("id"), str):
        return bool(wanted["id"] == item["id"])
    return wanted.get("type") == item["type"] and wanted.get("role") == item.get("role")


def _wants(wanted: object, metadata: Event | None, aside: bool) -> bool:
    fields = wanted if isinstance(wanted, dict) else {}
    beside = fields.get("conversation") == "none"
    return fields.get("metadata") == metadata and beside == aside


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _named(patch: Event, at: str = "") -> list[str]:
    """What the patch may change, as paths; with .* what it clears as a whole."""
    paths = []
    for key, value in patch.items():
        path = f"{at}{key}"
        merges = isinstance(value, dict) and path in MERGED
        paths += [path, *(_named(value, f"{path}.") if merges else [f"{path}.*"])]
    return paths


def _lasting(session: Event) -> Event:
    """What of it stands: a token to resume with is shown once."""
    ours = session.get("voxtral_voice")
    if not isinstance(ours, dict) or not isinstance(ours.get("resume"), dict):
        return session
    return {**session, "voxtral_voice": {**ours, "resume": True}}


def _changed(before: Event, after: Event, at: str = "") -> list[str]:
    """Paths of what is different; an object that merges is looked into."""
    paths = []
    for key in before.keys() | after.keys():
        path, old, new = f"{at}{key}", before.get(key), after.get(key)
        if path in MERGED and isinstance(old, dict) and isinstance(new, dict):
            paths += _changed(old, new, f"{path}.")
        elif old != new or (key in before) != (key in after):
            paths.append(path)
    return paths
