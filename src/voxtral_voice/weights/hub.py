"""Files by plain HTTPS GET, continued where a cut left them.

Knows: the hub's addresses (`{endpoint}/{repo}/resolve/{revision}/{path}`), HF_ENDPOINT, HF_TOKEN, ranges.
Does not know: what the files are, or whether they are right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from voxtral_voice.weights.catalogue import HubSource, UrlSource

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
CONNECT_TIMEOUT_S: Final = 4.0
"""Short: where a host cannot be reached, the next source should be tried at once."""
READ_TIMEOUT_S: Final = 30.0
CUTS_FORGIVEN: Final = 5
"""A transfer that breaks is continued so many times, as long as each try brings something."""
UNREACHABLE: Final = (httpx.ConnectError, httpx.TimeoutException, httpx.ProxyError, httpx.UnsupportedProtocol)


class SourceError(Exception):
    """This source did not give the file; its text says why, in a few words. The next source is tried."""


class Downloads:
    """One HTTP client for a run; a host that cannot be reached is asked only once."""

    def __init__(self) -> None:
        self._made: httpx.Client | None = None
        self._unreachable: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            self._made.close()

    def download(self, source: HubSource | UrlSource, part: Path, size: int, at: Callable[[int], None]) -> None:
        """Bring `part` to `size` bytes, continuing what is there. at: called with the bytes there are. Raises
        SourceError."""
        url, headers = _address(source)
        if url.host in self._unreachable:
            raise SourceError(self._unreachable[url.host])
        cuts = 0
        while (begun := _size_of(part)) < size:
            try:
                self._transfer(url, headers, part, size, at)
            except httpx.HTTPError as error:
                cuts += 1
                if _size_of(part) <= begun or cuts > CUTS_FORGIVEN:
                    raise SourceError(f"broke off after {_size_of(part):,} bytes ({_reason(error)})") from error

    def _transfer(
        self, url: httpx.URL, headers: dict[str, str], part: Path, size: int, at: Callable[[int], None]
    ) -> None:
        begun = _size_of(part)
        if begun:
            headers = headers | {"Range": f"bytes={begun}-"}
        client = self._client()
        try:
            response = client.send(client.build_request("GET", url, headers=headers), stream=True)
        except UNREACHABLE as error:
            self._unreachable[url.host] = f"{url.host} cannot be reached ({_reason(error)})"
            raise SourceError(self._unreachable[url.host]) from error
        try:
            _receive(response, part, _offset(response, begun), size, at)
        finally:
            response.close()

    def _client(self) -> httpx.Client:
        if self._made is None:
            timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            try:
                self._made = httpx.Client(timeout=timeout, follow_redirects=True)
            except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
                raise SourceError(f"the proxy or certificate settings cannot be used ({error})") from error
        return self._made


def _address(source: HubSource | UrlSource) -> tuple[httpx.URL, dict[str, str]]:
    if isinstance(source, UrlSource):
        return httpx.URL(source.url), {"Accept-Encoding": "identity"}
    return hub_address(f"{source.repo}/resolve/{source.revision}/{source.path}")


def hub_address(path: str) -> tuple[httpx.URL, dict[str, str]]:
    """Of something on the hub, and the headers that it is asked for with. Raises SourceError."""
    headers = {"Accept-Encoding": "identity"}
    if token := os.environ.get("HF_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"  # not sent on to another host by a redirect
    endpoint = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    try:
        url = httpx.URL(f"{endpoint.rstrip('/')}/{path}")
    except httpx.InvalidURL as error:
        raise SourceError(f"HF_ENDPOINT={endpoint} is not an address") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise SourceError(f"HF_ENDPOINT={endpoint} is not an http address")
    return url, headers


def _offset(response: httpx.Response, begun: int) -> int:
    """Where the bytes of this answer belong. Raises SourceError."""
    if response.status_code == httpx.codes.OK:
        return 0
    if response.status_code == httpx.codes.PARTIAL_CONTENT and begun:
        found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if found and int(found[1]) == begun:
            return begun
        raise SourceError("answered a range that was not asked for")
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise SourceError(f"refused (HTTP {response.status_code}); a token goes into HF_TOKEN")
    raise SourceError(f"answered HTTP {response.status_code}")


def _receive(response: httpx.Response, part: Path, offset: int, size: int, at: Callable[[int], None]) -> None:
    with part.open("r+b" if offset else "wb") as stream:
        stream.seek(offset)
        for piece in response.iter_bytes():
            stream.write(piece)
            at(stream.tell())
            if stream.tell() > size:
                raise SourceError(f"gave more than {size:,} bytes")
        if stream.tell() < size:
            raise httpx.RemoteProtocolError(f"{size - stream.tell():,} bytes are missing")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
