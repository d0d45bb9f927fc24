"""Who gets a place on the server, and who is told to come again.

Knows: how many places are taken, by which key and from which address; how often new ones are asked for; the load. Does
not know: clocks (times are given, in seconds on one clock), HTTP, sockets (`door` says the no), what a session is.

Nothing here waits: a place is counted in the step in which it is asked for, so that ten that come at once are ten.

    come_back(now)                      may somebody look for the session that it had?
    check(address, now)                 is there a no for whoever comes from there? Nothing is counted
    enter(owner, address, now)          a place for a session, or why there is none
    begin_work(now), end_work()         a place for a request that the engines work for
    has_room(now)                       is there a place for anybody?
    Place.take() Place.leave()          it is somebody's; it is free again
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, Literal, TypeVar

from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.server.allowance import Bucket
from voxtral_voice.server.load import Load

T = TypeVar("T")

Reason = Literal["sessions", "key", "address", "rate", "load", "closed"]

BURST_S: Final = 2.0
"""New sessions may come in so many seconds' worth at once: all clients of a server that was away for a moment."""
LOADED_FROM: Final = 4
"""The load has a say when a quarter of the places is taken, and two at least: one slow session is no load."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason
    """For the metrics."""
    status: int
    code: str
    message: str
    """One sentence for the client."""
    retry_after_s: int


FULL: Final = Refused("sessions", 503, "server_full", "The server is full: try again in a few seconds.", 5)
LOADED: Final = Refused("load", 503, "server_overloaded", "The server is busy: try again in a few seconds.", 10)
KEY_FULL: Final = Refused("key", 429, "rate_limit_exceeded", "This API key has as many sessions as it may.", 5)
ADDRESS_FULL: Final = Refused("address", 429, "rate_limit_exceeded", "Your address has as many sessions as it may.", 5)
TOO_FAST: Final = Refused("rate", 429, "rate_limit_exceeded", "Too many new sessions: try again in a second.", 1)


class Place:
    """Leaving it twice is leaving it once."""

    def __init__(self, admission: Admission, owner: bytes, network: str) -> None:
        self._admission: Admission | None = admission
        self.owner, self.network = owner, network
        self.taken = False

    def take(self) -> None:
        """Whoever takes it leaves it; the door leaves one that nobody took."""
        self.taken = True

    def leave(self) -> None:
        if self._admission is not None:
            self._admission._free(self)
            self._admission = None


class Admission:
    """most: places in all."""

    def __init__(self, limits: LimitsConfig, most: int) -> None:
        self._limits, self._most = limits, most
        self.load = Load(limits.slow_turn_s, limits.loop_lag_ms / 1000)
        self.sessions = 0
        """That have a place."""
        self.requests = 0
        self._by_owner: Counter[bytes] = Counter()
        self._by_network: Counter[str] = Counter()
        self._new = Bucket(limits.new_sessions_per_s, BURST_S * limits.new_sessions_per_s)
        self._again = Bucket(limits.new_sessions_per_s, max(most, BURST_S * limits.new_sessions_per_s))
        """All sessions may lose their connections at once."""

    def has_room(self, now: float) -> bool:
        """For whoever comes from an address and with a key that have nothing yet."""
        return self._no_place(now) is None

    def check(self, address: str, now: float) -> Refused | None:
        """For one whose key is not known yet."""
        if (refused := self._no_place(now)) is not None:
            return refused
        most = self._limits.sessions_per_address
        if most and self._by_network[network_of(address)] >= most:
            return ADDRESS_FULL
        return None if self._new.has(1, now) else TOO_FAST

    def enter(self, owner: bytes, address: str, now: float) -> Place | Refused:
        """owner: digest of the API key, b"" where none is asked for: those have no limit of their own."""
        if (refused := self.check(address, now)) is not None:
            return refused
        if owner and 0 < self._limits.sessions_per_key <= self._by_owner[owner]:
            return KEY_FULL
        self._new.take(1, now)
        place = Place(self, owner, network_of(address))
        self.sessions += 1
        self._by_owner[place.owner] += 1
        self._by_network[place.network] += 1
        return place

    def come_back(self, now: float) -> Refused | None:
        """The session that is looked for has its place, if it is there."""
        if not self._again.has(1, now):
            return TOO_FAST
        self._again.take(1, now)
        return None

    def _free(self, place: Place) -> None:
        self.sessions -= 1
        _one_less(self._by_owner, place.owner)
        _one_less(self._by_network, place.network)

    def begin_work(self, now: float) -> Refused | None:
        """Of a request, which has a place until `end_work`; None = it has one now."""
        refused = self._no_place(now)
        self.requests += refused is None
        return refused

    def end_work(self) -> None:
        self.requests -= 1

    def _no_place(self, now: float) -> Refused | None:
        if self.sessions + self.requests >= self._most:
            return FULL
        if self.sessions >= max(2, self._most // LOADED_FROM) and self.load.too_much(now) is not None:
            return LOADED
        return None


def _one_less(places: Counter[T], who: T) -> None:
    """Nothing is kept of who has none."""
    places[who] -= 1
    if not places[who]:
        del places[who]


def network_of(address: str) -> str:
    """An IPv4 address is one caller; of IPv6 everybody has a /64 network, 2^64 addresses, at least."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or IPv6Network((ip, 64), strict=False))
