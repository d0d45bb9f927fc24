"""One whole call with each client: voice turn, tool round, barge-in, text, history, and push to talk where it has that.

Each client is a program of its own (programs/, node/), unmodified but for the URL; it says what its user gets.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import NODE, ROOT, Locate
from tests.clients.serving import KEY, Certificate
from tests.clients.told import Program, begun, chosen, judge, lines, of_kind, printed_by, sound
from tests.e2e.speech import Studio, plain, word_errors

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

FRAMEWORKS: Final = ("agents", "pipecat", "livekit", "pydantic-ai")
SCRIPTS: Final = {"agents for node": "agents.mjs", "openai for node": "openai.mjs", "other ways": "modes.mjs"}
SECURED: Final = ("openai for node", "other ways")
"""Know TLS only."""
LISTED: Final = {
    "livekit": "user: Good day. / user: My name is Ada. / assistant: Welcome.",
    "pydantic-ai": "user: Is it warm in Rome? / assistant:  / tool: warm / assistant: It is.",
    "agents for node": "user: My name is Ada. / assistant: Hello, Ada.",
}
"""The history that each of them starts with."""


@pytest.fixture(scope="module")
def printed(
    request: pytest.FixtureRequest, pool: ThreadPoolExecutor, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Future[str]]:
    def program(client: str) -> Program:
        url, env = _address(client, request)
        where = [url, str(clips), str(tmp_path_factory.mktemp("answers"))]
        if client in SCRIPTS:
            return Program([request.getfixturevalue("node"), str(NODE / SCRIPTS[client]), *where], ROOT, env)
        python_with: Locate = request.getfixturevalue("python_with")
        module = f"tests.clients.programs.with_{client.replace('-', '_')}"
        return Program([str(python_with(client)), "-m", module, *where], ROOT, env)

    return begun(chosen(request, "client"), program, pool)


def _address(client: str, request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """Of the server, and what the environment has to say to get in."""
    if client not in SECURED:
        return request.getfixturevalue("server"), {}
    secured: tuple[str, Certificate] = request.getfixturevalue("secured")
    url, made = secured
    return url, {"OPENAI_API_KEY": KEY, "NODE_EXTRA_CA_CERTS": str(made.cert)}


@pytest.mark.parametrize("client", [*FRAMEWORKS, "agents for node", "openai for node"])
async def test_a_whole_call(
    client: str, printed: dict[str, Future[str]], words: dict[str, str], studio: Studio
) -> None:
    await judge(lines(printed[client].result()), words, studio)


@pytest.mark.parametrize("client", ["other ways"])
async def test_other_ways_of_openai_for_node(
    client: str, printed: dict[str, Future[str]], words: dict[str, str], studio: Studio
) -> None:
    """Push to talk; the same as in a browser, with the key in a subprotocol; a transcription session."""
    told = lines(printed[client].result())
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


@pytest.mark.parametrize("seeder", list(LISTED))
def test_a_conversation_from_before_goes_on(seeder: str, server: str, request: pytest.FixtureRequest) -> None:
    """What the responder was shown, as it lists it."""
    if seeder == "agents for node":
        command = [request.getfixturevalue("node"), str(NODE / "seed.mjs")]
    else:
        python_with: Locate = request.getfixturevalue("python_with")
        command = [str(python_with(seeder)), "-m", f"tests.clients.programs.seed_{seeder.replace('-', '_')}"]
    told = lines(printed_by(Program([*command, server], ROOT)))
    assert told == [{"kind": "listed", "text": f"{LISTED[seeder]} / user: Please list them."}]
