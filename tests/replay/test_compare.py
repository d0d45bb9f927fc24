from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conversation.test_properties import DETECTIONS
from tests.replay.scenes import PLAIN, POLICIES, Script, header, record, scripts
from tests.replay.test_redact import redacted
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.errors import ReplayError
from voxtral_voice.replay.compare import Replayed, replayed
from voxtral_voice.replay.recording import Step, header_line, opened, step_line
from voxtral_voice.replay.redact import mask, silenced

TURN: Script = [("speak", 20, ""), ("silence", 3, ""), ("turn", 9, "what is that, and why do you ask?")]


def written(
    path: Path, steps: Sequence[Step], *, content: bool, chosen: ev.Settings | None = None, policy: Policy = PLAIN
) -> Path:
    """As the recorder writes them."""
    chosen = chosen or ev.Settings()
    if content:
        steps = [replace(step, commands=tuple(map(silenced, step.commands))) for step in steps]
    else:
        steps, chosen = redacted(list(steps)), mask(chosen)
    path.write_bytes(header_line(header(chosen, content=content, policy=policy)) + b"".join(map(step_line, steps)))
    return path


def again(path: Path) -> list[Replayed]:
    with opened(path) as recording:
        return list(replayed(recording))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts, st.sampled_from(DETECTIONS), st.booleans(), st.sampled_from(POLICIES))
def test_every_session_goes_as_it_went(
    path: Path, script: Script, detection: ev.TurnDetection | None, content: bool, policy: Policy
) -> None:
    chosen = ev.Settings(instructions="Be brief.", turn_detection=detection)
    steps = record(script, chosen, content=content, policy=policy)
    file = written(path, steps, content=content, chosen=chosen, policy=policy)
    for real, one in zip(steps, again(file), strict=True):
        assert one.difference is None
        assert (one.step.at, one.step.ids, one.step.wake_at) == (real.at, real.ids, real.wake_at)


def test_the_floor_is_told_before_and_after(path: Path) -> None:
    states = [(one.before, one.after) for one in again(written(path, record(TURN), content=True))]
    changes = [(before, after) for before, after in states if before is not after]
    assert changes[:3] == [
        (State.OPEN, State.HEARING),
        (State.HEARING, State.SETTLING),
        (State.SETTLING, State.HEARING),
    ]
    assert [line.line for line in again(path)] == list(range(2, 2 + len(states)))


def differences(path: Path, steps: Sequence[Step]) -> list[tuple[int, str, str]]:
    written(path, steps, content=True)
    return [(one.line, one.difference.expected, one.difference.got) for one in again(path) if one.difference]


def altered(steps: list[Step], kind: type[ev.Command], commands: tuple[ev.Command, ...]) -> list[Step]:
    """The first step with such a command says this in its place."""
    index = next(i for i, step in enumerate(steps) if any(isinstance(said, kind) for said in step.commands))
    said = steps[index].commands
    place = next(i for i, command in enumerate(said) if isinstance(command, kind))
    other = replace(steps[index], commands=(*said[:place], *commands, *said[place + 1 :]))
    return [*steps[:index], other, *steps[index + 1 :]]


def test_another_command_is_a_difference(path: Path) -> None:
    steps = altered(record(TURN), ev.SpeechStarted, (ev.SpeechStarted("item_9", 7),))
    [(line, expected, got)] = differences(path, steps)
    assert expected == "SpeechStarted item_id='item_9' start_sample=7"
    assert got == "SpeechStarted item_id='item_1' start_sample=0"
    assert line > 2


def test_a_command_too_many_or_too_few_is_a_difference(path: Path) -> None:
    steps = record(TURN)
    [(_, expected, got)] = differences(path, altered(steps, ev.SpeechStarted, ()))
    assert (expected, got) == ("no further command", "SpeechStarted item_id='item_1' start_sample=0")
    too_many = (ev.SpeechStarted("item_1", 0), ev.AudioCleared())
    [(_, expected, got)] = differences(path, altered(steps, ev.SpeechStarted, too_many))
    assert (expected, got) == ("AudioCleared", "no further command")


def test_another_waking_is_a_difference(path: Path) -> None:
    steps = record(TURN)
    index = next(i for i, step in enumerate(steps) if step.wake_at is not None)
    at, wake_at = steps[index].at, steps[index].wake_at
    assert wake_at is not None
    later = [*steps[:index], replace(steps[index], wake_at=wake_at + 0.01), *steps[index + 1 :]]
    [(_, expected, got)] = differences(path, later)
    wait_ms = (wake_at - at) * 1000
    assert (expected, got) == (f"to be woken in {wait_ms + 10:.3f} ms", f"to be woken in {wait_ms:.3f} ms")
    never = [*steps[:index], replace(steps[index], wake_at=None), *steps[index + 1 :]]
    assert differences(path, never)[0][1] == "no waking"
    grain = [*steps[:index], replace(steps[index], wake_at=wake_at + 1e-9), *steps[index + 1 :]]
    assert differences(path, grain) == []


def test_a_core_that_fails_fails_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Session, event: ev.ClearAudio, now: float) -> None:
        raise KeyError("a fault of the core")

    steps = [Step(1.0, ev.ClearAudio(), (), raised="KeyError")]
    with monkeypatch.context() as faulty:
        faulty.setattr(Session, "_clear_audio", broken)
        assert differences(path, steps) == []
    assert differences(path, steps) == [(2, "the error KeyError", "no error")]


def test_ids_that_were_not_asked_for_then_are_made_up(path: Path) -> None:
    steps = [replace(step, ids=()) for step in record(TURN)]
    expected = "SpeechStarted item_id='item_1' start_sample=0"
    assert differences(path, steps)[0][1:] == (expected, expected.replace("item_1", "item_replay1"))


def test_a_field_that_is_newer_than_the_file_has_its_default(path: Path) -> None:
    started = ev.ReplyStarted("resp_1", "item_2", None, "audio", "af_heart", None)
    ask = [Step(1.0, ev.CreateReply(), (ev.FloorChanged("replying"), started, RESPOND), ("resp_1", "item_2"))]
    written(path, ask, content=True)
    path.write_bytes(path.read_bytes().replace(b',"request":null', b""))
    assert [one.difference for one in again(path)] == [None]


RESPOND = ev.Respond("resp_1", (), None, None)


def test_a_command_that_nobody_knows_is_an_error_of_the_file(path: Path) -> None:
    written(path, [Step(1.0, ev.Wake(), ())], content=True)
    path.write_bytes(path.read_bytes().replace(b'{"Wake":{}}', b'{"Wake":{}},"out":[{"Sing":{}}]'))
    with pytest.raises(ReplayError, match="line 2: 'Sing' is no message"):
        again(path)
