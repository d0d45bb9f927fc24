"""The bench as a user calls it, against a server that is not ours."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.realtime_stub import Call, Script, answers, stub_server, tone
from voxtral_voice import cli
from voxtral_voice.bench import command, corpus, scenario
from voxtral_voice.bench import measure as measure_module
from voxtral_voice.bench.caller import Caller
from voxtral_voice.bench.clip import Clip, Kind
from voxtral_voice.bench.drivers.realtime import Realtime
from voxtral_voice.bench.measure import Target


def clip(name: str, kind: Kind = "turn") -> Clip:
    quiet = np.zeros(2_400, np.float32)
    return Clip(name, kind, "what is it", "en", np.concatenate([tone(400), quiet]), 24_000, onset_s=0.0, end_s=0.4)


CLIPS = (*(clip(f"questions/{i}") for i in range(3)), clip("tap/mhm", "tap"))


@pytest.fixture(autouse=True)
def few_short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "load", lambda names: CLIPS[: 4 if "tap" in names else 3])
    monkeypatch.setattr(scenario, "PAUSE_S", (0.1, 0.2))
    monkeypatch.setattr(command, "WARM_UP", 1)


@contextmanager
def server(script: Script) -> Iterator[str]:
    """In a thread of its own, with its own loop; its URL."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with stub_server(script) as stub:
            urls.append(stub.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(5)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


def bench(*words: str) -> int:
    return cli.main(["bench", *words])


# --- what it measures -------------------------------------------------------------------------------------------


def test_a_server_that_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    with server(answers(tone(300), delay_ms=250)) as url:
        status = bench("--url", url, "--clips", "questions", "--turns", "3", "--barge-ins", "0", "--echoes", "0",
                       "--api-key", "s3cret", "--pid", str(os.getpid()),
                       "--json", str(out), "--html", str(page))  # fmt: skip
    result = json.loads(out.read_text())
    run = result["runs"][0]
    assert status == int(result["void"]), "a void run is no success"
    assert (run["figures"]["turns"], run["figures"]["missed"]["count"]) == (3, 0)
    assert run["figures"]["latency"]["v2v_ms"]["p50"]["value"] == pytest.approx(250, abs=60)
    assert run["cost"]["cpu_s_per_audio_minute"] > 0
    assert run["turns"][0]["heard"] == "what is it"
    assert "V2V" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert "s3cret" not in out.read_text() + page.read_text()
    assert "--api-key KEY" in result["command"]


def test_every_endpoint_setting_is_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with server(answers(tone(100), delay_ms=100)) as url:
        bench("--url", url, "--clips", "questions", "--turns", "1", "--barge-ins", "0", "--echoes", "0",
              "--json", str(out), "--endpoint", "server_vad:200", "--endpoint", "default")  # fmt: skip
    assert [run["name"] for run in json.loads(out.read_text())["runs"]] == ["server_vad:200", "default"]


def test_silence_is_a_miss_and_not_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def says_nothing(call: Call) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(measure_module, "ANSWER_TIMEOUT_S", 0.3)
    out = tmp_path / "out.json"
    with server(says_nothing) as url:
        bench(
            "--url",
            url,
            "--clips",
            "questions",
            "--turns",
            "2",
            "--barge-ins",
            "1",
            "--echoes",
            "0",
            "--json",
            str(out),
        )
    figures = json.loads(out.read_text())["runs"][0]["figures"]
    assert figures["missed"] == figures["missed"] | {"count": 3, "of": 3}
    assert figures["latency"]["v2v_ms"]["p50"]["value"] == 300


def test_a_server_that_goes_away_is_measured_to_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def leaves(call: Call) -> None:
        await call.ends.get()
        await call.close(1011)

    out = tmp_path / "out.json"
    with server(leaves) as url:
        status = bench(
            "--url",
            url,
            "--clips",
            "questions",
            "--turns",
            "3",
            "--barge-ins",
            "0",
            "--echoes",
            "0",
            "--json",
            str(out),
        )
    result = json.loads(out.read_text())
    figures = result["runs"][0]["figures"]
    assert (figures["lost"], figures["missed"]["count"]) == (1, 3)
    assert (status, result["lost"]) == (1, True)
    assert "LOST: every connection broke" in capsys.readouterr().out


def test_capacity(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_module, "TRIAL_TURNS", 1)
    monkeypatch.setattr(measure_module, "TRIAL_LEAST", 2)
    out = tmp_path / "out.json"
    with server(answers(tone(100), delay_ms=100)) as url:
        bench("capacity", "--url", url, "--most", "2", "--p95-ms", "2000", "--json", str(out))
    found = json.loads(out.read_text())["capacity"]
    assert found["limit_p95_ms"] == 2000
    assert [trial["sessions"] for trial in found["trials"]][:1] == [1]
    assert found["sessions"] <= 2
    assert result_settings(out) == {"clips": ["questions"], "seed": 1, "most_sessions": 2, "p95_ms": 2000}
    assert "1 sessions: p50" in capsys.readouterr().out


def result_settings(out: Path) -> object:
    return json.loads(out.read_text())["settings"]


def test_a_process_that_ends_costs_no_turn(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]) as other,
        server(answers(tone(100))) as url,
    ):
        bench("--url", url, "--clips", "questions", "--turns", "2", "--barge-ins", "0", "--echoes", "0",
              "--json", str(out), "--pid", str(other.pid))  # fmt: skip
    run = json.loads(out.read_text())["runs"][0]
    assert (run["cost"], run["figures"]["turns"], run["figures"]["missed"]["count"]) == (None, 2, 0)


