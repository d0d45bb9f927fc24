"""The table of docs/faults.md: each fault at its four moments."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults.cells import Engines, Row, play_all, rounds
from tests.faults.promises import FAULTS, MOMENTS, NOT_KEPT, Cell


def names(rows: Sequence[Row]) -> str:
    return "+".join(f"{part}-{fault.name}".replace(" ", "_") for part, fault in rows)


@pytest.mark.parametrize("rows", rounds(), ids=names)
async def test_what_is_promised_is_kept(rows: Sequence[Row], sets: Sequence[Engines]) -> None:
    outcomes = await play_all([Cell(part, fault, moment) for part, fault in rows for moment in MOMENTS], sets)
    assert len(outcomes) == len(rows) * len(MOMENTS)
    broken = {str(outcome.cell): outcome.broken for outcome in outcomes if outcome.broken}
    assert broken.keys() == {str(outcome.cell) for outcome in outcomes} & NOT_KEPT.keys(), broken
    assert sum(outcome.lost_words for outcome in outcomes) == 0


def test_every_fault_has_its_round() -> None:
    played = [row for rows in rounds() for row in rows]
    assert sorted(map(str, played)) == sorted(str((part, fault)) for part in FAULTS for fault in FAULTS[part])
