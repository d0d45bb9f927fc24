"""What a driver is: the words that a caller and a kind of server have for the same things.

Knows: the seam. Does not know: any wire. A `Driver` is the same for all conversations with a server; a `Translator`
belongs to one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from voxtral_voice.bench.microphone import Message
from voxtral_voice.bench.record import Observation
from voxtral_voice.errors import TalkError


class Line(Protocol):
    """A connection while both sides greet each other."""

    async def send(self, message: Message) -> None:
        """Raises TalkError once the connection is lost."""

    async def receive(self, timeout_s: float) -> Message | None:
        """None: nothing came in time. Raises TalkError once the connection is lost."""


class Translator(Protocol):
    """One conversation. Every message that came is given to it, those of the greeting too."""

    @property
    def transcribes(self) -> bool:
        """Whether a transcript of what the user says can be expected."""

    def translate(self, message: Message, at: float) -> Sequence[Observation]:
        """at: when the message came, s. Raises TalkError when a server of this kind would not send it."""

    def cut(self, reply: str, played_ms: float) -> Sequence[Message]:
        """What a client has to send when it fell silent in the middle of a reply, because the server said so."""

    def recall(self, reply: str) -> Sequence[Message]:
        """Asks what the server thinks was heard of a reply; nothing when it cannot be asked."""


class Driver(Protocol):
    @property
    def url(self) -> str:
        """The socket's address."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def microphone_hz(self) -> int: ...

    def encode(self, pcm: bytes, /) -> Message:
        """20 ms of PCM16 -> the message that carries it. A static function: what it made is kept by it."""

    async def greet(self, line: Line) -> None:
        """Until the server listens. Raises TalkError when it will not, or is of another kind."""

    def translator(self, began: float) -> Translator:
        """began: when the microphone's first sample is due, s."""


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """Raises KeyError, TypeError."""
    if not isinstance(text := fields[name], str):
        raise TypeError(f"{name} is no text")
    return text


def socket_url(url: str, path: str = "") -> str:
    """ws://host/path, http://host or host:port -> the address of the socket; `path` where the url has none.

    Raises TalkError.
    """
    address = url if "://" in url else f"ws://{url}"
    scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}.get(address.partition("://")[0].lower())
    if scheme is None or not _has_host_and_port(address):
        raise TalkError(f"{url} is not the address of a server; write http://host:port or ws://host:port/v1/realtime.")
    parts = urlsplit(address)
    return parts._replace(scheme=scheme, path=parts.path if parts.path.strip("/") else path, fragment="").geturl()


def _has_host_and_port(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:  # the port is no number, or the host's name has an open bracket or an empty part
        return False
