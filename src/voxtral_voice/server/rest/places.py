"""A request that the engines work for has a place among the sessions while they do: what they can do is shared.

Knows: the admission, who asks and from where. Does not know: endpoints, engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from starlette.requests import HTTPConnection
from starlette.types import Scope

from voxtral_voice.server.admission import Refused
from voxtral_voice.server.rest.errors import of_refusal
from voxtral_voice.server.runtime import Runtime

Places = Callable[[Scope], AbstractContextManager[None]]
"""Inside it, that request has a place. Raises ApiError when there is none."""


def places(runtime: Runtime) -> Places:
    @contextmanager
    def taken(scope: Scope) -> Iterator[None]:
        now, caller = asyncio.get_running_loop().time(), HTTPConnection(scope)
        address = caller.client.host if caller.client else ""
        place = runtime.admission.begin_work(caller.state.who.digest, address, now)
        if isinstance(place, Refused):
            runtime.refusals.note(place, now)
            raise of_refusal(place)
        try:
            yield
        finally:
            place.leave()

    return taken
