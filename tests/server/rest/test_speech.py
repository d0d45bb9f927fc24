from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import numpy as np
import openai
import orjson
import pytest

from tests.server.caller import PATIENCE_S
from tests.server.conftest import Server, Serving, quick
from tests.server.rest.sdk import ask, problem
from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.engines.base import SpeechChunk, Voice
from voxtral_voice.engines.fakes import Broken, FakeSpeaker
from voxtral_voice.errors import RequestError
from voxtral_voice.server import rest
from voxtral_voice.server.rest.decode import decoded
from voxtral_voice.server.rest.encode import FORMATS, KINDS, Format

TEXT = "One two three. Four five six seven, and eight."
WORDS = 9
SECONDS = WORDS * 0.24
BODY: dict[str, Any] = {"model": "tts-1", "input": TEXT, "voice": "alloy", "response_format": "pcm"}


async def post(server: Server, content: Any, path: str = "/v1/audio/speech", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
        body = {"json": content} if isinstance(content, dict) else {"content": content}
        return await client.post(path, **{**body, **options})


@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_streamed_to_the_sdk(serving: Serving, form: Format) -> None:
    def work(client: openai.OpenAI) -> tuple[str, bytes]:
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input=TEXT, response_format=form, instructions="Whisper it."
        ) as response:
            return response.headers["content-type"], b"".join(response.iter_bytes())

    async with serving(quick()) as server:
        kind, data = await ask(server.url, work)
    assert kind == KINDS[form].media_type
    assert seconds_of(form, data) == pytest.approx(SECONDS, abs=0.11)


def seconds_of(form: Format, data: bytes) -> float:
    if form == "pcm":
        return len(data) / 48_000
    return sum(block.size for block in decoded(io.BytesIO(data))) / 16_000


async def test_mp3_is_the_default(serving: Serving) -> None:
    async with serving() as server:
        answer = await post(server, {"model": "tts-1", "input": TEXT})
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.headers["transfer-encoding"] == "chunked"


async def test_speed(serving: Serving) -> None:
    async with serving() as server:
        answer = await post(server, {**BODY, "speed": 2})
        assert len(answer.content) / 48_000 == pytest.approx(SECONDS / 2, abs=0.01)


async def test_voices_by_our_names_openai_s_and_as_an_object(serving: Serving) -> None:
    asked: list[str] = []

    class Noting(FakeSpeaker):
        def speak(
            self, text: str, *, voice: str, speed: float, language: str | None = None
        ) -> AsyncGenerator[SpeechChunk, None]:
            asked.append(voice)
            return super().speak(text, voice=voice, speed=speed, language=language)

    async with serving(quick(speaker=Noting(0, 0))) as server:
        for voice in ("hf_alpha", "marin", {"id": "af_bella"}, {"id": "coral"}, None):
            assert (await post(server, {**BODY, "input": "Hi.", "voice": voice})).status_code == 200
    assert asked == ["hf_alpha", "af_heart", "af_bella", "af_bella", "af_heart"]


@pytest.mark.parametrize(
    ("text", "asked", "used", "language", "why"),
    [
        ("Good morning, my friend.", "af_heart", "af_heart", "en", "asked"),
        ("नमस्ते, आप कैसे हैं?", "am_michael", "hm_omega", "hi", "language"),
        ("Je suis très content de vous voir.", "af_heart", "ff_siwis", "fr", "language"),
        ("안녕하세요.", "af_heart", "af_heart", "ko", "no_voice"),
        ("12", "af_heart", "af_heart", "en", "asked"),
        ("1e999", "af_heart", "af_heart", "en", "asked"),
        ("No.", "af_heart", "af_heart", "en", "asked"),
        ("No.", "ff_siwis", "ff_siwis", "fr", "asked"),
        ("मैंने laptop order कर दिया है", "af_heart", "hf_alpha", "hi", "language"),
    ],
)
async def test_a_voice_of_the_text_s_language_speaks_and_the_client_is_told(
    serving: Serving, text: str, asked: str, used: str, language: str | None, why: str
) -> None:
    voice = {"asked": asked, "used": used, "language": language, "why": why}
    async with serving() as server:
        answer = await post(server, {**BODY, "input": text, "voice": asked})
        assert (answer.status_code, orjson.loads(answer.headers["x-voxtral-voice"])) == (200, voice)
        events = await post(server, {**BODY, "input": text, "voice": asked, "stream_format": "sse"})
        assert orjson.loads(events.text.split("data: ")[-1])["voxtral_voice"] == {"voice": voice}


