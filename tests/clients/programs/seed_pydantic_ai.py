"""pydantic-ai goes on with a conversation from before, in which a tool was called: python -m ... URL"""

import asyncio
import json
import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import RealtimeSessionErrorEvent, RealtimeTurnCompleteEvent
from pydantic_ai.realtime.openai import OpenAIRealtimeModel, OpenAIRealtimeModelSettings

HISTORY = [
    ModelRequest(parts=[UserPromptPart(content="Is it warm in Rome?")]),
    ModelResponse(parts=[ToolCallPart(tool_name="get_weather", args={"city": "Rome"}, tool_call_id="call_1")]),
    ModelRequest(parts=[ToolReturnPart(tool_name="get_weather", content="warm", tool_call_id="call_1")]),
    ModelResponse(parts=[TextPart(content="It is.")]),
]


async def main() -> None:
    provider = OpenAIProvider(base_url=f"{sys.argv[1]}/v1", api_key="any")
    settings = OpenAIRealtimeModelSettings(output_modality="text")
    model = OpenAIRealtimeModel("voxtral-voice", provider=provider, settings=settings)
    async with Agent(instructions="Be brief.").realtime(model, message_history=HISTORY).session() as session:
        await session.send("Please list them.")
        async for event in session:
            if isinstance(event, RealtimeSessionErrorEvent):
                print(json.dumps({"kind": "error", "message": str(event)}))
            elif isinstance(event, RealtimeTurnCompleteEvent):
                break
        print(json.dumps({"kind": "listed", "text": session.all_messages()[-1].parts[0].content}))


asyncio.run(main())
