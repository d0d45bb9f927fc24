"""The stub as a process: one line of JSON, and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.bench.stub.make import RATE_HZ, TEXTS, clips
from tests.engines.speech import say
from voxtral_voice.audio.wav import write_wav
from voxtral_voice.bench.stub.__main__ import main
from voxtral_voice.bench.stub.listing import clips_in
from voxtral_voice.bench.stub.plan import StubPlan
from voxtral_voice.bench.stub.serve import Urls
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Message
from voxtral_voice.engines.openai_responder import OpenAIResponder
from voxtral_voice.engines.openai_speaker import OpenAISpeaker
from voxtral_voice.engines.openai_transcriber import OpenAITranscriber
from voxtral_voice.engines.remote import Remote

STOP_S: Final = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, made in enumerate(clips()):
        write_wav(tmp_path / f"{i}.wav", made.samples, RATE_HZ)
        (tmp_path / f"{i}.txt").write_text(made.text)
    return tmp_path


@contextmanager
def stub(*flags: str) -> Iterator[Urls]:
    command = [sys.executable, "-m", "voxtral_voice.bench.stub", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Urls(**json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=STOP_S)
    assert (rest, process.returncode) == ("", 0)


async def conversation(urls: Urls, samples: Any) -> tuple[str, str, int]:
    """What our own remote engines hear, answer and say. Both come from a list of one model."""
    ear, brain = OpenAITranscriber(Remote(urls.transcription)), OpenAIResponder(Remote(urls.chat))
    mouth = OpenAISpeaker(Remote(urls.speech))
    for engine in (ear, brain, mouth):
        await engine.start()
    try:
        heard = await ear.transcribe(samples, language=None, prompt="", final=True)
        answer = brain.respond([Message("user", heard.text)], language=heard.language, max_tokens=None)
        said = [piece async for piece in answer if isinstance(piece, str)]
        chunks = [c async for c in mouth.speak("".join(said), voice="af_heart", speed=1.0)]
    finally:
        for engine in (ear, brain, mouth):
            await engine.aclose()
    return heard.text, "".join(said), sum(len(chunk.samples) for chunk in chunks)


def test_a_process_answers_every_clip_as_the_plan_of_the_same_seed_says(folder: Path) -> None:
    plan = StubPlan(clips_in(folder), seed=7)
    with stub("--clips-dir", str(folder), "--seed", "7", "--instant") as urls:
        for i in (0, 5):
            heard, said, samples = asyncio.run(conversation(urls, clips()[i].samples))
            assert (heard, said) == (TEXTS[i], plan.reply(TEXTS[i]))
            assert samples > 3 * 24_000
        stats = httpx.get(Urls.stats(urls.transcription), trust_env=False).json()
        assert (stats["served"], stats["unknown"]) == (2, 0)


def test_a_list_and_silence_before_the_sound(folder: Path) -> None:
    listed = folder / "clips.json"
    listed.write_text(json.dumps([{"id": "a", "text": TEXTS[0], "wav": "0.wav"}]))
    with stub("--clips-json", str(listed), "--instant", "--leading-silence-ms", "100") as urls:
        body = {"model": "m", "voice": "alloy", "input": "Hi", "response_format": "pcm"}
        pcm = httpx.post(urls.speech + "/audio/speech", json=body, trust_env=False).content
    assert not any(pcm[: 2 * 2400])
    assert any(pcm[2 * 2400 : 2 * 2500])


@pytest.mark.models
def test_the_real_models_behind_the_same_urls(model_files: Callable[[str], Path]) -> None:
    for name in ("whisper-base/model.bin", "smollm2-135m-instruct-q4_1.gguf", "kokoro-v1.0-int8.onnx"):
        model_files(name)
    with stub("--models") as urls:
        heard, said, samples = asyncio.run(conversation(urls, say("What is the capital of France?")))
    assert heard == "What is the capital of France?"
    assert "Paris" in said
    assert samples > len(said.split()) * 0.1 * SPEAK_RATE_HZ


def test_clips_that_are_not_there_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips-json", str(tmp_path / "none.json")]) == 1
    said = capsys.readouterr().err
    assert said == f"stub: The list of clips {tmp_path}/none.json cannot be read (No such file or directory).\n"


@pytest.mark.parametrize("argv", [[], ["--models", "--clips-dir", "x"], ["--clips-dir", "x", "--seed", "a"]])
def test_wrong_words(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(argv)
    assert raised.value.code == 2
