"""python -m tests.fuzz.run NAME RUNS: that many inputs by coverage (atheris), then one line of JSON with what it took.

Ends with another status than 0 when an input crashes the parser, holds it up for 10 s, or takes 1 GB; the input is then
in the working folder.
"""

from __future__ import annotations

import gc
import json
import logging
import resource
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["voxtral_voice.realtime", "voxtral_voice.server", "voxtral_voice.observe"]):
    from tests.fuzz.harnesses import HARNESSES

HANG_S: Final = 10
MOST_MB: Final = 1024
MORE: Final = 100
"""Inputs behind the last one that counts: libFuzzer leaves without a word to Python."""
WARM: Final = 2_000
"""Inputs before memory is looked at."""


class Watched:
    """Counts inputs, and what the process has grown by since it was warm."""

    def __init__(self, name: str, runs: int) -> None:
        self._run, self._runs = HARNESSES[name].run, runs
        self._count, self._warm_mb = 0, 0.0

    def __call__(self, data: bytes) -> None:
        self._run(data)
        self._count += 1
        if self._count == WARM:
            gc.collect()
            self._warm_mb = rss_mb()
        if self._count == self._runs:
            self.tell()

    def tell(self) -> None:
        gc.collect()
        grown = round(rss_mb() - self._warm_mb, 1) if self._count > WARM else 0.0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        told = {"inputs": self._count, "grown_mb": grown, "cpu_s": round(usage.ru_utime + usage.ru_stime, 1)}
        print(json.dumps(told), flush=True)


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(name: str, runs: int) -> None:
    logging.disable(logging.CRITICAL)
    harness, watched = HARNESSES[name], Watched(name, runs)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(harness.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [
            f"-runs={runs + MORE}",
            f"-max_len={harness.most_bytes}",
            f"-timeout={HANG_S}",
            f"-rss_limit_mb={MOST_MB}",
        ]
        atheris.Setup([sys.argv[0], *limits, "-seed=1", "-verbosity=0", corpus], watched)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
