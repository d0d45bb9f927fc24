"""What a person sees while files come in: a bar on a terminal, plain lines elsewhere.

Knows: stderr, tqdm. Does not know: where the bytes come from.
"""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self

from tqdm import tqdm


class Progress(Protocol):
    """One run over several files."""

    def begin(self, name: str, size: int, source: str) -> None:
        """`name` (`size` bytes) now comes from `source`; begins at 0, also when a source before it failed."""

    def at(self, size: int) -> None:
        """So many bytes of the file are here."""

    def end(self) -> None:
        """The file is complete and in its place."""

    def say(self, line: str) -> None:
        """Something a person should know."""


LONG_BYTES: Final = 10_000_000
"""A file of this size is announced before it comes."""


class PlainLines:
    """For logs and pipes: a line for each file that is there, and one before a large file."""

    def __init__(self) -> None:
        self._what = ""
        self._began = 0.0

    def begin(self, name: str, size: int, source: str) -> None:
        self._what, self._began = f"{name}, {size / 1e6:.1f} MB, from {source}", time.monotonic()
        if size >= LONG_BYTES:
            self.say(f"fetching {self._what}")

    def at(self, size: int) -> None:
        pass

    def end(self) -> None:
        self.say(f"verified {self._what} ({time.monotonic() - self._began:.1f} s)")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bar:
    """For a terminal: one bar over all bytes of the run.

    total_bytes: of all files of the run.
    """

    def __init__(self, total_bytes: int) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._bar = tqdm(total=total_bytes, unit="B", unit_scale=True, file=sys.stderr, ncols=width, miniters=1)
        self._before = 0
        self._size = 0

    @property
    def bytes_shown(self) -> int:
        shown: int = self._bar.n
        return shown

    def begin(self, name: str, size: int, source: str) -> None:
        self._size = size
        self._bar.set_description(f"{name} ({source.split()[0]})", refresh=False)
        self.at(0)

    def at(self, size: int) -> None:
        self._bar.n = self._before + min(size, self._size)
        self._bar.update(0)

    def end(self) -> None:
        self.at(self._size)
        self._before += self._size

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
