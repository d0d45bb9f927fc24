from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.engines.voice_clone_search import Heard, Search, Vector

POINTS = 12


def unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))


class World:
    """Where what is heard follows the point in a way that is not quite as it was learned."""

    def __init__(self, bend: float = 0.3) -> None:
        rng = np.random.default_rng(3)
        self.learned: Vector = rng.normal(0, 0.03, (POINTS, 257))
        self.learned[:, 256] = rng.normal(0, 1.5, POINTS)
        self._true = self.learned + rng.normal(0, 0.01, self.learned.shape)
        self._mean = unit(np.abs(rng.normal(size=256)))
        self._bend = bend
        self.asked = 0

    def hear(self, point: Vector) -> Heard:
        self.asked += 1
        bent = point + self._bend * np.tanh(point)
        return Heard(unit(self._mean + bent @ self._true[:, :256]), float(5 + bent @ self._true[:, 256]))

    def search(self, wanted: Heard, attempts: int = 8) -> Search:
        search = Search(self.learned, wanted, np.zeros(POINTS), np.zeros(POINTS))
        for _ in range(attempts):
            search.tell(self.hear(search.next))
        return search


def test_a_voice_is_found_within_a_few_attempts() -> None:
    world = World()
    point = np.random.default_rng(4).normal(0, 1, POINTS)
    wanted = world.hear(point)
    stranger = world.hear(np.zeros(POINTS))
    found = world.hear(world.search(wanted).found)
    assert found.embedding @ wanted.embedding > 0.97
    assert found.embedding @ wanted.embedding > stranger.embedding @ wanted.embedding + 0.02
    assert found.pitch == pytest.approx(wanted.pitch, abs=0.6)


def test_what_was_found_stays_whatever_comes_behind_it() -> None:
    world = World()
    wanted = world.hear(np.ones(POINTS))
    search = world.search(wanted)
    found = search.found
    search.tell(Heard(unit(np.eye(256)[0]), 40.0))
    assert (search.found == found).all()


def test_what_is_found_is_the_mean_of_the_best_three() -> None:
    world = World()
    search = Search(world.learned, world.hear(np.ones(POINTS)), np.zeros(POINTS), np.zeros(POINTS))
    attempts = [search.tell(world.hear(search.next)) for _ in range(6)]
    best = sorted(attempts, key=lambda attempt: -attempt.score)[:3]
    assert search.found == pytest.approx(np.mean([attempt.point for attempt in best], axis=0))


def test_steps_shrink_while_nothing_gets_better() -> None:
    world = World()
    wanted = world.hear(np.ones(POINTS))
    search = Search(world.learned, wanted, np.zeros(POINTS), np.zeros(POINTS))
    search.tell(world.hear(search.next))
    steps = []
    for _ in range(5):
        steps.append(float(np.linalg.norm(search.next)))
        search.tell(Heard(unit(np.eye(256)[0]), 40.0))
    assert steps[-1] < steps[0] / 4


def test_a_wish_beyond_all_voices_stays_near_them() -> None:
    world = World()
    found = world.search(Heard(unit(np.eye(256)[7]), 60.0)).found
    assert np.linalg.norm(found) < 10 * np.sqrt(POINTS)
