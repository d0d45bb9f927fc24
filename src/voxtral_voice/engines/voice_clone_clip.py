"""Is a clip good enough to make a voice of? The speech in it, or one sentence that says what to record instead.

Knows: levels, speech probabilities, how alike the stretches of one person's speech are. Does not know: models, files,
who sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from voxtral_voice.engines.voice_clone import LEAST_SPEECH_S, MOST_SPEECH_S
from voxtral_voice.errors import RequestError

Flags = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

SILENT_DBFS: Final = -60.0
"""The loudest 32 ms of a silent clip are below."""
SPEECH: Final = 0.5
"""Probability from which a frame is speech."""
SURELY_NONE: Final = 0.1
PAD_FRAMES: Final = 4
"""Kept around speech (128 ms): first and last consonants are quiet. They are no noise."""
LEAST_SHARE: Final = 0.5
"""Of the frames that can be heard, speech. Music has less, talk with pauses more."""
HEARD_DB: Final = 30.0
"""Below the loudest tenth; a frame above can be heard."""
LEAST_SNR_DB: Final = 10.0
LEAST_NOISE_FRAMES: Final = 8
CLIPPED: Final = 0.99
"""Of the highest sample."""
MOST_CLIPPED: Final = 0.004
"""Of the samples of speech. Undistorted speech has less than one in a thousand so near its peak."""
CLIPPED_DBFS: Final = -6.0
"""A clip with a lower peak was not cut off by what recorded it."""
TWO_VOICES: Final = 0.8
"""Cosine between the means of two groups of windows, below which they are two people's. Of nine speakers, the groups of
one alone had 0.84 to 0.96, and those of 36 pairs 0.43 to 0.76."""
LEAST_OF_TWO: Final = 0.2
"""Share of the windows that the smaller group has."""


def speech_of(clip: Samples, probabilities: Sequence[float]) -> Samples:
    """clip: 16 kHz. probabilities: of speech, for each 512 samples of it. Returns its speech, at most MOST_SPEECH_S.
    Raises RequestError."""
    frames = clip[: len(probabilities) * VAD_FRAME_SAMPLES].reshape(-1, VAD_FRAME_SAMPLES)
    of_frames = np.array(probabilities[: len(frames)])
    levels_db = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)
    _require_sound(levels_db)
    is_speech = of_frames >= SPEECH
    _require_speech(is_speech, levels_db)
    _require_quiet(is_speech, of_frames < SURELY_NONE, levels_db)
    speech = np.ascontiguousarray(frames[_widened(is_speech)].reshape(-1))
    _require_undistorted(speech)
    return speech[: round(MOST_SPEECH_S * LISTEN_RATE_HZ)]


def require_one_person(windows: Float32) -> None:
    """windows: speaker embeddings of stretches of the clip, [n, 256]. Raises RequestError."""
    groups = _two_groups(windows)
    if groups is None:
        return
    first, second = (windows[group].mean(axis=0) for group in groups)
    alike = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    if alike < TWO_VOICES:
        raise _refused("There seems to be more than one person in the recording: send the speech of one alone.")


# --- each of the checks -----------------------------------------------------------------------------------------


def _require_sound(levels_db: npt.NDArray[np.float64]) -> None:
    if levels_db.size == 0 or levels_db.max() < SILENT_DBFS:
        raise _refused("The recording is silent: check the microphone and record it again.")


def _require_speech(is_speech: Flags, levels_db: npt.NDArray[np.float64]) -> None:
    heard = levels_db > np.quantile(levels_db, 0.9) - HEARD_DB
    speech_s = _seconds(is_speech)
    if speech_s < 1 or is_speech[heard].mean() < LEAST_SHARE:
        raise _refused(
            f"Most of the recording is no speech ({speech_s:.1f} s of {_seconds(heard):.1f} s is): send one person "
            "talking, without music."
        )
    usable_s = _seconds(_widened(is_speech))
    if usable_s < LEAST_SPEECH_S:
        raise _refused(
            f"The recording has {usable_s:.1f} s of speech: at least {LEAST_SPEECH_S:g} s are needed, and 10 to "
            f"{MOST_SPEECH_S:g} s are better."
        )


def _require_quiet(is_speech: Flags, is_none: Flags, levels_db: npt.NDArray[np.float64]) -> None:
    """A clip that is speech from its beginning to its end tells nothing of its noise."""
    noise = is_none & ~_widened(is_speech)
    if noise.sum() < LEAST_NOISE_FRAMES:
        return
    snr_db = float(np.median(levels_db[is_speech]) - np.median(levels_db[noise]))
    if snr_db < LEAST_SNR_DB:
        raise _refused(
            f"The recording is too noisy (speech is {max(0.0, snr_db):.0f} dB above the noise): record it again where "
            "it is quiet."
        )


def _require_undistorted(speech: Samples) -> None:
    sizes = np.abs(speech)
    peak = float(sizes.max())
    if peak >= 10 ** (CLIPPED_DBFS / 20) and np.mean(sizes >= CLIPPED * peak) > MOST_CLIPPED:
        raise _refused("The recording is distorted, its loudest parts are cut off: record it again at a lower level.")


def _seconds(frames: Flags) -> float:
    return float(frames.sum()) * VAD_FRAME_SAMPLES / LISTEN_RATE_HZ


def _widened(flags: Flags) -> Flags:
    return np.asarray(np.convolve(flags, np.ones(2 * PAD_FRAMES + 1), "same") > 0.5)


def _two_groups(windows: Float32) -> tuple[Flags, Flags] | None:
    """By k-means from the two that are least alike. None when one group is too small to be somebody."""
    if len(windows) < 2 / LEAST_OF_TWO:
        return None
    likeness = windows @ windows.T
    centres = windows[list(np.unravel_index(likeness.argmin(), likeness.shape))]
    second = np.zeros(len(windows), bool)
    for _ in range(10):
        second = np.asarray(windows @ centres[1] > windows @ centres[0])
        if not LEAST_OF_TWO <= second.mean() <= 1 - LEAST_OF_TWO:
            return None
        centres = np.stack([windows[~second].mean(axis=0), windows[second].mean(axis=0)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return ~second, second


def _refused(message: str) -> RequestError:
    return RequestError("speaker", message)
