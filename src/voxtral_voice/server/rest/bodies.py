"""Requests' bodies, read: JSON, and forms with a file.

Knows: JSON, multipart/form-data. Does not know: endpoints' fields.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import orjson
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from voxtral_voice.observe import log
from voxtral_voice.realtime.fields import FieldError, Fields, Json, Problem, invalid
from voxtral_voice.server.rest import errors

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what the client is told
UTF_8: Final = ("utf-8", "utf8")
"""Forms are in it; Python's other codecs (utf-7, punycode, unicode_escape, ...) make text that is none, or raise."""
MOST_FORM_FIELDS: Final = 64
MOST_FIELD_BYTES: Final = 64 * 1024
"""Of a form's field that is no file: a prompt is the longest."""


async def json_fields(request: Request, *, may_be_empty: bool = False) -> Fields:
    """Raises ApiError for a body that is no JSON object. may_be_empty: no body is an object with nothing in it."""
    kind = _kind(request)
    if may_be_empty and not await request.body():
        return Fields({})
    if kind != "application/json":  # a page of another site cannot send it unasked
        raise errors.wrong_type("application/json", kind)
    try:
        content = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise errors.invalid(f"The body is not JSON: {error}.", None, "invalid_json") from error
    if not isinstance(content, dict):
        raise errors.invalid("The body has to be a JSON object.", None, "invalid_json")
    return Fields(content)


async def form(request: Request) -> FormData:
    """A form with at most one file; closed with the request. Raises ApiError for what is none, or cannot be held."""
    kind = _kind(request)
    if kind != "multipart/form-data":
        raise errors.wrong_type("multipart/form-data", kind)
    if _charset(request) not in UTF_8:
        raise errors.invalid("The form cannot be read: its charset has to be utf-8.", None, "invalid_form")
    try:
        return await request.form(max_files=1, max_fields=MOST_FORM_FIELDS, max_part_size=MOST_FIELD_BYTES)
    except HTTPException as error:  # what Starlette makes of a form that it cannot read
        raise errors.invalid(f"The form cannot be read: {_reason(error)}", None, "invalid_form") from error
    except OSError as error:  # a large file goes into a temporary one
        log.event("upload_not_kept", "error", reason=str(error))
        raise errors.no_room() from error


def _reason(error: HTTPException) -> str:
    """What is long in a part's headers is the file's name; the parser's own words are behind Starlette's."""
    cause: BaseException | None = error
    while cause is not None:
        if "header size" in str(cause):
            return "a part's headers are too long; give the file a shorter name."
        cause = cause.__cause__ or cause.__context__
    return error.detail


def file(content: FormData, name: str) -> UploadFile:
    """Raises ApiError when there is none, or nothing is in it."""
    upload = content.get(name)
    if upload is None:
        raise errors.invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if not isinstance(upload, UploadFile):
        raise errors.invalid(f"Invalid value for '{name}': expected a file with a name.", name)
    if not upload.size:
        raise errors.invalid(f"Invalid value for '{name}': the file is empty.", name)
    return upload


def text_fields(content: FormData) -> Fields:
    """The fields that are no file; of two with the same name the last. An empty one counts as left out."""
    return Fields({name: value for name, value in content.multi_items() if isinstance(value, str) and value})


def every(content: FormData, name: str) -> Iterator[str]:
    """A list's values: OpenAI's clients write `name[]`."""
    for key, value in content.multi_items():
        if key in (name, f"{name}[]") and isinstance(value, str) and value:
            yield value


def yes(value: Json, param: str) -> bool:
    """A form's boolean."""
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise invalid(param, "true or false", value)


def refused(param: str, why: str) -> FieldError:
    """For what the API has and this server does not. why: a sentence that says what to do."""
    return FieldError(Problem("invalid_value", f"'{param}' is not supported: {why}", param))


def _charset(request: Request) -> str:
    """Of a form, read as Starlette does, which decodes the fields with it."""
    _, options = parse_options_header(request.headers["content-type"])
    return options.get(b"charset", b"utf-8").decode("latin-1").lower()


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
