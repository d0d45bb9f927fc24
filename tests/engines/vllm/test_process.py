from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import psutil
import pytest

from voxtral_voice.engines.fakes import FakeTranscriber
from voxtral_voice.engines.vllm import process as process_module
from voxtral_voice.engines.vllm.process import Limits, VllmProcess, WarmUp, starting
from voxtral_voice.errors import EngineError

STAND_IN: Final = Path(__file__).with_name("stand_in.py")
QUICK: Final = Limits(poll_s=0.02, backoff_s=0.01, most_backoff_s=0.05)
LONG_S: Final = 60.0
"""Until a wait for what has to happen is given up."""


def command(*flags: str) -> list[str]:
    return [sys.executable, "-I", str(STAND_IN), *flags]


class Told:
    """What `on_change` was told, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[str | None] = []

    def __call__(self, failing: str | None) -> None:
        self.all.append(failing)

    async def until(self, number: int) -> None:
        await until(lambda: len(self.all) >= number)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not happened():  # noqa: ASYNC110 - it happens in other threads and processes
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    *flags: str, limits: Limits = QUICK, told: Told | None = None, warm_up: WarmUp | None = None
) -> AsyncIterator[VllmProcess]:
    process = VllmProcess(command(*flags), log_prefix="vllm", on_change=told, warm_up=warm_up, limits=limits)
    try:
        await process.start()
        yield process
    finally:
        await process.aclose()


@pytest.fixture
def pids(tmp_path: Path) -> Callable[[], list[list[int]]]:
    """Of each start so far: the stand-in, its child in a session of its own, and its child in its own session."""
    return lambda: [[int(pid) for pid in line.split()] for line in (tmp_path / "pids").read_text().splitlines()]


def flag(tmp_path: Path) -> str:
    return f"--pids={tmp_path / 'pids'}"


def lives(pid: int) -> bool:
    try:
        status: str = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    return status != "zombie"


def can_connect(process: VllmProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port_of(process))) == 0


def port_of(process: VllmProcess) -> int:
    return int(process.url.split(":")[2].split("/")[0])


Pids = Callable[[], list[list[int]]]


# --- from start to stop -----------------------------------------------------------------------------------------


async def test_it_is_up_when_it_has_started_and_gone_when_it_is_closed(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    async with running(flag(tmp_path), told=told) as process:
        assert process.failing is None
        assert process.name == f"vllm at {process.url}"
        assert can_connect(process)
        (started,) = pids()
        assert len(started) == 3
        assert all(lives(pid) for pid in started)
    assert process.failing == "vllm is not running"
    assert told.all == [None]
    assert not any(lives(pid) for pid in started)
    await process.aclose()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port_of(process)))
        probe.listen()


async def test_nobody_else_is_given_its_port_while_it_is_down() -> None:
    process = VllmProcess(command(), log_prefix="vllm")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port_of(process)))
    await process.aclose()


def test_one_that_is_never_used_gives_its_port_back() -> None:
    process = VllmProcess(command(), log_prefix="vllm")
    port = port_of(process)
    del process
    gc.collect()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


async def test_it_starts_once() -> None:
    async with running() as process:
        with pytest.raises(EngineError, match="has been started before"):
            await process.start()


async def test_it_sees_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_VOICE_RESPONDER_API_KEY", "secret-1")
    monkeypatch.setenv("HF_TOKEN", "secret-2")
    monkeypatch.setenv("VLLM_LOG_STATS_INTERVAL", "60")
    process = VllmProcess(
        command(f"--environment={tmp_path / 'seen'}"), log_prefix="vllm", environment={"CUDA_VISIBLE_DEVICES": "1"}
    )
    await process.start()
    await process.aclose()
    seen = (tmp_path / "seen").read_text()
    assert "secret" not in seen
    assert {"VLLM_LOG_STATS_INTERVAL=60", "CUDA_VISIBLE_DEVICES=1", "HF_HUB_OFFLINE=1"} <= set(seen.splitlines())


# --- a first start that fails -----------------------------------------------------------------------------------


async def test_one_that_fails_at_once_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        async with running(flag(tmp_path), "--say=INFO 11-22 loading", "--fail=(Core) ERROR ValueError: no memory."):
            pass
    assert str(raised.value) == "vllm ended (exit status 1): ValueError: no memory."
    assert len((tmp_path / "pids").read_text().splitlines()) == 1  # not tried again


async def test_a_command_that_is_none() -> None:
    process = VllmProcess(["/nowhere/vllm"], log_prefix="vllm", limits=QUICK)
    with pytest.raises(EngineError) as raised:
        await process.start()
    assert str(raised.value) == (
        "vllm ended (exit status 127): /nowhere/vllm cannot be run: No such file or directory."
    )


async def test_a_guard_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    process = VllmProcess(["vllm"], log_prefix="vllm", limits=QUICK)
    with pytest.raises(EngineError, match=r"^vllm cannot be started \(No such file or directory\)\.$"):
        await process.start()


async def test_one_that_never_becomes_healthy_is_killed(tmp_path: Path, pids: Pids) -> None:
    limits = Limits(start_s=1, poll_s=0.02)
    with pytest.raises(EngineError) as raised:
        async with running(flag(tmp_path), "--never-healthy", "--say=INFO still loading", limits=limits):
            pass
    assert str(raised.value) == "vllm did not answer within 1 s of its start; it last said: INFO still loading."
    assert not any(lives(pid) for pid in pids()[0])


async def test_an_answer_that_is_no_good_is_none(tmp_path: Path) -> None:
    (tmp_path / "ill").touch()
    with pytest.raises(EngineError, match=r"did not answer within 0\.5 s"):
        async with running(f"--ill={tmp_path / 'ill'}", limits=Limits(start_s=0.5, poll_s=0.02)):
            pass


async def test_one_whose_first_request_fails(tmp_path: Path, pids: Pids) -> None:
    async def refuse() -> None:
        raise EngineError("vllm", "It says nonsense.")

    with pytest.raises(EngineError, match=r"^vllm failed at a real request \(It says nonsense\)\.$"):
        async with running(flag(tmp_path), warm_up=refuse):
            pass
    assert not any(lives(pid) for pid in pids()[0])


async def test_one_whose_first_request_is_never_answered() -> None:
    limits = Limits(warm_up_s=0.1, poll_s=0.02)
    with pytest.raises(EngineError, match=r"^vllm did not answer a real request within 0\.1 s\.$"):
        async with running(warm_up=asyncio.Event().wait, limits=limits):  # type: ignore[arg-type]
            pass


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, pids: Pids) -> None:
    process = VllmProcess(command(flag(tmp_path), "--never-healthy"), log_prefix="vllm", limits=QUICK)
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(process.start())
        await until((tmp_path / "pids").exists)
        starting.cancel()
    assert not any(lives(pid) for pid in pids()[0])


async def test_a_start_that_is_closed_at_once() -> None:
    process = VllmProcess(command(), log_prefix="vllm", limits=QUICK)
    outcome, _ = await asyncio.gather(process.start(), process.aclose(), return_exceptions=True)
    assert str(outcome) == "vllm was stopped before it was up."


# --- it goes down, and up again ---------------------------------------------------------------------------------


async def test_killed_it_is_started_again_at_the_same_url(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    async with running(flag(tmp_path), told=told) as process:
        url, (server, *children) = process.url, pids()[0]
        os.kill(server, signal.SIGKILL)
        await told.until(3)
        assert told.all == [None, "vllm ended (killed by SIGKILL); it is started again", None]
        assert process.failing is None
        assert process.url == url
        assert can_connect(process)
        assert not any(lives(child) for child in children)  # orphans of the one that was killed
        assert len(pids()) == 2


async def test_stopped_it_is_taken_to_hang_and_killed(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    limits = Limits(poll_s=0.02, answer_s=0.1, hung_s=0.5, backoff_s=0.01)
    async with running(flag(tmp_path), told=told, limits=limits):
        server = pids()[0][0]
        os.kill(server, signal.SIGSTOP)
        await told.until(3)
        assert told.all == [None, "vllm has not answered for 0.5 s; it is started again", None]
        assert not any(lives(pid) for pid in pids()[0])


async def test_ill_for_long_it_is_started_again(tmp_path: Path) -> None:
    told = Told()
    ill = tmp_path / "ill"
    async with running(f"--ill={ill}", told=told, limits=Limits(poll_s=0.02, hung_s=0.2, backoff_s=0.01)):
        ill.touch()
        await told.until(2)
        ill.unlink()
        await told.until(3)
    assert told.all[-1] is None


async def test_its_guard_killed_nothing_is_left_and_it_is_started_again(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    async with running(flag(tmp_path), told=told, limits=Limits(poll_s=0.02, backoff_s=0.5)) as process:
        guard = psutil.Process(pids()[0][0]).parent()
        assert guard is not None
        guard.kill()
        await told.until(2)
        assert told.all == [None, "vllm ended (its guard was killed by SIGKILL); it is started again"]
        assert not any(lives(pid) for pid in pids()[0])  # also before the next one is there
        await told.until(3)
        assert process.failing is None
        assert can_connect(process)
        assert len(pids()) == 2
    assert not any(lives(pid) for pid in pids()[1])


async def test_its_guard_and_its_command_killed_together_nothing_is_left(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    async with running(flag(tmp_path), told=told):
        server = psutil.Process(pids()[0][0])
        guard = server.parent()
        assert guard is not None
        guard.suspend()  # it adopts orphans, and does nothing about them
        server.kill()
        guard.kill()
        await told.until(3)
        assert not any(lives(pid) for pid in pids()[0])


async def test_what_fails_again_and_again_is_tried_again_and_says_why(tmp_path: Path, pids: Pids) -> None:
    told = Told()
    async with running(flag(tmp_path), "--fail=OSError: gone", "--fail-once-up", told=told) as process:
        os.kill(pids()[0][0], signal.SIGKILL)
        await until(lambda: len(pids()) >= 4)
        assert process.failing is not None
    assert told.all == [
        None,
        "vllm ended (killed by SIGKILL); it is started again",
        "vllm ended (exit status 1): OSError: gone; it is started again",
    ]


async def test_each_new_start_waits_longer_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds in (0.011, 0.022, 0.04):
            waited.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    limits = Limits(poll_s=0.02, backoff_s=0.011, most_backoff_s=0.04)
    async with running(flag(tmp_path), "--fail=x", "--fail-once-up", limits=limits):
        os.kill(int((tmp_path / "pids").read_text().split()[0]), signal.SIGKILL)
        while len(waited) < 4:
            await sleep(0.01)
    assert waited[:4] == [0.011, 0.022, 0.04, 0.04]


async def test_suspected_it_has_to_answer_a_real_request() -> None:
    asked = 0
    works = True

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if not works:
            raise EngineError("vllm", "No answer.")

    told = Told()
    async with running(warm_up=ask, told=told) as process:
        process.suspect()
        await until(lambda: asked == 2)
        assert process.failing is None
        works = False
        process.suspect()
        await told.until(2)
        works = True
        await told.until(3)
    assert told.all == [None, "vllm failed at a real request (No answer); it is started again", None]


async def test_suspected_it_has_less_time_than_at_its_start() -> None:
    answers = asyncio.Event()

    async def ask() -> None:
        if answers.is_set():
            await asyncio.Event().wait()

    told = Told()
    async with running(warm_up=ask, told=told, limits=Limits(poll_s=0.02, backoff_s=60, doubt_s=0.1)) as process:
        answers.set()
        process.suspect()
        await told.until(2)
    assert told.all[1] == "vllm did not answer a real request within 0.1 s; it is started again"


@pytest.mark.parametrize("fails", [False, True])
async def test_what_an_engine_does_at_its_start_warms_up(fails: bool) -> None:
    engine = FakeTranscriber()
    done: list[str] = []

    async def start() -> None:
        done.append("start")
        if fails:
            raise EngineError("transcriber", "No.")

    async def aclose() -> None:
        done.append("close")

    engine.start, engine.aclose = start, aclose  # type: ignore[method-assign]
    with pytest.raises(EngineError) if fails else nullcontext():
        await starting(lambda: engine)()
    assert done == ["start", "close"]


# --- it prints, and does not end --------------------------------------------------------------------------------


async def test_one_that_prints_without_end(tmp_path: Path) -> None:
    async with running("--print-without-end") as process:
        assert can_connect(process)


async def test_what_it_says_is_in_our_log_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "voxtral_voice"):
        async with running("--say=INFO ready soon", "--say=WARNING slow disk"):
            pass
    said = [(r.levelname, vars(r)["fields"]) for r in caplog.records if r.getMessage() == "child_said"]
    assert said == [
        ("INFO", {"child": "vllm", "line": "INFO ready soon"}),
        ("WARNING", {"child": "vllm", "line": "WARNING slow disk"}),
    ]
    assert [r.getMessage() for r in caplog.records if "said" not in r.getMessage()] == ["child_started", "child_up"]


async def test_one_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, pids: Pids) -> None:
    async with running(flag(tmp_path), "--ignore-term", limits=Limits(poll_s=0.02, grace_s=0.3)):
        began = time.monotonic()
    assert time.monotonic() - began >= 0.3
    assert not any(lives(pid) for pid in pids()[0])


async def test_a_guard_that_is_stopped_does_not_hold_us_up(
    tmp_path: Path, pids: Pids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "GUARD_S", 0.2)
    async with running(flag(tmp_path), limits=Limits(poll_s=0.02, grace_s=0.1)):
        guard = psutil.Process(pids()[0][0]).parent()
        assert guard is not None
        guard.suspend()
    assert not any(lives(pid) for pid in [guard.pid, *pids()[0]])


# --- we are ended -----------------------------------------------------------------------------------------------

OURS: Final = """
    import asyncio, signal, sys
    from voxtral_voice.engines.vllm.process import Limits, VllmProcess

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background

    async def main():
        process = VllmProcess(sys.argv[1:], log_prefix="vllm", limits=Limits(poll_s=0.02, grace_s=0.3))
        await process.start()
        print("up", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@contextmanager
def ours(*flags: str) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-c", textwrap.dedent(OURS), *command(*flags)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process


async def until_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"up\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("flag_", ["", "--never-healthy", "--ignore-term"])
async def test_nothing_of_it_outlives_us(number: signal.Signals, flag_: str, tmp_path: Path, pids: Pids) -> None:
    with ours(flag(tmp_path), *filter(None, [flag_])) as process:
        if flag_ == "--never-healthy":  # in its start
            await until((tmp_path / "pids").exists)
        else:
            await until_up(process)
        process.send_signal(number)
    await until(lambda: not any(lives(pid) for pid in pids()[0]))


async def test_a_program_that_ends_without_closing_it_ends_it(tmp_path: Path, pids: Pids) -> None:
    with ours(flag(tmp_path)) as process:
        await until_up(process)
        process.send_signal(signal.SIGINT)
    await until(lambda: not any(lives(pid) for pid in pids()[0]))
