"""livekit-agents: an AgentSession on the openai plugin's RealtimeModel, without a room; only the URL is ours.

Runs in its own environment (benchmarks/peers/requirements-livekit.txt):
python -m tests.clients.programs.with_livekit URL CLIPS OUT
"""

import asyncio
import logging
import time
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool, utils
from livekit.agents.voice import io
from livekit.plugins import openai

from tests.clients.programs.call import RATE_HZ, Call, arguments


class Microphone(io.AudioInput):  # type: ignore[misc]
    def __init__(self, call: Call) -> None:
        super().__init__(label="call")
        self._pieces = call.microphone()

    async def __anext__(self) -> rtc.AudioFrame:
        pcm = await anext(self._pieces)
        return rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2)


class Loudspeaker(io.AudioOutput):  # type: ignore[misc]
    """As the framework asks of a room's track: it says when a reply's last sound has been heard, or how far it came."""

    def __init__(self, call: Call) -> None:
        super().__init__(label="call", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE_HZ)
        self._call = call
        self._captured_s = 0.0
        self._plays_until = 0.0
        self._ending: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._captured_s:
            self.on_playback_started(created_at=time.time())
        self._captured_s += frame.duration
        self._plays_until = max(time.monotonic(), self._plays_until) + frame.duration
        self._call.audio(bytes(frame.data))

    def flush(self) -> None:
        super().flush()
        if self._captured_s and self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await asyncio.sleep(max(0.0, self._plays_until - time.monotonic()))
        self._call.over()
        self._finish(self._captured_s, interrupted=False)

    def clear_buffer(self) -> None:
        if not self._captured_s:
            return
        if self._ending is not None:
            self._ending.cancel()
        self._call.interrupted()
        unheard_s = max(0.0, self._plays_until - time.monotonic())
        self._finish(max(0.0, self._captured_s - unheard_s), interrupted=True)

    def _finish(self, played_s: float, *, interrupted: bool) -> None:
        self._captured_s, self._plays_until, self._ending = 0.0, 0.0, None
        self.on_playback_finished(playback_position=played_s, interrupted=interrupted)


class Told(logging.Handler):
    """What the framework logs as an error is one."""

    def __init__(self, call: Call) -> None:
        super().__init__(logging.ERROR)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        self._call.tell("error", message=self.format(record))


class Assistant(Agent):  # type: ignore[misc]
    def __init__(self, call: Call) -> None:
        super().__init__(instructions="You are a helpful voice assistant.")
        self._call = call

    @function_tool  # type: ignore[untyped-decorator]
    async def get_weather(self, city: str) -> str:
        """What the weather is like in a city."""
        return self._call.weather(city)


async def main() -> None:
    url, call = arguments()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("livekit").addHandler(Told(call))
    async with utils.http_context.open():
        model = openai.realtime.RealtimeModel(base_url=f"{url}/v1", api_key="any", model="voxtral-voice")
        session: AgentSession[None] = AgentSession(llm=model)
        session.input.audio, session.output.audio = Microphone(call), Loudspeaker(call)

        @session.on("error")  # type: ignore[untyped-decorator]
        def failed(event: Any) -> None:
            call.tell("error", message=str(event.error))

        written: list[Any] = []

        async def write(text: str) -> None:
            written.append(session.generate_reply(user_input=text))

        await session.start(Assistant(call))
        await call.run(write)
        await written[0]
        messages = [item for item in session.history.items if item.type == "message"]
        items = [{"role": message.role, "text": message.text_content or ""} for message in messages]
        call.tell("history", items=items)
        await session.aclose()


asyncio.run(main())
