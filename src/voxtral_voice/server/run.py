"""Starts the server: the port and HTTP first, then the engines.

Knows: the order of start and stop, sockets, uvicorn. Does not know: sessions, what is answered when (`health`), what is
waited for at the end (`drain`).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvicorn
import uvloop

from voxtral_voice.config import Config
from voxtral_voice.errors import ServerError
from voxtral_voice.observe import log
from voxtral_voice.replay.recorder import Recorder
from voxtral_voice.server import memory
from voxtral_voice.server.app import SecureHeaders, build_app
from voxtral_voice.server.auth import Auth
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.drain import Stop, drain
from voxtral_voice.server.health import Front, Health
from voxtral_voice.server.in_daemon import in_daemon
from voxtral_voice.server.keeping import Keeping
from voxtral_voice.server.protocols.buffers import PacedWebSocket
from voxtral_voice.server.protocols.full import Gate, RefusingHttp
from voxtral_voice.server.protocols.heads import listen
from voxtral_voice.server.recovery import recover
from voxtral_voice.server.runtime import Runtime, build_engines, start_recorder, watch_loop_lag
from voxtral_voice.server.synthetic import keep_tested, try_a_turn
from voxtral_voice.server.tls import tls_context
from voxtral_voice.server.tracing import tracing

MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""Largest WebSocket message: the protocol's 15 MiB of audio is 20 MiB in base64."""
LOADER: Final = "loader"
"""Thread in which model files are fetched and libraries imported: it cannot be stopped, only left."""
STOP_S: Final = 3
"""How long open connections may take to close when the server stops."""
NO_FAULTS: Final = ("ASGI callable returned without completing handshake", "Cancel ")
"""Lines of uvicorn's that begin so; the second has the number of answers that are cut off."""


@dataclass(frozen=True, slots=True)
class Started:
    """A server that can be used."""

    url: str
    runtime: Runtime
    health: Health
    front: Front
    uvicorn: Server
    serving: asyncio.Task[None]
    """Ends when the server has stopped."""


