"""Who gets a place on the server, and who is told to come again.

Knows: how many places are taken, by which key and from which address; how often new ones are asked for; the load. Does
not know: clocks (times are given, in seconds on one clock), HTTP, sockets (`door` says the no), what a session is.

Nothing here waits: a place is counted in the step in which it is asked for, so that ten that come at once are ten.

    come_back(now)                      may somebody look for the session that it had elsewhere?
    check(address, now)                 is there a no for whoever comes from there? Nothing is counted
    enter(owner, address, now)          a place for a session, or why there is none
    begin_work(owner, address, now)     a place for a request that the engines work for, or why there is none
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
Use = Literal["session", "request"]
"""What a place is for."""

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
KEY_FULL: Final = Refused(
    "key", 429, "rate_limit_exceeded", "This API key has as many sessions and requests as it may.", 5
)
ADDRESS_FULL: Final = Refused(
    "address", 429, "rate_limit_exceeded", "Your address has as many sessions and requests as it may.", 5
)
TOO_FAST: Final = Refused("rate", 429, "rate_limit_exceeded", "Too many new sessions: try again in a second.", 1)


class Place:
    """Leaving it twice is leaving it once."""

    def __init__(self, admission: Admission, use: Use, owner: bytes, network: str) -> None:
        self._admission: Admission | None = admission
        self.use, self.owner, self.network = use, owner, network
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
        self._used: Counter[Use] = Counter()
        self._by_owner: Counter[bytes] = Counter()
        self._by_network: Counter[str] = Counter()
        burst = max(1.0, BURST_S * limits.new_sessions_per_s)
        self._new = Bucket(limits.new_sessions_per_s, burst)
        self._again = Bucket(limits.new_sessions_per_s, max(most, burst))
        """All sessions may lose their connections at once."""

    @property
    def sessions(self) -> int:
        """That have a place."""
        return self._used["session"]

    @property
    def requests(self) -> int:
        return self._used["request"]

    def has_room(self, now: float) -> bool:
        """For whoever comes from an address and with a key that have nothing yet."""
        return self._no_place(now) is None

    def check(self, address: str, now: float) -> Refused | None:
        """For a session of one whose key is not known yet."""
        refused = self._no_place(now) or self._not_from(network_of(address))
        return refused if refused is not None or self._new.has(1, now) else TOO_FAST

    def enter(self, owner: bytes, address: str, now: float) -> Place | Refused:
        """owner: digest of the API key, b"" where none is asked for: those have no limit of their own."""
        if (refused := self.check(address, now) or self._not_with(owner)) is not None:
            return refused
        self._new.take(1, now)
        return self._place("session", owner, address)

    def begin_work(self, owner: bytes, address: str, now: float) -> Place | Refused:
        """As `enter`, for a request; those may come as fast as they like."""
        refused = self._no_place(now) or self._not_from(network_of(address)) or self._not_with(owner)
        return refused or self._place("request", owner, address)

    def come_back(self, now: float) -> Refused | None:
        """To a session that is not here: it may be in the store, where the looking costs something."""
        if not self._again.has(1, now):
            return TOO_FAST
        self._again.take(1, now)
        return None

    def _place(self, use: Use, owner: bytes, address: str) -> Place:
        place = Place(self, use, owner, network_of(address))
        self._used[use] += 1
        self._by_owner[place.owner] += 1
        self._by_network[place.network] += 1
        return place

    def _free(self, place: Place) -> None:
        self._used[place.use] -= 1
        _one_less(self._by_owner, place.owner)
        _one_less(self._by_network, place.network)

    def _not_from(self, network: str) -> Refused | None:
        return ADDRESS_FULL if 0 < self._limits.sessions_per_address <= self._by_network[network] else None

    def _not_with(self, owner: bytes) -> Refused | None:
        return KEY_FULL if owner and 0 < self._limits.sessions_per_key <= self._by_owner[owner] else None

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
