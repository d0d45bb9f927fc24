from __future__ import annotations

from collections.abc import Sequence

import pytest

from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import CallPiece, Finish, Piece, Usage
from voxtral_voice.errors import EngineError
from voxtral_voice.server import answer
from voxtral_voice.server.answer import Answer

OFFERED = ev.Respond("R", (), None, None, tools=(ev.Tool("weather", "", "{}"),))


def call(index: int, arguments: str = "{}") -> CallPiece:
    return CallPiece(index, f"call_{index}", "weather", arguments)


def test_pieces_become_events() -> None:
    made = Answer(OFFERED)
    assert made.event("Well.") == ev.ReplyText("R", "Well.")
    assert made.event(call(0)) == ev.ReplyCall("R", 0, "call_0", "weather", "{}")
    assert made.event(call(0)) == ev.ReplyCall("R", 0, "call_0", "weather", "{}")
    assert made.event(call(1)) == ev.ReplyCall("R", 1, "call_1", "weather", "{}")
    assert made.end == ev.ReplyTextEnded("R")
    assert made.event(Finish("length", Usage(9, 3, 1))) is None
    assert made.end == ev.ReplyTextEnded("R", "length", ev.Usage(9, 3, 1))
    assert made.event(Finish()) is None
    assert made.end == ev.ReplyTextEnded("R")


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        (("a" * 60, "a" * 60), "it gave more than 100 characters of answer"),
        ((call(0, "a" * 60), call(0, "a" * 60)), "it gave more than 100 characters of arguments to a tool"),
        (tuple(map(call, range(4))), "it called tools more than 3 times in one answer"),
        ((call(1),), "its calls of tools are not in order"),
        ((call(0), call(1), call(0)), "its calls of tools are not in order"),
        ((call(-1),), "its calls of tools are not in order"),
    ],
)
def test_what_does_not_end_or_is_out_of_order(
    monkeypatch: pytest.MonkeyPatch, pieces: Sequence[Piece], fault: str
) -> None:
    monkeypatch.setattr(answer, "MAX_CHARS", 100)
    monkeypatch.setattr(answer, "MAX_ARGUMENT_CHARS", 100)
    monkeypatch.setattr(answer, "MAX_CALLS", 3)
    made = Answer(OFFERED)
    for piece in pieces[:-1]:
        made.event(piece)
    with pytest.raises(EngineError, match=fault):
        made.event(pieces[-1])


def test_the_arguments_of_each_call_count_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_ARGUMENT_CHARS", 100)
    made = Answer(OFFERED)
    for index in range(3):
        made.event(call(index, "a" * 90))


@pytest.mark.parametrize(
    "job", [ev.Respond("R", (), None, None), ev.Respond("R", (), None, None, OFFERED.tools, "none")]
)
def test_a_tool_that_was_not_offered_is_not_called(job: ev.Respond) -> None:
    with pytest.raises(EngineError, match="it called a tool, and none was offered to it"):
        Answer(job).event(call(0))


def test_only_a_tool_that_was_offered_is_called() -> None:
    with pytest.raises(EngineError, match=r"^it called the tool 'door', which was not offered to it$"):
        Answer(OFFERED).event(CallPiece(0, "a", "door", "{}"))
    with pytest.raises(EngineError, match=r"^it called the tool 'x{80}', which was not offered to it$"):
        Answer(OFFERED).event(CallPiece(0, "a", "x" * 100, "{}"))
