"""One cell of the table, played: a session comes to a moment, something fails, and what was promised is checked.

    amber    the first turn, answered
    birch    the turn that the fault meets: before it (idle), while it is said (listening), before anything of its
             answer came (thinking), or in the middle of that (speaking)
    cedar    the first turn after all is well again; when it is not answered, the next word, and so on

Knows: who does what and when. Does not know: how a fault is done to a process or a connection.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults import machine
from tests.faults import promises as what
from tests.faults.engine import SECOND, WORDS, Mode, Part
from tests.faults.processes import EngineProcess
from tests.faults.promises import FAULTS, Cell, Fault, Promise
from tests.faults.proxy import Line, Proxy
from tests.faults.talker import SILENCE_MS, Talker, talking
from tests.faults.world import HASTY, PATIENT, Limits, World, with_our_ears, world
from tests.server.caller import PATIENCE_S, Event, silence
from voxtral_voice.engines.fakes import Broken

HELD_UP_S: Final = 0.3
AT_ONCE: Final = 2
"""Rows of the table: a cell waits most of its time, but two cores are busy with more of them."""
LINES: Final[Mapping[Fault, Line]] = {
    what.DELAYED: Line(delay_s=0.1),
    what.JITTERY: Line(jitter_s=0.15),
    what.NARROW: Line(bytes_per_s=64_000),
}
MODES: Final[Mapping[Fault, Mode]] = {
    what.STATUS: "status 500",
    what.GARBAGE: "garbage",
    what.ENDLESS: "endless",
    what.TRUNCATED: "truncated",
}
Do = Callable[[], Awaitable[object] | None]


@dataclass(slots=True)
class Outcome:
    """For the sum over all cells."""

    cell: Cell
    broken: str = ""
    """Why the promise is not kept."""
    lost: bool = False
    """The session, for all that is known: the cell came to no end."""
    lost_words: int = 0
    """Said, and neither understood nor told to be lost."""
    words_again: int = 0
    """Told to be lost."""
    recovered_s: float | None = None
    """From the end of the fault to the end of the first good answer; of client links to the greeting."""


Engines = Mapping[Part, EngineProcess]


Row = tuple[str, Fault]
"""Of the table: the part, and what happens to it."""


def rounds() -> list[Sequence[Row]]:
    """The whole table. A round's rows are played at once: they need the same limits, which all servers here share, and
    leave the machine as it is; what befalls that befalls everybody."""
    every = [(part, fault) for part, faults in FAULTS.items() for fault in faults]
    alone = [row for row in every if row[0] == "machine"]
    hasty = [row for row in every if row[1] in what.HANGS]
    patient = [row for row in every if row not in alone and row not in hasty]
    pairs = [rows[at : at + AT_ONCE] for rows in (patient, hasty) for at in range(0, len(rows), AT_ONCE)]
    return [*pairs, *([row] for row in alone)]


async def play_all(cells: Sequence[Cell], sets: Sequence[Engines], limits: Limits | None = None) -> list[Outcome]:
    """The cells of one round, each with engines of its own, side by side. What fails is in the outcome. limits: None =
    short ones."""
    first = cells[0]
    limits = limits or (HASTY if first.fault in what.HANGS else PATIENT)
    # all cells have the same machine, so that what befalls it does so when each is where it should be
    together = asyncio.Barrier(len(cells) if first.part == "machine" else 1)

    async def played(cell: Cell, engines: Engines) -> Outcome:
        try:
            return await play(cell, engines, limits, folder, together)
        except BaseException:
            await together.abort()
            raise

    with limits.applied(), with_our_ears(), machine.prepared(first.fault) as folder:
        tasks = [asyncio.create_task(played(cell, engines)) for cell, engines in zip(cells, sets, strict=False)]
        await asyncio.wait(tasks)
    return [_outcome(cell, task) for cell, task in zip(cells, tasks, strict=True)]


def _outcome(cell: Cell, task: asyncio.Task[Outcome]) -> Outcome:
    error = task.exception()
    if error is None:
        return task.result()
    traceback.print_exception(error)
    return Outcome(cell, broken=f"{type(error).__name__}: {error}", lost=True)


async def play(cell: Cell, engines: Engines, limits: Limits, folder: str, together: asyncio.Barrier) -> Outcome:
    """folder: to record sessions into; "": none. together: waits for the other cells. Raises AssertionError when the
    promise is not kept."""
    if cell.part == "client link":
        return await _link_cell(cell, engines, limits)
    proxied = cell.part if cell.fault in (what.STALLED, *what.BROKEN_LINK, *what.SLOW_LINK) else None
    async with (
        world(engines, limits, proxied=proxied, record=folder) as made,
        talking(made.client_url) as talker,
    ):
        return await _engine_cell(cell, made, talker, together)


# --- engines, and the machine -------------------------------------------------------------------------------------


async def _engine_cell(cell: Cell, made: World, talker: Talker, together: asyncio.Barrier) -> Outcome:
    outcome = Outcome(cell)
    assert (await talker.ask(WORDS[0]))["status"] == "completed"
    finish = await _come_to(cell, made, talker)
    await together.wait()
    end = await _befall(cell, made)
    await _run(finish)
    if cell.part == "voice activity":
        await _not_heard(made, talker)
        outcome.recovered_s = await _timed(_run(end), talker.response(2))  # it is heard now
    await _check(cell, made, talker, await talker.response(2))
    await talker.nobody_speaks()
    await together.wait()
    await _run(end)
    recovered_s = await _timed(_answered(talker))
    if cell.fault in what.LASTING:
        outcome.recovered_s = recovered_s
    await _check_history(cell, made, talker, outcome)
    return outcome


async def _timed(*steps: Awaitable[object]) -> float:
    """Seconds that they take, one after the other. TimeoutError for too many, also on a busy machine."""
    now = asyncio.get_running_loop().time
    began = now()
    async with asyncio.timeout(PATIENCE_S):
        for step in steps:
            await step
    return now() - began


async def _come_to(cell: Cell, made: World, talker: Talker) -> Do:
    """The moment at which it happens. Returns how the turn goes on from there."""
    word = WORDS[1]
    if cell.moment == "idle":
        await talker.nobody_speaks()
        return lambda: talker.say_word(word, heard=cell.part != "voice activity")
    if cell.moment == "listening":
        await talker.begin_word(word)
        return talker.end_word
    part: Part = cell.part if cell.part in made.engines else "responder"  # type: ignore[assignment]
    if cell.moment == "thinking":
        held = made.engines[part]
        held.hold("start")
        await talker.say_word(word)
        await held.held()
        return held.release
    held = made.engines["speaker" if part == "speaker" else "responder"]
    heard = talker.count("response.output_audio.delta")
    held.hold("middle")
    await talker.say_word(word)
    await held.held()
    await talker.until("response.output_audio.delta", heard + 1)
    return held.release


async def _befall(cell: Cell, made: World) -> Do:
    """It happens. Returns how it ends."""
    fault = cell.fault
    if cell.part == "voice activity":
        return _break_fake(made.voice_activity, fault)
    if cell.part == "turn judge":
        return _break_fake(made.turn_judge, fault)
    if cell.part == "machine":
        return machine.befall(fault)
    if cell.part in made.proxies:
        return _on_the_way(fault, made.proxies[cell.part])
    engine = made.engines[cell.part]  # type: ignore[index]
    if fault is what.KILLED:
        engine.kill()
    elif fault is what.STOPPED:
        engine.stop()
    else:
        engine.be(MODES[fault])
    return engine.mend


def _on_the_way(fault: Fault, proxy: Proxy) -> Do:
    if fault is what.STALLED:
        proxy.stall()
    elif fault is what.RESET:
        proxy.reset()
    elif fault is what.HALF_CLOSED:
        proxy.half_close("down")
    elif fault is what.SHUT:
        proxy.half_close("up")
    else:
        proxy.slow(LINES[fault])
    return proxy.go_on


def _break_fake(fake: object, fault: Fault) -> Do:
    breaking = {"broken": Broken("it was told to fail")} if fault is what.FAILING else {"_latency_ms": 60_000.0}
    before = {name: getattr(fake, name) for name in breaking}

    def set_all(values: Mapping[str, object]) -> None:
        for name, value in values.items():
            setattr(fake, name, value)

    set_all(breaking)
    return lambda: set_all(before)


async def _run(step: Do) -> None:
    if (waits := step()) is not None:
        await waits


async def _check(cell: Cell, made: World, talker: Talker, response: Event) -> None:
    """What became of the turn."""
    status, seam = response["status"], cell.part.replace(" ", "_")
    if cell.promise is Promise.ANSWERED:
        assert status == "completed", f"promised: completed; {response['status_details']}"
        return
    assert status == "failed", f"promised: failed; it is {status}"
    reason = response["status_details"]["error"]["message"]
    assert reason.startswith(f"{seam}: "), f"it failed for another reason: {reason}"
    assert talker.said_in(response["id"]), "nothing was heard: no part of an answer, and no apology"
    assert seam in await made.failing(), "/readyz does not name the engine"
    assert await made.metric("engine_failures_total", engine=seam) > 0, "the metrics do not name the engine"


async def _not_heard(made: World, talker: Talker) -> None:
    await talker.say(silence(SILENCE_MS))
    error = (await talker.until("error"))["error"]
    assert error["message"].startswith("voice_activity: ")
    assert "voice_activity" in await made.failing()
    assert await made.metric("engine_failures_total", engine="voice_activity") > 0


async def _answered(talker: Talker) -> None:
    """Until a turn is."""
    words = iter(WORDS[2:] * 8)
    while (await talker.ask(next(words)))["status"] != "completed":
        pass


async def _check_history(cell: Cell, made: World, talker: Talker, outcome: Outcome) -> None:
    """Every word that was said is in the history, or was told to be lost; of each answer what was heard."""
    outcome.words_again = talker.not_understood
    outcome.lost_words = len(talker.words) - len(talker.understood) - outcome.words_again
    assert outcome.lost_words == 0, f"of {talker.words} it was told {talker.understood}"
    assert (talker.not_understood > 0) == (cell.promise is Promise.UNHEARD)
    told = [messages for messages in made.engines["responder"].told if any(WORDS[0] in text for _, text in messages)]
    users = [text.strip(" .") for role, text in told[-1] if role == "user"]
    assert users == talker.understood, f"the responder was told of {users}"
    heard = [text for role, text in told[-1] if role == "assistant"]
    said = [talker.said_in(done["response"]["id"]) for done in talker.all("response.done")][:-1]
    for text in heard:
        while said and not said[0].startswith(text):
            said.pop(0)
        assert said, f"the history says that this was heard: {text!r}"
        said.pop(0)
    assert heard, "the history has nothing of what was heard"


# --- the client's link --------------------------------------------------------------------------------------------


async def _link_cell(cell: Cell, engines: Engines, limits: Limits) -> Outcome:
    async with world(engines, limits, proxied="client") as made:
        if cell.fault is what.NOT_READING:
            return await _not_reading(cell, made)
        async with talking(made.client_url, resumes=cell.promise is Promise.RESUMED) as talker:
            return await _cut_cell(cell, made, talker)


async def _cut_cell(cell: Cell, made: World, talker: Talker) -> Outcome:
    outcome, now = Outcome(cell), asyncio.get_running_loop().time
    assert (await talker.ask(WORDS[0]))["status"] == "completed"
    finish = await _come_to(cell, made, talker)
    if cell.promise is Promise.RESUMED:
        await _lose(cell, made, talker)
        if cell.moment in ("listening", "thinking"):
            await _run(finish)  # while nobody is connected
        began = now()
        await _come_back(talker, made.url if cell.fault is what.VANISHED else made.client_url)
        outcome.recovered_s = now() - began
        if cell.moment in ("idle", "speaking"):
            await _run(finish)
    else:
        await _disturb(cell, made)
        await _run(finish)
    assert (await talker.response(2))["status"] == "completed"
    assert (await talker.ask(WORDS[2]))["status"] == "completed"
    await _check_history(cell, made, talker, outcome)
    answers = [talker.said_in(done["response"]["id"]) for done in talker.all("response.done")]
    expected = [f"You said {' '.join(WORDS[: n + 1])}. {SECOND}" for n in range(3)]
    assert answers == expected
    return outcome


async def _lose(cell: Cell, made: World, talker: Talker) -> None:
    proxy = made.proxies["client"]
    if cell.fault is what.VANISHED:
        proxy.stall()
        talker.abandon()
        return
    _on_the_way(cell.fault, proxy)
    await talker.lost()


async def _come_back(talker: Talker, url: str) -> None:
    session = talker.all("session.created")[0]["session"]["id"]
    greeting = (await talker.resume(url))["session"]
    assert greeting["id"] == session, "another session"
    assert greeting["voxtral_voice"]["resume"]["resumed"] is True


async def _disturb(cell: Cell, made: World) -> None:
    proxy = made.proxies["client"]
    if cell.fault is what.HELD_UP:
        proxy.stall()
        asyncio.get_running_loop().call_later(HELD_UP_S, proxy.go_on)
    else:
        proxy.slow(LINES[cell.fault])


async def _not_reading(cell: Cell, made: World) -> Outcome:
    """The others talk directly to the server."""
    outcome = Outcome(cell)
    async with talking(made.client_url, finished=False) as slow, talking(made.url) as other:
        assert (await slow.ask(WORDS[0]))["status"] == "completed"
        finish = await _come_to(cell, made, slow)
        made.proxies["client"].stall("down")
        await slow.asks_for_much()
        if cell.moment in ("thinking", "speaking"):
            await _run(finish)
        assert (await other.ask(WORDS[1]))["status"] == "completed"
        await made.sessions_are(1)
        made.proxies["client"].go_on()
        await slow.lost()
        assert slow.hung_up is not None
        assert slow.hung_up[0] in (1013, 1006), "1013, or nothing where not even that could be sent"
        assert (await other.ask(WORDS[2]))["status"] == "completed"
    return outcome
