"""A client and a server without sockets, clocks and models: the wire, the core, and engines that answer on cue.

Knows: what is fed to whom, which work of the engines is not done, what the client was told. Does not know: what is
tried (`steps`, `coverage`), what is right (`order`, `oracle`).

All that both sides say goes through the order checker. A request is answered in the same step or not at all, but for
response.create; an error leaves everything as it was.
"""

from __future__ import annotations

import base64
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from tests.realtime.client import Client
from tests.realtime.make import VOICES, counted_ids
from tests.realtime.replies import Event
from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ
from voxtral_voice.conversation.session import Session
from voxtral_voice.realtime.wire import Opening, Wire
from voxtral_voice.server.sounds import Sounds

FRAME_S: Final = FRAME_SAMPLES / RATE_HZ
FRAME_BYTES: Final = {"audio/pcm": 1536, "audio/pcmu": 256, "audio/pcma": 256}
"""Of one frame of voice activity, 32 ms."""
TONE: Final = np.full(24_000, 0.1, np.float32)
LONGEST_S: Final = 200.0
"""A conversation that is not at rest after so long without anybody saying anything is stuck."""
MOST_WAKES: Final = 20
"""At one moment."""
ANSWERS: Final = ("Yes.", "It is Paris. A city in France, as you know.", "One two three four five six seven.")
ARGUMENTS: Final = ('{"city": "Paris"}', "{}", '{"n": [1, 2', "")
"""Also such that are no JSON."""


@dataclass(slots=True)
class Job:
    """Work of an engine. next: the next event that it brings; None: there is no more."""

    owner: int | str
    """Attempt or reply."""
    events: Iterator[ev.Event]
    failure: Callable[[], ev.Event]
    stopped: bool = False


