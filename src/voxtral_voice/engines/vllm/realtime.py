"""Transcriber behind vLLM's `/v1/realtime`: Voxtral Realtime, which hears a turn while it is said.

Knows: that an utterance there ends with its flush, what is sent again and when, and what is done about a server that
falls silent. Does not know: frames (`realtime_wire`), connections (`sockets`), when words are late (`utterance`).

A turn is a chain of segments; the words of those before the last are settled. Of the last one all sound is kept, so
that it can be sent again, on a fresh connection: when the turn goes on after a flush (the server has ended it there),
when a connection fails or falls silent, and when the model has fallen into its rut, which gives no word to speech. Once
a segment is long a new one begins where it is quiet, and nothing is sent again: that would take too long, and
`max_model_len` is its end. When the flush of such a segment is cancelled the server goes on with it, and what comes
next waits for its end: else who speaks on would wait for all of it to be heard again.

The server's delay is its own (`transcription_delay_ms` in tekken.json), not a request's: the start finds out whether it
is the one that was asked for. There is no choice of language, and no temperature.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, float_to_pcm16
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.spoken_language import language_of
from voxtral_voice.engines.vllm import realtime_wire as wire
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.hearing import LEFT_TOKENS, TOKEN_BYTES, TOKEN_MS, quiet_ms_around
from voxtral_voice.engines.vllm.kind import USUAL_TOKENS, longest_tokens, noise, require_listed
from voxtral_voice.engines.vllm.patience import nobody
from voxtral_voice.engines.vllm.sockets import Sockets
from voxtral_voice.engines.vllm.utterance import Utterance
from voxtral_voice.errors import EngineError

WORDS_S: Final = 0.03
"""A push waits so long for the words of its own sound: two tokens of a fast GPU. Later ones come with the next push."""
WARM_S: Final = 120.0
"""For the first token after the server's start, which may compile something."""
RUT_MS: Final = 4_000
"""So much audible sound without a word is no speech, or the model has stopped to write (vLLM issue 47614)."""
REPLAY_BYTES: Final = 8 * LISTEN_RATE_HZ * BYTES_PER_SAMPLE
"""A segment that is longer is not sent again only because of a flush: 8 s take a fast GPU 0.3 s and a slow one 3."""
CUT_MS: Final = 240
"""Silence around a flush in which a segment may end: the closure of a consonant within a word is shorter."""

T = TypeVar("T")


class VllmRealtime:
    streams = True

    def __init__(
        self,
        remote: Remote,
        delay_ms: int,
        *,
        admission: Admission | None = None,
        suspect: Callable[[], None] = nobody,
    ) -> None:
        """admission: shared by all engines of this server. suspect: called when it seems to hang."""
        self._server = OpenAIServer("transcriber", remote)
        self._delay_ms = delay_ms
        self._sockets = Sockets(self._server, admission, suspect)
        self._longest_bytes = USUAL_TOKENS // 2 * TOKEN_BYTES

    @property
    def name(self) -> str:
        return f"{self._server.name}, {self._delay_ms} ms behind"

    async def start(self) -> None:
        """Find the server and its model, and let it hear something. Raises EngineError."""
        started = False
        self._sockets.open()
        try:
            await self._server.start()
            require_listed(self._server)
            self._longest_bytes = longest_tokens(self._server) // 2 * TOKEN_BYTES
            await self._warm_up()
            started = True
        finally:
            if not started:
                await self.aclose()

    async def aclose(self) -> None:
        await self._sockets.aclose()
        await self._server.aclose()

    def stream(self, *, language: str | None, prompt: str) -> VllmStream:  # noqa: ARG002
        return VllmStream(self._sockets, self._delay_ms, self._longest_bytes, language)

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,
        final: bool,  # noqa: ARG002
    ) -> Transcript:
        stream = self.stream(language=language, prompt=prompt)
        try:
            await stream.add(audio)
            return await stream.flush()
        finally:
            await stream.aclose()

    async def _warm_up(self) -> None:
        utterance = Utterance(await self._sockets.take(), self._delay_ms, WARM_S)
        heard = False
        try:
            await utterance.say(bytearray(float_to_pcm16(noise())))
            done = await utterance.finish()
            heard = True
        finally:
            if not heard:
                self._sockets.fail(utterance.socket)
        self._sockets.give_back(utterance.socket)
        self._check_delay(done)

    def _check_delay(self, done: wire.Done) -> None:
        if done.prompt_tokens is None:
            return
        delay_ms = (done.prompt_tokens - LEFT_TOKENS) * TOKEN_MS
        if delay_ms != self._delay_ms:
            raise self._server.error(
                f"{self._server.url} hears with a delay of {delay_ms} ms, and {self._delay_ms} ms were asked for: "
                "it is set by transcription_delay_ms in the model's tekken.json."
            )


