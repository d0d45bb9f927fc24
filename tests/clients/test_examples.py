"""Every example of docs/clients.md is run as it stands there, but for the address."""

from __future__ import annotations

import re
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import NODE, ROOT, Locate
from tests.clients.serving import KEY, Certificate
from tests.clients.told import Program, begun, chosen

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

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
    "resume.py": ("the connection is cut", r"back: the server has 3 of our 3 frames", "answer: You said: Good morning"),
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


@pytest.fixture(scope="module")
def printed(
    request: pytest.FixtureRequest, pool: ThreadPoolExecutor, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Future[str]]:
    def program(name: str) -> Program:
        folder = tmp_path_factory.mktemp("example")
        text, env = _addressed(name, request)
        (folder / name).write_text(text, encoding="utf-8")
        shutil.copy(clips / "question.wav", folder)
        if not name.endswith(".mjs"):
            return Program([_python(name, request), name], folder, env)
        (folder / "node_modules").symlink_to(NODE / "node_modules")
        return Program([request.getfixturevalue("node"), name], folder, env)

    return begun(chosen(request, "name"), program, pool)


def _addressed(name: str, request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """The example with the server's address, and what the environment has to say."""
    if name not in SECURED:
        url: str = request.getfixturevalue("server")
        return EXAMPLES[name].replace("127.0.0.1:8000", url.removeprefix("http://")), {}
    secured: tuple[str, Certificate] = request.getfixturevalue("secured")
    url, cert = secured[0], str(secured[1].cert)
    env = {"OPENAI_API_KEY": KEY, "NODE_EXTRA_CA_CERTS": cert, "SSL_CERT_FILE": cert}
    return EXAMPLES[name].replace("127.0.0.1:8443", url.removeprefix("https://")), env


def _python(name: str, request: pytest.FixtureRequest) -> str:
    if name not in ENVIRONMENTS:
        return sys.executable
    python_with: Locate = request.getfixturevalue("python_with")
    return str(python_with(ENVIRONMENTS[name]))


@pytest.mark.parametrize("name", list(PRINTS))
def test_an_example_prints_what_it_should(name: str, printed: dict[str, Future[str]]) -> None:
    text, at = printed[name].result(), 0
    for pattern in PRINTS[name]:
        found = re.compile(pattern).search(text, at)
        assert found is not None, f"{pattern!r} is not in:\n{text}"
        at = found.end()
