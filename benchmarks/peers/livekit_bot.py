"""The conversation loop in livekit-agents without a media server: an `AgentSession` behind a WebSocket with a raw wire.

Knows: livekit-agents' API (the version in requirements-livekit.txt). Does not know: this project; it runs in an
environment of its own (`environments.py`), one process for all sessions, one `AgentSession` per connection. WebRTC and
the framework's job processes are left out: audio comes in and goes out through an `AudioInput` and an `AudioOutput` of
ours, which play the part of a room's track (200 ms ahead of what is heard, may pause and go on).

The wire is that of pipecat_bot.py.

Settings: "shipped" is the framework's default (Silero VAD with 250 ms, its turn detector v1-mini, an endpoint delay of
0.3 or 2.5 s, answers begun before the endpoint, speech after it, interruptions after 0.5 s of speech and none
in the first 3 s of a session's first reply). "matched" has no turn detector, ends a turn --silence-ms after the speech,
begins the speech too before the endpoint, and can be interrupted from the start.
"""

import argparse
import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Any

from aiohttp import web
from livekit import rtc
from livekit.agents import Agent, AgentSession, TurnHandlingOptions, inference, utils
from livekit.agents.voice import io
from livekit.plugins import openai

INSTRUCTIONS = "You are a voice assistant. Answer in one to three short spoken sentences, without lists or markdown."
"""As our own server has it."""
API_KEY = "none"
LISTEN_HZ = 16_000
SPEAK_HZ = 24_000
PIECE_S = 0.02
LEAD_S = 0.2
"""Audio is sent so far ahead of being heard, as the framework's own output does."""
VAD_SILENCE_S = 0.25
"""The framework's default."""


