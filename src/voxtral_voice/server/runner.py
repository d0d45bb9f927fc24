"""Carries out what the core asks of the engines, for one session, and brings the results back as events.

Knows: tasks, timeouts, which engine is behind which command. Does not know: whose turn it is, the wire.

Every piece of work is a task of the connection's group: one per transcription or judgement, and one per reply, in which
the responder and the speaker are a group of their own. Stopping is cancelling the task, which stops the engine within a
step. An engine that fails or takes too long becomes an event (`ReplyFailed`, `TranscriptFailed`); the session goes on.

Where the transcriber hears a turn while it is said, the turn has a `TurnStream`, and what is new of it is pushed with
each transcription. A push goes on when its transcription is abandoned: the audio is needed for the next. Once the turn
is over only what its last transcription waits for begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import numpy as np

from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, pcm16_to_float
from voxtral_voice.audio.resample import resample
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import (
    LISTEN_RATE_HZ,
    SPEAK_RATE_HZ,
    Message,
    Piece,
    Samples,
    Speaker,
    Transcript,
    TranscriptStream,
    Voice,
)
from voxtral_voice.engines.spoken_language import language_of_text
from voxtral_voice.engines.voice_choice import voice_for, why
from voxtral_voice.errors import AudioError, EngineError, RequestError
from voxtral_voice.observe import log
from voxtral_voice.server import apology, asking
from voxtral_voice.server.ahead import Ahead
from voxtral_voice.server.answer import Answer
from voxtral_voice.server.patience import PREPARE_S
from voxtral_voice.server.prompt import messages, tools
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime
from voxtral_voice.server.turn_stream import TurnStream
from voxtral_voice.server.work import Account, Outcome

MAX_PHRASES: Final = 4096
"""Phrases of a reply that wait for the speaker: text, of which an answer has an end of its own (`answer`)."""
AHEAD_S: Final = 20.0
"""Audio of a reply that waits to be sent: with that much of it no further phrase is begun. 2 MB; and a reply that is
cut off was made for nothing so far."""
ITEMS_AT_ONCE: Final = 1
"""Of a session's items the others wait, as many as the core allows; their time limit begins with their work."""
MAX_ITEM_S: Final = 120.0
"""Longest sound of an item that is transcribed."""
APOLOGY_S: Final = 2.0
"""So long the speaker has for an apology, of which all is made before it is heard; else it is the one that is spoken
already."""
PHRASE_AUDIO_S: Final = 10.0
PHRASE_AUDIO_S_PER_CHAR: Final = 0.5
MAX_PHRASE_AUDIO_S: Final = 120.0
"""A phrase of n characters has at most PHRASE_AUDIO_S + n * PHRASE_AUDIO_S_PER_CHAR of audio, some seven times what
speech takes, and never more than this; so much more when it is spoken slower. Beyond it the speaker does not end."""

NO_SOUND: Final = np.empty(0, np.float32)

Tell = Callable[[ev.Event], Coroutine[None, None, None]]


