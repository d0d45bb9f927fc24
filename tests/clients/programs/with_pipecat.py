"""pipecat: a pipeline around its OpenAIRealtimeLLMService, as its own example builds it; only the URL is ours.

Runs in its own environment (benchmarks/peers/requirements-pipecat.txt):
python -m tests.clients.programs.with_pipecat URL CLIPS OUT
"""

import asyncio
import sys
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SemanticTurnDetection,
    SessionProperties,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from tests.clients.programs.call import RATE_HZ, Call, arguments


class Loudspeaker(FrameProcessor):  # type: ignore[misc]
    """Stands where a transport's output does: plays, and says when the bot begins and stops speaking."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self._call.audio(bytes(frame.audio))
        elif isinstance(frame, TTSStartedFrame):
            await self.broadcast_frame(BotStartedSpeakingFrame)
        elif isinstance(frame, TTSStoppedFrame):
            await self.broadcast_frame(BotStoppedSpeakingFrame)
            self._call.over()
        elif isinstance(frame, InterruptionFrame):
            self._call.interrupted()
        await self.push_frame(frame, direction)


def service(url: str) -> OpenAIRealtimeLLMService:
    listening = AudioInput(transcription=InputAudioTranscription(), turn_detection=SemanticTurnDetection())
    return OpenAIRealtimeLLMService(
        api_key="any",
        base_url=url.replace("http", "ws", 1) + "/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(
            system_instruction="You are a helpful voice assistant.",
            session_properties=SessionProperties(audio=AudioConfiguration(input=listening)),
        ),
    )


def texts(context: LLMContext) -> list[dict[str, str]]:
    found = []
    for message in context.get_messages():
        content = message.get("content")
        if message.get("role") in ("user", "assistant") and isinstance(content, str):
            found.append({"role": message["role"], "text": content})
    return found


async def main() -> None:
    url, call = arguments()
    logger.remove()
    logger.add(lambda message: call.tell("error", message=str(message)), level="ERROR")
    logger.add(sys.stderr, level="WARNING")

    async def get_weather(params: FunctionCallParams, city: str) -> None:
        """What the weather is like in a city.

        Args:
            city: Its name.
        """
        await params.result_callback(call.weather(city))

    context = LLMContext([], [get_weather])
    user, assistant = LLMContextAggregatorPair(context)
    llm = service(url)
    worker = PipelineWorker(Pipeline([user, llm, Loudspeaker(call), assistant]))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    @worker.event_handler("on_pipeline_error")  # type: ignore[untyped-decorator]
    async def failed(_worker: Any, frame: ErrorFrame) -> None:
        call.tell("error", message=frame.error)

    async def speak() -> None:
        async for pcm in call.microphone():
            await worker.queue_frame(InputAudioRawFrame(audio=pcm, sample_rate=RATE_HZ, num_channels=1))

    async def write(text: str) -> None:
        await llm.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True))

    async def talk() -> None:
        await worker.queue_frame(LLMRunFrame())  # the agent says hello, as in the framework's own example
        await call.greeted()
        before = len(texts(context))
        speaking = asyncio.create_task(speak())
        await call.run(write)
        speaking.cancel()
        call.tell("history", items=texts(context)[before:])
        await runner.cancel()

    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        group.create_task(talk())


asyncio.run(main())
