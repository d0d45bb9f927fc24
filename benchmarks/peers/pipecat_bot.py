"""The conversation loop in pipecat, as its own examples build it, behind a WebSocket with a raw wire.

Knows: pipecat's API (the version in requirements-pipecat.txt). Does not know: this project; it runs in pipecat's own
environment (`environments.py`), one process for all sessions, one pipeline per connection.

The wire: binary to the server = PCM16 mono 16 kHz; binary to the client = PCM16 mono 24 kHz, the reply; texts to the
client are JSON: {"type": "interrupted"} (stop playing), {"type": "transcript", "text": ...} (what was heard),
{"type": "bot_started"} and {"type": "bot_stopped"}.

Settings: "shipped" is the framework's default (VAD stop 0.2 s, then Smart Turn v3 decides, at most 3 s; speech is
fetched half a second at a time; a sentence is spoken at once). "matched" has no turn model: a turn ends after
--silence-ms without speech, of which the recommended 0.2 s are the VAD's, so that the transcript is made meanwhile;
and the first 40 ms of speech are passed on when they are there.
"""

import argparse
import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VAD_STOP_SECS, VADParams
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

INSTRUCTIONS = "You are a voice assistant. Answer in one to three short spoken sentences, without lists or markdown."
"""As our own server has it."""
API_KEY = "none"


class RawSerializer(FrameSerializer):  # type: ignore[misc]
    """Audio as it is; everything else that a client has to know, as JSON."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, OutputAudioRawFrame):
            return bytes(frame.audio)
        if isinstance(frame, InterruptionFrame):
            return json.dumps({"type": "interrupted"})
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            return None if self.should_ignore_frame(frame) else json.dumps(frame.message)
        return None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        if isinstance(data, str):
            return None
        return InputAudioRawFrame(audio=data, sample_rate=16_000, num_channels=1)


class Teller(FrameProcessor):  # type: ignore[misc]
    """Stands behind the output and tells the client when the bot begins and ends speaking."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, BotStartedSpeakingFrame):
            await self._tell("bot_started")
        elif isinstance(frame, BotStoppedSpeakingFrame):
            await self._tell("bot_stopped")
        await self.push_frame(frame, direction)

    async def _tell(self, kind: str) -> None:
        await self.push_frame(OutputTransportMessageUrgentFrame(message={"type": kind}), FrameDirection.UPSTREAM)


class PromptSpeech(OpenAITTSService):  # type: ignore[misc]
    """Passes on every 40 ms of speech; the framework's own class waits for half a second of it."""

    @property
    def chunk_size(self) -> int:
        return int(self.sample_rate) // 25 * 2


def user_params(args: argparse.Namespace) -> LLMUserAggregatorParams:
    if args.settings == "shipped":
        return LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    silence_s = args.silence_ms / 1000
    vad_s = min(VAD_STOP_SECS, silence_s)
    stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=silence_s - vad_s)
    return LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(params=VADParams(stop_secs=vad_s)),
        user_turn_strategies=UserTurnStrategies(stop=[stop]),
    )


async def converse(websocket: WebSocket, args: argparse.Namespace) -> None:
    """One session, until the client hangs up."""
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=RawSerializer()),
    )
    answers = OpenAILLMService.Settings(system_instruction=INSTRUCTIONS)
    speech = OpenAITTSService if args.settings == "shipped" else PromptSpeech
    user, assistant = LLMContextAggregatorPair(LLMContext(), user_params=user_params(args))
    pipeline = Pipeline(
        [
            transport.input(),
            OpenAISTTService(api_key=API_KEY, base_url=args.transcriber_url),
            user,
            OpenAILLMService(api_key=API_KEY, base_url=args.responder_url, settings=answers),
            speech(api_key=API_KEY, base_url=args.speaker_url),
            transport.output(),
            Teller(),
            assistant,
        ]
    )
    worker = PipelineWorker(pipeline)
    runner = WorkerRunner(handle_sigint=False)

    @user.event_handler("on_user_turn_stopped")  # type: ignore[untyped-decorator]
    async def heard(_aggregator: Any, _strategy: Any, message: Any) -> None:
        told = {"type": "transcript", "text": message.content or ""}
        await worker.queue_frame(OutputTransportMessageUrgentFrame(message=told))

    @transport.event_handler("on_client_disconnected")  # type: ignore[untyped-decorator]
    async def hung_up(_transport: Any, _client: Any) -> None:
        await runner.cancel()

    await runner.add_workers(worker)
    await runner.run()


def application(args: argparse.Namespace) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def accept(websocket: WebSocket) -> None:
        await websocket.accept()
        await converse(websocket, args)

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transcriber-url", required=True)
    parser.add_argument("--responder-url", required=True)
    parser.add_argument("--speaker-url", required=True)
    parser.add_argument("--settings", choices=("shipped", "matched"), default="shipped")
    parser.add_argument("--silence-ms", type=int, default=500)
    args = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    config = uvicorn.Config(application(args), host="127.0.0.1", port=args.port, log_level="warning")
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
