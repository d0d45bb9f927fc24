"""Stands in for `pynvml` on a machine without a GPU."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest


class Failure(Exception): ...  # noqa: N818


class NVMLError_LibraryNotFound(Failure): ...  # noqa: N801


class NVMLError_DriverNotLoaded(Failure): ...  # noqa: N801


class NVMLError_LibRmVersionMismatch(Failure): ...  # noqa: N801


@dataclass(frozen=True)
class Card:
    name: str = "NVIDIA L4"
    total: int = 24_000_000_000
    free: int = 23_000_000_000
    capability: tuple[int, int] = (8, 9)
    uuid: str = "GPU-1"


@dataclass
class FakeNvml:
    cards: tuple[Card, ...] = ()
    cuda: int = 13000
    failure: Failure | None = None
    """Of nvmlInit."""
    later: Failure | None = None
    """Of what is asked then."""
    open: int = 0
    """How often it is, and not shut down."""
    NVMLError: ClassVar = Failure
    NVMLError_LibraryNotFound: ClassVar = NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded: ClassVar = NVMLError_DriverNotLoaded
    NVMLError_LibRmVersionMismatch: ClassVar = NVMLError_LibRmVersionMismatch

    def nvmlInit(self) -> None:  # noqa: N802
        if self.failure:
            raise self.failure
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.95.05"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.later:
            raise self.later
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:  # noqa: N802
        for card in self.cards:
            if card.uuid == uuid:
                return card
        raise Failure("Not Found")

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=card.total, free=card.free)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:  # noqa: N802
        return card.capability

    def nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        return card.name


def install(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml) -> FakeNvml:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml
