"""Which reply answers what: a recorded conversation, replayed, as one exchange for each thing said.

Knows: the rules below, the player. Does not know: figures (`score`).

1. A commit of the user's turn belongs to the latest thing said whose onset was before the speech end that the server
   names, or before the commit when it names none. The same item committed again replaces its first commit: that one was
   retracted.
2. A reply belongs to the latest thing said whose onset was before the reply began; but the first reply after a commit
   belongs to what was committed, even when something else has been said meanwhile (a late answer). Taps count as things
   said, so that an answer to a "mhm" is not taken for a second answer to the question before it; so does the echo of a
   reply, from when it is first heard.
3. A cut-in is a reply that began to be audible, or a turn that was committed and not retracted, before the last voiced
   sample of the thing said that it belongs to. A commit and the reply to it are one. A reply that began early and was
   withdrawn unheard is none. A tap, an echo and a noise have no turn, so nothing cuts into them.
4. The answer is the first audible reply that is neither a cut-in nor broken off without anybody speaking; what follows
   it in the same exchange are further parts of it (a reply on either side of a tool call). Without such a reply it is
   the last one that began, whatever became of it.
5. A transcript belongs to what its item was committed for, however late it comes; without a commit, to the latest thing
   said whose onset was before it came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import assert_never

from voxtral_voice.bench.player import PLAY_RATE_HZ, Played, Player
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Refused,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    Said,
    SessionRecord,
    Silenced,
    TextArrived,
    TurnCommitted,
)


@dataclass(slots=True, eq=False)
class Reply:
    began: float
    item: str | None
    """The item of the user's turn that it answers; None when the server commits none."""
    played: Played | None = None
    text: str = ""
    ended: ReplyEnded | None = None
    arrivals: list[tuple[float, float]] = field(default_factory=list)
    """(at, ms of audio), also of audio that was not played."""
    remembered: str | None = None
    """What the server says was heard of it; None when it was not asked, or did not answer."""
    by_ear: str | None = None
    """What a transcriber makes of the part that was played."""

    @property
    def sound_at(self) -> float | None:
        return self.played.sound_at if self.played else None

    @property
    def broken_off_at(self) -> float | None:
        """When it was silenced, or cancelled by the server; None when it was left to come to its end."""
        if self.played and self.played.cut_at is not None:
            return self.played.cut_at
        return self.ended.at if self.ended and self.ended.status == "cancelled" else None

    @property
    def decided_at(self) -> float | None:
        """The first message that says it is broken off: the user speaks, or it is cancelled."""
        cancelled_at = self.ended.at if self.ended and self.ended.status == "cancelled" else None
        signs = [at for at in (self.played.cut_at if self.played else None, cancelled_at) if at is not None]
        return min(signs, default=None)


@dataclass(slots=True, eq=False)
class Exchange:
    """One thing said, and what came of it."""

    said: Said
    next_onset: float
    """Of the next thing said; inf after the last."""
    commits: dict[str, float] = field(default_factory=dict)
    """Item -> when it was committed, for good."""
    transcripts: dict[str, str | None] = field(default_factory=dict)
    """Item -> text; None: the transcription failed."""
    replies: list[Reply] = field(default_factory=list)
    older: Reply | None = None
    """The reply that was being played when this was begun."""
    refusal: str | None = None
    lost_at: float = math.inf
    """The connection broke."""

    def cut_ins(self) -> list[float]:
        """When each happened."""
        if not self.said.wants_answer:
            return []
        early = [at for at in self.commits.values() if at < self.said.end]
        heard = [r.sound_at for r in self.replies if not self._early_commit(r) and r.sound_at is not None]
        return sorted(early + [at for at in heard if at < self.said.end])

    def is_cut_in(self, reply: Reply) -> bool:
        return self._early_commit(reply) or (reply.sound_at is not None and reply.sound_at < self.said.end)

    def answer(self) -> list[Reply]:
        """Its parts; none when no reply began."""
        whole = [r for r in self.replies if not self.is_cut_in(r) and not self.withdrawn(r)]
        first = next((i for i, r in enumerate(whole) if r.sound_at is not None), None)
        return self.replies[-1:] if first is None else whole[first:]

    def withdrawn(self, reply: Reply) -> bool:
        """Broken off before anybody said anything else."""
        return reply.broken_off_at is not None and reply.broken_off_at < self.next_onset

    def heard(self) -> str | None:
        """All transcripts of it, in the order of the commits; None when there is none."""
        texts = [
            text for item in {**self.commits, **self.transcripts} if (text := self.transcripts.get(item)) is not None
        ]
        return " ".join(texts) if texts else None

    def _early_commit(self, reply: Reply) -> bool:
        return reply.item is not None and self.commits[reply.item] < self.said.end


