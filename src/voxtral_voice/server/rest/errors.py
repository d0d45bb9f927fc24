"""What is answered to a request that cannot be done, in the shape of OpenAI's errors.

Knows: statuses, types and codes of errors. Does not know: endpoints, engines' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
from fastapi import Response

from voxtral_voice.errors import BusyError, DownError, RequestError
from voxtral_voice.realtime.fields import JsonObject, Problem
from voxtral_voice.server.admission import Refused
from voxtral_voice.server.error_body import error_body

RETRY_AFTER_S: Final = 1
"""An engine has caught up, or works no more for another request, about as soon as a spoken sentence is over."""

PATH_CHARS: Final = 100
"""Of a path that a client made up, in what it is told."""
_LATER: Final = frozenset({429, 503})
"""Statuses that say when to come again."""


class ApiError(Exception):
    """A request that is refused, or that failed. `str(error)` is a sentence for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int = RETRY_AFTER_S,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self._retry_after_s = retry_after_s

    def body(self) -> JsonObject:
        return error_body(self.status, str(self), self.code, self.param)

    def response(self) -> Response:
        headers = {"Retry-After": str(self._retry_after_s)} if self.status in _LATER else {}
        return Response(orjson.dumps(self.body()), self.status, headers, "application/json")


def invalid(message: str, param: str | None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def of_problem(problem: Problem) -> ApiError:
    return ApiError(400, problem.message, code=problem.code, param=problem.param)


def of_refusal(refused: Refused) -> ApiError:
    """There is no place, over HTTP as over a WebSocket."""
    return ApiError(refused.status, refused.message, code=refused.code, retry_after_s=refused.retry_after_s)


def of_engine(seam: str, error: Exception, message: str) -> ApiError:
    """message: what the runtime says about it."""
    if isinstance(error, DownError):
        return ApiError(503, f"The {seam} is not asked at the moment: {message}", code="engine_down")
    if isinstance(error, BusyError):
        return ApiError(503, message, code="engine_busy")
    if isinstance(error, RequestError):
        return ApiError(400, message, code="invalid_value")
    if isinstance(error, TimeoutError):
        return ApiError(503, f"The {seam} does not answer: {message}.", code="engine_timeout")
    return ApiError(500, f"The {seam} failed: {message}", code="engine_failed")


def unknown_model(name: str, known: Sequence[str]) -> ApiError:
    message = f"The model '{name}' does not exist here; known are {', '.join(known)}, and OpenAI's names for the like."
    return ApiError(404, message, code="model_not_found", param="model")


def unknown_url(method: str, path: str) -> ApiError:
    message = f"Unknown request URL: {method} {path[:PATH_CHARS]}. Check its spelling, and the method."
    return ApiError(404, message, code="unknown_url")


def wrong_method(method: str, path: str, allowed: str) -> ApiError:
    message = f"{method[:PATH_CHARS]} is not allowed at {path[:PATH_CHARS]}; use {allowed or 'another method'}."
    return ApiError(405, message, code="method_not_allowed")


def too_large(most_bytes: int) -> ApiError:
    return ApiError(413, f"The request is larger than {most_bytes:,} bytes.", code="request_too_large")


def no_room() -> ApiError:
    message = "The server has no room for the file now: its temporary folder cannot be written to."
    return ApiError(507, message, code="insufficient_storage")


def too_slow(seconds: float) -> ApiError:
    return ApiError(
        408, f"The request came too slowly: nothing more, or too little, in {seconds:g} s.", code="request_timeout"
    )


def wrong_type(expected: str, got: str) -> ApiError:
    message = f"The request has to be {expected}, but its Content-Type is {got[:100] or 'missing'}."
    return ApiError(415, message, code="unsupported_content_type")


def busy(most: int) -> ApiError:
    return ApiError(429, f"{most} such requests are already being worked on; try again.", code="rate_limit_exceeded")


def busy_with_yours() -> ApiError:
    message = "A voice of yours is being made already; send the next one when it is there."
    return ApiError(429, message, code="rate_limit_exceeded")
