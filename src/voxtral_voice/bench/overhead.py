"""What a framework adds to the engines it waits for: V2V less the endpoint wait and the engines' known times.

Knows: the endpoint wait that a voice-activity model gives for a clip, what the stub engines take for it, turns.
Does not know: how either was run.

Every framework here hears with the same model (Silero), waits for the same silence and asks the same three stubs, so
that what is left is the framework's own: its frames, queues and sockets. It is negative for one that works while it
waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.stats import Spread, spread
from voxtral_voice.bench.turn import TurnFigures
from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES, VoiceActivity
from voxtral_voice.errors import BenchError

FRAME_MS: Final = 1000 * VAD_FRAME_SAMPLES / LISTEN_RATE_HZ
SPEECH: Final = 0.5
"""Probability from which a frame counts as speech; below RELEASE it no longer does (both as Silero's authors do it)."""
RELEASE: Final = 0.35
PHASES_MS: Final = (0.0, 8.0, 16.0, 24.0)
"""Of the model's frames, to the microphone's first sample."""
QUIET_S: Final = 2.0
"""Room tone after the clip, for the wait."""
QUIET_DBFS: Final = -70.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """In ms, over all turns that wanted an answer; a missed turn counts with its whole deadline, a cut-in is in none of
    the quantiles."""

    turns: int
    missed: int
    cut_ins: int
    v2v_ms: Spread
    known_ms: Spread
    """Endpoint wait and engines."""
    overhead_ms: Spread


def overhead(turns: Iterable[TurnFigures], known_ms: Mapping[str, float]) -> Overhead:
    """known_ms: by clip. Raises KeyError for a clip that is not in it."""
    wanted = [turn for turn in turns if turn.wants_answer]
    counted = [(turn.said_clip, v2v) for turn in wanted if (v2v := turn.counted_v2v_ms) is not None]
    return Overhead(
        turns=len(wanted),
        missed=sum(turn.missed for turn in wanted),
        cut_ins=sum(turn.cut_ins > 0 for turn in wanted),
        v2v_ms=spread(counted),
        known_ms=spread((clip, known_ms[clip]) for clip, _ in counted),
        overhead_ms=spread((clip, v2v - known_ms[clip]) for clip, v2v in counted),
    )


async def endpoint_wait_ms(clip: Clip, silence_ms: float, voice_activity: VoiceActivity) -> float:
    """From the clip's last voiced sample until the model has heard `silence_ms` of silence: the mean over where the
    model's frames may begin. Raises BenchError when the model hears no end."""
    waits_ms = [await _wait_ms(clip, silence_ms, voice_activity, phase_ms) for phase_ms in PHASES_MS]
    return sum(waits_ms) / len(waits_ms)


async def _wait_ms(clip: Clip, silence_ms: float, voice_activity: VoiceActivity, phase_ms: float) -> float:
    before, audio = _quiet(phase_ms / 1000), resample(clip.samples, clip.rate_hz, LISTEN_RATE_HZ)
    frames = _frames(np.concatenate([before, audio, _quiet(QUIET_S)]))
    probabilities = await voice_activity.session().probabilities(frames)
    speech_end_ms = phase_ms + clip.end_s * 1000
    heard_ms = _end_ms(probabilities, silence_ms, after_ms=speech_end_ms - silence_ms)
    if heard_ms is None:
        raise BenchError(f"{clip.id}: no end of speech is heard within {QUIET_S:g} s, so that its wait is not known.")
    return heard_ms - speech_end_ms


def _quiet(seconds: float) -> Samples:
    noise = np.random.default_rng(0).standard_normal(round(seconds * LISTEN_RATE_HZ)) * 10 ** (QUIET_DBFS / 20)
    return noise.astype(np.float32)


def _frames(audio: Samples) -> Samples:
    whole = len(audio) // VAD_FRAME_SAMPLES
    return audio[: whole * VAD_FRAME_SAMPLES].reshape(whole, VAD_FRAME_SAMPLES)


def _end_ms(probabilities: Sequence[float], silence_ms: float, *, after_ms: float) -> float | None:
    """Where the first silence of `silence_ms` behind speech has passed, not before `after_ms`."""
    needed = max(1, round(silence_ms / FRAME_MS))
    voiced, heard, quiet = False, False, 0
    for number, probability in enumerate(probabilities):
        voiced = probability >= (RELEASE if voiced else SPEECH)
        heard |= voiced
        quiet = 0 if voiced else quiet + 1
        at_ms = (number + 1) * FRAME_MS
        if heard and quiet >= needed and at_ms > after_ms:
            return at_ms
    return None
