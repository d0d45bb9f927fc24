"""The prompts of Voxtral Mini. Pure.

Knows: how a transcription is asked for, how a conversation is written, what is left out when it does not fit. Does not
know: models, where messages come from.

The model refuses instructions in the system role beside audio. Where it listens they are therefore the first thing that
the user says, and the assistant agrees; so they are even while nothing is to be heard, since a prompt that begins
otherwise is not computed already. Of a conversation only the last message is heard: one turn of audio is 375 tokens
or more, its words a dozen.

Sources: the tokenizer "v7" of mistral-common, with which the tests compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from voxtral_voice.engines.base import Message
from voxtral_voice.engines.voxtral.mini_sound import Sound
from voxtral_voice.engines.voxtral.tokens import Vocabulary

AGREED: Final = "OK."
"""The assistant's answer to instructions that the user gives."""
YOUR_TURN: Final = "(The user says nothing. Speak to them.)"
"""Where the assistant is to speak without having been spoken to."""
BETWEEN: Final = "\n\n"
"""Messages of one side that follow each other."""
DROPPED_SHARE: Final = 0.5
"""Of the room for history, dropped from its old end at once when it is full: the rest stays the same prefix, computed
once, for the replies that follow."""

Key = int | bytes
"""One token: its id, or of audio the digest of the whole sound."""


class TooLongError(Exception):
    """The instructions, or the last message alone, do not fit."""


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: tuple[int, ...]
    sound: Sound | None = None
    """What the audio tokens among them stand for."""

    def keys(self, audio: int) -> list[Key]:
        """Two prompts that begin with the same keys have the same states there. audio: the id of an audio token."""
        if self.sound is None:
            return list(self.ids)
        digest = self.sound.digest
        return [digest if token == audio else token for token in self.ids]


def transcription(vocabulary: Vocabulary, sound: Sound, language: str | None) -> Prompt:
    """language: ISO 639-1, or None to let the model find out."""
    v = vocabulary
    hint = v.ids(f"lang:{language}") if language else []
    return Prompt((v.begin, v.begin_user, *_sound_ids(v, sound), v.end_user, *hint, v.transcribe), sound)


def chat(
    vocabulary: Vocabulary,
    messages: Sequence[Message],
    *,
    sound: Sound | None,
    listens: bool,
    room: int,
    unfinished: bool = False,
) -> Prompt:
    """messages: text only. sound: the user's newest turn, behind them. room: tokens. unfinished: the user's words go
    on. Raises TooLongError."""
    head = [vocabulary.begin, *_instructions(vocabulary, messages, listens=listens)]
    turns = list(_turns(messages, sound, unfinished=unfinished))
    written = [_written(vocabulary, turn) for turn in turns]
    first = _first_kept(turns, [len(ids) for ids in written], room - len(head))
    ids = [*head, *(token for turn in written[first:] for token in turn)]
    return Prompt(tuple(ids[:-1] if unfinished else ids), sound)


@dataclass(frozen=True, slots=True)
class _Turn:
    side: Literal["user", "assistant"]
    text: str
    sound: Sound | None = None


def _instructions(vocabulary: Vocabulary, messages: Sequence[Message], *, listens: bool) -> list[int]:
    text = BETWEEN.join(m.text for m in messages if m.role == "system" and m.text)
    if not text:
        return []
    if listens:
        turns = (_Turn("user", text), _Turn("assistant", AGREED))
        return [token for turn in turns for token in _written(vocabulary, turn)]
    return [vocabulary.begin_system, *vocabulary.ids(text), vocabulary.end_system]


def _turns(messages: Sequence[Message], sound: Sound | None, *, unfinished: bool) -> Iterator[_Turn]:
    """Sides take turns; the last one is the user's."""
    side: Literal["user", "assistant"] = "user"
    texts: list[str] = []
    for message in messages:
        now: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if message.role == "system" or not message.text:
            continue
        if now != side and texts:
            yield _Turn(side, BETWEEN.join(texts))
            texts = []
        side = now
        texts.append(message.text)
    if side == "assistant" and texts:
        yield _Turn(side, BETWEEN.join(texts))
        texts = []
    yield _Turn("user", BETWEEN.join(texts) if texts or sound or unfinished else YOUR_TURN, sound)


def _written(vocabulary: Vocabulary, turn: _Turn) -> list[int]:
    v = vocabulary
    if turn.side == "assistant":
        return [*v.ids(turn.text), v.end]
    return [v.begin_user, *v.ids(turn.text), *(_sound_ids(v, turn.sound) if turn.sound else []), v.end_user]


def _sound_ids(vocabulary: Vocabulary, sound: Sound) -> list[int]:
    return [vocabulary.begin_audio, *[vocabulary.audio] * sound.tokens]


def _first_kept(turns: Sequence[_Turn], sizes: Sequence[int], room: int) -> int:
    """Cut at a multiple of DROPPED_SHARE of the room, so that the cut stays where it is while the history grows, and
    before a turn of the user's."""
    if sizes[-1] > room:
        raise TooLongError
    over = sum(sizes) - room
    if over <= 0:
        return 0
    stride = max(1, int(room * DROPPED_SHARE))
    least = math.ceil(over / stride) * stride
    dropped = 0
    for index, (turn, size) in enumerate(zip(turns, sizes, strict=True)):
        if dropped >= least and turn.side == "user":
            return index
        dropped += size
    return len(turns) - 1
