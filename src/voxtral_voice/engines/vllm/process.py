"""A vLLM of our own: started as a child process, watched, started again when it fails, and never left behind.

Knows: one command, its port, its health, its life. Does not know: what it serves, or who asks it.

    start() -> guard, and below it the command -> /health answers -> warm-up -> up -> down -> again -> aclose()

The command runs below a small guard process (`guard.py`), so that nothing of it outlives us, whichever of the three is
killed and how: the guard ends it when we are gone, and we what a killed guard leaves behind (`leftovers`). Only when we
and the guard are killed in the same moment nobody is there to do it.
All the watching is done by an event loop of its own on a thread of its own: a busy server does not take vLLM for hung,
and a vLLM that prints without end does not hold up the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVarTuple

import aiohttp

from voxtral_voice.engines.base import Engine
from voxtral_voice.engines.vllm.environment import cleaned
from voxtral_voice.engines.vllm.leftovers import Leftovers
from voxtral_voice.engines.vllm.output import Output
from voxtral_voice.errors import EngineError

Ts = TypeVarTuple("Ts")

log = logging.getLogger(__name__)

GUARD: Final = Path(__file__).with_name("guard.py")
LOOPBACK: Final = "127.0.0.1"
READ_BYTES: Final = 65536
READ_BYTES_PER_S: Final = 1_000_000
"""vLLM prints a thousandth of it; a child that prints more is held up, not us."""
LAST_WORDS_S: Final = 2.0
"""From the end of a child to the end of what it has printed."""
GUARD_S: Final = 15.0
"""Beyond the grace, until the guard has ended all; then it is taken to be stopped itself, and is killed."""
KILL_NOW: Final = b"k"


@dataclass(frozen=True, slots=True)
class Limits:
    start_s: float = 900.0
    """Until `/health` answers: weights from a slow disk, compilation, CUDA graphs."""
    warm_up_s: float = 180.0
    """The first request may compile once more."""
    doubt_s: float = 20.0
    """For a request of one that was warm and is doubted: longer than anybody waits for a turn, others before it too."""
    poll_s: float = 1.0
    """Between two looks at `/health`."""
    answer_s: float = 5.0
    """For one answer of `/health`."""
    hung_s: float = 20.0
    """`/health` has not answered for so long: it hangs, and is killed."""
    grace_s: float = 15.0
    """From SIGTERM to SIGKILL."""
    backoff_s: float = 1.0
    """Before the first new start; doubled with every one that follows, ..."""
    most_backoff_s: float = 60.0
    """... up to this."""
    steady_s: float = 120.0
    """It lived for so long: the next new start waits `backoff_s` again."""


WarmUp = Callable[[], Awaitable[None]]
"""One real request to the child's `url`. Raises EngineError. Runs in another event loop than the caller's."""


def starting(make: Callable[[], Engine]) -> WarmUp:
    """The request that an engine makes at its start, by one that is made for it."""

    async def warm_up() -> None:
        engine = make()
        try:
            await engine.start()
        finally:
            await engine.aclose()

    return warm_up


class VllmProcess:
    """command: without host and port. log_prefix: what it is called, in the log and in errors. environment: added to
    ours, from which all keys are taken. warm_up: is awaited before each time it counts as up. on_change: is told
    `failing` when that changes, in the event loop that awaited `start`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_prefix: str,
        environment: Mapping[str, str] | None = None,
        warm_up: WarmUp | None = None,
        on_change: Callable[[str | None], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._held = _hold_a_port()
        weakref.finalize(self, self._held.close)  # of one that is never started, nor closed
        self._port = int(self._held.getsockname()[1])
        self._command = (*command, "--host", LOOPBACK, "--port", str(self._port))
        self._name = log_prefix
        self._environment = {**cleaned(os.environ), **(environment or {})}
        self._warm_up = warm_up
        self._on_change = on_change
        self._limits = limits or Limits()
        self._failing: str | None = f"{log_prefix} is not running"
        self._was_up = False
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._doubted = asyncio.Event()
        self._settle: Callable[[EngineError | None], None] = _ignore
        self._change: Callable[[str | None], None] = _ignore

    @property
    def name(self) -> str:
        return f"{self._name} at {self.url}"

    @property
    def url(self) -> str:
        """Known before it runs, and the same after each new start."""
        return f"http://{LOOPBACK}:{self._port}/v1"

    @property
    def failing(self) -> str | None:
        """Why it cannot be asked just now; None: it can."""
        return self._failing

    async def start(self) -> None:
        """Returns when it is up and warm. Raises EngineError when its first start fails; it is not tried again then.
        Once it was up, it is started again whenever it fails, until `aclose`."""
        if self._thread is not None:
            raise EngineError(self._name, f"{self._name} has been started before.")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[EngineError | None] = loop.create_future()
        self._settle = lambda error: _call_in(loop, _settle, outcome, error)
        if (told := self._on_change) is not None:
            self._change = lambda failing: _call_in(loop, told, failing)
        self._thread = threading.Thread(target=self._run, name=f"watch {self._name}", daemon=True)
        self._thread.start()
        is_up = False
        try:
            error = await outcome
            if error is not None:
                raise error
            is_up = True
        finally:
            if not is_up:
                await self.aclose()

    def suspect(self) -> None:
        """Somebody waited for an answer in vain, though `/health` may be fine: the warm-up request is made now, and
        the child is started again when that fails. From any thread; does nothing without a warm-up."""
        if self._loop is not None:
            _call_in(self._loop, self._doubted.set)

    async def aclose(self) -> None:
        """SIGTERM, and after the grace SIGKILL, for all of it; the port is free afterwards. Safe to call twice."""
        self._change = _ignore
        if not self._stopping.is_set():
            self._stopping.set()
            if self._loop is not None and self._work is not None:
                _call_in(self._loop, self._work.cancel)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._held.close()

    # --- on the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._supervise())
        finally:
            self._tell(f"{self._name} is not running")
            self._settle(EngineError(self._name, f"{self._name} was stopped before it was up."))

    async def _supervise(self) -> None:
        """Until it is cancelled, or the first start fails."""
        self._work = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        wait_s = self._limits.backoff_s
        while not self._stopping.is_set():
            began = time.monotonic()
            why = await self._live()
            if not self._was_up:
                self._settle(EngineError(self._name, f"{why}."))
                return
            if time.monotonic() - began >= self._limits.steady_s:
                wait_s = self._limits.backoff_s
            self._tell(f"{why}; it is started again")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._limits.most_backoff_s)

    async def _live(self) -> str:
        """One child, from start to end. Returns why it ended, or had to be ended."""
        try:
            async with _running(self._command, self._environment, self._name, self._limits.grace_s) as child:
                fields = {"child": self._name, "port": self._port, "pid": child.pid}
                log.info("child_started", extra={"fields": fields})
                return f"{self._name} {await self._until_of_no_use(child)}"
        except OSError as error:
            return f"{self._name} cannot be started ({error.strerror})"

    async def _until_of_no_use(self, child: _Child) -> str:
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(child.until_it_ends())
            watching = group.create_task(self._until_down(child))
            done, _ = await asyncio.wait((ending, watching), return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            watching.cancel()
        cause = child.output.cause()
        if ending in done:
            return ending.result() + (f": {cause}" if cause else "")
        child.hangs = True
        return watching.result() + (f"; it last said: {cause}" if cause else "")

    async def _until_down(self, child: _Child) -> str:
        """Returns why it is of no use any longer."""
        limits = self._limits
        timeout, connector = aiohttp.ClientTimeout(total=limits.answer_s), aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
            if not await self._answers_within(client, child, limits.start_s):
                return f"did not answer within {limits.start_s:g} s of its start"
            if why := await self._fails_at_work(limits.warm_up_s):
                return why
            self._was_up = True
            self._doubted.clear()
            self._tell(None)
            self._settle(None)
            return await self._until_it_hangs(client, child)

    async def _answers_within(self, client: aiohttp.ClientSession, child: _Child, limit_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not await self._is_healthy(client, child):  # noqa: ASYNC110 - HTTP has no event for it
                    await asyncio.sleep(self._limits.poll_s)
                return True
        return False

    async def _until_it_hangs(self, client: aiohttp.ClientSession, child: _Child) -> str:
        answered = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.poll_s):
                    await self._doubted.wait()
            if self._doubted.is_set():
                self._doubted.clear()
                if why := await self._fails_at_work(self._limits.doubt_s):
                    return why
            if await self._is_healthy(client, child):
                answered = time.monotonic()
            elif time.monotonic() - answered >= self._limits.hung_s:
                return f"has not answered for {self._limits.hung_s:g} s"

    async def _is_healthy(self, client: aiohttp.ClientSession, child: _Child) -> bool:
        try:
            async with client.get(f"http://{LOOPBACK}:{self._port}/health") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        finally:
            child.left.note()

    async def _fails_at_work(self, limit_s: float) -> str:
        """Why; "" when it does not."""
        try:
            async with asyncio.timeout(limit_s):
                if self._warm_up is not None:
                    await self._warm_up()
        except TimeoutError:
            return f"did not answer a real request within {limit_s:g} s"
        except EngineError as error:
            return f"failed at a real request ({str(error).rstrip('.')})"
        return ""

    def _tell(self, failing: str | None) -> None:
        if failing == self._failing:
            return
        self._failing = failing
        fields = {"child": self._name} | ({"reason": failing} if failing else {})
        if not self._stopping.is_set():
            level, event = (logging.INFO, "child_up") if failing is None else (logging.ERROR, "child_down")
            log.log(level, event, extra={"fields": fields})
        self._change(failing)


# --- one child --------------------------------------------------------------------------------------------------


class _Child:
    def __init__(self, guard: subprocess.Popen[bytes], output: Output, reading: asyncio.Task[None]) -> None:
        self.output = output
        self.hangs = False
        """It is not asked to end, but killed."""
        self.left = Leftovers(guard.pid)
        self._guard = guard
        self._reading = reading
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        # a daemon, and none of an executor's threads, for which Python waits when it exits
        threading.Thread(target=self._wait, args=(loop,), name=f"wait for {guard.pid}", daemon=True).start()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            os.waitid(os.P_PID, self._guard.pid, os.WEXITED | os.WNOWAIT)
        self.left.kill()  # finds something when the guard was killed itself, and has not done its work
        self._guard.wait()
        _call_in(loop, self._ended.set)

    @property
    def pid(self) -> int:
        """Of the guard, and of the process group."""
        return self._guard.pid

    async def until_it_ends(self) -> str:
        """Returns how. All that it printed is in `output` then."""
        await self._ended.wait()
        await self._read_to_the_end()
        return f"ended ({_said(self._guard.returncode)})"

    async def end(self, grace_s: float) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            if self.hangs:
                self._guard.stdin.write(KILL_NOW)
            self._guard.stdin.close()
        try:
            async with asyncio.timeout(grace_s + GUARD_S):
                await self._ended.wait()
        except TimeoutError:
            self._guard.kill()
            await self._ended.wait()
        await self._read_to_the_end()

    async def _read_to_the_end(self) -> None:
        await asyncio.wait([self._reading], timeout=LAST_WORDS_S)


@asynccontextmanager
async def _running(
    command: Sequence[str], environment: Mapping[str, str], name: str, grace_s: float
) -> AsyncIterator[_Child]:
    """The command below a guard; ended with the block."""
    output = Output(name, time.monotonic)
    guard = _guarded(command, environment, grace_s)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(guard, output))
        child = _Child(guard, output, reading)
        try:
            yield child
        finally:
            await child.end(grace_s)
            reading.cancel()


