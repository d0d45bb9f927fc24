"""The stock OpenAI SDK against a server of the test, and recordings to send.

The SDK's plain client runs on a thread: what it blocks there is not the server's loop.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any, Final, TypeVar

import av
import numpy as np
import openai

from tests.server.caller import PATIENCE_S
from voxtral_voice.audio.pcm import Samples

T = TypeVar("T")

RATE_HZ: Final = 16_000
CONTAINERS: Final = {
    "wav": ("wav", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "ogg": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "flac": ("flac", "flac"),
    "aiff": ("aiff", "pcm_s16be"),
}
"""Ending -> FFmpeg's container and codec."""


async def ask(url: str, work: Callable[[openai.OpenAI], T]) -> T:
    return await asyncio.to_thread(_ask, url, work)


def _ask(url: str, work: Callable[[openai.OpenAI], T]) -> T:
    transport = openai.DefaultHttpx2Client(trust_env=False)
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S, http_client=transport
    ) as client:
        return work(client)


def problem(error: openai.APIStatusError) -> tuple[int, Any, Any]:
    """(status, code, param)"""
    return error.status_code, error.code, error.param


def tone(seconds: float, rate_hz: int = RATE_HZ, hz: float = 440.0, level: float = 0.3) -> Samples:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)).astype(np.float32)


def silence(seconds: float, rate_hz: int = RATE_HZ) -> Samples:
    return np.zeros(round(rate_hz * seconds), np.float32)


def recording(ending: str, samples: Samples, rate_hz: int = RATE_HZ) -> bytes:
    """A file as people have them."""
    container, codec = CONTAINERS[ending]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        pcm = np.rint(np.clip(samples, -1, 1) * 32_767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()
