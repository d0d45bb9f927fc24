"""Tries engines that failed, until they work again: whoever obeys `/readyz` sends nobody here who would find out.

Knows: the smallest piece of each engine's own work. Does not know: where an engine runs, sessions.

A server behind a URL is asked for work too, and not for its list of models: one that lists them may still fail at each
answer, and then `/readyz` would say so and deny it in turn. What fails costs nothing; what works is asked for once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Final

import numpy as np

from voxtral_voice.engines.base import (
    LISTEN_RATE_HZ,
    SPEAK_RATE_HZ,
    VAD_FRAME_SAMPLES,
    Message,
    Responder,
    Samples,
)
from voxtral_voice.engines.fallback import Link
from voxtral_voice.errors import ENGINE_FAULTS, BusyError, EngineError, RequestError
from voxtral_voice.observe import log
from voxtral_voice.server.runtime import Runtime

EVERY_S: Final = 1.0
"""Between two tries of one engine: people try again about as often, and nobody is answered before it is known to work.
A server that is down is hardly bothered by a request a second."""
QUICK_S: Final = 3.0
"""For a try: whoever is back answers within it, while a request from before may never be answered."""
PATIENT_S: Final = 30.0
"""For one beside them: a slow computer has the time for it, and a server that loads its model when it is asked."""
NOISE: Final = 0.01
"""Of what is to be heard: -40 dBFS. Of silence some engines know without their model that it has no words."""
ASKED: Final = "Count from one to five."
"""No greeting: those are answered without the model. Short also from a server that minds no limit of tokens, and
several outputs long: one that breaks behind its first does not work."""
TOKENS: Final = 8
"""Of the answer."""
SPOKEN: Final = "One, two, three, four, five."
"""Several outputs, too, where a phrase is more than one."""
MOST_CHARS: Final = 2_000
"""Of an answer to that, from a server that minds no limit of tokens."""
MOST_S: Final = 10.0
"""Of sound for that."""

Sleep = Callable[[float], Awaitable[None]]
Try = Callable[[float], Awaitable[None]]
"""Within so many seconds; raises what it fails with."""
Probe = Callable[[Runtime], Awaitable[object]]


async def recover(runtime: Runtime, sleep: Sleep = asyncio.sleep) -> None:
    """For ever. Cancel it to stop."""
    async with asyncio.TaskGroup() as group:
        for seam in PROBES:
            tries = partial(_try, runtime, seam)
            group.create_task(_watch(seam, partial(_is_failing, runtime, seam), tries, sleep))
        for link in runtime.chain.links if runtime.chain is not None else ():
            tries = partial(_try_link, runtime, link)
            group.create_task(_watch(link.name, partial(_link_is_failing, link), tries, sleep))


async def _watch(name: str, failing: Callable[[], bool], tries: Try, sleep: Sleep) -> None:
    """One try after the other; beside them one patient try, of an engine that does not answer at once."""
    patient: asyncio.Task[BaseException | None] | None = None
    shown: set[type[BaseException]] = set()
    async with asyncio.TaskGroup() as group:
        while True:
            await sleep(EVERY_S)
            if not failing():
                continue
            failure = await _told(name, tries(QUICK_S), shown)
            if isinstance(failure, TimeoutError) and (patient is None or patient.done()):
                patient = group.create_task(_told(name, tries(PATIENT_S), shown))


async def _told(name: str, work: Awaitable[None], shown: set[type[BaseException]]) -> BaseException | None:
    """Of a failure only the log is told: it is known, and nobody's turn. What engines do not raise is a fault of ours,
    and shown once."""
    [failure] = await asyncio.gather(work, return_exceptions=True)
    if failure is None:
        return None
    log.event("engine_still_failing", "debug", engine=name, reason=str(failure) or type(failure).__name__)
    if not isinstance(failure, ENGINE_FAULTS) and type(failure) not in shown:
        shown.add(type(failure))
        logging.getLogger(log.ROOT).error("try_broken", exc_info=failure)
    return failure


def _is_failing(runtime: Runtime, seam: str) -> bool:
    return seam in runtime.failing


def _link_is_failing(link: Link) -> bool:
    return link.failing is not None


async def _try(runtime: Runtime, seam: str, limit_s: float) -> None:
    runtime.circuits.try_begins(seam)
    try:
        await _works(PROBES[seam](runtime), limit_s)
    finally:
        runtime.circuits.try_failed(seam)
    runtime.try_worked(seam)


async def _try_link(runtime: Runtime, link: Link, limit_s: float) -> None:
    """One that works is enough for the chain."""
    assert runtime.chain is not None
    link.breaker.try_begins()
    try:
        await _works(_answer_of(link), limit_s)
    finally:
        link.breaker.try_failed()
    runtime.chain.try_worked(link)
    runtime.try_worked("responder")


async def _works(work: Awaitable[object], limit_s: float) -> None:
    """Raises what it fails with."""
    try:
        async with asyncio.timeout(limit_s):
            await work
    except BusyError:
        raise
    except RequestError:
        pass  # the engine is fine


# --- one piece of work ------------------------------------------------------------------------------------------


async def _hear(runtime: Runtime) -> None:
    session = runtime.engines.voice_activity.session()
    await session.probabilities(np.zeros((1, VAD_FRAME_SAMPLES), np.float32))


async def _judge(runtime: Runtime) -> None:
    await runtime.engines.turn_judge.complete_probability(np.zeros(LISTEN_RATE_HZ, np.float32))


async def _transcribe(runtime: Runtime) -> None:
    """As a partial: it gives way to those that somebody waits for."""
    await runtime.engines.transcriber.transcribe(noise(), language=None, prompt="", final=False)


async def _respond(runtime: Runtime) -> None:
    await _answer(runtime.engines.responder)


async def _answer_of(link: Link) -> None:
    await link.start()
    await _answer(link.responder)


async def _answer(responder: Responder) -> None:
    asked, said = Message("user", ASKED, audio=noise() if responder.listens else None), 0
    async with aclosing(responder.respond([asked], language="en", max_tokens=TOKENS)) as pieces:
        async for piece in pieces:
            said += len(piece) if isinstance(piece, str) else 1
            if said > MOST_CHARS:
                raise EngineError("responder", f"it answers {ASKED!r} with more than {MOST_CHARS} characters")


async def _speak(runtime: Runtime) -> None:
    voice, made = runtime.config.speaker.voice, 0
    async with aclosing(runtime.engines.speaker.speak(SPOKEN, voice=voice, speed=1.0)) as chunks:
        async for chunk in chunks:
            made += chunk.samples.size
            if made > MOST_S * SPEAK_RATE_HZ:
                raise EngineError("speaker", f"it speaks {SPOKEN!r} for more than {MOST_S:g} s")


def noise() -> Samples:
    """A second."""
    return np.random.default_rng(0).normal(0, NOISE, LISTEN_RATE_HZ).astype(np.float32)


PROBES: Final[Mapping[str, Probe]] = {
    "voice_activity": _hear,
    "turn_judge": _judge,
    "transcriber": _transcribe,
    "responder": _respond,
    "speaker": _speak,
}
"""By seam."""
