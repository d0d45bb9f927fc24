"""Speaker on Kokoro-82M in PyTorch: phrases of several sessions in one run, on a GPU.

Knows: the two steps of a phrase, which phrases share a run. Does not know: the network beyond them, how text becomes
symbols, sessions.

A phrase that comes while nothing runs is begun at once: nobody waits for company. What comes during a run waits for its
end and then runs together, in groups of about the same length (padding is work). Short phrases go first: the first one
of a reply is short, and those that follow are made while it plays. So first phrases are never held up on purpose, and
a long one is passed by only for a few runs. The same phrase is the same sound, alone or with others.

A phrase that is not wanted any more stops at its next step: before its lengths are known, before its sound, or between
the parts of a long one.

torch is imported by `start`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, SpeechChunk, Voice
from voxtral_voice.engines.batch import Batches
from voxtral_voice.engines.kokoro import FRAME_MS, check_speed, chunk_of, language_of, read_phrase
from voxtral_voice.engines.phonemes import Phonemizer, Utterance
from voxtral_voice.engines.placement import CPU
from voxtral_voice.engines.voice_styles import Sound, VoiceStyles
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES, Styles, StyleSource
from voxtral_voice.engines.voxtral.failures import told
from voxtral_voice.engines.voxtral.loading import LOADING
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro_torch.network import Kokoro, Phrase, Plan

SEAM: Final = "speaker"
TOGETHER: Final = 16
"""Phrases in one run on a GPU. On a CPU they are made one by one, where padding is only more work."""
TRIAL_PATIENCE: Final = 100
"""Of what may wait: so many runs of phrases go first."""
GROUPS: Final = (20, 40, 80)
"""Symbols up to which a phrase belongs to each group, before the last one: 1.5, 3 and 6 s. Padding is at most half."""
SYMBOL_FRAMES: Final = 3.0
"""Of 25 ms, about: what a symbol lasts at natural speed."""
WARM_UP: Final[Mapping[str, str]] = {"af_heart": "Hello.", "hf_alpha": "नमस्ते।"}
"""Said at the start."""
FRAMES_AT_ONCE: Final = 2_048
"""In one run with its padding, 51 s of sound: more takes more than about 1 GB."""

_FAILED: Final = "The speech model failed"


class KokoroTorch:
    """A Speaker with every voice of the table, and others.

    model_path: the catalogue's ONNX file, whose weights it takes. voices_dir: the folder of `<voice>.bin`. device:
    "cuda:0", "cpu". voice: to be loaded at the start, besides the default ones. others: voices besides the table's.
    phonemizer: with the user's lexicon. together: phrases in one run; None: what is good for the device.
    """

    def __init__(
        self,
        model_path: Path,
        voices_dir: Path,
        device: str,
        voice: str = DEFAULT_VOICES[0],
        others: StyleSource | None = None,
        phonemizer: Phonemizer | None = None,
        together: int | None = None,
    ) -> None:
        self._model_path, self._device = model_path, device
        self._styles = VoiceStyles(voices_dir, others)
        self._first_voices = (*DEFAULT_VOICES, voice)
        self._phonemizer = phonemizer or Phonemizer()
        self._reader = Worker("kokoro-text")
        self._worker = Worker("kokoro-torch")
        most = together or (1 if device == CPU else TOGETHER)
        self._batches = Batches(self._worker, seam=SEAM, most=most)
        self._model: Kokoro | None = None

    @property
    def name(self) -> str:
        return f"{self._model_path.stem} in torch on {self._device}"

    @property
    def voices(self) -> Mapping[str, Voice]:
        return VOICES

    async def start(self) -> None:
        """Load model and default voices, and speak a word in two languages. Raises EngineError naming a file at
        fault."""
        await self._reader.run(lambda: self._styles.load(self._first_voices))
        self._model = await self._worker.run(self._load)
        await self._reader.run(lambda: self._phonemizer.warm(self.find(self._first_voices[-1]).language))
        for voice, text in WARM_UP.items():
            async for _ in self.speak(text, voice=voice, speed=1.0):
                pass

    async def aclose(self) -> None:
        self._batches.close()
        self._reader.close()
        self._worker.close()
        self._model = None

    def find(self, name: str) -> Voice:
        return self._styles.find(name)

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """As `base.Speaker.speak`. One chunk per phrase, more only for a phrase too long for one run."""
        tag = language_of(self.find(voice), language)
        check_speed(speed)
        _ = self._running
        parts = await self._reader.run(lambda: list(self._read(text, voice, speed, tag)))
        before_ms = 0.0
        for utterance, phrase, sound in parts:
            plan, audio = await self._made(phrase)
            audio, token_ms = audio * sound.gain, np.array(plan.frames, np.float32) * FRAME_MS
            cut = partial(chunk_of, utterance, audio, token_ms, text, speed, before_ms, shared=sound.shared)
            chunk = await self._reader.run(cut)
            yield chunk
            before_ms += chunk.samples.size * 1000 / SPEAK_RATE_HZ

    async def try_styles(self, text: str, styles: Styles) -> Samples:
        """As `voice_clone_fit.StyledSpeaker.try_styles`, in English."""
        _ = self._running
        phrase = await self._reader.run(partial(self._trial, text, styles))
        return (await self._made(phrase, TRIAL_PATIENCE))[1]

    async def _made(self, phrase: Phrase, patience: int = 0) -> tuple[Plan, Samples]:
        """Both steps. A short phrase is in more of a hurry than a long one."""
        group = _group(len(phrase.ids), 1.0)
        plan = await self._batches.run(("plan", group), self._plan, phrase, patience=group + patience)
        group = _group(plan.length, SYMBOL_FRAMES)
        return plan, await self._batches.run(("sound", group), self._sound, plan, patience=group + patience)

    # --- on the model's thread

    def _load(self) -> Kokoro:
        with LOADING:
            with told(SEAM, "PyTorch cannot be loaded"):
                from voxtral_voice.engines.kokoro_torch.weights import load, require_device

            require_device(self._device)
            with told(SEAM, f"Kokoro cannot be put on {self._device}"):
                return load(self._model_path, self._device)

    def _plan(self, phrases: Sequence[Phrase]) -> list[Plan]:
        with told(SEAM, _FAILED):
            plans: list[Plan] = self._running.plan(phrases)
        return plans

    def _sound(self, plans: Sequence[Plan]) -> list[Samples]:
        """In runs that fit."""
        rows = max(1, FRAMES_AT_ONCE // max(plan.length for plan in plans))
        with told(SEAM, _FAILED):
            runs = [self._running.sound(plans[first : first + rows]) for first in range(0, len(plans), rows)]
        return [samples for run in runs for samples in run]

    # --- on the reader's thread

    def _read(self, text: str, voice: str, speed: float, language: str) -> Iterator[tuple[Utterance, Phrase, Sound]]:
        from voxtral_voice.engines.kokoro_torch.network import Phrase

        for utterance in read_phrase(self._phonemizer, text, language):
            sound = self._styles.sound(voice, len(utterance.symbols))
            yield utterance, Phrase(utterance.ids, sound.style[0], speed), sound

    def _trial(self, text: str, styles: Styles) -> Phrase:
        from voxtral_voice.engines.kokoro_torch.network import Phrase

        (utterance,) = read_phrase(self._phonemizer, text, "en-US")
        return Phrase(utterance.ids, styles[len(utterance.symbols) - 1][0], 1.0)

    @property
    def _running(self) -> Kokoro:
        if self._model is None:
            raise EngineError(SEAM, "The speaker is not running: await start() before speak().")
        return self._model


def _group(length: int, each: float) -> int:
    """Phrases of one group are of about the same length; each: how much of it is a symbol's."""
    return bisect_left(GROUPS, length / each)
