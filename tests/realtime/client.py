"""What every test client knows: the names it gives, what it was told, and which ids it may use.

Knows: events. Does not know: how they come and go. All traffic passes the order checker, and the package's types when
`judged`.
"""

from __future__ import annotations

import orjson

from tests.realtime import oracle
from tests.realtime.order import Order
from tests.realtime.replies import Event

REMEMBERED = 20
"""Ids, the newest."""


class Client:
    def __init__(self, *, judged: bool = True) -> None:
        self.order = Order()
        self.judged = judged
        self.frames: list[bytes] = []
        """All that was told, but for audio."""
        self.told: list[Event] = []
        """The same."""
        self.response_ids: list[str] = []
        self.item_ids: list[str] = []
        self.call_ids: list[str] = []
        self._names = 0

    @property
    def session_object(self) -> Event:
        """As it was told last."""
        assert self.order.session is not None
        return self.order.session

    def name(self) -> str:
        """A new one."""
        self._names += 1
        return f"client_{self._names}"

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.told if event["type"] == kind]

    def sends(self, frame: str | bytes) -> None:
        """Before it is on its way."""
        self.order.sent(understood(frame))

    def takes(self, frame: bytes) -> Event:
        """AssertionError when it breaks a rule."""
        event: Event = orjson.loads(frame)
        self.order.receive(event)
        if self.judged:
            oracle.judge(event, ours=True)
        if event["type"] != "response.output_audio.delta":
            self.told.append(event)
            self.frames.append(frame)
        self._learn(event)
        return event

    def _learn(self, event: Event) -> None:
        if event["type"] == "response.created":
            _remember(self.response_ids, event["response"]["id"])
        elif event["type"] == "response.output_item.added":
            _remember(self.item_ids, event["item"]["id"])
            if event["item"]["type"] == "function_call":
                _remember(self.call_ids, event["item"]["call_id"])
        elif event["type"] == "conversation.item.added":
            _remember(self.item_ids, event["item"]["id"])


def _remember(ids: list[str], new: str) -> None:
    ids.append(new)
    del ids[:-REMEMBERED]


def understood(frame: str | bytes) -> object:
    """What of a frame can be understood at all."""
    if isinstance(frame, bytes):
        return None
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
