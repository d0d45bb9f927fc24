"""GET /v1/models, and which names of models are taken.

Knows: what runs in each seam, OpenAI's names for the like. Does not know: what a model does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final, Literal

from starlette.requests import Request

from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.edge import Answer, json_answer
from voxtral_voice.server.runtime import Runtime

Part = Literal["transcriber", "responder", "speaker"]
PARTS: Final[tuple[Part, ...]] = ("transcriber", "responder", "speaker")

OPENAI_NAMES: Final[Mapping[Part, re.Pattern[str]]] = {
    "transcriber": re.compile(r"whisper-.*|gpt-.*transcribe.*"),
    "responder": re.compile(r"(?!.*(tts|transcribe|whisper))(gpt-|chatgpt-|o\d).*"),
    "speaker": re.compile(r"tts-.*|gpt-.*tts.*"),
}
"""Clients send these names unasked (their own defaults), so refusing them would keep those clients out."""
OWNER: Final = "voxtral-voice"


class Models:
    """There is one model for each part, whatever it is called."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._since = int(time.time())

    def id_of(self, part: Part) -> str:
        """ "whisper-base-int8" of "whisper-base int8", "Qwen/Qwen3-8B" of "Qwen/Qwen3-8B at http://...", "kokoro" of
        "kokoro on 2 threads, hibari", "smollm2" of "intents, then smollm2 on 1 thread"."""
        name = self._runtime.engines.names()[part].rpartition(", then ")[2].split(", ")[0]
        return re.split(r" (?:on|at) ", name)[0].replace(" ", "-")

    def require(self, part: Part, name: str) -> str:
        """The id of the part's model, when it is that which is meant. Raises ApiError."""
        own = self.id_of(part)
        if name != own and not OPENAI_NAMES[part].fullmatch(name):
            raise errors.unknown_model(name[:100], [own])
        return own

    async def list(self, request: Request) -> Answer:  # noqa: ARG002
        return json_answer({"object": "list", "data": [self._model(name) for name in self._ids()]})

    async def retrieve(self, request: Request) -> Answer:
        name = request.path_params["id"]
        if name not in self._ids():
            raise errors.unknown_model(name[:100], self._ids())
        return json_answer(self._model(name))

    def _ids(self) -> tuple[str, ...]:
        """The parts', and that of all of them together, which sessions talk to."""
        return tuple(dict.fromkeys([*(self.id_of(part) for part in PARTS), self._runtime.model]))

    def _model(self, name: str) -> JsonObject:
        return {"id": name, "object": "model", "created": self._since, "owned_by": OWNER}
