"""Calls come out whole and in order, whatever way a server sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import Call, CallPiece
from voxtral_voice.engines.openai_calls import ID_CHARS, MAX_ID_CHARS, Calls

ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'


def entry(
    name: str | None = None, arguments: object = None, *, index: object = None, call_id: object = None
) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    fields = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {k: v for k, v in fields.items() if v is not None}


def together(pieces: Sequence[CallPiece]) -> list[Call]:
    """The calls; every piece fits the one before it."""
    found: list[Call] = []
    for index, group in groupby(pieces, lambda piece: piece.index):
        parts = list(group)
        (call_id, name), *more = dict.fromkeys((piece.call_id, piece.name) for piece in parts)
        assert not more
        assert index == len(found), "one after the other"
        found.append(Call(call_id, name, "".join(piece.arguments for piece in parts)))
    return found


def calls_of(*chunks: object, cut_off: bool = False, known: Sequence[str] = ()) -> list[Call]:
    calls = Calls(known)
    pieces = [piece for chunk in chunks for piece in calls.take(chunk)]
    return together([*pieces, *calls.rest(cut_off=cut_off)])


def pairs(calls: Sequence[Call]) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in calls]


def pieces_of(call: str, index: int | None = 0) -> list[list[dict[str, object]]]:
    return [[entry(arguments=call[i : i + 4], index=index)] for i in range(0, len(call), 4)]


# --- the manners of servers ---------------------------------------------------------------------------------------

BOTH = [("weather", ROME), ("weather", OSLO)]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                [entry("weather", "", index=0, call_id="a")],
                *pieces_of(ROME),
                [entry("weather", "", index=1, call_id="b")],
                *pieces_of(OSLO, 1),
            ],
            id="in pieces",
        ),
        pytest.param(
            [[entry("weather", ROME, index=0, call_id="a"), entry("weather", OSLO, index=1, call_id="b")]],
            id="whole, at once",
        ),
        pytest.param(
            [[entry("weather", ROME, index=0, call_id="a")], [entry("weather", OSLO, index=0, call_id="b")]],
            id="whole, all with index 0",
        ),
        pytest.param(
            [[entry("weather", ROME, index=0, call_id="")], [entry("weather", OSLO, index=0, call_id="")]],
            id="whole, all with index 0, without ids",
        ),
        pytest.param([[entry("weather", ROME), entry("weather", OSLO)]], id="whole, with nothing"),
        pytest.param(
            [[entry("weather", ROME, call_id="a")], [entry("weather", OSLO, call_id="a")]], id="whole, all with one id"
        ),
        pytest.param(
            [
                [entry("weather", json.loads(ROME), index=0, call_id="a")],
                [entry("weather", json.loads(OSLO), index=1, call_id="b")],
            ],
            id="arguments an object",
        ),
        pytest.param(
            [
                [entry("weather", "", call_id="a")],
                *pieces_of(ROME, None),
                [entry("weather", "", call_id="b")],
                *pieces_of(OSLO, None),
            ],
            id="in pieces, without index",
        ),
        pytest.param(
            [[entry("weather", ROME[i : i + 5], index=0, call_id="a")] for i in range(0, 20, 5)]
            + [[entry("weather", OSLO[i : i + 5], index=1, call_id="b")] for i in range(0, 20, 5)],
            id="the name in each piece",
        ),
        pytest.param(
            [
                [entry("weather", ROME[:5], index=0, call_id="x1")],
                [entry(arguments=ROME[5:], index=0, call_id="x2")],
                [entry("weather", OSLO[:5], index=1, call_id="x3")],
                [entry(arguments=OSLO[5:], index=1, call_id="x4")],
            ],
            id="a new id in each piece",
        ),
        pytest.param(
            [
                [entry("weather", ROME[:5], call_id="x1")],
                [entry(arguments=ROME[5:], call_id="x2")],
                [entry("weather", OSLO[:5], call_id="x3")],
                [entry(arguments=OSLO[5:], call_id="x4")],
            ],
            id="a new id in each piece, without index",
        ),
        pytest.param(
            [
                [entry("weather", "", index=0, call_id="a"), entry("weather", "", index=1, call_id="b")],
                [entry(arguments=ROME[:5], index=0), entry(arguments=OSLO[:5], index=1)],
                [entry(arguments=OSLO[5:], index=1), entry(arguments=ROME[5:], index=0)],
            ],
            id="in turns",
        ),
        pytest.param(
            [[entry(index=0, call_id="a")], [entry("weather", index=0)], *pieces_of(ROME), [entry("weather", OSLO)]],
            id="the name comes late",
        ),
        pytest.param(
            [
                [entry("weather", ROME, index=0, call_id="a")],
                [entry("weather", ROME, index=0, call_id="a")],
                [entry("weather", "", index=0, call_id="a"), entry(arguments="\n", index=0)],
                [entry("weather", OSLO, index=1, call_id="b")],
            ],
            id="said again",
        ),
        pytest.param(
            [
                None,
                3,
                ["x", {}, {"index": 0, "function": None}],
                [entry("weather", ROME, call_id=7)],
                [entry("weather", OSLO)],
            ],
            id="nonsense in between",
        ),
    ],
)
def test_two_calls_whatever_the_manners(chunks: list[object]) -> None:
    calls = calls_of(*chunks)
    assert [(name, json.loads(arguments)) for name, arguments in pairs(calls)] == [
        (name, json.loads(arguments)) for name, arguments in BOTH
    ]
    assert len({call.call_id for call in calls}) == 2
    assert all(call.call_id for call in calls)


def test_ids_of_the_server_are_kept_and_others_given_where_they_are_not_unique() -> None:
    chunk = [entry("f", "{}", index=i, call_id=call_id) for i, call_id in enumerate(["a", "b", "b", "", "known"])]
    ids = [call.call_id for call in calls_of(chunk, known=["known"])]
    assert ids[:2] == ["a", "b"]
    assert len(set(ids)) == 5
    assert "known" not in ids
    assert all(len(i) == ID_CHARS and i.isalnum() for i in ids[2:])


def test_a_call_in_pieces_by_id_alone_whose_id_is_taken() -> None:
    chunks = [
        [entry("f", "", call_id="a")],
        [entry(arguments='{"x"', call_id="a")],
        [entry(arguments=":1}", call_id="a")],
    ]
    (call,) = calls_of(*chunks, known=["a"])
    assert (call.name, call.arguments) == ("f", '{"x":1}')
    assert call.call_id != "a"


# --- as they come -------------------------------------------------------------------------------------------------


def test_a_call_is_told_as_it_comes() -> None:
    calls = Calls()
    assert calls.take([entry("f", "", index=0, call_id="a")]) == [CallPiece(0, "a", "f", "")]
    assert calls.take([entry(arguments='{"x', index=0)]) == [CallPiece(0, "a", "f", '{"x')]
    assert calls.take([entry(arguments="", index=0)]) == []
    assert calls.take([entry(arguments='":1}', index=0)]) == [CallPiece(0, "a", "f", '":1}')]
    assert calls.take([entry("g", "{", index=1, call_id="b")]) == [CallPiece(1, "b", "g", "{")]
    assert calls.rest(cut_off=True) == []


def test_a_later_call_waits_for_an_earlier_one() -> None:
    calls = Calls()
    calls.take([entry("f", '{"x', index=0, call_id="a")])
    assert calls.take([entry("g", "{}", index=1, call_id="b")]) == []
    assert calls.take([entry(arguments='":1}', index=0)]) == [
        CallPiece(0, "a", "f", '":1}'),
        CallPiece(1, "b", "g", "{}"),
    ]


def test_what_is_not_valid_waits_for_the_end() -> None:
    assert pairs(calls_of([entry("f", "{oops}", index=0), entry("g", "[1}", index=1), entry("h", "", index=2)])) == [
        ("f", "{oops}"),
        ("g", "[1}"),
        ("h", "{}"),
    ]


@pytest.mark.parametrize("arguments", ["", None, " "])
def test_a_call_without_arguments_has_none(arguments: str | None) -> None:
    ((name, found),) = pairs(calls_of([entry("f", arguments, index=0, call_id="a")]))
    assert (name, json.loads(found)) == ("f", {})


def test_without_a_name_there_is_no_call() -> None:
    assert calls_of([entry(arguments=ROME, index=0, call_id="a"), entry("f", "{}", index=1)])[0].name == "f"
    assert len(calls_of([entry(arguments=ROME)])) == 0


def test_a_call_that_was_cut_off_before_it_began_is_none() -> None:
    chunk = [entry("f", '{"x', index=0), entry("g", '{"y', index=1), entry("h", "{}", index=2)]
    assert pairs(calls_of(chunk, cut_off=True)) == [("f", '{"x'), ("h", "{}")]


def test_the_size_counts_calls_and_characters() -> None:
    calls = Calls()
    assert calls.size == 0
    calls.take([entry("f", "x" * 500, index=0), entry("g", "", index=1)])
    assert calls.size == 702


def test_the_longest_name_counts_before_its_call_is_told() -> None:
    calls = Calls()
    assert calls.longest_name == 0
    calls.take([entry("f", '{"x', index=0), entry("long", "", index=1)])
    assert calls.longest_name == 4


@pytest.mark.parametrize(
    ("call_id", "ours"), [("", True), ("x" * MAX_ID_CHARS, False), ("x" * (MAX_ID_CHARS + 1), True)]
)
def test_an_id_that_is_too_long_or_none_is_replaced(call_id: str, ours: bool) -> None:
    (call,) = calls_of([entry("f", ROME, index=0, call_id=call_id)])
    assert (call.call_id != call_id) == ours
    assert len(call.call_id) == (ID_CHARS if ours else MAX_ID_CHARS)


arguments = st.dictionaries(st.sampled_from("ab"), st.text(max_size=4) | st.integers(0, 9), max_size=2).map(json.dumps)


@given(st.lists(st.tuples(st.sampled_from("fg"), arguments), min_size=1, max_size=4), st.data())
def test_calls_do_not_depend_on_how_they_are_cut_and_mixed(wanted: list[tuple[str, str]], data: st.DataObject) -> None:
    """In pieces with an index; pieces of different calls may come in turns."""
    left = [
        [entry(name, "", index=i, call_id=f"id{i}"), *(entry(arguments=c, index=i) for c in text)]
        for i, (name, text) in enumerate(wanted)
    ]
    heads, chunks = [pieces.pop(0) for pieces in left], []
    chunks += [[head] for head in heads] if data.draw(st.booleans()) else [heads]
    while any(left):
        pieces = data.draw(st.sampled_from([p for p in left if p]))
        chunks.append([pieces.pop(0)])
    calls = calls_of(*chunks)
    assert pairs(calls) == wanted
    assert [call.call_id for call in calls] == [f"id{i}" for i in range(len(wanted))]
