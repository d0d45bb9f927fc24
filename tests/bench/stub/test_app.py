"""The three endpoints as OpenAI's own client sees them, and what they do when engines fail or clients leave."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import httpx
import numpy as np
import openai
import pytest
import soundfile
from openai import AsyncOpenAI

from tests.bench.stub.make import RATE_HZ, clips
from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.bench.stub.engines import WORD_MS
from voxtral_voice.bench.stub.plan import INSTANT, StubPlan, tokens_of
from voxtral_voice.bench.stub.serve import Trio, Urls, serving, stub_engines
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeSpeaker, FakeTranscriber
from voxtral_voice.errors import EngineError, RequestError

PATIENCE_S: Final = 10.0
PLAN: Final = StubPlan(clips(), latencies=INSTANT)
CLIP: Final = PLAN.clips[0]
REPLY: Final = PLAN.reply(CLIP.text)
MESSAGES: Final[Any] = [{"role": "user", "content": CLIP.text}]


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, CLIP.samples, RATE_HZ, format="WAV")
    return file.getvalue()


class Clients:
    """OpenAI's, one per port."""

    def __init__(self, urls: Urls) -> None:
        self.urls = urls
        self.transcription, self.chat, self.speech = (
            AsyncOpenAI(base_url=url, api_key="any", max_retries=0, timeout=PATIENCE_S)
            for url in (urls.transcription, urls.chat, urls.speech)
        )

    async def aclose(self) -> None:
        for client in (self.transcription, self.chat, self.speech):
            await client.close()

    async def stats(self, url: str) -> Mapping[str, int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            return cast(Mapping[str, int], (await client.get(Urls.stats(url))).json())


@asynccontextmanager
async def calling(engines: Trio | None = None) -> AsyncIterator[Clients]:
    async with serving(engines or stub_engines(PLAN)) as urls:
        clients = Clients(urls)
        try:
            yield clients
        finally:
            await clients.aclose()


def fakes(**engines: Any) -> Trio:
    quick = {"transcriber": FakeTranscriber(), "speaker": FakeSpeaker(0, 0)}
    return Trio(**{**quick, "responder": FakeResponder(first_token_ms=0, token_ms=0), **engines})


# --- transcription ------------------------------------------------------------------------------------------------


async def test_transcription() -> None:
    async with calling() as clients:
        create = clients.transcription.audio.transcriptions.create
        plain = await create(file=("a.wav", wav()), model="any", language="en", prompt="words")
        assert plain.text == CLIP.text
        text: Any = await create(file=("a.wav", wav()), model="any", response_format="text")
        assert text == CLIP.text + "\n"
        verbose = await create(file=("a.wav", wav()), model="any", response_format="verbose_json")
        assert (verbose.text, verbose.language) == (CLIP.text, "en")
        assert verbose.duration == pytest.approx(CLIP.end_s, abs=0.01)
        assert verbose.segments is not None
        assert verbose.segments[0].text == CLIP.text
        events = [event async for event in await create(file=("a.wav", wav()), model="any", stream=True)]
        assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
        assert await clients.stats(clients.urls.transcription) == {
            "served": 4,
            "in_flight": 0,
            "left": 0,
            "failed": 0,
            "unknown": 0,
        }


async def test_audio_that_is_no_clip_is_counted() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(9).uniform(-0.5, 0.5, RATE_HZ), RATE_HZ, format="FLAC")
    async with calling() as clients:
        heard = await clients.transcription.audio.transcriptions.create(file=("a.flac", file.getvalue()), model="any")
        assert heard.text == "unknown"
        assert (await clients.stats(clients.urls.transcription))["unknown"] == 1


# --- chat ---------------------------------------------------------------------------------------------------------


async def test_a_chat_is_streamed_token_by_token() -> None:
    async with calling() as clients:
        stream = await clients.chat.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas if delta.content] == tokens_of(REPLY)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])


async def test_usage_and_a_limit() -> None:
    async with calling() as clients:
        stream = await clients.chat.chat.completions.create(
            model="any", messages=MESSAGES, stream=True, max_tokens=3, stream_options={"include_usage": True}
        )
        *_, last, usage = [chunk async for chunk in stream]
        assert last.choices[0].finish_reason == "length"
        assert usage.usage is not None
        assert (usage.choices, usage.usage.completion_tokens) == ([], 3)


async def test_a_chat_at_once() -> None:
    async with calling() as clients:
        answer = await clients.chat.chat.completions.create(model="any", messages=MESSAGES)
    assert answer.choices[0].message.content == REPLY
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(tokens_of(REPLY))


async def test_a_chat_without_words_is_still_an_answer() -> None:
    async with calling(fakes(responder=FakeResponder(lambda _: "", 0, 0))) as clients:
        stream = await clients.chat.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        assert [chunk.choices[0].finish_reason async for chunk in stream] == ["stop"]


# --- speech -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", ["alloy", "af_bella"])
async def test_speech(voice: str) -> None:
    async with calling() as clients:
        create = clients.speech.audio.speech.with_streaming_response.create
        async with create(model="any", voice=voice, input="Hello there.", response_format="pcm") as answer:
            pcm = await answer.read()
        async with create(model="any", voice=voice, input="Hello there.", response_format="wav") as answer:
            sound, rate_hz = soundfile.read(io.BytesIO(await answer.read()), dtype="float32")
    assert len(pcm) == 2 * round(2 * WORD_MS * SPEAK_RATE_HZ / 1000)
    assert rate_hz == SPEAK_RATE_HZ
    np.testing.assert_array_equal(sound, pcm16_to_float(pcm))


async def test_a_phrase_without_words_is_an_empty_answer() -> None:
    async with calling() as clients:
        answer = await clients.speech.audio.speech.create(
            model="any", voice="alloy", input="...", response_format="pcm"
        )
        assert answer.content == b""


