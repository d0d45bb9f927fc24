"""Whose turn is it? Everything that decides it is the table in this file.

Knows: states, signals, and what has to happen on each step. Does not know: how any of it is done (`session`), nor
where a deadline lies (`endpoint`).

A (state, signal) pair that the table does not list changes nothing: a judgement that comes after the commit, a
second silence, a deadline that was disarmed in the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    OPEN = "open"
    """Nobody speaks."""
    HEARING = "hearing"
    """The user speaks."""
    SETTLING = "settling"
    """The user is silent and perhaps done; the answer is being prepared, nothing has left."""
    REPLYING = "replying"
    """The turn is over; the answer is made, sent or still playing."""
    CONTESTED = "contested"
    """The user makes a sound during the answer: an interruption, or only "mhm"?"""


class Signal(Enum):
    SPEECH = "speech"
    SILENCE = "silence"
    JUDGED = "judged"
    """Something new is known about whether the turn is over."""
    DEADLINE = "deadline"
    """The silence has lasted as long as it takes to end the turn."""
    YIELD = "yield"
    """What is heard during the answer is an interruption."""
    GO_ON = "go on"
    """What is heard during the answer is none."""
    IDLE = "idle"
    """Nobody has said anything for as long as the client allows."""
    COMMIT = "commit"
    """The client ends the turn, or the turn has become too long."""
    CLEAR = "clear"
    """The client drops the turn."""
    ASK = "ask"
    """The client wants a reply."""
    REST = "rest"
    """There is the rest of a reply that another server began."""
    CANCEL = "cancel"
    """The client stops the reply."""
    DONE = "done"
    """The reply has been played to its end, failed, or there is nothing to say."""


class Action(Enum):
    OPEN_TURN = "open turn"
    SPECULATE = "speculate"
    MOVE_DEADLINE = "move deadline"
    PARK_SPECULATION = "park speculation"
    DROP_SPECULATION = "drop speculation"
    DROP_TURN = "drop turn"
    COMMIT_TURN = "commit turn"
    COMMIT_BUFFER = "commit buffer"
    COMMIT_SILENCE = "commit silence"
    RELEASE = "release reply"
    START_REPLY = "start reply"
    RECITE_REST = "recite rest"
    REMEMBER_ASK = "remember ask"
    INTERRUPT = "interrupt reply"
    CANCEL_REPLY = "cancel reply"


@dataclass(frozen=True, slots=True)
class Step:
    state: State
    """The state after it."""
    actions: tuple[Action, ...] = ()
    """In order."""


_S, _G, _A = State, Signal, Action

TABLE: Final[Mapping[tuple[State, Signal], Step]] = MappingProxyType(
    {
        (_S.OPEN, _G.SPEECH): Step(_S.HEARING, (_A.OPEN_TURN,)),
        (_S.OPEN, _G.COMMIT): Step(_S.OPEN, (_A.COMMIT_BUFFER,)),
        (_S.OPEN, _G.ASK): Step(_S.REPLYING, (_A.START_REPLY,)),
        (_S.OPEN, _G.REST): Step(_S.REPLYING, (_A.RECITE_REST,)),
        (_S.OPEN, _G.IDLE): Step(_S.OPEN, (_A.COMMIT_SILENCE,)),
        (_S.HEARING, _G.SILENCE): Step(_S.SETTLING, (_A.SPECULATE,)),
        (_S.HEARING, _G.COMMIT): Step(_S.REPLYING, (_A.SPECULATE, _A.COMMIT_TURN, _A.RELEASE)),
        (_S.HEARING, _G.CLEAR): Step(_S.OPEN, (_A.DROP_SPECULATION, _A.DROP_TURN)),
        (_S.HEARING, _G.ASK): Step(_S.HEARING, (_A.REMEMBER_ASK,)),
        (_S.SETTLING, _G.SPEECH): Step(_S.HEARING, (_A.PARK_SPECULATION,)),
        (_S.SETTLING, _G.JUDGED): Step(_S.SETTLING, (_A.MOVE_DEADLINE,)),
        (_S.SETTLING, _G.DEADLINE): Step(_S.REPLYING, (_A.COMMIT_TURN, _A.RELEASE)),
        (_S.SETTLING, _G.COMMIT): Step(_S.REPLYING, (_A.COMMIT_TURN, _A.RELEASE)),
        (_S.SETTLING, _G.CLEAR): Step(_S.OPEN, (_A.DROP_SPECULATION, _A.DROP_TURN)),
        (_S.SETTLING, _G.ASK): Step(_S.SETTLING, (_A.REMEMBER_ASK,)),
        (_S.REPLYING, _G.SPEECH): Step(_S.CONTESTED),
        (_S.REPLYING, _G.YIELD): Step(_S.HEARING, (_A.OPEN_TURN, _A.INTERRUPT)),
        (_S.REPLYING, _G.COMMIT): Step(_S.REPLYING, (_A.COMMIT_BUFFER,)),
        (_S.REPLYING, _G.ASK): Step(_S.REPLYING, (_A.START_REPLY,)),
        (_S.REPLYING, _G.CANCEL): Step(_S.OPEN, (_A.CANCEL_REPLY,)),
        (_S.REPLYING, _G.DONE): Step(_S.OPEN),
        (_S.CONTESTED, _G.GO_ON): Step(_S.REPLYING),
        (_S.CONTESTED, _G.YIELD): Step(_S.HEARING, (_A.OPEN_TURN, _A.INTERRUPT)),
        (_S.CONTESTED, _G.COMMIT): Step(
            _S.REPLYING, (_A.OPEN_TURN, _A.INTERRUPT, _A.SPECULATE, _A.COMMIT_TURN, _A.RELEASE)
        ),
        (_S.CONTESTED, _G.CLEAR): Step(_S.REPLYING),
        (_S.CONTESTED, _G.ASK): Step(_S.CONTESTED, (_A.START_REPLY,)),
        (_S.CONTESTED, _G.CANCEL): Step(_S.HEARING, (_A.OPEN_TURN, _A.CANCEL_REPLY)),
        (_S.CONTESTED, _G.DONE): Step(_S.HEARING, (_A.OPEN_TURN,)),
    }
)

DEADLINE_STATES: Final = frozenset({State.SETTLING, State.CONTESTED})
"""A deadline may be armed in these states and in no other."""


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/turns.md."""
    lines = ["stateDiagram-v2", "    [*] --> open"]
    for (state, signal), step in TABLE.items():
        what = f"{signal.value}: {', '.join(a.value for a in step.actions)}" if step.actions else signal.value
        lines.append(f"    {state.value} --> {step.state.value}: {what}")
    return "\n".join(lines)