def test_ctrl_c_keeps_what_was_measured_so_far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third question (the first is the warm-up) is interrupted while it is spoken."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stepped: list[str] = []

    say = scenario._take

    async def noted(caller: Caller, step: scenario.Step) -> None:
        if len(stepped) == 2:
            signal.raise_signal(signal.SIGTERM)
        await say(caller, step)
        stepped.append(step.clip.id)

    monkeypatch.setattr(scenario, "_take", noted)
    out = tmp_path / "out.json"
    try:
        with server(answers(tone(100), delay_ms=50)) as url:
            status = bench("--url", url, "--clips", "questions", "--turns", "9", "--barge-ins", "0", "--echoes", "0",
                           "--json", str(out))  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    result = json.loads(out.read_text())
    figures = result["runs"][0]["figures"]
    assert (status, result["interrupted"]) == (130, True)
    assert (figures["turns"], figures["missed"]["count"], figures["lost"]) == (1, 0, 0)
    assert "INTERRUPTED" in capsys.readouterr().out


def test_one_file_that_cannot_be_written_costs_neither_the_table_nor_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out.html"
    with server(answers(tone(100))) as url:
        status = bench("--url", url, "--clips", "questions", "--turns", "1", "--barge-ins", "0", "--echoes", "0",
                       "--json", "/dev/full", "--html", str(page))  # fmt: skip
    printed = capsys.readouterr()
    assert status == 1
    assert "/dev/full cannot be written: No space left on device." in printed.err
    assert "V2V" in printed.out
    assert page.exists()


def test_the_longest_answer_is_asked_for_only_when_it_is_given() -> None:
    limited, plain = (Target("127.0.0.1:9", max_tokens=most).driver("default") for most in (24, None))
    assert isinstance(limited, Realtime)
    assert isinstance(plain, Realtime)
    assert limited.session["max_output_tokens"] == 24
    assert "max_output_tokens" not in plain.session


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "127.0.0.1:9"], "No server can be reached at ws://127.0.0.1:9/v1/realtime"),
        (["--url", "gopher://x"], "gopher://x is not the address of a server"),
        (["--url", "127.0.0.1:9", "--port", "3"], "--server-port is a setting of a server of our own"),
        (["--url", "127.0.0.1:9", "--endpoint", "soon"], "'soon' is no endpoint setting"),
        (["--url", "127.0.0.1:9", "--wire", "raw", "--endpoint", "default"], "The raw wire has no endpoint settings"),
        (["--url", "127.0.0.1:9", "--wire", "raw", "--max-tokens", "9"], "The raw wire cannot say how long an answer"),
        (["--url", "127.0.0.1:9", "--json", "/no/such/out.json"], "/no/such/out.json cannot be written"),
        (["--url", "127.0.0.1:9", "--json", "/tmp"], "/tmp cannot be written: it is a folder"),
        (["capacity", "--endpoint", "default", "--endpoint", "server_vad"], "Capacity is measured with one endpoint"),
        (["--pid", "1"], "--pid and --wire are about another server"),
    ],
)
def test_one_clear_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(*words) == 1
    printed = capsys.readouterr().err.strip().splitlines()
    assert len(printed) == 1
    assert printed[0].startswith(f"voxtral-voice: {said}")


@pytest.mark.parametrize(
    "words", [["--turns", "0"], ["--turns", "x"], ["--wire", "smoke"], ["--sessions", "-1"], ["what"], ["--clips", ","]]
)
def test_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench(*words)
    assert stopped.value.code == 2


def test_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--clips", "list") == 0
    assert "hold " in capsys.readouterr().out
