"""Connections to vLLM's `/v1/realtime`: opened, kept for the next utterance, and closed.

Knows: what can go wrong with one and how it is said; how many there may be. Does not know: what is said on them.

Nothing here waits for ever: every wait has a limit, after which the server counts as hung. A connection that failed
takes the idle ones of the same server with it: they would fail too, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State

from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.vllm import realtime_wire as wire
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.patience import nobody
from voxtral_voice.errors import EngineError

CONNECT_S: Final = 3.0
"""Until the server's first words. It takes milliseconds; one that is stopped accepts and says nothing."""
SEND_S: Final = 2.0
"""For a second of sound to leave. The server reads at once and queues, so what does not leave is not read."""
CLOSE_S: Final = 0.5
"""For the server's goodbye at the end; then the connection is cut."""
MAX_FRAME_BYTES: Final = 1024 * 1024
MAX_FRAMES: Final = 1024
"""That wait to be read, over a minute of them; when there are more the server is read no further."""
NOT_REALTIME: Final = 403
"""What vLLM answers when its model has no `/v1/realtime`."""
_SILENT: Final = logging.Logger("vllm.sockets", logging.CRITICAL + 1)
"""The library's own log would have what was said in it."""


class Socket:
    """One connection; the model is named."""

    def __init__(self, server: OpenAIServer, connection: ClientConnection, suspect: Callable[[], None]) -> None:
        self._server = server
        self._connection = connection
        self._suspect = suspect

    @property
    def open(self) -> bool:
        return self._connection.state is State.OPEN

    async def say(self, frame: str) -> None:
        """Raises EngineError when it does not leave in time."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._connection.send(frame)
        except TimeoutError:
            raise self.hung(f"took no more sound for {SEND_S:g} s") from None
        except ConnectionClosed as error:
            raise self._gone() from error

    async def hear(self, patience_s: float) -> wire.Frame | None:
        """The next frame with a meaning; None when there is none for so long. 0: what is there already. Raises
        EngineError when the connection is closed and when what came is no frame."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while True:
                    if (frame := self._read(await self._next())) is not None:
                        return frame
        return None

    async def close(self) -> None:
        """Say goodbye; however that goes, the connection is gone then."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        self._connection.transport.abort()

    def error(self, did: str, more: str = "") -> EngineError:
        """more: of the sentence, for the log alone."""
        return self._server.error(f"{self._server.url}{wire.PATH} {did}{more}.", did)

    def hung(self, did: str) -> EngineError:
        """As `error`; whoever looks after the server is told."""
        self._suspect()
        return self.error(did)

    async def _next(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise self._gone() from error

    def _read(self, data: str | bytes) -> wire.Frame | None:
        try:
            frame = wire.read(data)
        except ValueError as error:
            raise self.error("sent something that is no event") from error
        if isinstance(frame, wire.Failure):
            raise self.error("reported an error", f" ({frame.code}: {frame.message})")
        return frame

    def _gone(self) -> EngineError:
        code = self._connection.close_code
        return self.error("closed the connection", f" ({code})" if code else "")


class Sockets:
    """A pool; each that is taken has a place. suspect: called when the server seems to hang."""

    def __init__(
        self, server: OpenAIServer, admission: Admission | None = None, suspect: Callable[[], None] = nobody
    ) -> None:
        self._server = server
        self._suspect = suspect
        self._admission = admission or Admission()
        self._idle: list[Socket] = []
        self._closed = False

    def open(self) -> None:
        """Keep those that are given back, also after a close."""
        self._closed = False

    async def take(self) -> Socket:
        """One on which an utterance can start. Raises EngineError when there are too many, or the server cannot be
        reached. Give it back, or drop it."""
        await self._admission.enter(self._server)
        taken = False
        try:
            socket = self._idle_one() or await opened(self._server, self._suspect)
            taken = True
            return socket
        finally:
            if not taken:
                self._admission.leave()

    def give_back(self, socket: Socket) -> None:
        """Its utterance is over."""
        self._admission.leave()
        if self._closed:
            socket.cut()
        else:
            self._idle.append(socket)

    def drop(self, socket: Socket) -> None:
        """In the middle of an utterance; the server stops its work when it sees that."""
        self._admission.leave()
        socket.cut()

    def fail(self, socket: Socket) -> None:
        """It failed in the middle of an utterance."""
        self.drop(socket)
        while self._idle:
            self._idle.pop().cut()

    async def aclose(self) -> None:
        """Those that are idle now, and each of the others when it is given back. Safe to call twice."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    def _idle_one(self) -> Socket | None:
        while self._idle:
            socket = self._idle.pop()
            if socket.open:
                return socket
        return None


async def opened(server: OpenAIServer, suspect: Callable[[], None] = nobody) -> Socket:
    """Raises EngineError."""
    url = f"ws{server.url.removeprefix('http')}{wire.PATH}"
    connection = None
    ready = False
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await connect(
                url,
                additional_headers=server.headers,
                compression=None,
                close_timeout=CLOSE_S,
                max_size=MAX_FRAME_BYTES,
                max_queue=MAX_FRAMES,
                open_timeout=None,
                proxy=None,
                user_agent_header=None,
                logger=_SILENT,
            )
            await connection.recv()  # its greeting
            await connection.send(wire.update(server.model))
        ready = True
    except TimeoutError:
        suspect()
        raise server.error(f"{url} did not answer within {CONNECT_S:g} s.", "does not answer") from None
    except InvalidStatus as error:
        raise _refusal(server, url, error.response.status_code) from error
    except (InvalidHandshake, InvalidURI, ConnectionClosed) as error:
        did = "does not answer as a WebSocket"
        raise server.error(f"{url} {did}: is it the right URL?", did) from error
    except OSError as error:
        did = "does not answer"
        raise server.error(f"No server answers at {url} ({error.strerror or error}).", did) from error
    finally:
        if connection is not None and not ready:
            connection.transport.abort()
    return Socket(server, connection, suspect)


async def hears_as_one_speaks(server: OpenAIServer) -> bool:
    """The model of this server is a realtime one. Raises EngineError when that cannot be found out."""
    try:
        await (await opened(server)).close()
    except EngineError as error:
        if isinstance(error.__cause__, InvalidStatus) and error.__cause__.response.status_code < 500:
            return False
        raise
    return True


def _refusal(server: OpenAIServer, url: str, status: int) -> EngineError:
    hint = " It serves no Voxtral Realtime model, which is what listens while one speaks."
    did = f"answered with status {status}"
    return server.error(f"{url} {did}.{hint if status in (404, NOT_REALTIME) else ''}", did)
