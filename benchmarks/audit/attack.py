"""What an attack is, where it goes, and what is told of it."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

Kind = Literal["keyed", "open", "tls"]
"""A server that asks for a key; one on loopback that asks for none; one that speaks TLS."""


@dataclass(slots=True)
class Target:
    url: str
    key: str = ""
    """That lets one in; "" where none is asked for."""
    sent_secrets: set[str] = field(default_factory=set)
    """That no log may hold."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if self.url.startswith("https") else None

    @property
    def shown(self) -> dict[str, str]:
        """The right key, as a header."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def secret(self, prefix: str = "vv_") -> str:
        """A made-up one, which no log may hold."""
        made = prefix + secrets.token_urlsafe(24)
        self.sent_secrets.add(made)
        return made


@dataclass(frozen=True, slots=True)
class Came:
    """What came of an attack."""

    text: str
    good: bool


@dataclass(frozen=True, slots=True)
class Attack:
    name: str
    sent: str
    expected: str
    on: Kind
    run: Callable[[Target], Awaitable[Came]]


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of an attack."""

    name: str
    sent: str
    expected: str
    came: str
    good: bool


ATTACKS: Final[list[Attack]] = []


def attack(
    name: str, sent: str, expected: str, on: Kind = "keyed"
) -> Callable[[Callable[[Target], Awaitable[Came]]], Callable[[Target], Awaitable[Came]]]:
    def add(run: Callable[[Target], Awaitable[Came]]) -> Callable[[Target], Awaitable[Came]]:
        ATTACKS.append(Attack(name, sent, expected, on, run))
        return run

    return add
