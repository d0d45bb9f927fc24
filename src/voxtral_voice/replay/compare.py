"""A recorded session through the core once more, beside what the core said then.

Knows: the recording and the core. Does not know: how it is shown (`listing`), who asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.session import Session
from voxtral_voice.replay.codec import Json, tagged
from voxtral_voice.replay.recording import Header, ReadStep, Recording, Step
from voxtral_voice.replay.redact import mask, silenced

CORE_FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a fault of the core may raise; a session that ended with one is recorded up to it."""
WAKE_GRAIN_S: Final = 1e-6
"""Two machines' `pow` may differ in the last digit."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The core says something else today."""

    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """One step, today."""

    line: int
    step: Step
    before: State
    after: State
    difference: Difference | None


def replayed(recording: Recording) -> Iterator[Replayed]:
    """Every step, also behind a difference (from where on anything may differ)."""
    core = _Core(recording.header)
    for read in recording.steps():
        before = core.session.state
        step = core.feed(read)
        yield Replayed(read.line, step, before, core.session.state, _difference(step, read, recording))


class _Core:
    def __init__(self, header: Header) -> None:
        self._content = header.content
        self._ids = _Ids()
        self.session = Session(header.settings, self._ids, header.policy)

    def feed(self, read: ReadStep) -> Step:
        self._ids.begin(read.ids)
        try:
            commands = self.session.receive(read.event, read.at)
        except CORE_FAULTS as error:
            return Step(read.at, read.event, (), tuple(self._ids.given), raised=type(error).__name__)
        said = tuple(silenced(command) if self._content else mask(command) for command in commands)
        return Step(read.at, read.event, said, tuple(self._ids.given), self.session.wake_at())


class _Ids:
    """Gives the ids that were given then; made-up ones when more are asked for."""

    def __init__(self) -> None:
        self._recorded: list[str] = []
        self._made_up = 0
        self.given: list[str] = []
        """Of this step."""

    def begin(self, recorded: Sequence[str]) -> None:
        self._recorded, self.given = list(recorded), []

    def __call__(self, kind: str) -> str:
        found = next((new for new in self._recorded if new.startswith(f"{kind}_")), None)
        if found is None:
            self._made_up += 1
            found = f"{kind}_replay{self._made_up}"
        else:
            self._recorded.remove(found)
        self.given.append(found)
        return found


# --- comparing --------------------------------------------------------------------------------------------------


def _difference(step: Step, read: ReadStep, recording: Recording) -> Difference | None:
    """The first, of: the error, the commands, the next waking."""
    if step.raised != read.raised:
        return Difference(_fault(read.raised), _fault(step.raised))
    said: list[Json] = [tagged(command) for command in step.commands]
    if said != read.out and (difference := _other_commands(said, recording.commands(read))) is not None:
        return difference
    if not _same_time(step.wake_at, read.wake_at):
        return Difference(_waking(read.wake_at, read.at), _waking(step.wake_at, read.at))
    return None


def _other_commands(got: Sequence[Json], expected: Sequence[ev.Command]) -> Difference | None:
    """A recording of an older version may lack fields that have a default, so it is read and written again."""
    written: list[Json] = [tagged(command) for command in expected]
    for index in range(max(len(got), len(written))):
        one, other = (commands[index] if index < len(commands) else None for commands in (written, got))
        if one != other:
            return Difference(_command(one), _command(other))
    return None


def _same_time(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= WAKE_GRAIN_S


def _command(command: Json) -> str:
    if not isinstance(command, dict):
        return "no further command"
    [(name, fields)] = command.items()
    assert isinstance(fields, dict)
    return " ".join([name, *(f"{key}={value!r}" for key, value in fields.items())])


def _fault(raised: str | None) -> str:
    return "no error" if raised is None else f"the error {raised}"


def _waking(wake_at: float | None, now: float) -> str:
    return "no waking" if wake_at is None else f"to be woken in {(wake_at - now) * 1000:.3f} ms"
