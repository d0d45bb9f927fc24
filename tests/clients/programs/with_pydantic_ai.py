"""pydantic-ai: an agent's realtime session with a tool, as its own documentation makes it; only the URL is ours.

Runs in its own environment (requirements-pydantic-ai.txt):
python -m tests.clients.programs.with_pydantic_ai URL CLIPS OUT
"""

import asyncio
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import SpeechPart
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import (
    RealtimeInputSpeechStartEvent,
    RealtimeSessionErrorEvent,
    RealtimeTurnCompleteEvent,
)
from pydantic_ai.realtime.openai import OpenAIRealtimeModel

from tests.clients.programs.call import RATE_HZ, Call, arguments


async def play(session: Any, call: Call) -> None:
    """At the pace of a loudspeaker: the session knows by it what has been heard."""
    async for chunk in session.stream_audio():
        call.audio(chunk)
        await asyncio.sleep(len(chunk) / 2 / RATE_HZ)


async def listen(session: Any, call: Call) -> None:
    async for event in session:
        if isinstance(event, RealtimeTurnCompleteEvent):
            await session.wait_for_playback()
            call.over()
        elif isinstance(event, RealtimeInputSpeechStartEvent):
            call.interrupted()
        elif isinstance(event, RealtimeSessionErrorEvent):
            call.tell("error", message=str(event))


async def speak(session: Any, call: Call) -> None:
    async for pcm in call.microphone():
        await session.send_audio(pcm)


def texts(messages: list[Any]) -> list[dict[str, str]]:
    found = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, SpeechPart):
                found.append({"role": part.speaker, "text": part.transcript or ""})
            elif part.part_kind in ("user-prompt", "text"):
                role = "user" if part.part_kind == "user-prompt" else "assistant"
                found.append({"role": role, "text": str(part.content)})
    return found


async def main() -> None:
    url, call = arguments()
    agent = Agent(instructions="You are a helpful voice assistant.")

    @agent.tool_plain  # type: ignore[untyped-decorator]
    def get_weather(city: str) -> str:
        """What the weather is like in a city."""
        return call.weather(city)

    model = OpenAIRealtimeModel("voxtral-voice", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="any"))
    async with agent.realtime(model).session(handle_barge_in=True) as session:
        streams = [asyncio.create_task(work(session, call)) for work in (play, listen, speak)]
        await call.run(session.send)
        call.tell("history", items=texts(session.all_messages()))
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


asyncio.run(main())
