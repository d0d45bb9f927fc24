"""Voices made of clips over HTTP, used over HTTP and over a session, and unmade."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from tests.server.caller import PATIENCE_S, calling
from tests.server.conftest import Server, Serving, quick, quick_config
from tests.server.rest.sdk import recording, silence, tone
from voxtral_voice.engines.fakes import Broken, FakeCloner, FakeSpeaker
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.voices import DEFAULT_VOICES
from voxtral_voice.errors import EngineError, RequestError, ServerError
from voxtral_voice.server import cloned_voices, run
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.rest import voice_clones

ADA, EVE = "key-of-ada-0123456789", "key-of-eve-0123456789"
CONSENT: Final = "I am Ada, this is my voice, and I agree to its being cloned."
CLIP: Final = recording("wav", np.concatenate((silence(1), tone(3), silence(1), tone(4), silence(1))))
FIELDS: Final = {"name": "My voice", "consent": CONSENT}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClonedVoices:
    """Of the servers of this test."""
    store = ClonedVoices(tmp_path / "voices")
    monkeypatch.setattr(run, "ClonedVoices", lambda _: store)
    return store


@pytest.fixture
def cloning(serving: Serving, store: ClonedVoices) -> Any:
    @asynccontextmanager
    async def clone(cloner: Any = None, speaker: Any = None) -> AsyncIterator[Client]:
        config = quick_config()
        keys = config.server.model_copy(update={"api_keys": SecretStr(f"{ADA},{EVE}")})
        engines = quick(
            cloner=cloner or FakeCloner(latency_ms=0),
            speaker=speaker or FakeSpeaker(0, realtime_factor=0, others=store),
        )
        async with serving(engines, config.model_copy(update={"server": keys})) as server:
            yield Client(server)
            assert (await server.get("/readyz")).status_code == 200
            assert speaker is None or server.runtime.failing == {}

    return clone


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Client:
    def __init__(self, server: Server) -> None:
        self.url = server.url

    async def request(self, method: str, path: str, key: str = ADA, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"{self.url}/v1", timeout=PATIENCE_S, trust_env=False) as client:
            return await client.request(method, path, headers=bearer(key), **options)

    async def create(self, key: str = ADA, clip: bytes = CLIP, **fields: str) -> httpx.Response:
        files = {"audio_sample": ("clip.wav", clip)}
        return await self.request("POST", "/voices", key, data={**FIELDS, **fields}, files=files)

    async def created(self) -> str:
        return str((await self.create()).json()["id"])

    async def speak(self, voice: str, key: str = ADA) -> httpx.Response:
        body = {"model": "tts-1", "input": "Hello.", "voice": voice, "response_format": "pcm"}
        return await self.request("POST", "/audio/speech", key, json=body)

    async def own(self, key: str = ADA) -> list[str]:
        listed = (await self.request("GET", "/voices", key)).json()["data"]
        return [voice["id"] for voice in listed if voice["id"].startswith("voice_")]


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


async def test_a_voice_is_made_listed_spoken_and_deleted(cloning: Any, store: ClonedVoices) -> None:
    async with cloning() as client:
        made = await client.create()
        assert made.status_code == 200
        voice = made.json()
        assert voice.items() >= {"object": "voice", "owner": "key_1", "similarity": 1.0, **FIELDS}.items()
        assert store.owned_by("key_1")[0].consent == CONSENT
        assert await client.own() == [voice["id"]]
        assert len((await client.speak(voice["id"])).content) > 1000
        deleted = await client.request("DELETE", f"/voices/{voice['id']}")
        assert deleted.json() == {"id": voice["id"], "object": "voice.deleted", "deleted": True}
        assert await client.own() == []
        assert problem(await client.speak(voice["id"])) == (400, "invalid_value", "voice")


async def test_it_is_as_if_unknown_to_others(cloning: Any) -> None:
    async with cloning() as client:
        voice = await client.created()
        assert await client.own(EVE) == []
        assert problem(await client.speak(voice, EVE)) == (400, "invalid_value", "voice")
        assert problem(await client.request("DELETE", f"/voices/{voice}", EVE)) == (404, "voice_not_found", "id")
        assert await client.own() == [voice]


async def test_a_session_speaks_in_it_until_it_is_deleted(cloning: Any) -> None:
    async with cloning() as client:
        voice = await client.created()
        async with calling(client.url, additional_headers=bearer(ADA)) as caller:
            await caller.update(audio={"output": {"voice": voice}})
            done = await caller.turn()
            assert done["response"]["status"] == "completed"
            assert (await client.request("DELETE", f"/voices/{voice}")).status_code == 200
            failed = await caller.turn()
            assert failed["response"]["status"] == "failed"
            assert "may have been deleted" in failed["response"]["status_details"]["error"]["message"]
            await caller.update(audio={"output": {"voice": "af_bella"}})
            assert (await caller.turn())["response"]["status"] == "completed"


async def test_a_session_of_another_cannot_have_it(cloning: Any) -> None:
    async with cloning() as client:
        voice = await client.created()
        async with calling(client.url, additional_headers=bearer(EVE)) as caller:
            await caller.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": voice}}})
            error = (await caller.until("error"))["error"]
            assert (error["param"], error["code"]) == ("session.audio.output.voice", "invalid_value")


# --- Kokoro, but for its model


class Network:
    """What ONNX runtime gives Kokoro: 100 ms of a tone for each token, or silence."""

    def __init__(self) -> None:
        self.level = 0.3
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="speed", shape=[1])]

    def run(self, _: object, feeds: dict[str, Any], __: object) -> list[Any]:
        self.begun.set()
        assert self.may_end.wait(PATIENCE_S)
        count = feeds["tokens"].shape[1]
        sound = self.level * np.sin(np.arange(count * 2400) / 10)
        return [sound.astype(np.float32), np.full((1, count), 4, np.float32)]


class ModelLess(Kokoro):
    def __init__(self, folder: Path, store: ClonedVoices) -> None:
        for name in DEFAULT_VOICES:
            (folder / f"{name}.bin").write_bytes(bytes(522_240))
        super().__init__(folder / "none.onnx", folder, others=store)
        self.network = Network()

    def _load(self) -> None:
        self._styles.load(DEFAULT_VOICES)
        self._session = self.network


@pytest.fixture
def kokoro(tmp_path: Path, store: ClonedVoices) -> ModelLess:
    return ModelLess(tmp_path, store)


@asynccontextmanager
async def held(network: Network) -> AsyncIterator[None]:
    """Inside, a run has begun and does not end."""
    await asyncio.to_thread(network.begun.wait, PATIENCE_S)
    try:
        yield
    finally:
        network.may_end.set()


@pytest.mark.parametrize("spelling", ["{}", "af_heart:0.5,{}:0.5"])
async def test_a_phrase_under_way_is_spoken_when_its_voice_is_deleted(
    cloning: Any, kokoro: ModelLess, store: ClonedVoices, spelling: str
) -> None:
    async with cloning(speaker=kokoro) as client:
        voice = await client.created()
        kokoro.network.may_end.clear()
        speaking = asyncio.create_task(client.speak(spelling.format(voice)))
        async with held(kokoro.network):
            assert (await client.request("DELETE", f"/voices/{voice}")).status_code == 200
        answer = await speaking
        assert answer.status_code == 200
        assert len(answer.content) > 10_000
        assert store._styles == {}
        assert problem(await client.speak(spelling.format(voice))) == (400, "invalid_value", "voice")


async def test_a_session_goes_on_when_its_voice_is_deleted_while_it_speaks(cloning: Any, kokoro: ModelLess) -> None:
    async with cloning(speaker=kokoro) as client:
        voice = await client.created()
        async with calling(client.url, additional_headers=bearer(ADA)) as caller:
            await caller.update(audio={"output": {"voice": voice}})
            kokoro.network.may_end.clear()
            turn = asyncio.create_task(caller.turn())
            async with held(kokoro.network):
                assert (await client.request("DELETE", f"/voices/{voice}")).status_code == 200
            failed = (await turn)["response"]  # at its second phrase
            assert "may have been deleted" in failed["status_details"]["error"]["message"]
            assert caller.count("response.output_audio.delta") > 0
            await caller.update(audio={"output": {"voice": "af_bella"}})
            assert (await caller.turn())["response"]["status"] == "completed"


@pytest.mark.parametrize("spelling", ["{}", "af_heart:0.9,{}:0.1"])
async def test_a_voice_without_a_sound_is_no_fault_of_the_speaker(
    cloning: Any, kokoro: ModelLess, spelling: str
) -> None:
    async with cloning(speaker=kokoro) as client:
        voice = spelling.format(await client.created())
        kokoro.network.level = 0.0
        answer = await client.speak(voice)
        assert answer.status_code == 400
        assert "The voice made no sound" in answer.json()["error"]["message"]
        async with calling(client.url, additional_headers=bearer(ADA)) as caller:
            await caller.update(audio={"output": {"voice": voice}})
            failed = (await caller.turn())["response"]
            assert failed["status"] == "failed"
            assert "The voice made no sound" in failed["status_details"]["error"]["message"]
            kokoro.network.level = 0.3
            assert (await caller.turn())["response"]["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"consent": ""}, "consent", "Missing required parameter"),
        ({"consent": "yes"}, "consent", "a sentence that says whose voice it is"),
        ({"consent": 30 * " "}, "consent", "a sentence that says whose voice it is"),
        ({"consent": 1001 * "x"}, "consent", "1000"),
        ({"name": ""}, "name", "Missing required parameter"),
        ({"name": " "}, "name", "a name"),
        ({"name": "a\nb"}, "name", "a name"),
        ({"name": 65 * "n"}, "name", "64"),
    ],
)
async def test_nothing_is_done_without_a_name_and_consent(
    cloning: Any, store: ClonedVoices, fields: dict[str, str], param: str, words: str
) -> None:
    async with cloning(FakeCloner(broken=Broken("it was asked"))) as client:
        answer = await client.create(**fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert words in answer.json()["error"]["message"]
    assert store.owned_by("key_1") == ()


@pytest.mark.parametrize(
    ("clip", "code", "words"),
    [
        (b"", "invalid_value", "the file is empty"),
        (b"no recording at all", "invalid_audio", "no audio that can be read"),
        (recording("wav", silence(10)), "unusable_recording", "silent"),
        (
            recording("wav", np.concatenate((tone(3), silence(2)))),
            "unusable_recording",
            "3.1 s of speech: at least 5 s",
        ),
        (recording("flac", tone(121, level=0.1)), "invalid_audio", "longer than 2 minutes"),
    ],
)
async def test_a_clip_that_no_voice_can_be_made_of(cloning: Any, clip: bytes, code: str, words: str) -> None:
    async with cloning() as client:
        answer = await client.create(clip=clip)
        assert problem(answer) == (400, code, "audio_sample")
        assert words in answer.json()["error"]["message"]
        assert await client.own() == []


async def test_a_form_is_needed_and_a_file_in_it(cloning: Any) -> None:
    async with cloning() as client:
        assert (await client.request("POST", "/voices", json=FIELDS)).status_code == 415
        answer = await client.request("POST", "/voices", data=FIELDS, files={"other": b"x"})
        assert problem(answer) == (400, "missing_required_parameter", "audio_sample")


class Refusing(FakeCloner):
    async def clone(self, clip: Any) -> Any:  # noqa: ARG002
        raise RequestError("speaker", "There seems to be more than one person in the recording.")


class Faulty(FakeCloner):
    async def clone(self, clip: Any) -> Any:  # noqa: ARG002
        raise ValueError("shapes do not match")


@pytest.mark.parametrize(
    ("cloner", "expected", "words"),
    [
        (Refusing(), (400, "unusable_recording", "audio_sample"), "more than one person"),
        (FakeCloner(0, broken=Broken("no memory")), (500, "engine_failed", None), "The voice cloner failed: no memory"),
        (Faulty(), (500, "engine_failed", None), "it has a fault, which was logged"),
    ],
)
async def test_what_the_cloner_cannot_do_is_no_fault_of_the_speaker(
    cloning: Any, cloner: FakeCloner, expected: Any, words: str
) -> None:
    async with cloning(cloner) as client:
        answer = await client.create()
        assert problem(answer) == expected
        assert words in answer.json()["error"]["message"]
        assert (await client.request("GET", "/../readyz")).status_code == 200


async def test_a_cloner_that_takes_too_long(cloning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_clones, "CLONE_S", 0.01)
    async with cloning(FakeCloner(60_000)) as client:
        assert problem(await client.create()) == (503, "engine_timeout", None)


async def test_an_owner_has_so_many_voices(cloning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloned_voices, "MOST_OF_ONE_OWNER", 1)
    async with cloning(FakeCloner(0, broken=Broken("asked twice", after_steps=1))) as client:
        await client.created()
        assert problem(await client.create()) == (409, "too_many_voices", None)
        assert "delete one first" in (await client.create()).json()["error"]["message"]


async def test_room_is_asked_for_again_when_the_voice_is_made(
    cloning: Any, store: ClonedVoices, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken(FakeCloner):
        async def clone(self, clip: Any) -> Any:
            monkeypatch.setattr(cloned_voices, "MOST", 0)
            return await super().clone(clip)

    async with cloning(Overtaken(0)) as client:
        assert problem(await client.create()) == (409, "too_many_voices", None)
    assert store.owned_by("key_1") == ()


async def test_a_folder_that_cannot_be_written_is_told_without_its_path(
    cloning: Any, store: ClonedVoices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ServerError(f"{tmp_path} is full")

    async with cloning() as client:
        voice = await client.created()
        for name in ("add", "delete"):
            monkeypatch.setattr(store, name, fails)
        for answer in (await client.create(), await client.request("DELETE", f"/voices/{voice}")):
            assert problem(answer) == (500, "not_stored", None)
            assert str(tmp_path) not in answer.text


async def test_a_folder_that_is_full_is_noticed_before_the_work(cloning: Any, tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "voices").write_text, "no folder")
    async with cloning(FakeCloner(0, broken=Broken("it was asked"))) as client:
        answer = await client.create()
        assert problem(answer) == (500, "not_stored", None)
        assert str(tmp_path) not in answer.text


class Held(FakeCloner):
    """Makes its first voice when it is let."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def clone(self, clip: Any) -> Any:
        if not self.asked.is_set():
            self.asked.set()
            await self.let.wait()
        return await super().clone(clip)


