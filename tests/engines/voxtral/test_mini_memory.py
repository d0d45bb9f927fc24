"""Prompts that were read are found again, and places are given to whom they help most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from voxtral_voice.engines.voxtral.mini_memory import LITTLE, Memories, Memory

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.voxtral.decoder import Decoder

LOGITS = cast("Tensor", object())
LONG = [*range(100, 100 + 3 * LITTLE)]


@dataclass(eq=False)
class Place:
    length: int = 0


class Places:
    """In place of a decoder: as many as are taken."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[Place] = []
        self.broken = False

    def begin(self) -> Place:
        self._require_whole()
        self.taken.append(Place())
        return self.taken[-1]

    def copy(self, source: Place) -> Place:
        self._require_whole()
        self.taken.append(Place(source.length))
        return self.taken[-1]

    def end(self, place: Place) -> None:
        self.taken.remove(place)

    def _require_whole(self) -> None:
        if self.broken:
            raise MemoryError
        assert len(self.taken) < self.most


class Rooms:
    def __init__(self, places: int) -> None:
        self.places = Places(places)
        self.memories = Memories(cast("Decoder", self.places), places)

    def take(self, keys: list[int], *, keep: bool = True) -> Memory:
        memory = self.memories.take([*keys], keep=keep)
        assert memory.written.length == len(memory.keys)
        assert memory.keys == [*keys[: len(memory.keys)]]
        assert (memory.after is None) == (memory.keys != keys)
        return memory

    def read(self, keys: list[int], *, keep: bool = True) -> int:
        """Returns how many of them were known."""
        memory = self.take(keys, keep=keep)
        known = len(memory.keys)
        memory.keys, memory.written.length, memory.after = [*keys], len(keys), LOGITS
        self.memories.give_back(memory, keep=keep)
        return known


def test_a_prompt_that_goes_on_is_read_from_where_it_was() -> None:
    rooms = Rooms(2)
    assert rooms.read([1, 2, 3]) == 0
    assert rooms.read([1, 2, 3, 4, 5]) == 3
    assert len(rooms.places.taken) == 1


def test_the_same_prompt_needs_nothing_but_its_logits() -> None:
    rooms = Rooms(2)
    rooms.read([1, 2, 3])
    memory = rooms.take([1, 2, 3])
    assert memory.keys == [1, 2, 3]
    assert memory.after is LOGITS


def test_without_the_logits_its_last_token_is_read_again() -> None:
    rooms = Rooms(2)
    rooms.read([1, 2, 3, 4])
    memory = rooms.take([1, 2, 3])
    assert memory.keys == [1, 2]
    assert memory.after is None


def test_another_conversation_with_the_same_beginning_takes_a_copy() -> None:
    rooms = Rooms(3)
    rooms.read([1, 2, *LONG])
    assert rooms.read([1, 2, 3]) == 2
    assert rooms.read([1, 2, *LONG, 4]) == 2 + len(LONG)
    assert len(rooms.places.taken) == 2


def test_what_is_not_kept_does_not_take_the_place_of_what_is() -> None:
    rooms = Rooms(2)
    rooms.read([1, 2, 3])
    assert rooms.read([1, 2, 3, 4], keep=False) == 3
    assert rooms.take([1, 2, 3]).after is LOGITS
    assert len(rooms.places.taken) == 1


def test_the_one_not_used_for_the_longest_time_is_forgotten_first() -> None:
    rooms = Rooms(2)
    rooms.read([1, *LONG])
    rooms.read([2, *LONG])
    rooms.read([1, *LONG, 5])
    assert rooms.read([3, *LONG]) == 0
    assert rooms.read([1, *LONG, 5, 6]) == 2 + len(LONG)
    assert rooms.read([2, *LONG]) == 0


def test_with_one_place_the_beginning_is_kept_in_it() -> None:
    rooms = Rooms(1)
    rooms.read([1, 2, *LONG])
    assert rooms.read([1, 2, 3]) == 2
    assert len(rooms.places.taken) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_as_many_as_there_are_places_are_used_at_once(keep: bool) -> None:
    rooms = Rooms(3)
    for _ in range(4):
        taken = [rooms.take([1, 2, number], keep=keep) for number in range(3)]
        assert len({id(memory.written) for memory in taken}) == 3
        for memory in taken:
            rooms.memories.give_back(memory, keep=keep)
    assert len(rooms.places.taken) == (3 if keep else 0)


@pytest.mark.parametrize("keys", [[9], [1, 2, 4]], ids=["begun", "copied"])
@pytest.mark.parametrize("places", [3, 2])
def test_a_place_that_could_not_be_had_is_not_lost(places: int, keys: list[int]) -> None:
    """With a place free, and with one that has to be freed first."""
    rooms = Rooms(places)
    rooms.read([5, *LONG])
    rooms.read([1, 2, *LONG])
    rooms.places.broken = True
    for _ in range(4):
        with pytest.raises(MemoryError):
            rooms.take(keys)
    rooms.places.broken = False
    for first in (10, 20):
        taken = [rooms.take([number]) for number in range(first, first + places)]
        assert len({id(memory.written) for memory in taken}) == places == len(rooms.places.taken)
        for memory in taken:
            rooms.memories.give_back(memory, keep=True)
