"""What a caller says when: turns into silence, interruptions, and sounds over which a reply has to go on.

Knows: clips by kind, the order and the pauses of a conversation (seeded). Does not know: wires, sockets, figures.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Final

from voxtral_voice.bench.caller import Caller
from voxtral_voice.bench.clip import INTENT, Clip
from voxtral_voice.bench.record import Purpose, Said, SessionRecord
from voxtral_voice.errors import TalkError, first_of

PAUSE_S: Final = (0.4, 1.2)
"""Between a reply and the next turn."""
BARGE_IN_S: Final = 1.0
"""Into the reply, when an interruption begins."""
TAP_S: Final = 0.5
"""Into the reply, when a backchannel or a noise begins."""
ECHOES_DB: Final = (-10.0, -20.0, -30.0)
"""Of a reply at the microphone, under the reply as it is played: a loudspeaker on the table, across it, a headset's."""
RAMP_S: Final = 0.1
"""Between the beginnings of two sessions: callers do not ring in the same instant."""
CHUNK_S: Final = 0.020

Call = Callable[[float], AbstractAsyncContextManager[Caller]]
"""offset in s inside a microphone's chunk -> a connected caller."""


Utterances = tuple[tuple[Clip, Purpose], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to say, and what is said over the reply to it; or in which room the reply to it is heard again."""

    clip: Clip
    over: Clip | None = None
    purpose: Purpose = "turn"
    """Of `over`."""
    echo_db: float | None = None
    """The microphone takes up the reply, so much fainter."""

    @property
    def alone(self) -> Purpose:
        """Of `clip`."""
        return "soak" if self.clip.kind == "soak" else "turn"


@dataclass(frozen=True, slots=True)
class Plan:
    warm_up: tuple[Step, ...]
    """Said first, and left out of every figure."""
    steps: tuple[Step, ...]


def plan(clips: Sequence[Clip], *, turns: int, barge_ins: int, warm_up: int, seed: int, echoes: int = 0) -> Plan:
    """`turns` turns over all clips that are to be answered, every tap and every soak once, `barge_ins` interruptions,
    `echoes` replies that the microphone takes up, each of ECHOES_DB in turn; order seeded.

    Raises TalkError when there is nothing to say.
    """
    rng = random.Random(seed)
    spoken = [clip for clip in clips if clip.wants_answer]
    if not spoken:
        raise TalkError("The clips hold no turn that a server could answer; add a set such as questions.")
    plain = [clip for clip in spoken if clip.kind == "turn" and clip.condition != INTENT] or spoken
    questions = cycle(rng.sample(plain, len(plain)))
    asked = islice(cycle(rng.sample(spoken, len(spoken))), turns)
    steps = [Step(clip) for clip in asked]
    steps += [Step(next(questions), tap, "tap") for tap in clips if tap.kind == "tap"]
    steps += [Step(next(questions), next(questions), "barge_in") for _ in range(barge_ins)]
    steps += [Step(next(questions), echo_db=level_db) for level_db in islice(cycle(ECHOES_DB), echoes)]
    steps += [Step(soak) for soak in clips if soak.kind == "soak"]
    rng.shuffle(steps)
    return Plan(tuple(Step(next(questions)) for _ in range(warm_up)), tuple(steps))


async def run(
    call: Call, plans: Sequence[Plan], *, seed: int = 0, after_step: Callable[[], object] = lambda: None
) -> tuple[SessionRecord, ...]:
    """One session per plan, all at once. Raises TalkError when a session cannot begin; a session that breaks later is
    in its record as lost. When it is cancelled, it returns the steps that were whole by then; the task stays marked as
    cancelled."""
    records: dict[int, SessionRecord] = {}

    async def session(number: int, steps: Plan) -> None:
        await asyncio.sleep(number * RAMP_S)
        async with call(CHUNK_S * number / len(plans)) as caller:
            records[number] = await converse(caller, steps, random.Random(seed + number), after_step)

    try:
        await _at_once([session(number, steps) for number, steps in enumerate(plans)])
    except asyncio.CancelledError:
        if not records:
            raise
    return tuple(records[number] for number in sorted(records))


async def _at_once(sessions: Sequence[Coroutine[None, None, None]]) -> None:
    """Raises TalkError."""
    try:
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(session)
    except* TalkError as errors:
        raise first_of(errors) from None


async def converse(
    caller: Caller, steps: Plan, rng: random.Random, after_step: Callable[[], object] = lambda: None
) -> SessionRecord:
    """Without the warm-up. When the connection breaks, what was not said yet is in `said` all the same, at the time of
    the break: a lost turn is a missed one. When it is cancelled, the record ends with the last whole step."""
    progress = _Progress(len(steps.warm_up), after_step)
    progress.step_is_over(caller.record())
    try:
        unsaid = await _say_all(caller, steps.warm_up, rng, progress)
        warm = caller.utterances
        unsaid = await _say_all(caller, steps.steps, rng, progress) if not unsaid else _all(steps.steps)
    except asyncio.CancelledError:  # the record of what was said is worth more than the rest
        return progress.whole_steps()
    record = caller.record()
    missed = tuple(Said.of(*each, record.ended, caller.answer_timeout_s) for each in unsaid)
    return replace(record, said=record.said[warm:] + missed)


class _Progress:
    """How far a conversation has come."""

    def __init__(self, warm_up: int, after_step: Callable[[], object]) -> None:
        self._warm_up, self._after_step = warm_up, after_step
        self._steps = -1
        self._warm = 0

    def step_is_over(self, record: SessionRecord) -> None:
        """Or the first one begins."""
        self._steps += 1
        self._record = record
        if self._steps <= self._warm_up:
            self._warm = len(record.said)
        if self._steps:
            self._after_step()

    def whole_steps(self) -> SessionRecord:
        return replace(self._record, said=self._record.said[self._warm :])


async def _say_all(caller: Caller, steps: Sequence[Step], rng: random.Random, progress: _Progress) -> Utterances:
    """Returns what could not be said because the connection broke."""
    for number, step in enumerate(steps):
        before = caller.utterances
        try:
            await caller.idle(rng.uniform(*PAUSE_S))
            await _take(caller, step)
        except TalkError:
            return _all(steps[number:])[caller.utterances - before :]
        progress.step_is_over(caller.record())
    return ()


async def _take(caller: Caller, step: Step) -> None:
    """Raises TalkError when the connection breaks."""
    try:
        if step.echo_db is not None:
            await caller.hear_itself(step.clip, step.echo_db)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.say(step.clip, step.alone))
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
    both = ([(step.clip, step.alone), (step.over, step.purpose)] for step in steps)
    return tuple((clip, purpose) for step in both for clip, purpose in step if clip is not None)
