from __future__ import annotations

from tests.faults.promises import BEGIN, END, FAULTS, MOMENTS, NOT_KEPT, PAGE, TITLES, Promise, cells, tables, written


def test_the_page_has_the_promises_as_they_are_checked() -> None:
    """python -m tests.faults.promises writes them."""
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == written(page, tables())


def test_every_cell_has_a_name_of_its_own_and_every_promise_a_cell() -> None:
    every = cells()
    assert len({str(cell) for cell in every}) == len(every) == len(MOMENTS) * sum(map(len, FAULTS.values()))
    assert {cell.promise for cell in every} == {*Promise}
    assert TITLES.keys() == FAULTS.keys()


def test_what_is_not_kept_is_a_cell() -> None:
    assert NOT_KEPT.keys() <= {str(cell) for cell in cells()}
