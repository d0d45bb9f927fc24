from __future__ import annotations

import math

import pytest

from voxtral_voice.conversation.contest import OVER_MS, TRANSCRIBE_AT_MS, TRANSCRIBE_EVERY_MS, Kind
from voxtral_voice.conversation.overheard import Overheard

FRAME = 512


def heard(frames: int, *, silent: int = 0, level_db: float = -20.0) -> Overheard:
    sound = Overheard(1000, [level_db] * 3)
    for _ in range(frames - 3):
        sound.hear(voiced=True, level_db=level_db)
    for _ in range(silent):
        sound.hear(voiced=False, level_db=-80.0)
    return sound


def test_a_sound_knows_how_long_and_how_loud_it_is() -> None:
    sound = heard(10, silent=4).sound(usual_db=-25.0)
    assert (sound.elapsed_ms, sound.voiced_ms, sound.silent_ms) == (448.0, 320.0, 128.0)
    assert sound.level_db == pytest.approx(-20.0)
    assert (sound.usual_db, sound.kind) == (-25.0, Kind.UNKNOWN)


def test_silence_without_frames_counts_as_silence() -> None:
    sound = heard(10).sound(usual_db=None, later_ms=200)
    assert (sound.elapsed_ms, sound.silent_ms) == (520.0, 200.0)


def test_where_it_was_voiced_last() -> None:
    assert heard(5, silent=3).voiced_to == 1000 + 5 * FRAME


def test_a_transcript_is_due_at_certain_lengths_and_at_the_end() -> None:
    frames = math.ceil(TRANSCRIBE_AT_MS / 32)
    assert not heard(frames - 1).transcript_due()
    sound = heard(frames)
    assert sound.transcript_due()
    sound.ask(7)
    assert not sound.transcript_due()  # one at a time
    sound.answer("no", Kind.DENIAL, "en")
    assert not sound.transcript_due()  # nothing is new
    sound.hear(voiced=True, level_db=-20.0)
    assert not sound.transcript_due()
    for _ in range(math.ceil(OVER_MS / 32)):
        sound.hear(voiced=False, level_db=-80.0)
    assert sound.transcript_due()
    sound.ask(8)
    sound.answer("no, I", Kind.STRONG, "en")
    for _ in range(math.ceil(TRANSCRIBE_EVERY_MS / 32)):
        assert not sound.transcript_due() or sound.silent_ms >= OVER_MS
        sound.hear(voiced=True, level_db=-20.0)
    assert sound.transcript_due()


def test_words_cover_what_was_heard_when_they_were_asked_for() -> None:
    sound = heard(10)
    sound.ask(7)
    sound.hear(voiced=True, level_db=-20.0)
    assert not sound.has_words
    sound.answer("no wait", Kind.STRONG, "en")
    assert sound.has_words
    told = sound.sound(usual_db=None)
    assert (told.kind, told.words_to_ms, told.elapsed_ms, told.language) == (Kind.STRONG, 320.0, 352.0, "en")
