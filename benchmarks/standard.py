"""The standard set against this checkout: what the README's figures are made from.

    .venv/bin/python -m benchmarks.standard [--full] [--no-capacity] [--questions 24] [--intents 8] [--holds 24]
        [--taps 18] [--echoes 6] [--barge-ins 10] [--noise-s 60] [--sweep 8]

Starts the server as a user starts it, in its own process; both share the machine's cores. With the server's own
settings: questions, utterances that need no language model, human sentences with a pause inside, interruptions, sounds
over which a reply has to go on, replies that the microphone takes up, and minutes of noise. Then, for latency
against false cut-ins, questions and pauses again at other positions of `patience` and with plain silence; then the
largest number of sessions. Twenty-five minutes; with --full, which has more of everything, an hour. Writes
benchmarks/<date>-<commit>.json and .html; Ctrl-C keeps what was measured by then.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import orjson
import uvloop
from tqdm import tqdm

from voxtral_voice.bench import corpus, report
from voxtral_voice.bench.capacity import Capacity
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.ear import listened
from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.machine import commit
from voxtral_voice.bench.measure import Measured, Script, Target, measure, measure_capacity
from voxtral_voice.bench.result import result
from voxtral_voice.bench.server import serving
from voxtral_voice.errors import VoiceError

FOLDER: Final = Path(__file__).parent
SWEEP: Final = tuple(f"semantic_vad:{patience}" for patience in ("0", "0.25", "0.75", "1"))
SWEEP_SILENCE: Final = ("server_vad:200", "server_vad:800")
SWEEP_USUAL: Final = ("semantic_vad:0", "semantic_vad:1", "server_vad:200")
ASKED, INTENDED, HELD, TAPPED, SOAKED = "questions", "intents", "hold-human", "tap", "soak"
WARM_UP: Final = 3
MOST: Final = 16
FULL: Final[Mapping[str, int]] = {
    "questions": 40,
    "intents": 12,
    "holds": 48,
    "taps": 32,
    "echoes": 12,
    "barge_ins": 20,
    "noise_s": 300,
    "sweep": 24,
}
USUAL: Final[Mapping[str, int]] = {
    "questions": 24,
    "intents": 8,
    "holds": 24,
    "taps": 18,
    "echoes": 6,
    "barge_ins": 10,
    "noise_s": 60,
    "sweep": 8,
}
"""A quarter of an hour, at the 5.7 s that a step took on the machine of the README's figures."""
WORDS: Final = {
    "questions": "questions for the language model",
    "intents": "utterances that need none",
    "holds": "sentences with a pause",
    "taps": "sounds over a reply",
    "echoes": "replies that the microphone takes up",
    "barge_ins": "interruptions",
    "noise_s": "seconds of sound without speech",
    "sweep": "turns with each other endpoint, half of them holds",
}


@dataclass(slots=True)
class Everything:
    """Filled as it is measured, so that an interruption loses nothing."""

    runs: list[tuple[str, Measured]] = field(default_factory=list)
    capacity: Capacity | None = None
    interrupted: bool = False


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    found = Everything()
    try:
        with serving() as own:
            uvloop.run(everything(options, Target(own.url, pid=own.pid), found))
    except VoiceError as error:
        print(f"standard: {error}", file=sys.stderr)
        return 1
    written = result(
        command=" ".join(["python -m benchmarks.standard", *(sys.argv[1:] if words is None else words)]),
        target={"url": None, "wire": "realtime", "model": None, "ready_s": round(own.ready_s, 2)},
        settings={"clips": [ASKED, INTENDED, HELD, TAPPED, SOAKED], **vars(options), "sessions": 1, "seed": 1},
        runs=found.runs,
        capacity=found.capacity,
        interrupted=found.interrupted,
    )
    name = f"{datetime.now(UTC):%Y-%m-%d}-{(commit() or 'unknown')[:10]}"
    (FOLDER / f"{name}.json").write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    (FOLDER / f"{name}.html").write_text(report.html(written), encoding="utf-8")
    print(report.text(written))
    return int(written["void"] or written["lost"] or written["interrupted"])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="an hour: more of everything")
    parser.add_argument("--no-capacity", dest="capacity", action="store_false", help="not how many sessions at once")
    for name, what in WORDS.items():
        text = f"{what} ({USUAL[name]}, with --full {FULL[name]})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=text)
    options = parser.parse_args(words)
    for name, number in (FULL if options.full else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, number)
    return options


async def everything(options: argparse.Namespace, target: Target, found: Everything) -> None:
    try:
        await _everything(options, target, found)
    except asyncio.CancelledError:  # Ctrl-C: what is in `found` is kept
        if not found.runs:
            raise
        found.interrupted = True


async def _everything(options: argparse.Namespace, target: Target, found: Everything) -> None:
    clips = (
        *some(ASKED, options.questions),
        *some(INTENDED, options.intents),
        *some(HELD, options.holds),
        *some(TAPPED, options.taps),
        *noise(options.noise_s),
    )
    await add(found, target, clips, DEFAULT, barge_ins=options.barge_ins, echoes=options.echoes)
    part = (*some(ASKED, options.sweep // 2), *some(HELD, options.sweep // 2))
    for endpoint in (SWEEP + SWEEP_SILENCE if options.full else SWEEP_USUAL) if part else ():
        await add(found, target, part, endpoint)
    if options.capacity:
        script = Script(corpus.load([ASKED]), turns=1)
        found.capacity = await measure_capacity(
            target, script, DEFAULT, most=MOST, after_trial=lambda trial: tqdm.write(str(trial))
        )


async def add(
    found: Everything, target: Target, clips: tuple[Clip, ...], endpoint: str, *, barge_ins: int = 0, echoes: int = 0
) -> None:
    """Raises CancelledError when it was interrupted, with what there was by then in `found`."""
    measured = await said(target, clips, barge_ins, echoes, endpoint)
    found.runs.append((endpoint, measured))
    if measured.interrupted:
        raise asyncio.CancelledError
    found.runs[-1] = endpoint, replace(measured, records=await listened(measured.records))


def some(name: str, count: int) -> tuple[Clip, ...]:
    """Evenly over the set; again from its beginning when it has fewer."""
    return tuple(islice(cycle(corpus.load([name], limit=count)), count)) if count else ()


def noise(seconds: int) -> tuple[Clip, ...]:
    """Every sound for an equal part."""
    sounds = corpus.load([SOAKED]) if seconds else ()
    return tuple(corpus.lasting(clip, seconds / len(sounds)) for clip in sounds)


async def said(target: Target, clips: tuple[Clip, ...], barge_ins: int, echoes: int, endpoint: str) -> Measured:
    """Every clip, as often as it is there."""
    script = Script(clips, sum(clip.wants_answer for clip in clips), barge_ins, WARM_UP, echoes=echoes)
    (plan,) = script.plans(1)
    with tqdm(total=len(plan.warm_up) + len(plan.steps), desc=endpoint, unit="turn") as bar:
        return await measure(target, script, endpoint, 1, bar.update)


if __name__ == "__main__":
    sys.exit(main())
