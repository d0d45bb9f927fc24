"""Turn judge that judges nothing: the silence alone decides.

Knows: nothing. Does not know: audio.

For `turns.judge = "none"`: every silence counts as the end, so a turn ends after `turns.min_endpoint_ms` of it.
"""

from __future__ import annotations

from voxtral_voice.engines.base import Samples


class SilenceAlone:
    name = "none: the silence alone decides"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def complete_probability(self, audio: Samples) -> float:  # noqa: ARG002
        return 1.0
