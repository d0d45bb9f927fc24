"""What a vLLM serves is known before it is asked for what it cannot do (how it is told: the engines' own tests)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.engines.odd_server import json_answer, odd_server
from tests.engines.vllm.recorded import RecordedVllm
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.engines.base import LISTEN_RATE_HZ
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import sockets
from voxtral_voice.engines.vllm.kind import USUAL_TOKENS, longest_tokens, noise, require_whole_turns
from voxtral_voice.engines.vllm.sockets import hears_as_one_speaks
from voxtral_voice.errors import EngineError


@asynccontextmanager
async def found(url: str, model: str = "") -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer("responder", Remote(url, model))
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()


async def test_which_voxtral_it_is() -> None:
    for realtime in (True, False):
        vllm = RecordedVllm(realtime=realtime)
        async with vllm.running(), found(vllm.url) as server:
            assert await hears_as_one_speaks(server) is realtime


async def test_a_server_that_does_not_say_is_not_taken_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CONNECT_S", 0.05)
    for door in ("broken", "mute"):
        options: dict[str, Any] = {"door": door}
        vllm = RecordedVllm(**options)
        async with vllm.running(), found(vllm.url) as server:
            with pytest.raises(EngineError, match=r"status 500|did not answer"):
                await require_whole_turns(server)


async def test_a_list_without_the_model_is_a_refusal_and_no_list_is_none() -> None:
    for listed, refused in (({"data": [{"id": "other"}]}, True), ({"data": []}, False), ({}, False)):
        answers = json_answer(listed)
        async with odd_server(json_answer({}), answers) as odd, found(odd.url, "mine") as server:
            if refused:
                with pytest.raises(EngineError, match="serves other, and not mine"):
                    await require_whole_turns(server)
            else:
                await require_whole_turns(server)


@pytest.mark.parametrize(
    ("said", "tokens"), [(2048, 2048), (None, USUAL_TOKENS), ("many", USUAL_TOKENS), (3, USUAL_TOKENS)]
)
async def test_how_long_a_prompt_may_be(said: object, tokens: int) -> None:
    listed = json_answer({"data": [{"id": "m", "max_model_len": said}]})
    async with odd_server(json_answer({}), listed) as odd, found(odd.url) as server:
        assert longest_tokens(server) == tokens


def test_noise() -> None:
    assert len(noise()) == LISTEN_RATE_HZ
    assert -41 < rms_dbfs(noise()) < -39
    assert (noise() == noise()).all()
