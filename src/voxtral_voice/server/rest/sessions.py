"""GET /v1/sessions: where each session is and how it fares, for an operator. Not what is said, nor who says it.

Knows: what is told of a session. Does not know: how that is found out (`observe.watch`), who may ask (`door`).
"""

from __future__ import annotations

from starlette.requests import Request

from voxtral_voice.observe.watch import Glance
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.server.rest.edge import Answer, json_answer
from voxtral_voice.server.runtime import Runtime


class SessionList:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def list(self, _: Request) -> Answer:
        """The oldest first."""
        data: list[Json] = [glance_json(session.glance()) for session in self._runtime.sessions]
        return json_answer({"object": "list", "data": data})


def glance_json(glance: Glance) -> JsonObject:
    return {
        "object": "session",
        "id": glance.id,
        "age_s": round(glance.age_s, 1),
        "state": glance.state,
        "turns": glance.turns,
        "replies": glance.replies,
        "interruptions": glance.interruptions,
        "underruns": glance.underruns,
        "last_latency_ms": glance.last_latency_ms,
        "user_audio_s": round(glance.user_audio_s, 1),
        "reply_audio_s": round(glance.reply_audio_s, 1),
        "queues": dict(glance.queues),
    }
