"""What a reply puts out, told to the client and entered into the history: its message and its calls, in the order in
which they began.

Knows: that order, the notices. Does not know: pacing (`reply`), whose turn it is.
"""

from __future__ import annotations

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.calls import Call
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.reply import EndReason, EndStatus, Reply
from voxtral_voice.conversation.timeline import Timeline


class Outputs:
    """history: None for replies that are not part of the conversation. out: commands go here, in order."""

    def __init__(self, history: History | None, out: list[ev.Command]) -> None:
        self._history, self._out = history, out

    def begin(self, reply: Reply, max_tokens: int | None) -> None:
        """The client is told of the reply, and of its message when that is certain to come."""
        item_id: str | None = None
        after: str | None = None
        if not reply.may_call:
            item_id, after = reply.item_id, self._enter_message(reply)
        aside, options = self._history is None, reply.options
        request, form = options.request, options.audio_format
        self._out.append(
            ev.ReplyStarted(reply.id, item_id, after, reply.modality, reply.voice, max_tokens, request, aside, form)
        )

    def tell(self, reply: Reply) -> None:
        """What has begun, and more of each call. Calls leave as they are made."""
        for index, call in enumerate(reply.calls):
            self._tell_message_if_due(reply, index)
            if not call.ended:
                self._tell_call(reply, call)
        self._tell_message_if_due(reply, len(reply.calls))

    def close(self, reply: Reply, *, text: str, completed: bool) -> None:
        """The reply has ended: what of it stays. A call that is not whole is incomplete."""
        if self._history is None:
            return
        self._history.update(reply.item_id, text=text, status="completed" if completed else "incomplete")
        for call in reply.calls:
            if call.begun and not call.ended:
                self._history.put(call.item("incomplete"))

    def end(self, reply: Reply, status: EndStatus, reason: EndReason | None, timeline: Timeline | None) -> None:
        """The client is told, once."""
        text, audio_ms, words = reply.sent_text, reply.audio_ms, reply.word_times
        self._out += [
            ev.StopReply(reply.id),
            ev.ReplyEnded(
                reply.id, status, reason, text, audio_ms, reply.failure, timeline, reply.usage, reply.by, words
            ),
        ]

    def _tell_message_if_due(self, reply: Reply, calls_before: int) -> None:
        if not reply.message_told and reply.message_at == calls_before:
            after = self._enter_message(reply)
            self._out.append(ev.ReplyMessageStarted(reply.id, reply.item_id, after))

    def _enter_message(self, reply: Reply) -> str | None:
        reply.message_told = True
        return self._enter(reply, ev.Item(reply.item_id, "assistant", reply.modality, "", "in_progress"))

    def _tell_call(self, reply: Reply, call: Call) -> None:
        if not call.begun:
            call.begun = True
            after = self._enter(reply, call.item("in_progress"))
            self._out.append(ev.ReplyCallStarted(reply.id, call.item_id, after, call.call_id, call.name))
        if delta := call.take_delta():
            self._out.append(ev.ReplyCallDelta(reply.id, call.item_id, delta))
        if call.whole:
            call.ended = True
            if self._history is not None:
                self._history.put(call.item("completed"))
            self._out.append(ev.ReplyCallEnded(reply.id, call.item_id))

    def _enter(self, reply: Reply, item: ev.Entry) -> str | None:
        """Behind what the reply has put out before. Returns what it stands behind."""
        if self._history is None:
            return None
        behind = reply.last_item_id
        reply.last_item_id = item.id
        return self._history.add(item, behind if behind is not None and behind in self._history else None)
