"""One turn of nobody's, through all engines: the server says that it is ready only when such a turn has gone well.

Knows: a recorded "Say yes.", what each engine has to make of it, when a turn is due: at the start, and whenever engines
have failed and work again. Does not know: sessions, where an engine runs, how one that fails is tried (`recovery`).

    the clip -> voice activity: speech?   -> turn judge: any answer
                                          -> transcriber: words?
    its text -> responder: words?         -> speaker: all of them?

Both rows run side by side: at the start it is part of the warm-up. The responder is given the text (or the sound, when
it listens) and no more than its first words is waited for.
"""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from functools import cache
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import numpy as np

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.engines.base import VAD_FRAME_SAMPLES, Finish, Message, Samples
from voxtral_voice.errors import EngineError, first_of
from voxtral_voice.observe import log
from voxtral_voice.server.ear import HEAR_S
from voxtral_voice.server.patience import JUDGE_S, RESPONDER_S, SPEAKER_S, TRANSCRIBER_S
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime

CLIP: Final = Path(__file__).parent / "say_yes.wav"
"""16 kHz, 0.9 s, spoken by Kokoro's student."""
TEXT: Final = "Say yes."
"""What is said in it. No greeting: those are answered without the model."""
SURELY_SPEECH: Final = 0.5
"""Of voice activity, in at least one frame of the clip."""
QUIETEST: Final = 0.003
"""-50 dBFS: the loudest sample of speech is far above it, whoever speaks."""
LOOK_S: Final = 1.0
"""Between two looks at the processes of engines; an engine that works again is noticed at once."""
AGAIN_S: Final = 5.0
"""After a turn that failed though no engine is to blame: one that is busy, for example."""
LIMITS_S: Final[Mapping[str, float]] = {
    "voice_activity": HEAR_S,
    "turn_judge": JUDGE_S,
    "transcriber": TRANSCRIBER_S,
    "responder": RESPONDER_S,
    "speaker": SPEAKER_S,
}
"""As long as a session would wait."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class TurnFailed(Exception):  # noqa: N818 - said of a turn
    """seam: of the engine that is to blame."""

    def __init__(self, seam: str, error: Exception) -> None:
        super().__init__(seam)
        self.seam, self.error = seam, error


async def keep_tested(runtime: Runtime, sleep: Sleep = asyncio.sleep) -> None:
    """For ever: one turn whenever engines have failed and work again. Cancel it to stop."""
    while True:
        down = bool(runtime.engines.failing())
        if down:
            runtime.ready = False
        if runtime.ready or runtime.failing or down:
            await _something_changes(runtime)
        elif not await try_a_turn(runtime):
            await sleep(AGAIN_S)


async def _something_changes(runtime: Runtime) -> None:
    """Or it is time to look."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await runtime.works_again.wait()
    runtime.works_again.clear()


async def try_a_turn(runtime: Runtime) -> bool:
    """Runs a turn. When it goes well the runtime is ready; else the engine to blame counts as failing."""
    began = time.monotonic()
    try:
        await synthetic_turn(runtime)
    except TurnFailed as failed:
        reason = runtime.failed(failed.seam, failed.error)
        log.event("synthetic_turn_failed", "warning", engine=failed.seam, reason=reason)
        return False
    runtime.ready = not runtime.failing
    log.event("synthetic_turn_passed", ms=(time.monotonic() - began) * 1000)
    return True


async def synthetic_turn(runtime: Runtime) -> None:
    """Raises TurnFailed."""
    clip = await asyncio.to_thread(recorded)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_hear(runtime, clip))
            group.create_task(_answer(runtime, clip))
    except* TurnFailed as failed:
        raise first_of(failed) from None


async def _hear(runtime: Runtime, clip: Samples) -> None:
    await _part("voice_activity", _detect(runtime, clip))
    async with asyncio.TaskGroup() as group:
        group.create_task(_part("turn_judge", runtime.engines.turn_judge.complete_probability(clip)))
        group.create_task(_part("transcriber", _transcribe(runtime, clip)))


async def _answer(runtime: Runtime, clip: Samples) -> None:
    words = await _part("responder", _respond(runtime, clip))
    await _part("speaker", _speak(runtime, words))


async def _part(seam: str, work: Awaitable[T]) -> T:
    """Of the turn, by one engine."""
    try:
        async with asyncio.timeout(LIMITS_S[seam]):
            return await work
    except ENGINE_FAULTS as error:
        raise TurnFailed(seam, error) from error


async def _detect(runtime: Runtime, clip: Samples) -> None:
    whole = clip[: len(clip) // VAD_FRAME_SAMPLES * VAD_FRAME_SAMPLES]
    heard = await runtime.engines.voice_activity.session().probabilities(whole.reshape(-1, VAD_FRAME_SAMPLES))
    if max(heard) < SURELY_SPEECH:
        _fail("voice_activity", "it hears no speech in speech")


async def _transcribe(runtime: Runtime, clip: Samples) -> None:
    """As a partial, where turns are heard as a whole: it gives way to those that somebody waits for."""
    transcriber = runtime.engines.transcriber
    if (stream := transcriber.stream(language=None, prompt="")) is None:
        heard = await transcriber.transcribe(clip, language=None, prompt="", final=False)
    else:
        try:
            await stream.push(clip)
            heard = await stream.flush()
        finally:
            await stream.aclose()
    if not _has_word(heard.text):
        _fail("transcriber", "it hears no words in speech")


async def _respond(runtime: Runtime, clip: Samples) -> str:
    """Its first words."""
    responder, said, cut = runtime.engines.responder, "", False
    asked = Message("user", "", audio=clip) if responder.listens else Message("user", TEXT)
    async with aclosing(responder.respond([asked], language="en", max_tokens=None)) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                said += piece
            elif isinstance(piece, Finish):
                cut = piece.reason == "length"
            if len(said.split()) > 1 and _has_word(said):
                break
    if _has_word(said):
        return said.strip()
    if not cut:  # of one that thinks first, all tokens may be thoughts
        _fail("responder", "it answers without a word")
    return TEXT


async def _speak(runtime: Runtime, words: str) -> None:
    """To the end of them: a speaker may break behind its first sound."""
    voice, loudest = runtime.config.speaker.voice, 0.0
    async with aclosing(runtime.engines.speaker.speak(words, voice=voice, speed=1.0)) as chunks:
        async for chunk in chunks:
            loudest = max(loudest, float(np.abs(chunk.samples).max(initial=0.0)))
    if loudest <= QUIETEST:
        _fail("speaker", "what it speaks is silent")


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _fail(seam: str, message: str) -> NoReturn:
    raise EngineError(seam, message)


@cache
def recorded() -> Samples:
    """The clip: 16 kHz."""
    with wave.open(str(CLIP)) as file:
        return pcm16_to_float(file.readframes(file.getnframes()))
