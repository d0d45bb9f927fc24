"""Which voices there are, and what OpenAI's voice names mean here.

Knows: names, and whom to ask about others. Does not know: how a voice sounds or where it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from voxtral_voice.errors import VoiceError
from voxtral_voice.realtime.fields import FieldError, Problem

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


Find = Callable[[str], str]
"""The one spelling of a name that is not in the list: of a blend, or of a voice of the client's own. Raises VoiceError
that says what is wrong with it."""


class Voices:
    """names: every voice that all clients may use; default: the one of a session that asks for none; find: for the
    other names."""

    def __init__(self, names: Sequence[str], default: str, find: Find) -> None:
        self.names = tuple(names)
        self.default = default
        self._find = find

    def resolve(self, name: str, param: str) -> str:
        """The voice meant by `name`. Raises FieldError for a name that is neither ours nor OpenAI's."""
        if name in self.names:
            return name
        if name in OPENAI_VOICES:
            return self._meant(name) or self.default
        try:
            return self._find(",".join(map(self._part, name.split(","))))
        except VoiceError as error:
            raise FieldError(Problem("invalid_value", f"Invalid value for '{param}': {error}", param)) from error

    def _part(self, part: str) -> str:
        """Of a blend, with the name of a voice in place of OpenAI's."""
        name, colon, weight = part.partition(":")
        return (self._meant(name.strip()) or name) + colon + weight

    def _meant(self, name: str) -> str | None:
        """By a name of OpenAI's; None: nothing like it is there."""
        return next((voice for voice in OPENAI_VOICES.get(name, ()) if voice in self.names), None)
