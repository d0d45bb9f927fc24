"""How the servers that are compared are started and stopped, with small servers in their place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import environments, ours, targets
from benchmarks.peers.targets import TARGETS, Start, Target, running
from voxtral_voice.bench.endpoint import turn_detection
from voxtral_voice.bench.stub.serve import Urls
from voxtral_voice.errors import BenchError

URLS = Urls("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", "http://127.0.0.1:3/v1")
ANSWERS = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ANSWERS
BROKEN = "import sys; sys.exit('there is no such model')"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(targets, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    return tmp_path


def fake(script: str) -> Target:
    return Target(
        "fake",
        "raw",
        "/ws",
        lambda start: [sys.executable, "-c", script, str(start.port)],
        lambda: "1.2",
        {"shipped": "as it is", "matched": "{silence_ms} ms"},
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_target_runs_for_as_long_as_the_block() -> None:
    async with running(fake(ANSWERS), URLS, "matched", silence_ms=300) as target:
        assert alive(target.pid)
    assert not alive(target.pid)
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/ws", target.url)
    assert (target.driver, target.version, target.text) == ("raw", "1.2", "300 ms")
    assert str(Path(sys.executable).parent) not in " ".join(target.argv)


async def test_a_target_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "STOP_S", 0.1)
    async with running(fake(STUBBORN), URLS) as target:
        assert alive(target.pid)
    assert not alive(target.pid)


async def test_a_target_uses_the_cores_that_it_is_given() -> None:
    core = min(os.sched_getaffinity(0))
    async with running(fake(ANSWERS), URLS, cpus={core}) as target:
        assert os.sched_getaffinity(target.pid) == {core}


async def test_a_target_that_ends_at_once_is_an_error_with_its_last_words() -> None:
    with pytest.raises(BenchError, match=r"^fake ended while it started \(its last words: there is no such model\)\.$"):
        async with running(fake(BROKEN), URLS):
            pass


async def test_a_target_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "READY_S", 0.2)
    with pytest.raises(BenchError, match=r"did not answer within 0\.2 s of its start \(its last words: none\)"):
        async with running(fake("import time; time.sleep(60)"), URLS):
            pass


@pytest.mark.parametrize("name", environments.NAMES)
def test_an_environment_that_is_not_made_says_how_to_make_it(name: str) -> None:
    start = Start(1, URLS, "shipped", 500, 8)
    with pytest.raises(BenchError, match=rf"run python -m benchmarks\.peers\.environments {name}\.$"):
        TARGETS[name].argv(start)


def test_an_environment_made_from_other_requirements_is_not_used(folder: Path) -> None:
    (folder / "pipecat").mkdir()
    (folder / "pipecat" / environments.MADE).write_text("other")
    with pytest.raises(BenchError, match="is not made"):
        environments.made("pipecat")


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(BenchError, match="There is no environment 'vocode'; there are pipecat, s2s, livekit"):
        environments.make("vocode")


def test_a_package_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Looking here\nERROR: Could not find a version\nERROR: No matching distribution found for x==1.0\n\nnotice\n"

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1 if "pip" in command else 0, "", said)

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(BenchError, match=r"pipecat cannot be made: No matching distribution found for x==1\.0$"):
        environments.make("pipecat")
    with pytest.raises(BenchError, match="is not made"):
        environments.made("pipecat")


@pytest.mark.parametrize("name", environments.NAMES)
def test_every_requirement_is_one_version_from_anywhere(name: str) -> None:
    lines = (environments.HERE / f"requirements-{name}.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    named = {line.partition("==")[0] for line in lines}
    assert {environments.package_of(name), *environments.ALONE.get(name, ())} <= named


def test_ours_is_the_remote_profile() -> None:
    shipped = ours.argv(8000, URLS, "shipped")
    assert shipped[shipped.index("--profile") + 1] == "remote"
    assert shipped[shipped.index("--speaker-url") + 1] == URLS.speech
    matched = ours.argv(8000, URLS, "matched")
    assert matched[matched.index("--turns-judge") + 1] == "none"
    assert matched[: len(shipped)] == shipped


def test_a_caller_of_ours_asks_for_the_matched_silence() -> None:
    assert TARGETS["ours"].endpoint("matched", 700) == TARGETS["ours-patient"].endpoint("matched", 700)
    assert turn_detection(TARGETS["ours"].endpoint("matched", 700)) == {
        "type": "server_vad",
        "silence_duration_ms": 700,
    }
    assert turn_detection(TARGETS["ours"].endpoint("shipped", 700)) is None
    assert turn_detection(TARGETS["s2s"].endpoint("matched", 700)) is None
