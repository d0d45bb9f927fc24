"""The servers, the user's words, and the clients' own environments."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from benchmarks.peers import environments
from tests.clients.brain import Brain, thinking
from tests.clients.serving import KEY, Certificate, certificate, served
from tests.conftest import missing
from tests.e2e.conftest import EMBEDDED_FILES
from tests.e2e.speech import Studio, studio_of
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.audio.resample import resample
from voxtral_voice.audio.wav import write_wav
from voxtral_voice.bench.corpus import load
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.errors import BenchError

ROOT: Final = Path(__file__).parents[2]
CLIENTS: Final = ROOT / "build" / "clients"
NODE: Final = Path(__file__).parent / "node"
RECORDED: Final = "en-core/something"
"""A person's voice, of the bench's corpus."""
SPOKEN: Final = {
    "weather": "What is the weather in Paris?",
    "story": "Tell me a story.",
    "repeat": "Stop, please repeat your last sentence.",
}
"""Said in a voice that the server does not have."""


Locate = Callable[[str], Path]
"""Client -> the Python of its own environment."""
AT_ONCE: Final = 3
"""So many clients talk at the same time: they mostly wait."""


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(AT_ONCE) as workers:
        yield workers
        workers.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def brain() -> Iterator[Brain]:
    with thinking() as started:
        yield started


@pytest.fixture(scope="session")
def server(brain: Brain, model_files: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of our server: real voice activity, turn judge, transcriber and speaker; the responder follows a script."""
    for name in EMBEDDED_FILES:
        model_files(name)
    with served(tmp_path_factory.mktemp("server") / "plain.log", f"--responder-url={brain.url}") as url:
        yield url


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


@pytest.fixture(scope="session")
def words() -> dict[str, str]:
    """Clip -> what is said in it."""
    return {"question": load([RECORDED])[0].text, **SPOKEN}


@pytest.fixture(scope="session")
def clips(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the user's words, NAME.pcm and NAME.wav: 16-bit mono, 24 kHz."""
    folder = tmp_path_factory.mktemp("clips")
    recorded = load([RECORDED])[0]
    said = {"question": resample(recorded.samples, recorded.rate_hz, SPEAK_RATE_HZ)}
    said |= {name: asyncio.run(studio.say(text)) for name, text in SPOKEN.items()}
    for name, samples in said.items():
        (folder / f"{name}.pcm").write_bytes(float_to_pcm16(samples))
        write_wav(folder / f"{name}.wav", samples, SPEAK_RATE_HZ)
    return folder


# --- environments (scripts/install_clients makes them) --------------------------------------------------------------


@pytest.fixture(scope="session")
def python_with() -> Locate:

    def locate(name: str) -> Path:
        if name in environments.NAMES:
            try:
                return environments.made(name)
            except BenchError as error:
                missing(str(error))
        made, wanted = CLIENTS / name / "made-from", Path(__file__).parent / f"requirements-{name}.txt"
        if not made.exists() or made.read_text() != wanted.read_text():
            missing(f"the environment of {name} is not made (scripts/install_clients {name})")
        return CLIENTS / name / "bin" / "python"

    return locate


@pytest.fixture(scope="session")
def node() -> str:
    """Node's program, with the packages of node/package.json beside our scripts."""
    found = shutil.which("node")
    if found is None or not (NODE / "node_modules" / ".package-lock.json").exists():
        missing("the packages of tests/clients/node are not installed (scripts/install_clients node)")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def secured(
    brain: Brain, model_files: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Certificate]]:
    """The same server over TLS, for which one needs `serving.KEY`; its URL and its certificate."""
    for name in EMBEDDED_FILES:
        model_files(name)
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    folder = tmp_path_factory.mktemp("secured")
    made = certificate(folder)
    flags = [f"--responder-url={brain.url}", f"--server-tls-cert={made.cert}", f"--server-tls-key={made.key}"]
    with served(folder / "tls.log", *flags, f"--server-api-keys={KEY}", trusted=made.cert) as url:
        yield url, made
