from __future__ import annotations

import orjson
import pytest

from voxtral_voice.errors import BusyError, EngineError, RequestError
from voxtral_voice.realtime.fields import invalid
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.errors import ApiError


def test_the_shape_of_an_error() -> None:
    response = ApiError(404, "No.", code="model_not_found", param="model").response()
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert orjson.loads(response.body) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    }


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.invalid("x", "y"), 400, "invalid_request_error", "invalid_value"),
        (errors.of_problem(invalid("a.b", "a string", 1).problem), 400, "invalid_request_error", "invalid_value"),
        (errors.unknown_model("m", ["a", "b"]), 404, "invalid_request_error", "model_not_found"),
        (errors.too_slow(30), 408, "invalid_request_error", "request_timeout"),
        (errors.too_large(1000), 413, "invalid_request_error", "request_too_large"),
        (errors.wrong_type("a form", ""), 415, "invalid_request_error", "unsupported_content_type"),
        (errors.busy(4), 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.of_engine("speaker", EngineError("speaker", "x"), "x"), 500, "server_error", "engine_failed"),
        (errors.of_engine("speaker", RequestError("speaker", "x"), "x"), 400, "invalid_request_error", "invalid_value"),
        (errors.of_engine("transcriber", BusyError("transcriber", "x"), "x"), 503, "server_error", "engine_busy"),
        (errors.of_engine("speaker", TimeoutError(), "it took too long"), 503, "server_error", "engine_timeout"),
    ],
)
def test_every_error(error: ApiError, status: int, kind: str, code: str) -> None:
    told = orjson.loads(error.response().body)["error"]
    assert (error.status, told["type"], told["code"]) == (status, kind, code)
    assert ("retry-after" in error.response().headers) == (status in (429, 503))
