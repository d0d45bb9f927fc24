"""Turn judge that judges nothing: the silence alone decides.

Knows: nothing. Does not know: audio.

For `turns.judge = "none"`: it never knows whether a turn is over; the words, if any, and the silence decide.
"""

from __future__ import annotations

from voxtral_voice.engines.base import Samples


class SilenceAlone:
    name = "none: the silence alone decides"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def complete_probability(self, audio: Samples) -> None:  # noqa: ARG002
        return None
