"""Everything that a machine with a GPU can tell, in one command: is it fit, what does each piece cost, what does a
caller wait for. Voxtral has random weights of the real size, so nothing of it is downloaded.

    scripts/gpu FOLDER                                   # all of it: half an hour
    scripts/gpu FOLDER --short                           # a few of each: some minutes
    scripts/gpu FOLDER --steps pieces                    # doctor, pieces, bench, speaker: one or more of them
    scripts/gpu FOLDER --modes direct -- --speaker-url http://127.0.0.1:9000/v1    # what follows -- is the server's
    scripts/gpu FOLDER --short --size tiny --device cpu  # anywhere: does it run?

Left in FOLDER: pieces.json (`benchmarks.gpu`), MODE.json and MODE.html (`voxtral-voice bench`) for each way to listen,
speaker.json and speaker.html for `direct` with Kokoro in PyTorch on the GPU and without the student, and steps.json:
each step's command, whether it worked, how long it took. A step that fails does not keep the next ones from being
tried; the exit status tells.

What means something: how long each stage takes, what a turn costs, memory. What does not: every word, so word errors
and right answers; what hangs on words, which is whether a turn is an intent, and when it counts as over: nonsense never
looks finished, and its answer would be begun late on purpose, so a turn ends here after 300 ms of silence, about as
long as a finished sentence is waited for; and how many words there are. A text of Mini ends behind its first full stop,
after two to a hundred tokens, whatever was said (answers are cut at MAX_TOKENS), and Realtime writes a word at every
step, so that an end is never guessed. The words of `utterance` and the flush of `streaming` therefore take another time
here than with trained weights; pieces.json has both with the counts of speech.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = (sys.executable, "-m")
MODES: Final = ("streaming", "direct", "utterance")
STEPS: Final = ("doctor", "pieces", "bench", "speaker")
SPEAKER: Final = "direct"
"""How the run with the speaker on the GPU listens."""
KINDS: Final = ("realtime", "mini")
WRITE: Final = (
    "import sys, pathlib; from voxtral_voice.engines.voxtral.random_weights import write; "
    "write(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], device=sys.argv[4])"
)
"""In a process of its own, which gives the GPU back."""
REPEATS: Final = {True: 5, False: 20}
TURNS: Final = {True: 6, False: 40}
BARGE_INS: Final = {True: 1, False: 5}
"""By whether it is short."""
CLIPS: Final = "questions,intents"
ENDPOINT: Final = "server_vad:300"
"""Silence alone says when a turn is over."""
MAX_TOKENS: Final = 24
"""Of an answer: some sentences of random words are endless."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    name: str
    command: str
    status: int
    wall_s: float


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left running
    place = TemporaryDirectory() if options.weights is None else nullcontext(str(options.weights))
    with place as folder:
        done = [run(step) for step in steps(options, Path(folder))]
    written = [asdict(each) for each in done]
    (options.out / "steps.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print("\n".join(f"{'ok' if not each.status else f'FAILED ({each.status})':12} {each.name}" for each in done))
    return int(any(each.status for each in done))


def run(step: Step) -> Done:
    print(f"\n== {step.name}", flush=True)
    began = time.monotonic()
    with subprocess.Popen(step.command, cwd=ROOT) as process:
        try:
            status = process.wait()
        except BaseException:  # we are told to end: so is the step, which ends what it has started
            process.send_signal(signal.SIGINT)
            raise
    return Done(step.name, " ".join(step.command[1:]), status, round(time.monotonic() - began, 1))


def steps(options: argparse.Namespace, weights: Path) -> Iterator[Step]:
    """weights: where checkpoints are written, or lie already."""
    if "doctor" in options.steps:
        yield Step("doctor", (*PYTHON, "voxtral_voice", "doctor", "--gpu", *_server(options, weights)))
    if "pieces" in options.steps:
        yield Step("pieces", _pieces(options))
    modes = options.modes if "bench" in options.steps else []
    if modes or "speaker" in options.steps:
        yield from _random_weights(options, weights, [kind for kind in KINDS if kind == "mini" or "streaming" in modes])
    for mode in modes:
        yield Step(mode, _bench(options, weights, mode, mode))
    if "speaker" in options.steps:
        placed = ("--device", f"{options.device},speaker={options.device}", "--speaker-backend", "torch")
        yield Step("speaker", _bench(options, weights, SPEAKER, "speaker", *placed, "--speaker-student", "false"))


def _random_weights(options: argparse.Namespace, weights: Path, kinds: Sequence[str]) -> Iterator[Step]:
    """Of those that are not there yet."""
    for kind in kinds:
        if not (weights / kind / "config.json").is_file():
            command = (sys.executable, "-c", WRITE, str(weights / kind), kind, options.size, options.device)
            yield Step(f"random weights, {kind}", command)


def _pieces(options: argparse.Namespace) -> tuple[str, ...]:
    flags = ("--device", options.device, "--size", options.size, "--repeats", str(REPEATS[options.short]))
    commit = ("--commit", options.commit) if options.commit else ()
    return (*PYTHON, "benchmarks.gpu", *flags, *commit, "--out", str(options.out / "pieces.json"))


def _bench(options: argparse.Namespace, weights: Path, mode: str, name: str, *more: str) -> tuple[str, ...]:
    """name: of the files. more: flags of the server, stronger than those before them."""
    said = ("--clips", options.clips, "--turns", str(options.turns or TURNS[options.short]), "--echoes", "0")
    over = ("--barge-ins", str(BARGE_INS[options.short]), "--max-tokens", str(MAX_TOKENS), "--endpoint", ENDPOINT)
    files = ("--json", str(options.out / f"{name}.json"), "--html", str(options.out / f"{name}.html"))
    flags = (*said, *over, *files, "--listen", mode, *_server(options, weights), *more, *options.server)
    return (*PYTHON, "voxtral_voice", "bench", *flags)


def _server(options: argparse.Namespace, weights: Path) -> tuple[str, ...]:
    """Flags of `voxtral-voice`."""
    checkpoints = [word for kind in KINDS for word in (f"--voxtral-{kind}", str(weights / kind))]
    return ("--profile", "gpu", "--voxtral-backend", "transformers", "--device", options.device, *checkpoints)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    ours = [*(sys.argv[1:] if words is None else words)]
    server = ours[ours.index("--") + 1 :] if "--" in ours else []
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="FOLDER", help="for the results")
    parser.add_argument("--short", action="store_true", help="a few of everything")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=[*STEPS])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=[*MODES])
    parser.add_argument("--clips", default=CLIPS, help=f"sets of clips ({CLIPS})")
    parser.add_argument("--turns", type=int, help=f"of each mode ({TURNS[False]}, with --short {TURNS[True]})")
    parser.add_argument("--weights", type=Path, help="folder to keep the random weights in, or in which they are")
    parser.add_argument("--size", choices=["real", "tiny"], default="real", help="of the models")
    parser.add_argument("--device", default="cuda:0", help="cuda:0 (default), cpu")
    parser.add_argument("--commit", help="of the source, where there is no git")
    options = parser.parse_args(ours[: -len(server) - 1] if "--" in ours else ours)
    options.out, options.server = options.out.absolute(), server
    return options


if __name__ == "__main__":
    sys.exit(main())
