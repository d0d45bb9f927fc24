"""What a caller says when: turns into silence, interruptions, and sounds over which a reply has to go on.

Knows: clips by kind, the order and the pauses of a conversation (seeded). Does not know: wires, sockets, figures.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Final

from voxtral_voice.bench.caller import Caller
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.record import Purpose, Said, SessionRecord
from voxtral_voice.errors import TalkError, first_of

PAUSE_S: Final = (0.4, 1.2)
"""Between a reply and the next turn."""
BARGE_IN_S: Final = 1.0
"""Into the reply, when an interruption begins."""
TAP_S: Final = 0.5
"""Into the reply, when a backchannel or a noise begins."""
RAMP_S: Final = 0.1
"""Between the beginnings of two sessions: callers do not ring in the same instant."""
CHUNK_S: Final = 0.020

Call = Callable[[float], AbstractAsyncContextManager[Caller]]
"""offset in s inside a microphone's chunk -> a connected caller."""


Utterances = tuple[tuple[Clip, Purpose], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to say, and what is said over the reply to it."""

    clip: Clip
    over: Clip | None = None
    purpose: Purpose = "turn"
    """Of `over`."""


@dataclass(frozen=True, slots=True)
class Plan:
    warm_up: tuple[Step, ...]
    """Said first, and left out of every figure."""
    steps: tuple[Step, ...]


def plan(clips: Sequence[Clip], *, turns: int, barge_ins: int, warm_up: int, seed: int) -> Plan:
    """`turns` turns over all clips that are to be answered, every tap once, `barge_ins` interruptions; order seeded.

    Raises TalkError when there is nothing to say.
    """
    rng = random.Random(seed)
    spoken = [clip for clip in clips if clip.kind != "tap"]
    if not spoken:
        raise TalkError("The clips hold no turn that a server could answer; add a set such as questions.")
    plain = [clip for clip in spoken if clip.kind == "turn"] or spoken
    questions = cycle(rng.sample(plain, len(plain)))
    asked = islice(cycle(rng.sample(spoken, len(spoken))), turns)
    steps = [Step(clip) for clip in asked]
    steps += [Step(next(questions), tap, "tap") for tap in clips if tap.kind == "tap"]
    steps += [Step(next(questions), next(questions), "barge_in") for _ in range(barge_ins)]
    rng.shuffle(steps)
    return Plan(tuple(Step(next(questions)) for _ in range(warm_up)), tuple(steps))


async def run(
    call: Call, plans: Sequence[Plan], *, seed: int = 0, after_step: Callable[[], object] = lambda: None
) -> tuple[SessionRecord, ...]:
    """One session per plan, all at once. Raises TalkError when a session cannot begin; a session that breaks later is
    in its record as lost."""
    records: dict[int, SessionRecord] = {}

    async def session(number: int, steps: Plan) -> None:
        await asyncio.sleep(number * RAMP_S)
        async with call(CHUNK_S * number / len(plans)) as caller:
            records[number] = await converse(caller, steps, random.Random(seed + number), after_step)

    try:
        async with asyncio.TaskGroup() as group:
            for number, steps in enumerate(plans):
                group.create_task(session(number, steps))
    except* TalkError as errors:
        raise first_of(errors) from None
    return tuple(records[number] for number in sorted(records))


async def converse(
    caller: Caller, steps: Plan, rng: random.Random, after_step: Callable[[], object] = lambda: None
) -> SessionRecord:
    """Without the warm-up. When the connection breaks, what was not said yet is in `said` all the same, at the time of
    the break: a lost turn is a missed one."""
    unsaid = await _say_all(caller, steps.warm_up, rng, after_step)
    warm = caller.utterances
    unsaid = await _say_all(caller, steps.steps, rng, after_step) if not unsaid else _all(steps.steps)
    record = caller.record()
    missed = tuple(Said.of(*each, record.ended, caller.answer_timeout_s) for each in unsaid)
    return replace(record, said=record.said[warm:] + missed)


async def _say_all(
    caller: Caller, steps: Sequence[Step], rng: random.Random, after_step: Callable[[], object]
) -> Utterances:
    """Returns what could not be said because the connection broke."""
    for number, step in enumerate(steps):
        before = caller.utterances
        try:
            await caller.idle(rng.uniform(*PAUSE_S))
            await _take(caller, step)
        except TalkError:
            return _all(steps[number:])[caller.utterances - before :]
        after_step()
    return ()


async def _take(caller: Caller, step: Step) -> None:
    """Raises TalkError when the connection breaks."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.say(step.clip))
            if step.over is not None and await _is_heard(caller):
                await caller.idle(BARGE_IN_S if step.purpose == "barge_in" else TAP_S)
                await caller.say(step.over, step.purpose)
    except* TalkError as errors:
        raise first_of(errors) from None


async def _is_heard(caller: Caller) -> bool:
    """Without an answer there is nothing to talk over: the question is missed, and there is no interruption."""
    try:
        await caller.until_sound()
    except TalkError:
        return False
    return True


def _all(steps: Sequence[Step]) -> Utterances:
    both = ([(step.clip, "turn"), (step.over, step.purpose)] for step in steps)
    return tuple((clip, purpose) for step in both for clip, purpose in step if clip is not None)
