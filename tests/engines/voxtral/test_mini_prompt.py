"""Prompts are those of mistral-common; the history that is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engines.voxtral.original import audio_part, original
from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.voxtral.mini_prompt import AGREED, YOUR_TURN, Prompt, TooLongError, chat, transcription
from voxtral_voice.engines.voxtral.mini_sound import WINDOW_SAMPLES, sound_of
from voxtral_voice.engines.voxtral.tokens import Vocabulary

pytestmark = pytest.mark.voxtral
ROOM = 3000
SYSTEM = Message("system", "You are Priya. Answer in one sentence.")
HISTORY = (Message("user", "नमस्ते Priya!"), Message("assistant", "Hello."))


@pytest.fixture(scope="module")
def vocabulary(tiny_mini: Path) -> Vocabulary:
    return Vocabulary(tiny_mini / "tekken.json")


def shown(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": message.text} for message in messages]


def theirs(folder: Path, conversation: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(original(folder).conversation(conversation)["input_ids"][0].tolist())


@pytest.mark.parametrize("language", ["hi", None])
@pytest.mark.parametrize("samples", [16_000, WINDOW_SAMPLES, WINDOW_SAMPLES + 1])
def test_a_transcription_is_asked_for_as_transformers_does(
    vocabulary: Vocabulary, tiny_mini: Path, samples: int, language: str | None
) -> None:
    audio = speech(31)[:samples]
    expected = original(tiny_mini).request(audio, language)["input_ids"][0].tolist()
    assert list(transcription(vocabulary, sound_of(audio), language).ids) == expected


@pytest.mark.parametrize(
    "messages",
    [
        [Message("user", "Hi")],
        [SYSTEM, Message("user", "Hi")],
        [SYSTEM, *HISTORY, Message("user", "And today?")],
        [SYSTEM, *HISTORY, Message("user", "One."), Message("user", "Two.")],
        [*HISTORY, Message("assistant", "Again."), Message("user", "Two [AUDIO]</s>")],
    ],
)
def test_a_written_conversation_is_that_of_mistral(
    vocabulary: Vocabulary, tiny_mini: Path, messages: list[Message]
) -> None:
    ours = chat(vocabulary, messages, sound=None, listens=False, room=ROOM)
    assert ours.ids == theirs(tiny_mini, shown(messages))


def test_a_heard_conversation_has_its_instructions_in_a_first_exchange(vocabulary: Vocabulary, tiny_mini: Path) -> None:
    audio = speech(2)
    ours = chat(vocabulary, [SYSTEM, *HISTORY], sound=sound_of(audio), listens=True, room=ROOM)
    agreed = [Message("user", SYSTEM.text), Message("assistant", AGREED)]
    heard = {"role": "user", "content": [audio_part(audio)]}
    assert ours.ids == theirs(tiny_mini, [*shown([*agreed, *HISTORY]), heard])
    assert ours.sound == sound_of(audio)


def test_words_before_the_sound_are_in_the_same_message(vocabulary: Vocabulary, tiny_mini: Path) -> None:
    audio = speech(2)
    ours = chat(vocabulary, [Message("user", "Listen:")], sound=sound_of(audio), listens=True, room=ROOM)
    content = [{"type": "text", "text": "Listen:"}, audio_part(audio)]
    assert ours.ids == theirs(tiny_mini, [{"role": "user", "content": content}])


def test_it_begins_the_same_whether_the_last_message_is_heard_or_read(vocabulary: Vocabulary) -> None:
    heard = chat(vocabulary, [SYSTEM, *HISTORY], sound=sound_of(speech(1)), listens=True, room=ROOM)
    read = chat(vocabulary, [SYSTEM, *HISTORY, Message("user", "Hi")], sound=None, listens=True, room=ROOM)
    common = len(read.ids) - len([*vocabulary.ids("Hi"), vocabulary.end_user])
    assert heard.ids[:common] == read.ids[:common]


def test_without_anything_said_the_assistant_is_asked_to_speak(vocabulary: Vocabulary, tiny_mini: Path) -> None:
    for messages in ([], [*HISTORY]):
        ours = chat(vocabulary, messages, sound=None, listens=False, room=ROOM)
        assert ours.ids == theirs(tiny_mini, shown([*messages, Message("user", YOUR_TURN)]))


def test_unfinished_words_stay_open(vocabulary: Vocabulary) -> None:
    def unfinished(words: str) -> tuple[int, ...]:
        messages = [*HISTORY, Message("user", words)]
        return chat(vocabulary, messages, sound=None, listens=False, room=ROOM, unfinished=True).ids

    assert unfinished("What is") == unfinished("What is the time")[: len(unfinished("What is"))]
    assert unfinished("")[-1] == vocabulary.begin_user


def test_equal_keys_mean_equal_states(vocabulary: Vocabulary) -> None:
    def keys(seed: int) -> list[int | bytes]:
        return transcription(vocabulary, sound_of(speech(1, seed)), "en").keys(vocabulary.audio)

    assert keys(0) == keys(0)
    different = [one != other for one, other in zip(keys(0), keys(1), strict=True)]
    assert different == [False] * 3 + [True] * 375 + [False] * (len(different) - 378)
    assert Prompt((1, 2)).keys(vocabulary.audio) == [1, 2]


def test_old_turns_are_dropped_in_large_strides(vocabulary: Vocabulary) -> None:
    """The beginning of the prompt stays the same over several turns, and then jumps."""
    history: list[Message] = []
    beginnings = set()
    for turn in range(40):
        history += [Message("user", f"Question {turn} of many"), Message("assistant", f"Answer {turn}")]
        prompt = chat(vocabulary, [SYSTEM, *history], sound=None, listens=False, room=200)
        assert len(prompt.ids) <= 200
        head = [vocabulary.begin, vocabulary.begin_system, *vocabulary.ids(SYSTEM.text), vocabulary.end_system]
        assert list(prompt.ids[: len(head) + 1]) == [*head, vocabulary.begin_user]
        beginnings.add(prompt.ids[: len(head) + 12])
    assert 2 < len(beginnings) < 15


def test_what_does_not_fit_at_all_is_said(vocabulary: Vocabulary) -> None:
    long = Message("user", "word " * 300)
    with pytest.raises(TooLongError):
        chat(vocabulary, [long], sound=None, listens=False, room=200)
    with pytest.raises(TooLongError):
        chat(vocabulary, [Message("system", long.text), Message("user", "Hi")], sound=None, listens=True, room=200)
