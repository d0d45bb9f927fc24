"""Which voices there are, and what OpenAI's voice names mean here.

Knows: names. Does not know: how a voice sounds or where it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from voxtral_voice.realtime.fields import invalid

OPENAI_VOICES: Final[dict[str, tuple[str, ...]]] = {
    "alloy": ("af_alloy", "af_sarah"),
    "ash": ("am_michael",),
    "ballad": ("bm_george", "am_puck"),
    "cedar": ("am_fenrir", "am_michael"),
    "coral": ("af_bella",),
    "echo": ("am_echo", "am_michael"),
    "fable": ("bm_fable",),
    "marin": ("af_heart",),
    "nova": ("af_nova", "af_bella"),
    "onyx": ("am_onyx", "am_michael"),
    "sage": ("af_nicole",),
    "shimmer": ("af_sarah",),
    "verse": ("am_puck", "am_michael"),
}
"""OpenAI's names -> Kokoro voices, best first; the first that is there is used, else the default voice.

Clients send these names unasked (their own default), so refusing them would keep those clients out.
"""


class Voices:
    """names: every voice there is; default: the one of a session that asks for none."""

    def __init__(self, names: Sequence[str], default: str) -> None:
        self.names = tuple(names)
        self.default = default

    def resolve(self, name: str, param: str) -> str:
        """The voice meant by `name`. Raises FieldError for a name that is neither ours nor OpenAI's."""
        if name in self.names:
            return name
        if name not in OPENAI_VOICES:
            raise invalid(param, f"a voice, one of {', '.join(self.names)}", name)
        return next((voice for voice in OPENAI_VOICES[name] if voice in self.names), self.default)
