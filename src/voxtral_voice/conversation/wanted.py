"""What one reply is to be like: as the client asked for it, else as the session has it.

Knows: settings and their overrides. Does not know: replies, the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from voxtral_voice.conversation.events import Modality, ReplyOptions, Settings, Tool, ToolChoice

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    instructions: str
    voice: str
    modality: Modality
    max_tokens: int | None
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool

    @property
    def may_call(self) -> bool:
        """A tool may be called, so that it is not known yet what the reply will consist of."""
        return bool(self.tools) and self.tool_choice != "none"


def wanted(options: ReplyOptions, settings: Settings) -> Wanted:
    return Wanted(
        instructions=_first(options.instructions, settings.instructions),
        voice=_first(options.voice, settings.voice),
        modality=_first(options.modality, settings.modality),
        max_tokens=_first(options.max_output_tokens, settings.max_output_tokens) or None,
        tools=_first(options.tools, settings.tools),
        tool_choice=_first(options.tool_choice, settings.tool_choice),
        parallel_tool_calls=_first(options.parallel_tool_calls, settings.parallel_tool_calls),
    )


def _first(own: T | None, usual: T) -> T:
    return usual if own is None else own
