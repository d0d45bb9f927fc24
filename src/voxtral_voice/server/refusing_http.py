"""A full server refuses here: before there is a WebSocket, a task, or an application that is asked.

Knows: the head of a request that wants to be a WebSocket, and whether anybody gets a place now. Does not know: keys,
pages and sessions that go on (all of them are left to the `door`).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from voxtral_voice.server.admission import Admission, Refused
from voxtral_voice.server.door import RESUME_HEADER, RESUME_PROTOCOL
from voxtral_voice.server.patient_http import PatientHttp
from voxtral_voice.server.refusals import Refusals, raw

LEFT_TO_THE_DOOR: Final = (b"origin", RESUME_HEADER.encode())


class Gate:
    """Of one server, which has none of these until its engines are there: before that, all is left to what answers
    then."""

    def __init__(self) -> None:
        self._admission: Admission | None = None
        self._refusals: Refusals | None = None

    def opens(self, admission: Admission, refusals: Refusals) -> None:
        self._admission, self._refusals = admission, refusals

    def refusal(self, address: str) -> Refused | None:
        """Why one who comes from there gets no place, noted; None: the door decides."""
        if self._admission is None or self._refusals is None:
            return None
        now = asyncio.get_running_loop().time()
        if (refused := self._admission.check(address, now)) is not None:
            self._refusals.note(refused, now)
        return refused


class RefusingHttp(PatientHttp):
    """uvicorn.Config(http=functools.partial(RefusingHttp, gate))."""

    def __init__(self, gate: Gate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate

    def handle_websocket_upgrade(self) -> None:
        refused = None if self._is_for_the_door() else self._gate.refusal(self.client[0] if self.client else "")
        if refused is None:
            super().handle_websocket_upgrade()
        else:
            self.transport.write(raw(refused))
            self.transport.close()

    def _is_for_the_door(self) -> bool:
        return any(
            name in LEFT_TO_THE_DOOR or (name == b"sec-websocket-protocol" and RESUME_PROTOCOL.encode() in value)
            for name, value in self.headers
        )