async def test_a_voice_that_is_gone_meanwhile_is_an_error(serving: Serving) -> None:
    class Gone(FakeSpeaker):
        def find(self, name: str) -> Voice:
            raise RequestError("speaker", f"There is no voice {name!r}.")

    async with serving(quick(speaker=Gone(0, 0))) as server:
        assert "There is no voice 'af_heart'." in (await post(server, {**BODY, "voice": "af_heart"})).text


@pytest.mark.parametrize("text", ["?! ... !!", "😀 🎈👍🏽", "```\nprint('hi')\n```", " \n ", "| a | b |\n| c | d |"])
async def test_code_tables_and_marks_are_not_spoken(serving: Serving, text: str) -> None:
    async with serving() as server:
        answer = await post(server, {**BODY, "input": text})
        assert answer.status_code == 400
        assert "there is nothing to say aloud in it" in answer.text


async def test_the_first_phrase_is_sent_before_the_second_is_spoken(serving: Serving) -> None:
    may_go_on = asyncio.Event()

    class Waiting(FakeSpeaker):
        phrases = 0

        async def speak(
            self, text: str, *, voice: str, speed: float, language: str | None = None
        ) -> AsyncGenerator[SpeechChunk, None]:
            self.phrases += 1
            if self.phrases > 1:
                await may_go_on.wait()
            async for chunk in super().speak(text, voice=voice, speed=speed, language=language):
                yield chunk

    async with serving(quick(speaker=Waiting(0, 0))) as server:
        for form in FORMATS:
            may_go_on.clear()
            server.runtime.engines.speaker.phrases = 0  # type: ignore[attr-defined]
            async with (
                httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client,
                client.stream("POST", "/v1/audio/speech", json={**BODY, "response_format": form}) as answer,
            ):
                pieces = answer.aiter_bytes()
                first = await anext(pieces)
                assert first, form
                may_go_on.set()
                assert [piece async for piece in pieces], form


