"""The body of every error over HTTP, in the shape of OpenAI's.

Knows: the shape, which type of error a status is. Does not know: what went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.realtime.server_events import ErrorKind

_KINDS: Final[Mapping[int, ErrorKind]] = {
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    507: "server_error",
}
"""By status; else the request is invalid."""


def kind_of(status: int) -> ErrorKind:
    return _KINDS.get(status, "invalid_request_error")


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> JsonObject:
    return {"error": {"message": message, "type": kind_of(status), "param": param, "code": code}}
