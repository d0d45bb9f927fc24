"""The opt-in lane: the engines of vLLM against a real vLLM. `make test-vllm` makes what it needs and runs it.

Collected only when it is named: an ordinary `pytest` knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import missing
from tests.vllm_lane.servers import COMMAND, Served, made
from voxtral_voice.engines.voxtral.random_weights import Kind

KINDS: Final[tuple[Kind, ...]] = ("mini", "realtime")
TEST_S: Final = 600.0
"""One test; two of them wait for a vLLM to start again."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if any(Path(__file__).parent.name in argument for argument in config.args) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in here:
        item.add_marker(pytest.mark.voxtral)
        item.add_marker(pytest.mark.timeout(TEST_S))
    items.sort(key=lambda item: item in here and item.path.name == "test_process.py")  # it kills what the others need


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Kind, Served]]:
    """Both models, each behind a vLLM of its own; started together, once for all tests."""
    if not COMMAND.is_file():
        missing(f"{COMMAND} is not there (make test-vllm)")
    all_made = {kind: made(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}

    async def start() -> None:
        async with asyncio.TaskGroup() as group:
            for one in all_made.values():
                group.create_task(one.process.start())

    async def stop() -> None:
        for one in all_made.values():
            await one.process.aclose()

    try:
        asyncio.run(start())
        yield all_made
    finally:
        asyncio.run(stop())


@pytest.fixture
def mini(served: dict[Kind, Served]) -> Served:
    return served["mini"]


@pytest.fixture
def realtime(served: dict[Kind, Served]) -> Served:
    return served["realtime"]