async def test_an_owner_has_one_place(cloning: Any) -> None:
    cloner = Held()
    async with cloning(cloner) as client, asyncio.TaskGroup() as group:
        first = group.create_task(client.create())
        async with asyncio.timeout(PATIENCE_S):
            await cloner.asked.wait()
        second = await client.create()
        assert problem(second) == (429, "rate_limit_exceeded", None)
        assert "being made already" in second.json()["error"]["message"]
        assert "Retry-After" in second.headers
        eve = group.create_task(client.create(EVE))
        cloner.let.set()
        assert (await first).status_code == (await eve).status_code == 200
        assert (await client.create()).status_code == 200


async def test_a_client_that_gives_up_leaves_its_place(cloning: Any) -> None:
    cloner = Held()
    async with cloning(cloner) as client:
        first = asyncio.create_task(client.create())
        async with asyncio.timeout(PATIENCE_S):
            await cloner.asked.wait()
            first.cancel()
            while (await client.create()).status_code != 200:
                pass  # the server has yet to see that nobody waits


async def test_a_server_whose_speaker_cannot_be_given_voices(serving: Serving) -> None:
    async with serving(quick()) as server:
        client = Client(server)
        for answer in (await client.create(), await client.request("DELETE", "/voices/voice_1")):
            assert problem(answer) == (501, "voice_cloning_unavailable", None)


def test_errors_tell_no_path_of_the_server() -> None:
    error = RequestError("speaker", "/v/am_puck.bin is damaged", "it is damaged")
    assert str(voice_clones._unmade(error)) == "Invalid value for 'audio_sample': it is damaged"


def test_errors_of_engines_keep_to_themselves_what_is_for_the_log() -> None:
    error = voice_clones._unmade(EngineError("speaker", "http://host:1 is down", "it is down"))
    assert (error.status, str(error)) == (500, "The voice cloner failed: it is down")