class Microphone(io.AudioInput):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(label="websocket")
        self._frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()

    def heard(self, data: bytes) -> None:
        self._frames.put_nowait(rtc.AudioFrame(data, LISTEN_HZ, 1, len(data) // 2))

    def hung_up(self) -> None:
        self._frames.put_nowait(None)

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class Loudspeaker(io.AudioOutput):  # type: ignore[misc]
    """Sends what the agent says as it is to be heard, and keeps account of how much of it has been.

    As the framework asks of it: a reply ends (`on_playback_finished`) when it was flushed and has been heard to its
    end, or was cleared; while paused nothing is heard, and what the client had not played yet is sent again afterwards.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        super().__init__(label="websocket", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=SPEAK_HZ)
        self._socket = socket
        self._cut = utils.audio.AudioByteStream(SPEAK_HZ, 1, samples_per_channel=int(SPEAK_HZ * PIECE_S))
        self._notes: deque[dict[str, str]] = deque()
        self._waiting: deque[bytes] = deque()
        self._sent: deque[bytes] = deque(maxlen=round(LEAD_S / PIECE_S) + 1)
        self._dry_at = 0.0
        """When the client will have played all that was sent, in `time.monotonic()`."""
        self._captured_s = 0.0
        self._played_s: float | None = None
        """Of a reply that was cleared."""
        self._flushed = False
        self._paused = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        while not self._socket.closed:
            self._changed.clear()
            if self._notes:
                await self._socket.send_json(self._notes.popleft())
            elif self._waiting and not self._paused:
                await self._send_next()
            elif self._flushed and not self._paused and self._ahead_s() == 0:
                self._finish(self._captured_s, interrupted=False)
            else:
                await self._wait()

    def tell(self, note: dict[str, str]) -> None:
        self._notes.append(note)
        self._changed.set()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._captured_s:
            self.on_playback_started(created_at=time.time())
            self.tell({"type": "bot_started"})
        self._captured_s += frame.duration
        if self._played_s is None:
            self._take(self._cut.push(frame.data))

    def flush(self) -> None:
        super().flush()
        self._take(self._cut.flush())
        self._flushed = bool(self._captured_s)
        if self._flushed and self._played_s is not None:
            self._finish(self._played_s, interrupted=True)

    def clear_buffer(self) -> None:
        if not self._captured_s or self._played_s is not None:
            return
        self._played_s = max(0.0, self._captured_s - self._ahead_s() - len(self._waiting) * PIECE_S)
        self._drop()
        self.tell({"type": "interrupted"})
        if self._flushed:
            self._finish(self._played_s, interrupted=True)

    def pause(self) -> None:
        super().pause()
        if not self._paused:
            self._paused = True
            unheard = min(len(self._sent), round(self._ahead_s() / PIECE_S))
            self._waiting.extendleft(self._sent.pop() for _ in range(unheard))
            self._dry_at = 0.0
            self.tell({"type": "interrupted"})

    def resume(self) -> None:
        super().resume()
        if self._paused:
            self._paused = False
            if self._waiting:
                self.tell({"type": "bot_started"})
            self._changed.set()

    def _take(self, frames: list[rtc.AudioFrame]) -> None:
        self._waiting.extend(bytes(frame.data) for frame in frames)
        self._changed.set()

    def _ahead_s(self) -> float:
        return max(0.0, self._dry_at - time.monotonic())

    async def _send_next(self) -> None:
        if (early_s := self._ahead_s() - LEAD_S) > 0:
            await self._wait(early_s)
            return
        piece = self._waiting.popleft()
        self._sent.append(piece)
        self._dry_at = max(self._dry_at, time.monotonic()) + len(piece) / 2 / SPEAK_HZ
        await self._socket.send_bytes(piece)

    async def _wait(self, at_most_s: float | None = None) -> None:
        """Until something changes, or all has been heard, or a time has passed."""
        ending = self._flushed and not self._waiting and not self._paused
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), self._ahead_s() if ending else at_most_s)

    def _finish(self, played_s: float, *, interrupted: bool) -> None:
        self._drop()
        self._captured_s, self._played_s, self._flushed = 0.0, None, False
        self.tell({"type": "bot_stopped"})
        self.on_playback_finished(playback_position=played_s, interrupted=interrupted)

    def _drop(self) -> None:
        self._cut.clear()
        self._waiting.clear()
        self._sent.clear()
        self._dry_at = 0.0


def turn_handling(args: argparse.Namespace) -> TurnHandlingOptions:
    if args.settings == "shipped":
        return TurnHandlingOptions()
    silence_s = args.silence_ms / 1000
    return TurnHandlingOptions(
        turn_detection="vad",
        endpointing={"min_delay": silence_s, "max_delay": silence_s},
        preemptive_generation={"preemptive_tts": True},
    )


def session_of(args: argparse.Namespace) -> AgentSession[None]:
    vad_s = min(VAD_SILENCE_S, args.silence_ms / 1000)
    matched = {"aec_warmup_duration": None, "vad": inference.VAD(min_silence_duration=vad_s)}
    return AgentSession(
        stt=openai.STT(base_url=args.transcriber_url, api_key=API_KEY),
        llm=openai.LLM(base_url=args.responder_url, api_key=API_KEY),
        tts=openai.TTS(base_url=args.speaker_url, api_key=API_KEY, model="tts-1", voice="alloy", response_format="pcm"),
        turn_handling=turn_handling(args),
        **(matched if args.settings == "matched" else {}),
    )


async def converse(request: web.Request, args: argparse.Namespace) -> web.WebSocketResponse:
    """One session, until the client hangs up."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    session = session_of(args)
    microphone, loudspeaker = Microphone(), Loudspeaker(socket)
    session.input.audio, session.output.audio = microphone, loudspeaker

    @session.on("conversation_item_added")  # type: ignore[untyped-decorator]
    def added(event: Any) -> None:
        if getattr(event.item, "role", None) == "user":
            loudspeaker.tell({"type": "transcript", "text": event.item.text_content or ""})

    playing = asyncio.create_task(loudspeaker.run())
    async with utils.http_context.open():
        await session.start(Agent(instructions=INSTRUCTIONS))
        async for message in socket:
            if message.type == web.WSMsgType.BINARY:
                microphone.heard(message.data)
        microphone.hung_up()
        await session.aclose()
    playing.cancel()
    return socket


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transcriber-url", required=True)
    parser.add_argument("--responder-url", required=True)
    parser.add_argument("--speaker-url", required=True)
    parser.add_argument("--settings", choices=("shipped", "matched"), default="shipped")
    parser.add_argument("--silence-ms", type=int, default=500)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    app = web.Application()
    app.router.add_get("/ws", lambda request: converse(request, args))
    web.run_app(app, host="127.0.0.1", port=args.port, print=None)


if __name__ == "__main__":
    main()
