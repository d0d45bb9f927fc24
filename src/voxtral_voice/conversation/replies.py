"""The assistant's side: the reply under way, what it answers, and the replies whose audio can still be truncated.

Knows: one reply at a time, speculative or released, its phrases on the way to the speaker and its audio on the way to
the client. Does not know: whose turn it is (`session`), how a phrase is cut or audio is paced (`reply`), models.
"""

from __future__ import annotations

import math
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.history import History, kept_of
from voxtral_voice.conversation.kept import Saying
from voxtral_voice.conversation.listener import Turn
from voxtral_voice.conversation.outputs import Outputs
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.reply import CancelReason, EndReason, EndStatus, NewPhrase, Reply
from voxtral_voice.conversation.wanted import wanted

REMEMBERED_REPLIES: Final = 32
"""Replies whose audio can still be truncated by the client; when full the oldest goes."""

SAYING_CHARS: Final = 300
"""About 20 s of speech."""
LATE_CANCEL_S: Final = 0.3
"""A cancel that names no reply and comes so soon after an interruption was meant for what that has stopped already."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Of an interrupted reply, or of one that had not begun."""

    item_id: str | None
    made: str
    """Its text as far as it was made."""
    heard: str
    """The beginning of it that was heard."""
    whole: bool
    """All of its text had been made, and it was not empty."""
    called: bool
    """It has called a tool, so that it cannot begin again."""
    voice: str
    language: str | None
    options: ev.ReplyOptions

    @property
    def rest(self) -> str:
        return self.made[len(self.heard) :].strip()


