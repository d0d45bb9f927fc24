"""A responder's pieces, as events; one that does not come to an end, or calls what it was not offered, is at fault.

Knows: both vocabularies, and bounds. Does not know: tasks, timeouts.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import CallPiece, Finish, Piece, Usage
from voxtral_voice.errors import EngineError

MAX_CHARS: Final = 100_000
"""Of a whole reply's text, about two hours of speech: a responder that says more does not come to an end."""
MAX_CALLS: Final = 32
"""Of one reply."""
MAX_ARGUMENT_CHARS: Final = 100_000
"""Of one call."""
NAME_CHARS: Final = 80
"""Of a tool's name, as shown in an error."""


class Answer:
    def __init__(self, job: ev.Respond) -> None:
        self._reply_id = job.reply_id
        self._offered = frozenset(tool.name for tool in job.tools if job.tool_choice != "none")
        self._chars = 0
        self._calls = 0
        self._argument_chars = 0
        """Of the last call."""
        self.end = ev.ReplyTextEnded(job.reply_id)
        """To be told when there are no more pieces."""

    def event(self, piece: Piece) -> ev.ReplyText | ev.ReplyCall | None:
        """Raises EngineError."""
        if isinstance(piece, str):
            return self._text(piece)
        if isinstance(piece, Finish):
            self.end = ev.ReplyTextEnded(self._reply_id, piece.reason, _usage(piece.usage))
            return None
        return self._call(piece)

    def _text(self, delta: str) -> ev.ReplyText:
        self._chars += len(delta)
        if self._chars > MAX_CHARS:
            raise _fault(f"it gave more than {MAX_CHARS:,} characters of answer")
        return ev.ReplyText(self._reply_id, delta)

    def _call(self, piece: CallPiece) -> ev.ReplyCall:
        if not self._offered:
            raise _fault("it called a tool, and none was offered to it")
        if piece.name not in self._offered:
            raise _fault(f"it called the tool {piece.name[:NAME_CHARS]!r}, which was not offered to it")
        if piece.index not in (self._calls - 1, self._calls) or piece.index < 0:
            raise _fault("its calls of tools are not in order")
        if piece.index == self._calls:
            self._calls, self._argument_chars = self._calls + 1, 0
        self._argument_chars += len(piece.arguments)
        if self._calls > MAX_CALLS:
            raise _fault(f"it called tools more than {MAX_CALLS} times in one answer")
        if self._argument_chars > MAX_ARGUMENT_CHARS:
            raise _fault(f"it gave more than {MAX_ARGUMENT_CHARS:,} characters of arguments to a tool")
        return ev.ReplyCall(self._reply_id, piece.index, piece.call_id, piece.name, piece.arguments)


def _fault(what: str) -> EngineError:
    return EngineError("responder", what)


def _usage(usage: Usage | None) -> ev.Usage | None:
    return None if usage is None else ev.Usage(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
