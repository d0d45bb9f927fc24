from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.realtime import ClientSecretCreateResponse, RealtimeSessionCreateResponse

from tests.server.caller import PATIENCE_S, calling, subprotocols
from tests.server.conftest import Server, Serving
from tests.server.test_auth import KEY, OTHER, Clock, bearer, line, replace_file
from tests.server.test_door import ask, assert_refused, config_with, keyed, refusal
from voxtral_voice.config import ServerConfig
from voxtral_voice.server import auth, run
from voxtral_voice.server.auth import Auth
from voxtral_voice.server.rest import edge

PATH = "/v1/realtime/client_secrets"
OLD_PATH = "/v1/realtime/sessions"
SESSION = {
    "type": "realtime",
    "instructions": "Be brief.",
    "output_modalities": ["text"],
    "audio": {"input": {"turn_detection": None}, "output": {"voice": "af_bella"}},
}


async def mint(server: Server, **body: Any) -> dict[str, Any]:
    answer = await ask(server, PATH, "POST", json=body, headers=bearer(KEY))
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def opened(server: Server, secret: str) -> dict[str, Any]:
    """The session that it opens."""
    offered = subprotocols("realtime", f"openai-insecure-api-key.{secret}")
    async with calling(server.url, subprotocols=offered) as caller:
        assert caller.socket.subprotocol == "realtime"
        return caller.events[0]["session"]  # type: ignore[no-any-return]


def but_its_own(session: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key not in ("id", "expires_at")}


