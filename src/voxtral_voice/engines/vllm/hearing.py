"""How far the model is with one utterance: what it was sent, what it said, and what it should have said by now. Pure.

Knows: Voxtral Realtime's clock, one token for every 80 ms (arXiv 2602.11298), and how loud what was sent is. Does not
know: sockets, time.

A token comes when its 80 ms were sent, and the delay and 2.5 ms more; the text of token n was said before
(n + 1) * 80 ms.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.level import AUDIBLE_DBFS, frames_dbfs, last_audible_sample
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, pcm16_to_float
from voxtral_voice.engines.base import LISTEN_RATE_HZ

TOKEN_MS: Final = 80
TOKEN_BYTES: Final = LISTEN_RATE_HZ * TOKEN_MS // 1000 * BYTES_PER_SAMPLE
LOOK_AHEAD_BYTES: Final = LISTEN_RATE_HZ // 400 * BYTES_PER_SAMPLE
"""2.5 ms."""
LEFT_TOKENS: Final = 33
"""Of the prompt: its first token and 32 of padding; the delay comes on top."""
TAIL_TOKENS: Final = 11
"""Said behind the last whole 80 ms of an utterance that is padded to its end."""
SLACK_TOKENS: Final = 25
"""Two seconds of them more than there can be: the server does not come to an end."""


class Hearing:
    """Of one utterance."""

    def __init__(self, delay_ms: int) -> None:
        self._lead_bytes = (delay_ms // TOKEN_MS + 1) * TOKEN_BYTES + LOOK_AHEAD_BYTES
        self._sent = bytearray()
        """Since the last whole 80 ms."""
        self._sent_bytes = 0
        self._loud: list[bool] = []
        """Of each 80 ms."""
        self._finished = False
        self._texts: list[str] = []
        self._said_tokens = 0
        """Up to the last one with text."""
        self.tokens = 0
        """That came."""

    def sent(self, pcm: bytes) -> None:
        self._sent += pcm
        self._sent_bytes += len(pcm)
        whole = len(self._sent) // TOKEN_BYTES * TOKEN_BYTES
        if whole:
            frames = pcm16_to_float(bytes(self._sent[:whole])).reshape(-1, TOKEN_BYTES // BYTES_PER_SAMPLE)
            self._loud += [level > AUDIBLE_DBFS for level in frames_dbfs(frames)]
            del self._sent[:whole]

    def finished(self) -> None:
        """The utterance is padded to its end."""
        self._finished = True

    def heard(self, text: str) -> None:
        """One token's."""
        self.tokens += 1
        if text:
            self._texts.append(text)
            self._said_tokens = self.tokens

    @property
    def text(self) -> str:
        return "".join(self._texts).strip()

    @property
    def due(self) -> int:
        """So many tokens should have come, when the model takes no time."""
        return self._most if self._finished else max(0, (self._sent_bytes - self._lead_bytes) // TOKEN_BYTES + 1)

    @property
    def _most(self) -> int:
        return (self._sent_bytes - LOOK_AHEAD_BYTES) // TOKEN_BYTES + TAIL_TOKENS

    @property
    def behind(self) -> int:
        """Tokens that are due and did not come."""
        return max(0, self.due - self.tokens)

    @property
    def endless(self) -> bool:
        """More came than there can be."""
        return self.tokens > self._most + SLACK_TOKENS

    @property
    def heard_bytes(self) -> int:
        """Of the sound whose words are said."""
        return min(self._sent_bytes, self.tokens * TOKEN_BYTES)

    @property
    def said_bytes(self) -> int:
        """Of the sound up to the last word."""
        return min(self._sent_bytes, self._said_tokens * TOKEN_BYTES)

    @property
    def barren_ms(self) -> int:
        """Audible sound since the last word, as far as the model has heard it, without a word to it."""
        return TOKEN_MS * sum(self._loud[self._said_tokens : self.tokens])


def quiet_ms_around(pcm: bytes | bytearray, at: int) -> int:
    """Of 16-bit PCM: how long it is inaudible before and behind this byte, together."""
    before = pcm16_to_float(bytes(pcm[max(0, at - LISTEN_RATE_HZ * BYTES_PER_SAMPLE) : at]))
    behind = pcm16_to_float(bytes(pcm[at : at + LISTEN_RATE_HZ * BYTES_PER_SAMPLE]))
    quiet = sum(len(part) - (last_audible_sample(part, LISTEN_RATE_HZ) or 0) for part in (before, np.flip(behind)))
    return 1000 * quiet // LISTEN_RATE_HZ
