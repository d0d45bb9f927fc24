"""Where the server's turns go as traces, when somebody has asked for them.

Knows: the setting. Does not know: what a trace is made of (`observe.spans`), how it is sent (`observe.otlp`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voxtral_voice.observe.otlp import Exporter
from voxtral_voice.server.runtime import Runtime


@asynccontextmanager
async def tracing(runtime: Runtime) -> AsyncIterator[None]:
    """Inside, turns are sent; what is left is sent at the end, or lost when that takes long."""
    endpoint = runtime.config.observe.otlp_endpoint
    if not endpoint:
        yield
        return
    exporter = runtime.traces = await asyncio.to_thread(Exporter, endpoint, runtime.metrics)
    try:
        yield
    finally:
        runtime.traces = None
        await asyncio.to_thread(exporter.close)
