"""Voxtral Mini as a responder, in this process: it answers what it hears, or what is written.

Knows: how it is sampled, how long a reply may be, what can be computed ahead. Does not know: models, prompts' tokens,
who speaks.

Of tools and pictures it is told in words, and it calls none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from voxtral_voice.engines.audible import worth_answering
from voxtral_voice.engines.base import LISTEN_RATE_HZ, NO_TOOLS, Finish, Message, Piece, Tools, Usage
from voxtral_voice.engines.prompt import in_words
from voxtral_voice.engines.voxtral.mini_model import MiniModel
from voxtral_voice.engines.voxtral.mini_prompt import Prompt, TooLongError, chat
from voxtral_voice.engines.voxtral.mini_sound import Sound, sound_of
from voxtral_voice.errors import RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Reading

SEAM: Final = "responder"
TEMPERATURE: Final = 0.2
TOP_P: Final = 0.95
"""As the model card recommends for chat."""
MAX_REPLY_TOKENS: Final = 512
"""About three minutes of speech."""
OPEN_MARKS: Final = " \n.?!…,;:-–—।"
"""Taken off the end of words that may go on: a transcriber puts some there whether or not the user was done."""
WARM_UP_S: Final = 1


class MiniResponder:
    """model: perhaps shared with a transcriber. listens: it is given the user's newest turn as audio. seed: the same
    one makes the same replies."""

    def __init__(self, model: MiniModel, listens: bool, *, seed: int | None = None) -> None:
        self.listens = listens
        self._model, self._seed = model, seed
        self._started = False

    @property
    def name(self) -> str:
        return self._model.name

    async def start(self) -> None:
        if not self._started:
            await self._model.start(SEAM)
            self._started = True
        noise = np.random.default_rng(0).normal(0, 0.05, WARM_UP_S * LISTEN_RATE_HZ).astype(np.float32)
        hello = Message("user", "Hello.", audio=noise if self.listens else None)
        async for _ in self.respond([hello], language=None, max_tokens=2):
            pass

    async def aclose(self) -> None:
        if self._started:
            self._started = False
            await self._model.aclose()

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. To audio with nothing to hear in it there is no answer, but where its words are
        known. No tool is called. Turns that do not fit are dropped from the old end."""
        limit = min(max_tokens or MAX_REPLY_TOKENS, self._model.tokens // 2)
        asked = self._prompt(messages, limit)
        if asked is None:
            yield Finish("stop", Usage(0, 0))
            return
        reading = self._reading(asked)
        text, written = self._model.vocabulary(SEAM).text(), 0
        async with aclosing(self._tokens(reading, limit)) as tokens:
            async for token in tokens:
                piece = text.add(token)
                written += 1
                if piece:
                    yield piece
        cut_off = written == limit == max_tokens
        yield Finish("length" if cut_off else "stop", Usage(len(asked.ids), written, reading.cached))

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        """As `base.Responder.prepare`; it cannot say. A sound that is the last message is heard."""
        if not messages or messages[-1].role != "user":
            return None
        asked = self._prompt(messages, MAX_REPLY_TOKENS, unfinished=True)
        if asked is not None:
            with self._before_others(asked.sound):
                await self._model.prepare(self._reading(asked), seam=SEAM)
        return None

    async def _tokens(self, reading: Reading, limit: int) -> AsyncGenerator[int, None]:
        """Of the same sound a transcript is not begun before the first one."""
        async with aclosing(self._model.write(reading, limit, seam=SEAM)) as tokens:
            with self._before_others(reading.prompt.sound):
                first = await anext(tokens, None)
            if first is not None:
                yield first
                async for token in tokens:
                    yield token

    @contextmanager
    def _before_others(self, sound: Sound | None) -> Iterator[None]:
        if sound is None:
            yield
        else:
            with self._model.busy.doing(sound.digest):
                yield

    def _reading(self, asked: Prompt) -> Reading:
        from voxtral_voice.engines.voxtral.mini_network import Reading, Sampling

        return Reading(asked, Sampling(TEMPERATURE, TOP_P, np.random.default_rng(self._seed)))

    def _prompt(self, messages: Sequence[Message], reply: int, *, unfinished: bool = False) -> Prompt | None:
        """None: there is nothing to hear or to read in the last message. reply: tokens kept free for it."""
        vocabulary = self._model.vocabulary(SEAM)
        *before, newest = in_words(messages) or [Message("system", "")]
        last = worth_answering(newest)
        if last is None:
            return None
        sound = None if last.audio is None else sound_of(last.audio)
        if sound is not None:
            last = Message("user", "")
        elif unfinished:
            last = Message("user", last.text.rstrip(OPEN_MARKS))
        room = self._model.tokens - reply
        try:
            return chat(
                vocabulary,
                [*before, last],
                sound=sound,
                listens=self.listens,
                room=room,
                unfinished=unfinished and sound is None,
            )
        except TooLongError:
            raise RequestError(
                SEAM, f"The instructions and the last message are too long for this model: it takes {room} tokens."
            ) from None