class VllmStream:
    """As `base.TranscriptStream`."""

    def __init__(self, sockets: Sockets, delay_ms: int, longest_bytes: int, language: str | None) -> None:
        self._sockets = sockets
        self._delay_ms = delay_ms
        self._longest_bytes = longest_bytes
        """From there on a segment ends in the next silence: half of what the model can hear in a row."""
        self._language = language
        self._settled = ""
        """The words of the segments before this one."""
        self._pcm = bytearray()
        """Of this one."""
        self._utterance: Utterance | None = None
        self._known = ""
        """What an utterance that is over said of this segment, as far as `_known_bytes` of it."""
        self._known_bytes = 0
        self._flushed_bytes: int | None = None
        """The segment is this long, and its words up to there are known to be all."""
        self._in_rut = False
        """There was no word since it was sent again because of that."""
        self._is_second = False
        """The utterance takes the place of one that failed; it is in vain when it gets no further."""
        self._closed = False

    async def push(self, audio: Samples) -> str:
        """Raises EngineError."""
        await self.add(audio)
        if self._utterance is not None:
            await self._attempt(self._listen)
        return self._text()

    async def add(self, audio: Samples) -> None:
        """As `push`, and wait for no words. Raises EngineError."""
        if self._utterance is not None and self._utterance.finishing:
            await self._end_utterance()
        for at in range(0, len(audio), LISTEN_RATE_HZ):
            await self._add(float_to_pcm16(audio[at : at + LISTEN_RATE_HZ]))

    async def flush(self) -> Transcript:
        """Raises EngineError."""
        if self._pcm and self._flushed_bytes != len(self._pcm):
            await self._end_utterance()
        text = self._text()
        return Transcript(text, language_of(text, self._language))

    async def aclose(self) -> None:
        self._closed = True
        self._drop()

    # --- one segment --------------------------------------------------------------------------------------------

    async def _add(self, pcm: bytes) -> None:
        if self._flushed_bytes is not None:
            self._go_on(pcm)
        self._pcm += pcm
        await self._attempt(lambda utterance: utterance.say(self._pcm))
        await self._leave_rut()
        if self._is_long():
            await self._end_utterance()
            self._settle(self._known, len(self._pcm))

    async def _listen(self, utterance: Utterance) -> None:
        await utterance.say(self._pcm)
        await utterance.listen(WORDS_S)

    def _go_on(self, pcm: bytes) -> None:
        """After a flush: the segment ends there, or all of it is sent again, as it needs no more than to begin."""
        end = len(self._pcm)
        self._flushed_bytes = None
        if end >= REPLAY_BYTES and quiet_ms_around(self._pcm + pcm, end) >= CUT_MS:
            self._settle(self._known, end)

    async def _end_utterance(self) -> None:
        """All words of the segment."""
        done = await self._attempt(self._finish)
        self._known, self._known_bytes = done.text.strip(), len(self._pcm)
        self._flushed_bytes = len(self._pcm)

    async def _finish(self, utterance: Utterance) -> wire.Done:
        await utterance.say(self._pcm)
        done = await utterance.finish()
        if self._utterance is utterance:  # else it was closed meanwhile
            self._utterance = None
            self._sockets.give_back(utterance.socket)
        return done

    def _is_long(self) -> bool:
        """It ends in silence from here on, or anywhere before the model's own end."""
        if len(self._pcm) < self._longest_bytes:
            return False
        quiet = quiet_ms_around(self._pcm, len(self._pcm)) >= CUT_MS
        return quiet or len(self._pcm) >= self._longest_bytes * 3 // 2

    async def _leave_rut(self) -> None:
        """Once; if there is no word then either, it was no speech."""
        utterance = self._utterance
        if utterance is None or utterance.hearing.barren_ms < RUT_MS:
            return
        if utterance.hearing.text or not self._in_rut:
            self._in_rut = True
            self._drop()
            self._settle(utterance.hearing.text, utterance.hearing.said_bytes)
            await self._attempt(lambda fresh: fresh.say(self._pcm))

    def _settle(self, text: str, end: int) -> None:
        """The segment ends there with these words."""
        self._settled = " ".join(filter(None, (self._settled, text)))
        del self._pcm[:end]
        self._known, self._known_bytes, self._flushed_bytes = "", 0, None

    def _text(self) -> str:
        """All words; those that were known stay until an utterance is as far again."""
        hearing = self._utterance.hearing if self._utterance is not None else None
        behind = hearing is None or hearing.heard_bytes < self._known_bytes
        live = self._known if hearing is None or behind else hearing.text
        return " ".join(filter(None, (self._settled, live)))

    # --- attempts -----------------------------------------------------------------------------------------------

    async def _attempt(self, work: Callable[[Utterance], Awaitable[T]]) -> T:
        """Done a second time on a fresh connection when the first fails. Raises EngineError."""
        again = False
        while True:
            utterance = self._utterance or await self._begun()
            well = False
            try:
                outcome = await work(utterance)
                well = True
            except EngineError:
                in_vain = self._is_second and utterance.hearing.heard_bytes <= self._known_bytes
                self._drop(failed=True)
                if self._closed or again or in_vain:
                    raise
                again = self._is_second = True
            else:
                return outcome
            finally:
                if not well and not self._goes_on():  # cancelled, if it was not dropped already
                    self._drop()

    def _goes_on(self) -> bool:
        """Its end is waited for later: to hear all of it again would take longer."""
        return len(self._pcm) >= REPLAY_BYTES and self._utterance is not None and self._utterance.finishing

    async def _begun(self) -> Utterance:
        socket = await self._sockets.take()
        if self._closed:
            self._sockets.give_back(socket)
            raise socket.error("was not asked: the turn is over")
        self._utterance = Utterance(socket, self._delay_ms)
        return self._utterance

    def _drop(self, *, failed: bool = False) -> None:
        """The utterance under way; what it said so far is known. failed: the server did."""
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return
        if utterance.hearing.heard_bytes > self._known_bytes:
            self._known, self._known_bytes = utterance.hearing.text, utterance.hearing.heard_bytes
        if failed:
            self._sockets.fail(utterance.socket)
        else:
            self._sockets.drop(utterance.socket)
