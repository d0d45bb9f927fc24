"""What is said when, with a caller that only notes it down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from voxtral_voice.bench.caller import Caller
from voxtral_voice.bench.clip import Clip, Kind
from voxtral_voice.bench.record import Purpose, Said, SessionRecord
from voxtral_voice.bench.scenario import Plan, Step, converse, plan, run
from voxtral_voice.errors import TalkError


def clip(name: str, kind: Kind = "turn") -> Clip:
    return Clip(name, kind, name, "en", np.zeros(240, np.float32), 24_000, onset_s=0.001, end_s=0.009)


QUESTIONS = tuple(clip(f"questions/{i}") for i in range(4))
HOLDS = (clip("hold/1", "hold"),)
TAPS = tuple(clip(f"tap/{i}", "tap") for i in range(3))


class Notebook:
    """Speaks to nobody. `breaks_at`: with this utterance (counted from 0) the connection breaks."""

    def __init__(self, *, answers: bool = True, breaks_at: int | None = None) -> None:
        self.answers, self.breaks_at = answers, breaks_at
        self.said: list[Said] = []
        self.answer_timeout_s = 7.0
        self.now = 0.0

    @property
    def utterances(self) -> int:
        return len(self.said)

    async def idle(self, seconds: float) -> None:
        self._check()
        self.now += seconds

    async def until_sound(self) -> None:
        await asyncio.sleep(0)  # the question is on its way
        self._check()
        self.now += 0.5
        if not self.answers:
            raise TalkError("no audible answer")

    async def say(self, clip: Clip, purpose: Purpose = "turn") -> Said:
        begin = self.now
        spoken = Said(clip.id, clip.kind, purpose, clip.text, "en", "", begin, begin + clip.onset_s, begin + clip.end_s)
        self.said.append(spoken)
        self._check()
        return spoken

    async def hear_itself(self, clip: Clip, level_db: float) -> Said:
        said = await self.say(clip)
        self.said.append(replace(said, clip=f"own-echo/{level_db:g} dB", purpose="echo"))
        return said

    def _check(self) -> None:
        if self.breaks_at is not None and self.utterances > self.breaks_at:
            raise TalkError("the connection broke")

    def record(self) -> SessionRecord:
        return SessionRecord(tuple(self.said), (), (), 0.0, self.now)


async def spoken(book: Notebook, steps: Plan) -> list[tuple[str, Purpose]]:
    record = await converse(cast(Caller, book), steps, random.Random(0))
    return [(said.clip, said.purpose) for said in record.said]


# --- plans ------------------------------------------------------------------------------------------------------


def test_every_clip_has_its_place() -> None:
    steps = plan((*QUESTIONS, *HOLDS, *TAPS), turns=10, barge_ins=2, warm_up=3, seed=1)
    assert len(steps.warm_up) == 3
    assert Counter(step.purpose for step in steps.steps if step.over) == {"tap": 3, "barge_in": 2}
    assert Counter(step.clip.id for step in steps.steps if not step.over) == {
        **{each.id: 2 for each in (*QUESTIONS, *HOLDS)}
    }
    assert {step.over.id for step in steps.steps if step.over and step.purpose == "tap"} == {tap.id for tap in TAPS}
    assert all(step.clip.kind == "turn" for step in steps.steps if step.over), "a pause is no place to be interrupted"


def test_the_seed_decides_the_order() -> None:
    clips = (*QUESTIONS, *TAPS)
    one, same, other = (plan(clips, turns=8, barge_ins=1, warm_up=0, seed=seed).steps for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_bench_of_taps_alone_has_nothing_to_talk_over() -> None:
    with pytest.raises(TalkError, match="no turn that a server could answer"):
        plan(TAPS, turns=1, barge_ins=0, warm_up=0, seed=0)


# --- conversations ----------------------------------------------------------------------------------------------


async def test_warm_up_is_said_and_left_out() -> None:
    book = Notebook()
    assert await spoken(book, Plan((Step(QUESTIONS[0]),), (Step(QUESTIONS[1]),))) == [("questions/1", "turn")]
    assert book.utterances == 2


async def test_an_interruption_begins_one_second_into_the_reply() -> None:
    book = Notebook()
    assert await spoken(book, Plan((), (Step(QUESTIONS[0], QUESTIONS[1], "barge_in"),))) == [
        ("questions/0", "turn"),
        ("questions/1", "barge_in"),
    ]
    assert book.said[1].begin - book.said[0].begin == pytest.approx(0.5 + 1.0)


async def test_a_tap_begins_half_a_second_into_the_reply() -> None:
    book = Notebook()
    await spoken(book, Plan((), (Step(QUESTIONS[0], TAPS[0], "tap"),)))
    assert book.said[1].begin - book.said[0].begin == pytest.approx(0.5 + 0.5)


async def test_without_an_answer_there_is_nothing_to_talk_over() -> None:
    steps = Plan((), (Step(QUESTIONS[0], QUESTIONS[1], "barge_in"), Step(QUESTIONS[2])))
    assert await spoken(Notebook(answers=False), steps) == [("questions/0", "turn"), ("questions/2", "turn")]


@pytest.mark.parametrize("breaks_at", range(5))
async def test_what_a_broken_connection_leaves_unsaid_is_missed(breaks_at: int) -> None:
    steps = Plan((Step(QUESTIONS[3]),), (Step(QUESTIONS[0]), Step(QUESTIONS[1], TAPS[0], "tap"), Step(QUESTIONS[2])))
    book = Notebook(breaks_at=breaks_at)
    assert await spoken(book, steps) == [
        ("questions/0", "turn"),
        ("questions/1", "turn"),
        ("tap/0", "tap"),
        ("questions/2", "turn"),
    ]
    assert book.utterances == breaks_at + 1, "nothing is said into a broken connection"


async def test_what_is_left_unsaid_has_the_deadline_of_the_caller() -> None:
    book = Notebook(breaks_at=0)
    record = await converse(cast(Caller, book), Plan((), tuple(map(Step, QUESTIONS[:3]))), random.Random(1))
    assert [said.deadline_s for said in record.said[1:]] == [book.answer_timeout_s] * 2


# --- sessions ---------------------------------------------------------------------------------------------------


async def test_sessions_are_staggered_inside_a_chunk() -> None:
    offsets: list[float] = []

    @asynccontextmanager
    async def call(offset_s: float) -> AsyncIterator[Caller]:
        offsets.append(offset_s)
        yield cast(Caller, Notebook())

    records = await run(call, [Plan((), (Step(each),)) for each in QUESTIONS])
    assert offsets == pytest.approx([0, 0.005, 0.010, 0.015])
    assert [record.said[0].clip for record in records] == [each.id for each in QUESTIONS]


async def test_a_session_that_cannot_begin_ends_the_run() -> None:
    @asynccontextmanager
    async def call(offset_s: float) -> AsyncIterator[Caller]:
        raise TalkError("nobody there")
        yield

    with pytest.raises(TalkError, match="nobody there"):
        await run(call, [Plan((), (Step(QUESTIONS[0]),))])


# --- echoes, noise, and being stopped


def test_echoes_take_the_levels_in_turn_and_every_soak_is_said_once() -> None:
    intent = replace(clip("intents/time"), condition="intent")
    soaks = (clip("soak/hum", "soak"), clip("soak/white", "soak"))
    steps = plan((*QUESTIONS, intent, *soaks), turns=5, barge_ins=2, warm_up=2, seed=1, echoes=4).steps
    assert Counter(step.echo_db for step in steps if step.echo_db) == {-10.0: 2, -20.0: 1, -30.0: 1}
    assert {step.clip.id for step in steps if step.alone == "soak"} == {"soak/hum", "soak/white"}
    over = [step for step in steps if step.over or step.echo_db]
    assert all(step.clip.condition != "intent" for step in over), "its answer is over too soon"
    assert sum(step.clip is intent for step in steps) == 1


async def test_an_echo_and_a_noise_are_things_said() -> None:
    steps = Plan((), (Step(QUESTIONS[0], echo_db=-20.0), Step(clip("soak/hum", "soak"))))
    assert await spoken(Notebook(), steps) == [
        ("questions/0", "turn"),
        ("own-echo/-20 dB", "echo"),
        ("soak/hum", "soak"),
    ]


@pytest.mark.parametrize(("cancelled_at", "whole"), [(0, 0), (1, 0), (2, 1), (3, 2)])
async def test_who_stops_a_conversation_has_its_whole_steps(cancelled_at: int, whole: int) -> None:
    """The first step is the warm-up. The steps after the given one are not said."""
    reached = asyncio.Event()

    class Stuck(Notebook):
        async def idle(self, seconds: float) -> None:
            await super().idle(seconds)
            if self.utterances == cancelled_at:
                reached.set()
                await asyncio.Event().wait()

    @asynccontextmanager
    async def call(offset_s: float) -> AsyncIterator[Caller]:
        yield cast(Caller, Stuck())

    task = asyncio.create_task(run(call, [Plan((Step(QUESTIONS[3]),), tuple(map(Step, QUESTIONS)))]))
    await reached.wait()
    task.cancel()
    (record,) = await task
    assert [said.clip for said in record.said] == [each.id for each in QUESTIONS[:whole]]