# --- refusals and failures ----------------------------------------------------------------------------------------


async def test_refusals_are_openais_errors() -> None:
    async with calling() as clients:
        with pytest.raises(openai.BadRequestError, match="`file` is no audio that can be read"):
            await clients.transcription.audio.transcriptions.create(file=("a.wav", b"noise"), model="any")
        with pytest.raises(openai.BadRequestError, match="`messages` has to be a list"):
            await clients.chat.chat.completions.create(model="any", messages=[])
        with pytest.raises(openai.BadRequestError, match="There is no voice 'nobody': use one of af_heart, "):
            await clients.speech.audio.speech.create(model="any", voice="nobody", input="Hi", response_format="pcm")
        with pytest.raises(openai.BadRequestError, match="response_format 'mp3' is not made here"):
            await clients.speech.audio.speech.create(model="any", voice="alloy", input="Hi")
        with pytest.raises(openai.NotFoundError, match="There is nothing at POST /v1/embeddings"):
            await clients.chat.embeddings.create(model="any", input="a", encoding_format="float")
        assert (await clients.stats(clients.urls.speech))["failed"] == 2


async def test_a_body_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.bench.stub.app.MAX_BODY_BYTES", 1000)
    async with calling() as clients:
        with pytest.raises(openai.APIStatusError, match="The body is larger than 1000 bytes") as caught:
            await clients.transcription.audio.transcriptions.create(file=("a.wav", wav()), model="any")
        assert caught.value.status_code == 413


async def test_the_models() -> None:
    async with calling() as clients:
        assert [model.id async for model in clients.chat.models.list()] == ["stub"]


async def test_engines_that_fail() -> None:
    broken = Broken("out of memory")
    engines = fakes(
        transcriber=FakeTranscriber(broken=broken, latency_ms=0),
        responder=FakeResponder(first_token_ms=0, token_ms=0, broken=broken),
        speaker=FakeSpeaker(0, 0, broken=broken),
    )
    asks: list[Callable[[Clients], Any]] = [
        lambda c: c.transcription.audio.transcriptions.create(file=("a.wav", wav()), model="any"),
        lambda c: c.chat.chat.completions.create(model="any", messages=MESSAGES),
        lambda c: c.chat.chat.completions.create(model="any", messages=MESSAGES, stream=True),
        lambda c: c.speech.audio.speech.create(model="any", voice="alloy", input="Hi", response_format="pcm"),
    ]
    async with calling(engines) as clients:
        for ask in asks:
            with pytest.raises(openai.InternalServerError, match="out of memory"):
                await ask(clients)
        assert (await clients.stats(clients.urls.chat))["failed"] == 2


async def test_a_request_that_an_engine_cannot_do() -> None:
    class Picky(FakeTranscriber):
        async def transcribe(self, *_: Any, **__: Any) -> Any:
            raise RequestError("transcriber", "too long")

    async with calling(fakes(transcriber=Picky())) as clients:
        with pytest.raises(openai.BadRequestError, match="too long"):
            await clients.transcription.audio.transcriptions.create(file=("a.wav", wav()), model="any")


async def test_engines_that_fail_in_the_middle() -> None:
    broken = Broken("out of memory", after_steps=2)
    engines = fakes(
        responder=FakeResponder(first_token_ms=0, token_ms=0, broken=broken),
        speaker=FakeSpeaker(0, 0, broken=broken),
    )
    async with calling(engines) as clients:
        stream = await clients.chat.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="out of memory"):
            async for _ in stream:
                pass
        body = {"model": "any", "voice": "alloy", "input": "one two three", "response_format": "pcm"}
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
                await client.post(clients.urls.speech + "/audio/speech", json=body)


# --- clients that leave -------------------------------------------------------------------------------------------


class Endless:
    """Sleeps until it is cancelled, and says so."""

    def __init__(self) -> None:
        self.began, self.stopped = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: float) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.mark.parametrize("endpoint", ["transcription", "chat", "speech"])
async def test_a_client_that_leaves_stops_the_work(endpoint: str) -> None:
    endless = Endless()
    engines = Trio(FakeTranscriber(sleep=endless), FakeResponder(sleep=endless), FakeSpeaker(sleep=endless))
    async with calling(engines) as clients, asyncio.timeout(PATIENCE_S):
        ask: Any = {
            "transcription": lambda: clients.transcription.audio.transcriptions.create(file=wav(), model="any"),
            "chat": lambda: clients.chat.chat.completions.create(model="any", messages=MESSAGES, stream=True),
            "speech": lambda: clients.speech.audio.speech.create(
                model="any", voice="alloy", input="Hi", response_format="pcm"
            ),
        }[endpoint]
        url = getattr(clients.urls, endpoint)
        asking = asyncio.create_task(ask())
        await endless.began.wait()
        assert (await clients.stats(url))["in_flight"] == 1
        asking.cancel()
        await endless.stopped.wait()
        assert await clients.stats(url) == {"served": 0, "in_flight": 0, "left": 1, "failed": 0, "unknown": 0}


async def test_the_engines_are_started_and_closed() -> None:
    seen: list[str] = []

    class Watched(FakeSpeaker):
        async def start(self) -> None:
            seen.append("start")

        async def aclose(self) -> None:
            seen.append("close")

    async with calling(fakes(speaker=Watched())):
        assert seen == ["start"]
    assert seen == ["start", "close"]

    class BrokenSpeaker(Watched):
        async def start(self) -> None:
            raise EngineError("speaker", "no file")

    with pytest.raises(EngineError, match="no file"):
        async with calling(fakes(speaker=BrokenSpeaker())):
            pytest.fail("it started")
