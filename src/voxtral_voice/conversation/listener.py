"""The user's side: what is said, where it begins and ends, and its transcript.

Knows: the input buffer's positions, voice activity, the open turn, transcripts under way. Does not know: whose turn it
is (`session`), replies, models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.endpoint import Signals
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ, Offset, Onset, SpeechGate
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.level import Level
from voxtral_voice.conversation.overheard import UNKNOWN_DB, Overheard
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.timeline import Timeline

MAX_COMMIT_MS: Final = 30_000
"""Under voice activity, a client's commit takes at most this much audio from before it."""
FORGET_STEP_MS: Final = 5_000
"""Audio that no turn can need any more is given up in steps of this length."""
LONGEST_WAIT_MS: Final = 90_000
"""Audio of what waits for the end of a reply is kept for so long."""
MOST_ONSET_FRAMES: Final = 31
"""1 s: no onset takes longer."""
SOUND_PADDING_MS: Final = 200
"""Audio from before a sound during a reply that is transcribed with it."""
SOUND_MS: Final = 4_000
"""Of a longer one the end is transcribed."""
LOOK_EVERY_MS: Final = 1_000
"""New speech before the responder is shown the words of a turn that goes on once more, however often these are told."""
LONGEST_TAIL_MS: Final = 500
"""Silence behind a turn that is transcribed with it; there is more when it waited for the end of a reply."""
USUAL_SHARE: Final = 0.3
"""Of the newest turn in the user's usual level."""
PARTIAL_AGAIN_MS: Final = 1_000
"""After a partial that failed, new speech before the next: what failed has time to recover."""
NUDGE: Final = "The user has said nothing for a while. Ask in one short sentence whether they are still there."
"""What the responder is told when the idle timeout is reached."""

NO_FACTS: Final = ev.WordFacts()


