"""One measurement: a target, clips, endpoint settings -> what was recorded, and what it cost.

Knows: how the parts of a bench go together. Does not know: the command line, how results are written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final, Literal

from voxtral_voice.bench import capacity, scenario
from voxtral_voice.bench.caller import Caller, call, prepare
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.drivers.base import Driver
from voxtral_voice.bench.drivers.raw import raw
from voxtral_voice.bench.drivers.realtime import SESSION, realtime
from voxtral_voice.bench.endpoint import turn_detection
from voxtral_voice.bench.process import Usage, usage
from voxtral_voice.bench.record import ANSWER_TIMEOUT_S, SessionRecord
from voxtral_voice.bench.score import figures
from voxtral_voice.bench.turn import TurnFigures, turns
from voxtral_voice.bench.work import Counters, Work, between, counters
from voxtral_voice.errors import BenchError, TalkError, VoiceError, first_of

WATCH_EVERY_S: Final = 5.0
TRIAL_TURNS: Final = 4
"""Per session; a trial of few sessions has at least TRIAL_LEAST turns in all."""
TRIAL_LEAST: Final = 12
LONG_TRIAL: Final = 3
"""The long trial has so many times the turns."""

Wire = Literal["realtime", "raw"]
AfterStep = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    wire: Wire = "realtime"
    api_key: str | None = None
    model: str | None = None
    pid: int | None = None
    """Of the server, when its cost is to be measured."""
    max_tokens: int | None = None
    """Of an answer; None: as the server has it."""

    def driver(self, endpoint: str) -> Driver:
        """Raises TalkError (the address), BenchError (the endpoint setting)."""
        asked = turn_detection(endpoint)
        if self.wire == "raw":
            return raw(self.url)
        session = SESSION if self.max_tokens is None else {**SESSION, "max_output_tokens": self.max_tokens}
        return realtime(self.url, api_key=self.api_key, model=self.model, session=session, turn_detection=asked)


@dataclass(frozen=True, slots=True)
class Script:
    """What every session says."""

    clips: tuple[Clip, ...]
    turns: int
    barge_ins: int = 0
    warm_up: int = 3
    """Turns before those that count."""
    seed: int = 1
    echoes: int = 0
    """Replies that the caller's microphone takes up."""

    def plans(self, sessions: int) -> tuple[scenario.Plan, ...]:
        """Each session in an order of its own; with several, taps, soaks and interruptions are the first one's only."""
        plain = replace(self, clips=tuple(clip for clip in self.clips if clip.wants_answer), barge_ins=0, echoes=0)
        return tuple((plain if number else self)._plan(self.seed + number) for number in range(sessions))

    def _plan(self, seed: int) -> scenario.Plan:
        numbers = {"turns": self.turns, "barge_ins": self.barge_ins, "warm_up": self.warm_up, "echoes": self.echoes}
        return scenario.plan(self.clips, **numbers, seed=seed)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the server while it was measured, warm-up included."""

    cpu_s: float
    audio_minutes: float
    """Of the callers, all sessions together."""
    memory_mb: float
    """The most there was; PSS where the system tells it."""
    work: Work | None = None
    """What was thrown away; None when the server does not count it."""

    @property
    def cpu_s_per_audio_minute(self) -> float:
        return self.cpu_s / self.audio_minutes


@dataclass(frozen=True)
class Measured:
    records: tuple[SessionRecord, ...]
    cost: Cost | None
    interrupted: bool = False
    """Not everything was said: it was cancelled."""

    @cached_property
    def turns(self) -> tuple[TurnFigures, ...]:
        return tuple(turn for record in self.records for turn in turns(record))


async def measure(
    target: Target, script: Script, endpoint: str, sessions: int, after_step: AfterStep = lambda: None
) -> Measured:
    """Raises TalkError (the server), BenchError (the endpoint setting, the pid). When it is cancelled while callers
    speak, it returns what was measured by then."""
    driver = target.driver(endpoint)
    await asyncio.to_thread(prepare, driver, script.clips)

    def calling(offset_s: float) -> AbstractAsyncContextManager[Caller]:
        return call(driver, offset_s=offset_s, answer_timeout_s=ANSWER_TIMEOUT_S)

    records: tuple[SessionRecord, ...] = ()
    watched: list[Usage] = []
    before = await _work(driver.url, target.pid)
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(target.pid, watched))
            records = await scenario.run(calling, script.plans(sessions), seed=script.seed, after_step=after_step)
            watching.cancel()
    except* VoiceError as errors:
        raise first_of(errors) from None
    cost = _cost(records, target.pid, watched)
    if cost is not None:
        cost = replace(cost, work=between(before, await _work(driver.url, target.pid)))
    return Measured(records, cost, is_cancelled())


def is_cancelled() -> bool:
    """Whether somebody wants this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _work(url: str, pid: int | None) -> Counters | None:
    return None if pid is None else await asyncio.to_thread(counters, url)