class Talk(Client):
    """rng: the engines' and the client's chance. judged: each event is judged by the package's types too."""

    def __init__(
        self,
        rng: random.Random,
        *,
        intent: str | None = None,
        judged: bool = True,
        wire: type[Wire] = Wire,
        session: type[Session] = Session,
    ) -> None:
        super().__init__(judged=judged)
        self.rng = rng
        ids = counted_ids()
        opening = Opening(intent=intent)
        self.wire = wire("sess_1", ids, VOICES, "voxtral-voice", now_unix=1_800_000_000, opening=opening)
        self.session = session(self.wire.settings, ids)
        self.now = 100.0
        self.jobs: list[Job] = []
        self.story: deque[tuple[float, object]] = deque(maxlen=60)
        self.heard: tuple[str, ...] = ("", "hello there", "what is the capital of France", "call")
        """What the transcriber writes."""
        self.answers: tuple[str, ...] = ANSWERS
        """What the responder says."""
        self.prompts: list[ev.Respond] = []
        self.spoken: list[ev.Speak] = []
        self.transcriptions: list[ev.Transcribe | ev.TranscribeItem] = []
        self._audio = InputBuffer()
        self._sounds = Sounds(self._audio)
        self._framed = 0
        """Voice activity has judged the samples before it."""
        self._take(self.wire.opening())

    # --- the client ---------------------------------------------------------------------------------------------

    def ask(self, kind: str, **fields: Any) -> list[Event]:
        """A client event, with a name of its own; what was told in the same step."""
        return self.say({"type": kind, "event_id": self.name(), **fields})

    def say(self, event: Event) -> list[Event]:
        return self.send(orjson.dumps(event).decode())

    def send(self, frame: str | bytes) -> list[Event]:
        """Any frame. AssertionError when it is not answered as it has to be."""
        self.feed(ev.AudioReceived(self.received))  # what was due is done, and not for this frame's sake
        self.story.append((self.now, frame if len(frame) < 2000 else f"{frame[:80]!r}... {len(frame)}"))
        before = self._state()
        self.sends(frame)
        incoming = self.wire.client(frame, self.session.history.get, self._sounds.get)
        told = self._take(incoming.frames)
        self._audio.append(np.zeros(len(incoming.pcm) // 3, np.float32))
        if incoming.events:
            self.feed(ev.AudioReceived(self.received))
        for event in incoming.events:
            told += self.feed(event, incoming.client_event_id, incoming.sound)
        self._judge_answer(told, before)
        return told

    def _judge_answer(self, told: list[Event], before: object) -> None:
        assert self.order.answers is not None
        late = [kind for kind in self.order.answers.waiting if kind != "response.create"]
        assert not late, f"no answer to {late}"
        errors = [event for event in told if event["type"] == "error"]
        assert len(errors) <= 1, f"{len(errors)} errors for one event"
        if errors:
            assert told == errors, f"an error, and {[event['type'] for event in told]}"
            assert self._state() == before, f"refused, but something has changed: {errors}"

    def _state(self) -> object:
        """All that an error may not change."""
        return self.wire.settings, self.session.settings, tuple(self.session.history), self.session.state, self._framed

    @property
    def received(self) -> int:
        """Samples at 16 kHz."""
        return self._audio.end_sample

    # --- the microphone -----------------------------------------------------------------------------------------

    def hear(self, frames: int, probability: float) -> None:
        """So many frames of sound, in real time."""
        size = FRAME_BYTES[self.session_object["audio"]["input"]["format"]["type"]]
        for _ in range(frames // 8 + 1):
            count = min(8, frames)
            frames -= count
            if count:
                self.pass_time(count * FRAME_S)
                self.append(bytes(count * size))
                self._judge_frames(probability)

    def append(self, audio: bytes) -> list[Event]:
        return self.ask("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def _judge_frames(self, probability: float) -> None:
        first, count = self._framed, (self.received - self._framed) // FRAME_SAMPLES
        self._framed += count * FRAME_SAMPLES
        self.feed(ev.AudioReceived(self.received))
        if count and self.session.settings.turn_detection is not None:
            for at in range(0, count, 64):
                some = min(64, count - at)
                self.feed(ev.FramesHeard(first + at * FRAME_SAMPLES, (probability,) * some))

    # --- the core -----------------------------------------------------------------------------------------------

    def feed(self, event: ev.Event, client_event_id: str | None = None, sound: bytes = b"") -> list[Event]:
        if not isinstance(event, ev.AudioReceived):
            self.story.append((self.now, event))
        told: list[Event] = []
        for command in self.session.receive(event, self.now):
            if isinstance(command, ev.EngineCommand):
                self._begin(command)
            else:
                if isinstance(command, ev.ItemAdded) and sound:
                    self._sounds.give(command.item.id, sound)
                self._sounds.note(command)
                told += self._take(self.wire.notice(command, client_event_id))
        return told

    def pass_time(self, seconds: float) -> None:
        until, wakes = self.now + seconds, 0
        while (at := self.session.wake_at()) is not None and at <= until:
            wakes = wakes + 1 if at <= self.now else 0
            assert wakes < MOST_WAKES, f"stuck: woken at {at}, and again and again"
            self.now = max(self.now, at)
            self.feed(ev.Wake())
        self.now = until

    def _take(self, frames: list[bytes] | tuple[bytes, ...]) -> list[Event]:
        told = [self.takes(frame) for frame in frames]
        self.story += [(self.now, event) for event in told if event["type"] != "response.output_audio.delta"]
        return told

    # --- the engines --------------------------------------------------------------------------------------------

    def _begin(self, command: ev.EngineCommand) -> None:
        match command:
            case ev.Transcribe(attempt) | ev.TranscribeItem(attempt):
                final = getattr(command, "final", True)
                text = self.rng.choice(self.heard)
                self.transcriptions.append(command)
                self._add(attempt, [ev.TranscriptHeard(attempt, text, "en", final)], self._no_words(attempt))
            case ev.Judge(attempt):
                judged = ev.TurnJudged(attempt, self.rng.choice((0.02, 0.5, 0.99)))
                self._add(attempt, [judged], lambda: ev.TurnJudged(attempt, 0.5))
            case ev.Prepare(attempt):
                words = ev.WordsJudged(attempt, self.rng.choice((0.02, 0.9)))
                self._add(attempt, [words], lambda: ev.WordsJudged(attempt, None))
            case ev.Respond(reply_id):
                self.prompts.append(command)
                self._add(reply_id, self._answer(command), self._failure(reply_id, "responder"))
            case ev.Speak(reply_id, phrase, text):
                self.spoken.append(command)
                sound = TONE[: 24 * min(1000, 60 * max(1, len(text) // 4))]
                pieces = [sound[at : at + 6000] for at in range(0, len(sound), 6000)]
                by = ev.SpokenBy(command.voice, command.voice, command.language or "", "asked")
                times = tuple((word, 60.0 * place, 60.0 * place + 50) for place, word in enumerate(text.split()))
                first = ev.PhraseAudio(reply_id, phrase, pieces[0], times, by)
                heard = [first, *(ev.PhraseAudio(reply_id, phrase, piece) for piece in pieces[1:])]
                self._add(reply_id, [*heard, ev.PhraseEnded(reply_id, phrase)], self._failure(reply_id, "speaker"))
            case ev.Abandon(owner) | ev.StopReply(owner):
                self._stop(owner)
            case ev.ForgetAudio(before):
                self._audio.forget(before)
            case ev.ResetVoiceActivity():
                self._framed = self.received

    def _no_words(self, attempt: int) -> Callable[[], ev.Event]:
        return lambda: ev.TranscriptFailed(attempt, "transcriber: broken")

    def _failure(self, reply_id: str, engine: str) -> Callable[[], ev.Event]:
        return lambda: ev.ReplyFailed(reply_id, engine, "broken")

    def _add(self, owner: int | str, events: Sequence[ev.Event], failure: Callable[[], ev.Event]) -> None:
        self.jobs.append(Job(owner, iter(events), failure))

    def _stop(self, owner: int | str) -> None:
        """A result that is on its way may still come."""
        for job in self.jobs:
            job.stopped = job.stopped or job.owner == owner
        self.jobs = [job for job in self.jobs if not job.stopped or self.rng.random() < 0.3]

    def _answer(self, job: ev.Respond) -> list[ev.Event]:
        """Words, calls, or both, as its tools allow."""
        rng, choice = self.rng, job.tool_choice
        names = [tool.name for tool in job.tools] if choice != "none" else []
        if isinstance(choice, ev.NamedTool):
            names = [choice.name]
        must = bool(names) and choice != "auto"
        calls = rng.choice((1, 1, 2)) if names and (must or rng.random() < 0.6) else 0
        events: list[ev.Event] = []
        if not calls or (not must and rng.random() < 0.5):
            events += [
                ev.ReplyText(job.reply_id, text) for text in _pieces(rng.choice(self.answers), rng.choice((5, 100)))
            ]
        for index in range(calls):
            name, call_id, arguments = rng.choice(names), f"call_{job.reply_id}_{index}", rng.choice(ARGUMENTS)
            for piece in ("", *_pieces(arguments, rng.choice((4, 100)))):
                events.append(ev.ReplyCall(job.reply_id, index, call_id, name, piece))
        finish: ev.Finish = "length" if rng.random() < 0.1 else "stop"
        usage = ev.Usage(10, 5, 3) if rng.random() < 0.5 else None
        return [*events, ev.ReplyTextEnded(job.reply_id, finish, usage)]

    def work(self, *, failing: bool = False) -> bool:
        """The next result of some engine, or its failure. False: there is nothing to do."""
        if not self.jobs:
            return False
        job = self.rng.choice(self.jobs)
        first = next(each for each in self.jobs if each.owner == job.owner)  # an engine keeps the order of its results
        event = first.failure() if failing else next(first.events, None)
        if event is None or failing or first.stopped:
            self.jobs.remove(first)
        if event is not None:
            self.feed(event)
        return True

    def work_through(self) -> None:
        """Until nobody has anything to do any more."""
        while self.work():
            pass

    # --- the end ------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nobody says anything more and the engines answer: all comes to its end. AssertionError when it does not."""
        self.ask("session.update", session={"type": self.session_object["type"], **_pushed_to_talk()})
        until = self.now + LONGEST_S
        while self.jobs or self.session.wake_at() is not None:
            assert self.now < until, f"stuck: {self.session.state.value}, {self.jobs}"
            self.work_through()
            self.pass_time(0.5)
        assert self.session.state is State.OPEN, f"stuck: {self.session.state.value}"
        self.order.finish()

    def goes_on(self) -> None:
        """After all that happened it can still be talked to."""
        if self.session_object["type"] == "transcription":
            self.hear(10, 0.0)
            [kind, *_] = [event["type"] for event in self.ask("input_audio_buffer.commit")]
            assert kind == "input_audio_buffer.committed"
        else:
            mark = {"mark": "last"}
            plain = {"output_modalities": ["text"], "tools": [], "tool_choice": "auto", "input": [], "metadata": mark}
            self.ask("response.create", response=plain)
            self.work_through()
            [done] = [e for e in self.all("response.done") if e["response"]["metadata"] == mark]
            assert done["response"]["status"] in ("completed", "incomplete"), f"{done}"
        self.rest()

    def tale(self) -> str:
        return "\n".join(f"{at - 100:8.3f}  {_shown(what)}" for at, what in self.story)


def _pushed_to_talk() -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": None}}}


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _shown(what: object) -> str:
    if isinstance(what, dict):
        return f"server  {orjson.dumps(what).decode()[:400]}"
    if isinstance(what, str | bytes):
        return f"client  {what!r}"
    return f"  {what}"[:300]
