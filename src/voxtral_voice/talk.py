"""`voxtral-voice talk`: a recorded question goes in, the spoken answer comes out, and where the time went.

Knows: the question's file, which server to ask, how to print a turn. Does not know: the wire, how a turn is timed
(`bench`), the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import uvloop

from voxtral_voice.audio.level import first_audible_sample, last_audible_sample
from voxtral_voice.audio.wav import read_speech, write_wav
from voxtral_voice.bench.caller import call
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.drivers.realtime import realtime, realtime_url
from voxtral_voice.bench.player import PLAY_RATE_HZ
from voxtral_voice.bench.record import ANSWER_TIMEOUT_S, TurnCommitted
from voxtral_voice.bench.turn import TurnFigures, turns
from voxtral_voice.config import Config
from voxtral_voice.errors import AudioError, TalkError
from voxtral_voice.terminal import printable

STAGES: Final = {
    "silence": "until the silence was noticed",
    "transcript": "until the words were known",
    "first_token": "until the answer's first word",
    "first_phrase": "until there was enough to say",
    "first_audio": "until it was spoken",
    "hold": "ready, until the turn was over",
}
"""What each stage of the server's trace means, in the order of the trace."""


def talk(question: Path, answer: Path, url: str | None, config: Config, api_key: str | None = None) -> None:
    """Stream `question` (any audio file) to a server at the pace of speech, write what it says to `answer`
    (WAV, 24 kHz, mono) and print both transcripts and the timeline.

    url: any form that `realtime_url` takes; None = a server of our own in this process, on a free loopback port.
    api_key: of the server at `url`.
    Raises AudioError (a file), TalkError (no server, no speech, no answer), and what the own server raises on starting.
    """
    if answer.exists() and question.exists() and answer.samefile(question):
        raise TalkError(f"The answer would overwrite the question {question}: write it to another file with -o.")
    clip = _clip(question)
    if not answer.parent.is_dir():
        raise AudioError(f"{answer} cannot be written: there is no folder {answer.parent}.")
    turn, was_heard = uvloop.run(_ask(clip, _server(url, config), api_key))
    if (problem := _problem(turn, question, url or "The server", was_heard)) is not None:
        raise TalkError(problem)
    write_wav(answer, turn.audio, PLAY_RATE_HZ)
    print(report(turn, answer))


def _clip(question: Path) -> Clip:
    """Speech is where it is audible: nobody has marked it. Raises AudioError, TalkError."""
    samples, rate_hz = read_speech(question)
    onset, end = first_audible_sample(samples, rate_hz), last_audible_sample(samples, rate_hz)
    if onset is None or end is None:
        raise TalkError(f"No speech was heard in {question}: it is silent; record it again, louder.")
    return Clip(str(question), "turn", "", "", samples, rate_hz, onset / rate_hz, end / rate_hz)


async def _ask(clip: Clip, server: AbstractAsyncContextManager[str], api_key: str | None) -> tuple[TurnFigures, bool]:
    """The turn, and whether the server noticed that someone spoke."""
    async with server as address, call(realtime(address, api_key=api_key), answer_timeout_s=ANSWER_TIMEOUT_S) as caller:
        await caller.say(clip)
        record = caller.record()
    (turn,) = turns(record)
    return turn, any(isinstance(seen, TurnCommitted) for seen in record.seen)


def _server(url: str | None, config: Config) -> AbstractAsyncContextManager[str]:
    """The address of the server at `url`, or of one that runs as long as the block."""
    if url is not None:
        return nullcontext(realtime_url(url))
    from voxtral_voice.server.run import running  # models and web server: not loaded to ask another server

    return running(config.on_its_own())


def _problem(turn: TurnFigures, question: Path, server: str, was_heard: bool) -> str | None:
    """Why there is no spoken answer to write; None when there is one."""
    if turn.status == "no_answer" and not was_heard:
        return f"No speech was heard in {question}: the server noticed none; record it again, closer to the microphone."
    if turn.status == "no_answer":
        return f"{server} gave no answer within {ANSWER_TIMEOUT_S:g} s."
    if turn.status == "unfinished":
        return f"{server} broke off in the middle of the answer, {turn.played_ms / 1000:.1f} s into it."
    if turn.status == "cancelled":
        return f"{server} took its answer back, and gave no other within {ANSWER_TIMEOUT_S:g} s."
    if turn.status == "failed":
        return f"{server} could not answer: {turn.error or 'it gave no reason.'}"
    if turn.v2v_ms is None:
        return f"{server} answered, but nothing of the answer can be heard; look at the server's log."
    return None


# --- what is printed --------------------------------------------------------------------------------------------


def report(turn: TurnFigures, answer: Path) -> str:
    """Both transcripts and the timeline, as lines of text."""
    spoken_s = len(turn.audio) / PLAY_RATE_HZ
    words = [
        f"you       {printable(turn.heard) if turn.heard is not None else '(no transcript)'}",
        f"answer    {printable(turn.said)}",
        f"written   {answer} ({spoken_s:.1f} s)",
    ]
    return "\n".join([*words, "", *timeline(turn)])


def timeline(turn: TurnFigures) -> list[str]:
    """The turn's stages in ms. They sum to V2V as heard at the loudspeaker; the endpoint wait lies within them."""
    rows = stages(turn)
    endpoint_ms = _number(turn.trace or {}, "endpoint_ms")
    lines = [_row(name, ms, meaning) for name, ms, meaning in rows]
    lines += ["-" * 25, _row("V2V as heard", sum(ms for _, ms, _ in rows), "last voiced sample to first audible one")]
    if endpoint_ms is not None:
        lines.append(_row("endpoint wait", endpoint_ms, "of these: until the turn was declared over"))
    if turn.underruns:
        lines.append(f"gaps: {turn.underruns}, the longest {turn.longest_gap_ms:.0f} ms")
    if turn.cut_ins:
        lines.append(f"cut-ins: {turn.cut_ins} (a reply began before the question was over)")
    return lines


def stages(turn: TurnFigures) -> list[tuple[str, float, str]]:
    """(name, ms, meaning): the server's stages, and what came on top at this end. Their sum is `turn.v2v_ms`."""
    v2v_ms, silence_ms = turn.v2v_ms or 0.0, turn.leading_silence_ms or 0.0
    times: Mapping[str, Any] = (turn.trace or {}).get("stages_ms") or {}
    rows = [(name.replace("_", " "), float(ms), STAGES.get(name, "")) for name, ms in times.items()]
    rest_ms = v2v_ms - silence_ms - sum(ms for _, ms, _ in rows)
    outside = (
        ("speech end, net", "true speech end to the one the server saw, and the network")
        if rows
        else ("server, network", "")
    )
    return [
        *rows,
        (outside[0], rest_ms, outside[1]),
        ("leading silence", silence_ms, "before the first audible sample"),
    ]


def _row(name: str, ms: float, meaning: str) -> str:
    return f"{name:<16} {ms:8.1f}  {meaning}".rstrip()


def _number(trace: Mapping[str, Any], key: str) -> float | None:
    value = trace.get(key)
    return float(value) if value is not None else None
