"""The chain alone: every order of failures, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from voxtral_voice.engines.base import Finish, Message, Piece
from voxtral_voice.engines.breaker import OPENS_AT, Circuit
from voxtral_voice.engines.fallback import Fallback, Link, Nobody
from voxtral_voice.engines.intents import REPLIES, Intents
from voxtral_voice.errors import BusyError, DownError, EngineError, RequestError

ASKED = (Message("user", "What is the capital of France?"),)
GREETED = (Message("user", "Hello!"),)
LONG_S = 30.0


class Scripted:
    """Says its name, word by word, then ends. faults: by the number of pieces before them; "hang" never ends."""

    def __init__(self, name: str, *, listens: bool = False) -> None:
        self.name, self.listens = name, listens
        self.faults: dict[int, Exception | str] = {}
        self.start_fault: Exception | None = None
        self.asked: list[Sequence[Message]] = []
        self.prepared = 0
        self.closed = 0
        self.open = 0

    async def start(self) -> None:
        if self.start_fault is not None:
            raise self.start_fault

    async def aclose(self) -> None:
        self.closed += 1

    async def prepare(self, *_: Any, **__: Any) -> float | None:
        self.prepared += 1
        await self._fault(0)
        return 0.5

    async def respond(self, messages: Sequence[Message], **_: Any) -> AsyncGenerator[Piece, None]:
        self.asked.append(messages)
        self.open += 1
        try:
            said: list[Piece] = [self.name, " says", Finish()]
            for number, piece in enumerate(said):
                await self._fault(number)
                yield piece
        finally:
            self.open -= 1

    async def _fault(self, number: int) -> None:
        fault = self.faults.get(number)
        if fault == "hang":
            await asyncio.Event().wait()
        if isinstance(fault, Exception):
            raise fault


class Watched:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def link_failed(self, link: Link, *, opened: bool) -> None:
        self.seen.append(f"{link.name} failed" + (", opened" if opened else ""))

    def link_worked(self, link: Link, *, closed: bool) -> None:
        self.seen.append(f"{link.name} worked" + (", closed" if closed else ""))

    def fell_back(self, name: str) -> None:
        self.seen.append(f"to {name}")


class Chain:
    def __init__(self, *, last: bool = True, first_s: float = LONG_S, listens: bool = False) -> None:
        self.a, self.b = Scripted("A", listens=listens), Scripted("B")
        links = [Link("responder", self.a, first_s, first_s), Link("responder.fallback", self.b, first_s, first_s)]
        self.chain = Fallback(links, Intents(Nobody(), datetime.now) if last else None, lambda: 0.0)
        self.chain.watcher = self.watched = Watched()

    async def started(self) -> Chain:
        await self.chain.start()
        return self

    async def answer(self, messages: Sequence[Message] = ASKED) -> str:
        pieces = self.chain.respond(messages, language="en", max_tokens=None)
        said = "".join([piece async for piece in pieces if isinstance(piece, str)])
        assert self.a.open == self.b.open == 0
        return said


def gone(what: str = "it is gone") -> EngineError:
    return EngineError("responder", f"{what} at http://there", what)


async def test_the_first_answers_while_it_works() -> None:
    c = await Chain().started()
    assert await c.answer() == "A says"
    assert (c.b.asked, c.watched.seen, c.chain.failing) == ([], [], {})
    assert c.chain.name == "A, else B"


@pytest.mark.parametrize("fault", [gone(), OSError("reset"), "hang"], ids=str)
async def test_one_that_fails_before_a_word_is_followed_by_the_next(fault: Exception | str) -> None:
    c = await Chain(first_s=0.01 if fault == "hang" else LONG_S).started()
    c.a.faults = {0: fault}
    assert await c.answer() == "B says"
    assert c.watched.seen == ["responder failed", "to responder.fallback"]
    assert list(c.chain.failing) == ["responder"]


@pytest.mark.parametrize("fault", [gone(), "hang"], ids=str)
async def test_one_that_fails_after_a_word_is_not(fault: Exception | str) -> None:
    """Nobody hears two answers."""
    c = await Chain(first_s=0.05 if fault == "hang" else LONG_S).started()
    c.a.faults = {1: fault}
    pieces = c.chain.respond(ASKED, language="en", max_tokens=None)
    assert await anext(pieces) == "A"
    with pytest.raises((EngineError, TimeoutError)):
        await anext(pieces)
    assert (c.b.asked, c.a.open) == ([], 0)
    assert c.watched.seen == ["responder failed"]


async def test_one_that_failed_again_and_again_is_not_asked_until_it_works() -> None:
    c = await Chain().started()
    c.a.faults = {0: gone()}
    for _ in range(OPENS_AT + 3):
        assert await c.answer() == "B says"
    assert len(c.a.asked) == OPENS_AT
    assert c.watched.seen.count("responder failed, opened") == 1
    assert c.chain.breakers["responder"].circuit is Circuit.OPEN
    c.a.faults = {}
    assert await c.answer() == "B says"  # nobody has tried it yet
    c.chain.worked(c.chain.links[0])
    assert c.watched.seen[-1] == "responder worked, closed"
    assert await c.answer() == "A says"
    assert c.chain.failing == {}


async def test_a_success_is_told_where_it_had_failed() -> None:
    c = await Chain().started()
    c.a.faults = {0: gone()}
    await c.answer()
    c.a.faults = {}
    await c.answer()
    await c.answer()
    assert c.watched.seen == ["responder failed", "to responder.fallback", "responder worked"]


async def test_what_it_cannot_do_is_told_and_not_tried_elsewhere() -> None:
    c = await Chain().started()
    c.a.faults = {0: RequestError("responder", "too long")}
    with pytest.raises(RequestError, match="too long"):
        await c.answer()
    assert (c.b.asked, c.watched.seen) == ([], [])


async def test_a_refusal_in_the_middle_is_no_failure() -> None:
    c = await Chain().started()
    c.a.faults = {1: RequestError("responder", "withheld")}
    with pytest.raises(RequestError, match="withheld"):
        await c.answer()
    assert c.chain.failing == {}


async def test_one_without_room_is_followed_and_has_not_failed() -> None:
    c = await Chain().started()
    c.a.faults = {0: BusyError("responder", "no room")}
    for _ in range(OPENS_AT + 1):
        assert await c.answer() == "B says"
    assert c.chain.failing == {}
    assert len(c.a.asked) == OPENS_AT + 1


async def test_when_all_fail_what_needs_no_model_is_still_answered() -> None:
    c = await Chain().started()
    c.a.faults = {0: gone("first")}
    c.b.faults = {0: gone("second")}
    assert await c.answer(GREETED) == REPLIES["greeting", "en"]
    assert c.watched.seen[-1] == "to intents"
    with pytest.raises(EngineError, match=r"^second"):
        await c.answer()


@pytest.mark.parametrize("last", [True, False])
async def test_when_none_is_asked_it_is_said_why(last: bool) -> None:
    c = await Chain(last=last).started()
    for link in c.chain.links:
        for _ in range(OPENS_AT):
            c.chain.failed(link, gone(link.name))
    with pytest.raises(DownError) as caught:
        await c.answer()
    assert (str(caught.value), caught.value.told) == ("responder at http://there", "responder")
    assert c.a.asked == c.b.asked == []


async def test_a_failure_that_says_nothing_has_its_class_for_a_name() -> None:
    c = await Chain().started()
    c.chain.failed(c.chain.links[0], RuntimeError())
    c.chain.failed(c.chain.links[1], TimeoutError())
    assert c.chain.failing == {"responder": "RuntimeError", "responder.fallback": "it took too long"}


async def test_an_answer_that_nobody_wants_any_more_is_closed() -> None:
    c = await Chain().started()
    pieces = c.chain.respond(ASKED, language="en", max_tokens=None)
    assert await anext(pieces) == "A"
    assert c.a.open == 1
    await pieces.aclose()
    assert (c.a.open, c.watched.seen) == (0, [])


async def test_one_that_is_stopped_while_it_hangs_has_not_failed_and_nobody_follows() -> None:
    c = await Chain().started()
    c.a.faults = {0: "hang"}
    async with asyncio.TaskGroup() as group:
        task = group.create_task(c.answer())
        while not c.a.asked:  # noqa: ASYNC110 - it hangs from then on
            await asyncio.sleep(0)
        task.cancel()
    assert (c.a.open, c.b.asked, c.watched.seen) == (0, [], [])


# --- its start --------------------------------------------------------------------------------------------------


async def test_one_that_does_not_start_is_not_asked_and_one_that_does_is_enough() -> None:
    c = Chain()
    c.a.start_fault = gone()
    await c.chain.start()
    assert c.chain.failing == {"responder": "it is gone at http://there"}
    assert await c.answer() == "B says"
    assert c.a.asked == []
    c.a.start_fault = None
    await c.chain.links[0].start()
    assert await c.answer() == "A says"


async def test_when_none_starts_the_first_says_why() -> None:
    c = Chain()
    c.a.start_fault, c.b.start_fault = gone("first"), gone("second")
    with pytest.raises(EngineError, match=r"^first"):
        await c.chain.start()


async def test_a_fault_of_ours_at_the_start_is_not_passed_over() -> None:
    c = Chain()
    c.b.start_fault = KeyError("no rule has this name")
    with pytest.raises(KeyError):
        await c.chain.start()


async def test_all_are_closed() -> None:
    c = await Chain().started()
    await c.chain.aclose()
    assert (c.a.closed, c.b.closed) == (1, 1)
    nobody = Nobody()
    await nobody.start()
    await nobody.aclose()


# --- before the answer, and one that listens --------------------------------------------------------------------


async def test_who_is_to_answer_prepares() -> None:
    c = await Chain().started()
    assert await c.chain.prepare(ASKED, language="en") == 0.5
    for _ in range(OPENS_AT):
        c.chain.failed(c.chain.links[0], gone())
    assert await c.chain.prepare(ASKED, language="en") == 0.5
    assert (c.a.prepared, c.b.prepared) == (1, 1)
    for _ in range(OPENS_AT):
        c.chain.failed(c.chain.links[1], gone())
    assert await c.chain.prepare(ASKED, language="en") is None
    assert await Nobody().prepare(ASKED, language="en") is None


@pytest.mark.parametrize(("fault", "failed"), [(gone(), True), (RequestError("responder", "too long"), False)])
async def test_a_preparation_that_fails_is_nobodys_turn(fault: Exception, failed: bool) -> None:
    c = await Chain().started()
    c.a.faults = {0: fault}
    assert await c.chain.prepare(ASKED, language="en") is None
    assert bool(c.chain.failing) == failed
    assert c.b.prepared == 0


async def test_one_that_does_not_listen_is_given_the_words() -> None:
    c = await Chain(listens=True).started()
    assert c.chain.listens
    sound = np.zeros(16_000, np.float32)
    c.a.faults = {0: gone()}
    assert await c.answer([Message("user", "What is that?", audio=sound)]) == "B says"
    [[read]] = c.b.asked
    assert (read.text, read.audio) == ("What is that?", None)
    with pytest.raises(EngineError, match="it is gone"):
        await c.answer([Message("user", "", audio=sound)])  # nobody knows them
    assert len(c.b.asked) == 1
    assert await c.chain.prepare([Message("user", "", audio=sound)], language=None) is None
