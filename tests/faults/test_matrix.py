"""The table of docs/faults.md: each fault at its four moments."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults.cells import Engines, play_all
from tests.faults.promises import FAULTS, MOMENTS, NOT_KEPT, Cell, Fault


@pytest.mark.parametrize(
    ("part", "fault"),
    [(part, fault) for part, faults in FAULTS.items() for fault in faults],
    ids=lambda row: row.name if isinstance(row, Fault) else row,
)
async def test_what_is_promised_is_kept(part: str, fault: Fault, sets: Sequence[Engines]) -> None:
    outcomes = await play_all([Cell(part, fault, moment) for moment in MOMENTS], sets)
    broken = {str(outcome.cell): outcome.broken for outcome in outcomes if outcome.broken}
    assert broken.keys() == {str(outcome.cell) for outcome in outcomes} & NOT_KEPT.keys(), broken
    assert sum(outcome.lost_words for outcome in outcomes) == 0
