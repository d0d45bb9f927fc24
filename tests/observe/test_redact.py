from __future__ import annotations

import json
import logging
import time
from io import StringIO
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.observe import log
from voxtral_voice.observe.redact import redacted

SECRET: Final = "Zq8-secret_value.of~somebody"
PLAINLY: Final = [
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "Authorization: {}",
    "Proxy-Authorization: Basic {}",
    "[(b'authorization', b'Bearer {}')]",
    "[(b'authorization', b'{}'), (b'host', b'x')]",
    '{{"Authorization": "Bearer {}"}}',
    "< sec-websocket-protocol: realtime, openai-insecure-api-key.{}",
    "['realtime', 'openai-insecure-api-key.{}']",
    "Sec-WebSocket-Protocol: voxtral-voice-resume.{}, realtime",
    "X-Voxtral-Voice-Resume: {}",
    "(b'x-voxtral-voice-resume', b'{}')",
    "x-api-key: {}",
    "Cookie: session={}",
    '127.0.0.1:5 - "WebSocket /v1/realtime?model=x&api_key={}" [accepted]',
    '127.0.0.1:5 - "GET /v1/models?token={}&x=1 HTTP/1.1" 401',
    "/v1/realtime?access_token={}",
    "redis://user:{}@127.0.0.1:6379/0",
    "Incorrect API key provided: sk-{}",
    "the key vv_{}",
    "the secret ek_{} has expired",
    'a traceback\nwith "Bearer {}"\nin it',
]


@pytest.mark.parametrize("text", PLAINLY)
def test_secrets_go(text: str) -> None:
    secret = "Zq8secretvalueofsomebody" if text.startswith(("Incorrect", "the ")) else SECRET
    shown = redacted(text.format(secret))
    assert secret not in shown
    assert "***" in shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T08:44:29.113Z INFO session_opened session=sess_1",
        "client_refused code=invalid_api_key path=/v1/realtime peer=127.0.0.1",
        "the bearer of bad news",
        "/v1/realtime?model=x&intent=transcription",
        "keys_read_again keys=3",
        "http://127.0.0.1:8000/v1",
        'library_said library=uvicorn.error message="Invalid HTTP request received."',
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redacted(text) in (text, "the bearer *** bad news")


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize("piece", ["a", "?a", "a.", "a-", "://", "key", "authorization ", "sk-", "basic ", "&key"])
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    began = time.thread_time()
    redacted(piece * 20_000)
    assert time.thread_time() - began < 2.0  # 0.1 at most; 1000 times as long if each start looked to the end


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=4))
def test_json_stays_json(fields: dict[str, str]) -> None:
    json.loads(redacted(json.dumps(fields)))


@pytest.fixture
def said() -> StringIO:
    return StringIO()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", ["uvicorn.error", "websockets.server", "voxtral_voice"])
def test_no_line_of_the_log_has_one(form: log.Form, name: str, said: StringIO) -> None:
    """At every level, also where somebody has turned a library's own debugging on; and in tracebacks."""
    log.set_up("debug", said, form)
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(level, "< %s: %s", "Authorization", f"Bearer {SECRET}")
        try:
            raise ValueError(f"no such address: /v1/realtime?key={SECRET}")
        except ValueError:
            logger.exception("broken")
    finally:
        logger.setLevel(before)
        log.set_up("info")
    assert len(said.getvalue().splitlines()) == 5
    assert SECRET not in said.getvalue()
