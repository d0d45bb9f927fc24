"""Cloned voices of a running server, from a terminal.

Knows: the endpoints below /v1/voices, what is printed. Does not know: how a voice is made, where it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from voxtral_voice.errors import AudioError, TalkError
from voxtral_voice.terminal import printable

CONNECT_S: Final = 5.0
ANSWER_S: Final = 330.0
"""A voice is made within five minutes, or refused."""
ID: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Nothing that means something else in an address."""


def client(url: str, api_key: str | None, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Raises TalkError for an address or a key that can be none."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise TalkError("The API key has letters that no key can have: check how it was copied.")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    return httpx.Client(base_url=_address(url), headers=headers, timeout=timeout, trust_env=False, transport=transport)


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(f"{url.rstrip('/')}/v1")
    except httpx.InvalidURL as error:
        raise TalkError(f"{url} is no address of a server: {error}.") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise TalkError(f"{url} is no address of a server: it has to be like http://127.0.0.1:8080.")
    return address


def made(server: httpx.Client, clip: Path, name: str, consent: str) -> Iterator[str]:
    """Lines to print. Raises TalkError, AudioError."""
    try:
        recording = clip.read_bytes()
    except OSError as error:
        raise AudioError(f"{clip} cannot be read: {error.strerror}.") from error
    data, files = {"name": name, "consent": consent}, {"audio_sample": (clip.name, recording)}
    voice = _asked(server, "POST", "/voices", data=data, files=files)
    with _as_documented(server):
        yield f"{printable(voice['id'])}  {printable(voice['name'])}"
        yield f"Likeness to the clip {voice['similarity']:.2f}; pitch {voice['pitch_hz']:.0f} Hz. Use it by its id."


def deleted(server: httpx.Client, voice_id: str) -> Iterator[str]:
    if not ID.fullmatch(voice_id):
        raise TalkError(f"'{voice_id}' is no id of a cloned voice: 'voxtral-voice clones list' has them.")
    _asked(server, "DELETE", f"/voices/{voice_id}")
    yield f"{voice_id} is deleted."


def listed(server: httpx.Client) -> Iterator[str]:
    answer = _asked(server, "GET", "/voices")
    with _as_documented(server):
        own = [voice for voice in answer["data"] if "created_at" in voice]
        for voice in own:
            made_on = datetime.fromtimestamp(voice["created_at"], UTC).date()
            yield f"{printable(voice['id'])}  {made_on}  {printable(voice['name'])}"
    if not own:
        yield "No cloned voices."


@contextmanager
def _as_documented(server: httpx.Client) -> Iterator[None]:
    """Raises TalkError where an answer is read that has not what it should have."""
    try:
        yield
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise TalkError(f"What {server.base_url} answers is not what this program's servers say of voices.") from error


def _asked(server: httpx.Client, method: str, path: str, **options: Any) -> Any:
    try:
        answer = server.request(method, path, **options)
    except httpx.HTTPError as error:
        raise TalkError(f"The server at {server.base_url} does not answer ({error}): is it running there?") from error
    except httpx.InvalidURL as error:
        raise TalkError(f"{server.base_url} is no address of a server: {error}.") from error
    except UnicodeEncodeError as error:
        raise TalkError("What was typed cannot be sent: it is no text in UTF-8.") from error
    try:
        content = answer.json()
        if answer.is_success:
            return content
        reason = content["error"]["message"]
    except (ValueError, TypeError, KeyError):
        reason = f"HTTP {answer.status_code}, and no reason"
    raise TalkError(f"The server refused: {reason}")
