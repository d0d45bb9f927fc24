"""A stage for the core: frames of speech and silence in, engine results on cue, time by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session

C = TypeVar("C")

FRAME_S = FRAME_SAMPLES / RATE_HZ
SERVER_VAD = ev.TurnDetection(kind="server_vad", silence_duration_ms=500)
AT_ONCE = 1
"""So often a session may want to be woken again at once: a turn that was over before it began, because a reply that may
not be interrupted was still played, is committed then."""


class Stage:
    """Frames arrive in real time; wake-ups happen when they are due."""

    def __init__(self, settings: ev.Settings | None = None, policy: Policy | None = None) -> None:
        counter = itertools.count(1)
        self.session = Session(settings or ev.Settings(), lambda kind: f"{kind}_{next(counter)}", policy)
        self.now = 100.0
        self.samples = 0
        self.log: list[ev.Command] = []
        self.level_db: float | None = None
        """Of what is heard; None = it is not said."""
        self._judged: set[int] = set()
        self.sent: list[float] = []
        """When each audio message left."""

    # --- input --------------------------------------------------------------------------------------------------

    def do(self, event: ev.Event) -> list[ev.Command]:
        out = self.session.receive(event, self.now)
        self.log += out
        self.sent += [self.now for c in out if isinstance(c, ev.ReplyAudioDelta)]
        return out

    def pass_time(self, ms: float) -> list[ev.Command]:
        """Let time go by without audio; wake-ups are sent when due."""
        out: list[ev.Command] = []
        until, at_once = self.now + ms / 1000, 0
        while (at := self.session.wake_at()) is not None and at <= until:
            self.now = max(self.now, at)
            out += self.do(ev.Wake())
            at_once = at_once + 1 if (again := self.session.wake_at()) is not None and again <= at else 0
            if at_once > AT_ONCE:
                raise AssertionError(f"woken at {at}, and wants to be woken at {again} again")
        self.now = until
        return out

    def hear(self, ms: float, probability: float) -> list[ev.Command]:
        out: list[ev.Command] = []
        for _ in range(round(ms / 1000 / FRAME_S)):
            out += self.pass_time(FRAME_S * 1000)
            first, self.samples = self.samples, self.samples + FRAME_SAMPLES
            out += self.do(ev.AudioReceived(self.samples))
            levels = () if self.level_db is None else (self.level_db,)
            out += self.do(ev.FramesHeard(first, (probability,), levels))
        return out

    def speak(self, ms: float) -> list[ev.Command]:
        return self.hear(ms, 0.95)

    def silence(self, ms: float) -> list[ev.Command]:
        return self.hear(ms, 0.02)

    # --- engines ------------------------------------------------------------------------------------------------

    def transcribe(self, text: str, language: str | None = "en") -> list[ev.Command]:
        """Answer the last final transcription, the judge (who is sure) before it and the responder's look after it."""
        job = [c for c in self.all(ev.Transcribe) if c.final][-1]
        detection = self.session.settings.turn_detection
        semantic = detection is not None and detection.kind == "semantic_vad"
        if semantic and job.attempt not in self._judged:
            self.judge(0.99)
        out = self.do(ev.TranscriptHeard(job.attempt, text, language, True))
        if any(isinstance(c, ev.Prepare) for c in out):
            out += self.do(ev.WordsJudged(job.attempt, 0.8))
        return out

    def partial(self, text: str) -> list[ev.Command]:
        return self.do(ev.TranscriptHeard(self.all(ev.Transcribe)[-1].attempt, text, "en", False))

    def judge(self, probability: float) -> list[ev.Command]:
        attempt = [c for c in self.all(ev.Transcribe) if c.final][-1].attempt
        self._judged.add(attempt)
        return self.do(ev.TurnJudged(attempt, probability))

    def answer(self, text: str = "Hello there. How are you today?", audio_ms: float = 1000) -> str:
        """The last reply's whole text, and for each phrase `audio_ms` of audio. Returns the reply's id."""
        reply_id = self.all(ev.Respond)[-1].reply_id
        self.do(ev.ReplyText(reply_id, text))
        self.do(ev.ReplyTextEnded(reply_id))
        self.say(reply_id, audio_ms)
        return reply_id

    def say(self, reply_id: str, audio_ms: float) -> None:
        for phrase in [c for c in self.all(ev.Speak) if c.reply_id == reply_id]:
            self.do(ev.PhraseAudio(reply_id, phrase.phrase, sound(audio_ms)))
            self.do(ev.PhraseEnded(reply_id, phrase.phrase))

    def turn(self, text: str = "what is the capital of France", reply: str = "It is Paris.") -> str:
        """A spoken turn up to the reply's first audio. Returns the reply's id."""
        self.speak(800)
        self.silence(128)
        self.transcribe(text)
        self.judge(0.99)
        reply_id = self.answer(reply)
        self.silence(400)
        assert self.last(ev.ReplyStarted).reply_id == reply_id
        return reply_id

    # --- looking back -------------------------------------------------------------------------------------------

    def state(self) -> State:
        return self.session.state

    def all(self, kind: type[C]) -> list[C]:
        return [c for c in self.log if isinstance(c, kind)]

    def last(self, kind: type[C]) -> C:
        return self.all(kind)[-1]

    def message_id(self, index: int = -1) -> str:
        """Of a reply without tools, the last one."""
        item_id = self.all(ev.ReplyStarted)[index].item_id
        assert item_id is not None
        return item_id

    def texts(self) -> list[tuple[str, str | None]]:
        return [(item.role, item.text) for item in self.session.history if isinstance(item, ev.Item)]


def sound(ms: float) -> ev.Samples:
    return np.full(round(24 * ms), 0.1, dtype=np.float32)


def names(commands: Sequence[ev.Command]) -> list[str]:
    """Without what is only for show."""
    return [type(c).__name__ for c in commands if not isinstance(c, ev.FloorChanged | ev.Speculated)]
