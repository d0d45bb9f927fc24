from __future__ import annotations

import numpy as np
import pytest

from tests.bench.timeline import silence
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.player import PLAY_RATE_HZ, Player
from voxtral_voice.bench.room import DIRECT_MS, FARTHEST_MS, room

CHUNK_S = 0.02


def hiss(seconds: float) -> Samples:
    noise = np.random.default_rng(3).standard_normal(round(seconds * PLAY_RATE_HZ))
    return (0.1 * noise).astype(np.float32)


def taken_up(player: Player, level_db: float, seconds: float, rate_hz: int = PLAY_RATE_HZ) -> Samples:
    """As a microphone takes it up from 0 s on, 20 ms at a time."""
    size, heard = round(CHUNK_S * rate_hz), room(level_db)
    chunks = [heard.heard(player, number * CHUNK_S, size, rate_hz) for number in range(round(seconds / CHUNK_S))]
    assert all(len(chunk) == size for chunk in chunks)
    return np.concatenate(chunks)


@pytest.mark.parametrize("level_db", [-10.0, -20.0, -30.0])
def test_it_comes_back_later_and_fainter(level_db: float) -> None:
    player, reply = Player(), hiss(1.0)
    player.arrived(0.1, "r", reply)
    heard = taken_up(player, level_db, 1.4)
    first = round((0.1 + DIRECT_MS / 1000) * PLAY_RATE_HZ)
    assert not heard[: first - 1].any()
    assert heard[first + 1] != 0
    assert rms_dbfs(heard[first : first + len(reply)]) == pytest.approx(rms_dbfs(reply) + level_db, abs=1)
    assert not heard[round((1.1 + FARTHEST_MS / 1000) * PLAY_RATE_HZ) + 1 :].any()


def test_it_is_the_same_reply_without_a_seam_between_chunks() -> None:
    player, reply = Player(), hiss(0.5)
    player.arrived(0.0, "r", reply)
    heard, expected = taken_up(player, -10.0, 0.5), np.zeros(round(0.5 * PLAY_RATE_HZ))
    for delay, gain in room(-10.0).paths:
        expected[delay:] += gain * reply[: len(expected) - delay]
    np.testing.assert_allclose(heard, expected, atol=1e-5)


def test_what_was_cut_does_not_come_back() -> None:
    player = Player()
    player.arrived(0.0, "r", hiss(1.0))
    player.flushed(0.2)
    heard = taken_up(player, -10.0, 0.6)
    assert heard[: round(0.2 * PLAY_RATE_HZ)].any()
    assert not heard[round((0.2 + FARTHEST_MS / 1000) * PLAY_RATE_HZ) + 1 :].any()


def test_a_silent_loudspeaker_gives_nothing() -> None:
    player = Player()
    assert not taken_up(player, -10.0, 0.1).any()
    player.arrived(0.0, "r", silence(0.1))
    assert not taken_up(player, -10.0, 0.1).any()


def test_a_microphone_of_another_rate() -> None:
    player = Player()
    player.arrived(0.0, "r", hiss(0.5))
    assert len(taken_up(player, -10.0, 0.5, 16_000)) == 8_000


def test_every_room_has_the_same_paths() -> None:
    near, far = room(-10.0), room(-30.0)
    assert [delay for delay, _ in near.paths] == [delay for delay, _ in far.paths]
    assert near.direct_s == DIRECT_MS / 1000
    assert near.longest_s <= FARTHEST_MS / 1000
    assert sum(gain**2 for _, gain in far.paths) == pytest.approx(1e-3)
