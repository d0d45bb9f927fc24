from __future__ import annotations

import numpy as np
import pytest

from tests.conversation.stage import sound
from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.audio_formats import Sound
from voxtral_voice.server.sounds import KEEP_S, MOST_ITEMS, Sounds

SECOND = float_to_pcm16(sound(1000))


@pytest.fixture
def sounds() -> Sounds:
    """With a minute of what the user said, of which each second has a level of its own."""
    audio = InputBuffer()
    audio.append(np.repeat(np.arange(60, dtype=np.float32) / 100, 16_000))
    return Sounds(audio)


def committed(item_id: str, start_s: int, end_s: int) -> ev.AudioCommitted:
    return ev.AudioCommitted(ev.Item(item_id, "user", "audio", None), None, start_s * 16_000, end_s * 16_000)


def started(item_id: str | None, reply_id: str = "R", *, aside: bool = False) -> ev.ReplyStarted:
    return ev.ReplyStarted(reply_id, item_id, None, "audio", "af_heart", None, aside=aside)


def said(sounds: Sounds, seconds: int, reply_id: str = "R") -> None:
    for _ in range(seconds):
        sounds.note(ev.ReplyAudioDelta(reply_id, sound(1000)))


def test_what_the_user_said_is_kept_as_it_was_heard(sounds: Sounds) -> None:
    sounds.note(committed("U", 3, 4))
    assert sounds.get("U") == Sound(float_to_pcm16(np.full(16_000, 0.03, np.float32)), 16_000)
    assert sounds.get("nobody") is None


def test_what_was_said_to_the_user_is_kept_as_it_was_sent(sounds: Sounds) -> None:
    sounds.note(started("A"))
    assert sounds.get("A") is None
    said(sounds, 2)
    assert sounds.get("A") == Sound(SECOND * 2, 24_000)
    sounds.note(ev.ReplyEnded("R", "completed", None, "", 2000, None, None))
    said(sounds, 1)  # of a reply that is over
    assert sounds.get("A") == Sound(SECOND * 2, 24_000)


def test_a_message_that_begins_later(sounds: Sounds) -> None:
    sounds.note(started(None))
    sounds.note(ev.ReplyMessageStarted("R", "A", None))
    said(sounds, 1)
    assert sounds.get("A") == Sound(SECOND, 24_000)


def test_what_is_beside_the_conversation_is_not_kept(sounds: Sounds) -> None:
    sounds.note(started("A", aside=True))
    sounds.note(started(None, "S", aside=True))
    sounds.note(ev.ReplyMessageStarted("S", "B", None))
    said(sounds, 1)
    said(sounds, 1, "S")
    assert sounds.get("A") is None
    assert sounds.get("B") is None


def test_what_was_not_played_is_not_kept(sounds: Sounds) -> None:
    sounds.note(started("A"))
    said(sounds, 2)
    sounds.note(ev.ItemTruncated("A", 500, ""))
    sounds.note(ev.ItemTruncated("gone", 500, ""))
    assert sounds.get("A") == Sound(SECOND[:24_000], 24_000)
    sounds.note(ev.ItemTruncated("A", 0, ""))
    assert sounds.get("A") is None


def test_what_is_deleted_is_forgotten(sounds: Sounds) -> None:
    sounds.note(committed("U", 3, 4))
    sounds.note(started("A"))
    said(sounds, 1)
    sounds.give("G", SECOND)
    for item_id in ("U", "A", "G", "nobody"):
        assert (sounds.get(item_id) is None) == (item_id == "nobody")
        sounds.note(ev.ItemDeleted(item_id))
        assert sounds.get(item_id) is None


def test_the_client_s_own_sounds_are_kept(sounds: Sounds) -> None:
    sounds.give("G", SECOND)
    assert sounds.get("G") == Sound(SECOND, 24_000)


def test_the_oldest_go_first_on_each_side(sounds: Sounds) -> None:
    half = int(KEEP_S / 2)
    for number in range(3):
        sounds.note(committed(f"U{number}", 0, half))
        sounds.note(started(f"A{number}"))
        said(sounds, half)
        sounds.note(ev.ReplyEnded("R", "completed", None, "", half * 1000, None, None))
    assert [sounds.get(f"U{number}") is not None for number in range(3)] == [False, True, True]
    assert [sounds.get(f"A{number}") is not None for number in range(3)] == [False, True, True]


def test_what_is_too_long_by_itself_is_not_kept_in_part(sounds: Sounds) -> None:
    sounds.note(started("A"))
    said(sounds, int(KEEP_S) + 5)
    assert sounds.get("A") is None
    sounds.note(committed("U", 0, 40))
    assert sounds.get("U") is None
    sounds.note(committed("V", 0, 1))
    assert sounds.get("V") is not None


def test_there_are_only_so_many_items_however_short(sounds: Sounds) -> None:
    for number in range(MOST_ITEMS + 1):
        sounds.give(f"G{number}", b"\0\0")
    assert sounds.get("G0") is None
    assert sounds.get("G1") is not None


def test_one_that_is_too_long_takes_nobody_s_place(sounds: Sounds) -> None:
    sounds.give("G", SECOND)
    sounds.give("long", SECOND * 31)
    sounds.note(committed("U", 3, 4))
    sounds.note(committed("long", 4, 40))
    sounds.note(started("A"))
    said(sounds, 2)
    sounds.note(ev.ReplyEnded("R", "completed", None, "", 2000, None, None))
    sounds.note(started("long"))
    said(sounds, 31)
    sounds.note(ev.ReplyEnded("R", "completed", None, "", 31000, None, None))
    assert all(sounds.get(item_id) is not None for item_id in "GUA")
    assert sounds.get("long") is None
