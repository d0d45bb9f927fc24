"""Whatever the order of a history, servers get one that they take, and nothing of it is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import Call, Message, Picture
from voxtral_voice.engines.prompt import A_PICTURE, NO_OUTPUT_YET, call_ids, in_order, in_words, without_pictures


def user(text: str, *pictures: Picture) -> Message:
    return Message("user", text, pictures)


def said(text: str, *ids: str) -> Message:
    return Message("assistant", text, calls=tuple(call(i) for i in ids))


def call(call_id: str) -> Call:
    return Call(call_id, f"tool_{call_id}", "{}")


def output(call_id: str | None, text: str = "") -> Message:
    return Message("tool", text or f"output of {call_id}", call_id=call_id)


CAT = Picture("data:image/png;base64,AAAA")


# --- in order -----------------------------------------------------------------------------------------------------


def test_a_history_in_order_stays_as_it_is() -> None:
    history = [Message("system", "Be brief."), user("a"), said("b", "1", "2"), output("1"), output("2"), said("c")]
    assert in_order(history) == history
    assert in_order([]) == []


def test_outputs_come_in_the_order_of_their_calls() -> None:
    assert in_order([user("a"), said("", "1", "2"), output("2"), output("1")]) == [
        user("a"),
        said("", "1", "2"),
        output("1"),
        output("2"),
    ]


def test_an_output_moves_to_its_call() -> None:
    """The user has asked something else meanwhile; that is what is to be answered."""
    history = [user("a"), said("one moment", "1"), user("b"), output("1")]
    assert in_order(history) == [user("a"), said("one moment", "1"), output("1"), user("b")]
    earlier = [output("1"), user("a"), said("", "1")]
    assert in_order(earlier) == [user("a"), said("", "1"), output("1")]


def test_a_call_moves_to_its_output_when_that_is_to_be_answered() -> None:
    history = [user("a"), said("one moment", "1", "2"), output("2"), user("b"), said("still looking"), output("1")]
    assert in_order(history) == [
        user("a"),
        said("one moment", "2"),
        output("2"),
        user("b"),
        said("still looking"),
        said("", "1"),
        output("1"),
    ]
    alone = [user("a"), said("", "1"), said("wait"), output("1"), output("?")]
    assert in_order(alone) == [user("a"), said("wait"), user("(A tool says: output of ?)"), said("", "1"), output("1")]


def test_a_call_without_output_says_so() -> None:
    history = [user("a"), said("", "1", "2"), output("1"), user("b")]
    assert in_order(history) == [user("a"), said("", "1", "2"), output("1"), output("2", NO_OUTPUT_YET), user("b")]


def test_an_output_without_call_is_told_in_words() -> None:
    assert in_order([user("a"), output("gone", "sunny")]) == [user("a"), user("(A tool says: sunny)")]
    assert in_order([output(None, "sunny")]) == [user("(A tool says: sunny)")]


def test_calls_with_the_same_id_take_an_output_each() -> None:
    history = [said("", "1"), output("1", "first"), said("", "1"), output("1", "second"), output("1", "third")]
    assert in_order(history) == [*history[:4], user("(A tool says: third)")]


messages = st.one_of(
    st.just(user("hello")),
    st.builds(lambda ids: said("", *ids), st.lists(st.sampled_from("123"), min_size=1, max_size=3)),
    st.builds(lambda ids: said("well", *ids), st.lists(st.sampled_from("123"), max_size=3)),
    st.builds(output, st.sampled_from("1234")),
)


@given(st.lists(messages, max_size=12))
def test_whatever_the_order_a_server_takes_it(history: list[Message]) -> None:
    ordered = in_order(history)
    waiting: list[str] = []
    for message in ordered:
        if message.role == "tool":
            assert message.call_id == waiting.pop(0), "an output behind its call, in their order"
        else:
            assert not waiting, "every call has its output before anything else is said"
            waiting = [call.call_id for call in message.calls]
    assert not waiting
    assert sorted(c.call_id for m in ordered for c in m.calls) == sorted(c.call_id for m in history for c in m.calls)
    outputs = sorted(m.text for m in history if m.role == "tool")
    told = [m.text for m in ordered if m.role == "tool" and m.text != NO_OUTPUT_YET]
    told += [m.text[len("(A tool says: ") : -1] for m in ordered if m.text.startswith("(A tool says: ")]
    assert sorted(told) == outputs, "nothing is lost, nothing is said twice"
    if history and history[-1].role == "tool":
        assert ordered[-1].role != "assistant", "there is something to answer"


# --- in words -----------------------------------------------------------------------------------------------------


def test_a_model_that_knows_only_words_is_told_in_words() -> None:
    history = [
        Message("system", "Be brief."),
        user("What is this?", CAT, CAT),
        said("One moment.", "1"),
        said("", "2"),
        output("1", "a cat"),
        output("?", "a dog"),
        user("", CAT),
        user(""),
        said(""),
    ]
    assert in_words(history) == [
        Message("system", "Be brief."),
        user(f"{A_PICTURE} {A_PICTURE} What is this?"),
        said("One moment."),
        user("(tool_1 says: a cat)"),
        user("(A tool says: a dog)"),
        user(A_PICTURE),
        user(""),
        said(""),
    ]


def test_without_pictures_it_says_that_there_were_some() -> None:
    assert without_pictures(user("a", CAT)) == user(f"{A_PICTURE} a")
    assert without_pictures(said("b", "1")) == said("b", "1")


def test_the_ids_of_a_history() -> None:
    assert call_ids([user("a"), said("b", "1", "2"), output("3"), said("", "1")]) == {"1", "2"}
