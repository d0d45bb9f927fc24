"""Takes out of a session what was said, and keeps every decision that the core makes.

Knows: which fields hold words or sound, and what of a text the core looks at. Does not know: files.

`masked` replaces each character by one that stands for its kind: letters become x, X, क, あ, 字 or 한, digits 0, signs
of combining ु. White space and punctuation stay, and so do lengths. A message's fields are words unless `OPEN` lists
them or they have a fixed set of values, so that a field that is new is masked until somebody decides otherwise.

That is enough for commands, for what the client writes, and for audio (as much silence). Two texts are looked at more
closely by the core, and keep a little more:

- A **transcript** is compared with earlier ones of its turn, word by word (`listener`). `Turn` gives equal beginnings
  equal masks, and where two transcripts part it gives the second another letter: "xxx xxxx", then "xxx xyxx". What else
  is decided by its words is told beside it (`WordFacts`, from the session), so that none of them is left.
- A **reply** is cut into phrases at certain words, and not behind abbreviations (`phrases`). `Words` puts in place of
  each such word one that is on the same lists and of the same length. A word is known when it has ended, perhaps some
  events after it began, so that `Redactor` holds back events for so long.
"""

from __future__ import annotations

import types
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.phrases import (
    ABBREVIATIONS,
    CLINGING,
    JOINERS,
    OBJECTS,
    VERBS,
    PhraseSplitter,
    is_hiragana,
    is_unspaced,
)
from voxtral_voice.replay.recording import Step

M = TypeVar("M")

OPEN: Final = frozenset(
    "id item_id reply_id call_id after voice asked used language code param message engine error".split()
)  # `message` and `error` are our own words or an engine's about itself; no log line would show them otherwise
"""Names of text fields that hold no words of a conversation."""

_KINDS: Final = {
    "x": "xyzwvutsrqponmlkjihgfedcba",
    "X": "XYZWVUTSRQPONMLKJIHGFEDCBA",
    "क": "".join(map(chr, range(0x0915, 0x0939))),
    "字": "字" + "".join(map(chr, range(0x4E00, 0x4E40))),
    "あ": "あ" + "".join(map(chr, range(0x3044, 0x3084))),
    "한": "한" + "".join(map(chr, range(0xAC00, 0xAC40))),
    "ु": "ु" + "".join(map(chr, range(0x0942, 0x094D))),
    "0": "0123456789",
    "½": "½¼¾⅓⅔⅛⅜⅝⅞",
    "Ⅰ": "".join(map(chr, range(0x2160, 0x2170))),
    "Ⓐ": "".join(map(chr, range(0x24B6, 0x24D0))),
    "☺": "☺" + "".join(map(chr, range(0x1F600, 0x1F640))),
}
"""The mask of each kind of character, and others of that kind."""


@lru_cache(4096)
def _mask(character: str) -> str:
    if character.isspace() or (character.isascii() and not character.isalnum()):
        return character
    category = unicodedata.category(character)
    if character.isupper():
        return {"L": "X", "N": "Ⅰ"}.get(category[0], "Ⓐ")
    if character.isalpha():
        return _mask_of_letter(character)
    if character.isdigit():
        return "0"
    if category[0] in "NM":
        return "½" if category[0] == "N" else "ु"
    return character if category[0] == "P" or category in ("Cc", "Cf") else "☺"


def _mask_of_letter(letter: str) -> str:
    if "\u0900" <= letter <= "\u097f":
        return "क"
    if is_hiragana(letter):
        return "あ"
    if is_unspaced(letter):
        return "字"
    return "한" if letter >= "\u2e80" else "x"


def masked(text: str) -> str:
    """As long as the text; of the same words, marks and white space."""
    return "".join(map(_mask, text))


# --- messages ---------------------------------------------------------------------------------------------------


def mask(message: M) -> M:
    """An event, command or settings without words and sound."""
    kind: Any = type(message)
    result: M = _masker(kind, "")(message)
    return result


