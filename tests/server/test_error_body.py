from __future__ import annotations

import orjson
import pytest
from starlette.responses import Response

from voxtral_voice.server import auth, door, refusals
from voxtral_voice.server.admission import FULL, KEY_FULL
from voxtral_voice.server.error_body import error_body, kind_of
from voxtral_voice.server.rest.errors import ApiError, of_refusal


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
        (507, "server_error"),
    ],
)
def test_the_type_goes_by_the_status(status: int, kind: str) -> None:
    assert kind_of(status) == kind
    assert error_body(status, "No.", "x") == {"error": {"message": "No.", "type": kind, "param": None, "code": "x"}}


@pytest.mark.parametrize(
    ("told", "status", "message", "code"),
    [
        (door.refused(auth.WRONG), 401, auth.WRONG.message, "invalid_api_key"),
        (refusals.response(KEY_FULL), 429, KEY_FULL.message, KEY_FULL.code),
        (of_refusal(FULL).response(), 503, FULL.message, FULL.code),
        (ApiError(507, "No.", code="x").response(), 507, "No.", "x"),
    ],
)
def test_whoever_says_no_says_it_so(told: Response, status: int, message: str, code: str) -> None:
    assert (told.status_code, orjson.loads(told.body)) == (status, error_body(status, message, code))
