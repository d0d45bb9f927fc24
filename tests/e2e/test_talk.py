"""`voxtral-voice talk` as a user calls it: real models, files of many kinds, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile

from tests.e2e.speech import Studio, studio_of, word_errors
from voxtral_voice import cli
from voxtral_voice import talk as talk_module
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.audio.wav import write_wav

embedded = pytest.mark.parametrize("live_server", ["embedded"], indirect=True)

RATE_HZ: Final = 24_000
NOBODY: Final = "127.0.0.1:1"
"""No server is there. A question that cannot be used is refused before anybody is asked."""


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


@pytest.fixture
def question(studio: Studio) -> Samples:
    return asyncio.run(studio.say("Thank you very much."))


def tone() -> Samples:
    """One second, 24 kHz."""
    return (0.3 * np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


def talk(folder: Path, *words: str) -> tuple[int, Path]:
    """The exit status, and where the answer was to go."""
    return cli.main(["talk", str(folder / "q.wav"), "-o", str(folder / "a.wav"), *words]), folder / "a.wav"


def must_be_the_answer(answer: Path, printed: str, studio: Studio) -> None:
    """24 kHz, audible, and the words that were printed."""
    heard, said = re.search(r"^you +(.*)$", printed, re.MULTILINE), re.search(r"^answer +(.*)$", printed, re.MULTILINE)
    assert heard is not None
    assert said is not None
    assert "thank you" in heard[1].lower()
    assert said[1] == "You're welcome!"
    assert re.search(r"^V2V as heard +\d+\.\d ", printed, re.MULTILINE)
    info = soundfile.info(answer)
    assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "PCM_16")
    samples, _ = soundfile.read(answer, dtype="float32")
    assert rms_dbfs(samples) > -35
    assert word_errors(said[1], asyncio.run(studio.hear(samples))) <= 0.15


# --- it answers -------------------------------------------------------------------------------------------------


@pytest.mark.models
@embedded
@pytest.mark.parametrize(
    ("subtype", "rate_hz", "channels"),
    [("PCM_U8", 16_000, 1), ("PCM_16", 44_100, 2), ("FLOAT", 48_000, 1)],
    ids=["8 bits", "stereo at 44.1 kHz", "float"],
)
def test_a_question_of_any_format_is_answered(
    live_server: str,
    studio: Studio,
    question: Samples,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    subtype: str,
    rate_hz: int,
    channels: int,
) -> None:
    """The voice is on the first channel only."""
    samples = np.zeros((len(resample(question, RATE_HZ, rate_hz)), channels), np.float32)
    samples[:, 0] = resample(question, RATE_HZ, rate_hz)
    soundfile.write(tmp_path / "q.wav", samples, rate_hz, subtype=subtype)
    status, answer = talk(tmp_path, "--url", live_server)
    assert status == 0
    must_be_the_answer(answer, capsys.readouterr().out, studio)


@pytest.mark.models
def test_without_a_server_it_is_its_own(
    studio: Studio, question: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "q.wav", question, RATE_HZ)
    status, answer = talk(tmp_path, "--offline")
    assert status == 0
    must_be_the_answer(answer, capsys.readouterr().out, studio)


# --- it says why it does not ------------------------------------------------------------------------------------


def complaint(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence on stderr, when the status says that it failed and no answer was written."""
    status, answer = talk(folder, *words)
    printed = capsys.readouterr()
    assert status == 1
    assert not answer.exists()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("voxtral-voice: ")
    assert line.endswith(".")
    return line


def truncated(path: Path) -> None:
    write_wav(path, tone(), RATE_HZ)
    path.write_bytes(path.read_bytes()[:20_000])


def header_only(path: Path) -> None:
    write_wav(path, tone()[:0], RATE_HZ)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (truncated, r"q\.wav is truncated: .* copy it again\.$"),
        (header_only, r"q\.wav holds no audio\.$"),
        (lambda path: path.write_bytes(b""), r"q\.wav is empty\.$"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(5000)), r"q\.wav is not an audio file .* give a WAV"),
        (lambda path: write_wav(path, 0 * tone(), RATE_HZ), r"No speech was heard in .*q\.wav: it is silent"),
        (Path.mkdir, r"q\.wav is a directory; give an audio file\.$"),
        (lambda _: None, r"q\.wav does not exist\.$"),
    ],
    ids=["truncated", "header only", "empty", "a picture", "silent", "a directory", "missing"],
)
def test_a_question_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], sentence: str
) -> None:
    make(tmp_path / "q.wav")
    assert re.search(sentence, complaint(tmp_path, capsys, "--url", NOBODY))


def test_a_port_where_nobody_listens_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "q.wav", tone(), RATE_HZ)
    with socket.socket() as unheard:  # bound, so that nobody else takes the port, but not listening
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        line = complaint(tmp_path, capsys, "--url", f"http://{address}")
    assert f"No server can be reached at ws://{address}/v1/realtime; start one with voxtral-voice serve." in line


@pytest.mark.models
@embedded
def test_a_question_in_which_nobody_speaks_is_one_sentence(
    live_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hum is heard by the microphone, but not by a real voice-activity model."""
    monkeypatch.setattr(talk_module, "ANSWER_TIMEOUT_S", 3.0)
    write_wav(tmp_path / "q.wav", tone(), RATE_HZ)
    line = complaint(tmp_path, capsys, "--url", live_server)
    assert re.search(r"No speech was heard in .*q\.wav: the server noticed none", line)