def _guarded(command: Sequence[str], environment: Mapping[str, str], grace_s: float) -> subprocess.Popen[bytes]:
    """Raises OSError."""
    return subprocess.Popen(
        (sys.executable, "-I", str(GUARD), str(grace_s), str(os.getpid()), *command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
        bufsize=0,
    )


async def _read(guard: subprocess.Popen[bytes], output: Output) -> None:
    """All that is printed, to its end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), guard.stdout
    )
    try:
        while data := await reader.read(READ_BYTES):
            output.feed(data)
            await asyncio.sleep(len(data) / READ_BYTES_PER_S)
    finally:
        output.end()
        transport.close()


def _said(status: int) -> str:
    """How a guard's exit status is said."""
    if status < 0:
        return f"its guard was killed by {signal.Signals(-status).name}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(status - 128).name}"
    return f"exit status {status}"


def _hold_a_port() -> socket.socket:
    """Bound, and never listening: nobody else is given this port, also while the child is down. The child may bind it,
    because it says SO_REUSEADDR, as vLLM does, or SO_REUSEPORT, as vLLM does with several API servers."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.bind((LOOPBACK, 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return held


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[*Ts], object], *arguments: *Ts) -> None:
    """Or nothing, when the loop is closed: nobody is there to be told."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def _settle(future: asyncio.Future[EngineError | None], outcome: EngineError | None) -> None:
    """The first call counts."""
    if not future.done():
        future.set_result(outcome)


def _ignore(_: object) -> None: ...
