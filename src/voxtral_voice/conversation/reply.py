"""One reply: its text cut into phrases, their audio in order, its calls, what has left and what was heard.

Knows: phrases, audio pieces, the playout ledger. Does not know: whose turn it is, models, the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from voxtral_voice.audio.playout import PlayoutLedger
from voxtral_voice.conversation.calls import Calls
from voxtral_voice.conversation.events import (
    Finish,
    Modality,
    Notice,
    PhraseAudio,
    ReplyAudioDelta,
    ReplyCall,
    ReplyOptions,
    ReplyTextDelta,
    Samples,
    Usage,
)
from voxtral_voice.conversation.phrases import PhraseSplitter

RATE_HZ: Final = 24_000
CLOCK_GRAIN_S: Final = 0.001
"""Waking this much late makes sure that the audio is due by then, whatever the rounding."""

CancelReason = Literal["turn_detected", "client_cancelled"]
EndReason = CancelReason | Literal["max_output_tokens"]
EndStatus = Literal["completed", "cancelled", "failed", "incomplete"]
Conclusion = tuple[EndStatus, EndReason | None]
"""Status and reason of a reply of which all was sent."""


@dataclass(slots=True)
class Phrase:
    text: str
    words: tuple[tuple[str, float, float], ...] = ()
    """(word, start_ms, end_ms) from the phrase's first sample."""
    pieces: deque[Samples] = field(default_factory=deque)
    """Audio not yet sent, each at most one chunk long."""
    audio_ms: float = 0.0
    """All audio of the phrase that was made."""
    ended: bool = False
    """No more audio will come."""

    def heard(self, heard_ms: float) -> str:
        """The part of the text that lies in the first `heard_ms` of the phrase's audio, to whole words.

        A word counts when its middle was heard. Without word times the words are spread over the audio by letters.
        """
        if self.ended and heard_ms >= self.audio_ms - 1.0:
            return self.text
        tokens = self.text.split()
        count = sum(heard_ms >= middle for middle in self._word_middles_ms(tokens))
        if count == 0:
            return ""
        end = 0
        for token in tokens[:count]:
            end = self.text.index(token, end) + len(token)
        return self.text[:end]

    def _word_middles_ms(self, tokens: list[str]) -> list[float]:
        if len(self.words) == len(tokens):
            return [(start_ms + end_ms) / 2 for _, start_ms, end_ms in self.words]
        ms_per_letter = self.audio_ms / max(1, sum(map(len, tokens)))
        ends = [sum(map(len, tokens[: i + 1])) * ms_per_letter for i in range(len(tokens))]
        return [end - len(token) * ms_per_letter / 2 for end, token in zip(ends, tokens, strict=True)]


@dataclass(frozen=True, slots=True)
class NewPhrase:
    index: int
    text: str


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
        return [self._add_phrase(text) for text in self._splitter.feed(delta)]

    def add_call(self, event: ReplyCall, ids: Callable[[str], str]) -> list[NewPhrase]:
        """The words before a call are a phrase, whatever comes behind it."""
        begins = event.index >= len(self.calls)
        self.calls.add(event, ids)
        return [self._add_phrase(text) for text in self._splitter.finish()] if begins else []

    def end_text(self, finish: Finish = "stop", usage: Usage | None = None) -> list[NewPhrase]:
        """After "length" the last call is not whole."""
        self.text_ended, self.finish, self.usage = True, finish, usage
        if finish == "stop":
            self.calls.end()
        return [self._add_phrase(text) for text in self._splitter.finish()]

    def add_audio(self, event: PhraseAudio) -> None:
        phrase = self._phrases[event.phrase]
        phrase.words = event.words or phrase.words
        phrase.audio_ms += 1000 * event.samples.size / RATE_HZ
        step = self._chunk_samples
        phrase.pieces.extend(event.samples[i : i + step] for i in range(0, event.samples.size, step))

    def end_phrase(self, index: int) -> None:
        self._phrases[index].ended = True

    def _add_phrase(self, text: str) -> NewPhrase:
        self._phrases.append(Phrase(text, ended=self.modality == "text"))
        return NewPhrase(len(self._phrases) - 1, text)

    # --- to the client ------------------------------------------------------------------------------------------

    @property
    def audio_ms(self) -> int:
        """Sent so far."""
        return round(1000 * self._sent_samples / RATE_HZ)

    def due(self, now: float, lead_ms: float) -> list[Notice]:
        """What may leave now: text with the first audio of its phrase, audio at most `lead_ms` ahead of playout."""
        notices: list[Notice] = []
        while self._sending < len(self._phrases):
            phrase = self._phrases[self._sending]
            if phrase.pieces and self.ledger.ahead_ms(now) >= lead_ms:
                break
            if self._begun < self._sending and (phrase.pieces or phrase.ended):
                self._begun = self._sending
                self.sent_text += phrase.text
                notices.append(ReplyTextDelta(self.id, phrase.text))
            if phrase.pieces:
                notices.append(self._send(phrase.pieces.popleft(), now))
            elif phrase.ended:
                self._sending += 1
            else:
                break
        return notices

    def _send(self, samples: Samples, now: float) -> ReplyAudioDelta:
        self._sent_samples += samples.size
        plays_at = self.ledger.sent(now, 1000 * samples.size / RATE_HZ / self._pace)
        return ReplyAudioDelta(self.id, samples, plays_at)

    def conclusion(self) -> Conclusion | None:
        """None: there is more to be sent."""
        if not (self.text_ended and self._sending == len(self._phrases)):
            return None
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
