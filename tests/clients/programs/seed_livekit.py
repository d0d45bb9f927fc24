"""livekit-agents goes on with a conversation from before, and rewrites it: python -m ... URL"""

import asyncio
import json
import sys

from livekit.agents import Agent, AgentSession, llm, utils
from livekit.plugins import openai


async def main() -> None:
    history = llm.ChatContext.empty()
    history.add_message(role="user", content="My name is Ada.")
    history.add_message(role="assistant", content="Hello, Ada.")
    async with utils.http_context.open():
        model = openai.realtime.RealtimeModel(base_url=f"{sys.argv[1]}/v1", api_key="any", modalities=["text"])
        session: AgentSession[None] = AgentSession(llm=model)
        agent = Agent(instructions="Be brief.", chat_ctx=history)
        await session.start(agent)
        changed = agent.chat_ctx.copy()
        changed.items.insert(0, llm.ChatMessage(role="user", content=["Good day."]))
        changed.items = [item for item in changed.items if getattr(item, "text_content", "") != "Hello, Ada."]
        changed.add_message(role="assistant", content="Welcome.")
        await agent.update_chat_ctx(changed)
        await session.generate_reply(user_input="Please list them.")
        print(json.dumps({"kind": "listed", "text": session.history.items[-1].text_content}))
        await session.aclose()


asyncio.run(main())
