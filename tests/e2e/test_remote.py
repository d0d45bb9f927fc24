"""`voxtral-voice serve` with every engine behind a URL: a turn, from one real socket to three others and back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest

from tests.engines.speech import say
from tests.server.caller import PATIENCE_S, calling
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.stub.plan import INSTANT, StubPlan
from voxtral_voice.bench.stub.serve import Urls, serving, stub_engines
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ

SILERO: Final = "silero-vad-v5.onnx"
START_S: Final = 60.0
QUESTIONS: Final = ("What is the capital of France?", "Please turn on the lights in the kitchen.")


def plan() -> StubPlan:
    clips = []
    for text in QUESTIONS:
        samples = say(text)
        clips.append(Clip(text, "turn", text, "en", samples, LISTEN_RATE_HZ, 0, len(samples) / LISTEN_RATE_HZ))
    return StubPlan(clips, latencies=INSTANT)


def question(clip: Clip) -> Samples:
    """And silence behind it; 24 kHz."""
    return np.concatenate([resample(clip.samples, LISTEN_RATE_HZ, SPEAK_RATE_HZ), np.zeros(SPEAK_RATE_HZ, np.float32)])


@asynccontextmanager
async def served(profile: str, urls: Urls, *flags: str) -> AsyncIterator[str]:
    parts = {"transcriber": urls.transcription, "responder": urls.chat, "speaker": urls.speech}
    settings = [f"--{part}-url={url}" for part, url in parts.items()]
    command = ["-m", "voxtral_voice", "serve", "--profile", profile, "--port=0", "--offline", *settings, *flags]
    server = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            url = (await server.stdout.readline()).decode().strip()
        assert url, "the server did not start"
        yield url
    finally:
        server.terminate()
        await server.wait()


async def converse(url: str, plan: StubPlan) -> None:
    async with calling(url) as caller:
        for count, clip in enumerate(plan.clips, 1):
            await caller.played()
            before = len(caller.said())
            await caller.say(question(clip))
            done = await caller.until("response.done", count)
            assert done["response"]["status"] == "completed", done
            assert caller.said()[before:] == plan.reply(clip.text)


async def get(url: str) -> dict[str, object]:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        answer: dict[str, object] = (await client.get(url)).json()
    return answer


async def test_a_conversation_over_urls_without_any_model() -> None:
    made = plan()
    async with serving(stub_engines(made)) as urls, served("fake", urls) as url:
        ready = await get(f"{url}/readyz")
        assert ready["engines"] == {
            "voice_activity": "fake voice activity",
            "turn_judge": "fake turn judge",
            "transcriber": f"stub at {urls.transcription}",
            "responder": f"stub at {urls.chat}",
            "speaker": f"stub at {urls.speech}",
        }
        await converse(url, made)
        for part in (urls.transcription, urls.chat, urls.speech):
            stats = await get(Urls.stats(part))
            synthetic = 1  # turn, at the start, whose clip they do not know
            assert (stats["in_flight"], stats["failed"], stats["unknown"]) == (0, 0, synthetic)


@pytest.mark.models
async def test_the_remote_profile_needs_one_model_when_the_silence_alone_decides(
    model_files: Callable[[str], Path], tmp_path: Path
) -> None:
    """In a folder that holds nothing else."""
    (tmp_path / SILERO).symlink_to(model_files(SILERO))
    made = plan()
    flags = ("--turns-judge=none", f"--weights-dir={tmp_path}")
    async with serving(stub_engines(made)) as urls, served("remote", urls, *flags) as url:
        assert (await get(f"{url}/readyz"))["ready"] is True
        await converse(url, made)


async def test_a_server_that_is_not_there_is_one_sentence() -> None:
    nowhere = Urls(*["http://127.0.0.1:9/v1"] * 3)
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", "fake", "--port=0"]
    server = await asyncio.create_subprocess_exec(
        *command, f"--responder-url={nowhere.chat}", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(START_S):
        out, said = await server.communicate()
    assert (out, server.returncode) == (b"", 1)
    assert said.decode() == (
        "voxtral-voice: No server answers at http://127.0.0.1:9/v1/models (Connection refused): start it, or correct "
        "responder.url.\n"
    )
