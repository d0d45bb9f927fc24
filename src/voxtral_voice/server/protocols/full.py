"""A full server refuses here: before there is a WebSocket, a task, or an application that is asked.

Knows: the head of a request that wants to be a WebSocket, and whether anybody gets a place now. Does not know: keys,
sessions that go on, how a page is told (all of that is left to the `door`).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from voxtral_voice.realtime.resume import TOKEN_HEADER, TOKEN_PROTOCOL
from voxtral_voice.server.admission import Admission, Refused
from voxtral_voice.server.protocols.heads import PatientHttp
from voxtral_voice.server.refusals import Refusals, raw

RESUMES: Final = TOKEN_HEADER.encode()
OFFERS: Final = TOKEN_PROTOCOL.encode()


class Gate:
    """Of one server, which has none of these until its engines are there: before that, all is left to what answers
    then."""

    def __init__(self) -> None:
        self._admission: Admission | None = None
        self._refusals: Refusals | None = None

    def opens(self, admission: Admission, refusals: Refusals) -> None:
        self._admission, self._refusals = admission, refusals

    def refusal(self, address: str, *, page: bool) -> Refused | None:
        """Why one who comes from there gets no place, noted; None: the door decides, or tells a page why."""
        if self._admission is None or self._refusals is None:
            return None
        now = asyncio.get_running_loop().time()
        refused = self._admission.check(address, now)
        if refused is None or (page and self._refusals.can_tell_page(now)):
            return None
        self._refusals.note(refused, now)
        return refused


class RefusingHttp(PatientHttp):
    """uvicorn.Config(http=functools.partial(RefusingHttp, gate))."""

    def __init__(self, gate: Gate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate

    def handle_websocket_upgrade(self) -> None:
        if (refused := self._no_place()) is None:
            super().handle_websocket_upgrade()
        else:
            self.transport.write(raw(refused))
            self.transport.close()

    def _no_place(self) -> Refused | None:
        page = False
        for name, value in self.headers:
            if name == RESUMES or (name == b"sec-websocket-protocol" and OFFERS in value):
                return None
            page = page or name == b"origin"
        return self._gate.refusal(self.client[0] if self.client else "", page=page)
