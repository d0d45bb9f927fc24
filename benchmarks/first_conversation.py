"""The embedded profile on this machine: V2V of 20 short questions with every stage, and what the server costs.

    .venv/bin/python -m benchmarks.first_conversation [--turns 20] [--out benchmarks/first_conversation.json]

The server runs as its own process, started as a user starts it. The questions are spoken by Kokoro voices other than
the assistant's, one session, a real-time microphone (see `voxtral_voice.bench` for how V2V is timed: last voiced
sample spoken -> first audible sample played). Both processes share the machine's cores. Writes a JSON file with the
machine, the commit and the command; the README's table is made from it by `scripts/readme_table.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import uvloop

from voxtral_voice.audio.level import first_audible_sample, last_audible_sample
from voxtral_voice.bench import score
from voxtral_voice.bench.caller import call
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.drivers.realtime import realtime
from voxtral_voice.bench.score import TurnFigures
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.weights import default_weights_dir

ROOT = Path(__file__).parents[1]
ASKERS = ("af_bella", "af_sarah", "af_nicole")
QUESTIONS = (
    "What is the capital of France?",
    "How many legs does a spider have?",
    "What color is the sky?",
    "Can you tell me a short joke?",
    "Who wrote Romeo and Juliet?",
    "What do bees make?",
    "How do I boil an egg?",
    "What is the largest ocean?",
    "Why is the grass green?",
    "What should I cook tonight?",
    "How far away is the moon?",
    "What is your favorite animal?",
    "Where do penguins live?",
    "What is two plus two?",
    "How can I sleep better?",
    "What is a good name for a cat?",
    "When does summer begin?",
    "What is the fastest animal?",
    "Do fish ever sleep?",
    "What is snow made of?",
)
STAGES = ("silence", "transcript", "first_token", "first_phrase", "first_audio", "hold")
WARM_UP = 2
SESSION = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}}}
"""As the page asks for it with an English voice."""


def main() -> None:
    args = parse()
    questions = asyncio.run(spoken(QUESTIONS[: args.turns]))
    with serving() as (process, url, ready_s):
        before = metrics(url)
        turns = uvloop.run(converse(url, questions))
        after = metrics(url)
        rss_mb = process.memory_info().rss / 2**20
        per_session_mb = uvloop.run(memory_per_session(url, process, questions[0]))
    result = {
        "command": " ".join(["python -m benchmarks.first_conversation", *sys.argv[1:]]),
        "commit": git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else ""),
        "machine": machine(),
        "warm_start_s": round(ready_s, 2),
        "turns": len(turns.turns),
        "v2v_ms": spread([t.v2v_ms for t in turns.turns if t.v2v_ms is not None]),
        "no_answer": sum(t.v2v_ms is None for t in turns.turns),
        "cut_ins": sum(t.cut_ins for t in turns.turns),
        "underruns": sum(t.underruns for t in turns.turns),
        "stages_ms": {s: spread([t.trace["stages_ms"].get(s, 0.0) for t in turns.turns if t.trace]) for s in STAGES},
        "endpoint_ms": spread([t.trace["endpoint_ms"] for t in turns.turns if t.trace]),
        "outside_server_ms": spread([t.v2v_ms - t.trace["total_ms"] for t in turns.turns if t.v2v_ms and t.trace]),
        "ingest_cpu_ms_per_20ms": round(20 * ratio(before, after, "ingest_cpu", "ingest_audio"), 3),
        "server_cpu_s_per_minute": round(turns.cpu_s / turns.wall_s * 60, 1),
        "worst_loop_lag_ms": round(1000 * turns.worst_lag_s, 1),
        "rss_mb": round(rss_mb),
        "rss_mb_per_session": round(per_session_mb, 2),
        "send_lateness_p99_ms": turns.lateness_p99_ms,
        "detail": [
            {"heard": t.heard, "said": t.said, "v2v_ms": t.v2v_ms, "stages_ms": t.trace and t.trace["stages_ms"]}
            for t in turns.turns
        ],
    }
    args.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "detail"}, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=len(QUESTIONS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "first_conversation.json")
    return parser.parse_args()


async def spoken(texts: tuple[str, ...]) -> list[Clip]:
    """Each question in a voice of `ASKERS`; speech is where it is audible."""
    folder = default_weights_dir()
    kokoro = Kokoro(folder / "kokoro-v1.0-int8.onnx", folder / "voices", threads=2)
    await kokoro.start()
    questions = []
    for i, text in enumerate(texts):
        voice = ASKERS[i % len(ASKERS)]
        samples = np.concatenate([c.samples async for c in kokoro.speak(text, voice=voice, speed=1.0)])
        onset = (first_audible_sample(samples, SPEAK_RATE_HZ) or 0) / SPEAK_RATE_HZ
        end = (last_audible_sample(samples, SPEAK_RATE_HZ) or len(samples)) / SPEAK_RATE_HZ
        questions.append(Clip(f"first/{i}", "turn", text, "en", samples, SPEAK_RATE_HZ, onset, end))
    await kokoro.aclose()
    return questions


@contextmanager
def serving() -> Iterator[tuple[psutil.Process, str, float]]:
    """The server as a user starts it; seconds until it printed its URL."""
    began = time.monotonic()
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--port", "0", "--log-level", "warning"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            sys.exit("the server did not start")
        yield psutil.Process(server.pid), url, time.monotonic() - began
    finally:
        server.terminate()
        server.wait(30)


class Conversation:
    def __init__(self) -> None:
        self.turns: list[TurnFigures] = []
        self.cpu_s = self.wall_s = self.worst_lag_s = self.lateness_p99_ms = 0.0


async def converse(url: str, questions: list[Clip]) -> Conversation:
    result = Conversation()
    async with call(realtime(url, session=SESSION)) as caller:
        for question in questions[:WARM_UP]:
            await caller.say(question)
        began, cpu = time.monotonic(), cpu_s()
        for question in questions:
            await caller.idle(0.5)
            await caller.say(question)
            result.worst_lag_s = max(result.worst_lag_s, (await asyncio.to_thread(metrics, url))["event_loop_lag"])
        result.wall_s, result.cpu_s = time.monotonic() - began, cpu_s() - cpu
        record = caller.record()
    result.lateness_p99_ms = round(float(np.percentile(record.lateness_ms, 99)), 2)
    result.turns = list(score.turns(record)[WARM_UP:])
    for turn in result.turns:
        print(f"{turn.v2v_ms or float('nan'):7.0f} ms  {turn.heard!r} -> {turn.said!r}", file=sys.stderr)
    return result


def cpu_s() -> float:
    """Of the children (the server), so far."""
    return float(sum(sum(p.cpu_times()[:2]) for p in psutil.Process().children()))


async def memory_per_session(url: str, process: psutil.Process, question: Clip, sessions: int = 5) -> float:
    """Resident memory of sessions that stay open after one turn each."""
    before = process.memory_info().rss
    async with AsyncExitStack() as stack:
        for _ in range(sessions):
            caller = await stack.enter_async_context(call(realtime(url, session=SESSION)))
            await caller.say(question)
        return float(process.memory_info().rss - before) / 2**20 / sessions


def metrics(url: str) -> dict[str, float]:
    text = urllib.request.urlopen(f"{url}/metrics").read().decode()
    pattern = r"^voxtral_voice_(event_loop_lag|ingest_cpu|ingest_audio)_seconds(?:_total)? (\S+)$"
    return {name: float(value) for name, value in re.findall(pattern, text, re.M)}


def ratio(before: dict[str, float], after: dict[str, float], top: str, bottom: str) -> float:
    return (after[top] - before[top]) / (after[bottom] - before[bottom])


def spread(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, (50, 95))
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "mean": round(statistics.mean(values), 1)}


def machine() -> dict[str, object]:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min_at_end": round(os.getloadavg()[0], 1),
    }


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
