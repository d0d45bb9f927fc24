from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.server.rest.stop import StopText


def told(stops: list[str], pieces: list[str]) -> tuple[list[str], bool]:
    text = StopText(stops)
    return [*(text.feed(piece) for piece in pieces), text.finish()], text.stopped


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        ([], ["a", "b"], ["a", "b", ""]),
        (["."], ["a.b", "c"], ["a", "", ""]),
        (["END"], ["a E", "N", "D b"], ["a ", "", "", ""]),
        (["END"], ["a E", "N", "x"], ["a ", "", "ENx", ""]),
        (["END"], ["a EN"], ["a ", "EN"]),
        (["b", "a"], ["xab"], ["x", ""]),
    ],
)
def test_pieces(stops: list[str], pieces: list[str], expected: list[str]) -> None:
    assert told(stops, pieces)[0] == expected


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.lists(st.text("ab", max_size=5), max_size=8))
def test_it_is_the_text_up_to_the_first_stop(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)
    found = [at for stop in stops if (at := whole.find(stop)) >= 0]
    parts, stopped = told(stops, pieces)
    # a stop that is whole ends the text at once, though a longer one may have begun before it
    ended = "".join(parts)
    assert whole.startswith(ended)
    assert stopped == bool(found)
    if not found:
        assert ended == whole
    else:
        assert len(ended) >= min(found)
        assert not any(stop in ended for stop in stops)
