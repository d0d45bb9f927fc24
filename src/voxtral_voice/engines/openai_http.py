"""The HTTP that the three remote engines share: one OpenAI-compatible server each, over kept-alive connections.

Knows: requests, keys, what can go wrong and how it is said. Does not know: what is asked for.

Timeouts, but for that of making a connection, are the caller's (`server/asking.py`), and so is a second try: over a new
connection a request is sent once. Cancelling the awaiting task closes the connection at once, so that the server can
stop its work. Every failure is an EngineError of the seam, one sentence with the URL in it; a RequestError when the
server says that this one request is at fault. What clients are told of it has neither the URL nor a word of the
server's.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import BusyError, EngineError, RequestError

MAX_CONNECTIONS: Final = 128
"""To one server. When all are in use, a request waits for one, as long as its caller does."""
KEEP_ALIVE_S: Final = 60.0
CONNECT_S: Final = 3.0
"""For a connection, TLS included: a lost packet is sent again after one second, and the way to the other side of the
earth and back takes a third of one."""
START_S: Final = 10.0
LONG_BODY_BYTES: Final = 1024 * 1024
"""Half a minute of sound."""
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Of an answer that is not a stream."""
MAX_NAME_CHARS: Final = 200
"""Of a model that a server lists; what is longer, or would not be seen as it is, is no name."""
SHOWN_CHARS: Final = 300
"""Of what a server says about an error."""
THIS_REQUEST: Final = frozenset({400, 413, 414, 415, 422})
"""Statuses by which a server refuses what was asked, not who asks or where."""
NO_KEY: Final = frozenset({401, 403})
BROKE_OFF: Final = "broke off in the middle of its answer"
"""What clients are told of that."""


