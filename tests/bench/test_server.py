"""A server of our own, started as a user starts it."""

from __future__ import annotations

import urllib.request

import psutil
import pytest

from voxtral_voice.bench.server import serving
from voxtral_voice.errors import BenchError


def test_it_answers_while_the_block_runs_and_is_gone_after_it() -> None:
    with serving(["--profile=fake"]) as own:
        assert urllib.request.urlopen(f"{own.url}/livez").read() == b"ok"
        assert psutil.pid_exists(own.pid)
        assert 0 < own.ready_s < 60
    assert not psutil.pid_exists(own.pid)


def test_it_is_gone_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), serving(["--profile=fake"]) as own:
        raise ZeroDivisionError
    assert not psutil.pid_exists(own.pid)


def test_one_that_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="did not start; what it says is above"), serving(["--turns-onset-ms=-5"]):
        pass
    assert "--turns-onset-ms" in capfd.readouterr().err


def test_the_port_is_any_free_one() -> None:
    with pytest.raises(BenchError, match="leave out --port"), serving(["--server-port=8000"]):
        pass
