"""The commands of README and docs: each means something, and none starts a server that asks itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voxtral_voice.cli import _config, _parse
from voxtral_voice.config import keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVE = re.compile(r"^ *(?:[A-Z_]+=\S+ )?voxtral-voice (serve .*?)(?:   .*)?$", re.MULTILINE)
COMMANDS = sorted({command for page in PAGES for command in SERVE.findall(page.read_text())})


@pytest.mark.parametrize("command", COMMANDS)
def test_no_engine_is_where_the_server_itself_is(command: str) -> None:
    config = _config(_parse(command.split()))
    settings = (key.rpartition(".") for key in keys() if key.endswith("url"))
    urls = [getattr(getattr(config, group), name) for group, _, name in settings]
    here = tuple(f"http://{host}:{config.server.port}" for host in ("127.0.0.1", "localhost"))
    assert not [url for url in urls if url.startswith(here)]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10
