"""What a careless or hostile client may send, over a real socket to a server in its own process: it is refused in one
sentence or handled, the session goes on, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from tests.server.caller import PATIENCE_S, RATE_HZ, Caller, appended, calling, silence, tone
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.silero import Silero
from voxtral_voice.server import run

MIB: Final = 1024 * 1024
MOST_MIB: Final = 100
"""Of half an hour of audio at once: the allocator was seen to keep 31 to 78. All of the audio would be 110 more."""
LAG_S: Final = 0.5
"""Most lag of the event loop, also under the largest message: 5 to 50 ms, but a busy machine keeps a process waiting
for a core longer than that. Decoding in the loop takes seconds."""
SETTINGS: Final = ("--patience", "0", "--playout-lead-ms", "10000")
"""So that a turn takes no longer than it must."""


@contextmanager
def started(*more: str) -> Iterator[tuple[str, psutil.Process]]:
    """The URL of a server with fake engines, and its process."""
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", "fake", "--port", "0", *SETTINGS, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip(), psutil.Process(server.pid)
        finally:
            server.terminate()


@pytest.fixture
def fresh() -> Iterator[tuple[str, psutil.Process]]:
    """As `started`: memory that other tests left free would hide what this one takes. It takes audio as fast as it
    comes."""
    with started("--limits-audio-speed", "100") as server:
        yield server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with started() as (url, _):
        yield url


async def metric(url: str, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        text = (await client.get(f"{url}/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return next(s.value for s in samples if s.name == f"voxtral_voice_{name}")


async def goes_on(caller: Caller) -> None:
    """A turn is answered, whatever was there before."""
    before = caller.count("response.done")

    def answered() -> bool:
        done = caller.all("response.done")[before:]
        return any(event["response"]["status"] == "completed" for event in done)

    await caller.played()
    await caller.speak()
    await caller.until_true(answered, "an answer")


def text_event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def session_update(**session: Any) -> str:
    return text_event("session.update", session={"type": "realtime", **session})


def nested(depth: int) -> str:
    return '{"type": "session.update", "session": ' + '{"a": ' * depth + "1" + "}" * depth + "}"


# --- refused ----------------------------------------------------------------------------------------------------

REFUSED: Final[dict[str, tuple[str | bytes, str, str]]] = {
    "nothing": ("", "invalid_json", "not valid JSON"),
    "not JSON": ("hello", "invalid_json", "not valid JSON"),
    "half of JSON": ('{"type": "session.update", ', "invalid_json", "not valid JSON"),
    "two at once": ("{}{}", "invalid_json", "not valid JSON"),
    "a lone surrogate": ('{"type": "\\ud800"}', "invalid_json", "not valid JSON"),
    "not a number": ('{"type": NaN}', "invalid_json", "not valid JSON"),
    "an array": ("[1, 2]", "invalid_event", "must be a JSON object"),
    "a text": ('"response.create"', "invalid_event", "must be a JSON object"),
    "null": ("null", "invalid_event", "must be a JSON object"),
    "an array 10 000 deep": ("[" * 10_000 + "]" * 10_000, "invalid_json", "not valid JSON"),
    "an object 10 000 deep": (nested(10_000), "invalid_json", "not valid JSON"),
    "an object 500 deep": (nested(500), "missing_required_parameter", "'session.type'"),
    "a binary frame": (b"\0\1\2\3", "invalid_event", "Binary frames are not taken"),
    "an empty binary frame": (b"", "invalid_event", "Binary frames are not taken"),
    "JSON in a binary frame": (b'{"type": "response.create"}', "invalid_event", "Binary frames are not taken"),
    "no type": ("{}", "missing_required_parameter", "'type'"),
    "a type that is no text": ('{"type": 7}', "invalid_value", "'type'"),
    "an unknown type": (text_event("response.explode"), "invalid_value", "response.explode"),
    "a server's event": (text_event("response.done", response={}), "invalid_value", "response.done"),
    "an endless name": (text_event("x" * 100_000), "invalid_value", "'type'"),
    "audio that is not base64": (text_event("input_audio_buffer.append", audio="%%%"), "invalid_value", "base64"),
    "base64 cut short": (text_event("input_audio_buffer.append", audio="AAA"), "invalid_value", "base64"),
    "audio that is no text": (text_event("input_audio_buffer.append", audio=[0]), "invalid_value", "'audio'"),
    "no audio": (text_event("input_audio_buffer.append"), "missing_required_parameter", "'audio'"),
    "a commit of nothing": (
        text_event("input_audio_buffer.commit"),
        "input_audio_buffer_commit_empty",
        "buffer too small",
    ),
    "Opus": (
        session_update(audio={"input": {"format": {"type": "audio/opus"}}}),
        "invalid_value",
        "audio/pcmu",
    ),
    "16 kHz": (
        session_update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}),
        "invalid_value",
        "24000",
    ),
    "a format of the beta": (
        session_update(audio={"output": {"format": "pcm16"}}),
        "invalid_value",
        "session.audio.output.format",
    ),
    "an unknown voice": (session_update(audio={"output": {"voice": "nobody"}}), "invalid_value", "nobody"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_and_the_session_goes_on(url: str, name: str) -> None:
    frame, code, words = REFUSED[name]
    async with calling(url) as caller:
        await caller.send_raw(frame)
        error = (await caller.until("error"))["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert words in error["message"]
        assert len(error["message"]) < 500
        await goes_on(caller)
        assert caller.count("error") == 1


async def test_a_thousand_of_them_at_once(url: str) -> None:
    async with calling(url) as caller:
        for _ in range(1_000):
            await caller.send_raw("hello")
        await caller.until("error", 1_000)
        await goes_on(caller)


async def test_text_that_is_no_utf_8_ends_the_session(url: str) -> None:
    """RFC 6455, section 8.1."""
    async with calling(url) as other:
        async with calling(url) as caller:
            await caller.socket.send(b"\xff\xfe", text=True)
            assert (await caller.until_hung_up())[0] == 1007
        await goes_on(other)


# --- handled ----------------------------------------------------------------------------------------------------


def noise(ms: float, dbfs: float) -> Samples:
    samples = np.random.default_rng(1).standard_normal(int(RATE_HZ * ms / 1000)) * 10 ** (dbfs / 20)
    return np.clip(samples, -1, 1).astype(np.float32)


async def test_an_empty_append(url: str) -> None:
    async with calling(url) as caller:
        for _ in range(10):
            await caller.send_raw(appended(b""))
        await goes_on(caller)
        assert caller.errors() == []


async def test_samples_cut_in_the_middle(url: str) -> None:
    """The halves are put together again: the whole turn is sent in pieces of odd length."""
    async with calling(url) as caller:
        pcm = float_to_pcm16(np.concatenate((tone(480), silence(320))))
        for start in range(0, len(pcm), 961):
            await caller.send_raw(appended(pcm[start : start + 961]))
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert caller.errors() == []
        await caller.send_raw(appended(b"\0"))
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        await goes_on(caller)


async def test_silence_is_no_turn(url: str) -> None:
    async with calling(url) as caller:
        await caller.say(silence(30_000), chunk_ms=100)
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        assert caller.count("input_audio_buffer.speech_started") == 0
        await goes_on(caller)


@pytest.mark.parametrize("dbfs", [-90, -50])
async def test_faint_noise_is_no_turn(url: str, dbfs: float) -> None:
    """To an energy gate; louder noise is speech to it, see the real model below."""
    async with calling(url) as caller:
        await caller.say(noise(10_000, dbfs), chunk_ms=100)
        await goes_on(caller)
        assert caller.count("input_audio_buffer.speech_started") == 1


async def test_clipping(url: str) -> None:
    async with calling(url) as caller:
        await caller.say(np.sign(tone(480)))
        await caller.say(np.where(np.arange(12_000) % 2, 1.0, -1.0).astype(np.float32))
        await caller.say(silence(320))
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert caller.errors() == []


# --- much -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pcm_bytes", "error"), [(15 * MIB, None), (20 * MIB, "at most 15 MiB")], ids=["20 MiB of base64", "20 MiB of PCM"]
)
async def test_an_append_of_20_mib(url: str, pcm_bytes: int, error: str | None) -> None:
    frame = appended(bytes(pcm_bytes))
    async with calling(url) as caller, calling(url) as other:
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.send_raw(frame))
            for _ in range(3):
                await goes_on(other)
        if error is not None:
            assert error in (await caller.until("error"))["error"]["message"]
        await goes_on(caller)
        lag_s = await metric(url, "event_loop_lag_seconds")
        print(f"event loop lag {lag_s * 1000:.0f} ms")
        assert lag_s < LAG_S


async def test_a_message_larger_than_any_may_be_ends_the_session(url: str) -> None:
    async with calling(url) as other:
        async with calling(url) as caller:
            with suppress(ConnectionClosed):
                await caller.send_raw(" " * (32 * MIB + 1))
            assert (await caller.until_hung_up())[0] == 1009
        await goes_on(other)


async def test_30_minutes_as_fast_as_the_socket_takes_them(fresh: tuple[str, psutil.Process]) -> None:
    url, server = fresh
    frames = [appended(float_to_pcm16(piece)) for piece in (*[tone(200)] * 15, *[silence(200)] * 5)]
    async with calling(url) as caller, calling(url) as other:
        await goes_on(caller)
        before = server.memory_info().rss
        most = before
        for number in range(30 * 60 * 5):
            await caller.send_raw(frames[number % len(frames)])
            if number % 100 == 0:
                most = max(most, server.memory_info().rss)
            if number % 3_000 == 1_500:
                await goes_on(other)
        await caller.say(silence(1_000))
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        await goes_on(caller)
        lag_s = await metric(url, "event_loop_lag_seconds")
        grown, peak = (server.memory_info().rss - before) / MIB, (most - before) / MIB
        print(f"grew by {grown:.1f} MiB, at most by {peak:.1f} MiB, event loop lag {lag_s * 1000:.0f} ms")
        assert grown < MOST_MIB
        assert peak < MOST_MIB
        assert lag_s < LAG_S
        assert caller.errors() == []


# --- the real voice activity ------------------------------------------------------------------------------------


@asynccontextmanager
async def hearing_with(silero: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(run, "build_engines", lambda *_: registry.fake(voice_activity=Silero(silero)))
    async with run.running(Config(profile="fake", server=ServerConfig(port=0))) as url:
        yield url


@pytest.mark.models
@pytest.mark.parametrize("dbfs", [-60, -40, -30, -20, -10, -3])
async def test_white_noise_is_no_turn(
    model_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, dbfs: float
) -> None:
    async with hearing_with(model_files("silero-vad-v5.onnx"), monkeypatch) as url, calling(url) as caller:
        await caller.say(noise(20_000, dbfs), chunk_ms=100)
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        assert caller.count("input_audio_buffer.speech_started") == 0
