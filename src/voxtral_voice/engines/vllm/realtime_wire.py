"""The frames of vLLM's `/v1/realtime`, which is not OpenAI's. Pure.

Knows: what is said and what may come (vLLM 0.32, recorded in tests/engines/vllm/recordings). Does not know: sockets,
when to say what.

    session.update                        names the model; nothing comes back when it is right
    input_audio_buffer.commit             starts an utterance; ignored while one is under way
    input_audio_buffer.append             PCM16, 16 kHz; between utterances it is lost
    input_audio_buffer.commit, final      pads the utterance to its end
    transcription.delta                   one for every 80 ms of sound, most of them empty
    transcription.done                    the words of the utterance; the next one may start
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
import pybase64

from voxtral_voice.engines.openai_http import loaded, short

PATH: Final = "/realtime"
START: Final = '{"type":"input_audio_buffer.commit"}'
FINISH: Final = '{"type":"input_audio_buffer.commit","final":true}'


@dataclass(frozen=True, slots=True)
class Delta:
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    text: str
    prompt_tokens: int | None
    """One, the padding on the left, and one for each 80 ms of delay."""


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str


Frame = Delta | Done | Failure


def update(model: str) -> str:
    return orjson.dumps({"type": "session.update", "model": model}).decode()


def append(pcm: bytes) -> str:
    """pcm: not empty, which would be an error."""
    return f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode_as_string(pcm)}"}}'


def read(data: str | bytes) -> Frame | None:
    """None for what says nothing to us. Raises ValueError for what is no event."""
    event = loaded(data.encode() if isinstance(data, str) else data)
    if not isinstance(event, dict):
        raise ValueError("an event is a JSON object")
    match event.get("type"):
        case "transcription.delta":
            return Delta(_text(event, "delta"))
        case "transcription.done":
            return Done(_text(event, "text"), _prompt_tokens(event.get("usage")))
        case "error":
            return Failure(short(str(event.get("code"))), short(str(event.get("error"))))
    return None


def _text(event: dict[str, Any], field: str) -> str:
    text = event.get(field)
    if not isinstance(text, str):
        raise ValueError(f"`{field}` has to be a text")
    return text


def _prompt_tokens(usage: object) -> int | None:
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else None
