from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent, TranscriptionVerbose

from tests.server.caller import PATIENCE_S
from tests.server.conftest import Server, Serving, quick
from tests.server.rest.sdk import CONTAINERS, ask, problem, recording, silence, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import Transcript
from voxtral_voice.engines.fakes import Broken, FakeTranscriber, FakeVoiceActivity
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError
from voxtral_voice.server import rest
from voxtral_voice.server.rest import hearing

SHORT = recording("wav", tone(1.6))
LONG = recording(
    "wav", np.concatenate((silence(0.96), tone(9.6), silence(0.64), tone(3.2), silence(3.2), tone(1.6), silence(0.32)))
)
"""Three pieces: at 0.96 to 10.56, 11.2 to 14.4 and 17.6 to 19.2 s."""
LINES = ("Hello there.", "How are you?", "Goodbye.")
SECONDS = 19.52


def transcriber() -> FakeTranscriber:
    return FakeTranscriber(LINES, 0)


def create(client: openai.OpenAI, data: bytes = LONG, **options: Any) -> Any:
    return client.audio.transcriptions.create(model="whisper-1", file=("speech.wav", io.BytesIO(data)), **options)


async def test_json(serving: Serving) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        heard = await ask(server.url, lambda client: create(client))
    assert heard.text == " ".join(LINES)
    assert (heard.usage.type, heard.usage.seconds) == ("duration", pytest.approx(SECONDS, abs=0.04))


async def test_text(serving: Serving) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        assert await ask(server.url, lambda client: create(client, response_format="text")) == " ".join(LINES) + "\n"


async def test_srt_and_vtt(serving: Serving) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        srt = await ask(server.url, lambda client: create(client, response_format="srt"))
        vtt = await ask(server.url, lambda client: create(client, response_format="vtt"))
    assert srt == (
        "1\n00:00:00,960 --> 00:00:10,560\nHello there.\n\n"
        "2\n00:00:11,200 --> 00:00:14,400\nHow are you?\n\n"
        "3\n00:00:17,600 --> 00:00:19,200\nGoodbye.\n\n"
    )
    assert vtt.startswith("WEBVTT\n\n00:00:00.960 --> 00:00:10.560\nHello there.\n\n")


async def test_verbose_json(serving: Serving) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        heard = await ask(
            server.url,
            lambda client: create(
                client, response_format="verbose_json", timestamp_granularities=["segment"], language="en-GB"
            ),
        )
    TranscriptionVerbose.model_validate(heard.model_dump())
    assert (heard.text, heard.language, heard.duration) == (" ".join(LINES), "en", pytest.approx(SECONDS, abs=0.04))
    assert [segment.text for segment in heard.segments] == [*LINES]
    assert heard.segments[1].start == pytest.approx(11.2)


async def test_a_stream_tells_each_piece_when_it_is_heard(serving: Serving) -> None:
    def work(client: openai.OpenAI) -> list[Any]:
        return [*create(client, stream=True)]

    async with serving(quick(transcriber=transcriber())) as server:
        events = await ask(server.url, work)
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == " ".join(LINES)
    for event in events[:-1]:
        TranscriptionTextDeltaEvent.model_validate(event.model_dump())
    TranscriptionTextDoneEvent.model_validate(events[-1].model_dump())


@pytest.mark.parametrize("ending", CONTAINERS)
async def test_every_container(serving: Serving, ending: str) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        heard = await ask(server.url, lambda client: create(client, recording(ending, tone(2))))
        assert heard.text == LINES[0]


async def test_a_large_file_goes_over_the_disk(serving: Serving) -> None:
    """Above 1 MiB; nothing of that blocks the loop."""
    data = recording("wav", np.concatenate((tone(5), silence(60))))
    async with serving(quick(transcriber=transcriber())) as server:
        assert (await ask(server.url, lambda client: create(client, data))).text == LINES[0]


