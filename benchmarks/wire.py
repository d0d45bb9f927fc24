"""What the wire costs: microseconds of CPU for one event, as the server's own code handles it.

    .venv/bin/python -m benchmarks.wire [--seconds 0.4] [--out benchmarks/wire.json]

In: from the bytes of a frame to what is fed to the core; for an append that is samples, and once more samples at 16 kHz
as voice activity has them. Out: from samples, or from what the core says, to the bytes of the frames. Each event is
handled in batches for --seconds of CPU time of this thread; the figure is the median of the batches. Waiting, the
socket and the masking of WebSocket frames are not in it.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tests.realtime.make import VOICES
from tests.realtime.steps import PIXEL, TOOL
from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.wire import Wire
from voxtral_voice.server.ids import new_id
from voxtral_voice.server.ingest import Ingest

BATCH_US: Final = 500
"""Long beside the clock's grain, short beside what else the machine does."""
TARGET_US: Final = 15.0
"""Of an append of 20 ms, and of an audio delta."""
RATE_HZ: Final = 24_000
ITEM: Final = ev.Item("item_1", "assistant", "audio", "It is Paris, a city in France.")
WORDS: Final = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the time?"}]}
SESSION: Final = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": "You are a friendly assistant. " * 10,
    "tools": [TOOL, {**TOOL, "name": "clock"}],
    "tool_choice": "auto",
    "tracing": "auto",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": RATE_HZ},
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
            "noise_reduction": None,
        },
        "output": {"format": {"type": "audio/pcm", "rate": RATE_HZ}, "voice": "marin", "speed": 1.0},
    },
}
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    make: Callable[[], Work]
    target_us: float | None = None


# --- in ----------------------------------------------------------------------------------------------------------


def sound(ms: float) -> ev.Samples:
    """Noise: no encoder finds it easy."""
    noise = np.random.default_rng(1).standard_normal(round(RATE_HZ * ms / 1000))
    return np.clip(0.1 * noise, -1, 1).astype(np.float32)


def append(ms: float, kind: str) -> str:
    size = round(ms * (48 if kind == "audio/pcm" else 8))
    audio = base64.b64encode(random.Random(1).randbytes(size)).decode()
    return frame("input_audio_buffer.append", audio=audio)


def frame(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, "event_id": "client_1", **fields}).decode()


def new_wire(**session: Any) -> Wire:
    wire = Wire("sess_1", new_id, VOICES, "voxtral-voice", now_unix=0)
    wire.client(frame("session.update", session={"type": "realtime", **session}), lambda _: None)
    return wire


def appended(ms: float, kind: str = "audio/pcm") -> Callable[[], Work]:
    """Bytes of a text frame -> samples."""

    def make() -> Work:
        wire = new_wire(audio={"input": {"format": {"type": kind}}})
        data = append(ms, kind).encode()
        return lambda: pcm16_to_float(wire.client(data.decode(), lambda _: None).pcm)

    return make


def heard(ms: float) -> Callable[[], Work]:
    """Bytes of a text frame -> 16 kHz, in frames."""

    def make() -> Work:
        wire, ingest, data = new_wire(), Ingest(), append(ms, "audio/pcm").encode()

        def work() -> None:
            ingest.push(wire.client(data.decode(), lambda _: None).pcm)
            if ingest.has_frames:
                ingest.frames(64)
                ingest.audio.forget(ingest.audio.end_sample)

        return work

    return make


def said(kind: str, **fields: Any) -> Callable[[], Work]:
    def make() -> Work:
        wire, data = new_wire(), frame(kind, **fields).encode()
        return lambda: wire.client(data.decode(), lambda _: ITEM)

    return make


# --- out ---------------------------------------------------------------------------------------------------------


def started(wire: Wire, modality: ev.Modality = "audio") -> Wire:
    wire.notice(ev.ReplyStarted("resp_1", "item_1", None, modality, "af_heart", None))
    return wire


def delta(ms: float, kind: str = "audio/pcm") -> Callable[[], Work]:
    """Samples -> bytes of the frame."""

    def make() -> Work:
        wire = started(new_wire(audio={"output": {"format": {"type": kind}}}))
        notice = ev.ReplyAudioDelta("resp_1", sound(ms))
        return lambda: wire.notice(notice)

    return make


