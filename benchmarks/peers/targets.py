"""The servers that are measured side by side: what each is, how it is started, and when it can be called.

Knows: processes, ports, the environments. Does not know: what is said to a server, or measured of it.

    async with running(TARGETS["pipecat"], urls, "matched", silence_ms=500, sessions=8, cpus={1}) as target:
        ...  # target.url, target.pid, target.driver, target.version, target.text
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final, Literal

import httpx

from benchmarks.peers import ours
from benchmarks.peers.environments import FOLDER, HERE, ROOT, made, package_of, version
from benchmarks.peers.ours import Settings
from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.stub.serve import Urls
from voxtral_voice.errors import BenchError

READY_S: Final = 180.0
"""speech-to-speech loads 20 s of models on an idle machine."""
LOADING: Final = 503
POLL_S: Final = 0.1
STOP_S: Final = 15.0
SILENCE_MS: Final = 500

Wire = Literal["realtime", "raw"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a server is started with."""

    port: int
    urls: Urls
    settings: Settings
    silence_ms: int
    sessions: int
    """The most that will call at the same time."""


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    driver: Wire
    path: str
    argv: Callable[[Start], list[str]]
    version: Callable[[], str]
    """Raises BenchError when its environment is not made."""
    texts: Mapping[Settings, str]
    """The settings in words; {silence_ms} is filled in."""
    endpoint: Callable[[Settings, int], str] = lambda *_: DEFAULT
    """What a caller asks for, as the bench writes it, given the silence in ms."""


@dataclass(frozen=True, slots=True)
class RunningTarget:
    name: str
    url: str
    pid: int
    driver: Wire
    version: str
    settings: Settings
    text: str
    argv: tuple[str, ...]
    ready_s: float
    """From the start of the process until it answered."""
    endpoint: str


@asynccontextmanager
async def running(
    target: Target,
    urls: Urls,
    settings: Settings = "shipped",
    *,
    silence_ms: int = SILENCE_MS,
    sessions: int = 8,
    cpus: set[int] | None = None,
) -> AsyncIterator[RunningTarget]:
    """cpus: the cores that it may use. Its output goes to build/peers/NAME.log. Raises BenchError when it does not
    start."""
    start = Start(_free_port(), urls, settings, silence_ms, sessions)
    argv, at = target.argv(start), target.version()
    log = FOLDER / f"{target.name}.log"
    began = time.monotonic()
    process = await _spawn(argv, log, cpus)
    try:
        await _answers(process, start.port, target.name, log)
        yield RunningTarget(
            name=target.name,
            url=f"ws://127.0.0.1:{start.port}{target.path}",
            pid=process.pid,
            driver=target.driver,
            version=at,
            settings=settings,
            text=target.texts[settings].format(silence_ms=silence_ms),
            argv=tuple(_portable(part) for part in argv),
            ready_s=round(time.monotonic() - began, 2),
            endpoint=target.endpoint(settings, silence_ms),
        )
    finally:
        await _stop(process)


async def _spawn(argv: list[str], log: Path, cpus: set[int] | None) -> asyncio.subprocess.Process:
    """In a process group of its own, so that Ctrl-C reaches the bench alone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT, env=env, start_new_session=True
        )
    if cpus is not None:
        os.sched_setaffinity(process.pid, cpus)
    return process


async def _answers(process: asyncio.subprocess.Process, port: int, name: str, log: Path) -> None:
    """Until HTTP is answered, with whatever status but 503, by which ours says that it loads: a port may be open before
    the engines are ready."""
    ends_at = time.monotonic() + READY_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < ends_at:
            if process.returncode is not None:
                raise BenchError(f"{name} ended while it started (its last words: {_last_line(log)}).")
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}/")).status_code != LOADING:
                    return
            await asyncio.sleep(POLL_S)
    raise BenchError(f"{name} did not answer within {READY_S:g} s of its start (its last words: {_last_line(log)}).")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _portable(part: str) -> str:
    """Without the folders of this machine."""
    within = part.removeprefix(f"{ROOT}/")
    return Path(within).name if Path(within).is_absolute() else within


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "none"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the targets ------------------------------------------------------------------------------------------------


def _our_argv(start: Start) -> list[str]:
    return ours.argv(start.port, start.urls, start.settings)


def _our_patient_argv(start: Start) -> list[str]:
    """Begins nothing before the turn is over: what is left of V2V then is the server's own work."""
    return [*_our_argv(start), "--turns-tentative-silence-ms", str(start.silence_ms)]


