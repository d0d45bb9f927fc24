"""One whole call with each client that runs beside the tests: voice turn, tool round, barge-in, text, history.

Each client is a program of its own (programs/, node/), unmodified but for the URL; it says what its user gets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import NODE
from tests.clients.serving import KEY, Certificate
from tests.clients.told import judge, of_kind, sound, told_by
from tests.e2e.speech import Studio, plain, word_errors

pytestmark = pytest.mark.models

PROGRAMS = ("agents", "pipecat", "livekit", "pydantic-ai")


@pytest.mark.parametrize("client", PROGRAMS)
async def test_a_python_framework(
    client: str,
    server: str,
    clips: Path,
    words: dict[str, str],
    studio: Studio,
    python_with: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    module = f"tests.clients.programs.with_{client.replace('-', '_')}"
    told = await told_by([str(python_with(client)), "-m", module, server, str(clips), str(tmp_path)])
    await judge(told, words, studio)


async def test_the_agents_sdk_for_node(
    server: str, clips: Path, words: dict[str, str], studio: Studio, node: str, tmp_path: Path
) -> None:
    told = await told_by([node, str(NODE / "agents.mjs"), server, str(clips), str(tmp_path)])
    await judge(told, words, studio)


async def test_openai_for_node_over_tls(
    secured: tuple[str, Certificate], clips: Path, words: dict[str, str], studio: Studio, node: str, tmp_path: Path
) -> None:
    url, made = secured
    trust = {"OPENAI_API_KEY": KEY, "NODE_EXTRA_CA_CERTS": str(made.cert)}
    told = await told_by([node, str(NODE / "openai.mjs"), url, str(clips), str(tmp_path)], env=trust)
    await judge(told, words, studio)


async def test_other_ways_of_openai_for_node(
    secured: tuple[str, Certificate], clips: Path, words: dict[str, str], studio: Studio, node: str, tmp_path: Path
) -> None:
    """Push to talk; the same as in a browser, with the key in a subprotocol; a transcription session."""
    url, made = secured
    trust = {"OPENAI_API_KEY": KEY, "NODE_EXTRA_CA_CERTS": str(made.cert)}
    told = await told_by([node, str(NODE / "modes.mjs"), url, str(clips), str(tmp_path)], env=trust)
    assert of_kind(told, "error") == []
    for mode in ("push_to_talk", "browser"):
        (line,) = of_kind(told, mode)
        assert line["status"] == "completed"
        assert word_errors(words["question"], line["heard"]) <= 0.2
        assert plain(line["said"]) == plain(f"You said: {line['heard']}")
        assert word_errors(line["said"], await studio.hear(sound(told, mode))) <= 0.25
    (transcription,) = of_kind(told, "transcription")
    assert transcription["session"] == "transcription"
    assert word_errors(words["question"], transcription["heard"]) <= 0.2