class Runner:
    """tell: puts an event into the session's inbox, waiting while that is full."""

    def __init__(self, runtime: Runtime, audio: InputBuffer, group: asyncio.TaskGroup, tell: Tell) -> None:
        self._runtime = runtime
        self._audio = audio
        self._group = group
        self._tell = tell
        self._attempts: dict[int, list[asyncio.Task[None]]] = {}
        self._accounts: dict[int | str, Account] = {}
        """Of attempts and replies whose outcome is not known yet."""
        self._item_places = asyncio.Semaphore(ITEMS_AT_ONCE)
        self._released: set[str] = set()
        """Replies that the client knows of, until they are stopped."""
        self._replies: dict[str, asyncio.Task[None]] = {}
        self._phrases: dict[str, asyncio.Queue[ev.Speak]] = {}
        self._ahead: dict[str, Ahead] = {}
        self._stream: TurnStream | None = None
        """Of the turn that goes on."""
        self._streamed: tuple[int, str | None, str] | None = None
        """Which turn that is, and what it is heard as."""
        self._sound: tuple[int, int, Samples] = (0, 0, NO_SOUND)
        """Of the newest turn that a responder may be given: its place and its audio."""

    def run(self, command: ev.EngineCommand) -> None:
        """Begin or stop a piece of work; never waits."""
        match command:
            case ev.Transcribe():
                self._transcribe_attempt(command)
            case ev.Judge(attempt):
                self._begin_attempt(attempt, self._judge(command, self._slice(command), self._account(attempt)))
            case ev.Prepare(attempt):
                shown = messages(command.messages, self._heard)
                self._begin_attempt(attempt, self._prepare(command, shown, self._account(attempt)))
            case ev.Abandon(attempt):
                self._settle(attempt, "dropped")
                for task in self._attempts.pop(attempt, []):
                    task.cancel()
            case ev.Respond(reply_id):
                shown = messages(command.messages, self._heard)
                self._begin_reply(reply_id, self._reply(command, shown, self._account(reply_id)))
            case ev.Recite(reply_id):
                self._begin_reply(reply_id, self._recite(reply_id, self._account(reply_id)))
            case ev.Speak():
                self._queue_phrase(command)
            case ev.Apologise(reply_id):
                self._stop_reply(reply_id)
                self._begin_reply(reply_id, self._apologise(command, self._account(reply_id)))
            case ev.StopReply(reply_id):
                self._settle(reply_id, "dropped")  # unless it was released
                self._released.discard(reply_id)
                self._stop_reply(reply_id)
            case ev.ForgetAudio(before_sample):
                self._audio.forget(before_sample)
            case ev.TranscribeItem() | ev.ResetVoiceActivity():
                raise AssertionError("the connection does this itself")

    def transcribe_item(self, job: ev.TranscribeItem, pcm: bytes) -> None:
        """pcm: the item's sound, 16-bit, 24 kHz, mono."""
        self._begin_attempt(job.attempt, self._transcribe_item(job, pcm, self._account(job.attempt)))
        self._settle(job.attempt, "used")

    def released(self, reply_id: str) -> None:
        """The reply is the client's business now: its work is not for nothing."""
        self._released.add(reply_id)
        self._settle(reply_id, "used")

    def committed(self) -> None:
        """The turn is over: what was found out about it is used."""
        for attempt in [key for key in self._accounts if isinstance(key, int)]:
            self._settle(attempt, "used")

    def turn_is_over(self) -> None:
        """Nothing more will be said in it; what is under way is heard to its end."""
        if self._stream is not None:
            self._stream.end()
        self._stream = self._streamed = None

    def _account(self, key: int | str) -> Account:
        account = self._accounts.setdefault(key, Account(self._runtime.metrics))
        if key in self._released:
            self._settle(key, "used")
        return account

    def _settle(self, key: int | str, outcome: Outcome) -> None:
        if (account := self._accounts.pop(key, None)) is not None:
            account.settle(outcome)

    # --- turns --------------------------------------------------------------------------------------------------

    def _transcribe_attempt(self, job: ev.Transcribe) -> None:
        account = self._account(job.attempt)
        if not job.final:  # people read it while it lasts
            self._settle(job.attempt, "used")
        if job.final and self._runtime.engines.responder.listens:
            self._heard(job)
        if job.grows:
            self._stream_attempt(job, account)
        else:
            hear = partial(self._hear_whole, job, self._slice(job), account)
            self._begin_attempt(job.attempt, self._transcribe(job, hear))

    def _stream_attempt(self, job: ev.Transcribe, account: Account) -> None:
        stream = self._stream_of(job)
        stream.add(self._audio.slice(stream.taken_to, job.end_sample))
        hear = partial(self._hear_stream, job, stream, account)
        if job.final:
            self._group.create_task(self._push(job.attempt, stream, account))
            self._begin_attempt(job.attempt, self._transcribe(job, hear))
        else:
            self._group.create_task(self._transcribe(job, hear))

    def _stream_of(self, job: ev.Transcribe) -> TurnStream:
        turn = (job.start_sample, job.language, job.prompt)
        if self._stream is None or self._streamed != turn:
            self.turn_is_over()
            call_s = self._runtime.waits["transcriber"].first_s
            self._stream, self._streamed = TurnStream(partial(self._begin_stream, job), job.start_sample, call_s), turn
            self._group.create_task(self._stream.keep())
        return self._stream

    def _begin_stream(self, job: ev.Transcribe) -> TranscriptStream:
        stream = self._runtime.engines.transcriber.stream(language=job.language, prompt=job.prompt)
        assert stream is not None, "the policy says that it streams"
        return stream

    def _begin_attempt(self, attempt: int, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._attempts.setdefault(attempt, []).append(task)
        task.add_done_callback(lambda done: self._end_attempt(attempt, done))

    def _end_attempt(self, attempt: int, task: asyncio.Task[None]) -> None:
        tasks = self._attempts.get(attempt, [])
        if task in tasks:
            tasks.remove(task)
        if not tasks:
            self._attempts.pop(attempt, None)

    def _slice(self, job: ev.Transcribe | ev.Judge) -> Samples:
        """Taken at once: the next command may be to forget it."""
        return self._audio.slice(job.start_sample, job.end_sample)

    async def _transcribe_item(self, job: ev.TranscribeItem, pcm: bytes, account: Account) -> None:
        seconds = len(pcm) / BYTES_PER_SAMPLE / SPEAK_RATE_HZ
        if seconds > MAX_ITEM_S:
            message = f"transcriber: an item may have {MAX_ITEM_S:g} s of sound, and this one has {seconds:.0f} s"
            await self._tell(ev.TranscriptFailed(job.attempt, message))
            return
        async with self._item_places:
            audio = await asyncio.to_thread(_listened_to, pcm)
            whole = ev.Transcribe(job.attempt, 0, len(audio), job.language, job.prompt, final=True)
            await self._transcribe(whole, partial(self._hear_whole, whole, audio, account))

    async def _hear_whole(self, job: ev.Transcribe, audio: Samples, account: Account) -> Transcript:
        def hear() -> Awaitable[Transcript]:
            transcriber = self._runtime.engines.transcriber
            return transcriber.transcribe(audio, language=job.language, prompt=job.prompt, final=job.final)

        most_s = self._runtime.waits["transcriber"].for_audio(len(audio) / LISTEN_RATE_HZ)
        return await asking.answer(self._runtime, "transcriber", hear, most_s, account)

    async def _hear_stream(self, job: ev.Transcribe, stream: TurnStream, account: Account) -> Transcript | None:
        """None: a partial of a turn that is over, which was abandoned with that."""
        self._runtime.circuits.require("transcriber")
        async with stream.place:
            with account.working("transcriber"):
                if job.final:
                    return await stream.flush()
                words = await stream.words()
                return None if words is None else Transcript(words, job.language or "")

    async def _push(self, attempt: int, stream: TurnStream, account: Account) -> None:
        """What is to be flushed. When it fails, the flush tries it once more, from the turn's beginning. Nothing when
        the turn is over and this was not its end."""
        if not self._runtime.circuits.closed("transcriber"):
            return
        try:
            async with stream.place:
                if stream.over and attempt not in self._attempts:
                    return
                with account.working("transcriber"):
                    await stream.push()
        except ENGINE_FAULTS as error:
            self._runtime.failed("transcriber", error)

    async def _transcribe(self, job: ev.Transcribe, hear: Callable[[], Awaitable[Transcript | None]]) -> None:
        try:
            if (heard := await hear()) is None:
                return
        except ENGINE_FAULTS as error:
            message = self._runtime.failed("transcriber", error)
            await self._tell(ev.TranscriptFailed(job.attempt, f"transcriber: {message}"))
        else:
            self._runtime.worked("transcriber")
            await self._tell(ev.TranscriptHeard(job.attempt, heard.text, heard.language or None, job.final))

    async def _judge(self, job: ev.Judge, audio: Samples, account: Account) -> None:
        try:
            self._runtime.circuits.require("turn_judge")
            async with asyncio.timeout(self._runtime.waits["turn_judge"].first_s):
                with account.working("turn_judge"):
                    probability = await self._runtime.engines.turn_judge.complete_probability(audio)
        except ENGINE_FAULTS as error:
            self._runtime.failed("turn_judge", error)  # the turn then ends after the wait for an unjudged one
        else:
            self._runtime.worked("turn_judge")
            if probability is not None:
                await self._tell(ev.TurnJudged(job.attempt, probability))

    def _heard(self, turn: ev.Sound | ev.Transcribe) -> Samples:
        """Its audio, taken at once and kept: the input buffer may be told to forget it before the reply begins."""
        if self._sound[:2] != (turn.start_sample, turn.end_sample):
            audio = self._audio.slice(turn.start_sample, turn.end_sample)
            self._sound = (turn.start_sample, turn.end_sample, audio)
        return self._sound[2]

    async def _prepare(self, job: ev.Prepare, shown: Sequence[Message], account: Account) -> None:
        probability = None
        try:
            self._runtime.circuits.require("responder")
            async with asyncio.timeout(PREPARE_S):
                with account.working("responder"):
                    probability = await self._runtime.engines.responder.prepare(shown, language=job.language)
        except ENGINE_FAULTS as error:
            self._runtime.failed("responder", error)  # the reply will say so
        await self._tell(ev.WordsJudged(job.attempt, probability))

    # --- replies ------------------------------------------------------------------------------------------------

    def _begin_reply(self, reply_id: str, work: Coroutine[None, None, None]) -> None:
        self._phrases[reply_id] = asyncio.Queue(MAX_PHRASES)  # full: the reply fails
        self._ahead[reply_id] = Ahead(AHEAD_S * SPEAK_RATE_HZ)  # full: the speaker waits
        self._replies[reply_id] = self._group.create_task(work)

    async def _reply(self, job: ev.Respond, shown: Sequence[Message], account: Account) -> None:
        phrases, ahead = self._phrases[job.reply_id], self._ahead[job.reply_id]  # gone when it is stopped
        async with asyncio.TaskGroup() as group:
            group.create_task(self._respond(job, shown, account))
            group.create_task(self._speak(job.reply_id, phrases, ahead, account))

    async def _recite(self, reply_id: str, account: Account) -> None:
        await self._speak(reply_id, self._phrases[reply_id], self._ahead[reply_id], account)

    async def _respond(self, job: ev.Respond, shown: Sequence[Message], account: Account) -> None:
        answer = Answer(job)
        try:
            pieces = asking.outputs(self._runtime, "responder", partial(self._pieces, job, shown), account)
            async with aclosing(pieces):
                async for piece in pieces:
                    if (event := answer.event(piece)) is not None:
                        await self._tell(event)
        except ENGINE_FAULTS as error:
            message = self._runtime.failed("responder", error)
            await self._tell(ev.ReplyFailed(job.reply_id, "responder", message))
        else:
            self._runtime.worked("responder")
            await self._tell(answer.end)

    def _pieces(self, job: ev.Respond, shown: Sequence[Message]) -> AsyncGenerator[Piece, None]:
        if any(message.audio is not None and not message.audio.size for message in shown):
            raise RequestError("responder", "the sound of the turn is not kept any more")
        return self._runtime.engines.responder.respond(
            shown, language=job.language, max_tokens=job.max_tokens, tools=tools(job)
        )

    def sent(self, reply_id: str, samples: int) -> None:
        """So much of its audio does not wait any more."""
        if (ahead := self._ahead.get(reply_id)) is not None:
            ahead.less(samples)

    def _stop_reply(self, reply_id: str) -> None:
        self._phrases.pop(reply_id, None)
        self._ahead.pop(reply_id, None)
        if (reply := self._replies.pop(reply_id, None)) is not None:
            reply.cancel()

    def _queue_phrase(self, job: ev.Speak) -> None:
        """A responder that is this far ahead is at fault: a speaker that hangs has a limit of its own."""
        phrases = self._phrases.get(job.reply_id)
        if phrases is None:  # stopped below, and the core does not know yet
            return
        try:
            phrases.put_nowait(job)
        except asyncio.QueueFull:
            self._stop_reply(job.reply_id)
            error = EngineError("responder", f"its answer is more than {MAX_PHRASES} phrases ahead of the speaker")
            message = self._runtime.failed("responder", error)
            self._group.create_task(self._tell(ev.ReplyFailed(job.reply_id, "responder", message)))

    async def _speak(self, reply_id: str, phrases: asyncio.Queue[ev.Speak], ahead: Ahead, account: Account) -> None:
        """One phrase after the other, until the reply is stopped. The first one decides which voice says them all."""
        by: ev.SpokenBy | None = None
        try:
            while True:
                phrase = await phrases.get()
                await ahead.room()  # between two phrases: in the middle of one an engine might be kept from others
                by = by or spoken_by(self._runtime.engines.speaker, phrase.text, phrase.voice, phrase.language)
                await self._speak_phrase(phrase, by, account, ahead)
                self._runtime.worked("speaker")
                await self._tell(ev.PhraseEnded(reply_id, phrase.phrase))
        except ENGINE_FAULTS as error:
            message = self._runtime.failed("speaker", error)
            await self._tell(ev.ReplyFailed(reply_id, "speaker", message))

    async def _speak_phrase(self, job: ev.Speak, by: ev.SpokenBy, account: Account, ahead: Ahead) -> None:
        limit_s, samples, placed_to = _longest_audio_s(job), 0, 0
        language = language_of_text(job.text, by.language) or None
        speaker, told = self._runtime.engines.speaker, False
        speak = partial(speaker.speak, job.text, voice=by.used, speed=job.speed, language=language)
        async with aclosing(asking.outputs(self._runtime, "speaker", speak, account)) as chunks:
            async for chunk in chunks:
                samples += chunk.samples.size
                ahead.more(chunk.samples.size)
                if samples > limit_s * SPEAK_RATE_HZ:
                    made = f"more than {limit_s:g} s of audio for a phrase of {len(job.text)} characters"
                    raise EngineError("speaker", f"it made {made}")
                words = tuple((word.word, word.start_ms, word.end_ms) for word in chunk.words)
                places = _places(words, job.text, placed_to)
                placed_to = places[-1] + len(words[-1][0]) if places else placed_to
                who = None if told else by
                await self._tell(ev.PhraseAudio(job.reply_id, job.phrase, chunk.samples, words, who, places))
                told = True

    async def _apologise(self, job: ev.Apologise, account: Account) -> None:
        speaker = self._runtime.engines.speaker
        tag = apology.tag_for(job.language, _voice_of(speaker, job.voice))
        text = apology.text(job.engine, tag)
        said = None
        if job.engine != "speaker" and self._runtime.circuits.closed("speaker"):
            said = await self._spoken_apology(job, text, account)
        if said is None:
            said = ev.Apology(job.reply_id, text, await _recorded(job.engine, tag))
        self._runtime.metrics.apologies.labels(job.engine, "recorded" if said.by is None else "spoken").inc()
        await self._tell(said)

    async def _spoken_apology(self, job: ev.Apologise, text: str, account: Account) -> ev.Apology | None:
        """All of it, by the speaker; None when that fails, or is not there soon."""
        speaker = self._runtime.engines.speaker
        try:
            by = spoken_by(speaker, text, job.voice, job.language)
            language = language_of_text(text, by.language) or None
            speak = partial(speaker.speak, text, voice=by.used, speed=job.speed, language=language)
            outputs = asking.outputs(self._runtime, "speaker", speak, account)
            async with asyncio.timeout(APOLOGY_S), aclosing(outputs):
                made = [chunk async for chunk in outputs]
        except TimeoutError:
            return None  # it may be slow, and was not asked for what it could have got ready before
        except ENGINE_FAULTS as error:
            self._runtime.failed("speaker", error)
            return None
        samples = np.concatenate([chunk.samples for chunk in made] or [NO_SOUND])
        if not samples.size:
            return None
        words = tuple((word.word, word.start_ms, word.end_ms) for chunk in made for word in chunk.words)
        return ev.Apology(job.reply_id, text, samples, words, by, _places(words, text, 0))


async def _recorded(engine: str, tag: str) -> Samples:
    """Nothing when the installation lacks it: the reply then fails without a word."""
    try:
        return await asyncio.to_thread(apology.recorded, engine, tag)
    except AudioError as error:
        log.event("apology_missing", "error", reason=str(error))
        return NO_SOUND


def _voice_of(speaker: Speaker, name: str) -> Voice | None:
    try:
        return speaker.find(name)
    except EngineError:
        return None


def _listened_to(pcm: bytes) -> Samples:
    return resample(pcm16_to_float(pcm), SPEAK_RATE_HZ, LISTEN_RATE_HZ)


def spoken_by(speaker: Speaker, text: str, voice: str, language: str | None) -> ev.SpokenBy:
    """Who says a text, whose voice and language these should be; None: the voice's own is to be expected. Raises
    EngineError for a voice that is not there."""
    asked = speaker.find(voice)
    spoken = language_of_text(text, language or asked.speaks or None)
    used = voice_for(speaker.voices, asked, spoken)
    return ev.SpokenBy(voice, used.id, spoken, why(asked, used, spoken))


def _places(words: ev.WordTimes, text: str, begin: int) -> tuple[int, ...]:
    """Where each begins in the text, from `begin` on; () when one of them is not there."""
    places: list[int] = []
    for word, _, _ in words:
        place = text.find(word, begin)
        if place < 0:
            return ()
        places.append(place)
        begin = place + len(word)
    return tuple(places)


def _longest_audio_s(job: ev.Speak) -> float:
    longest_s = min(PHRASE_AUDIO_S + PHRASE_AUDIO_S_PER_CHAR * len(job.text), MAX_PHRASE_AUDIO_S)
    return longest_s / min(job.speed, 1.0)