class Replies:
    """settings: kept up to date by the session. out: the session's commands go here, in order."""

    def __init__(
        self,
        settings: ev.Settings,
        ids: Callable[[str], str],
        policy: Policy,
        history: History,
        out: list[ev.Command],
    ) -> None:
        self.settings = settings
        self.current: Reply | None = None
        """Speculative, live, or ended with its last audio still playing."""
        self.answering: Turn | None = None
        """What the current reply answers, or will answer when the words are there."""
        self.parked: Reply | None = None
        """Was prepared for a turn that went on; wanted again if that adds no words."""
        self.any_yet = False
        """The client was told of one."""
        self._cut: _Cut | None = None
        """What the user did not hear because of the last interruption."""
        self._ids, self._policy, self._history, self._out = ids, policy, history, out
        self._outputs = Outputs(history, out)
        self._spoken: OrderedDict[str, Reply] = OrderedDict()
        self._interrupted_at = -math.inf

    @property
    def active(self) -> Reply | None:
        """The reply that the client knows of and that has not ended."""
        reply = self.current
        return reply if reply is not None and reply.released and not reply.ended else None

    @property
    def awaits_words(self) -> bool:
        """A turn is over and will be answered when its words are there; the client was told nothing of it yet."""
        return self.current is None and self.answering is not None

    def just_interrupted(self, now: float) -> bool:
        return now - self._interrupted_at < LATE_CANCEL_S

    # --- beginning ----------------------------------------------------------------------------------------------

    def prepare(self, options: ev.ReplyOptions, turn: Turn, *, listens: bool = False) -> None:
        """Begin to answer a turn whose words are there, or which the responder hears itself (listens); nothing leaves
        before `release`."""
        reply = self._new(options)
        self.answering, reply.listens = turn, listens
        if not turn.committed:
            reply.guessed = turn.transcript or ""
            self._tell_guess(reply, "begun")
        self._respond(reply)

    def drop(self) -> None:
        """What was prepared, if anything, is not wanted any more."""
        self.drop_parked()
        if self.current is not None:
            self._drop(self.current)
            self.current = self.answering = None

    def park(self) -> None:
        """The user goes on; perhaps without another word."""
        self.drop_parked()
        if self.current is not None:
            self.parked, self.current, self.answering = self.current, None, None

    def unpark(self, turn: Turn, now: float) -> bool:
        """The turn has these words now. True: they are those that the parked reply answers, and it is current again."""
        reply = self.parked
        if reply is None:
            return False
        if reply.failure is not None or not turn.facts.parked:
            self.drop_parked()
            return False
        self.current, self.answering, self.parked = reply, turn, None
        if reply.has_output:
            self._stamp(first_token=now)
        if reply.has_phrase:
            self._stamp(first_phrase=now)
        if reply.has_audio:
            self._stamp(first_audio=now)
        return True

    def has_parked(self, words: str) -> bool:
        """An answer to the same words."""
        return self.parked is not None and _same_words(self.parked.guessed or "", words)

    def drop_parked(self) -> bool:
        """True: there was one."""
        reply, self.parked = self.parked, None
        if reply is not None:
            self._drop(reply)
        return reply is not None

    def _drop(self, reply: Reply) -> None:
        self._out.append(ev.StopReply(reply.id))
        self._tell_guess(reply, "dropped")

    def _tell_guess(self, reply: Reply, outcome: Literal["begun", "kept", "dropped"]) -> None:
        if reply.guessed is not None:
            self._out.append(ev.Speculated(outcome, reply.guessed))

    def release(self, request: str | None) -> None:
        """The prepared reply is wanted: the client is told of it."""
        reply = self._under_way
        reply.options = replace(reply.options, request=request)
        self._tell_guess(reply, "kept")
        self._tell_started(reply)
        if reply.failure is not None:
            self._apologise(reply)
        self._out += [self._spoken_phrase(reply, phrase) for phrase in reply.waiting]
        reply.waiting.clear()

    def start(self, options: ev.ReplyOptions, turn: Turn | None, *, waits: bool) -> None:
        """A reply that the client is told of at once. waits: for words, the turn's or older ones, until `go_on`."""
        self.drop_parked()
        reply = self._new(options)
        self.answering, reply.waits = turn, waits
        self._tell_started(reply)
        if not waits:
            self._respond(reply)

    @property
    def waiting(self) -> Reply | None:
        """The started reply that waits for words."""
        return self.current if self.current is not None and self.current.waits else None

    def resume(self) -> bool:
        """The interruption had no words: say what was not heard. False: there is nothing, or not all was made."""
        cut = self._cut
        if cut is None or not cut.whole or not cut.rest:
            return False
        reply = self._new(replace(cut.options, tools=(), modality="audio", voice=cut.voice))
        self.answering, reply.language = None, cut.language
        self._tell_started(reply)
        self._out.append(ev.Recite(reply.id))
        phrases = [*reply.add_text(cut.rest), *reply.end_text()]
        self._out += [self._spoken_phrase(reply, phrase) for phrase in phrases if not phrase.silent]
        return True

    def take_cut(self) -> ev.ReplyOptions | None:
        """What the reply was asked for that the user interrupted, if it has more to say; and it is forgotten."""
        cut, self._cut = self._cut, None
        if cut is None or cut.called:
            return None
        return cut.options if cut.rest or not cut.whole else None

    def kept(self) -> ev.Restored:
        """The history without what is not whole, and what is left of the reply. What was sent counts as heard: a client
        plays it to its end."""
        reply = self.current if self.current is not None and self.current.released else None
        if reply is None:
            return ev.Restored(kept_of(self._history))
        if reply.apologises:  # the answer itself may still be had
            return ev.Restored(kept_of(self._history, reply.item_id), owed=True)
        heard = reply.heard_text(reply.audio_ms)
        history = kept_of(self._history, reply.item_id, heard)
        if reply.waits or reply.failure is not None or reply.calls.any_told:
            return ev.Restored(history)
        rest = reply.made_text[len(heard) :].strip() if reply.modality == "audio" else ""
        if not heard and not reply.text_ended:
            return ev.Restored(history, owed=True)
        return ev.Restored(history, rest, reply.voice, reply.language)

    def being_said(self) -> Saying | None:
        """And what is still being played."""
        reply = self.current
        if reply is None or not reply.released or reply.modality == "text" or reply.failure is not None:
            return None
        return Saying(reply.item_id, reply.made_text, tuple(reply.heard_places()))

    def take_over(self, rest: ev.Restored) -> None:
        """Of a reply that another server began; for `resume`."""
        self._cut = _Cut(None, rest.rest, "", True, False, rest.voice, rest.language, ev.ReplyOptions())

    def item_ids(self) -> set[str]:
        """Of what is being prepared, said or played."""
        return {item_id for reply in (self.current, self.parked) if reply is not None for item_id in reply.item_ids()}

    def forget_item(self, item_id: str) -> None:
        """It was deleted: what is left of its reply does not go on, and cannot be truncated any more."""
        self.forget_cut(item_id)
        self._spoken.pop(item_id, None)

    def forget_cut(self, item_id: str | None = None) -> None:
        """item_id: only if it is this one."""
        if self._cut is not None and item_id in (None, self._cut.item_id):
            self._cut = None

    def go_on(self, *, listens: bool = False) -> None:
        """The words that the started reply waited for are in the history. listens: as in `prepare`."""
        reply = self._under_way
        reply.waits, reply.listens = False, listens
        self._respond(reply)

    def fail(self, engine: str, message: str) -> None:
        """A speculative reply's failure is told when it is released: the client may know nothing of it before."""
        reply = self._under_way
        reply.failure, reply.failed_engine, reply.waits = message, engine, False
        reply.discard()
        if reply.released:
            self._apologise(reply)
        else:
            self._out.append(ev.StopReply(reply.id))

    def _apologise(self, reply: Reply) -> None:
        """The user waits for it, and would hear nothing."""
        if self._policy.apologises and reply.apologise():
            language, speed = reply.language or self.settings.language, self.settings.speed
            self._out.append(ev.Apologise(reply.id, reply.failed_engine, reply.voice, speed, language))

    def _new(self, options: ev.ReplyOptions) -> Reply:
        free_at = self.current.played_at() if self.current is not None else -math.inf
        want, chunk_ms = wanted(options, self.settings), self._policy.chunk_ms
        reply_id, item_id = self._ids("resp"), self._ids("item")
        reply = Reply(reply_id, item_id, want.modality, want.voice, chunk_ms, free_at, may_call=want.may_call)
        reply.options = options
        self.current = reply
        return reply

    def preparation(self, attempt: int, said: str | ev.Sound, language: str | None) -> ev.Prepare:
        """For an answer to the user's words so far, or to the turn as it sounds."""
        last: ev.Shown = ("user", said) if isinstance(said, str) else said
        return ev.Prepare(attempt, (*self._history.messages(self.settings.instructions), last), language)

    def _respond(self, reply: Reply) -> None:
        turn, chosen, want = self.answering, reply.options.input, wanted(reply.options, self.settings)
        sound = None
        if turn is not None and reply.listens:
            sound, turn.heard = turn.sound, turn.committed
        messages = self._history.messages(want.instructions, chosen, sound)
        if chosen is None and turn is not None and not turn.committed:
            messages += (sound,) if sound is not None else (("user", turn.transcript or ""),)
        language = turn.language if turn is not None and turn.transcript is not None else self.settings.language
        reply.language = language
        tools, choice, parallel = want.tools, want.tool_choice, want.parallel_tool_calls
        self._out.append(ev.Respond(reply.id, messages, language, want.max_tokens, tools, choice, parallel))

    def _tell_started(self, reply: Reply) -> None:
        reply.released = self.any_yet = True
        self._cut = None
        self._spoken[reply.item_id] = reply
        if len(self._spoken) > REMEMBERED_REPLIES:
            self._spoken.popitem(last=False)
        self._outputs.begin(reply, wanted(reply.options, self.settings).max_tokens)

    @property
    def saying(self) -> str:
        """The end of what has left of the reply."""
        return self.current.sent_text[-SAYING_CHARS:] if self.current is not None else ""

    # --- from the engines ---------------------------------------------------------------------------------------

    def text(self, event: ev.ReplyText, now: float) -> None:
        if (reply := self._live(event.reply_id)) is not None:
            self._stamp_of(reply, first_token=now)
            self._speak(reply, reply.add_text(event.delta), now)

    def call(self, event: ev.ReplyCall, now: float) -> None:
        if (reply := self._live(event.reply_id)) is not None:
            self._stamp_of(reply, first_token=now)
            self._speak(reply, reply.add_call(event, self._ids), now)

    def text_ended(self, event: ev.ReplyTextEnded, now: float) -> None:
        if (reply := self._live(event.reply_id)) is not None:
            self._speak(reply, reply.end_text(event.finish, event.usage), now)

    def phrase_audio(self, event: ev.PhraseAudio, now: float) -> None:
        if (reply := self._live(event.reply_id)) is not None:
            reply.add_audio(event)
            self._stamp_of(reply, first_audio=now)

    def phrase_ended(self, event: ev.PhraseEnded, _: float) -> None:
        if (reply := self._live(event.reply_id)) is not None:
            reply.end_phrase(event.phrase)

    def failed(self, event: ev.ReplyFailed, _: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None and reply is self.parked:
            self.drop_parked()
        elif reply is not None:
            self.fail(event.engine, f"{event.engine}: {event.message}")

    def apology(self, event: ev.Apology, _: float) -> None:
        reply = self.active
        if reply is not None and reply.id == event.reply_id and reply.apologises:
            reply.add_apology(event)

    def _live(self, reply_id: str) -> Reply | None:
        """The reply with this id, if its engines' results are still wanted."""
        for reply in (self.current, self.parked):
            if reply is not None and reply.id == reply_id and not reply.ended and reply.failure is None:
                return reply
        return None

    def _speak(self, reply: Reply, phrases: list[NewPhrase], now: float) -> None:
        """Before its release only the first phrase of a reply is spoken: that is all that has to be ready then."""
        if phrases:
            self._stamp_of(reply, first_phrase=now)
        for phrase in phrases:
            if phrase.silent:
                continue
            if reply.released or not reply.speaks:
                reply.speaks = True
                self._out.append(self._spoken_phrase(reply, phrase))
            else:
                reply.waiting.append(phrase)

    def _spoken_phrase(self, reply: Reply, phrase: NewPhrase) -> ev.Speak:
        return ev.Speak(reply.id, phrase.index, phrase.text, reply.voice, self.settings.speed, reply.language)

    def _stamp_of(self, reply: Reply, **at: float) -> None:
        if reply is self.current:
            self._stamp(**at)

    def _stamp(self, **at: float) -> None:
        """Set stamps of the answered turn that are not set yet."""
        turn = self.answering
        if turn is not None:
            new = {name: when for name, when in at.items() if getattr(turn.timeline, name) is None}
            turn.timeline = replace(turn.timeline, **new) if new else turn.timeline

    # --- sending and ending -------------------------------------------------------------------------------------

    def send_due(self, now: float, *, held: bool) -> bool:
        """Let leave what may leave (nothing while `held`). True when the client has now played the reply to its end."""
        reply = self.active
        if reply is not None:
            if reply.failure is not None and not reply.apologises:
                self._end(reply, now, "failed", None)
            elif not held:
                self._send(reply, now)
        reply = self.current
        return reply is not None and reply.ended and now >= reply.played_at()

    def _send(self, reply: Reply, now: float) -> None:
        self._outputs.tell(reply)
        notices = reply.due(now, self._policy.lead_ms)
        if not reply.apologises and any(isinstance(notice, ev.ReplyAudioDelta) for notice in notices):
            self._stamp(first_sent=now)
        self._out += notices
        if (conclusion := reply.conclusion()) is not None:
            self._end(reply, now, *conclusion)

    def wake_at(self, *, held: bool) -> float | None:
        """When more may leave, or the last of it will have been played."""
        reply = self.current
        if reply is None or not reply.released:
            return None
        if reply.ended:
            return reply.played_at()
        return None if held else reply.next_due_at(self._policy.lead_ms)

    def stop(self, now: float, reason: CancelReason) -> None:
        """The user or the client does not want to hear the rest."""
        reply = self.current
        self.drop_parked()
        cut = self._cut_now(now)
        if reply is not None and not reply.ended:
            self._end(reply, now, "cancelled", reason)
        elif reply is not None:  # all was sent, but not all was heard
            heard = reply.heard_text(reply.ledger.heard_ms(now))
            self._history.update(reply.item_id, text=heard, status="incomplete")
        if reason == "turn_detected":
            self._cut, self._interrupted_at = cut, now
        else:
            self._cut = None
        self.current = self.answering = None

    def _cut_now(self, now: float) -> _Cut | None:
        """What would be cut off."""
        reply = self.current
        if reply is None:
            waits = self.answering is not None  # for the words of its turn
            voice, language = self.settings.voice, self.settings.language
            return _Cut(None, "", "", False, False, voice, language, ev.ReplyOptions()) if waits else None
        written = reply.modality == "text"
        if written and reply.sent_text:
            return None
        made, heard = reply.made_text, reply.heard_text(reply.ledger.heard_ms(now))
        whole, options = reply.text_ended and bool(made.strip()), replace(reply.options, request=None)
        whole = whole and not (written or reply.apologises)  # what is not spoken, or no answer, begins again
        called = reply.calls.any_told
        return _Cut(reply.item_id, made, heard, whole, called, reply.voice, reply.language, options)

    def _end(self, reply: Reply, now: float, status: EndStatus, reason: EndReason | None) -> None:
        """The one end of a reply that the client knows of."""
        reply.ended, reply.waits = True, False
        reply.discard()
        whole = status in ("completed", "incomplete")
        plays_on = status == "failed"  # a client stops playing when it or the user has stopped the reply
        heard_ms = reply.audio_ms if plays_on else reply.ledger.heard_ms(now)
        text = reply.sent_text if whole else reply.heard_text(heard_ms)
        self._outputs.close(reply, text=text, completed=status == "completed")
        timeline = self.answering.timeline if self.answering is not None else None
        self._outputs.end(reply, status, reason, timeline)

    # --- what the client really played --------------------------------------------------------------------------

    def reconnected(self, event: ev.Reconnected, now: float) -> None:
        """What is played now is what the client gets again, behind what it had."""
        if self.current is not None:
            unheard_ms = sum(ms for reply_id, ms in event.unheard if reply_id == self.current.id)
            self.current.ledger.resumed(now, event.away_ms, unheard_ms)

    def spoken(self, item_id: str) -> Reply | None:
        return self._spoken.get(item_id)

    def truncate(self, reply: Reply, audio_end_ms: int) -> None:
        """The client knows best what it played; clamped to what there is."""
        heard_ms = min(audio_end_ms, reply.audio_ms)
        text = reply.heard_text(heard_ms)
        if self._cut is not None and self._cut.item_id == reply.item_id:
            self._cut = replace(self._cut, heard=text)
        self._history.update(reply.item_id, text=text, status="incomplete")
        self._out.append(ev.ItemTruncated(reply.item_id, heard_ms, text))

    @property
    def _under_way(self) -> Reply:
        assert self.current is not None
        return self.current


def _same_words(one: str, other: str) -> bool:
    """But for case and marks."""
    return _words(one) == _words(other)


def _words(text: str) -> list[str]:
    return ["".join(filter(_counts, word)) for word in text.casefold().split() if any(map(_counts, word))]


def _counts(letter: str) -> bool:
    """Letters, vowel signs and digits."""
    return unicodedata.category(letter)[0] in "LMN"
