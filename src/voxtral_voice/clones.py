"""Cloned voices of a running server, from a terminal.

Knows: the endpoints below /v1/voices, what is printed. Does not know: how a voice is made, where it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from voxtral_voice.errors import AudioError, TalkError

CONNECT_S: Final = 5.0
ANSWER_S: Final = 330.0
"""A voice is made within five minutes, or refused."""


def client(url: str, api_key: str | None, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    return httpx.Client(
        base_url=f"{url.rstrip('/')}/v1", headers=headers, timeout=timeout, trust_env=False, transport=transport
    )


def made(server: httpx.Client, clip: Path, name: str, consent: str) -> Iterator[str]:
    """Lines to print. Raises TalkError, AudioError."""
    try:
        recording = clip.read_bytes()
    except OSError as error:
        raise AudioError(f"{clip} cannot be read: {error.strerror}.") from error
    data, files = {"name": name, "consent": consent}, {"audio_sample": (clip.name, recording)}
    voice = _asked(server, "POST", "/voices", data=data, files=files)
    yield f"{voice['id']}  {voice['name']}"
    yield f"Likeness to the clip {voice['similarity']:.2f}; pitch {voice['pitch_hz']:.0f} Hz. Use it by its id."


def deleted(server: httpx.Client, voice_id: str) -> Iterator[str]:
    _asked(server, "DELETE", f"/voices/{voice_id}")
    yield f"{voice_id} is deleted."


def listed(server: httpx.Client) -> Iterator[str]:
    own = [voice for voice in _asked(server, "GET", "/voices")["data"] if "created_at" in voice]
    for voice in own:
        made_on = datetime.fromtimestamp(voice["created_at"], UTC).date()
        yield f"{voice['id']}  {made_on}  {voice['name']}"
    if not own:
        yield "No cloned voices."


def _asked(server: httpx.Client, method: str, path: str, **options: Any) -> Any:
    try:
        answer = server.request(method, path, **options)
    except httpx.HTTPError as error:
        raise TalkError(f"The server at {server.base_url} does not answer ({error}): is it running there?") from error
    except httpx.InvalidURL as error:
        raise TalkError(f"{server.base_url} is no address of a server: {error}.") from error
    try:
        content = answer.json()
        if answer.is_success:
            return content
        reason = content["error"]["message"]
    except (ValueError, TypeError, KeyError):
        reason = f"HTTP {answer.status_code}, and no reason"
    raise TalkError(f"The server refused: {reason}")
