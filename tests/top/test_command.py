from __future__ import annotations

import io
from collections.abc import Callable

import httpx
import pytest
from rich.console import Console

from tests.top.test_reading import answers
from voxtral_voice.errors import TalkError
from voxtral_voice.top import command
from voxtral_voice.top.reading import Server

Handle = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, height=40, force_terminal=True)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def serve(monkeypatch: pytest.MonkeyPatch, handle: Handle) -> None:
    monkeypatch.setattr(command, "Server", lambda url, key: Server(url, key, httpx.MockTransport(handle)))


def test_once_prints_and_ends(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    serve(monkeypatch, answers())
    command.top("http://there:1", None, once=True, console=console)
    assert "sess_1" in text(console)


def test_it_looks_until_one_has_seen_enough(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    """Ctrl-C is the way out, and no failure; a server that goes away meanwhile is none either."""
    serve(monkeypatch, answers())
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            serve_nobody()
        if looks == 4:
            raise KeyboardInterrupt

    def serve_nobody() -> None:
        def gone(*_: object) -> httpx.Response:
            raise TalkError("No server answers at http://there:1.")

        monkeypatch.setattr(Server, "look", gone)

    command.top("http://there:1", None, once=False, console=console, sleep=sleep)
    assert looks == 4
    assert "No server answers" in text(console)


def test_a_first_look_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    serve(monkeypatch, answers(metrics=httpx.Response(401)))
    with pytest.raises(TalkError, match="asks for a key"):
        command.top("http://there:1", None, once=False, console=console)
