"""The stub as a process of its own: prints one line of JSON with the three URLs, and serves until it is stopped.

Knows: flags, signals. Does not know: anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from voxtral_voice.bench import corpus
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.stub.listing import clips_in, clips_of_json
from voxtral_voice.bench.stub.plan import INSTANT, Latencies, StubPlan
from voxtral_voice.bench.stub.serve import Trio, serving, stub_engines
from voxtral_voice.engines.registry import EmbeddedOptions, embedded
from voxtral_voice.errors import VoiceError
from voxtral_voice.weights import default_weights_dir


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        uvloop.run(_serve(_real() if options.models else stub_engines(_plan(options))))
    except VoiceError as error:
        print(f"stub: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(engines: Trio) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(engines) as urls:
        print(orjson.dumps(dataclasses.asdict(urls)).decode(), flush=True)
        await stop.wait()


def _plan(options: argparse.Namespace) -> StubPlan:
    latencies = INSTANT if options.instant else Latencies()
    latencies = dataclasses.replace(latencies, leading_silence_ms=options.leading_silence_ms)
    if options.clips:
        clips: Sequence[Clip] = corpus.load(options.clips.split(","))
    else:
        clips = clips_of_json(options.clips_json) if options.clips_json else clips_in(options.clips_dir)
    return StubPlan(clips, options.seed, latencies)


def _real() -> Trio:
    """The models of the embedded profile; every question goes to the language model."""
    folder = default_weights_dir()
    engines = embedded(lambda name: folder / name, EmbeddedOptions(intents=False))
    return Trio(engines.transcriber, engines.responder, engines.speaker)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m voxtral_voice.bench.stub", description=__doc__, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clips", metavar="SETS", help="sets of the bench's corpus, with commas, e.g. stub")
    source.add_argument("--clips-json", type=Path, metavar="FILE", help='a list of {"id", "text", "wav"}')
    source.add_argument("--clips-dir", type=Path, metavar="DIR", help="NAME.wav, each beside its NAME.txt")
    source.add_argument("--models", action="store_true", help="the embedded profile's real models instead")
    parser.add_argument("--seed", type=int, default=1, help="of every answer and latency (1)")
    parser.add_argument("--instant", action="store_true", help="no latencies")
    parser.add_argument(
        "--leading-silence-ms", type=float, default=0.0, metavar="MS", help="before the sound of every phrase (0)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
