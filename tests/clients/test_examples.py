"""Every example of docs/clients.md is run as it stands there, but for the address."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import NODE, ROOT
from tests.clients.serving import KEY, Certificate
from tests.clients.told import printed_by

pytestmark = pytest.mark.models

PAGE: Final = ROOT / "docs" / "clients.md"
BLOCK: Final = re.compile(r"^```(?:python|js)\n(?:#|//) (\S+\.(?:py|mjs))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES: Final = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
TOOL_ANSWER: Final = "The weather in Paris is warm and sunny"
SPEECH: Final = r"[1-9]\.\d s of speech"

PRINTS: Final[dict[str, tuple[str, ...]]] = {
    "openai_voice.py": (r"you: Go somewhere", "answer: You said: Go somewhere"),
    "openai_text.py": ("First you said: My name is Ada.",),
    "openai_tool.py": (r"tool: get_weather \{'city': 'Paris'\}", f"answer: {TOOL_ANSWER}"),
    "openai_transcription.py": ("you: Go somewhere",),
    "openai_rest.py": ("models: ", "heard: The quick brown fox jumps", "answer: You said: Good morning."),
    "agents_python.py": (r'tool: get_weather \{"city": "Paris"\}', SPEECH),
    "pipecat_bot.py": ("answer: You said: Good morning", SPEECH),
    "livekit_agent.py": ("user: Good morning.", "assistant: You said: Good morning."),
    "pydantic_ai_agent.py": ("tool: Paris", SPEECH),
    "openai_node.mjs": ("you: Go somewhere", "answer: You said: Go somewhere", SPEECH),
    "agents_node.mjs": ("tool: Paris", f"answer: {TOOL_ANSWER}", SPEECH),
    "client_secret.py": (r"ek_ Be brief\.",),
}
"""What each of them prints, in this order."""
ENVIRONMENTS: Final = {
    "agents_python.py": "agents",
    "pipecat_bot.py": "pipecat",
    "livekit_agent.py": "livekit",
    "pydantic_ai_agent.py": "pydantic-ai",
}
"""Of those that do not run in the tests' own."""
SECURED: Final = ("openai_node.mjs", "client_secret.py")


def test_each_example_is_run() -> None:
    assert EXAMPLES.keys() == PRINTS.keys()


def must_print(printed: str, patterns: tuple[str, ...]) -> None:
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(printed, at)
        assert found is not None, f"{pattern!r} is not in:\n{printed}"
        at = found.end()


def program(name: str, request: pytest.FixtureRequest) -> str:
    if name.endswith(".mjs"):
        return str(request.getfixturevalue("node"))
    if name in ENVIRONMENTS:
        python_with: Callable[[str], Path] = request.getfixturevalue("python_with")
        return str(python_with(ENVIRONMENTS[name]))
    return sys.executable


@pytest.mark.parametrize("name", [name for name in PRINTS if name not in SECURED])
async def test_an_example(name: str, server: str, clips: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = EXAMPLES[name].replace("127.0.0.1:8000", server.removeprefix("http://"))
    must_print(await run(name, text, clips, tmp_path, request), PRINTS[name])


@pytest.mark.parametrize("name", SECURED)
async def test_an_example_over_tls(
    name: str, secured: tuple[str, Certificate], clips: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, made = secured
    text = EXAMPLES[name].replace("127.0.0.1:8443", url.removeprefix("https://"))
    trust = {"OPENAI_API_KEY": KEY, "NODE_EXTRA_CA_CERTS": str(made.cert), "SSL_CERT_FILE": str(made.cert)}
    must_print(await run(name, text, clips, tmp_path, request, trust), PRINTS[name])


async def run(
    name: str,
    text: str,
    clips: Path,
    folder: Path,
    request: pytest.FixtureRequest,
    env: dict[str, str] | None = None,
) -> str:
    command = program(name, request)
    shutil.copy(clips / "question.wav", folder)
    if name.endswith(".mjs"):
        (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / name).write_text(text, encoding="utf-8")
    return await printed_by([command, name], folder=folder, env=env)