@cache
def _masker(hint: Any, name: str) -> Callable[[Any], Any]:
    """name: of the field."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union_masker(inner, name)
    if origin is tuple:
        return _tuple_masker([_masker(part, name) for part in inner if part is not Ellipsis], endless=... in inner)
    if origin is np.ndarray:
        return silent
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass_masker(hint)
    if hint is not str or name in OPEN:
        return _as_it_is
    return _hidden if name == "url" else masked


def _union_masker(parts: Iterable[Any], name: str) -> Callable[[Any], Any]:
    """By the class of the value: None, or what the annotation names."""
    maskers = {_class_of(part): _masker(part, name) for part in parts}
    maskers = {kind: mask_it for kind, mask_it in maskers.items() if mask_it is not _as_it_is}
    return (lambda value: maskers.get(type(value), _as_it_is)(value)) if maskers else _as_it_is


def _class_of(hint: Any) -> type:
    """Of the values with this annotation."""
    if get_origin(hint) is Literal:
        return str
    kind: type = get_origin(hint) or hint
    return kind


def _hidden(url: str) -> str:
    """A picture may have millions of characters, and none of them is a word."""
    return "x" * len(url)


def _dataclass_masker(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    maskers = {field.name: _masker(hints[field.name], field.name) for field in fields(kind)}
    maskers = {name: mask_it for name, mask_it in maskers.items() if mask_it is not _as_it_is}
    if not maskers:
        return _as_it_is
    return lambda value: replace(value, **{name: mask_it(getattr(value, name)) for name, mask_it in maskers.items()})


def _tuple_masker(parts: list[Callable[[Any], Any]], *, endless: bool) -> Callable[[Any], Any]:
    if all(part is _as_it_is for part in parts):
        return _as_it_is
    if endless:
        return lambda value: tuple(map(parts[0], value))
    return lambda value: tuple(mask_it(part) for mask_it, part in zip(parts, value, strict=True))


def _as_it_is(value: Any) -> Any:
    return value


def silent(samples: ev.Samples) -> ev.Samples:
    """As many samples; takes no memory."""
    return np.broadcast_to(np.zeros(1, np.float32), samples.shape)


def silenced(command: ev.Command) -> ev.Command:
    """Of sound that is sent only the length is told: it was in the event that brought it."""
    return replace(command, samples=silent(command.samples)) if isinstance(command, ev.ReplyAudioDelta) else command


# --- transcripts ------------------------------------------------------------------------------------------------


class Turn:
    """Masks the transcripts of one turn: two of them begin alike after it exactly as far as they did before.

    Each text walks down a tree, a branch for each character that followed there so far; words are the same however
    much white space is between them.
    """

    def __init__(self) -> None:
        self._root = _Branch("")

    def masked(self, text: str) -> str:
        branch, written = self._root, []
        for character in text:
            if not character.isspace():
                branch = branch.to(character)
                written.append(branch.mask)
            else:
                written.append(character)
                branch = branch if branch is self._root or branch.mask == " " else branch.to(" ")
        return "".join(written)


class _Branch:
    __slots__ = ("_next", "mask")

    def __init__(self, mask: str) -> None:
        self.mask = mask
        self._next: dict[str, _Branch] = {}

    def to(self, character: str) -> _Branch:
        found = self._next.get(character)
        if found is None:
            found = self._next[character] = _Branch(self._free_mask(_mask(character)))
        return found

    def _free_mask(self, kind: str) -> str:
        """One that no other branch has; when there are no more, the last is shared."""
        taken = {branch.mask for branch in self._next.values()}
        choices = _KINDS.get(kind, kind)
        return next((choice for choice in choices if choice not in taken), choices[-1])


# --- replies ----------------------------------------------------------------------------------------------------


_LISTS: Final = (ABBREVIATIONS, CLINGING, JOINERS, OBJECTS, VERBS)


def masked_word(word: str) -> str:
    """A word of a reply, with the marks around it: masked, but what it means to `PhraseSplitter` is kept."""
    dot = "." * word.endswith(".")
    bare = word.removesuffix(".")
    core = bare.lstrip("(\"'“‘[")
    if core == "I":
        return word
    if core == word and any(core.lower() in words for words in _LISTS):
        return _like(core, _LISTS)
    if core.lower() in ABBREVIATIONS:
        return bare[: len(bare) - len(core)] + _like(core, (ABBREVIATIONS,)) + dot
    return masked(word)


def _like(word: str, lists: Sequence[frozenset[str]]) -> str:
    """The first word that is on the same ones of the lists and looks the same under its mask."""
    low = word.lower()
    there = [words for words in lists if low in words]
    alike = frozenset.intersection(*there).difference(*(words for words in lists if low not in words))
    found = min(other for other in alike if masked(other) == masked(low))
    return "".join(new.upper() if old.isupper() else new for old, new in zip(word, found, strict=True))


class Delta:
    """A piece of a reply's text; `masked` grows as its words end."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self.masked = ""

    @property
    def known(self) -> bool:
        return len(self.masked) == self._length


