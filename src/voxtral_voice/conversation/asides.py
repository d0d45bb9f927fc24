"""Replies beside the conversation: the client asked for them out of band.

Knows: that they are nobody's turn: no speech interrupts them, nothing of them enters the history, several may run at
once. Does not know: the floor, the conversation's own reply (`replies`).

Their audio is not paced by what the client has played, since the client need not play it; it leaves at most FASTER
times faster than it would play, so that a client on a slow line is not cut off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.listener import Turn
from voxtral_voice.conversation.outputs import Outputs
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.reply import EndReason, EndStatus, NewPhrase, Reply
from voxtral_voice.conversation.wanted import wanted

MOST: Final = 8
"""At once; each holds an engine's slot."""
FASTER: Final = 10.0
CHUNK_MS: Final = 100
"""Length of one audio message."""


class Asides:
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
        self._ids, self._policy, self._history, self._out = ids, policy, history, out
        self._outputs = Outputs(None, out)
        self._open: dict[str, Reply] = {}
        self._waiting: dict[str, Turn | None] = {}
        """Those that wait for words, by their id; with the turn that they answer."""

    def __contains__(self, reply_id: str) -> bool:
        return reply_id in self._open

    def item_ids(self) -> set[str]:
        return {item_id for reply in self._open.values() for item_id in reply.item_ids()}

    @property
    def any(self) -> bool:
        return bool(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) >= MOST

    def start(self, options: ev.ReplyOptions, turn: Turn | None, *, waits: bool) -> None:
        """waits: for words (`go_on`), the turn's or also older ones."""
        want = wanted(options, self.settings)
        reply = Reply(
            self._ids("resp"),
            self._ids("item"),
            want.modality,
            want.voice,
            CHUNK_MS,
            -math.inf,
            may_call=want.may_call,
            pace=FASTER,
        )
        reply.options, reply.released = options, True
        self._open[reply.id] = reply
        self._outputs.begin(reply, want.max_tokens)
        if waits:
            self._waiting[reply.id] = turn
        else:
            self._respond(reply, self.settings.language)

    def go_on(self, ready: Callable[[ev.ReplyOptions], bool]) -> None:
        """ready: all words that such a reply waits for are in the history, or lost."""
        for reply_id, turn in [*self._waiting.items()]:
            reply = self._open[reply_id]
            if ready(reply.options):
                del self._waiting[reply_id]
                self._respond(reply, self.settings.language if turn is None else turn.language)

    def cancel(self, reply_id: str) -> None:
        self._end(self._open[reply_id], "cancelled", "client_cancelled")

    def _respond(self, reply: Reply, language: str | None) -> None:
        reply.language, want = language, wanted(reply.options, self.settings)
        messages = self._history.messages(want.instructions, reply.options.input)
        tools, choice, parallel = want.tools, want.tool_choice, want.parallel_tool_calls
        self._out.append(ev.Respond(reply.id, messages, language, want.max_tokens, tools, choice, parallel))

    # --- from the engines ---------------------------------------------------------------------------------------

    def text(self, event: ev.ReplyText, _: float) -> None:
        reply = self._open[event.reply_id]
        self._speak(reply, reply.add_text(event.delta))

    def call(self, event: ev.ReplyCall, _: float) -> None:
        reply = self._open[event.reply_id]
        self._speak(reply, reply.add_call(event, self._ids))

    def text_ended(self, event: ev.ReplyTextEnded, _: float) -> None:
        reply = self._open[event.reply_id]
        self._speak(reply, reply.end_text(event.finish, event.usage))

    def phrase_audio(self, event: ev.PhraseAudio, _: float) -> None:
        self._open[event.reply_id].add_audio(event)

    def phrase_ended(self, event: ev.PhraseEnded, _: float) -> None:
        self._open[event.reply_id].end_phrase(event.phrase)

    def failed(self, event: ev.ReplyFailed, _: float) -> None:
        self._open[event.reply_id].failure = f"{event.engine}: {event.message}"

    def _speak(self, reply: Reply, phrases: list[NewPhrase]) -> None:
        speed = self.settings.speed
        self._out += [
            ev.Speak(reply.id, phrase.index, phrase.text, reply.voice, speed, reply.language)
            for phrase in phrases
            if not phrase.silent
        ]

    # --- sending and ending -------------------------------------------------------------------------------------

    def send_due(self, now: float) -> None:
        for reply in [*self._open.values()]:
            if reply.failure is not None:
                self._end(reply, "failed", None)
                continue
            self._outputs.tell(reply)
            self._out += reply.due(now, self._policy.lead_ms)
            if (conclusion := reply.conclusion()) is not None:
                self._end(reply, *conclusion)

    def wake_at(self) -> float | None:
        """When more may leave."""
        if not self._open:
            return None
        times = (reply.next_due_at(self._policy.lead_ms) for reply in self._open.values())
        return min((at for at in times if at is not None), default=None)

    def _end(self, reply: Reply, status: EndStatus, reason: EndReason | None) -> None:
        del self._open[reply.id]
        self._waiting.pop(reply.id, None)
        self._outputs.end(reply, status, reason, None)