def exchanges(record: SessionRecord, jitter_ms: float = 0.0) -> list[Exchange]:
    """One for each thing said, in order."""
    replay = _Replay(record, jitter_ms)
    for observation in record.seen:
        replay.take(observation)
    for name, text in record.by_ear.items():
        replay.replies[name].by_ear = text
    for exchange in replay.exchanges:
        exchange.older = replay.playing_at_onset(exchange)
    return replay.exchanges


class _Replay:
    def __init__(self, record: SessionRecord, jitter_ms: float) -> None:
        onsets = [*(said.onset for said in record.said), math.inf]
        self.exchanges = [Exchange(said, onset) for said, onset in zip(record.said, onsets[1:], strict=True)]
        self._nobody = Exchange(Said("", "turn", "turn", "", "", "", -math.inf, -math.inf, -math.inf), math.inf)
        """Where things go that answer nothing: a greeting."""
        self._player = Player(jitter_ms)
        self.replies: dict[str, Reply] = {}
        """By the server's names."""
        self._items: dict[str, Exchange] = {}
        self._unanswered: tuple[str, Exchange] | None = None

    def take(self, observation: Observation) -> None:
        match observation:
            case TurnCommitted():
                self._committed(observation)
            case Heard(at, item, text, final):
                if final:
                    (self._items.get(item) or self._latest(at)).transcripts[item] = text
            case ReplyBegan(at, reply):
                self._reply(at, reply)
            case AudioArrived():
                self._audio(observation)
            case TextArrived(at, reply, text):
                self._reply(at, reply).text += text
            case Remembered(at, reply, text):
                self._reply(at, reply).remembered = text
            case Flushed(at) | Silenced(at):
                self._player.flushed(at)
            case ReplyEnded(at, reply):
                self._reply(at, reply).ended = observation
            case Refused(at, message):
                self._latest(at).refusal = message
            case Lost():
                self._lost(observation)
            case _:
                assert_never(observation)

    def playing_at_onset(self, exchange: Exchange) -> Reply | None:
        """The latest audible one."""
        onset, older = exchange.said.onset, None
        for reply in self.replies.values():
            played = reply.played
            if played and played.first_at < onset < played.ends_at and played.sound_at is not None:
                older = reply
        return older

    def _committed(self, commit: TurnCommitted) -> None:
        ended = commit.at if commit.speech_end is None else min(commit.at, commit.speech_end)
        exchange = self._items.setdefault(commit.item, self._latest(ended))
        exchange.commits[commit.item] = commit.at
        self._unanswered = (commit.item, exchange)

    def _reply(self, at: float, name: str) -> Reply:
        """A driver need not say that a reply began before its first sign."""
        if name not in self.replies:
            item, exchange = self._unanswered or (None, self._latest(at))
            self._unanswered = None
            reply = Reply(at, item or next(reversed(exchange.commits), None))
            exchange.replies.append(reply)
            self.replies[name] = reply
        return self.replies[name]

    def _audio(self, arrived: AudioArrived) -> None:
        reply = self._reply(arrived.at, arrived.reply)
        if len(arrived.samples):
            reply.arrivals.append((arrived.at, len(arrived.samples) * 1000 / PLAY_RATE_HZ))
            reply.played = self._player.arrived(arrived.at, arrived.reply, arrived.samples)

    def _lost(self, lost: Lost) -> None:
        """Whatever was still to be answered will not be."""
        for exchange in self.exchanges:
            exchange.lost_at = lost.at
            waits = exchange.said.end + exchange.said.deadline_s > lost.at
            if waits and not any(reply.sound_at is not None for reply in exchange.replies):
                exchange.refusal = f"The connection broke: {lost.reason}"

    def _latest(self, at: float) -> Exchange:
        before = [exchange for exchange in self.exchanges if exchange.said.onset < at]
        return before[-1] if before else self._nobody
