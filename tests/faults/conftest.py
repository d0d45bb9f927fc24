from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.faults.cells import AT_ONCE, Engines
from tests.faults.processes import engine_processes
from tests.faults.promises import MOMENTS


@pytest.fixture(scope="module")
def sets() -> Iterator[Sequence[Engines]]:
    """Of three engines each, for all tests of a file; a test mends what it breaks."""
    with ExitStack() as stack:
        yield [stack.enter_context(engine_processes()) for _ in range(AT_ONCE * len(MOMENTS))]
