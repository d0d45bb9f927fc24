"""The tables of docs/protocol.md say what is really done, and nothing that clients need is missing."""

from __future__ import annotations

import random

import pytest

from tests.realtime.coverage import BEGIN, END, PAGE, ROWS, SERVER_EVENTS, Row, tables, update, written
from tests.realtime.oracle import EVENT_KEYS
from tests.realtime.steps import EVENTS
from tests.realtime.talk import Talk


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_clients_need_is_done(row: Row) -> None:
    assert row.is_done


def test_every_event_that_may_be_sent_has_a_row() -> None:
    rows = {row.name for row in SERVER_EVENTS}
    assert EVENT_KEYS.keys() <= rows
    assert EVENTS.keys() <= {row.name for row in ROWS} | {"output_audio_buffer.clear"}


def test_the_page_has_the_tables_as_they_are() -> None:
    """python -m tests.realtime.coverage writes them."""
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == written(page, tables())


def test_a_row_that_is_not_done_is_told() -> None:
    assert Row("nothing", "must", lambda _: False).cell == "no"
    assert Row("nothing", "no").cell == "–"


def test_a_probe_that_is_refused_says_so() -> None:
    with pytest.raises(AssertionError, match="invalid_value"):
        update(Talk(random.Random(1)), instructions=5)