async def test_events(serving: Serving) -> None:
    async with serving() as server:
        answer = await post(server, {**BODY, "stream_format": "sse"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [orjson.loads(line[5:]) for line in answer.text.splitlines() if line]
        assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
        assert events[-1]["type"] == "speech.audio.done"
        assert events[-1]["usage"].keys() == {"input_tokens", "output_tokens", "total_tokens"}
        data = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
        assert len(pcm16_to_float(data)) / 24_000 == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": "x" * 4097}, "input", "invalid_value"),
        ({"input": "...!"}, "input", "invalid_value"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": ["tts-1"]}, "model", "invalid_value"),
        ({"voice": "darth"}, "voice", "invalid_value"),
        ({"voice": {"id": "darth"}}, "voice.id", "invalid_value"),
        ({"voice": {}}, "voice.id", "missing_required_parameter"),
        ({"voice": 3}, "voice", "invalid_value"),
        ({"speed": 0.2}, "speed", "invalid_value"),
        ({"speed": 4.1}, "speed", "invalid_value"),
        ({"speed": "1"}, "speed", "invalid_value"),
        ({"response_format": "ogg"}, "response_format", "invalid_value"),
        ({"stream_format": "ws"}, "stream_format", "invalid_value"),
    ],
)
async def test_bad_fields(serving: Serving, change: dict[str, Any], param: str, code: str) -> None:
    def work(client: openai.OpenAI) -> None:
        client.post("/audio/speech", body={**BODY, **change}, cast_to=httpx.Response)

    async with serving() as server:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(server.url, work)
        assert problem(caught.value) == (400, code, param)
        assert server.runtime.failing == {}


async def test_an_unknown_model(serving: Serving) -> None:
    async with serving() as server:
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(server.url, lambda client: client.audio.speech.create(model="bark", voice="alloy", input="Hi."))
        assert problem(caught.value) == (404, "model_not_found", "model")


async def test_4096_characters_are_not_too_many(serving: Serving) -> None:
    async with serving() as server:
        answer = await post(server, {**BODY, "input": "ab " * 1365 + "a"})
        assert len(answer.content) / 48_000 == pytest.approx(1366 * 0.24, abs=0.1)


@pytest.mark.parametrize(
    ("broken", "status", "code", "failing"),
    [
        (Broken("the model is gone"), 500, "engine_failed", True),
        (None, 400, "invalid_value", False),
    ],
)
async def test_a_speaker_that_fails_before_it_spoke(
    serving: Serving, broken: Broken | None, status: int, code: str, failing: bool
) -> None:
    class Refusing(FakeSpeaker):
        async def speak(self, *_: Any, **__: Any) -> AsyncGenerator[SpeechChunk, None]:
            raise RequestError("speaker", "Too long for it.")
            yield  # a generator

    speaker = FakeSpeaker(0, 0, broken=broken) if broken else Refusing()
    async with serving(quick(speaker=speaker)) as server:
        answer = await post(server, BODY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert ("speaker" in server.runtime.failing) == failing
        assert await server.metric("engine_failures_total", engine="speaker") == failing


async def test_a_speaker_that_works_again(serving: Serving) -> None:
    speaker = FakeSpeaker(0, 0, broken=Broken("for now"))
    async with serving(quick(speaker=speaker)) as server:
        assert (await post(server, BODY)).status_code == 500
        speaker.broken = None
        assert (await post(server, BODY)).status_code == 200
        assert server.runtime.failing == {}


async def test_a_speaker_that_fails_in_the_middle(serving: Serving) -> None:
    """Audio is cut off without its end; events end with an error."""
    for after in (3, 6):
        async with serving(quick(speaker=FakeSpeaker(0, 0, broken=Broken("it is gone", after)))) as server:
            with pytest.raises(httpx.RemoteProtocolError):
                await post(server, BODY)
            server.runtime.engines.speaker.broken = Broken("it is gone", after + 3)  # type: ignore[attr-defined]
            answer = await post(server, {**BODY, "stream_format": "sse"})
            last = orjson.loads(answer.text.splitlines()[-2][5:])
            assert last["error"]["code"] == "engine_failed"
            assert server.runtime.failing == {"speaker": "it is gone"}


async def test_a_speaker_that_does_not_answer(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.patience.SPEAKER_S", 0.01)
    async with serving(quick(speaker=FakeSpeaker(first_audio_ms=60_000))) as server:
        answer = await post(server, BODY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_timeout")
        assert answer.headers["retry-after"] == "1"


async def test_a_speaker_that_does_not_end(serving: Serving) -> None:
    class Endless(FakeSpeaker):
        async def speak(self, *_: Any, **__: Any) -> AsyncGenerator[SpeechChunk, None]:
            while True:
                yield SpeechChunk(np.zeros(240_000, np.float32))

    async with serving(quick(speaker=Endless())) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(server, BODY)
        assert "more than" in server.runtime.failing["speaker"]


class Held(FakeSpeaker):
    """Speaks when it is let; counts who is being spoken to."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.speaking = 0
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.may_speak = asyncio.Event()

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.speaking += 1
        self.begun.set()
        try:
            await self.may_speak.wait()
            async for chunk in super().speak(text, voice=voice, speed=speed, language=language):
                yield chunk
        finally:
            self.speaking -= 1
            self.ended.set()


async def test_a_client_that_hangs_up_stops_the_work(serving: Serving) -> None:
    speaker = Held()
    async with serving(quick(speaker=speaker)) as server, asyncio.timeout(PATIENCE_S):
        call = asyncio.create_task(post(server, BODY))
        await speaker.begun.wait()
        call.cancel()
        await speaker.ended.wait()
        assert speaker.speaking == 0


async def test_so_many_at_once_and_the_next_is_told_to_come_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MOST_SPEECHES", 1)
    speaker = Held()
    async with serving(quick(speaker=speaker)) as server, asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE_S):
        first = group.create_task(post(server, BODY))
        await speaker.begun.wait()
        second = await post(server, BODY)
        assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert second.headers["retry-after"] == "1"
        speaker.may_speak.set()
        assert (await first).status_code == 200
        assert (await post(server, BODY)).status_code == 200