async def test_nobody_speaks(serving: Serving) -> None:
    async with serving(quick(transcriber=transcriber())) as server:
        quiet = recording("wav", silence(5))
        heard = await ask(server.url, lambda client: create(client, quiet, response_format="verbose_json"))
        assert (heard.text, heard.segments, heard.language) == ("", [], "")
        assert await ask(server.url, lambda client: create(client, quiet, response_format="srt")) == ""


@pytest.mark.parametrize(
    ("asked_for", "said", "told"),
    [
        ({}, "de", [None, "de", "de"]),
        ({}, "", [None, None, None]),
        ({"language": "de"}, "", ["de", "de", "de"]),
    ],
)
async def test_what_the_transcriber_is_told(
    serving: Serving, asked_for: dict[str, Any], said: str, told: list[str | None]
) -> None:
    """The language of the first words is that of the others, where the transcriber says which that is."""
    asked: list[tuple[str | None, str, bool, int]] = []

    class Noting(FakeTranscriber):
        async def transcribe(self, audio: Samples, *, language: str | None, prompt: str, final: bool) -> Transcript:
            asked.append((language, prompt, final, audio.size))
            return Transcript("ja", said)

    async with serving(quick(transcriber=Noting())) as server:
        await ask(server.url, lambda client: create(client, prompt="Names: Ada.", temperature=0.3, **asked_for))
        assert [job[:3] for job in asked] == [(language, "Names: Ada.", True) for language in told]
        assert all(size <= 29 * 16_000 for *_, size in asked)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "srt", "stream": True}, "stream"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["word"]}, "timestamp_granularities[]"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["x"]}, "timestamp_granularities[]"),
        ({"include": ["logprobs"]}, "include[]"),
        ({"language": "English!"}, "language"),
    ],
)
async def test_what_cannot_be_had(serving: Serving, options: dict[str, Any], param: str) -> None:
    async with serving() as server:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(server.url, lambda client: create(client, **options))
        assert problem(caught.value) == (400, "invalid_value", param)
        assert server.runtime.failing == {}


@pytest.mark.parametrize("data", [b"hello", recording("mp3", tone(1))[:40], b"#EXTM3U\nhttp://127.0.0.1/x\n"])
async def test_what_is_no_recording(serving: Serving, data: bytes) -> None:
    async with serving() as server:
        for streamed in (False, True):
            with pytest.raises(openai.BadRequestError, match="send WAV, MP3") as caught:
                await ask(server.url, partial(create, data=data, stream=streamed))
            assert problem(caught.value) == (400, "invalid_audio", "file")
        assert server.runtime.failing == {}


async def test_an_unknown_model(serving: Serving) -> None:
    async with serving() as server:
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(
                server.url,
                lambda client: client.audio.transcriptions.create(model="tts-1", file=("a.wav", SHORT)),
            )
        assert problem(caught.value) == (404, "model_not_found", "model")


@pytest.mark.parametrize("seam", ["transcriber", "voice_activity"])
async def test_an_engine_that_fails(serving: Serving, seam: str) -> None:
    broken = {"transcriber": FakeTranscriber, "voice_activity": FakeVoiceActivity}[seam]
    engine = broken(latency_ms=0, broken=Broken("it is gone"))
    async with serving(quick(**{seam: engine})) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(server.url, lambda client: create(client))
        assert problem(caught.value) == (500, "engine_failed", None)
        assert server.runtime.failing == {seam: "it is gone"}
        engine.broken = None
        await ask(server.url, lambda client: create(client))
        assert server.runtime.failing == {}


async def test_a_transcriber_that_fails_once_is_asked_again(serving: Serving) -> None:
    class Shaken(FakeTranscriber):
        async def transcribe(self, *args: Any, **kwargs: Any) -> Transcript:
            self.broken, broken = None, self.broken
            if broken is not None:
                raise EngineError("transcriber", broken.message)
            return await super().transcribe(*args, **kwargs)

    async with serving(quick(transcriber=Shaken(LINES, 0, broken=Broken("it is gone")))) as server:
        assert (await ask(server.url, lambda client: create(client))).text == " ".join(LINES)
        assert await server.metric("retries_total", engine="transcriber") == 1
        assert server.runtime.failing == {}