def _peer(name: str, script: str, driver: Wire, path: str, texts: Mapping[Settings, str]) -> Target:
    def argv(start: Start) -> list[str]:
        return [
            *(str(made(name)), str(HERE / script), "--port", str(start.port)),
            *("--transcriber-url", start.urls.transcription),
            *("--responder-url", start.urls.chat),
            *("--speaker-url", start.urls.speech),
            *("--settings", start.settings, "--silence-ms", str(start.silence_ms)),
            *(("--sessions", str(start.sessions)) if name == "s2s" else ()),
        ]

    return Target(name, driver, path, argv, lambda: version(made(name), package_of(name)), texts)


_ALL: Final = (
    Target(
        "ours",
        "realtime",
        "/v1/realtime",
        _our_argv,
        lambda: installed_version("voxtral-voice"),
        {
            "shipped": "Silero VAD; the answer and its speech are begun during the silence; Smart Turn v3.2 moves the "
            "endpoint; clauses are spoken at once; partial transcripts",
            "matched": "Silero VAD, {silence_ms} ms of silence; no turn model, no partial transcripts",
        },
        ours.endpoint,
    ),
    Target(
        "ours-patient",
        "realtime",
        "/v1/realtime",
        _our_patient_argv,
        lambda: installed_version("voxtral-voice"),
        {
            "shipped": "as ours, but nothing is begun before {silence_ms} ms of silence",
            "matched": "as ours, but nothing is begun before {silence_ms} ms of silence, when the turn ends",
        },
        ours.endpoint,
    ),
    _peer(
        "pipecat",
        "pipecat_bot.py",
        "raw",
        "/ws",
        {
            "shipped": "Silero VAD, 200 ms of silence, then Smart Turn v3.2 (at most 3 s more); speech is fetched "
            "500 ms at a time; sentences are spoken at once; speech interrupts after 200 ms of it",
            "matched": "Silero VAD, 200 ms of silence, and {silence_ms} ms in all before the turn ends (transcribed "
            "meanwhile); no turn model; speech is passed on every 40 ms",
        },
    ),
    _peer(
        "s2s",
        "s2s_server.py",
        "realtime",
        "/v1/realtime",
        {
            "shipped": "Silero VAD, 64 ms of silence; the answer's text is begun then and held for 800 ms, or 2 s "
            "when Smart Turn v3.2 hears no end; three sentences are spoken at a time; partial transcripts every "
            "500 ms; speech interrupts after 384 ms of it",
            "matched": "Silero VAD, 64 ms of silence; the answer's text is begun then and held until {silence_ms} ms "
            "of silence; no turn model, no partial transcripts; sentences are spoken at once",
        },
    ),
    _peer(
        "livekit",
        "livekit_bot.py",
        "raw",
        "/ws",
        {
            "shipped": "Silero VAD, 250 ms of silence, then LiveKit's turn detector v1-mini (endpoint at 300 ms or 2.5 "
            "s); answers are begun before the endpoint; sentences are spoken at once; speech interrupts after 500 ms "
            "of it, not in the first 3 s that a session's agent speaks; a false interruption is taken back",
            "matched": "Silero VAD, 250 ms of silence, and {silence_ms} ms in all before the turn ends; no turn "
            "model; answers and speech are begun before the endpoint; speech interrupts from the start",
        },
    ),
)
TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in _ALL}