def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM, and then until all that is going on has come to its end; a second signal ends it
    at once. Prints one line, the URL, when a client can connect.

    Raises ServerError (port, keys, certificate), ConfigError (open to others without a key), WeightsError, EngineError.
    """
    log.set_up(config.log.level, form=config.log.format)
    uvloop.run(_serve(config))
    if any(thread.name == LOADER for thread in threading.enumerate()):  # told to stop in the middle of a download
        sys.stdout.flush()
        os._exit(0)


async def _serve(config: Config) -> None:
    stop = Stop()
    with stop.on_signals(), stop.cancels_until_ready():
        async with started(config) as server:
            stop.is_ready()
            memory.settle()
            print(server.url, flush=True)
            async with _beside(stop.until_asked()) as asked:
                await asyncio.wait([asked, server.serving], return_when=asyncio.FIRST_COMPLETED)
            await drain(server.runtime, server.health, server.front)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[str]:
    """A server inside this event loop; yields its URL. For `talk`, tests and benchmarks. It ends without a drain."""
    async with started(config) as server:
        yield server.url


@asynccontextmanager
async def started(config: Config) -> AsyncIterator[Started]:
    """Port bound, HTTP there, engines loaded and warm, a turn tried, loop and failures watched; all undone afterwards.
    The body stops when the server does."""
    config.server.require_protection()
    auth = await asyncio.to_thread(Auth, config.server)
    tls = await asyncio.to_thread(tls_context, config.server)
    health = Health()
    front, gate = Front(health), Gate()
    with _bind(config.server.host, config.server.port) as listener:
        url = _url(listener, config.server.host, tls is not None)
        async with (
            _answering(_server(front, gate, tls), listener, url) as (server, serving),
            _recording(config) as recorder,
            _loaded(config, health, recorder, auth) as runtime,
        ):
            front.opens(build_app(runtime))
            gate.opens(runtime.admission, runtime.refusals)
            try:
                yield Started(url, runtime, health, front, server, serving)
            finally:  # before the engines go
                server.should_exit = True
                await asyncio.wait([serving])


@asynccontextmanager
async def _answering(
    server: Server, listener: socket.socket, url: str
) -> AsyncIterator[tuple[Server, asyncio.Task[None]]]:
    """HTTP, until the block is left."""
    async with _beside(_serving(server, listener, url)) as serving:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield server, serving
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


async def _serving(server: Server, listener: socket.socket, url: str) -> None:
    """Until it is told to stop. Raises ServerError."""
    try:
        await server.serve(sockets=[listener])
    except OSError as error:
        raise ServerError(f"The server cannot listen at {url}: {error.strerror or error}.") from error


@asynccontextmanager
async def _loaded(config: Config, health: Health, recorder: Recorder | None, auth: Auth) -> AsyncIterator[Runtime]:
    """The engines, with what watches over them. A turn has gone through them, or `health` says why not."""
    health.loading = {"models": "fetched where they are not here yet, and read"}
    cloned = await asyncio.to_thread(ClonedVoices, config.server.voices_dir)
    engines = await in_daemon(lambda: build_engines(config, cloned), LOADER)
    health.loading = dict.fromkeys([*engines.processes, *engines.names()], "starting")
    await engines.start(health.loaded)
    try:
        runtime = health.runtime = Runtime(config, engines, recorder=recorder, auth=auth, cloned=cloned)
        with runtime.closing:
            await try_a_turn(runtime)
            async with (
                _beside(watch_loop_lag(runtime.metrics, runtime.admission.load)),
                _beside(recover(runtime)),
                _beside(keep_tested(runtime)),
                tracing(runtime),
                runtime.sessions.open(),
                _kept(runtime),
            ):
                yield runtime
    finally:
        await engines.aclose()


@asynccontextmanager
async def _kept(runtime: Runtime) -> AsyncIterator[None]:
    """Sessions, in the store that the settings name."""
    server = runtime.config.server
    if not (url := server.resume_store.get_secret_value()):
        yield
        return
    from voxtral_voice.server.redis_store import RedisStore  # where it is used: its library takes a while to load

    store = RedisStore(url, server.resume_s, runtime.metrics.resume_store_failures.inc)
    runtime.keeping = Keeping(runtime.sessions, store, server.resume_s)
    try:
        async with _beside(runtime.keeping.run()):
            yield
    finally:
        await store.aclose()


@asynccontextmanager
async def _recording(config: Config) -> AsyncIterator[Recorder | None]:
    """Says so on stderr, whatever the log's level: nobody is recorded without the operator being told."""
    recorder = await asyncio.to_thread(start_recorder, config)
    if recorder is None:
        yield None
        return
    print(recorder, file=sys.stderr, flush=True)
    try:
        yield recorder
    finally:
        await asyncio.to_thread(recorder.close)


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` beside the body and stop it after it; the body stops when `work` fails. Errors stay as they are."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            try:
                yield task
            finally:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


class Server(uvicorn.Server):
    """Knows no signals: uvicorn's own would close every WebSocket at the first one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await listen(self, sockets or [])


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Of uvicorn's log. What a client has done is none of ours: a text frame that is not UTF-8, which has a traceback
    there; a WebSocket that was refused with an answer, which uvicorn takes for a lack of one; and an answer that nobody
    has read to its end when the server stops, which `drain` has counted."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, UnicodeDecodeError):
        log.event("text_frame_not_utf8")
        return False
    return not (isinstance(error, asyncio.CancelledError) or record.getMessage().startswith(NO_FAULTS))


def _server(app: Front, gate: Gate, tls: ssl.SSLContext | None) -> Server:
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
    return Server(
        uvicorn.Config(
            SecureHeaders(app),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=partial(RefusingHttp, gate),  # type: ignore[arg-type]
            ws=PacedWebSocket,
            ws_max_size=MESSAGE_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=STOP_S,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
    )


def _bind(host: str, port: int) -> socket.socket:
    """Raises ServerError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # bound alone, it could be bound by another server too; who comes now waits for the engines
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(f"Port {port} is in use: stop what uses it, or choose another with --port.") from error
        raise ServerError(f"Cannot listen on {host}:{port} ({error.strerror or error}).") from error
    return listener


def _url(listener: socket.socket, host: str, tls: bool) -> str:
    """Where a browser on this machine finds the server."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{shown}:{port}"
