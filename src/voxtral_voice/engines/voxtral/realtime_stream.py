"""One stretch of speech on its way into Voxtral Realtime: which audio is due, and how many tokens it makes.

Knows: samples, tokens of 80 ms, padding on both sides, when a stretch is over or has become too long. Does not know:
models, spectrograms, threads, text.

Time here is samples from the first one of the left padding. The audio of token k is [k, k + 1) times 80 ms, and its
last frame reaches 2.5 ms further. The model reads the prompt (its start, 32 tokens of left padding, the delay) with as
much audio in one go, writes a token, and from then on reads one token of audio for every one it writes.

A Stretch changes only through its methods, and only by what has been computed: work that was cancelled is simply due
again. Its end is tried on a copy (`ending`), which is small; the model's memory behind it is not copied, since what a
trial writes lies behind the stretch's own tokens.

Source: `AudioEncoder` and `AudioConfig` of mistral-common (padding), `VoxtralRealtimeProcessor` of transformers
(frames).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from voxtral_voice.engines.base import Samples

PAUSE_TOKENS: Final = 3
"""A pause to cut in has 240 ms: a consonant's is shorter, those between phrases are longer."""
PAUSE_SHARE: Final = 0.1
"""And 10 dB less than the voice, in each of them."""
COMPARED_TOKENS: Final = 125
"""The voice is what was heard in the last 10 s."""
OVERLAP_TOKENS: Final = 1
"""A stretch that follows begins so far inside the pause."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What a checkpoint's tokenizer says of its audio."""

    token_samples: int
    """1280, which is 80 ms."""
    ahead_samples: int
    """40: the last frame of a token reaches so far behind its audio."""
    before_samples: int
    """200: the first frame reaches so far before it."""
    left_tokens: int
    """32 of silence in front."""
    delay_tokens: int
    """6 at 480 ms: the words come so long after their sound."""
    right_tokens: int
    """17 at 480 ms, of silence behind: the delay, the start, and room for the longest word."""
    end_id: int
    """What the model writes when nothing more comes."""

    @property
    def prompt_tokens(self) -> int:
        return 1 + self.left_tokens + self.delay_tokens

    @property
    def ending_tokens(self) -> int:
        """At most due at an end: the right padding but for its last token, and what is left of the audio."""
        return self.right_tokens + 1


class Stretch:
    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.tokens = 0
        """Read by the model."""
        self.ids: list[int] = []
        """Written by it: one behind the prompt, and one for every token since."""
        silence = framing.before_samples + framing.left_tokens * framing.token_samples
        self._audio = np.zeros(silence, np.float32)
        self._start = -framing.before_samples
        """Where `_audio` begins."""
        self._levels: deque[float] = deque(maxlen=COMPARED_TOKENS)
        self._ends_at: int | None = None
        """In tokens."""

    # --- audio --------------------------------------------------------------------------------------------------

    def add(self, audio: Samples) -> None:
        self._audio = np.concatenate((self._audio, audio.astype(np.float32, copy=False)))

    @property
    def over(self) -> bool:
        """The model wrote its end: it hears nothing more."""
        return bool(self.ids) and self.ids[-1] == self.framing.end_id

    @property
    def ends(self) -> bool:
        """No more audio is added."""
        return self._ends_at is not None

    def due(self, most: int) -> int:
        """Tokens whose audio is there, up to `most`; the prompt's all at once."""
        there = (self._start + len(self._audio) - self.framing.ahead_samples) // self.framing.token_samples
        if self._ends_at is not None:
            there = min(there, self._ends_at)
        if self.over:
            return 0
        if not self.tokens:
            return self.framing.prompt_tokens if there >= self.framing.prompt_tokens else 0
        return max(0, min(there - self.tokens, most))

    def audio_of(self, count: int) -> Samples:
        """For the next tokens, with what their frames reach of the audio around. At an end always for as many as can be
        due there: silence costs less than a step of another size."""
        if self.ends and self.tokens:
            count = self.framing.ending_tokens
        start = self._at(self.tokens) - self.framing.before_samples
        end = self._at(self.tokens + count) + self.framing.ahead_samples
        return self._audio[start - self._start : end - self._start]

    def read(self, count: int, ids: Sequence[int]) -> None:
        """The model has read so many more tokens, and wrote `ids`."""
        for token in range(max(self.tokens, self.framing.left_tokens), self.tokens + count):
            heard = self._audio[self._at(token) - self._start : self._at(token + 1) - self._start]
            self._levels.append(float(np.dot(heard, heard)))
        self.tokens += count
        self.ids.extend(ids)
        self._forget(self._at(self.tokens - self.framing.delay_tokens - PAUSE_TOKENS) - self.framing.before_samples)

    def _forget(self, before: int) -> None:
        if before > self._start:
            self._audio, self._start = self._audio[before - self._start :], before

    def _at(self, token: int) -> int:
        return token * self.framing.token_samples

    # --- its end ------------------------------------------------------------------------------------------------

    def ending(self) -> Stretch:
        """As if nothing more were said: a copy with the right padding. This one stays as it is."""
        return self._copy(self._start + len(self._audio))

    def _copy(self, end: int) -> Stretch:
        """Up to `end`, and then silence for as many tokens as the offline model would read: the last one of the
        padding it only writes."""
        other = Stretch(self.framing)
        other._ends_at = -(-end // self.framing.token_samples) + self.framing.right_tokens - 1
        heard_to = max(self.tokens, self.framing.prompt_tokens) + self.framing.ending_tokens
        silence = self._at(max(other._ends_at, heard_to)) + self.framing.ahead_samples - end
        other.tokens, other.ids, other._levels = self.tokens, list(self.ids), self._levels.copy()
        other._audio = np.concatenate((self._audio[: end - self._start], np.zeros(silence, np.float32)))
        other._start = self._start
        return other

    # --- one that goes on -----------------------------------------------------------------------------------------

    @property
    def pauses(self) -> bool:
        """The speaker does, at the moment."""
        levels = list(self._levels)
        return max(levels[-PAUSE_TOKENS:], default=0.0) <= PAUSE_SHARE * sum(levels) / max(len(levels), 1)

    def cut(self) -> tuple[Stretch, Stretch]:
        """Here: this one with its end, and one that hears what follows. To be called in a pause."""
        return self._copy(self._at(self.tokens)), self._following(self._at(self.tokens - OVERLAP_TOKENS))

    def after_end(self) -> Stretch:
        """One that hears what this one did not: all but the delay, when the model wrote its end."""
        return self._following(self._at(self.tokens - self.framing.delay_tokens))

    def _following(self, start: int) -> Stretch:
        other = Stretch(self.framing)
        start = max(start, self._at(self.framing.left_tokens + 1))
        other.add(self._audio[start - self._start :])
        return other
