"""A request that the engines work for has a place among the sessions while they do: what they can do is shared.

Knows: the admission. Does not know: endpoints, engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.runtime import Runtime

Places = Callable[[], AbstractContextManager[None]]
"""Inside it, there is a place. Raises ApiError when there is none."""


def places(runtime: Runtime) -> Places:
    @contextmanager
    def taken() -> Iterator[None]:
        now = asyncio.get_running_loop().time()
        if (refused := runtime.admission.begin_work(now)) is not None:
            runtime.refusals.note(refused, now)
            raise ApiError(refused.status, refused.message, code=refused.code)
        try:
            yield
        finally:
            runtime.admission.end_work()

    return taken