@dataclass(slots=True)
class Turn:
    """What the user says until it is committed, and after that until its transcript is there."""

    item_id: str
    start_sample: int
    end_sample: int
    """Behind the last voiced sample."""
    onset: int = 0
    """First voiced sample."""
    level: Level = field(default_factory=Level)
    attempt: int = 0
    """The last one: of its last partial, or of the silence that it is in."""
    partial_to: int = 0
    """Sample behind the last partial transcript."""
    partial_from: int = 0
    """Sample before which there is no other: the last one failed."""
    partial_text: str = ""
    """The last partial, to compare the next one with."""
    looked_at: int | None = None
    """Sample behind the partial that the responder was shown."""
    stable_text: str = ""
    """Words that were already told to the client."""
    transcript: str | None = None
    language: str | None = None
    facts: ev.WordFacts = NO_FACTS
    """Of the transcript's words."""
    lost: str | None = None
    """Why there will be no transcript."""
    unjudged: bool = False
    """The judge of its sound is to be asked yet."""
    judged: float | None = None
    words_judged: float | None = None
    prepared: bool = False
    """The responder has seen the words."""
    transcribed_to: int = 0
    """Where the audio of its last final transcript ends."""
    waited: int = 0
    """How often its deadline was put off for a sound."""
    dropped: int = 0
    """Answers that were prepared for nothing."""
    committed: bool = False
    heard: bool = False
    """By the responder of a reply that the client was told of."""
    given: bool = False
    """An item that the client made."""
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def settled(self) -> bool:
        """The transcript is there, or will never be."""
        return self.transcript is not None or self.lost is not None

    @property
    def sound(self) -> ev.Sound:
        """Up to its tentative end."""
        return ev.Sound(self.item_id, self.start_sample, self.transcribed_to, self.transcript or "")


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
        self.overheard: Overheard | None = None
        """The sound that is heard during a reply."""
        self.usual_db: float | None = None
        """The user's level in the turns before."""
        self._newest: Turn | None = None
        """Of those that were heard to their end, or to what may be it."""
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
        self._run_db: list[float] = []
        """Levels of the voiced frames since the last unvoiced one, up to the onset."""
        self._under_way: dict[int, Turn] = {}
        """By attempt; of the open turn at most one, of committed ones those whose transcript is not there yet."""

    # --- voice activity -----------------------------------------------------------------------------------------

    def hear(self, first_sample: int, probability: float, level_db: float = UNKNOWN_DB) -> Onset | Offset | None:
        """One frame."""
        self.heard_to = first_sample + FRAME_SAMPLES
        edge = self._gate.push(first_sample, probability, level_db)
        if self._gate.voiced and self.turn is not None:
            self.turn.level.add(level_db)
        if self.overheard is not None:
            self.overheard.hear(voiced=self._gate.voiced, level_db=level_db)
        self._run_db = [*self._run_db[-MOST_ONSET_FRAMES:], level_db] if self._gate.voiced else []
        if isinstance(edge, Onset):
            self.onset = edge.sample
        elif isinstance(edge, Offset) and self.turn is not None:
            self.turn.end_sample = edge.sample
        return edge

    def is_committed(self, to_sample: int) -> bool:
        """The client has committed, or dropped, all audio before this sample."""
        return to_sample <= self._buffer_start

    @property
    def sounding(self) -> bool:
        """The last frame was speech to voice activity, however quiet."""
        return self._gate.sounding

    @property
    def speaking(self) -> bool:
        """The user is, by voice activity."""
        return self._gate.speaking

    def configure(self, settings: ev.Settings) -> None:
        self.settings = settings
        detection = settings.turn_detection
        if detection is None:
            self.forget_sound()
            self._gate.reset()
            return
        self._gate.threshold = detection.threshold
        if self.overheard is not None and detection.interrupt_response:
            self.overheard.waits = False

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
        """What was heard during a reply is the turn's beginning; perhaps it is over already."""
        sound = self.overheard
        if sound is not None:
            self.onset = sound.onset
            self.forget_sound()
        padded = self.onset - samples(self.detection.prefix_padding_ms)
        start = max(self._buffer_start, self._dropped_to, self._forgotten, padded)
        end = self.heard_to if sound is None or self.speaking else sound.voiced_to
        self.turn = Turn(self._ids("item"), start, end, self.onset, partial_to=self.onset)
        self._out.append(ev.SpeechStarted(self.turn.item_id, start))

    # --- during a reply -----------------------------------------------------------------------------------------

    def overhear(self) -> None:
        """A sound begins during a reply, or goes on."""
        if self.overheard is None:
            frames = (self.heard_to - self.onset) // FRAME_SAMPLES
            self.overheard = Overheard(self.onset, self._run_db[-frames:])

    def transcribe_sound_if_due(self) -> None:
        sound = self.overheard
        if sound is None or not sound.transcript_due():
            return
        start = max(self._buffer_start, sound.onset, self.heard_to - samples(SOUND_MS)) - samples(SOUND_PADDING_MS)
        start = max(self._buffer_start, start)
        if start >= self.heard_to:  # the client has committed what was not heard yet
            return
        self._attempts += 1
        sound.ask(self._attempts)
        language, prompt = self.settings.language, self.settings.transcription_prompt
        self._out.append(ev.Transcribe(self._attempts, start, self.heard_to, language, prompt, final=False))

    def awaits_words_of_sound(self, attempt: int) -> bool:
        """The sound's transcript is this attempt's."""
        return self.overheard is not None and attempt == self.overheard.attempt

    def sound_transcript(self, event: ev.TranscriptHeard) -> bool:
        """Take a transcript of the sound. False: it is none."""
        sound = self.overheard
        if sound is None or event.attempt != sound.attempt:
            return False
        sound.answer(event.text, (event.facts or NO_FACTS).kind, event.language)
        return True

    def sound_failed(self, event: ev.TranscriptFailed) -> bool:
        """The sound goes without words. False: it was another transcript that failed."""
        sound = self.overheard
        if sound is None or event.attempt != sound.attempt:
            return False
        sound.attempt = None
        return True

    def keep_sound(self) -> None:
        """It becomes a turn when the reply is over; until then no more need be known of it."""
        sound = self.overheard
        assert sound is not None
        self._abandon_sound(sound)
        sound.attempt, sound.waits = None, True

    @property
    def overheard_waits(self) -> bool:
        """Something was said during the reply that becomes a turn."""
        return self.overheard is not None and self.overheard.waits

    def forget_sound(self) -> None:
        if self.overheard is not None:
            self._abandon_sound(self.overheard)
        self.overheard = None

    def _abandon_sound(self, sound: Overheard) -> None:
        if sound.attempt is not None:
            self._out.append(ev.Abandon(sound.attempt))

    # --- the turn's end -----------------------------------------------------------------------------------------

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
        self.forget_sound()
        self._buffer_start = self.received
        self._out += [ev.ForgetAudio(self.received), ev.ResetVoiceActivity(), ev.AudioCleared()]

    @property
    def _uncommitted_from(self) -> int:
        """Of what was not committed the oldest sample that is still there."""
        return max(self._buffer_start, self._forgotten)

    @property
    def uncommitted_ms(self) -> float:
        return 1000 * (self.received - self._uncommitted_from) / RATE_HZ

    def commit_turn(self, now: float) -> Turn:
        turn, self.turn = self.open, None
        turn.committed = True
        turn.timeline = replace(turn.timeline, commit=now)
        self._out.append(ev.SpeechStopped(turn.item_id, turn.end_sample))
        self._buffer_start = max(turn.end_sample, turn.transcribed_to)
        self._add_item(turn)
        return turn

    def commit_buffer(self, now: float) -> None:
        """Everything since the last commit is the turn (push to talk)."""
        self.forget_sound()
        start = self._uncommitted_from
        if self.settings.turn_detection is not None:
            start = max(start, self.received - samples(MAX_COMMIT_MS))
        turn = Turn(self._ids("item"), start, end_sample=self.received, committed=True)
        turn.timeline = Timeline(speech_end=now, tentative_end=now, commit=now)
        self._transcribe(turn, self.received, final=True)
        self._buffer_start = self.received
        self._add_item(turn)

    def commit_silence(self) -> None:
        """Nobody spoke for as long as the client allows: a nudge for the responder, and a turn without words."""
        item = ev.Item(self._ids("item"), "user", "audio", "")
        nudge = ev.Item(self._ids("item"), "system", "text", NUDGE)
        start, end = self._uncommitted_from, self.received
        self._out.append(ev.IdleTimeout(item.id, start, end))
        self._out.append(ev.ItemAdded(nudge, self._history.add(nudge)))
        self._out.append(ev.AudioCommitted(item, self._history.add(item), start, end))
        self._out.append(ev.TranscriptDone(item.id, "", 0.0))
        self._buffer_start = self.received

    def _learn_level(self, turn: Turn) -> None:
        level_db = turn.level.db
        if level_db is not None:
            usual_db = level_db if self.usual_db is None else self.usual_db
            self.usual_db = (1 - USUAL_SHARE) * usual_db + USUAL_SHARE * level_db

    def _add_item(self, turn: Turn) -> None:
        """Its sound ends where the next turn may begin."""
        item = ev.Item(turn.item_id, "user", "audio", None)
        self._out.append(ev.AudioCommitted(item, self._history.add(item), turn.start_sample, self._buffer_start))
        if turn.settled:
            self.tell_transcript(turn)

    def forget_old_audio(self) -> None:
        before = self.heard_to - samples(MAX_COMMIT_MS)
        if self.overheard is not None and self.overheard.waits:
            longest = self.heard_to - samples(LONGEST_WAIT_MS)
            before = min(before, max(longest, self.overheard.onset - samples(self.detection.prefix_padding_ms)))
        if self.turn is None and before - self._forgotten >= samples(FORGET_STEP_MS):
            self._forgotten = before
            self._out.append(ev.ForgetAudio(before))

    # --- is it over? --------------------------------------------------------------------------------------------

    def settle(self, now: float, heard_at: float) -> Turn:
        """The user is silent: the turn may be over. heard_at: when the last frame came."""
        turn = self.open
        self._abandon(turn)
        heard_ago = max(0, self.heard_to - turn.end_sample) / RATE_HZ
        turn.timeline = Timeline(speech_end=heard_at - heard_ago, tentative_end=now)
        turn.transcribed_to, turn.waited = min(self.heard_to, turn.end_sample + samples(LONGEST_TAIL_MS)), 0
        turn.unjudged = self.detection.kind == "semantic_vad"
        return turn

    def transcribe_turn(self) -> None:
        """As if it were over."""
        self._transcribe(self.open, self.open.transcribed_to, final=True)

    @property
    def next_attempt(self) -> int:
        return self._attempts + 1

    def can_be_heard(self, turn: Turn) -> bool:
        """By the responder itself: the audio of the newest turn is kept for that.

        Not when it is known to have no words.
        """
        return self._policy.listens and turn is self._newest and turn.transcript != ""

    def judge_if_due(self) -> None:
        """The judge is asked a little later: it was trained on speech with some silence behind it."""
        turn = self.open
        if turn.unjudged and self.heard_to - turn.end_sample >= samples(self._policy.judged_silence_ms):
            turn.unjudged = False
            self._out.append(ev.Judge(turn.attempt, turn.start_sample, self.heard_to))

    def signals(self) -> Signals:
        """What is known about the turn's end."""
        turn = self.open
        judging, ending = not self._policy.listens, turn.facts.ending
        return Signals(turn.judged, turn.transcript, turn.words_judged, turn.language, ending, judging)

    def judged(self, event: ev.TurnJudged) -> bool:
        """Take a judgement. False: it is of an earlier silence."""
        if self.turn is None or event.attempt != self.turn.attempt:
            return False
        self.turn.judged = event.probability
        return True

    def words_judged(self, event: ev.WordsJudged) -> bool:
        """Take the responder's view of the words, or of their sound. False: they are of an earlier silence, or a
        partial's."""
        if self.turn is None or event.attempt != self.turn.attempt:
            return False
        if self.turn.transcript is None and not self._policy.listens:
            return False
        self.turn.words_judged = event.probability
        self.turn.prepared = True
        return True

    def go_on(self) -> None:
        """The user goes on: what is known of the turn's end is of no use."""
        turn = self.open
        self._abandon(turn)
        turn.transcript = turn.lost = turn.judged = turn.words_judged = None
        turn.prepared = turn.unjudged = False
        turn.timeline = Timeline()

    # --- transcripts --------------------------------------------------------------------------------------------

    def transcribe_partial_if_due(self) -> None:
        turn = self.open
        every = samples(self._policy.partial_every_ms)
        due = max(turn.partial_to + every, turn.partial_from)
        if every > 0 and self.heard_to >= due and not self._attempts_at(turn):
            turn.partial_to = self.heard_to
            self._transcribe(turn, self.heard_to, final=False)

    def transcript(self, event: ev.TranscriptHeard, now: float) -> Turn | None:
        """Take a transcript. Returns its turn when that is settled by it."""
        turn = self._under_way.pop(event.attempt, None)
        if turn is None:
            return None
        if not event.final:
            self._tell_stable_words(turn, event.text)
            turn.partial_text = event.text
            return None
        turn.transcript, turn.language = event.text.strip(), event.language
        turn.facts = event.facts or NO_FACTS
        if not self._policy.listens:  # nothing waits for it
            turn.timeline = replace(turn.timeline, transcript=now)
        return turn

    def partial(self, event: ev.TranscriptHeard) -> str | None:
        """The words of the turn that goes on, if these are they and the responder is to have a look at them."""
        turn, words = self.turn, event.text.strip()
        if not words or turn is None or event.attempt != turn.attempt or event.final or self._policy.listens:
            return None
        if turn.looked_at is not None and turn.partial_to - turn.looked_at < samples(LOOK_EVERY_MS):
            return None
        turn.looked_at = turn.partial_to
        return words

    @property
    def spoken_on_ms(self) -> float:
        """Since the last onset."""
        return 1000 * (self.heard_to - self.onset) / RATE_HZ

    def transcript_failed(self, event: ev.TranscriptFailed) -> Turn | None:
        """Returns the turn that will have no transcript; None for a partial (the final one will say so too)."""
        turn = self._under_way.pop(event.attempt, None)
        if turn is None:
            return None
        if turn.timeline.tentative_end is None:
            turn.partial_from = self.heard_to + samples(PARTIAL_AGAIN_MS)
            return None
        turn.lost = event.message
        return turn

    def transcribe_item(self, item_id: str, sound_ms: float, now: float) -> None:
        """An item that the client made, with sound and without words: like a committed turn that has no positions."""
        turn = Turn(item_id, 0, end_sample=samples(sound_ms), committed=True, given=True)
        turn.timeline = Timeline(tentative_end=now)
        self._attempts += 1
        self._under_way[self._attempts] = turn
        turn.attempt = self._attempts
        language, prompt = self.settings.language, self.settings.transcription_prompt
        self._out.append(ev.TranscribeItem(self._attempts, item_id, language, prompt))

    def item_ids(self) -> set[str]:
        """Of the turns whose words are not known yet."""
        turns = [*self._under_way.values(), *([] if self.turn is None else [self.turn])]
        return {turn.item_id for turn in turns}

    def awaited(self) -> list[Turn]:
        """The committed turns whose words are not there yet, in order."""
        return [turn for turn in self._under_way.values() if turn.committed]

    def pending(self, *, given: bool) -> int:
        """How many of them are the client's items, or are not."""
        return sum(turn.given is given for turn in self.awaited())

    def tell_transcript(self, turn: Turn) -> None:
        """Of a committed turn: to the history and to the client."""
        if turn.transcript is None:
            self._history.update(turn.item_id, text="", status="completed")
            self._out.append(ev.TranscriptLost(turn.item_id, turn.lost or ""))
            return
        self._history.update(turn.item_id, text=turn.transcript, status="completed")
        if turn.transcript:
            self._learn_level(turn)
        if turn.transcript.startswith(turn.stable_text) and turn.transcript != turn.stable_text:
            self._out.append(ev.TranscriptDelta(turn.item_id, turn.transcript[len(turn.stable_text) :]))
        seconds = (turn.end_sample - turn.start_sample) / RATE_HZ
        self._out.append(ev.TranscriptDone(turn.item_id, turn.transcript, seconds))

    def _tell_stable_words(self, turn: Turn, text: str) -> None:
        """The words that two partials in a row agree on; they are never taken back."""
        words, previous = text.split(), turn.partial_text.split()
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
        turn.attempt = self._attempts
        language, prompt = self.settings.language, self.settings.transcription_prompt
        if final:
            turn.transcribed_to, self._newest = end_sample, turn
        grows = self._policy.streams and turn is self.turn
        self._out.append(ev.Transcribe(self._attempts, turn.start_sample, end_sample, language, prompt, final, grows))
        return self._attempts

    def _attempts_at(self, turn: Turn) -> list[int]:
        return [attempt for attempt, listened in self._under_way.items() if listened is turn]

    def _abandon(self, turn: Turn) -> None:
        """What is under way for it, and what it has of the silence that it was in."""
        for attempt in sorted({*self._attempts_at(turn), turn.attempt} - {0}):
            self._under_way.pop(attempt, None)
            self._out.append(ev.Abandon(attempt))
        turn.attempt = 0


def samples(ms: float) -> int:
    """At 16 kHz."""
    return round(ms * RATE_HZ / 1000)
