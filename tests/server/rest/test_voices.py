"""GET /v1/voices, samples, and blends at every place that takes a voice."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from tests.server.caller import PATIENCE_S, calling
from tests.server.conftest import Server, Serving, quick, quick_config
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines.base import SpeechChunk, Voice
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.rest import voices as voices_module
from voxtral_voice.server.rest.decode import decoded

BLEND = "af_heart:0.6,af_bella:0.4"


class Noting(FakeSpeaker):
    """Writes down what it was asked for; knows some more voices."""

    def __init__(self, others: dict[str, Voice] | None = None) -> None:
        super().__init__(first_audio_ms=0, realtime_factor=0)
        self.asked: list[tuple[str, str]] = []
        self.others = others or {}

    def find(self, name: str) -> Voice:
        return self.others.get(name) or super().find(name)

    def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append((voice, text))
        return super().speak(text, voice=voice, speed=speed, language=language)


async def get(server: Server, path: str, key: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False, headers=headers) as client:
        return await client.get(path)


async def post(server: Server, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
        asked = {"model": "tts-1", "input": "Hi.", "response_format": "pcm", **body}
        return await client.post("/v1/audio/speech", json=asked)


# --- the list


async def test_every_voice_is_listed_the_default_ones_first(serving: Serving) -> None:
    async with serving() as server:
        body = (await get(server, "/v1/voices")).json()
    assert (body["object"], body["default_voice"]) == ("list", "af_heart")
    assert [row["id"] for row in body["data"]] == list(VOICES)
    assert [row["id"] for row in body["data"] if row["default"]] == list(DEFAULT_VOICES)
    assert body["data"][0] == {
        "id": "af_heart",
        "object": "voice",
        "language": "en-US",
        "gender": "female",
        "grade": "A",
        "default": True,
    }
    [dora] = [row for row in body["data"] if row["id"] == "pf_dora"]
    assert (dora["language"], dora["grade"], dora["default"]) == ("pt-BR", None, False)


KEYS = ("the-first-key-0123456789", "another-key-0123456789")


def with_keys() -> Config:
    return quick_config().model_copy(update={"server": ServerConfig(port=0, api_keys=SecretStr(",".join(KEYS)))})


@pytest.fixture
def cloned(tmp_path: Path) -> ClonedVoices:
    return ClonedVoices(tmp_path / "voices", clock=lambda: 1_700_000_000)


async def add(cloned: ClonedVoices, owner: str, name: str) -> str:
    made = ClonedVoice(
        styles=np.zeros(STYLE_SHAPE, np.float32), gender="female", gain_db=-3.0, pitch_hz=200.0, similarity=0.9
    )
    return (await asyncio.to_thread(cloned.add, owner, name, "I may use this voice.", made)).id


async def test_cloned_voices_are_listed_to_their_owner_alone(serving: Serving, cloned: ClonedVoices) -> None:
    mine, other = await add(cloned, "key_1", "Me"), await add(cloned, "key_2", "Them")
    async with serving(config=with_keys()) as server:
        server.runtime.cloned = cloned
        assert (await get(server, "/v1/voices")).status_code == 401
        rows = (await get(server, "/v1/voices", KEYS[0])).json()["data"]
    assert rows[-1] == {
        "id": mine,
        "object": "voice",
        "language": None,
        "gender": "female",
        "grade": None,
        "default": False,
        "name": "Me",
        "owner": "key_1",
        "created_at": 1_700_000_000,
    }
    assert other not in [row["id"] for row in rows]
    assert all("owner" not in row for row in rows[:-1])


# --- samples


async def test_a_sample_is_a_sentence_of_the_voice_s_language(serving: Serving) -> None:
    speaker = Noting()
    async with serving(quick(speaker=speaker)) as server:
        for name in reversed(tuple(VOICES)):
            answer = await get(server, f"/v1/voices/{name}/sample")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
        assert sum(block.size for block in decoded(io.BytesIO(answer.content))) > 8000
    for voice in VOICES.values():
        said = "".join(text for name, text in speaker.asked if name == voice.id)
        assert said.replace(" ", "") == voices_module.SENTENCES[voice.speaks].replace(" ", "")


async def test_a_sample_of_a_stock_voice_is_spoken_once_and_a_blend_s_each_time(serving: Serving) -> None:
    speaker = Noting()
    async with serving(quick(speaker=speaker)) as server:
        spoken = []
        for voice in ("af_heart", "af_heart", BLEND, "hf_alpha", BLEND, "af_heart"):
            before = len(speaker.asked)
            await get(server, f"/v1/voices/{voice}/sample")
            spoken.append(len(speaker.asked) > before)
    assert spoken == [True, False, True, True, True, False]


async def test_who_asks_for_a_sample_while_it_is_made_waits_for_it(serving: Serving) -> None:
    speaker = Noting()
    async with serving(quick(speaker=speaker)) as server:
        answers = await asyncio.gather(*(get(server, "/v1/voices/af_heart/sample") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert [name for name, _ in speaker.asked] == ["af_heart"] * 2  # its two phrases, once


async def test_a_sample_needs_the_key_like_everything(serving: Serving) -> None:
    async with serving(config=with_keys()) as server:
        assert (await get(server, "/v1/voices/af_heart/sample")).status_code == 401
        assert (await get(server, "/v1/voices/af_heart/sample", KEYS[1])).status_code == 200


async def test_a_sample_of_a_voice_that_there_is_not(serving: Serving) -> None:
    async with serving() as server:
        answer = await get(server, "/v1/voices/af_hart/sample")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "Invalid value for 'id': There is no voice 'af_hart': use one of af_heart, af_sarah, af_bella, "
        "af_nicole, hf_alpha, hf_beta, hm_omega, hm_psi or 46 others.",
        "type": "invalid_request_error",
        "code": "voice_not_found",
        "param": "id",
    }


async def test_a_cloned_voice_is_heard_by_its_owner_and_nothing_of_it_is_kept(
    serving: Serving, cloned: ClonedVoices
) -> None:
    mine = await add(cloned, "key_1", "Me")
    speaker = Noting({mine: Voice(mine, "", "female")})
    async with serving(quick(speaker=speaker), with_keys()) as server:
        server.runtime.cloned = cloned
        for _ in range(2):
            assert (await get(server, f"/v1/voices/{mine}/sample", KEYS[0])).status_code == 200
        assert (await get(server, f"/v1/voices/{mine}/sample", KEYS[1])).status_code == 404
        await asyncio.to_thread(cloned.delete, mine, "key_1")
        assert (await get(server, f"/v1/voices/{mine}/sample", KEYS[0])).status_code == 404
    assert [name for name, _ in speaker.asked].count(mine) == 4  # two phrases, twice


# --- blends


async def test_a_blend_of_a_session_and_of_one_reply(serving: Serving) -> None:
    speaker = Noting()
    async with serving(quick(speaker=speaker)) as server, calling(server.url) as caller:
        await caller.update(audio={"output": {"voice": "af_bella:2,af_heart:3"}})
        assert caller.all("session.updated")[-1]["session"]["audio"]["output"]["voice"] == BLEND
        await caller.turn()
        await caller.send(
            "response.create", response={"conversation": "none", "audio": {"output": {"voice": "hm_psi,hf_beta"}}}
        )
        await caller.until("response.done", 2)
        await caller.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "af_heart:x"}}})
        refused = (await caller.until("error"))["error"]
    assert {voice for voice, _ in speaker.asked} == {BLEND, "hm_psi:0.5,hf_beta:0.5"}
    assert (refused["code"], refused["param"]) == ("invalid_value", "session.audio.output.voice")
    assert refused["message"] == (
        "Invalid value for 'session.audio.output.voice': The weight in 'af_heart:x' is no number above 0; a blend "
        "looks like this: af_heart:0.6,af_bella:0.4."
    )


async def test_a_blend_over_http_and_as_the_server_s_default(serving: Serving) -> None:
    speaker = Noting()
    config = quick_config()
    config = config.model_copy(update={"speaker": type(config.speaker)(voice="hf_alpha:1,hf_beta:1")})
    async with serving(quick(speaker=speaker), config) as server:
        assert (await post(server)).status_code == 200
        assert (await post(server, voice={"id": "af_bella:0.4, af_heart:0.6"})).status_code == 200
        refused = await post(server, voice=",".join(list(VOICES)[:9]))
    assert [voice for voice, _ in speaker.asked] == ["hf_alpha:0.5,hf_beta:0.5", BLEND]
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "voice"
    assert "8 voices at most, and this one has 9" in refused.json()["error"]["message"]


@pytest.mark.parametrize("speed", [0, 100, 0.1, -1])
async def test_a_speed_that_nobody_speaks_at(serving: Serving, speed: float) -> None:
    async with serving() as server:
        error = (await post(server, speed=speed)).json()["error"]
    assert error["param"] == "speed"
    assert error["message"].startswith("Invalid value for 'speed': expected a number from 0.25 to 4")


async def test_somebody_else_s_voice_is_no_part_of_a_blend(serving: Serving, cloned: ClonedVoices) -> None:
    theirs = await add(cloned, "key_2", "Them")
    async with serving(config=with_keys()) as server:
        server.runtime.cloned = cloned
        answer = await get(server, f"/v1/voices/{theirs}:0.5,af_heart:0.5/sample", KEYS[0])
    assert answer.status_code == 404
    assert theirs in answer.json()["error"]["message"]
