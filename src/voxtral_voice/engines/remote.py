"""Where engines behind URLs are.

Knows: addresses. Does not know: how they are spoken to.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Remote:
    """Where one engine is."""

    url: str
    """Base URL, as OpenAI's clients take it: "http://127.0.0.1:8000/v1"."""
    model: str = ""
    """ "" = the only one that the server lists."""
    api_key: str = field(default="", repr=False)
    """ "" = none is sent."""
    settings: str = field(default="", compare=False)
    """What the names of its settings begin with: "voxtral.vllm_"; "" = the seam's, "transcriber."."""


@dataclass(frozen=True, slots=True)
class RemoteParts:
    """Those that run behind a URL; None: the profile's own."""

    transcriber: Remote | None = None
    responder: Remote | None = None
    speaker: Remote | None = None
    voices: tuple[str, ...] = ()
    """Of the remote speaker; () = those of the embedded profile."""

    @property
    def places(self) -> dict[str, Remote]:
        """By seam."""
        parts = {"transcriber": self.transcriber, "responder": self.responder, "speaker": self.speaker}
        return {seam: place for seam, place in parts.items() if place is not None}
