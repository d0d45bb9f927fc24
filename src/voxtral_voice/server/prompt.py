"""What the core shows a responder, as the responder's messages.

Knows: both vocabularies, the core's and the engines'. Does not know: models, what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import Call, Message, NamedTool, Picture, Samples, Tool, Tools


def messages(shown: Iterable[ev.Shown], heard: Callable[[ev.Sound], Samples]) -> list[Message]:
    """Pictures go with the user's words behind them; calls in a row, and what was said before them, are one message.
    heard: the audio of a turn."""
    made: list[Message] = []
    pictures: list[Picture] = []
    for part in shown:
        match part:
            case ev.Picture(url, detail):
                pictures.append(Picture(url, detail))
            case ev.ToolCall(call_id, name, arguments):
                _add_call(made, Call(call_id, name, arguments))
            case ev.ToolOutput(call_id, output):
                made.append(Message("tool", output, call_id=call_id))
            case ev.Sound():
                made.append(Message("user", part.text, audio=heard(part)))
            case (role, text):
                made.append(Message(role, text, tuple(pictures)))
                pictures.clear()
    return made


def _add_call(made: list[Message], call: Call) -> None:
    if made and made[-1].role == "assistant":
        made[-1] = replace(made[-1], calls=(*made[-1].calls, call))
    else:
        made.append(Message("assistant", "", calls=(call,)))


def tools(job: ev.Respond) -> Tools:
    choice = job.tool_choice
    return Tools(
        tuple(Tool(tool.name, tool.description, tool.parameters) for tool in job.tools),
        NamedTool(choice.name) if isinstance(choice, ev.NamedTool) else choice,
        job.parallel_tool_calls,
    )
