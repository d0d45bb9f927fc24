"""English abbreviations and Roman numerals."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Dr. Smith", "Doctor Smith"),
        ("Dr Smith", "Doctor Smith"),
        ("12 Main St. today", "twelve Main Street today"),
        ("St. Mary's", "Saint Mary's"),
        ("Prof. Lee", "Professor Lee"),
        ("e.g. this", "for example this"),
        ("cats, dogs, etc.", "cats, dogs, et cetra."),
        ("vs. them", "versus them"),
        ("No. 5", "number five"),
        ("Fig. 3", "figure three"),
        ("pp. 5–10", "pages five to ten"),
        ("Acme Inc. and Co.", "Acme Incorporated and Company."),
        ("on 5th Ave. It is", "on fifth Avenue. It is"),
        ("Mr. and Mrs. Day", "Mister and Missus Day"),
        ("Ph.D. at 5", "PHD at five"),
        ("approx. 5", "approximately five"),
        ("the XIV century", "the fourteenth century"),
    ],
)
def test_abbreviations(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I sat.", "I sat."),
        ("the max.", "the max."),
        ("no way", "no way"),
    ],
)
def test_what_is_none(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Henry VIII", "Henry the eighth"),
        ("Elizabeth II", "Elizabeth the second"),
        ("Chapter IV", "Chapter four"),
        ("World War II", "World War two"),
        ("Rocky IV", "Rocky four"),
        ("Louis XIV", "Louis the fourteenth"),
        ("Charles I was", "Charles the first was"),
        ("Peter I think", "Peter I think"),
        ("Vitamin C", "Vitamin C"),
        ("I vs. II", "I versus two"),
        ("an IV drip", "an IV drip"),
        ("MIX", "MIX"),
    ],
)
def test_roman_numerals(written: str, said: str) -> None:
    assert spoken(written) == said
