"""Makes the alternatives' environments: build/peers/NAME, from the pinned requirements-NAME.txt beside this file.

    .venv/bin/python -m benchmarks.peers.environments [pipecat s2s livekit]

Knows: venv, pip, where they are put. Does not know: what runs in them. An environment that is already made from the
same requirements is left as it is.

Some packages are installed without what they depend on. speech-to-speech, because a part of that (faster-qwen3-tts
with its ggml extra, nano-parakeet: models that run in the process) is not used here and cannot be had everywhere;
pipecat-ai and llama-index-core in its environment, because only files inside them are used (see s2s_server.py).
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from voxtral_voice.errors import BenchError, VoiceError

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
FOLDER: Final = ROOT / "build" / "peers"
NAMES: Final = ("pipecat", "s2s", "livekit")
ALONE: Final = {"s2s": ("speech-to-speech", "pipecat-ai", "llama-index-core")}
"""By environment: packages that are installed without their dependencies."""
MADE: Final = "made-from"
"""File in an environment: the requirements that it was made from, and by which Python."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.environments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (all)")
    try:
        for name in parser.parse_args(argv).names or NAMES:
            print(name, version(make(name), package_of(name)))
    except VoiceError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    return 0


def make(name: str) -> Path:
    """The environment's Python, made if need be. Raises BenchError when a package cannot be had."""
    if name not in NAMES:
        raise BenchError(f"There is no environment {name!r}; there are {', '.join(NAMES)}.")
    folder = FOLDER / name
    python, mark = folder / "bin" / "python", folder / MADE
    wanted = _fingerprint(name)
    if mark.exists() and mark.read_text() == wanted:
        return python
    mark.unlink(missing_ok=True)
    _run(name, [sys.executable, "-m", "venv", "--clear", str(folder)])
    _install(name, python)
    mark.write_text(wanted)
    return python


def made(name: str) -> Path:
    """The environment's Python. Raises BenchError when it was not made, or from other requirements."""
    mark = FOLDER / name / MADE
    if not mark.exists() or mark.read_text() != _fingerprint(name):
        raise BenchError(f"The environment of {name} is not made: run python -m benchmarks.peers.environments {name}.")
    return FOLDER / name / "bin" / "python"


def package_of(name: str) -> str:
    """The distribution whose version is the framework's."""
    return {"pipecat": "pipecat-ai", "s2s": "speech-to-speech", "livekit": "livekit-agents"}[name]


def version(python: Path, package: str) -> str:
    """Of a distribution in the environment of `python`. Raises BenchError."""
    folders = [str(folder) for folder in python.parents[1].glob("lib/python*/site-packages")]
    found = next(iter(Distribution.discover(name=package, path=folders)), None)
    if found is None:
        raise BenchError(f"The environment {python.parents[1]} holds no {package}; make it again.")
    return found.version


def _install(name: str, python: Path) -> None:
    lines = _requirements(name).read_text().split()
    alone = [line for line in lines if line.partition("==")[0] in ALONE.get(name, ())]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(name, [*pip, *(line for line in lines if line not in alone)])
    if alone:
        _run(name, [*pip, "--no-deps", *alone])


def _requirements(name: str) -> Path:
    return HERE / f"requirements-{name}.txt"


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256(_requirements(name).read_bytes()).hexdigest()
    return f"{digest} python {sys.version_info.major}.{sys.version_info.minor}\n"


def _run(name: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = _reason((done.stderr or done.stdout).splitlines())
        raise BenchError(f"The environment of {name} cannot be made: {said}")


def _reason(lines: Iterable[str]) -> str:
    """What pip gives as the reason: its last line that says ERROR, or its last line."""
    spoken = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in spoken if line.startswith("ERROR: ")]
    return (errors or spoken or ["it does not say why."])[-1]


if __name__ == "__main__":
    sys.exit(main())
