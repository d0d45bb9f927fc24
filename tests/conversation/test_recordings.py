"""What sessions once decided, they decide today: every file in `recordings/` is replayed through the core.

A bug report becomes a test here: put the recording of the session into the folder (docs/replay.md), mend the rule, and
let `voxtral-voice replay --accept FILE` write down what is right. When a rule is changed on purpose, accept the files
that differ, and read the change of each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtral_voice.conversation import events as ev
from voxtral_voice.replay.compare import replayed
from voxtral_voice.replay.recording import opened

FILES = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recorded_session_goes_as_it_went(file: Path) -> None:
    with opened(file) as recording:
        assert not recording.header.content, "what somebody said does not belong into the repository"
        for one in replayed(recording):
            assert one.difference is None, f"{file.name}, line {one.line}"
        assert recording.end is not None


def commands(name: str) -> list[ev.Command]:
    with opened(FILES[0].with_stem(name)) as recording:
        return [command for one in replayed(recording) for command in one.step.commands]


def ends(name: str) -> list[tuple[str, str | None]]:
    return [(said.status, said.reason) for said in commands(name) if isinstance(said, ev.ReplyEnded)]


def test_the_scenes_are_what_their_names_say() -> None:
    assert ends("plain_turn") == [("completed", None)]
    assert ends("cough") == [("completed", None)]
    assert ends("barge_in") == [("cancelled", "turn_detected"), ("completed", None)]
    assert ends("truncated") == [("cancelled", "client_cancelled")]
    assert ends("tool_round") == [("completed", None), ("completed", None)]
    kinds = [type(said).__name__ for said in commands("tool_round")]
    assert kinds.index("ReplyCallEnded") < kinds.index("ReplyEnded") < len(kinds) - kinds[::-1].index("Respond")
    hesitation = [type(said).__name__ for said in commands("hesitation")]
    assert hesitation.count("Respond") == 2
    assert hesitation.count("ReplyStarted") == hesitation.count("SpeechStarted") == 1
