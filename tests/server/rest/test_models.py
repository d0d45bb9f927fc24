from __future__ import annotations

import openai
import pytest

from tests.server.conftest import Serving, quick
from tests.server.rest.sdk import ask, problem
from voxtral_voice.config import Config
from voxtral_voice.engines.fakes import FakeTranscriber
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.rest.models import Models
from voxtral_voice.server.runtime import Runtime


class Named(FakeTranscriber):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def name(self) -> str:
        return self._name


def models(name: str) -> Models:
    return Models(Runtime(Config(profile="fake"), quick(transcriber=Named(name))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("whisper-base int8", "whisper-base-int8"),
        ("Qwen/Qwen3-8B at http://10.0.0.1:8000/v1", "Qwen/Qwen3-8B"),
        ("kokoro-v1.0-int8 on 2 threads, hibari af_heart", "kokoro-v1.0-int8"),
        ("intents, then smollm2-135m-instruct-q4_1 on 1 thread", "smollm2-135m-instruct-q4_1"),
        ("intents, then Qwen/Qwen3-8B at http://10.0.0.1:8000/v1", "Qwen/Qwen3-8B"),
    ],
)
def test_an_engine_s_name_becomes_a_model_s(name: str, expected: str) -> None:
    assert models(name).id_of("transcriber") == expected


@pytest.mark.parametrize("name", ["own", "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe-2025-12-15"])
def test_our_name_and_openai_s_are_taken(name: str) -> None:
    assert models("own").require("transcriber", name) == "own"


@pytest.mark.parametrize("name", ["", "tts-1", "gpt-4o", "large-v3", "own2", "x" * 10_000])
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(ApiError, match="known are own") as caught:
        models("own").require("transcriber", name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("part", "right", "wrong"),
    [
        ("responder", ["gpt-4o-mini", "gpt-5", "o3", "chatgpt-4o-latest"], ["gpt-4o-mini-tts", "gpt-4o-transcribe"]),
        ("speaker", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"], ["gpt-4o", "whisper-1"]),
    ],
)
def test_a_model_is_for_its_part(part: str, right: list[str], wrong: list[str]) -> None:
    for name in right:
        models("x").require(part, name)  # type: ignore[arg-type]
    for name in wrong:
        with pytest.raises(ApiError):
            models("x").require(part, name)  # type: ignore[arg-type]


async def test_the_sdk_lists_and_finds_them(serving: Serving) -> None:
    async with serving() as server:
        listed = await ask(server.url, lambda client: client.models.list().data)
        parts = ["fake-transcriber", "fake-responder", "fake-speaker"]
        assert [model.id for model in listed] == [*parts, "voxtral-voice-fake"]
        assert {model.object for model in listed} == {"model"}
        one = await ask(server.url, lambda client: client.models.retrieve("fake-speaker"))
        assert one == listed[2]
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(server.url, lambda client: client.models.retrieve("nobody/nothing"))
        assert problem(caught.value) == (404, "model_not_found", "model")
