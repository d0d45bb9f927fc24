"""Starts the server: the port first, then the engines, then HTTP.

Knows: the order of start and stop, sockets, uvicorn. Does not know: sessions.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
import uvloop

from voxtral_voice.config import Config
from voxtral_voice.errors import ServerError
from voxtral_voice.observe import log
from voxtral_voice.replay.recorder import Recorder
from voxtral_voice.server.app import build_app
from voxtral_voice.server.auth import Auth
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.recovery import recover
from voxtral_voice.server.runtime import Runtime, build_engines, start_recorder, watch_loop_lag
from voxtral_voice.server.tls import tls_context

MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""Largest WebSocket message: the protocol's 15 MiB of audio is 20 MiB in base64."""
STOP_S: Final = 3
"""How long open connections may take to close when the server stops."""


def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Prints one line, the URL, when a client can connect.

    Raises ServerError (port, keys, certificate), ConfigError (open to others without a key), WeightsError, EngineError.
    """
    log.set_up(config.log.level, form=config.log.format)
    uvloop.run(_serve(config))


async def _serve(config: Config) -> None:
    async with _started(config) as (_, serving, url):
        print(url, flush=True)
        await serving


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[str]:
    """A server inside this event loop; yields its URL. For `talk`, tests and benchmarks."""
    async with _started(config) as (server, serving, url):
        try:
            yield url
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _started(config: Config) -> AsyncIterator[tuple[Server, asyncio.Task[None], str]]:
    """A server that answers, the task it runs in, and its URL."""
    async with _listening(config) as (server, listener, url), _beside(_serving(server, listener, url)) as serving:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield server, serving, url


async def _serving(server: Server, listener: socket.socket, url: str) -> None:
    """Until it is told to stop. Raises ServerError."""
    try:
        await server.serve(sockets=[listener])
    except OSError as error:
        raise ServerError(f"The server cannot listen at {url}: {error.strerror or error}.") from error


@asynccontextmanager
async def _listening(config: Config) -> AsyncIterator[tuple[Server, socket.socket, str]]:
    """Port bound, engines loaded and warm, loop and failures watched; all undone afterwards."""
    config.server.require_protection()
    auth = await asyncio.to_thread(Auth, config.server)
    tls = await asyncio.to_thread(tls_context, config.server)
    with _bind(config.server.host, config.server.port) as listener:
        async with _recording(config) as recorder:
            cloned = await asyncio.to_thread(ClonedVoices, config.server.voices_dir)
            engines = await asyncio.to_thread(build_engines, config, cloned)
            await engines.start()
            try:
                runtime = Runtime(config, engines, ready=True, recorder=recorder, auth=auth, cloned=cloned)
                with runtime.closing:
                    async with _beside(watch_loop_lag(runtime.metrics)), _beside(recover(runtime)):
                        yield _server(runtime, tls), listener, _url(listener, config.server.host, tls is not None)
            finally:
                await engines.aclose()


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
    """Returns when it is stopped. uvicorn's own raises the signal again, so that nothing after it would be closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Of uvicorn's log. What a client has done is none of ours: a text frame that is not UTF-8, which has a traceback
    there, and a WebSocket that was refused with an answer, which uvicorn takes for a lack of one."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        log.event("text_frame_not_utf8")
        return False
    return not record.getMessage().startswith("ASGI callable returned without completing handshake")


def _server(runtime: Runtime, tls: ssl.SSLContext | None) -> Server:
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
    return Server(
        uvicorn.Config(
            build_app(runtime),
            log_config=None,
            access_log=False,
            lifespan="off",
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
