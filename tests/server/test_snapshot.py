from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.kept import Saying
from voxtral_voice.realtime.event_ids import Run
from voxtral_voice.server.snapshot import MOST_BYTES, Snapshot, SnapshotError, read

HISTORY = (
    ev.Item("u", "user", "audio", "Wie heißt die Hauptstadt?"),
    ev.CallItem("c", ev.ToolCall("call_1", "look_up", '{"of": "France"}')),
    ev.OutputItem("o", ev.ToolOutput("call_1", "Paris")),
    ev.Item("p", "user", "text", "Look.", pictures=(ev.Picture("data:image/png;base64,AAAA", "low"),)),
    ev.Item("a", "assistant", "audio", "It is", "incomplete"),
)
SAYING = Saying("a", "It is Paris.", ((100.0, 2), (200.0, 5), (400.0, 12)))
ONE = Snapshot(
    "sess_1",
    '{"type":"realtime"}',
    1_800_000_000,
    17,
    ev.Restored(HISTORY, "Paris.", "af_heart", "en"),
    SAYING,
    "0123456789ab",
    (Run(8, 20.0, 20.0, 10),),
)


def test_what_is_written_is_read() -> None:
    assert read(ONE.to_bytes()) == ONE
    bare = Snapshot("sess_1", "{}", 0, 0, ev.Restored(()))
    assert read(bare.to_bytes()) == bare
    assert ONE.patch == {"type": "realtime"}


@pytest.mark.parametrize(
    ("after", "heard", "rest"),
    [
        ("event_0123456789ab0000000c", "It", "is Paris."),
        ("event_0123456789ab00000011", "It is", "Paris."),
        ("event_0123456789ab0000001b", "It is Paris.", ""),
        ("event_ffffffffffff00000009", "It is", "Paris."),  # of another server
        ("", "It is", "Paris."),
    ],
)
def test_it_goes_on_behind_what_the_client_has_got(after: str, heard: str, rest: str) -> None:
    conversation = ONE.heard_to(after)
    [*_, item] = conversation.history
    assert isinstance(item, ev.Item)
    assert (item.text, conversation.rest) == (heard, rest)


def test_when_nothing_is_being_said_there_is_nothing_to_find_out() -> None:
    quiet = replace(ONE, saying=None)
    assert quiet.heard_to("event_0123456789ab0000000c") == ONE.conversation


def test_when_it_is_too_large_the_pictures_stay_behind() -> None:
    shown = ev.Item("p", "user", "text", "Look.", pictures=(ev.Picture("data:" + "A" * MOST_BYTES),))
    large = replace(ONE, conversation=replace(ONE.conversation, history=(*HISTORY, shown)))
    data = large.to_bytes()
    assert len(data) < 10_000
    items = [entry for entry in read(data).conversation.history if isinstance(entry, ev.Item)]
    assert [item.pictures for item in items] == [()] * len(items)
    assert items[-1].text == "Look."


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"version": 1}', b'{"version": 1, "snapshot": {"session_id": 5}}', b"null"]
)
def test_what_is_damaged_is_not_read(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="it is damaged"):
        read(data)


def test_another_versions_is_not_read() -> None:
    other = orjson.dumps({**orjson.loads(ONE.to_bytes()), "version": 2})
    with pytest.raises(SnapshotError, match="its version is 2, and 1 is known"):
        read(other)
