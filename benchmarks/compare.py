"""Us and the alternatives in one run: the same clips, the same three URLs, one client; A B C, then C B A.

    .venv/bin/python -m benchmarks.compare --mode stub [--targets ours pipecat s2s livekit] [--settings matched shipped]
        [--sessions 1 8] [--rounds 3] [--turns 5] [--gate]

Writes benchmarks/<date>-<commit>-<mode>.json (-<mode>-<sessions>.json with more than 8), and prints the table.

Stub: transcription, language model and speech are stubs with seeded latencies, so that V2V less the endpoint wait and
the stubs' known times is the framework's own overhead. No weights but the voice-activity model. With two cores or more
the server has the first to itself; client and stubs share the others.
Models: the same three URLs with the embedded profile's real models behind them.

Matched: the same silence ends a turn (`--silence-ms`), no turn model, nothing speculative beyond the framework's own
design. Shipped: each framework's defaults. Every framework runs in its own environment and process, one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.peers.ours import Settings
from benchmarks.peers.targets import TARGETS, RunningTarget, running
from benchmarks.side_by_side import table, verdicts
from voxtral_voice.bench import corpus
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.bench.measure import Measured, Script, Target, measure
from voxtral_voice.bench.overhead import endpoint_wait_ms, overhead
from voxtral_voice.bench.record import SessionRecord
from voxtral_voice.bench.score import figures
from voxtral_voice.bench.stats import paired
from voxtral_voice.bench.stub.plan import StubPlan
from voxtral_voice.bench.stub.serve import Urls
from voxtral_voice.bench.turn import TurnFigures
from voxtral_voice.engines.silero import Silero
from voxtral_voice.errors import BenchError, VoiceError
from voxtral_voice.weights import default_weights_dir

FOLDER: Final = Path(__file__).parent
SETS: Final = {"stub": ("stub",), "models": ("questions",)}
SEED: Final = 1
WARM_UP: Final = 2
FEW: Final = 8
"""Sessions; a result of more has the number in its name."""
TRIES: Final = 3


@dataclass(slots=True)
class Row:
    """One target with one setting and so many sessions, over all rounds."""

    records: list[SessionRecord] = field(default_factory=list)
    turns: list[TurnFigures] = field(default_factory=list)
    rounds: list[tuple[TurnFigures, ...]] = field(default_factory=list)
    cpu_s: float = 0.0
    audio_minutes: float = 0.0
    memory_mb: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        self.records += measured.records
        self.turns += measured.turns
        self.rounds.append(measured.turns)
        if measured.cost is not None:
            self.cpu_s += measured.cost.cpu_s
            self.audio_minutes += measured.cost.audio_minutes
            self.memory_mb = max(self.memory_mb, measured.cost.memory_mb)


Key = tuple[str, str, int]
"""target, settings, sessions."""


def main() -> int:
    options = parse()
    try:
        result = uvloop.run(compare(options))
    except VoiceError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    if not options.gate:
        crowd = f"-{max(options.sessions)}" if max(options.sessions) > FEW else ""
        name = f"{result['date'][:10]}-{(result['commit'] or 'unknown')[:10]}-{options.mode}{crowd}.json"
        (FOLDER / name).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(table(result))
    if not options.gate:
        return 0
    judged = list(verdicts(result))
    print("\n".join(f"{'ok  ' if holds else 'FAIL'} {text}" for holds, text in judged))
    return int(not all(holds for holds, _ in judged))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=tuple(SETS), default="stub")
    parser.add_argument("--targets", nargs="+", choices=tuple(TARGETS), default=list(TARGETS))
    parser.add_argument("--settings", nargs="+", choices=("matched", "shipped"), default=["matched", "shipped"])
    parser.add_argument("--sessions", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=5, help="per session and round")
    parser.add_argument("--barge-ins", type=int, default=1, help="per round, of one session alone")
    parser.add_argument("--silence-ms", type=int, default=512, help="of the matched settings: 16 frames of 32 ms")
    parser.add_argument(
        "--gate", action="store_true", help="write nothing, and fail unless we are ahead of every target in this run"
    )
    return parser.parse_args()


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    clips = corpus.load(SETS[options.mode])
    rows: dict[Key, Row] = defaultdict(Row)
    versions: dict[str, Mapping[str, Any]] = {}
    orders = [options.targets if number % 2 == 0 else options.targets[::-1] for number in range(options.rounds)]
    server_cpus, client_cpus = cores() if options.mode == "stub" else (None, None)
    with engines(options.mode, client_cpus) as urls:
        if client_cpus:
            os.sched_setaffinity(0, client_cpus)
        for number, name, settings in in_turn(orders, options.settings):
            say(f"round {number + 1}: {name}, {settings}")
            try:
                async with running(
                    TARGETS[name],
                    urls,
                    settings,
                    silence_ms=options.silence_ms,
                    sessions=max(options.sessions),
                    cpus=server_cpus,
                ) as target:
                    versions[f"{name}, {settings}"] = about(target)
                    await measure_all(options, target, clips, number, rows, (name, settings))
            except VoiceError as error:
                say(f"  {error}")
                for sessions in options.sessions:
                    rows[name, settings, sessions].failures.append(str(error))
    known = await known_ms(clips, options.silence_ms) if options.mode == "stub" else None
    return {
        "command": " ".join(["python -m benchmarks.compare", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "mode": options.mode,
        "silence_ms": options.silence_ms,
        "clips": [clip.id for clip in clips],
        "rounds": options.rounds,
        "targets": versions,
        "rows": [written(key, row, known) for key, row in rows.items()],
        "against_ours": comparisons(rows),
    }


def about(target: RunningTarget) -> dict[str, Any]:
    return {
        "version": target.version,
        "settings": target.text,
        "command": " ".join(target.argv),
        "ready_s": target.ready_s,
    }


def in_turn(orders: Sequence[Sequence[str]], settings: Sequence[Settings]) -> Iterator[tuple[int, str, Settings]]:
    """(round, target, settings)."""
    for number, order in enumerate(orders):
        for name in order:
            for each in settings:
                yield number, name, each


async def measure_all(
    options: argparse.Namespace,
    target: RunningTarget,
    clips: tuple[Clip, ...],
    number: int,
    rows: dict[Key, Row],
    key: tuple[str, str],
) -> None:
    for sessions in options.sessions:
        row = rows[*key, sessions]
        script = Script(
            clips,
            options.turns,
            barge_ins=options.barge_ins if sessions == 1 else 0,
            warm_up=WARM_UP,
            seed=SEED + number,
        )
        try:
            measured = await on_time(
                Target(target.url, target.driver, pid=target.pid), script, target.endpoint, sessions
            )
        except VoiceError as error:
            say(f"  {sessions} sessions: {error}")
            row.failures.append(str(error))
            continue
        row.add(measured)
        waits = sorted(turn.counted_v2v_ms for turn in measured.turns if turn.counted_v2v_ms is not None)
        middle = f"{waits[len(waits) // 2]:.0f}" if waits else "-"
        say(f"  {sessions} sessions: V2V p50 {middle} ms, {sum(t.missed for t in measured.turns)} missed")


async def on_time(target: Target, script: Script, endpoint: str, sessions: int) -> Measured:
    """A measurement whose own microphone was late is made again; the last one counts in any case."""
    for _ in range(TRIES - 1):
        measured = await measure(target, script, endpoint, sessions)
        if not figures(measured.records).void:
            return measured
        say(f"  {sessions} sessions: the microphone was late, measured again")
    return await measure(target, script, endpoint, sessions)


# --- the engines behind the three URLs --------------------------------------------------------------------------


@contextmanager
def engines(mode: str, cpus: set[int] | None) -> Iterator[Urls]:
    """The stub, or the embedded models, in a process of their own."""
    source = ["--models"] if mode == "models" else ["--clips", ",".join(SETS[mode])]
    command = [sys.executable, "-m", "voxtral_voice.bench.stub", *source, "--seed", str(SEED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if cpus:
                os.sched_setaffinity(process.pid, cpus)
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise BenchError("The engines did not start; what they say is above.")
            yield Urls(**json.loads(line))
        finally:
            process.terminate()


def cores() -> tuple[set[int] | None, set[int] | None]:
    """For the server, and for everything else."""
    ours = sorted(os.sched_getaffinity(0))
    return ({ours[0]}, set(ours[1:])) if len(ours) > 1 else (None, None)


async def known_ms(clips: Sequence[Clip], silence_ms: float) -> dict[str, float]:
    """By clip: the endpoint wait for `silence_ms`, and what the stubs take."""
    plan = StubPlan(clips, SEED)
    async with listening() as silero:
        return {
            clip.id: await endpoint_wait_ms(clip, silence_ms, silero) + plan.known_ms(clip.id).total_ms
            for clip in clips
        }


@asynccontextmanager
async def listening() -> AsyncIterator[Silero]:
    silero = Silero(default_weights_dir() / "silero-vad-v5.onnx")
    await silero.start()
    try:
        yield silero
    finally:
        await silero.aclose()


# --- what is written --------------------------------------------------------------------------------------------


def written(key: Key, row: Row, known: Mapping[str, float] | None) -> dict[str, Any]:
    name, settings, sessions = key
    whole = figures(row.records)
    plain = [turn for turn in row.turns if turn.purpose == "turn"]
    return {
        "target": name,
        "settings": settings,
        "sessions": sessions,
        "failures": row.failures,
        "figures": whole.as_json() if row.records else None,
        "overhead": asdict(overhead(plain, known)) if known and settings == "matched" and plain else None,
        "round_p50_ms": [median(turns) for turns in row.rounds],
        "cpu_s_per_audio_minute": row.cpu_s / row.audio_minutes if row.audio_minutes else None,
        "memory_mb": row.memory_mb,
    }


def median(turns: Sequence[TurnFigures]) -> float | None:
    waits = sorted(v2v for turn in turns if turn.purpose == "turn" and (v2v := turn.counted_v2v_ms) is not None)
    return waits[len(waits) // 2] if waits else None


def comparisons(rows: Mapping[Key, Row]) -> list[dict[str, Any]]:
    """V2V of each target to ours with the same settings and sessions: paired over clips."""
    found = []
    for (name, settings, sessions), row in rows.items():
        ours = rows.get(("ours", settings, sessions))
        if name == "ours" or ours is None or not ours.turns or not row.turns:
            continue
        both = paired(waits(ours), waits(row))
        if both is not None:
            found.append({"target": name, "settings": settings, "sessions": sessions, "ours_to_it": asdict(both)})
    return found


def waits(row: Row) -> dict[str, list[float]]:
    """By clip."""
    found: dict[str, list[float]] = defaultdict(list)
    for turn in row.turns:
        if turn.purpose == "turn" and (v2v := turn.counted_v2v_ms) is not None:
            found[turn.said_clip].append(v2v)
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
