"""A small world around the core: somebody who speaks, a client that plays, engines that are slow and fail.

    python -m tests.conversation.simulation SEED      # the timeline of one conversation

Knows: what is really said, played and answered, and at which virtual time. Does not know: what is right; that is in
`invariants`, which sees every step. No asyncio, no thread, no clock: everything that will happen stands in one agenda,
and all chance comes from the seed.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import orjson

from tests.conversation.invariants import Frame, Watch
from tests.realtime.make import VOICES, counted_ids
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.realtime.wire import Wire

NOT_YET: Final[frozenset[str]] = frozenset()
"""Rules that the core does not keep yet: a conversation that breaks one goes on, and says so in `Watch.seen_waived`."""

FRAME_S: Final = FRAME_SAMPLES / RATE_HZ
SOUND: Final = np.full(24_000 * 5, 0.1, np.float32)
ENGINE_TIMEOUT_S: Final = 20.0
SPEAKER_TIMEOUT_S: Final = 30.0
"""As in `server/runner`: an engine that hangs fails then."""
TURN_S: Final = 100.0
"""A conversation that is not at rest after so long for each turn is stuck."""
REST_S: Final = 60.0
"""After the last sound, and the last answer of an engine, the floor must have opened by then."""
QUIET_S: Final = 2.5
"""At the end: silence after which nothing may be under way, but for what engines that hang still owe."""

WORDS: Final = "the a what is time book table for two and seven please tell me more about Paris yes but no stop".split()
APOLOGY: Final = "Sorry, I cannot answer right now."
ANSWER_WORDS: Final = "It is a city in France and the weather there is fine today I would say so because of it".split()


@dataclass(frozen=True, slots=True)
class Sound:
    start: float
    end: float
    kind: str
    """speech, mhm, cough, crowd: the last is two voices at once."""


VOICED: Final = {"speech": (0.55, 1.0), "mhm": (0.6, 0.95), "cough": (0.5, 0.9), "crowd": (0.7, 1.0)}
LEVEL_DB: Final = {"speech": -26.0, "mhm": -34.0, "cough": -20.0, "crowd": -22.0}
FLICKER: Final = {"speech": 0.06, "mhm": 0.1, "cough": 0.2, "crowd": 0.02}
"""Frames inside a sound that voice activity takes for silence."""
QUIET: Final = [((i * 37 % 16) / 100, -60.0, 0.0) for i in range(64)]
"""Probability, level and echo of frames in which nothing is to be heard."""


# --- chance -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Traits:
    """What is drawn once for a conversation."""

    turns: int
    chunk_s: float
    """Length of the client's appends."""
    network_s: float
    """One way."""
    hearing_s: float
    """Voice activity takes so long."""
    engines: float
    """How slow they are; 1 = as measured."""
    faults: float
    """Probability that a piece of work goes wrong."""
    leaks: float
    """Probability that our own voice is heard in the microphone; 0 = headphones."""
    restless: float
    """How much else the client does: items, settings, clears."""
    word_times: bool
    leaves: bool
    """The client sends no audio any more at some moment, and never comes back."""
    levels: bool
    """Levels and echoes are known."""
    tools: bool
    """The client has tools, and runs them when they are called."""


def draw_traits(rng: random.Random) -> Traits:
    return Traits(
        turns=rng.choice((2, 2, 2, 3, 3, 4, 6)),
        chunk_s=rng.choice((0.02, *(0.06,) * 2, *(0.1,) * 9, *(0.2,) * 4)),
        network_s=rng.choice((0.0, 0.005, 0.02, 0.06)),
        hearing_s=rng.choice((0.0, 0.0, 0.002, 0.015)),
        engines=rng.choice((0.3, 1.0, 1.0, 3.0)),
        faults=rng.choice((0.0, 0.03, 0.03, 0.15)),
        leaks=rng.choice((0.0, 0.0, 0.0, 0.5)),
        restless=rng.choice((0.0, 0.05, 0.3)),
        word_times=rng.random() < 0.8,
        leaves=rng.random() < 0.05,
        levels=rng.random() < 0.7,
        tools=rng.random() < 0.4,
    )


def draw_policy(rng: random.Random) -> Policy:
    policy = Policy()
    drawn: dict[str, Any] = {
        "partial_every_ms": rng.choice((0, 400, 1000)),
        "lead_ms": rng.choice((300, 400, 500)),
        "chunk_ms": rng.choice((40, 100, 100, 100)),
        "max_turn_ms": rng.choice((2500, 90_000, 90_000, 90_000)),
        "max_items": rng.choice((4, 1000, 1000, 1000)),
        "max_history_chars": rng.choice((200, *(8_000_000,) * 7)),
        "streams": (streams := rng.random() < 0.25),
        "listens": rng.random() < 0.25,
    }
    drawn["apologises"] = drawn["lead_ms"] != 300
    if streams:
        drawn["partial_every_ms"] = 160
    return replace(policy, **{name: value for name, value in drawn.items() if hasattr(policy, name)})


def draw_restored(rng: random.Random) -> ev.Restored | None:
    """One in ten goes on with what another server had."""
    if rng.random() > 0.1:
        return None
    said = ev.Item("item_before", "user", "audio", "what is the time")
    answered = ev.Item("item_answer", "assistant", "audio", "It is", "incomplete")
    kind = rng.choice(("rest", "rest", "owed", "quiet"))
    rest = " ".join(rng.choices(ANSWER_WORDS, k=rng.randint(2, 20))) + "." if kind == "rest" else ""
    history = (said, answered) if kind == "rest" else (said,)
    return ev.Restored(history, rest, "af_heart", rng.choice(("en", None)), owed=kind == "owed")


