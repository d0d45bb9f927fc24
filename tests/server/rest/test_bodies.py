"""Bodies that are not what they should be, at a real server: what the SDK never sends."""

from __future__ import annotations

import errno
import tempfile
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from tests.server.conftest import Serving, quick_config
from tests.server.rest.sdk import ask, problem, recording, tone
from tests.server.rest.test_speech import BODY, post
from voxtral_voice.config import ServerConfig
from voxtral_voice.server.rest import speech

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


def told(answer: httpx.Response) -> tuple[int, str, Any]:
    error = answer.json()["error"]
    assert error["message"].endswith((".", "!"))
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/chat/completions"])
@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{}", {}, (415, "unsupported_content_type", None)),
        (b"{}", {"content-type": "text/plain"}, (415, "unsupported_content_type", None)),
        (b"{}", FORM, (415, "unsupported_content_type", None)),
        (b"", JSON, (400, "invalid_json", None)),
        (b"{", JSON, (400, "invalid_json", None)),
        (b'{"a": NaN}', JSON, (400, "invalid_json", None)),
        (b"\xff\xfe", JSON, (400, "invalid_json", None)),
        (b"[" * 100_000, JSON, (400, "invalid_json", None)),
        (b"[]", JSON, (400, "invalid_json", None)),
        (b"null", JSON, (400, "invalid_json", None)),
        (b"{}", {"content-type": "Application/JSON; charset=utf-8"}, (400, "missing_required_parameter", ...)),
    ],
)
async def test_bad_json(
    serving: Serving, path: str, content: bytes, headers: dict[str, str], expected: tuple[int, str, Any]
) -> None:
    async with serving() as server:
        status, code, param = told(await post(server, content, path, headers=headers))
        assert (status, code) == expected[:2]
        assert expected[2] is ... or param == expected[2]


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{}", JSON, (415, "unsupported_content_type", None)),
        (b"x", {"content-type": "multipart/form-data"}, (400, "invalid_form", None)),
        (b"x", FORM, (400, "invalid_form", None)),
        (b"--b\r\n\r\nx\r\n--b--\r\n", FORM, (400, "invalid_form", None)),
        (b"--b--\r\n", FORM, (400, "missing_required_parameter", "model")),
    ],
)
async def test_bad_forms(
    serving: Serving, content: bytes, headers: dict[str, str], expected: tuple[int, str, Any]
) -> None:
    async with serving() as server:
        assert told(await post(server, content, "/v1/audio/transcriptions", headers=headers)) == expected


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        ("unicode_escape", b"\\ud800"),
        ("raw_unicode_escape", b"\\ud800"),
        ("utf-7", b"+2AA-"),
        ("punycode", b"\xff-\xff"),
        ("undefined", b"x"),
        ('"utf-16"', b"x"),
    ],
)
async def test_a_form_that_is_not_utf_8(serving: Serving, charset: str, value: bytes) -> None:
    content = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + value + b"\r\n--b--\r\n"
    headers = {"content-type": f"{FORM['content-type']}; charset={charset}"}
    async with serving() as server:
        answer = await post(server, content, "/v1/audio/transcriptions", headers=headers)
        assert told(answer) == (400, "invalid_form", None)
        headers = {"content-type": f"{FORM['content-type']}; charset=UTF-8"}
        answer = await post(server, content, "/v1/audio/transcriptions", headers=headers)
        assert told(answer) == (400, "missing_required_parameter", "model")


WAV = recording("wav", tone(0.5))


@pytest.mark.parametrize(
    ("data", "files", "expected"),
    [
        ({}, {}, (415, "unsupported_content_type", None)),
        ({"model": "whisper-1", "file": "text"}, {"x": WAV}, (400, "invalid_value", "file")),
        ({"model": "whisper-1"}, {"x": WAV}, (400, "missing_required_parameter", "file")),
        ({"model": "whisper-1"}, {"file": b""}, (400, "invalid_value", "file")),
        ({"model": ""}, {"file": WAV}, (400, "missing_required_parameter", "model")),
        ({"model": "whisper-1", "prompt": "x" * 70_000}, {"file": WAV}, (400, "invalid_form", None)),
        ({"model": "whisper-1"}, {"file": WAV, "file2": WAV}, (400, "invalid_form", None)),
        ({"model": "whisper-1", **{f"x{i}": "y" for i in range(80)}}, {"file": WAV}, (400, "invalid_form", None)),
        ({"model": "whisper-1", "stream": "perhaps"}, {"file": WAV}, (400, "invalid_value", "stream")),
    ],
)
async def test_bad_form_fields(
    serving: Serving, data: dict[str, str], files: dict[str, bytes], expected: tuple[int, str, Any]
) -> None:
    async with serving() as server:
        answer = await post(server, None, "/v1/audio/transcriptions", data=data, files=files)
        assert told(answer) == expected


async def test_a_file_with_a_long_name(serving: Serving) -> None:
    async with serving() as server:
        files = {"file": ("x" * 5000 + ".wav", WAV)}
        answer = await post(server, None, "/v1/audio/transcriptions", data={"model": "whisper-1"}, files=files)
        assert told(answer) == (400, "invalid_form", None)
        assert "give the file a shorter name" in answer.json()["error"]["message"]


async def test_a_form_that_cannot_be_read_is_no_line_in_the_log(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server:
        assert told(await post(server, b"x", "/v1/audio/transcriptions", headers=FORM))[1] == "invalid_form"
    assert [record for record in caplog.records if record.name.startswith("python_multipart")] == []


async def test_too_large_by_its_header_and_by_its_bytes(serving: Serving) -> None:
    body = b'{"input": "' + b"x" * speech.MOST_BYTES + b'"}'

    async def unannounced() -> Any:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with serving() as server:
        for content in (body, unannounced()):
            assert told(await post(server, content, headers=JSON)) == (413, "request_too_large", None)
        assert (await server.get("/livez")).text == "ok"


async def test_a_path_that_is_not_there_and_a_method_that_is_not(serving: Serving) -> None:
    async with serving() as server:
        wrong = await server.get("/v1/audio/speech")
        assert told(wrong) == (405, "method_not_allowed", None)
        assert wrong.headers["allow"] == "POST"
        assert told(await server.get("/v1/embeddings")) == (404, "unknown_url", None)
        assert told(await server.get("/v1/realtime/client_secrets")) == (405, "method_not_allowed", None)
        assert len((await server.get("/v1/" + "x" * 5000)).json()["error"]["message"]) < 200


async def test_without_a_key_nothing_is_read(serving: Serving) -> None:
    """Where keys are asked for; the SDK knows what it is told."""
    config = quick_config().model_copy(update={"server": ServerConfig(port=0, api_keys=SecretStr("sk-other"))})
    async with serving(config=config) as server:
        for path in ("/v1/audio/speech", "/v1/audio/transcriptions", "/v1/chat/completions"):
            assert told(await post(server, b"not read", path)) == (401, "invalid_api_key", None)
        with pytest.raises(openai.AuthenticationError) as caught:
            await ask(server.url, lambda client: client.models.list())
        assert problem(caught.value) == (401, "invalid_api_key", None)
        answer = await post(server, BODY, headers={"authorization": "Bearer sk-other"})
        assert answer.status_code == 200


async def test_a_temporary_folder_that_is_full(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/the/folder")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    async with serving() as server:
        content = head + bytes(2 << 20) + b"\r\n--b--\r\n"
        answer = await post(server, content, "/v1/audio/transcriptions", headers=FORM)
        assert told(answer) == (507, "insufficient_storage", None)
        assert "/the/folder" not in answer.text
