"""The table, against the drawing in the documentation and against itself."""

from __future__ import annotations

from pathlib import Path

from voxtral_voice.conversation.floor import DEADLINE_STATES, TABLE, Action, Signal, State, diagram


def test_every_state_can_be_reached_and_left() -> None:
    reached, edge = {State.OPEN}, [State.OPEN]
    while edge:
        state = edge.pop()
        for (source, _), step in TABLE.items():
            if source is state and step.state not in reached:
                reached.add(step.state)
                edge.append(step.state)
    assert reached == set(State)
    assert {source for (source, _), step in TABLE.items() if step.state is not source} == set(State)


def test_the_steps_of_the_design() -> None:
    steps = {
        (State.OPEN, Signal.SPEECH): State.HEARING,
        (State.HEARING, Signal.SILENCE): State.SETTLING,
        (State.SETTLING, Signal.SPEECH): State.HEARING,
        (State.SETTLING, Signal.JUDGED): State.SETTLING,
        (State.SETTLING, Signal.DEADLINE): State.REPLYING,
        (State.REPLYING, Signal.SPEECH): State.CONTESTED,
        (State.CONTESTED, Signal.GO_ON): State.REPLYING,
        (State.CONTESTED, Signal.YIELD): State.HEARING,
        (State.REPLYING, Signal.DONE): State.OPEN,
        (State.CONTESTED, Signal.DONE): State.HEARING,
    }
    assert {pair: TABLE[pair].state for pair in steps} == steps


def test_deadlines_only_where_silence_or_a_contest_runs() -> None:
    assert {source for source, signal in TABLE if signal is Signal.DEADLINE} == {State.SETTLING}
    assert {source for source, signal in TABLE if signal is Signal.GO_ON} == {State.CONTESTED}
    assert {State.SETTLING, State.CONTESTED} == DEADLINE_STATES


def test_every_signal_and_action_is_used() -> None:
    assert {signal for _, signal in TABLE} == set(Signal)
    assert {action for step in TABLE.values() for action in step.actions} == set(Action)


def test_what_was_speculated_leaves_only_through_a_commit() -> None:
    for step in TABLE.values():
        if Action.RELEASE in step.actions:
            assert step.actions.index(Action.COMMIT_TURN) < step.actions.index(Action.RELEASE)
            assert step.state is State.REPLYING


def test_the_drawing_is_made_from_the_table() -> None:
    drawn = (Path(__file__).parents[2] / "docs" / "turns.md").read_text()
    assert diagram() in drawn, "docs/turns.md: replace the state diagram by floor.diagram()"
