"""What is promised when something fails: one row for each thing that can, one cell for each moment at which it does.

    python -m tests.faults.promises       # writes the tables of docs/faults.md

Knows: faults, moments, promises. Does not know: how a fault is made, how a promise is checked (`cells`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Literal

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN: Final = "<!-- made by python -m tests.faults.promises -->"
END: Final = "<!-- end of what is made -->"

Moment = Literal["idle", "listening", "thinking", "speaking"]
MOMENTS: Final[tuple[Moment, ...]] = ("idle", "listening", "thinking", "speaking")


class Promise(Enum):
    """name: as in the table. value: what is checked, beside what holds in every cell."""

    ANSWERED = "The turn is answered in full; it may come later."
    FAILS = (
        "The response fails and says why; `/readyz` and the metrics name the engine. What was heard of the answer "
        "stays in the history, and no more; who heard nothing of it hears an apology."
    )
    UNHEARD = (
        "The client is told that the words of this turn were lost, and why; its response fails, and an apology is "
        "heard. They have to be said again."
    )
    RESUMED = (
        "The client comes back with its token and gets the rest: every event once, in order, and the answer to its "
        "end; what it said meanwhile is heard."
    )
    CUT_OFF = "The client is cut off with a reason; other sessions are answered meanwhile."


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    what: str
    """Is done, for the table."""


KILLED: Final = Fault("killed", "`kill -9`; its port refuses connections")
STOPPED: Final = Fault("stopped", "`SIGSTOP`; its port takes connections and says nothing")
STATUS: Final = Fault("status 500", "it answers with status 500; a stream that has begun ends with an error event")
GARBAGE: Final = Fault("garbage", "it answers with bytes that mean nothing")
ENDLESS: Final = Fault("endless", "its answer does not come to an end")
TRUNCATED: Final = Fault("truncated", "its answer breaks off in the middle of a piece")
FAILING: Final = Fault("fails", "each piece of its work raises an error")
HANGING: Final = Fault("hangs", "no piece of its work comes to an end")

STALLED: Final = Fault("stalled", "nothing comes through any more; connections stay open")
HELD_UP: Final = Fault("held up", "nothing comes through for a third of a second")
RESET: Final = Fault("reset", "the connections end with RST")
HALF_CLOSED: Final = Fault("half closed", "the server's end of the connections is shut, the other stays open")
SHUT: Final = Fault("half closed", "the client's end of the connection is shut, the other stays open")
DELAYED: Final = Fault("delayed", "100 ms more each way")
JITTERY: Final = Fault("jittery", "up to 150 ms more each way, another time for each piece")
NARROW: Final = Fault("narrow", "64 kB/s each way")
VANISHED: Final = Fault("vanished", "no byte passes any more, and the client comes back from another network")
NOT_READING: Final = Fault("not reading", "the client takes nothing that is sent to it")

DISK_OF_RECORDINGS: Final = Fault("recordings: disk full", "each write into the folder of recordings fails with ENOSPC")
DISK_OF_LOG: Final = Fault("log: disk full", "each line of the log fails with ENOSPC")
CLOCK_FORWARD: Final = Fault("clock set forward", "the wall clock jumps a day ahead")
CLOCK_BACK: Final = Fault("clock set back", "the wall clock jumps a day back")

PROCESS: Final = (KILLED, STOPPED, STATUS, GARBAGE, ENDLESS, TRUNCATED)
LASTING: Final = (*PROCESS, STALLED)
BROKEN_LINK: Final = (RESET, HALF_CLOSED)
SLOW_LINK: Final = (DELAYED, JITTERY, NARROW)
HANGS: Final = (STOPPED, STALLED, HANGING, NOT_READING)
"""After which the server has to lose its patience."""
FAULTS: Final[dict[str, tuple[Fault, ...]]] = {
    "transcriber": (*LASTING, *BROKEN_LINK, *SLOW_LINK),
    "responder": (*LASTING, *BROKEN_LINK, *SLOW_LINK),
    "speaker": (*LASTING, *BROKEN_LINK, *SLOW_LINK),
    "turn judge": (FAILING, HANGING),
    "voice activity": (FAILING, HANGING),
    "client link": (RESET, SHUT, VANISHED, HELD_UP, *SLOW_LINK, NOT_READING),
    "machine": (DISK_OF_RECORDINGS, DISK_OF_LOG, CLOCK_FORWARD, CLOCK_BACK),
}


TITLES: Final = {
    "transcriber": "The transcriber, behind a URL",
    "responder": "The responder, behind a URL",
    "speaker": "The speaker, behind a URL",
    "turn judge": "The turn judge, in the server",
    "voice activity": "Voice activity, in the server",
    "client link": "The client's connection",
    "machine": "The machine",
}


@dataclass(frozen=True, slots=True)
class Cell:
    part: str
    fault: Fault
    moment: Moment

    def __str__(self) -> str:
        return f"{self.part}-{self.fault.name}-{self.moment}".replace(" ", "_")

    @property
    def promise(self) -> Promise:
        if self.part == "client link":
            return self._of_the_link()
        if self.fault in LASTING:
            return self._of_an_engine()
        if self.part == "responder" and self.fault in BROKEN_LINK and self.moment == "speaking":
            return Promise.FAILS  # nothing is asked twice of which something was said
        return Promise.ANSWERED

    def _of_an_engine(self) -> Promise:
        if self.part == "transcriber":
            return Promise.ANSWERED if self.moment == "speaking" else Promise.UNHEARD
        return Promise.FAILS

    def _of_the_link(self) -> Promise:
        if self.fault in (RESET, SHUT, VANISHED):
            return Promise.RESUMED
        return Promise.CUT_OFF if self.fault is NOT_READING else Promise.ANSWERED


NOT_KEPT: Final[dict[str, str]] = {}
"""Cells whose promise is not kept, by their name, and what happens instead."""


def cells() -> list[Cell]:
    return [Cell(part, fault, moment) for part, faults in FAULTS.items() for fault in faults for moment in MOMENTS]


# --- the page -----------------------------------------------------------------------------------------------------


def tables() -> str:
    """Everything between the marks of the page."""
    parts = [f"### {TITLES[part]}\n\n{_table(part)}" for part in FAULTS]
    promises = "\n".join(f"| **{_word(promise)}** | {promise.value} |" for promise in Promise)
    missed = "\n".join(f"- `{name}`: {instead}" for name, instead in NOT_KEPT.items()) or "None."
    first = f"### The promises\n\n| | |\n|---|---|\n{promises}"
    return "\n\n".join([first, *parts, f"### Not kept\n\n{missed}"])


def _table(part: str) -> str:
    head = f"| fault | what is done | {' | '.join(MOMENTS)} |\n|---|---|{'---|' * len(MOMENTS)}"
    return "\n".join([head, *(_row(part, fault) for fault in FAULTS[part])])


def _row(part: str, fault: Fault) -> str:
    promised = [Cell(part, fault, moment) for moment in MOMENTS]
    words = [_word(cell.promise) + (" (not kept)" if str(cell) in NOT_KEPT else "") for cell in promised]
    return f"| {fault.name} | {fault.what} | {' | '.join(words)} |"


def _word(promise: Promise) -> str:
    return promise.name.lower().replace("_", " ")


def written(page: str, made: str) -> str:
    """The page with these tables."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), tables()))
