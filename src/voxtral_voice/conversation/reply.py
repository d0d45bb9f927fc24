"""One reply: its text cut into phrases, their audio in order, its calls, what has left and what was heard.

Knows: phrases, audio pieces, the playout ledger. Does not know: whose turn it is, models, the wire.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final, Literal

from voxtral_voice.audio.playout import PlayoutLedger
from voxtral_voice.conversation.calls import Calls
from voxtral_voice.conversation.events import (
    Apology,
    Finish,
    Modality,
    Notice,
    PhraseAudio,
    ReplyAudioDelta,
    ReplyCall,
    ReplyOptions,
    ReplyTextDelta,
    Samples,
    SpokenBy,
    Usage,
    WordTimes,
)
from voxtral_voice.conversation.phrases import Cut, PhraseSplitter, is_unspaced

RATE_HZ: Final = 24_000
CLOCK_GRAIN_S: Final = 0.001
"""Waking this much late makes sure that the audio is due by then, whatever the rounding."""

CancelReason = Literal["turn_detected", "client_cancelled"]
_WORD: Final = re.compile(r"\S+")
_MARKS: Final = re.compile(r"[^\w\s]+")

EndReason = CancelReason | Literal["max_output_tokens"]
EndStatus = Literal["completed", "cancelled", "failed", "incomplete"]
Conclusion = tuple[EndStatus, EndReason | None]
"""Status and reason of a reply of which all was sent."""


@dataclass(slots=True)
class Phrase:
    text: str
    words: WordTimes = ()
    """In ms from the phrase's first sample."""
    places: tuple[int, ...] = ()
    """Where they begin in the text, if they are those of the text."""
    words_told: int = 0
    """So many of them the client knows of."""
    start_ms: float = 0.0
    """In the reply's audio; known when its first piece leaves."""
    pieces: deque[Samples] = field(default_factory=deque)
    """Audio not yet sent, each at most one chunk long."""
    audio_ms: float = 0.0
    """All audio of the phrase that was made."""
    ended: bool = False
    """No more audio will come."""

    def heard(self, heard_ms: float) -> str:
        """The part of the text that lies in the first `heard_ms` of the phrase's audio, to whole words.

        A word counts when its middle was heard; of a text without spaces between the words, a character.
        """
        if self.ended and heard_ms >= self.audio_ms - 1.0:
            return self.text
        end = 0
        for part_end, middle_ms in self.parts():
            if heard_ms < middle_ms:
                break
            end = part_end
        return self.text[:end]

    def parts(self) -> Iterator[tuple[int, float]]:
        """Words and characters: where each ends in the text, and the middle of its sound."""
        for place, word, start_ms, end_ms in self._placed_words() or self._spread_words():
            parts = word if any(map(is_unspaced, word)) else [word]
            part_ms, end = (end_ms - start_ms) / len(parts), place
            for number, part in enumerate(parts):
                end += len(part)
                yield self._behind_marks(end), start_ms + (number + 0.5) * part_ms

    def _behind_marks(self, end: int) -> int:
        """A stop belongs to the word before it."""
        marks = _MARKS.match(self.text, end)
        return end if marks is None else marks.end()

    def _placed_words(self) -> list[tuple[int, str, float, float]]:
        """Where each begins, itself, and its time, as the speaker told them; [] when it told none, or not of these."""
        if len(self.places) != len(self.words):
            return []
        return [(place, *word) for place, word in zip(self.places, self.words, strict=True)]

    def _spread_words(self) -> list[tuple[int, str, float, float]]:
        """The same, by letters over the audio."""
        words = [*_WORD.finditer(self.text)]
        ms_per_letter = self.audio_ms / max(1, sum(len(word.group()) for word in words))
        ends_ms = accumulate((len(word.group()) * ms_per_letter for word in words), initial=0.0)
        return [(word.start(), word.group(), *times) for word, times in zip(words, pairwise(ends_ms), strict=True)]

    def word_times(self) -> WordTimes:
        """In ms from the reply's first sample."""
        return tuple((word, self.start_ms + start_ms, self.start_ms + end_ms) for word, start_ms, end_ms in self.words)

    def new_word_times(self) -> WordTimes:
        """Those that the client is told now."""
        new, self.words_told = self.word_times()[self.words_told :], len(self.words)
        return new


@dataclass(frozen=True, slots=True)
class NewPhrase:
    index: int
    text: str
    silent: bool = False
    """It is not for the speaker."""


