"""Which engine runs on which device.

Knows: the parts that may be placed, the names of devices, what of a mode is one model. Does not know: which devices
there are (`gpu`), or what is loaded onto them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Listen = Literal["streaming", "direct", "utterance"]
"""How Voxtral hears and answers: `streaming`, words while one talks, then a language model; `direct`, the answer from
the sound itself; `utterance`, the words when the turn is over, then a language model."""

PARTS: Final = ("transcriber", "responder", "speaker")

CPU: Final = "cpu"
FIRST_GPU: Final = "cuda:0"
DEVICE: Final = re.compile(r"cpu|cuda(:\d{1,2})?")


@dataclass(frozen=True, slots=True)
class Placement:
    """Devices by their names in torch: "cpu", "cuda:0"."""

    transcriber: str = FIRST_GPU
    responder: str = FIRST_GPU
    speaker: str = CPU
    """Kokoro is fast enough there, and leaves the GPU to Voxtral."""


def parse(text: str) -> dict[str, str]:
    """ "transcriber=cuda:0,speaker=cuda:1", or one device for all that need a GPU. Raises ValueError."""
    chosen: dict[str, str] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, equals, device = (part.strip() for part in word.partition("="))
        parts = (_part(name),) if equals else ("transcriber", "responder")
        for part in parts:
            if part in chosen:
                raise ValueError(f"{part} is placed twice")
            chosen[part] = _device(device if equals else name)
    return chosen


def place(chosen: Mapping[str, str], *, one_model: bool) -> Placement:
    """one_model: the transcriber and the responder are the same model, which is in one place. Raises ValueError."""
    if not one_model:
        return Placement(**chosen)
    places = {chosen[part] for part in ("transcriber", "responder") if part in chosen}
    if len(places) > 1:
        raise ValueError(
            f"one model hears and answers here, and it cannot be on {' and on '.join(sorted(places))} at once"
        )
    there = places.pop() if places else FIRST_GPU
    return Placement(there, there, chosen.get("speaker", CPU))


def index(device: str) -> int | None:
    """Of a GPU; None: no GPU."""
    return None if device == CPU else int(device.partition(":")[2])


def _part(name: str) -> str:
    if name not in PARTS:
        raise ValueError(f"{name or 'nothing'} is no engine that can be placed; {', '.join(PARTS)} are")
    return name


def _device(name: str) -> str:
    if not DEVICE.fullmatch(name):
        raise ValueError(f"{name or 'nothing'} is no device; cpu, cuda:0, cuda:1 and so on are")
    return FIRST_GPU if name == "cuda" else name