def told(notice: ev.Notice, *, within: bool = False) -> Callable[[], Work]:
    def make() -> Work:
        wire = new_wire(audio={"input": {"transcription": {"model": "whisper-1"}}})
        if within:
            started(wire)
        return lambda: wire.notice(notice)

    return make


def replied() -> Work:
    """All of a response but its deltas."""
    wire = new_wire()
    ended = ev.ReplyEnded("resp_1", "completed", None, "It is Paris.", 1000, None, None)
    return lambda: (started(wire), wire.notice(ended))


CASES: Final = (
    Case("append 20 ms -> samples", appended(20), TARGET_US),
    Case("append 20 ms pcmu -> samples", appended(20, "audio/pcmu")),
    Case("append 20 ms pcma -> samples", appended(20, "audio/pcma")),
    Case("append 100 ms -> samples", appended(100)),
    Case("append 20 ms -> 16 kHz frames", heard(20)),
    Case("session.update", said("session.update", session=SESSION)),
    Case("input_audio_buffer.commit", said("input_audio_buffer.commit")),
    Case("conversation.item.create, text", said("conversation.item.create", item=WORDS)),
    Case("conversation.item.create, picture", said("conversation.item.create", item={
        **WORDS, "content": [{"type": "input_image", "image_url": PIXEL}, *WORDS["content"]]})),
    Case("conversation.item.retrieve", said("conversation.item.retrieve", item_id="item_1")),
    Case("conversation.item.truncate", said(
        "conversation.item.truncate", item_id="item_1", content_index=0, audio_end_ms=1500)),
    Case("response.create", said("response.create", response={
        "metadata": {"client_event_id": "x"}, "instructions": "Be brief.", "tools": [TOOL]})),
    Case("response.cancel", said("response.cancel")),
    Case("an event that is refused", said("session.update", session={"type": "realtime", "max_output_tokens": "x"})),
    Case("samples -> audio delta, 20 ms", delta(20), TARGET_US),
    Case("samples -> audio delta, 100 ms", delta(100)),
    Case("samples -> audio delta, 20 ms pcmu", delta(20, "audio/pcmu")),
    Case("samples -> audio delta, 20 ms pcma", delta(20, "audio/pcma")),
    Case("response.output_audio_transcript.delta", told(ev.ReplyTextDelta("resp_1", "It is Paris."), within=True)),
    Case("transcription.delta", told(ev.TranscriptDelta("item_1", " Paris"))),
    Case("speech_started", told(ev.SpeechStarted("item_1", 16_000))),
    Case("session.updated", told(ev.Configured())),
    Case("a response, from created to done", lambda: replied()),
)  # fmt: skip


# --- measuring ---------------------------------------------------------------------------------------------------


def measured(case: Case, seconds: float) -> dict[str, Any]:
    work = case.make()
    work()
    batch = batch_of(work)
    batches: list[float] = []
    ends = time.thread_time() + seconds
    while not batches or time.thread_time() < ends:
        began = time.thread_time_ns()
        for _ in range(batch):
            work()
        batches.append((time.thread_time_ns() - began) / 1000 / batch)
    return {
        "name": case.name,
        "median_us": round(statistics.median(batches), 2),
        "least_us": round(min(batches), 2),
        "target_us": case.target_us,
        "events": batch * len(batches),
    }


def batch_of(work: Work) -> int:
    """So many that they take about BATCH_US."""
    began = time.thread_time_ns()
    for _ in range(10):
        work()
    return max(1, round(BATCH_US / max(0.1, (time.thread_time_ns() - began) / 10_000)))


def result(seconds: float) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.wire" + "".join(f" {word}" for word in sys.argv[1:]),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": [measured(case, seconds) for case in CASES],
    }


def missed(made: dict[str, Any]) -> list[str]:
    """Names of what costs more than it may."""
    return [e["name"] for e in made["events"] if e["target_us"] is not None and e["median_us"] > e["target_us"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "wire.json")
    options = parser.parse_args()
    made = result(options.seconds)
    for event in made["events"]:
        target = "" if event["target_us"] is None else f"  (at most {event['target_us']:g})"
        print(f"{event['median_us']:8.1f} us  {event['name']}{target}")
    options.out.write_text(json.dumps(made, indent=2) + "\n")
    if names := missed(made):
        sys.exit(f"too much: {', '.join(names)}")


if __name__ == "__main__":
    main()