class Words:
    """Masks the text of one reply, which comes in deltas."""

    def __init__(self) -> None:
        self._splitter = PhraseSplitter()
        self._length = 0
        self._cut = 0
        """Behind the last phrase that was cut; a word begins there too (the core cuts very long ones)."""
        self._word: list[tuple[str, Delta]] = []
        """The characters of the word that has not ended."""
        self._calls = 0

    def add(self, text: str) -> Delta:
        delta = Delta(text)
        cuts = set()
        for cut in self._splitter.feed(text):
            self._cut += len(cut.text)
            cuts.add(self._cut)
        for character in text:
            if self._length in cuts or character.isspace():
                self.end()
            if character.isspace():
                delta.masked += character
            else:
                self._word.append((character, delta))
            self._length += 1
        return delta

    def call(self, index: int) -> None:
        """A tool is called: what comes before a new call is a phrase."""
        if index >= self._calls:
            self._calls = index + 1
            self._cut += sum(len(cut.text) for cut in self._splitter.finish())
            self.end()

    def end(self) -> None:
        """The word has ended; or no more text will come."""
        word = masked_word("".join(character for character, _ in self._word))
        for character, (_, delta) in zip(word, self._word, strict=True):
            delta.masked += character
        self._word.clear()


# --- a session --------------------------------------------------------------------------------------------------


class Redactor:
    """The steps of a session, masked, in the same order; some of them a little later."""

    def __init__(self) -> None:
        self._held: deque[tuple[Step, Delta | None]] = deque()  # bound: a word ends within the responder's time limit
        self._turn, self._turn_start = Turn(), -1
        self._attempts: dict[int, Turn] = {}
        self._replies: dict[str, Words] = {}

    def push(self, step: Step) -> Iterator[Step]:
        delta = None
        if isinstance(step.event, ev.ReplyText) and step.event.reply_id in self._replies:
            delta = self._replies[step.event.reply_id].add(step.event.delta)
        self._follow(step.commands)
        commands = tuple(mask(command) for command in step.commands)
        self._held.append((replace(step, event=self._masked_event(step.event), commands=commands), delta))
        yield from self._known()

    def end(self) -> Iterator[Step]:
        """No more will come."""
        for words in self._replies.values():
            words.end()
        yield from self._known()

    def _known(self) -> Iterator[Step]:
        while self._held and ((delta := self._held[0][1]) is None or delta.known):
            step, _ = self._held.popleft()
            if delta is not None and isinstance(step.event, ev.ReplyText):
                step = replace(step, event=replace(step.event, delta=delta.masked))
            yield step

    def _masked_event(self, event: ev.Event) -> ev.Event:
        match event:
            case ev.TranscriptHeard(attempt, text) if attempt in self._attempts:
                return replace(event, text=self._attempts.pop(attempt).masked(text))
            case ev.TranscriptFailed(attempt):
                self._attempts.pop(attempt, None)
            case ev.ReplyCall(reply_id, index) if reply_id in self._replies:
                self._replies[reply_id].call(index)
            case ev.ReplyTextEnded(reply_id) if reply_id in self._replies:
                self._replies[reply_id].end()
        return mask(event)

    def _follow(self, commands: Iterable[ev.Command]) -> None:
        """Which attempts are at the same turn, which replies go on."""
        for command in commands:
            match command:
                case ev.Transcribe(attempt, start_sample):
                    if start_sample != self._turn_start:
                        self._turn, self._turn_start = Turn(), start_sample
                    self._attempts[attempt] = self._turn
                case ev.Abandon(attempt):
                    self._attempts.pop(attempt, None)
                case ev.Respond(reply_id):
                    self._replies[reply_id] = Words()
                case ev.StopReply(reply_id) if reply_id in self._replies:
                    self._replies.pop(reply_id).end()
