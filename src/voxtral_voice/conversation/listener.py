"""The user's side: what is said, where it begins and ends, and its transcript.

Knows: the input buffer's positions, voice activity, the open turn, transcripts under way. Does not know: whose turn it
is (`session`), replies, models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ, Offset, Onset, SpeechGate
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.timeline import Timeline

MAX_COMMIT_MS: Final = 30_000
"""Under voice activity, a client's commit takes at most this much audio from before it."""
FORGET_STEP_MS: Final = 5_000
"""Audio that no turn can need any more is given up in steps of this length."""


@dataclass(slots=True)
class Turn:
    """What the user says until it is committed, and after that until its transcript is there."""

    item_id: str
    start_sample: int
    end_sample: int
    """Behind the last voiced sample."""
    partial_to: int = 0
    """Sample behind the last partial transcript."""
    partial_text: str = ""
    """The last partial, to compare the next one with."""
    stable_text: str = ""
    """Words that were already told to the client."""
    transcript: str | None = None
    language: str | None = None
    lost: str | None = None
    """Why there will be no transcript."""
    judged: float | None = None
    committed: bool = False
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def settled(self) -> bool:
        """The transcript is there, or will never be."""
        return self.transcript is not None or self.lost is not None


class Listener:
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
        self.turn: Turn | None = None
        """Not committed yet."""
        self.onset = 0
        """First voiced sample of the last speech."""
        self.heard_to = 0
        """Behind the last frame that voice activity has judged."""
        self.received = 0
        self._ids, self._policy, self._history, self._out = ids, policy, history, out
        detection = settings.turn_detection or ev.TurnDetection()
        self._gate = SpeechGate(detection.threshold, policy.onset_ms, policy.tentative_silence_ms)
        self._buffer_start = 0
        self._dropped_to = 0
        """Behind the last dropped turn: the next one begins no earlier."""
        self._forgotten = 0
        self._attempts = 0
        self._under_way: dict[int, Turn] = {}
        """By attempt; of the open turn at most one, of committed ones those whose transcript is not there yet."""

    # --- voice activity -----------------------------------------------------------------------------------------

    def hear(self, first_sample: int, probability: float) -> Onset | Offset | None:
        """One frame."""
        self.heard_to = first_sample + FRAME_SAMPLES
        edge = self._gate.push(first_sample, probability)
        if isinstance(edge, Onset):
            self.onset = edge.sample
        elif isinstance(edge, Offset) and self.turn is not None:
            self.turn.end_sample = edge.sample
        return edge

    @property
    def voiced(self) -> bool:
        """The last frame was."""
        return self._gate.voiced

    def configure(self, settings: ev.Settings) -> None:
        self.settings = settings
        if settings.turn_detection is None:
            self._gate.reset()
        else:
            self._gate.threshold = settings.turn_detection.threshold

    @property
    def detection(self) -> ev.TurnDetection:
        assert self.settings.turn_detection is not None
        return self.settings.turn_detection

    @property
    def open(self) -> Turn:
        assert self.turn is not None
        return self.turn

    # --- the turn -----------------------------------------------------------------------------------------------

    def open_turn(self) -> None:
        padded = self.onset - samples(self.detection.prefix_padding_ms)
        start = max(self._buffer_start, self._dropped_to, padded)
        self.turn = Turn(self._ids("item"), start, end_sample=self.heard_to, partial_to=self.onset)
        self._out.append(ev.SpeechStarted(self.turn.item_id, start))

    def is_overlong(self) -> bool:
        return self.heard_to - self.open.start_sample >= samples(self._policy.max_turn_ms)

    def end_here(self) -> None:
        """The turn is ended from outside; speech that goes on is a new onset."""
        if self._gate.voiced and self.turn is not None:
            self.turn.end_sample = self.heard_to
        self._gate.reset()

    def drop_turn(self) -> None:
        """The turn will not be committed; the client is told that it is over, so that starts and stops alternate."""
        turn = self.open
        self._abandon(turn)
        self._out.append(ev.SpeechStopped(turn.item_id, self.heard_to))
        self.turn, self._dropped_to = None, self.heard_to
        self._gate.reset()

    def clear(self) -> None:
        self._gate.reset()
        self._buffer_start = self.received
        self._out += [ev.ForgetAudio(self.received), ev.ResetVoiceActivity(), ev.AudioCleared()]

    @property
    def uncommitted_ms(self) -> float:
        return 1000 * (self.received - self._buffer_start) / RATE_HZ

    def commit_turn(self, now: float) -> Turn:
        turn, self.turn = self.open, None
        turn.committed = True
        turn.timeline = replace(turn.timeline, commit=now)
        self._out.append(ev.SpeechStopped(turn.item_id, turn.end_sample))
        self._buffer_start = max(turn.end_sample, self.heard_to)
        self._add_item(turn)
        return turn

    def commit_buffer(self, now: float) -> None:
        """Everything since the last commit is the turn (push to talk)."""
        start = self._buffer_start
        if self.settings.turn_detection is not None:
            start = max(start, self.received - samples(MAX_COMMIT_MS))
        turn = Turn(self._ids("item"), start, end_sample=self.received, committed=True)
        turn.timeline = Timeline(speech_end=now, tentative_end=now, commit=now)
        self._transcribe(turn, self.received, final=True)
        self._buffer_start = self.received
        self._add_item(turn)

    def _add_item(self, turn: Turn) -> None:
        item = ev.Item(turn.item_id, "user", "audio", None)
        self._out.append(ev.AudioCommitted(item, self._history.add(item)))
        if turn.settled:
            self.tell_transcript(turn)

    def forget_old_audio(self) -> None:
        before = self.heard_to - samples(MAX_COMMIT_MS)
        if self.turn is None and before - self._forgotten >= samples(FORGET_STEP_MS):
            self._forgotten = before
            self._out.append(ev.ForgetAudio(before))

    # --- speculation --------------------------------------------------------------------------------------------

    def speculate(self, now: float) -> None:
        """The user is silent: have the turn transcribed and judged as if it were over."""
        turn = self.open
        self._abandon(turn)
        heard_ago = max(0, self.heard_to - turn.end_sample) / RATE_HZ
        turn.timeline = Timeline(speech_end=now - heard_ago, tentative_end=now)
        turn.judged = None
        attempt = self._transcribe(turn, self.heard_to, final=True)
        if self.detection.kind == "semantic_vad":
            self._out.append(ev.Judge(attempt, turn.start_sample, self.heard_to))

    def judged(self, event: ev.TurnJudged) -> bool:
        """Take a judgement. False: it is of an earlier silence."""
        if self.turn is None or event.attempt != self._attempts:
            return False
        self.turn.judged = event.probability
        return True

    def drop_speculation(self) -> None:
        """The user goes on: as if nothing had been prepared."""
        turn = self.open
        self._abandon(turn)
        turn.transcript = turn.lost = turn.judged = None
        turn.timeline = Timeline()

    # --- transcripts --------------------------------------------------------------------------------------------

    def transcribe_partial_if_due(self) -> None:
        turn = self.open
        every = samples(self._policy.partial_every_ms)
        if every > 0 and self.heard_to - turn.partial_to >= every and not self._attempts_at(turn):
            turn.partial_to = self.heard_to
            self._transcribe(turn, self.heard_to, final=False)

    def transcript(self, event: ev.TranscriptHeard, now: float) -> Turn | None:
        """Take a transcript. Returns its turn when that is settled by it."""
        turn = self._under_way.pop(event.attempt, None)
        if turn is None:
            return None
        if not event.final:
            self._tell_stable_words(turn, event.text)
            return None
        turn.transcript, turn.language = event.text.strip(), event.language
        turn.timeline = replace(turn.timeline, transcript=now)
        return turn

    def transcript_failed(self, event: ev.TranscriptFailed) -> Turn | None:
        """Returns the turn that will have no transcript; None for a partial (the final one will say so too)."""
        turn = self._under_way.pop(event.attempt, None)
        if turn is None or turn.timeline.tentative_end is None:
            return None
        turn.lost = event.message
        return turn

    def awaited(self) -> Turn | None:
        """The last committed turn whose words are not there yet."""
        return next((turn for turn in reversed(self._under_way.values()) if turn.committed), None)

    def tell_transcript(self, turn: Turn) -> None:
        """Of a committed turn: to the history and to the client."""
        if turn.transcript is None:
            self._history.update(turn.item_id, text="", status="completed")
            self._out.append(ev.TranscriptLost(turn.item_id, turn.lost or ""))
            return
        self._history.update(turn.item_id, text=turn.transcript, status="completed")
        if turn.transcript.startswith(turn.stable_text) and turn.transcript != turn.stable_text:
            self._out.append(ev.TranscriptDelta(turn.item_id, turn.transcript[len(turn.stable_text) :]))
        seconds = (turn.end_sample - turn.start_sample) / RATE_HZ
        self._out.append(ev.TranscriptDone(turn.item_id, turn.transcript, seconds))

    def _tell_stable_words(self, turn: Turn, text: str) -> None:
        """The words that two partials in a row agree on; they are never taken back."""
        words, previous = text.split(), turn.partial_text.split()
        turn.partial_text = text
        agreed = 0
        while agreed < min(len(words), len(previous)) and words[agreed] == previous[agreed]:
            agreed += 1
        stable = " ".join(words[:agreed])
        if stable.startswith(turn.stable_text) and stable != turn.stable_text:
            self._out.append(ev.TranscriptDelta(turn.item_id, stable[len(turn.stable_text) :]))
            turn.stable_text = stable

    def _transcribe(self, turn: Turn, end_sample: int, *, final: bool) -> int:
        self._attempts += 1
        self._under_way[self._attempts] = turn
        language, prompt = self.settings.language, self.settings.transcription_prompt
        self._out.append(ev.Transcribe(self._attempts, turn.start_sample, end_sample, language, prompt, final))
        return self._attempts

    def _attempts_at(self, turn: Turn) -> list[int]:
        return [attempt for attempt, listened in self._under_way.items() if listened is turn]

    def _abandon(self, turn: Turn) -> None:
        for attempt in self._attempts_at(turn):
            del self._under_way[attempt]
            self._out.append(ev.Abandon(attempt))


def samples(ms: float) -> int:
    """At 16 kHz."""
    return round(ms * RATE_HZ / 1000)
