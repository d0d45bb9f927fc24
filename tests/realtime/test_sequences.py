"""Whatever a client sends, in whatever order, whatever is heard and whatever the engines do: every event has its answer
or one error, the order is the protocol's, an error changes nothing, and the talk can always go on.

    python -m tests.realtime.test_sequences SEED      # the tale of one sequence
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.realtime.steps import STEPS, Script, play, random_script
from tests.realtime.talk import Talk
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.session import Session
from voxtral_voice.realtime.wire import Incoming, ItemLookup, SoundLookup, Wire, no_sounds

SEQUENCES = 10_000
BLOCKS = 20
JUDGED_EVERY = 8
"""The package's types are asked for so many of the sequences: they take as long as all the rest."""


def run(seed: int, script: Script | None = None, **how: Any) -> Talk:
    rng = random.Random(seed)
    talk = Talk(rng, intent="transcription" if rng.random() < 0.15 else None, **how)
    try:
        play(talk, random_script(rng) if script is None else script)
        talk.rest()
        talk.goes_on()
    except Exception as error:
        error.add_note(f"seed {seed}, session {talk.session_object}\nthe last of it:\n{talk.tale()}")
        raise
    return talk


@pytest.mark.no_cover  # three times as slow, and the other tests reach every branch
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_sequence_is_answered_and_can_go_on(block: int) -> None:
    for seed in range(block, SEQUENCES, BLOCKS):
        run(seed, judged=seed // BLOCKS % JUDGED_EVERY == 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*STEPS]), st.integers(0, 2**32 - 1)), max_size=30), st.integers(0, 100))
def test_a_sequence_that_fails_is_made_small(script: Script, seed: int) -> None:
    run(seed, script)


def test_the_same_seed_is_the_same_sequence() -> None:
    assert run(3).tale() == run(3).tale()


def test_the_sequences_reach_every_client_event_and_every_end() -> None:
    """A fuzzer that is refused at the door finds nothing."""
    told: set[str] = set()
    ends: set[str] = set()
    codes: set[str] = set()
    for seed in range(400):
        for event in run(seed, judged=False).told:
            told.add(event["type"])
            if event["type"] == "response.done":
                ends.add(event["response"]["status"])
            elif event["type"] == "error":
                codes.add(event["error"]["code"])
    assert ends == {"completed", "cancelled", "failed", "incomplete"}
    assert codes >= {
        "invalid_json", "invalid_event", "invalid_value", "missing_required_parameter", "unknown_parameter",
        "conversation_already_has_active_response", "response_cancel_not_active", "input_audio_buffer_commit_empty",
        "item_create_duplicate_item_id", "item_delete_invalid_item_id", "item_retrieve_invalid_item_id",
        "item_truncate_invalid_item_id", "item_not_found",
    }  # fmt: skip
    assert told >= {
        "conversation.item.retrieved", "conversation.item.deleted", "conversation.item.truncated",
        "response.function_call_arguments.done", "response.output_text.done", "response.output_audio.done",
        "conversation.item.input_audio_transcription.failed", "input_audio_buffer.timeout_triggered",
    }  # fmt: skip


# --- the checks notice -------------------------------------------------------------------------------------------


Bend = Callable[[Wire, Incoming, str, Any], Incoming]
"""(the wire, what it made of a frame, the frame, the session before) -> what it says instead."""


def bent(bend: Bend) -> type[Wire]:
    class Bent(Wire):
        def client(self, frame: str | bytes, items: ItemLookup, sounds: SoundLookup = no_sounds) -> Incoming:
            before = self._session
            return bend(self, super().client(frame, items, sounds), str(frame), before)

    return Bent


def deaf(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    return Incoming() if "item.retrieve" in frame else incoming


def insistent(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    again = (*incoming.frames, wire.error("invalid_event", "Again."))
    return replace(incoming, frames=again) if incoming.frames else incoming


def nameless(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    return replace(incoming, client_event_id=None)


def careless(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    """Takes a part of what it refuses."""
    if incoming.frames and "session.update" in frame:
        wire._session = replace(before, speed=0.5 + before.speed % 1)
    return incoming


def forgetful(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    """An update puts something else back."""
    if incoming.events and "session.update" in frame:
        wire._session = replace(wire._session, noise_reduction={"type": "far_field"})
    return incoming


def fragile(wire: Wire, incoming: Incoming, frame: str, before: Any) -> Incoming:
    if "item_reference" in frame:
        raise KeyError("item_reference")
    return incoming


class Talkative(Wire):
    """Tells the conversation of what is beside it."""

    def _reply_started(self, started: ev.ReplyStarted) -> list[bytes]:
        frames = super()._reply_started(started)
        self._replies[started.reply_id]._conversation_id = self._conversation_id
        return frames


class Stuck(Session):
    def _done(self, now: float) -> None:
        pass


class Silent(Session):
    """Has no end for what fails."""

    def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
        return [] if isinstance(event, ev.ReplyFailed) else super().receive(event, now)


NOTICED: dict[str, tuple[dict[str, Any], str]] = {
    "an event without an answer": ({"wire": bent(deaf)}, r"no answer to .*retrieve"),
    "two errors": ({"wire": bent(insistent)}, "rule 9|errors for one event|an error, and"),
    "an error without a name": ({"wire": bent(nameless)}, "rule 9"),
    "a refused update that changes something": ({"wire": bent(careless)}, "refused, but something has changed"),
    "an update that changes something else": ({"wire": bent(forgetful)}, "rule 10"),
    "an exception": ({"wire": bent(fragile)}, "item_reference"),
    "items of what is beside": ({"wire": Talkative}, "rule (13|2)"),
    "a floor that never opens": ({"session": Stuck}, "stuck"),
    "a failure that nobody is told of": ({"session": Silent}, "stuck|rule 2"),
}


@pytest.mark.parametrize("fault", NOTICED)
def test_a_fault_is_noticed(fault: str) -> None:
    how, said = NOTICED[fault]
    raised = next(filter(None, (_broken(seed, how) for seed in range(200))))
    assert re.search(said, str(raised))
    assert "the last of it" in raised.__notes__[0]


def _broken(seed: int, how: dict[str, Any]) -> Exception | None:
    """What a sequence ends with in such a world."""
    try:
        run(seed, judged=False, **how)
    except (AssertionError, KeyError) as error:
        return error
    return None


if __name__ == "__main__":
    number = int(sys.argv[1])
    print(run(number).tale())
