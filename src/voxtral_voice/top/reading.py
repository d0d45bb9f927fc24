"""Asks a server how it is, again and again.

Knows: HTTP, the three addresses, what may be wrong with an answer. Does not know: how it is shown.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from voxtral_voice.errors import TalkError
from voxtral_voice.top.scrape import Scrape

ANSWER_S: Final = 5.0
WINDOW_S: Final = 60.0
"""What is counted is shown for the last minute, once one has looked for so long."""
LOOKS: Final = 600
"""That are kept for it."""


@dataclass(frozen=True, slots=True)
class Look:
    """At a server."""

    url: str
    total: Scrape
    """Since it started."""
    lately: Scrape
    """Counted in the last `lately_s`; the same as `total` on the first look."""
    lately_s: float | None
    """None: since it started."""
    sessions: tuple[Mapping[str, Any], ...]
    state: str
    """As /readyz says it."""
    engines: Mapping[str, str]
    failing: Mapping[str, str]


class Server:
    """transport, clock: of tests."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises TalkError for an address or a key that can be none."""
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise TalkError("The API key has letters that no key can have: check how it was copied.")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(
            base_url=_address(self.url), headers=headers, timeout=ANSWER_S, trust_env=False, transport=transport
        )
        self._clock = clock
        self._scrapes: deque[tuple[float, Scrape]] = deque(maxlen=LOOKS)  # full: the oldest goes

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def look(self) -> Look:
        """Raises TalkError."""
        metrics = self._asked("/metrics")
        try:
            total = Scrape(metrics.text)
        except ValueError as error:
            raise TalkError(f"What {self.url}/metrics answers is not what this program's servers say.") from error
        if not total.has("sessions"):
            raise TalkError(f"What answers at {self.url} is no server of this program.")
        ready, sessions = self._object(self._asked("/readyz", 503)), self._object(self._asked("/v1/sessions", 503))
        lately, lately_s = self._lately(total)
        return Look(
            self.url,
            total,
            lately,
            lately_s,
            tuple(each for each in sessions.get("data", ()) if isinstance(each, dict)),
            str(ready.get("state", "ready" if ready.get("ready") else "not ready")),
            _texts(ready.get("engines")),
            _texts(ready.get("failing")),
        )

    def _lately(self, total: Scrape) -> tuple[Scrape, float | None]:
        now = self._clock()
        while self._scrapes and now - self._scrapes[0][0] > WINDOW_S:
            self._scrapes.popleft()
        found = (total, None) if not self._scrapes else (total.since(self._scrapes[0][1]), now - self._scrapes[0][0])
        self._scrapes.append((now, total))
        return found

    def _asked(self, path: str, *also: int) -> httpx.Response:
        """also: statuses that are fine, besides 200."""
        try:
            answer = self._client.get(path)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TalkError(f"No server answers at {self.url} ({error}): is it running there?") from error
        if answer.status_code in (200, *also):
            return answer
        if answer.status_code == 503:
            raise TalkError(f"The server at {self.url} loads its models: try again in a few seconds.")
        if answer.status_code == 401:
            raise TalkError(f"The server at {self.url} asks for a key: name it with --api-key.")
        raise TalkError(f"What answers at {self.url} has no {path} (HTTP {answer.status_code}): is it this program?")

    def _object(self, answer: httpx.Response) -> Mapping[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise TalkError(f"What {answer.url} answers is not what this program's servers say.")
        return content


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise TalkError(f"{url} is no address of a server: {error}.") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise TalkError(f"{url} is no address of a server: it has to be like http://127.0.0.1:8080.")
    return address


def _texts(content: object) -> Mapping[str, str]:
    return {str(name): str(text) for name, text in content.items()} if isinstance(content, dict) else {}