class Reply:
    """Speculative until `release()`: before that nothing may leave, and `due()` must not be called.

    free_at: when the client has played the replies before this one. may_call: it may consist of calls alone, so that
    its message begins with its first words. pace: its audio may leave so many times faster than it plays.
    """

    def __init__(
        self,
        reply_id: str,
        item_id: str,
        modality: Modality,
        voice: str,
        chunk_ms: int,
        free_at: float,
        *,
        may_call: bool = False,
        pace: float = 1.0,
    ) -> None:
        self.id = reply_id
        self.item_id = item_id
        self.modality: Modality = modality
        self.voice = voice
        self.language: str | None = None
        """ISO 639-1 of the user's words; None = not known."""
        self.by: SpokenBy | None = None
        """Known with its first audio."""
        self.options = ReplyOptions()
        """What the client asked for, when it asked for this reply."""
        self.guessed: str | None = None
        """The user's words that it answers, if it was begun before their turn was over; "" when they are not known."""
        self.listens = False
        """The responder hears the turn that it answers."""
        self.released = False
        """The client knows of it."""
        self.waits = False
        """Words that it answers are not there yet; the responder was not asked."""
        self.ended = False
        """The client was told that it ended; its last audio may still be playing."""
        self.failure: str | None = None
        self.failed_engine = ""
        """Which one that is told of."""
        self.apologises = False
        """It failed unheard: all that comes yet is an apology."""
        self.sent_text = ""
        self.text_ended = False
        """The responder is done, with its calls too."""
        self.finish: Finish = "stop"
        self.usage: Usage | None = None
        self.may_call = may_call
        self.calls = Calls()
        self.message_at: int | None = None if may_call else 0
        """Its message stands behind so many calls; None: there is no message yet."""
        self.message_told = False
        self.outdated = False
        """A tool has given something back that it does not know of."""
        self.last_item_id: str | None = None
        """Of what it has put into the history."""
        self.speaks = False
        """The speaker was given something."""
        self.waiting: list[NewPhrase] = []
        """Phrases that are spoken when the reply is released."""
        self.ledger = PlayoutLedger(free_at)
        self._pace = pace
        self._blank = ""
        """White space before the first words of a message that has not begun."""
        self._chunk_samples = RATE_HZ * chunk_ms // 1000
        self._phrases: list[Phrase] = []
        self._splitter = PhraseSplitter()
        self._sending = 0
        self._begun = -1
        self._sent_samples = 0

    # --- from the engines ---------------------------------------------------------------------------------------

    def add_text(self, delta: str) -> list[NewPhrase]:
        if self.message_at is None:
            self._blank += delta
            if not self._blank.strip():
                return []
            self.message_at, delta = len(self.calls), self._blank
        return [self._add_phrase(cut) for cut in self._splitter.feed(delta)]

    def add_call(self, event: ReplyCall, ids: Callable[[str], str]) -> list[NewPhrase]:
        """The words before a call are a phrase, whatever comes behind it."""
        begins = event.index >= len(self.calls)
        self.calls.add(event, ids)
        return [self._add_phrase(cut) for cut in self._splitter.finish()] if begins else []

    def end_text(self, finish: Finish = "stop", usage: Usage | None = None) -> list[NewPhrase]:
        """After "length" the last call is not whole."""
        self.text_ended, self.finish, self.usage = True, finish, usage
        if finish == "stop":
            self.calls.end()
        return [self._add_phrase(cut) for cut in self._splitter.finish()]

    def add_audio(self, event: PhraseAudio) -> None:
        phrase = self._phrases[event.phrase]
        self.by = event.by or self.by
        phrase.words += event.words
        phrase.places += event.places
        phrase.audio_ms += 1000 * event.samples.size / RATE_HZ
        step = self._chunk_samples
        phrase.pieces.extend(event.samples[i : i + step] for i in range(0, event.samples.size, step))

    def end_phrase(self, index: int) -> None:
        self._phrases[index].ended = True

    def apologise(self) -> bool:
        """Of it nothing is wanted any more but that, after `discard`. False: something of it was heard, or may have
        been seen or done."""
        if self._begun >= 0 or self.modality == "text" or self.calls:
            return False
        self.apologises, self.text_ended, self.by = True, False, None
        self.message_at = self.message_at or 0
        self._splitter = PhraseSplitter()
        return True

    def add_apology(self, apology: Apology) -> None:
        """The whole of it; without sound there is none."""
        self.text_ended = True
        if not apology.samples.size:
            return
        self._phrases.append(Phrase(apology.text))
        last = len(self._phrases) - 1
        event = PhraseAudio(self.id, last, apology.samples, apology.words, apology.by, apology.places)
        self.add_audio(event)
        self.end_phrase(last)

    def _add_phrase(self, cut: Cut) -> NewPhrase:
        silent = cut.silent or self.modality == "text"
        self._phrases.append(Phrase(cut.text, ended=silent))
        return NewPhrase(len(self._phrases) - 1, cut.text, silent)

    # --- to the client ------------------------------------------------------------------------------------------

    @property
    def audio_ms(self) -> int:
        """Sent so far."""
        return round(self._sent_ms)

    @property
    def _sent_ms(self) -> float:
        return 1000 * self._sent_samples / RATE_HZ

    def due(self, now: float, lead_ms: float) -> list[Notice]:
        """What may leave now: text with the first audio of its phrase, audio at most `lead_ms` ahead of playout."""
        notices: list[Notice] = []
        while self._sending < len(self._phrases):
            phrase = self._phrases[self._sending]
            if phrase.pieces and self.ledger.ahead_ms(now) >= lead_ms:
                break
            if self._begun < self._sending and (phrase.pieces or phrase.ended):
                notices.append(self._begin(phrase))
            if phrase.pieces:
                notices.append(self._send(phrase.pieces.popleft(), now))
            elif phrase.ended:
                self._sending += 1
            else:
                break
        return notices

    def _begin(self, phrase: Phrase) -> ReplyTextDelta:
        before = self._phrases[self._begun] if self._begun >= 0 else phrase
        self._begun = self._sending
        self.sent_text += phrase.text
        phrase.start_ms = self._sent_ms
        late = () if before is phrase else before.new_word_times()
        return ReplyTextDelta(self.id, phrase.text, late + phrase.new_word_times())

    def _send(self, samples: Samples, now: float) -> ReplyAudioDelta:
        self._sent_samples += samples.size
        plays_at = self.ledger.sent(now, 1000 * samples.size / RATE_HZ / self._pace)
        return ReplyAudioDelta(self.id, samples, plays_at)

    def conclusion(self) -> Conclusion | None:
        """None: there is more to be sent."""
        if not (self.text_ended and self._sending == len(self._phrases)):
            return None
        if self.failure is not None:
            return "failed", None
        if self.finish == "length":
            return "incomplete", "max_output_tokens"
        if not self.sent_text.strip() and not self.calls:
            self.failure = "responder: it gave no answer."
            return "failed", None
        return "completed", None

    def next_due_at(self, lead_ms: float) -> float | None:
        """When pacing lets the next audio leave; None when there is none waiting."""
        if self._sending == len(self._phrases) or not self._phrases[self._sending].pieces:
            return None
        return self.ledger.ends_at() - lead_ms / 1000 + CLOCK_GRAIN_S

    def played_at(self) -> float:
        """When the client has played all that was sent; -inf when nothing was."""
        return self.ledger.ends_at()

    def discard(self) -> None:
        """Drop all that was not sent."""
        self.waiting.clear()
        del self._phrases[self._begun + 1 :]
        for phrase in self._phrases:
            phrase.pieces.clear()

    def item_ids(self) -> list[str]:
        """Of its message, whether there will be one or not, and its calls."""
        return [self.item_id, *(call.item_id for call in self.calls)]

    @property
    def has_output(self) -> bool:
        return bool(self._phrases or self._splitter.pending or self.calls)

    @property
    def has_phrase(self) -> bool:
        return bool(self._phrases)

    @property
    def has_audio(self) -> bool:
        return any(phrase.audio_ms for phrase in self._phrases)

    # --- what was heard -----------------------------------------------------------------------------------------

    @property
    def made_text(self) -> str:
        """To be asked for before `discard`."""
        return "".join(phrase.text for phrase in self._phrases) + self._splitter.pending

    def heard_places(self) -> Iterator[tuple[float, int]]:
        """(ms, characters), in order: so far into its audio so much of `made_text` is heard. As far as there is
        audio."""
        start_ms, begin = 0.0, 0
        for phrase in self._phrases:
            if not phrase.ended and not phrase.audio_ms:
                return
            for end, middle_ms in phrase.parts():
                yield start_ms + middle_ms, begin + end
            start_ms, begin = start_ms + phrase.audio_ms, begin + len(phrase.text)
            if not phrase.ended:
                return
            yield start_ms - 1.0, begin

    @property
    def word_times(self) -> WordTimes:
        """Of the words whose audio was sent, in ms from its first sample."""
        words = (word for phrase in self._phrases[: self._begun + 1] for word in phrase.word_times())
        return tuple(word for word in words if word[1] < self._sent_ms)

    def heard_text(self, heard_ms: float) -> str:
        """The words in the first `heard_ms` of the reply's audio. A text reply is read as soon as it is sent."""
        if self.modality == "text":
            return self.sent_text
        heard = ""
        for phrase in self._phrases[: self._begun + 1]:
            part = phrase.heard(heard_ms)
            heard += part
            if part != phrase.text:
                break
            heard_ms -= phrase.audio_ms
        return heard.rstrip()