async def test_a_stream_that_fails_in_the_middle_ends_with_an_error(serving: Serving) -> None:
    engine = FakeTranscriber(LINES, 0, broken=Broken("it is gone", after_steps=1))
    events: list[Any] = []

    def each(client: openai.OpenAI) -> None:
        for event in create(client, stream=True):
            events.append(event)  # noqa: PERF402 - kept when the next one fails

    async with serving(quick(transcriber=engine)) as server:
        with pytest.raises(openai.APIError, match="it is gone"):
            await ask(server.url, each)
    assert [event.type for event in events] == ["transcript.text.delta"]


async def test_an_engine_that_does_not_answer(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.rest.hearing.TRANSCRIBE_S", 0.01)
    async with serving(quick(transcriber=FakeTranscriber(latency_ms=60_000))) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(server.url, lambda client: create(client))
        assert problem(caught.value) == (503, "engine_timeout", None)


async def test_too_long(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.rest.hearing.LONGEST_S", 3)
    async with serving(quick(transcriber=transcriber())) as server:
        with pytest.raises(openai.BadRequestError, match=r"longer than 0\.05 minutes") as caught:
            await ask(server.url, lambda client: create(client))
        assert problem(caught.value) == (400, "invalid_audio", "file")


class Held(FakeTranscriber):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended, self.may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.all_begun = asyncio.Event()
        """As many as there may be at once."""
        self._asked = 0

    async def transcribe(self, *_: Any, **__: Any) -> Transcript:
        self.begun.set()
        self._asked += 1
        if self._asked == rest.MOST_TRANSCRIPTIONS:
            self.all_begun.set()
        try:
            await self.may_answer.wait()
        finally:
            self.ended.set()
        return Transcript("Yes.", "en")


async def sent(server: Server, data: bytes = LONG) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
        return await client.post(
            "/v1/audio/transcriptions", data={"model": "whisper-1"}, files={"file": ("a.wav", data)}
        )


async def test_a_client_that_hangs_up_stops_the_work(serving: Serving) -> None:
    engine = Held()
    async with serving(quick(transcriber=engine)) as server, asyncio.timeout(PATIENCE_S):
        call = asyncio.create_task(sent(server))
        await engine.begun.wait()
        call.cancel()
        await engine.ended.wait()


async def test_long_recordings_do_not_wait_for_each_other_s_end(serving: Serving) -> None:
    engine = Held()
    data = recording("wav", tone(150))
    async with serving(quick(transcriber=engine)) as server, asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE_S):
        for _ in range(rest.MOST_TRANSCRIPTIONS):
            group.create_task(sent(server, data))
        await engine.all_begun.wait()
        engine.may_answer.set()


async def test_the_decoder_is_closed_with_the_server(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Worker] = []

    class Watched(Worker):
        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(hearing, "Worker", Watched)
    async with serving() as server:
        assert (await sent(server)).status_code == 200
        assert closed == []
    assert len(closed) == 1


async def test_so_many_at_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MOST_TRANSCRIPTIONS", 1)
    engine = Held()
    async with (
        serving(quick(transcriber=engine)) as server,
        asyncio.TaskGroup() as group,
        asyncio.timeout(PATIENCE_S),
    ):
        first = group.create_task(sent(server))
        await engine.begun.wait()
        assert (await sent(server)).status_code == 429
        engine.may_answer.set()
        assert (await first).json()["text"] == "Yes. Yes. Yes."


async def test_an_engine_that_raises_what_is_its_own(serving: Serving) -> None:
    class Odd(FakeTranscriber):
        async def transcribe(self, *_: Any, **__: Any) -> Transcript:
            raise EngineError("transcriber", "no such thing")

    async with serving(quick(transcriber=Odd())) as server:
        assert (await sent(server)).json()["error"]["message"] == "The transcriber failed: no such thing"
