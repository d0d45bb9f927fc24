"""`voxtral-voice bench` and `voxtral-voice bench capacity`: from the words of a command to a result.

Knows: what is measured by default, progress, files. Does not know: argparse, how turns are measured (`measure`), what
a result looks like (`result`, `report`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import orjson
import uvloop
from tqdm import tqdm

from voxtral_voice.bench import corpus, report
from voxtral_voice.bench.caller import call
from voxtral_voice.bench.capacity import Capacity, Trial
from voxtral_voice.bench.ear import listened
from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.measure import Measured, Script, Target, Wire, measure, measure_capacity
from voxtral_voice.bench.process import usage
from voxtral_voice.bench.result import result
from voxtral_voice.bench.server import serving
from voxtral_voice.errors import BenchError

STANDARD: Final = ("questions", "intents", "hold", "tap")
FOR_CAPACITY: Final = ("questions",)
WARM_UP: Final = 3
INTERRUPTED: Final = 130
"""Exit status, as shells have it."""
LIST: Final = "list"
"""In the place of sets: only say which there are."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """As the command line has them."""

    what: Literal["run", "capacity"]
    url: str | None
    """None: a server of our own, started for the measurement with `server_flags`."""
    server_flags: tuple[str, ...]
    wire: Wire
    api_key: str | None
    model: str | None
    pid: int | None
    max_tokens: int | None
    clips: tuple[str, ...] | None
    """Names of sets; None: those of the standard measurement."""
    turns: int
    barge_ins: int
    echoes: int
    sessions: int
    endpoints: list[str] | None
    seed: int
    most: int
    p95_ms: float | None
    json: Path | None
    html: Path | None


@dataclass(frozen=True, slots=True)
class Outcome:
    runs: list[tuple[str, Measured]]
    capacity: Capacity | None = None
    interrupted: bool = False
    """By Ctrl-C: this is what there was by then."""


def run(options: BenchOptions, command: str) -> int:
    """Measure, print, write. command: as it was typed. Returns the exit status: 1 when the run is void or every session
    was lost, INTERRUPTED when it was stopped by Ctrl-C; what had been measured by then is printed and written all the
    same.

    Raises VoiceError: one sentence for a server that is not there, a clip that is missing, a setting that is wrong.
    """
    if options.clips == (LIST,):
        print(_listing())
        return 0
    _check(options)
    if options.url is not None:
        uvloop.run(_knock(_named(options)))
    sets = options.clips or (STANDARD if options.what == "run" else FOR_CAPACITY)
    script = Script(corpus.load(sets), options.turns, options.barge_ins, WARM_UP, options.seed, echoes=options.echoes)
    with _target(options) as (target, ready_s):
        outcome = uvloop.run(
            _capacity(options, target, script) if options.what == "capacity" else _runs(options, target, script)
        )
    measured = result(
        command=command,
        target={"url": options.url, "wire": options.wire, "model": options.model, "ready_s": ready_s},
        settings={"clips": list(sets), "seed": options.seed, **_used(options)},
        runs=outcome.runs,
        capacity=outcome.capacity,
        interrupted=outcome.interrupted,
    )
    print(report.text(measured))
    _write(options, measured)
    if outcome.interrupted:
        return INTERRUPTED
    return int(measured["void"] or measured["lost"])


def _used(options: BenchOptions) -> dict[str, Any]:
    """The numbers that mattered."""
    if options.what == "capacity":
        return {"most_sessions": options.most, "p95_ms": options.p95_ms}
    used = {name: getattr(options, name) for name in ("turns", "barge_ins", "echoes", "sessions")}
    return used | ({} if options.max_tokens is None else {"max_tokens": options.max_tokens})


def _listing() -> str:
    rows = (f"{info.name:12} {info.size:4} clips  {info.what} ({info.licence})" for info in corpus.sets().values())
    return "\n".join(rows)


def _check(options: BenchOptions) -> None:
    """What can be known to be wrong before minutes are spent."""
    for path in filter(None, (options.json, options.html)):
        if not path.parent.is_dir():
            raise BenchError(f"{path} cannot be written: there is no folder {path.parent}.")
        if path.is_dir():
            raise BenchError(f"{path} cannot be written: it is a folder; name a file in it.")
    if options.url is not None and options.server_flags:
        flag = options.server_flags[0].partition("=")[0]
        raise BenchError(f"{flag} is a setting of a server of our own, but --url names another: leave out one of them.")
    if options.url is None and (options.pid is not None or options.wire != "realtime"):
        raise BenchError("--pid and --wire are about another server: give its address with --url.")
    for endpoint in options.endpoints or [DEFAULT]:
        _named(options).driver(endpoint)
    if options.what == "capacity" and len(options.endpoints or ()) > 1:
        raise BenchError("Capacity is measured with one endpoint setting: give --endpoint once.")
    if options.wire == "raw" and options.endpoints:
        raise BenchError("The raw wire has no endpoint settings: leave out --endpoint.")
    if options.wire == "raw" and options.max_tokens is not None:
        raise BenchError("The raw wire cannot say how long an answer may be: leave out --max-tokens.")
    if options.pid is not None:
        usage(options.pid)


def _named(options: BenchOptions) -> Target:
    """As it was named; without a name, one of our own that is yet to be started."""
    url = options.url or "ws://127.0.0.1"
    return Target(url, options.wire, options.api_key, options.model, options.pid, options.max_tokens)


async def _knock(target: Target) -> None:
    """A server that is not there is known before clips are fetched and made. Raises TalkError."""
    async with call(target.driver(DEFAULT)):
        pass


@contextmanager
def _target(options: BenchOptions) -> Iterator[tuple[Target, float | None]]:
    """And how long our own server took to start."""
    if options.url is not None:
        yield _named(options), None
    else:
        with serving(options.server_flags) as own:
            yield Target(own.url, pid=own.pid, max_tokens=options.max_tokens), round(own.ready_s, 2)


async def _runs(options: BenchOptions, target: Target, script: Script) -> Outcome:
    runs: list[tuple[str, Measured]] = []
    for endpoint in options.endpoints or [DEFAULT]:
        steps = sum(len(plan.warm_up) + len(plan.steps) for plan in script.plans(options.sessions))
        with tqdm(total=steps, desc=endpoint, unit="turn", leave=False, disable=None) as bar:
            try:
                measured = await measure(target, script, endpoint, options.sessions, bar.update)
            except asyncio.CancelledError:
                if not runs:
                    raise
                return Outcome(runs, interrupted=True)
        if measured.interrupted:
            return Outcome([*runs, (endpoint, measured)], interrupted=True)
        runs.append((endpoint, replace(measured, records=await listened(measured.records))))
    return Outcome(runs)


async def _capacity(options: BenchOptions, target: Target, script: Script) -> Outcome:
    (endpoint,) = options.endpoints or [DEFAULT]
    found = await measure_capacity(
        target, script, endpoint, most=options.most, limit_p95_ms=options.p95_ms, after_trial=_say
    )
    return Outcome([], found)


def _say(trial: Trial) -> None:
    figures = f"p50 {trial.p50_ms:.0f} ms, p95 {trial.p95_ms:.0f} ms, {trial.missed} missed"
    verdict = f"too many: {trial.refused_for}" if trial.refused_for else "holds"
    tqdm.write(f"{trial.sessions:3} sessions: {f'{figures}; ' if trial.turns else ''}{verdict}")


def _write(options: BenchOptions, measured: dict[str, Any]) -> None:
    """One file that cannot be written does not cost the other."""
    texts = [
        (options.json, orjson.dumps(measured, option=orjson.OPT_INDENT_2).decode() + "\n"),
        (options.html, report.html(measured) if options.html else ""),
    ]
    failed = [problem for path, text in texts if path is not None and (problem := _problem(path, text))]
    if failed:
        raise BenchError(" ".join(failed))


def _problem(path: Path, text: str) -> str:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        return f"{path} cannot be written: {error.strerror or error}."
    return ""