async def _watch(pid: int | None, watched: list[Usage]) -> None:
    """Until it is cancelled, or the process has ended: what is measured goes on without it."""
    try:
        while pid is not None:
            watched.append(await asyncio.to_thread(usage, pid))
            await asyncio.sleep(WATCH_EVERY_S)
    except BenchError:
        return


def _cost(records: tuple[SessionRecord, ...], pid: int | None, watched: list[Usage]) -> Cost | None:
    """None when there is no process to watch, or it has ended."""
    if pid is None:
        return None
    try:
        watched.append(usage(pid))
    except BenchError:
        return None
    minutes = sum(record.ended - record.began for record in records) / 60
    return Cost(watched[-1].cpu_s - watched[0].cpu_s, minutes, max(each.memory_mb for each in watched))


# --- capacity ---------------------------------------------------------------------------------------------------


async def measure_capacity(
    target: Target,
    script: Script,
    endpoint: str,
    *,
    most: int,
    limit_p95_ms: float | None = None,
    after_trial: Callable[[capacity.Trial], object] = lambda _: None,
) -> capacity.Capacity:
    """The largest number of sessions, with turns into silence only. Raises as `measure` does."""
    return await capacity.search(
        partial(_trial, target, script, endpoint), most=most, limit_p95_ms=limit_p95_ms, after_trial=after_trial
    )


async def _trial(target: Target, script: Script, endpoint: str, sessions: int, long: bool) -> capacity.Trial:
    each = max(TRIAL_TURNS, -(-TRIAL_LEAST // sessions)) * (LONG_TRIAL if long else 1)
    spoken = tuple(clip for clip in script.clips if clip.wants_answer)
    talk = replace(script, clips=spoken, turns=each, barge_ins=0, echoes=0, warm_up=1, seed=script.seed + sessions)
    try:
        measured = await measure(target, talk, endpoint, sessions)
        if measured.interrupted:
            raise asyncio.CancelledError
        return trial_of(measured, sessions)
    except TalkError as refused:  # a server that is full may say so; one that takes nobody is no server
        if sessions == 1:
            raise
        return capacity.Trial(sessions, 0, 0.0, 0.0, 0, 0, 0, 0.0, late=False, refused_for=str(refused))


def trial_of(measured: Measured, sessions: int) -> capacity.Trial:
    got, cost = figures(measured.records), measured.cost
    p50, p95 = got.latency.v2v_ms.p50, got.latency.v2v_ms.p95
    return capacity.Trial(
        sessions=sessions,
        turns=got.turns,
        p50_ms=p50.value if p50 else 0.0,
        p95_ms=p95.value if p95 else 0.0,
        missed=got.missed.count,
        cut_ins=got.cut_ins.count,
        underruns=got.continuity.underruns,
        lateness_p99_ms=got.lateness.p99_ms or 0.0,
        late=got.void,
        cpu_s_per_audio_minute=None if cost is None else round(cost.cpu_s_per_audio_minute, 3),
        memory_mb=None if cost is None else round(cost.memory_mb, 1),
    )