class OpenAIServer:
    """seam: of the engine that uses it, for errors."""

    def __init__(self, seam: str, remote: Remote) -> None:
        self.model = remote.model
        self.listed: Mapping[str, Mapping[str, Any]] = {}
        """The models that the server lists, by name, known after `start`; none when it has no such list."""
        self._seam = seam
        self._settings = remote.settings or f"{seam}."
        self.url = remote.url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {remote.api_key}"} if remote.api_key else {}
        self._client: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return f"{self.model or 'a model'} at {self.url}"

    async def start(self) -> None:
        """Open the pool, and ask the server for its models: does it answer, and to this key? Raises EngineError.

        A server that has no such list is taken to be fine when it was told which model is meant.
        """
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers=self.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_tracing()],
            auto_decompress=False,
        )
        started = False
        try:
            async with asyncio.timeout(START_S):
                await self._ask_for_models()
            started = True
        except TimeoutError:
            raise self.error(f"{self.url} did not answer within {START_S:g} s: is it the right URL?") from None
        finally:
            if not started:
                await self.aclose()

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ask_for_models(self) -> None:
        async with self._sent("GET", "/models") as answer:
            if answer.status in NO_KEY:
                raise await self._refusal(answer)
            if answer.status != 200 and not self.model:
                raise self.error(f"{await self._found(answer)} Name the model to use with {self._settings}model.")
            self.listed = _models(await self._whole(answer)) if answer.status == 200 else {}
        if self.model:
            return
        listed = list(self.listed)
        if len(listed) != 1:
            found = f"lists {len(listed)} models ({', '.join(listed[:5])})" if listed else "does not say what it serves"
            raise self.error(f"{self.url} {found}: name the one to use with {self._settings}model.")
        self.model = listed[0]

    # --- requests -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> AsyncIterator[Answer]:
        """The answer once its headers are there and its status is good. Leaving early closes the connection."""
        async with self._sent("POST", path, data=body, headers={"Content-Type": content_type}) as response:
            if response.status >= 300:
                raise await self._refusal(response)
            yield Answer(self, response)

    @asynccontextmanager
    async def _sent(
        self, method: str, path: str, *, data: bytes = b"", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        client = self._client
        if client is None:
            raise EngineError(self._seam, f"The {self._seam} is not running: await start() first.")
        url = self.url + path
        try:
            async with await _requested(client, method, url, data, **options) as response:
                yield response
        except aiohttp.ClientConnectorError as error:
            raise self.error(
                f"No server answers at {url} ({_reason(error)}): start it, or correct {self._settings}url.",
                "does not answer",
            ) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise self.error(
                f"No server takes a connection at {url} within {CONNECT_S:g} s: start it, or correct "
                f"{self._settings}url.",
                "does not answer",
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise self.error(f"The answer of {url} broke off in the middle.", BROKE_OFF) from error
        except aiohttp.ServerDisconnectedError as error:
            did = "closed the connection without an answer"
            raise self.error(f"{url} {did}.", did) from error
        except aiohttp.ClientResponseError as error:
            raise self.error(
                f"{url} does not answer in HTTP ({short(error.message)}): is it the right URL?",
                "does not answer in HTTP",
            ) from error
        except aiohttp.ClientError as error:
            reason = short(str(error)) or type(error).__name__
            raise self.error(f"{url} cannot be asked ({reason}).", "cannot be asked") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> EngineError:
        status, found = response.status, await self._found(response)
        did = f"answered with status {status}"
        if status in THIS_REQUEST:
            return self.refused(found, did)
        if status in NO_KEY:
            found += f" Set {self._settings}api_key to a key that it takes."
        if status == 404:
            found += f" Is {self._settings}url right (it often ends in /v1), and the model?"
        return self.error(found, did)

    async def _found(self, response: aiohttp.ClientResponse) -> str:
        """What a bad answer says, in a sentence."""
        status, said = response.status, _message_of(await self._whole(response))
        found = f"{response.url} answered with status {status}" + (f": {said}" if said else "")
        if 300 <= status < 400:
            found += f"; it points to {short(response.headers.get('Location', 'nowhere'))}."
        return sentence(found)

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise self.error(
                    f"The answer of {response.url} is larger than {MAX_ANSWER_BYTES} bytes.", "gave too large an answer"
                )
        return b"".join(parts)

    def error(self, message: str, did: str = "failed") -> EngineError:
        """did: what clients are told that the server did."""
        return EngineError(self._seam, message, self._told(did))

    def refused(self, message: str, did: str) -> RequestError:
        return RequestError(self._seam, message, self._told(did))

    def busy(self, message: str) -> BusyError:
        return BusyError(self._seam, message, self._told("is busy"))

    def _told(self, did: str) -> str:
        return f"The {self._seam}'s server {did}."


@dataclass(slots=True)
class _Way:
    """Of one request."""

    reused: bool = False
    """Over a connection that had been idle."""


def _tracing() -> aiohttp.TraceConfig:
    async def noted(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceConnectionReuseconnParams) -> None:
        context.trace_request_ctx.reused = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(noted)
    return tracing


async def _requested(
    client: aiohttp.ClientSession, method: str, url: str, data: bytes, **options: Any
) -> aiohttp.ClientResponse:
    """A server may close an idle connection in the moment in which a request comes over it (RFC 9112, section 9.3.1);
    some do so after each answer without saying so. Then it has not been asked, and is, over the next connection: each
    that breaks leaves the pool. None of these requests changes anything there, should it have been."""
    while True:
        way = _Way()
        try:
            return await client.request(
                method, url, data=_in_pieces(data), allow_redirects=False, trace_request_ctx=way, **options
            )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not way.reused:
                raise


def _in_pieces(data: bytes) -> bytes | io.BytesIO | None:
    """A long body is sent piece by piece, so that nothing else waits for all of it to leave."""
    return io.BytesIO(data) if len(data) > LONG_BODY_BYTES else data or None


class Answer:
    """A response with a good status."""

    def __init__(self, server: OpenAIServer, response: aiohttp.ClientResponse) -> None:
        self._server = server
        self._response = response
        self.url = str(response.url)

    @property
    def kind(self) -> str:
        """Of the content: "audio/pcm"; "" when the server does not say."""
        return self._response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        return self._response.content.iter_any()

    async def json(self) -> dict[str, Any]:
        """The whole body. Raises EngineError when it is no JSON object."""
        body = await self._server._whole(self._response)
        try:
            content = loaded(body)
        except ValueError as error:
            raise self.error("sent something that is not JSON", size_of(body)) from error
        if not isinstance(content, dict):
            raise self.error("sent JSON that is no object", size_of(body))
        return content

    def broken_off(self) -> EngineError:
        return self._server.error(f"The answer of {self.url} broke off in the middle.", BROKE_OFF)

    def error(self, did: str, more: str = "") -> EngineError:
        """more: of the sentence, for the log alone."""
        return self._server.error(sentence(f"{self.url} {did}{more}"), did)


def loaded(data: bytes) -> Any:
    """JSON, in which half a character, which some servers send, becomes U+FFFD. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _mended(data)


def _mended(data: bytes) -> Any:
    try:
        text = json.dumps(json.loads(data.decode(errors="replace")), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deep") from error
    return orjson.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _reason(error: aiohttp.ClientConnectorError) -> str:
    number = error.os_error.errno
    return os.strerror(number) if number is not None and number > 0 else error.os_error.strerror or str(error.os_error)


def message_in(content: Mapping[str, Any]) -> str | None:
    """What an error body, or an error event in a stream, says; None when it is no error."""
    error = content.get("error")
    if error is None and content.get("object") == "error":
        error = content
    if error is None:
        return None
    message = error.get("message") if isinstance(error, Mapping) else error
    return short(str(message or orjson.dumps(error, default=str).decode()))


def _message_of(body: bytes) -> str:
    """The message of an error body, of any of the shapes that are about; else its first words."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return short(body.decode(errors="replace"))
    if not isinstance(content, dict):
        return short(str(content))
    said = message_in(content) or content.get("message") or content.get("detail")
    return short(said if isinstance(said, str) else orjson.dumps(said or content).decode())


def _models(body: bytes) -> dict[str, Mapping[str, Any]]:
    """{} for anything but OpenAI's list, of names."""
    try:
        data = orjson.loads(body).get("data")
        models = {str(model["id"]): model for model in data}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}
    return models if all(0 < len(name) <= MAX_NAME_CHARS and name.isprintable() for name in models) else {}


def short(text: str) -> str:
    """In one line, of characters that leave a terminal as it is."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text[: 10 * SHOWN_CHARS].split()))
    return line if len(line) <= SHOWN_CHARS else line[:SHOWN_CHARS] + "..."


def size_of(data: bytes) -> str:
    """All that the log has of what cannot be read: what was said may be in it."""
    return f": {len(data)} bytes"


def sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
