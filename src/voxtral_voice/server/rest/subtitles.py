"""Segments written as subtitles, and as the objects of `verbose_json`.

Knows: SubRip, WebVTT (W3C), OpenAI's segment. Does not know: where segments come from.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.server.rest.hearing import Segment


def srt(segments: Sequence[Segment]) -> str:
    cues = (
        f"{number}\n{_clock(segment.start_s, ',')} --> {_clock(segment.end_s, ',')}\n{_line(segment.text)}\n\n"
        for number, segment in enumerate(segments, start=1)
    )
    return "".join(cues)


def vtt(segments: Sequence[Segment]) -> str:
    cues = (
        f"{_clock(segment.start_s, '.')} --> {_clock(segment.end_s, '.')}\n{_escaped(_line(segment.text))}\n\n"
        for segment in segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def segment_object(number: int, segment: Segment) -> JsonObject:
    """The transcriber tells no probabilities: those of OpenAI's object are 0, which no client takes for bad."""
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": round(_compression(segment.text), 3),
        "no_speech_prob": 0.0,
    }


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _line(text: str) -> str:
    """An empty line would end the cue, and an arrow begin the next."""
    return " ".join(text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _compression(text: str) -> float:
    """As Whisper's: high for a text that repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
