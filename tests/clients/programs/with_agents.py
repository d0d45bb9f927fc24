"""openai-agents for Python: a RealtimeSession with a tool, as its own quickstart makes it; only the URL is ours.

Runs in its own environment (requirements-agents.txt): python -m tests.clients.programs.with_agents URL CLIPS OUT
"""

import asyncio
import logging
from typing import Any

from agents import function_tool
from agents.realtime import (
    RealtimeAgent,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeRunner,
)

from tests.clients.programs.call import Call, arguments


class Told(logging.Handler):
    """What the SDK logs as an error (an event that it does not understand, say) is one."""

    def __init__(self, call: Call) -> None:
        super().__init__(logging.WARNING)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        self._call.tell("error", message=self.format(record))


def texts(history: list[Any]) -> list[dict[str, str]]:
    found = []
    for item in history:
        if item.type == "message":
            parts = [getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content]
            found.append({"role": item.role, "text": " ".join(parts)})
    return found


async def listen(session: Any, call: Call) -> None:
    async for event in session:
        if event.type == "audio":
            call.audio(event.audio.data)
        elif event.type == "audio_interrupted":
            call.interrupted()
        elif event.type == "agent_end":
            call.over()
        elif event.type == "error":
            call.tell("error", message=str(event.error))
        elif event.type == "raw_model_event" and event.data.type in ("error", "exception"):
            call.tell("error", message=str(event.data))
        elif event.type == "history_updated":
            call.history = texts(event.history)


async def speak(session: Any, call: Call) -> None:
    async for pcm in call.microphone():
        await session.send_audio(pcm)


async def press(session: Any, pcm: bytes) -> None:
    """Push to talk: from now on the client says when a turn is over."""
    by_hand: Any = {"audio": {"input": {"turn_detection": None}}}
    await session.model.send_event(RealtimeModelSendSessionUpdate(session_settings=by_hand))
    await session.send_audio(pcm, commit=True)
    await session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))


async def main() -> None:
    url, call = arguments()
    logging.getLogger("openai.agents").addHandler(Told(call))

    @function_tool  # type: ignore[untyped-decorator]
    def get_weather(city: str) -> str:
        """What the weather is like in a city."""
        return call.weather(city)

    agent = RealtimeAgent(name="Assistant", instructions="You are a helpful voice assistant.", tools=[get_weather])
    runner = RealtimeRunner(agent)
    address = url.replace("http", "ws", 1) + "/v1/realtime?model=voxtral-voice"
    async with await runner.run(model_config={"url": address, "api_key": "any"}) as session:
        streams = [asyncio.create_task(listen(session, call)), asyncio.create_task(speak(session, call))]
        await call.run(session.send_message, lambda pcm: press(session, pcm))
        call.tell("history", items=call.history)
        for stream in streams:
            stream.cancel()


asyncio.run(main())