def draw_detection(rng: random.Random) -> dict[str, Any] | None:
    kind = rng.random()
    if kind < 0.12:
        return None
    base = {"create_response": rng.random() < 0.92, "interrupt_response": rng.random() < 0.92}
    if kind < 0.45:
        silence, idle = rng.choice((200, 500, 1200)), rng.choice((None, None, 5000, 6000))
        return {"type": "server_vad", "silence_duration_ms": silence, "idle_timeout_ms": idle, **base}
    own: dict[str, Any] = {"eagerness": rng.choice(("low", "medium", "high", "auto"))}
    if rng.random() < 0.3:
        own["patience"] = rng.choice((0.0, 0.3, 1.0))
    return {"type": "semantic_vad", **own, **base}


# --- the world --------------------------------------------------------------------------------------------------


class World:
    """One conversation. `run()` raises `Broken` at the first broken rule."""

    def __init__(
        self,
        seed: int,
        *,
        session: type[Session] = Session,
        wire: type[Wire] = Wire,
        waived: frozenset[str] = NOT_YET,
        traits: Traits | None = None,
        policy: Policy | None = None,
        keep: int | None = 40,
    ) -> None:
        self.rng = rng = random.Random(seed)
        self.restored = draw_restored(random.Random(-1 - seed))
        self.traits = traits or draw_traits(rng)
        self.policy = policy or draw_policy(rng)
        self.now = 100.0
        self.trace: deque[tuple[float, object]] = deque(maxlen=keep)
        self.watch = Watch(self, waived)
        self.frames: list[bytes] = []
        """All that left, but for audio; kept for whoever wants to judge it."""
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entries = 0
        self._alarm: float | None = None
        ids = counted_ids()
        self._wire = wire("sess_1", ids, VOICES, "voxtral-voice", 0)
        self.session = session(self._wire.settings, ids, self.policy)
        self.player = Player(self)
        self.engines = Engines(self)
        self.microphone = Microphone(self)
        self.person = Person(self)
        self._requests = 0
        self.ended = False

    def run(self) -> None:
        self._take(self._wire.opening())
        if self.restored is not None:
            self.feed(self.restored)
        self.person.begin()
        self.microphone.begin()
        while self._agenda and not self.ended:
            at, _, what, args = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            what(*args)
            if self.now > 100.0 + self.traits.turns * TURN_S:
                self.end_restless(f"{self.session.state.value} after {self.now - 100:.0f} s")
        self.watch.finish()

    def end_restless(self, what: str) -> None:
        self.ended = True
        self.watch.judge("the_floor_comes_to_rest", what)

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (when, self._entries, what, args))

    def after(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        self.at(self.now + seconds, what, *args)

    # --- the core -----------------------------------------------------------------------------------------------

    def feed(self, event: ev.Event, client_event_id: str | None = None) -> list[Frame]:
        """One step: the event, the commands, the frames. Returns the frames."""
        self.trace.append((self.now, event))
        self.watch.before(event)
        return self._carry_out(self.session.receive(event, self.now), client_event_id)

    def _carry_out(self, commands: list[ev.Command], client_event_id: str | None = None) -> list[Frame]:
        watch, trace, now = self.watch, self.trace, self.now
        told: list[Frame] = []
        for command in commands:
            trace.append((now, command))
            watch.command(command)
            if isinstance(command, ev.EngineCommand):
                self.engines.run(command)
            else:
                told += self._take(self._wire.notice(command, client_event_id))
        watch.after(bool(commands))
        self._set_alarm()
        return told

    def feed_audio(self, event: ev.AudioReceived) -> None:
        """By far the most frequent event: the shortest way when nothing follows from it."""
        self.trace.append((self.now, event))
        commands = self.session.receive(event, self.now)
        self.watch.received = event.end_sample
        if commands:
            self.watch.before(event)
            self._carry_out(commands)

    def _take(self, frames: list[bytes] | tuple[bytes, ...]) -> list[Frame]:
        """Frames leave: they are in order, and after the network the client has them."""
        told = [orjson.loads(frame) for frame in frames]
        for raw, frame in zip(frames, told, strict=True):
            if len(raw) < 2000:
                self.frames.append(raw)
            self.watch.frame(frame)
            self.player.receive(frame, self.now + self.traits.network_s)
        return told

    def _set_alarm(self) -> None:
        at = self.session.wake_at()
        if at is not None and at != self._alarm:
            late = 0.0 if self.rng.random() < 0.9 else self.rng.random() * 0.015
            self.at(max(at, self.now) + late, self._wake, at)
        self._alarm = at

    def _wake(self, meant: float) -> None:
        if self._alarm == meant:
            self._alarm = None
            self.feed(ev.Wake())

    # --- the client's requests ----------------------------------------------------------------------------------

    def request(self, kind: str, **fields: Any) -> list[Frame]:
        """A frame of the client arrives. Its answer is judged and returned."""
        self._requests += 1
        asked = {"type": kind, "event_id": f"client_{self._requests}", **fields}
        self.trace.append((self.now, asked))
        before = self._wire.settings
        incoming = self._wire.client(orjson.dumps(asked).decode(), self.session.history.get)
        told = self._take(incoming.frames)
        if incoming.events:
            self.microphone.catch_up()
        for event in incoming.events:
            told += self.feed(event, incoming.client_event_id)
        self.watch.answered(asked, told)
        if kind == "session.update" and not incoming.events and self._wire.settings != before:
            self.watch.judge("a_refused_update_changes_nothing", f"{asked}")
        return told

    # --- what the rules ask -------------------------------------------------------------------------------------

    def words_heard(self, reply_id: str) -> tuple[int, int] | None:
        """What a client stops by itself was on its way for twice the network when the core hears of it."""
        ended = self.watch.replies[reply_id].ended
        if ended is not None and ended.reason != "turn_detected":
            return None  # what a client does with its player by itself, the core is told only by `truncate`
        ms = self.player.heard_ms(reply_id)
        way_ms = 2000 * self.traits.network_s if reply_id in self.player.stopped else 0.0
        least, most = self.words_until(reply_id, ms), self.words_until(reply_id, ms + way_ms)
        return None if least is None or most is None else (least, most)

    def words_until(self, reply_id: str, ms: float) -> int | None:
        return self.engines.words_until(reply_id, ms)

    def voiced_since(self, sample: int) -> bool:
        return self.microphone.voiced_to > sample

    # --- looking back -------------------------------------------------------------------------------------------

    def story(self) -> str:
        return "\n".join(f"{at - 100:9.3f}  {_shown(what)}" for at, what in self.trace)


def _shown(what: object) -> str:
    if isinstance(what, dict):
        return f"client  {what}"
    arrow = "  <-  " if isinstance(what, ev.Event) else "      ->  "
    if isinstance(what, ev.ReplyAudioDelta | ev.PhraseAudio):
        place = f", phrase={what.phrase}" if isinstance(what, ev.PhraseAudio) else ""
        return f"{arrow}{type(what).__name__}({what.reply_id!r}{place}, {what.samples.size / 24:.0f} ms)"
    if isinstance(what, ev.FramesHeard):
        return f"{arrow}FramesHeard({what.first_sample}, {[round(p, 2) for p in what.probabilities]})"
    return f"{arrow}{what}"


# --- the client's player ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Played:
    pieces: list[tuple[float, float]] = field(default_factory=list)
    """(begins, ends), seconds."""
    cut: bool = False
    """What comes after the flush is not played."""


class Player:
    """Plays at once what comes, and nothing more when it is told that the user speaks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.free_at = -math.inf
        self.replies: dict[str, Played] = {}
        self.items: dict[str, str] = {}
        """item -> reply"""
        self.active: str | None = None
        self.stopped: set[str] = set()
        """Replies that the client stopped by itself."""
        self.asides: list[str] = []
        """Replies that are not part of the conversation; they are not played."""
        self.over: list[str] = []
        """Replies that are done."""

    def receive(self, frame: Frame, at: float) -> None:
        """A frame arrives at `at`, in the order of arrival."""
        kind = frame["type"]
        if kind == "response.output_audio.delta":
            self._play(frame, at)
        elif kind == "response.created":
            self._begin(frame["response"])
        elif kind == "response.output_item.added":
            self._item_begins(frame)
        elif kind == "response.function_call_arguments.done":
            self._world.person.tool_is_called(frame["call_id"], at)
        elif kind == "response.done":
            self._end(frame["response"], at)
        elif kind == "input_audio_buffer.speech_started":
            self._world.person.was_heard(self.flush(at), at)

    def _begin(self, response: Frame) -> None:
        if response["conversation_id"] is None:
            self.asides.append(response["id"])
            return
        self.active = response["id"]
        self._world.person.reply_began()

    def _item_begins(self, frame: Frame) -> None:
        if frame["response_id"] not in self.asides and frame["item"]["type"] == "message":
            self.items[frame["item"]["id"]] = frame["response_id"]

    def _end(self, response: Frame, at: float) -> None:
        self.over.append(response["id"])
        if response["id"] not in self.asides:
            self.active = None
            self._world.person.reply_ended(at)

    def _play(self, frame: Frame, at: float) -> None:
        reply_id, audio = frame["response_id"], frame["delta"]
        if reply_id in self.asides:
            return
        reply = self.replies.get(reply_id)
        if reply is None:
            reply = self.replies[reply_id] = Played()
            self._world.person.reply_sounds(at)
        if reply.cut:
            return
        begins = max(at, self.free_at)
        self.free_at = begins + (len(audio) * 3 // 4 - audio[-2:].count("=")) / 48_000
        reply.pieces.append((begins, self.free_at))

    def flush(self, at: float) -> str | None:
        """Returns the reply that was playing, or had begun to."""
        cut = None
        for reply_id, reply in self.replies.items():
            if reply.pieces and not reply.cut and reply.pieces[-1][1] > at:
                reply.cut, cut = True, reply_id
                reply.pieces = [(begins, min(ends, at)) for begins, ends in reply.pieces if begins < at]
        self.free_at = min(self.free_at, at)
        return cut

    def stop(self, at: float) -> str | None:
        """The client stops by itself: also what is under way of the active reply is not played."""
        cut = self.flush(at)
        if cut is not None:
            self.stopped.add(cut)
        if self.active is not None:
            self.stopped.add(self.active)
            self.replies.setdefault(self.active, Played()).cut = True
        return cut

    def heard_ms(self, reply_id: str) -> float:
        reply = self.replies.get(reply_id)
        now = self._world.now
        return 1000 * sum(max(0.0, min(ends, now) - begins) for begins, ends in reply.pieces) if reply else 0.0

    def is_playing(self, at: float) -> bool:
        return at < self.free_at


# --- the engines ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Phrase:
    words: int
    text: str
    ms: float
    middles_ms: list[float]


@dataclass(slots=True)
class Job:
    """A piece of work. One that leaks brings its results though nobody wants them any more."""

    leaks: bool
    stopped: bool = False
    failed: bool = False
    speaker_free_at: float = 0.0
    phrases: list[Phrase] = field(default_factory=list)

    @property
    def silent(self) -> bool:
        return self.failed or (self.stopped and not self.leaks)


class Engines:
    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self.replies: dict[str, Job] = {}
        self.attempts: dict[int, Job] = {}
        self._arguments = 0
        self.last_promise = 0.0
        """When the last result that is under way will have come."""

    def run(self, command: ev.EngineCommand) -> None:
        match command:
            case ev.Transcribe():
                self._transcribe(command)
            case ev.Judge(attempt):
                self._judge(ev.TurnJudged(attempt, self._probability()), 0.02, 0.08)
            case ev.Prepare(attempt):
                self._judge(ev.WordsJudged(attempt, self._probability()), 0.025, 0.065)
            case ev.Abandon(attempt):
                self.attempts.setdefault(attempt, Job(False)).stopped = True
            case ev.Respond():
                self._respond(command)
            case ev.Recite(reply_id):
                self.replies[reply_id] = self._job()
            case ev.Speak():
                self._speak(command)
            case ev.Apologise(reply_id):
                self._apologise(reply_id)
            case ev.StopReply(reply_id):
                if (job := self.replies.get(reply_id)) is not None:
                    job.stopped = True
            case ev.ResetVoiceActivity():
                self._world.microphone.forget()

    def words_until(self, reply_id: str, ms: float) -> int | None:
        job = self.replies.get(reply_id)
        if job is None or not job.phrases or not all(phrase.ms for phrase in job.phrases):
            return None
        words, offset = 0, 0.0
        for phrase in job.phrases:
            words += sum(offset + middle <= ms for middle in phrase.middles_ms)
            offset += phrase.ms
        return words

    def _job(self) -> Job:
        return Job(leaks=self._rng.random() < 0.3)

    def _fails(self) -> bool:
        return self._rng.random() < self._world.traits.faults

    def _slow(self, least: float, most: float) -> float:
        return self._rng.uniform(least, most) * self._world.traits.engines

    def _probability(self) -> float:
        return self._rng.choice((0.02, 0.3, 0.6, 0.9, 0.97, 0.99))

    def _tell(self, job: Job, seconds: float, event: ev.Event) -> None:
        self._later(job, seconds, lambda: self._world.feed(event))

    def _later(self, job: Job, seconds: float, what: Callable[[], object]) -> None:
        world = self._world

        def due() -> None:
            if not job.silent:
                what()

        self.last_promise = max(self.last_promise, world.now + seconds)
        world.after(seconds, due)

    # --- the turn -----------------------------------------------------------------------------------------------

    def _transcribe(self, job: ev.Transcribe) -> None:
        rng, attempt = self._rng, self.attempts.setdefault(job.attempt, self._job())
        failed = ev.TranscriptFailed(job.attempt, "transcriber: broken")
        if self._fails():
            self._tell(attempt, rng.choice((0.01, 0.3, ENGINE_TIMEOUT_S)), failed)
            return
        words = self._world.person.words_in(job.start_sample, job.end_sample)
        if words and rng.random() < 0.2:
            words[-1] = rng.choice(WORDS)
        text = " ".join(words) if rng.random() < 0.93 else ""
        if not words and rng.random() < 0.1:
            text = "Thank you."
        if text and rng.random() < 0.5:
            text = f" {text.capitalize()}{rng.choice('.?!')}"
        event = ev.TranscriptHeard(job.attempt, text, "en", job.final)
        self._tell(attempt, self._slow(0.06, 0.3), event)

    def _judge(self, event: ev.TurnJudged | ev.WordsJudged, least: float, most: float) -> None:
        if not self._fails():
            self._tell(self.attempts.setdefault(event.attempt, self._job()), self._slow(least, most), event)

    # --- the reply ----------------------------------------------------------------------------------------------

    def _respond(self, job: ev.Respond) -> None:
        rng = self._rng
        self.replies[job.reply_id] = reply = self._job()
        self._say(job.reply_id, reply, self._pieces(job), self._slow(0.03, 0.2))
        if self._fails():
            after = rng.choice((0.0, 0.05, 0.5, ENGINE_TIMEOUT_S))
            self._later(reply, after, lambda: self._fail(job.reply_id, reply, "responder"))

    def _say(self, reply_id: str, reply: Job, pieces: Iterator[ev.ReplyText | ev.ReplyCall], seconds: float) -> None:
        """The next piece then, and so on."""
        piece = next(pieces, None)

        def tell() -> None:
            if piece is None:
                finish: ev.Finish = "length" if self._rng.random() < 0.03 else "stop"
                self._world.feed(ev.ReplyTextEnded(reply_id, finish, ev.Usage(40, 10)))
            else:
                self._world.feed(piece)
                self._say(reply_id, reply, pieces, self._slow(0.005, 0.03))

        self._later(reply, seconds, tell)

    def _pieces(self, job: ev.Respond) -> Iterator[ev.ReplyText | ev.ReplyCall]:
        """Words, calls, or words and calls behind them or before them."""
        words = (ev.ReplyText(job.reply_id, delta) for delta in self._deltas())
        if not job.tools or job.tool_choice == "none" or self._rng.random() < 0.5:
            return words
        calls = [piece for index in range(self._rng.choice((1, 1, 2))) for piece in self._call(job.reply_id, index)]
        return itertools.chain(*self._rng.choice(((calls,), (words, calls), (words, calls), (calls, words))))

    def _call(self, reply_id: str, index: int) -> Iterator[ev.ReplyCall]:
        """No two calls have the same arguments."""
        self._arguments += 1
        text, step = f'{{"number": {self._arguments}}}', self._rng.choice((3, 100))
        call_id = f"call_{self._arguments}"
        for start in range(0, len(text), step):
            yield ev.ReplyCall(reply_id, index, call_id, "count", text[start : start + step])

    def _deltas(self) -> Iterator[str]:
        """An answer in pieces that do not keep to words."""
        rng = self._rng
        if self._fails():
            return iter(rng.choice(((), (" ",), ("...",), ("\n\n",))))
        sentences = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            words = rng.choices(ANSWER_WORDS, k=rng.choice((1, 3, 6, 12)))
            sentences.append(" ".join(words) + rng.choice((".", "!", "?", ", yes.")))
        text, step = " ".join(sentences), rng.choice((4, 12, 1000))
        return iter([text[i : i + step] for i in range(0, len(text), step)])

    def _fail(self, reply_id: str, reply: Job, engine: str) -> None:
        self._world.feed(ev.ReplyFailed(reply_id, engine, "broken"))
        reply.failed = True

    def _apologise(self, reply_id: str) -> None:
        """What still comes of the reply is not heard."""
        if (before := self.replies.get(reply_id)) is not None:
            before.stopped = True
        self.replies[reply_id] = reply = self._job()
        text = APOLOGY if self._rng.random() < 0.9 else ""
        ms = 70.0 * len(text)
        tokens = text.split()
        middles = [ms / max(1, len(tokens)) * (number + 0.5) for number in range(len(tokens))]
        reply.phrases.append(Phrase(len(tokens), text, ms, middles))
        words = tuple((token, ms / len(tokens) * n, ms / len(tokens) * (n + 1)) for n, token in enumerate(tokens))
        places = tuple(token.start() for token in re.finditer(r"\S+", text))
        apology = ev.Apology(reply_id, text, SOUND[: round(24 * ms)], words, places=places)
        self._tell(reply, self._slow(0.0, 0.2), apology)

    def _speak(self, job: ev.Speak) -> None:
        rng, world = self._rng, self._world
        reply = self.replies[job.reply_id]
        tokens = job.text.split()
        lengths = [60.0 + 45.0 * len(token) * rng.uniform(0.8, 1.2) for token in tokens]
        if not world.traits.word_times:
            lengths = [50.0 * len(token) for token in tokens]
        ms = sum(lengths) + (80.0 if world.traits.word_times else 0.0)
        if not tokens or self._fails():
            ms, lengths = 0.0, [0.0] * len(tokens)
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        spans = [(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        reply.phrases.append(Phrase(len(tokens), job.text, ms, [(a + b) / 2 for a, b in spans]))
        words = tuple((token, a, b) for token, (a, b) in zip(tokens, spans, strict=True))
        self._bring(job, reply, ms, words if world.traits.word_times else ())

    def _bring(self, job: ev.Speak, reply: Job, ms: float, words: tuple[tuple[str, float, float], ...]) -> None:
        """One phrase after the other, each in pieces."""
        rng, now = self._rng, self._world.now
        if self._fails():
            after = rng.choice((0.0, 0.2, SPEAKER_TIMEOUT_S))
            self._later(reply, after, lambda: self._fail(job.reply_id, reply, "speaker"))
            if after:
                reply.speaker_free_at = math.inf
        at = max(now, reply.speaker_free_at) + self._slow(0.013, 0.06)
        pieces = rng.choice((1, 1, 3)) if words else 1  # else nobody can know where in a phrase the words are
        slowness = self._slow(0.05, 0.3)
        for piece in range(pieces if ms else 0):
            at += slowness * ms / 1000 / pieces
            share = SOUND[: round(24 * ms / pieces)]
            told = () if piece else words
            places = tuple(token.start() for token in re.finditer(r"\S+", job.text)) if told else ()
            if at < math.inf:
                heard = ev.PhraseAudio(job.reply_id, job.phrase, share, told, places=places)
                self._tell(reply, at - now, heard)
        if at < math.inf:
            self._tell(reply, at - now, ev.PhraseEnded(job.reply_id, job.phrase))
        reply.speaker_free_at = at


# --- the microphone ---------------------------------------------------------------------------------------------


class Microphone:
    """Sends what is to be heard, piece by piece; voice activity judges it frame by frame."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self.received = 0
        self._framed_to = 0
        self._waiting: list[tuple[int, float, float, float]] = []
        """(first sample, probability, level, echo) that were not told yet."""
        self._hearing = False
        self._deaf_to = 0
        self.voiced_to = -RATE_HZ * 10
        """Behind the last sample of a sound."""
        self.on = True
        self._told = 0

    def begin(self) -> None:
        self._world.after(self._world.traits.chunk_s, self._tick)

    def forget(self) -> None:
        """Of what came until now nothing is told any more."""
        self._waiting.clear()
        self._deaf_to = self._framed_to

    def catch_up(self) -> None:
        if self.received != self._told:
            self._told = self.received
            self._world.feed_audio(ev.AudioReceived(self.received))

    def _tick(self) -> None:
        world, chunk_s = self._world, self._world.traits.chunk_s
        if world.person.is_done:
            chunk_s = 0.32
        if self.on:
            self._record(chunk_s)
        world.person.look()
        world.after(chunk_s, self._tick)

    def _record(self, chunk_s: float) -> None:
        world = self._world
        is_quiet = world.person.is_quiet(world.now)
        self.received += round(chunk_s * RATE_HZ)
        while self._framed_to + FRAME_SAMPLES <= self.received:
            if is_quiet:
                self._waiting.append((self._framed_to, *QUIET[self._framed_to // FRAME_SAMPLES % len(QUIET)]))
            else:
                ago = (self.received - self._framed_to) / RATE_HZ
                self._waiting.append((self._framed_to, *self._frame(self._framed_to, world.now - ago)))
            self._framed_to += FRAME_SAMPLES
        if self._waiting and not self._hearing:
            stalled = self._rng.random() < 0.002
            if stalled or world.traits.hearing_s:
                self._hearing = True
                world.after(0.4 if stalled else world.traits.hearing_s, self._tell)
            else:
                self._tell()

    def _frame(self, first: int, at: float) -> tuple[float, float, float]:
        """Speech probability, level and echo of the frame that was recorded from `at` on."""
        rng, world = self._rng, self._world
        playing = world.player.is_playing(at)
        if (sound := world.person.sound_at(at)) is not None:
            world.person.spoke(sound, first)
            flickers = rng.random() < FLICKER[sound.kind]
            low, high = (0.1, 0.5) if flickers else VOICED[sound.kind]
            probability = low + (high - low) * rng.random()
            if probability >= 0.2:
                self.voiced_to = first + FRAME_SAMPLES
            return probability, LEVEL_DB[sound.kind] + 6 * rng.random(), 0.3 * rng.random() if playing else 0.0
        if playing and world.person.leaks_now:
            self.voiced_to = first + FRAME_SAMPLES
            return 0.3 + 0.65 * rng.random(), -45.0, 0.6 + 0.4 * rng.random()
        return QUIET[first // FRAME_SAMPLES % len(QUIET)]

    def _tell(self) -> None:
        self._hearing = False
        if not self._waiting:
            return
        self.catch_up()
        world, frames = self._world, self._waiting[:64]
        del self._waiting[:64]
        if world.session.settings.turn_detection is None or frames[0][0] < self._deaf_to:
            return
        firsts, probabilities, levels, echoes = zip(*frames, strict=True)
        if not world.traits.levels:
            world.feed(ev.FramesHeard(firsts[0], probabilities))
        else:
            world.feed(ev.FramesHeard(firsts[0], probabilities, levels, echoes if any(echoes) else ()))


# --- the person -------------------------------------------------------------------------------------------------


class Person:
    """Who speaks, and works the client: a script of turns, and what comes to mind while the assistant speaks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._sounds: deque[Sound] = deque()
        self._words: list[tuple[int, str]] = []
        """(sample, word) as really spoken."""
        self._voiced_frames = 0
        self._turns = 0
        self._next_at = 0.0
        self._quiet_from = 0.0
        self._manual = False
        """Push to talk."""
        self._made_items: list[str] = []
        self.leaks_now = False
        self.is_done = False
        self._clearing = 0

    def begin(self) -> None:
        world, rng = self._world, self._rng
        transcription = {"model": "whisper-1"}
        session = _session(input={"transcription": transcription})
        if world.traits.tools:
            session["tools"] = [{"type": "function", "name": "count", "parameters": {"type": "object"}}]
        if rng.random() < 0.3:
            session["voxtral_voice"] = {"events": True}
            world.watch.wants_our_events = True
        world.request("session.update", session=session)
        if rng.random() < 0.7:
            self._change_detection()
        self._next_at = world.now + rng.uniform(0.1, 1.0)
        if world.traits.leaves:
            world.after(rng.uniform(1.0, 12.0), self._leave)

    # --- what is to be heard ------------------------------------------------------------------------------------

    def sound_at(self, at: float) -> Sound | None:
        sounds = self._sounds
        while sounds and sounds[0].end <= at:
            sounds.popleft()
        return sounds[0] if sounds and sounds[0].start <= at else None

    def is_quiet(self, now: float) -> bool:
        """Nothing was to be heard in the last moments."""
        return not self.leaks_now and (not self._sounds or self._sounds[0].start > now)

    def spoke(self, sound: Sound, sample: int) -> None:
        """Every eighth frame of speech is a word."""
        if sound.kind == "cough":
            return
        self._voiced_frames += 1
        if self._voiced_frames % 8 == 1:
            self._words.append((sample, "mhm" if sound.kind == "mhm" else WORDS[len(self._words) * 7 % len(WORDS)]))

    def words_in(self, start: int, end: int) -> list[str]:
        return [word for sample, word in self._words if start <= sample < end]

    def _utter(self, start: float, kind: str = "speech") -> float:
        """Sentences with pauses inside. Returns when they end."""
        rng = self._rng
        at = start
        for part in range(rng.choice((1, 1, 2, 3))):
            if part:
                at += rng.choice((0.1, 0.3, 0.6, 1.0, 1.6))
            length = rng.uniform(0.3, 1.6) if rng.random() < 0.97 else 5.0
            self._add(Sound(at, at + length, kind))
            at += length
        return at

    def _add(self, sound: Sound) -> None:
        """Behind what is said already; who is done is silent."""
        if self.is_done:
            return
        if self._sounds and self._sounds[-1].end > sound.start:
            sound = replace(sound, start=self._sounds[-1].end, end=max(sound.end, self._sounds[-1].end + 0.1))
        self._sounds.append(sound)

    # --- its turns ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Is it time for the next turn, or for the end?"""
        world = self._world
        now = world.now
        if self._sounds:
            self.sound_at(now - 1.0)  # what nobody recorded is over too
        if self.is_done:
            self._end_when_quiet()
        elif now >= self._next_at and not self._sounds:
            patient = now < self._next_at + 4.0
            busy = world.player.active is not None or world.player.is_playing(now)
            if not (busy and patient):
                self._take_turn()

    def _take_turn(self) -> None:
        rng, world = self._rng, self._world
        if self._turns >= world.traits.turns:
            self.is_done = True
            self._quiet_from = world.now
            self._finish()
            return
        self._turns += 1
        ends = world.now
        kind = rng.random()
        if kind < 0.07:
            self._write()
        elif kind < 0.10:
            self._send("response.create")
        elif kind < 0.12:
            self._ask_beside()
        elif kind < 0.16:
            self._add(Sound(world.now, world.now + rng.uniform(0.05, 0.5), "cough"))
        else:
            ends = self._utter(world.now + 0.05, "crowd" if kind < 0.2 else "speech")
            if self._manual or rng.random() < 0.03:
                world.at(ends + rng.uniform(-0.3, 0.3), self._push_to_talk)
        if rng.random() < world.traits.restless:
            world.after(rng.uniform(0.0, 4.0), self._do_something)
        self._next_at = ends + rng.choice((0.3, 1.0, 1.0, 2.0))
        detection = world.session.settings.turn_detection
        if detection is not None and detection.idle_timeout_ms is not None and rng.random() < 0.3:
            self._next_at += 9.0

    def _finish(self) -> None:
        """Nothing may begin by itself any more."""
        detection = self._world.session.settings.turn_detection
        if detection is not None and detection.idle_timeout_ms is not None:
            self._send("session.update", session=_session(input={"turn_detection": {"type": "server_vad"}}))

    def _push_to_talk(self) -> None:
        self._send("input_audio_buffer.commit")
        if self._rng.random() < 0.8:
            self._send("response.create")

    def _write(self) -> None:
        content = [{"type": "input_text", "text": "what is the time"}]
        self._send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        options: dict[str, Any] = {"output_modalities": ["text"]} if self._rng.random() < 0.3 else {}
        self._send("response.create", response=options)

    def _send(self, kind: str, **fields: Any) -> None:
        """After the network, in order: nothing overtakes."""
        self._world.after(self._world.traits.network_s, lambda: self._arrive(kind, fields))

    def _arrive(self, kind: str, fields: dict[str, Any]) -> None:
        self._world.request(kind, **fields)
        if kind == "session.update":
            self._manual = self._world.session.settings.turn_detection is None

    # --- while the assistant speaks -----------------------------------------------------------------------------

    def reply_began(self) -> None:
        self.leaks_now = self._rng.random() < self._world.traits.leaks

    def reply_ended(self, at: float) -> None:
        """Its last audio is still to be played: a sound now, and an impatient client."""
        if self._rng.random() < 0.04:
            self._sound(at, 0.4, "mhm")
            self._world.at(at + self._rng.uniform(0.15, 0.35), self._ask)

    def _ask(self) -> None:
        if not self.is_done:
            self._send("response.create")

    def reply_sounds(self, at: float) -> None:
        """What comes to mind when the assistant begins to be heard."""
        rng, world = self._rng, self._world
        if self.is_done:
            return
        start = at + rng.uniform(0.0, 2.0)
        what = rng.random()
        if what < 0.10:
            self._sound(start, rng.uniform(0.1, 0.5), "mhm")
        elif what < 0.18:
            self._sound(start, rng.uniform(0.05, 0.9), "cough")
        elif what < 0.33:
            world.at(start, self._interrupt)
        elif what < 0.39:
            world.at(start, self._cancel)
        elif what < 0.42:
            world.at(start, self._truncate_nonsense)
        elif what < 0.44:
            world.at(start, self._push_to_talk)
        elif what < 0.45:
            world.at(start, self._ask_beside)
        elif what < 0.46:
            world.at(start, self._delete)
        elif what < 0.50:
            self._sound(start, 0.5, "mhm")
            kind = rng.choice(("input_audio_buffer.clear", "response.create"))
            world.at(start + rng.uniform(0.1, 0.6), lambda: self._send(kind))
        elif what < 0.50 + world.traits.restless / 5:
            world.at(start, self._do_something)

    def tool_is_called(self, call_id: str, at: float) -> None:
        """The client runs it, says what came of it and wants to hear more; whatever is being said meanwhile."""
        rng = self._rng
        if rng.random() < 0.9:
            self._world.at(at + rng.choice((0.0, 0.02, 0.5, 3.0)), self._tell_output, call_id)

    def _tell_output(self, call_id: str) -> None:
        if self.is_done:
            return
        output = {"type": "function_call_output", "call_id": call_id, "output": "one more"}
        self._send("conversation.item.create", item=output)
        if self._rng.random() < 0.9:
            self._send("response.create", response={"metadata": {"for": call_id}})

    def _ask_beside(self) -> None:
        """Out of band; perhaps about something else, and perhaps it is cancelled."""
        rng = self._rng
        wish: dict[str, Any] = {"conversation": "none", "output_modalities": [rng.choice(("text", "text", "audio"))]}
        if rng.random() < 0.5:
            content = [{"type": "input_text", "text": "is that a question"}]
            wish["input"] = [{"type": "message", "role": "user", "content": content}]
        self._send("response.create", response=wish)
        if rng.random() < 0.3:
            self._world.after(rng.uniform(0.0, 1.0), self._cancel_some_reply)

    def _cancel_some_reply(self) -> None:
        """By its id: one of those beside the conversation, or one that is over."""
        player = self._world.player
        self._send("response.cancel", response_id=self._rng.choice([*player.asides[-2:], *player.over[-2:], "nobody"]))

    def _cancel_late(self) -> None:
        """By itself, though the server stops at once too."""
        self._send("response.cancel")

    def _start_over(self) -> None:
        """What is said now is not meant for the assistant, which is to say something else."""
        self._send("input_audio_buffer.clear")
        self._send("response.create")

    def _interrupt(self) -> None:
        self._utter(self._world.now)

    def _sound(self, start: float, length: float, kind: str) -> None:
        self._world.at(start, self._add, Sound(start, start + length, kind))

    def was_heard(self, cut: str | None, at: float) -> None:
        """The client stopped playing since the user speaks; most say how much was played."""
        if cut is not None and self._rng.random() < 0.5:
            self._world.at(at, lambda: self._truncate(cut))
        if cut is not None and self._rng.random() < 0.2:
            self._world.at(at + self._rng.uniform(0.0, 0.25), self._cancel_late)
            if self._rng.random() < 0.3:
                self._world.at(at, self._start_over)

    def _cancel(self) -> None:
        world = self._world
        active, cut = world.player.active, world.player.stop(world.now)
        self._send("response.cancel", **({"response_id": active} if active and self._rng.random() < 0.5 else {}))
        if cut is not None and self._rng.random() < 0.6:
            self._truncate(cut)

    def _truncate(self, reply_id: str) -> None:
        """As it was played."""
        world = self._world
        for item_id, reply in world.player.items.items():
            if reply == reply_id:
                heard = round(world.player.heard_ms(reply_id))
                self._send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=heard)

    def _truncate_nonsense(self) -> None:
        world, rng = self._world, self._rng
        item_id = rng.choice([*world.player.items, "nobody"])
        ms = rng.choice((0, 50, 700, 10**9))
        self._send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms)

    def _delete(self) -> None:
        ids = [*self._world.player.items, *self._made_items, "nobody"]
        self._send("conversation.item.delete", item_id=self._rng.choice(ids))

    # --- what else a client does --------------------------------------------------------------------------------

    def _do_something(self) -> None:
        rng = self._rng
        what = rng.choice(
            (
                self._change_detection,
                self._change_something,
                self._seed_history,
                self._delete,
                self._retrieve,
                self._cancel,
                self._cancel_some_reply,
                self._ask_beside,
                self._ask_beside,
                self._push_to_talk,
                self._pause_microphone,
                lambda: self._send("input_audio_buffer.clear"),
                lambda: self._send("input_audio_buffer.commit"),
                lambda: self._send("response.create"),
            )
        )
        what()

    def _change_detection(self) -> None:
        self._send("session.update", session=_session(input={"turn_detection": draw_detection(self._rng)}))

    def _change_something(self) -> None:
        session = self._rng.choice(
            (
                {"type": "realtime", "instructions": "Be brief."},
                {"type": "realtime", "output_modalities": ["text"]},
                {"type": "realtime", "output_modalities": ["audio"]},
                {"type": "realtime", "instructions": "x", "output_modalities": ["smell"]},
                {"type": "realtime", "tool_choice": "none"},
                _session(output={"speed": 1.2}),
                _session(output={"speed": 99}),
                _session(output={"speed": 99}),
            )
        )
        self._send("session.update", session=session)

    def _seed_history(self) -> None:
        rng, world = self._rng, self._world
        item_id = f"mine_{len(self._made_items)}"
        if world.policy.max_items > 100 and rng.random() < 0.5:  # else the core may have forgotten it, not the client
            item_id = rng.choice(("mine_0", "mine_1"))
        after = rng.choice((None, "root", "mine_0", "nobody"))
        content = [{"type": "output_text", "text": "Hello."}]
        item = {"type": "message", "id": item_id, "role": "assistant", "content": content}
        self._made_items.append(item_id)
        self._send("conversation.item.create", item=item, previous_item_id=after)

    def _retrieve(self) -> None:
        self._send("conversation.item.retrieve", item_id=self._rng.choice([*self._world.player.items, "nobody"]))

    def _pause_microphone(self) -> None:
        microphone = self._world.microphone
        microphone.on = False
        self._world.after(self._rng.uniform(0.1, 3.0), self._resume_microphone)

    def _resume_microphone(self) -> None:
        self._world.microphone.on = True

    # --- the end ------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """No more audio, though the connection stands: silence comes back at the very end."""
        self._world.microphone.on = False
        self._sounds.clear()
        self._turns = 99
        self._next_at = self._world.now + 5.0

    def _end_when_quiet(self) -> None:
        """The user is silent. When the engines have answered and the floor is open nothing more may be under way."""
        world = self._world
        world.microphone.on = True
        world.traits = replace(world.traits, leaks=0.0)
        self.leaks_now = False
        quiet = not self._sounds and world.session.state is State.OPEN and not world.player.is_playing(world.now)
        if not quiet or world.engines.last_promise > world.now:
            self._quiet_from = world.now
            if world.now > max(self._next_at, world.engines.last_promise) + REST_S:
                world.end_restless(f"{world.session.state.value} {REST_S:.0f} s after all was silent")
        elif world.now > self._quiet_from + QUIET_S:
            world.ended = True


def _session(**audio: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": audio}


# --- running them -----------------------------------------------------------------------------------------------


def converse(seed: int, **how: Any) -> World:
    """Runs one conversation. A broken rule is raised with the seed and the last events."""
    world = World(seed, **how)
    try:
        world.run()
    except Exception as error:
        error.add_note(f"seed {seed}, {world.traits}\n{world.policy}\nthe last of it:\n{world.story()}")
        raise
    return world


def main() -> None:
    world = World(int(sys.argv[1]), keep=None)
    try:
        world.run()
    finally:
        print(world.traits, world.policy, world.story(), sep="\n")


if __name__ == "__main__":
    main()
