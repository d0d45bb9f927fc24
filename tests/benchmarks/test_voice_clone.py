from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import voice_clone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result() -> Any:
    return json.loads((ROOT / "benchmarks/voice_clone.json").read_text(encoding="utf-8"))


def test_the_page_has_the_table_of_the_result(result: Any) -> None:
    assert voice_clone.table(result) in (ROOT / "docs/cloning.md").read_text(encoding="utf-8")


def test_every_clone_is_nearer_than_any_stock_voice(result: Any) -> None:
    assert len(result["voices"]) == 12
    for row in result["voices"].values():
        assert row["clone"]["similarity"] > row["stock"]["similarity"]
