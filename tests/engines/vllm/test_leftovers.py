from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Final

import psutil
import pytest

from voxtral_voice.engines.vllm import leftovers as leftovers_module
from voxtral_voice.engines.vllm.leftovers import Leftovers

SLEEP: Final = "import time; time.sleep(600)"
LEADER: Final = f"""
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
for line in sys.stdin:
    alone = "alone" in line
    print(subprocess.Popen([sys.executable, "-S", "-c", {SLEEP!r}], env={{}}, start_new_session=alone).pid, flush=True)
"""
"""Starts a child without an environment for each line on stdin, and says its pid."""


class Leader:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LEADER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.left = Leftovers(self.process.pid)
        self.children: list[psutil.Process] = []

    def child(self, *, alone: bool = False) -> psutil.Process:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("alone\n" if alone else "\n")
        child = psutil.Process(int(self.process.stdout.readline()))
        self.children.append(child)
        return child

    def kill(self) -> None:
        """It is dead, and nobody has waited for it."""
        self.process.kill()
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def leader() -> Iterator[Leader]:
    leader = Leader()
    with leader.process:
        yield leader
        for process in leader.children:
            if lives(process):
                process.kill()
        leader.process.kill()


def lives(process: psutil.Process) -> bool:
    try:
        status: str = process.status()
    except psutil.NoSuchProcess:
        return False
    return status != "zombie"


def test_all_of_its_session_is_found_though_nothing_was_noted(leader: Leader) -> None:
    child = leader.child()
    leader.kill()
    assert lives(child)
    leader.left.kill()
    assert not lives(child)


def test_what_has_left_its_session_is_found_when_it_was_noted(leader: Leader) -> None:
    noted = leader.child(alone=True)
    leader.left.note()
    late = leader.child(alone=True)
    leader.kill()
    leader.left.kill()
    assert not lives(noted)
    assert lives(late)


def test_what_was_noted_is_kept_when_the_leader_is_dead(leader: Leader) -> None:
    child = leader.child(alone=True)
    leader.left.note()
    leader.kill()
    leader.left.note()
    leader.process.wait()
    leader.left.note()
    leader.left.kill()
    assert not lives(child)


def test_who_has_the_number_of_one_that_was_noted_is_left_alone(
    leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = leader.child(alone=True)
    leader.left.note()
    leader.kill()
    monkeypatch.setattr(psutil.Process, "is_running", is_another(child.pid))
    leader.left.kill()
    monkeypatch.undo()
    assert lives(child)


def is_another(pid: int) -> Callable[[psutil.Process], bool]:
    is_running = psutil.Process.is_running
    return lambda process: process.pid != pid and is_running(process)


def test_what_cannot_be_killed_does_not_hold_us_up(leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    child = leader.child()
    leader.kill()
    monkeypatch.setattr(leftovers_module, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(psutil.Process, "kill", lambda _: None)
    leader.left.kill()
    monkeypatch.undo()
    assert lives(child)


def test_where_nothing_is_left_nothing_is_done(leader: Leader) -> None:
    leader.left.note()
    leader.kill()
    leader.left.kill()
    leader.process.wait()
    leader.left.kill()
