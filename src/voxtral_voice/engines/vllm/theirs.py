"""A vLLM that somebody else runs, asked before anything is loaded here.

Knows: where it is. Does not know: what it is asked for later, how it was started.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote

SEAM: Final = "transcriber"


class Theirs:
    """A place of the same form as a process of our own, and nothing to end."""

    failing: Final = None
    """The engines that ask it find out."""

    def __init__(self, place: Remote) -> None:
        self._place = place

    async def start(self) -> None:
        """Does it answer, to this key, and serve a model? Raises EngineError."""
        server = OpenAIServer(SEAM, self._place)
        await server.start()
        await server.aclose()

    async def aclose(self) -> None:
        """It goes on."""