async def test_a_secret_brings_its_session_as_often_as_it_is_used(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        before = time.time()
        given = await mint(server, session=SESSION, expires_after={"anchor": "created_at", "seconds": 60})
        assert given.keys() == {"value", "expires_at", "session"}
        assert before + 59 <= given["expires_at"] <= time.time() + 60
        shown = given["session"]
        assert (shown["instructions"], shown["output_modalities"]) == ("Be brief.", ["text"])
        assert (shown["audio"]["output"]["voice"], shown["audio"]["input"]["turn_detection"]) == ("af_bella", None)
        first, second = await opened(server, given["value"]), await opened(server, given["value"])
        assert but_its_own(first) == but_its_own(second) == but_its_own(shown)
        assert len({first["id"], second["id"], shown["id"]}) == 3


async def test_the_session_that_was_made_ready_is_the_one_that_is_talked_to(serving: Serving) -> None:
    """Text only, and no turns by themselves."""
    async with serving(config=keyed()) as server:
        secret = (await mint(server, session=SESSION))["value"]
        async with calling(server.url, additional_headers=bearer(secret)) as caller:
            await caller.speak()
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            done = await caller.until("response.done")
            assert done["response"]["output"][0]["content"][0]["type"] == "output_text"
            assert caller.count("input_audio_buffer.speech_started") == 0
            await caller.update(output_modalities=["audio"])
            assert caller.events[-1]["session"]["instructions"] == "Be brief."


async def test_a_transcription_session(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        given = await mint(server, session={"type": "transcription"})
        assert given["session"]["object"] == "realtime.transcription_session"
        assert but_its_own(await opened(server, given["value"])) == but_its_own(given["session"])


@pytest.mark.parametrize("content", [b"", b"{}", b'{"session":null,"expires_after":null}'])
async def test_nothing_has_to_be_said(serving: Serving, content: bytes) -> None:
    async with serving(config=keyed()) as server:
        before = time.time()
        answer = await ask(server, PATH, "POST", content=content, headers={**bearer(KEY), **JSON})
        assert before + 599 <= answer.json()["expires_at"] <= time.time() + 600
        async with calling(server.url, additional_headers=bearer(KEY)) as caller:
            assert but_its_own(caller.events[0]["session"]) == but_its_own(answer.json()["session"])


async def test_a_secret_expires_and_its_session_goes_on(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def with_clock(server: ServerConfig) -> Auth:
        return Auth(server, clock)

    monkeypatch.setattr(run, "Auth", with_clock)
    async with serving(config=keyed()) as server:
        given = await mint(server, expires_after={"seconds": 10})
        assert given["expires_at"] == 1_010
        async with calling(server.url, additional_headers=bearer(given["value"])) as caller:
            clock.now = 1_010
            answer = await refusal(server, additional_headers=bearer(given["value"]))
            assert_refused(answer, "This client secret has expired")
            assert (await caller.turn())["response"]["status"] == "completed"


async def test_a_secret_opens_sessions_and_nothing_else(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        secret = bearer((await mint(server))["value"])
        for method, path in (("GET", "/v1/models"), ("POST", PATH), ("POST", OLD_PATH), ("POST", "/v1/audio/speech")):
            assert_refused(await ask(server, path, method, headers=secret), "A client secret opens Realtime sessions")


async def test_a_secret_goes_with_the_key_that_it_was_given_to(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    await asyncio.to_thread(replace_file, file, line("mine", KEY))
    async with serving(config=config_with(api_keys_file=str(file))) as server:
        secret = (await mint(server))["value"]
        await asyncio.to_thread(replace_file, file, line("yours", OTHER))
        assert_refused(await refusal(server, additional_headers=bearer(secret)), "Incorrect API key")


async def test_where_no_key_is_asked_for_a_secret_still_brings_its_session(serving: Serving) -> None:
    async with serving() as server:
        given = await mint(server, session=SESSION)
        assert (await opened(server, given["value"]))["instructions"] == "Be brief."
        assert (await opened(server, "ek_of-nobody"))["instructions"] == ""


async def test_there_is_an_end_to_secrets(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MOST_SECRETS", 2)
    async with serving(config=keyed()) as server:
        for _ in range(2):
            await mint(server)
        answer = await ask(server, PATH, "POST", headers=bearer(KEY))
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")


JSON = {"content-type": "application/json"}
WRONG: list[tuple[bytes, str, str | None]] = [
    (b"{", "invalid_json", None),
    (b'{"session":{"type":"realtime","instructions":NaN}}', "invalid_json", None),
    (b"\xff", "invalid_json", None),
    (b"[" * 3000, "invalid_json", None),
    (b"[]", "invalid_json", None),
    (b"3", "invalid_json", None),
    (b'{"of_tomorrow":1}', "unknown_parameter", "of_tomorrow"),
    (b'{"expires_after":{"minutes":1}}', "unknown_parameter", "expires_after.minutes"),
    (b'{"expires_after":5}', "invalid_value", "expires_after"),
    (b'{"expires_after":{"seconds":9}}', "invalid_value", "expires_after.seconds"),
    (b'{"expires_after":{"seconds":7201}}', "invalid_value", "expires_after.seconds"),
    (b'{"expires_after":{"seconds":"60"}}', "invalid_value", "expires_after.seconds"),
    (b'{"expires_after":{"anchor":"now","seconds":60}}', "invalid_value", "expires_after.anchor"),
    (b'{"session":"realtime"}', "invalid_value", "session"),
    (b'{"session":{}}', "missing_required_parameter", "session.type"),
    (b'{"session":{"type":"live"}}', "invalid_value", "session.type"),
    (
        b'{"session":{"type":"realtime","audio":{"output":{"voice":"x"}}}}',
        "invalid_value",
        "session.audio.output.voice",
    ),
    (b'{"session":{"type":"realtime","max_output_tokens":0}}', "invalid_value", "session.max_output_tokens"),
    (b'{"session":{"type":"realtime","audio":{"tempo":1}}}', "unknown_parameter", "session.audio.tempo"),
]


async def test_requests_that_are_wrong(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        for content, code, param in WRONG:
            answer = await ask(server, PATH, "POST", content=content, headers={**bearer(KEY), **JSON})
            error = answer.json()["error"]
            got = (answer.status_code, error["type"], error["code"], error["param"])
            assert got == (400, "invalid_request_error", code, param), content[:80]
            assert len(error["message"]) < 500
        assert server.runtime.auth.secrets._given == {}


async def test_bodies_that_are_not_read(serving: Serving) -> None:
    """As at the other endpoints."""
    async with serving(config=keyed()) as server:
        for path in (PATH, OLD_PATH):
            large = await ask(server, path, "POST", content=b" " * (2**20 + 1), headers={**bearer(KEY), **JSON})
            assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
            text = await ask(server, path, "POST", content=b"{}", headers={**bearer(KEY), "content-type": "text/plain"})
            assert (text.status_code, text.json()["error"]["code"]) == (415, "unsupported_content_type")


async def test_a_body_that_does_not_come(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "RECEIVE_S", 0.05)
    async with serving(config=keyed()) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()
        await writer.wait_closed()


async def test_the_older_form(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        body = {"model": "gpt-4o-realtime-preview", "instructions": "Be brief.", "modalities": ["audio", "text"]}
        answer = (await ask(server, OLD_PATH, "POST", json=body, headers=bearer(KEY))).json()
        assert (answer["object"], answer["instructions"]) == ("realtime.session", "Be brief.")
        assert answer["client_secret"]["expires_at"] > time.time()
        assert (await opened(server, answer["client_secret"]["value"]))["instructions"] == "Be brief."
        wrong = await ask(server, OLD_PATH, "POST", json={"instructions": 3}, headers=bearer(KEY))
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "session.instructions")


async def test_the_openai_client_reads_it(serving: Serving) -> None:
    def create(url: str, key: str) -> ClientSecretCreateResponse:
        transport = openai.DefaultHttpx2Client(trust_env=False)
        with openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, http_client=transport) as client:
            return client.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 60},
                session={"type": "realtime", "instructions": "Be brief."},
            )

    async with serving(config=keyed()) as server:
        given = await asyncio.to_thread(create, server.url, KEY)
        assert isinstance(given.session, RealtimeSessionCreateResponse)
        assert given.session.instructions == "Be brief."
        ClientSecretCreateResponse.model_validate(given.to_dict())  # what the client itself does not do
        with pytest.raises(openai.AuthenticationError) as refused:
            await asyncio.to_thread(create, server.url, OTHER)
        assert refused.value.code == "invalid_api_key"
