from __future__ import annotations

import pytest

from voxtral_voice.server.received import LEAD_S, Received


def audio(received: Received, count: int) -> None:
    for _ in range(count):
        received.frame(is_audio=True)


def test_while_nothing_is_said_it_trails() -> None:
    received = Received()
    for tick in range(20):
        received.look(tick * 0.1, all_taken_in=True)
        audio(received, 5)
    assert received.count == 100
    assert received.kept == pytest.approx(100 - 5 * LEAD_S / 0.1, abs=6)
    assert 0 < received.kept < received.count


def test_while_somebody_speaks_it_stands_still() -> None:
    received = Received()
    received.look(0.0, all_taken_in=True)
    audio(received, 50)
    received.look(1.0, all_taken_in=True)
    kept = received.kept
    for tick in range(11, 40):
        audio(received, 5)
        received.look(tick * 0.1, all_taken_in=False)
    assert received.kept == kept


def test_a_turn_that_is_taken_in_is_not_asked_for_again() -> None:
    received = Received()
    received.look(0.0, all_taken_in=False)
    audio(received, 100)
    received.look(2.0, all_taken_in=True)
    assert received.kept == 100
    audio(received, 5)
    received.look(2.1, all_taken_in=True)
    assert received.kept == 100


def test_what_is_no_audio_is_not_asked_for_again() -> None:
    received = Received(7)
    assert (received.count, received.kept) == (7, 7)
    received.look(0.0, all_taken_in=True)
    audio(received, 3)
    received.frame(is_audio=False)
    audio(received, 2)
    received.look(0.1, all_taken_in=True)
    assert received.kept == 11


def test_unless_it_belongs_to_what_is_being_said() -> None:
    received = Received()
    received.look(0.0, all_taken_in=True)
    audio(received, 3)
    received.frame(is_audio=False)
    received.look(0.1, all_taken_in=False)
    assert received.kept == 0
