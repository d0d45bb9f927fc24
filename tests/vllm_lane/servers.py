"""A real vLLM on CPU, below the project's own supervisor, with a tiny checkpoint.

Knows: its command, its metrics, which of our processes are its own. Does not know: what it is asked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.vllm_lane import checkpoints
from voxtral_voice.engines.base import Engine
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import launch
from voxtral_voice.engines.vllm.launch import Serve
from voxtral_voice.engines.vllm.process import Limits, VllmProcess, starting
from voxtral_voice.engines.vllm.realtime import VllmRealtime
from voxtral_voice.engines.vllm.transcription import VllmTranscriber
from voxtral_voice.engines.voxtral.random_weights import Kind

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = ROOT / ".venv-vllm" / "bin" / "vllm"
"""Made by scripts/install_vllm_cpu."""
DELAY_MS: Final = 240
"""Of Realtime; not the one that its checkpoint comes with."""
MAX_MODEL_LEN: Final[dict[Kind, int]] = {"mini": 2048, "realtime": 512}
"""mini: 375 tokens for every 30 s of sound, and more to answer. realtime: 41 s, so that a long turn is longer."""
MAX_REQUESTS: Final = 4
"""That vLLM works on at once: a fifth has to wait."""
LIMITS: Final = Limits(start_s=400.0, hung_s=12.0, backoff_s=0.1)
LONG_S: Final = 400.0
"""Until a wait for what has to happen is given up: a start takes 30 to 90 s of two cores."""

ENVIRONMENT: Final = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
EXTRA: Final[dict[Kind, tuple[str, ...]]] = {
    # Without this a random model, bound to write a call, may write blanks for ever.
    "mini": ("--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}'),
    "realtime": (),
}


def launched(folder: Path, kind: Kind) -> Serve:
    """As the project launches vLLM, and what a CPU and random weights need besides. folder: of the checkpoint in
    Mistral's layout."""
    extra = (*("--dtype", "float32", "--enforce-eager", "--skip-mm-profiling"), *EXTRA[kind])
    most = MAX_MODEL_LEN[kind]
    if kind == "mini":
        return launch.mini(
            COMMAND, folder, device="cpu", max_tokens=most, memory_share=0.5, sessions=MAX_REQUESTS, extra=extra
        )
    tokenizer = launch.with_delay(folder, DELAY_MS, folder.parent / "tokenizer")
    return launch.realtime(
        COMMAND,
        folder,
        device="cpu",
        max_tokens=most,
        memory_share=0.5,
        tokenizer=tokenizer,
        sessions=MAX_REQUESTS,
        extra=extra,
    )


def supervised(serve: Serve, kind: Kind) -> VllmProcess:
    """Not yet started."""

    def hearing() -> Engine:
        remote = Remote(process.url, serve.model)
        return VllmTranscriber(remote) if kind == "mini" else VllmRealtime(remote, DELAY_MS)

    environment = {**ENVIRONMENT, **serve.environment}
    process = VllmProcess(
        serve.argv, log_prefix=f"vllm {kind}", environment=environment, warm_up=starting(hearing), limits=LIMITS
    )
    return process


@dataclass(frozen=True, slots=True)
class Served:
    process: VllmProcess
    model: str
    """Its name in requests."""
    checkpoint: Path
    """The same weights in transformers' layout."""

    @property
    def remote(self) -> Remote:
        return Remote(self.process.url, self.model)

    @property
    def port(self) -> int:
        return int(httpx.URL(self.process.url).port or 0)

    async def metric(self, name: str) -> float:
        """Of `/metrics`, all labels together. Raises KeyError when there is none of that name."""
        async with httpx.AsyncClient() as client:
            lines = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text.splitlines()
        values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        if not values:
            raise KeyError(name)
        return sum(values)

    async def until_idle(self) -> None:
        """No request is under way: none runs, none waits, and none keeps memory."""
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
        async with asyncio.timeout(LONG_S):
            while any([await self.metric(name) for name in names]):  # noqa: ASYNC110 - it happens in vLLM
                await asyncio.sleep(0.05)

    def api_server(self) -> psutil.Process:
        """The process that listens."""
        return next(
            process
            for process in psutil.Process().children(recursive=True)
            if _words(process)[-1:] == [str(self.port)] and str(COMMAND) in _words(process)[:2]
        )

    def engine_core(self) -> psutil.Process:
        """The one that schedules, below which the model runs."""
        return next(process for process in self.api_server().children() if "EngineCor" in process.name())

    def all(self) -> list[psutil.Process]:
        """All that vLLM itself consists of."""
        listening = self.api_server()
        return [listening, *listening.children(recursive=True)]


def _words(process: psutil.Process) -> list[str]:
    try:
        words: list[str] = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
    return words


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not happened():  # noqa: ASYNC110 - it happens in other processes
            await asyncio.sleep(0.05)


def made(folder: Path, kind: Kind) -> Served:
    """A checkpoint in `folder`, and the process that is to serve it, not yet started."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    serve = launched(checkpoints.write(folder, kind), kind)
    checkpoint = folder / "transformers"
    if kind == "realtime":
        launch.with_delay(checkpoint, DELAY_MS, checkpoint)
    return Served(supervised(serve, kind), serve.model, checkpoint)
