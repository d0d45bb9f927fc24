from __future__ import annotations

from collections.abc import Callable

import pytest

from voxtral_voice.realtime import fields as f


def problem(call: Callable[[], object]) -> f.Problem:
    with pytest.raises(f.FieldError) as caught:
        call()
    return caught.value.problem


def test_a_missing_field_is_named_in_full() -> None:
    for values in ({}, {"id": None}):
        found = problem(lambda v=values: f.Fields(v, "item").required("id", f.text()))  # type: ignore[misc]
        assert found == f.Problem("missing_required_parameter", "Missing required parameter: 'item.id'.", "item.id")


def test_a_field_of_the_event_itself_has_a_short_name() -> None:
    assert problem(lambda: f.Fields({}).required("item_id", f.text())).param == "item_id"


def test_patch_tells_absent_from_null() -> None:
    check = f.text()
    assert f.Fields({}).patch("a", check, "now", "cleared") == "now"
    assert f.Fields({"a": None}).patch("a", check, "now", "cleared") == "cleared"
    assert f.Fields({"a": "new"}).patch("a", check, "now", "cleared") == "new"


def test_optional_takes_null_as_absent() -> None:
    assert f.Fields({"a": None}).optional("a", f.text(), "default") == "default"


def test_inner_objects_carry_their_name() -> None:
    inner = f.Fields({"audio": {"x": 1}}, "session").inner("audio")
    assert inner == f.Fields({"x": 1}, "session.audio")
    assert f.Fields({}, "session").inner("audio") == f.Fields({}, "session.audio")


def test_unknown_keys_are_refused_unless_null() -> None:
    f.Fields({"a": 1, "b": None}).only("a")
    found = problem(lambda: f.Fields({"b" * 200: 1}, "x").only("a"))
    assert (found.code, found.param) == ("unknown_parameter", f"x.{'b' * 100}")


def test_unknown_keys_are_named_the_first_few() -> None:
    assert f.Fields({"a": 1, "b": None, "c": 1}, "x").unknown("a") == ("x.c",)
    many: f.JsonObject = {f"k{number}": 1 for number in range(100)}
    assert f.Fields(many).unknown() == tuple(many)[:20]


def test_an_object_as_json() -> None:
    assert f.json_text(20)({"a": [1, None]}, "x") == '{"a":[1,null]}'
    assert "at most 20 bytes" in problem(lambda: f.json_text(20)({"a": "b" * 20}, "x")).message


def test_audio_is_base64() -> None:
    assert f.audio_bytes("AAEC", "x") == b"\x00\x01\x02"


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (f.text(3), "abc"),
        (f.choice("a", "b"), "b"),
        (f.number(0, 1), 0.5),
        (f.number(0, 1), 1),
        (f.integer(1, 10), 10),
        (f.boolean, False),
        (f.each(f.text(), 2), ["a", "b"]),
        (f.shape({"a": f.text()}), {"a": None}),
        (f.small_object, {"a": [1]}),
    ],
)
def test_good_values_pass_as_they_are(check: f.Check[object], good: f.Json) -> None:
    assert check(good, "x") == good


def test_a_whole_float_is_an_integer() -> None:
    value = f.integer(1, 1000)(500.0, "x")
    assert (value, type(value)) == (500, int)


def deep(levels: int) -> f.JsonObject:
    inner: f.JsonObject = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("check", "bad", "words"),
    [
        (f.text(), 1, "expected a string, but got 1"),
        (f.text(3), "abcd", "expected 0 to 3 characters, but got 4"),
        (f.text(3, 1), "", "expected 1 to 3 characters, but got 0"),
        (f.choice("a", "b"), "c", "expected one of 'a', 'b', but got \"c\""),
        (f.choice("a"), ["a"], "but got an array"),
        (f.number(0, 1), True, "expected a number from 0 to 1, but got true"),
        (f.number(0, 1), "1", 'but got "1"'),
        (f.number(0, 1), 1.5, "but got 1.5"),
        (f.integer(0, 9), True, "expected an integer from 0 to 9, but got true"),
        (f.integer(0, 9), None, "but got null"),
        (f.integer(0, 9), 10, "but got 10"),
        (f.integer(0, 9), 1.5, "expected an integer, but got 1.5"),
        (f.integer(0, 9), 1e300, "but got 1e+300"),
        (f.boolean, 1, "expected true or false, but got 1"),
        (f.each(f.text(), 1), "a", "expected an array"),
        (f.each(f.text(), 1), ["a", "b"], "expected at most 1 entries, but got 2"),
        (f.shape({}), [], "expected an object, but got an array"),
        (f.small_object, "x", "expected an object"),
        (f.small_object, {"a": "b" * 20_000}, "expected at most 16384 bytes of JSON, but got 20008"),
        (f.small_object, deep(500), "not nested so deep, but got an object"),
        (f.audio_bytes, 7, "expected a string"),
        (f.audio_bytes, "AA", "expected base64"),
        (f.audio_bytes, "A" * (f.MAX_AUDIO_CHARS + 4), "at most 15 MiB of audio in one event, but got 15.0 MiB; send"),
    ],
)
def test_bad_values_are_refused_with_the_reason(check: f.Check[object], bad: f.Json, words: str) -> None:
    found = problem(lambda: check(bad, "x"))
    assert (found.code, found.param) == ("invalid_value", "x")
    assert words in found.message


def test_an_entry_of_an_array_is_named_by_its_place() -> None:
    assert problem(lambda: f.each(f.text(), 9)(["a", 1], "x")).param == "x[1]"


def test_a_shape_drops_unknown_keys_or_refuses_them() -> None:
    assert f.shape({"a": f.text()})({"a": "1", "b": 2}, "x") == {"a": "1"}
    assert problem(lambda: f.shape({"a": f.text()}, strict=True)({"b": 2}, "x")).param == "x.b"


def test_a_shape_wants_its_required_keys() -> None:
    check = f.shape({"a": f.text()}, required=("a",))
    assert problem(lambda: check({}, "x")).code == "missing_required_parameter"
    assert check({"a": "1"}, "x") == {"a": "1"}


def test_long_values_are_cut_in_messages() -> None:
    assert f.shown("a" * 1000) == '"' + "a" * 55 + "..."
    assert f.shown("short") == '"short"'
    assert f.shown("\ud800") == '"\\ud800"'
    assert f.shown(2**70) == str(2**70)


def test_unsupported_says_what_to_do() -> None:
    message = f.unsupported("session.prompt", "Do that.").problem.message
    assert message == "Invalid value for 'session.prompt': this is not supported. Do that."
