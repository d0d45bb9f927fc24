from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.kept import Saying
from voxtral_voice.realtime.event_ids import Run
from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.replay.codec import untagged
from voxtral_voice.server import snapshot
from voxtral_voice.server.snapshot import MOST_BYTES, Snapshot, SnapshotError, TooLarge, Writer, read

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


def written(one: Snapshot) -> bytes:
    return Writer().write(one)


def long(*texts: str) -> Snapshot:
    said = tuple(ev.Item(f"item_{n}", "user", "text", text) for n, text in enumerate(texts))
    return replace(ONE, conversation=replace(ONE.conversation, history=said))


def test_what_is_written_is_read() -> None:
    assert read(written(ONE)) == ONE
    bare = Snapshot("sess_1", "{}", 0, 0, ev.Restored(()))
    assert read(written(bare)) == bare
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
    data = written(large)
    assert len(data) < 10_000
    items = [entry for entry in read(data).conversation.history if isinstance(entry, ev.Item)]
    assert [item.pictures for item in items] == [()] * len(items)
    assert items[-1].text == "Look."


@pytest.mark.parametrize("character", ["a", "字", "\x01", '"', "😀"])
def test_when_it_is_still_too_large_the_oldest_goes_until_it_fits(character: str) -> None:
    large = long(*(character * 20_000 for _ in range(80)), "Last words.")
    data = written(large)
    assert MOST_BYTES - 6 * 20_100 <= len(data) <= MOST_BYTES
    kept = read(data).conversation
    assert kept.history == large.conversation.history[-len(kept.history) :]
    assert replace(kept, history=()) == replace(large.conversation, history=())


def test_it_is_filled_to_the_last_byte() -> None:
    room = MOST_BYTES - len(written(long("one", "")))
    assert len(read(written(long("one", "x" * (room - 1)))).conversation.history) == 2
    assert len(read(written(long("one", "x" * (room + 1)))).conversation.history) == 1


def test_what_was_written_before_is_not_turned_into_json_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    turned: list[str] = []

    def counted(message: object) -> JsonObject:
        if isinstance(message, ev.Restored):
            turned.extend(entry.id for entry in message.history)
        return untagged(message)

    monkeypatch.setattr(snapshot, "untagged", counted)
    writer, changed = Writer(), replace(HISTORY[4], status="completed")
    assert read(writer.write(ONE)) == ONE
    assert turned == ["a", "p", "o", "c", "u"]
    turned.clear()
    after = replace(ONE, conversation=replace(ONE.conversation, history=(*HISTORY[1:4], changed)))
    assert read(writer.write(after)) == after
    assert turned == ["a"]


def test_one_whose_settings_alone_are_too_large_cannot_be_written() -> None:
    with pytest.raises(TooLarge):
        written(replace(ONE, session='{"instructions":"' + "x" * MOST_BYTES + '"}'))


@pytest.mark.parametrize("session", ["", "{", "[]", "7", "null"])
def test_one_whose_settings_are_damaged_is_not_read(session: str) -> None:
    with pytest.raises(SnapshotError, match="it is damaged"):
        read(written(replace(ONE, session=session)))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"version": 1}', b'{"version": 1, "snapshot": {"session_id": 5}}', b"null"]
)
def test_what_is_damaged_is_not_read(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="it is damaged"):
        read(data)


def test_another_versions_is_not_read() -> None:
    other = orjson.dumps({**orjson.loads(written(ONE)), "version": 2})
    with pytest.raises(SnapshotError, match="its version is 2, and 1 is known"):
        read(other)
