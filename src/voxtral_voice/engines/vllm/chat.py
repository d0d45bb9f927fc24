"""Responder behind vLLM's `/v1/chat/completions`: Voxtral Mini, which answers words, or the sound of them.

Knows: how Voxtral wants to be asked, what is worth computing ahead, how long to wait. Does not know: requests and
answers of chats (`openai_responder`), messages (`chat_messages`), HTTP's failures (`openai_http`), sessions.

vLLM keeps what it computed of a prompt, sound included, so that the next prompt that begins alike costs only what is
new in it. To ask for one token of a prompt is to have all of it computed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from voxtral_voice.engines.audible import worth_answering
from voxtral_voice.engines.base import NO_TOOLS, Finish, Message, Piece, Tools, Usage
from voxtral_voice.engines.openai_responder import OpenAIResponder
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.chat_messages import messages_json, newer_half
from voxtral_voice.engines.vllm.kind import longest_tokens, noise, require_whole_turns
from voxtral_voice.engines.vllm.patience import nobody, patient
from voxtral_voice.errors import RequestError

SAMPLING: Final[Mapping[str, object]] = {"temperature": 0.2, "top_p": 0.95}
"""The model card's; without them vLLM would take 1.0."""
MAX_TOKENS: Final = 1_000
"""Of an answer: five minutes of speech. A model that goes round in circles is stopped there."""
TOO_LONG: Final = "maximum context length"
"""In vLLM's refusal of a prompt."""
MEMORY: Final = 256
"""Conversations of which it is known what was computed ahead."""


class VllmChat:
    """listens: the newest turn is answered from its sound."""

    def __init__(
        self,
        remote: Remote,
        listens: bool,
        *,
        admission: Admission | None = None,
        suspect: Callable[[], None] = nobody,
    ) -> None:
        """admission: shared by all engines of this server. suspect: called when it seems to hang."""
        written = partial(messages_json, listens=listens)
        self._chat = OpenAIResponder(remote, written=written, sampling=SAMPLING)
        self._server = self._chat.server
        self._suspect = suspect
        self._admission = admission or Admission()
        self._computed: OrderedDict[int, None] = OrderedDict()
        """Hashes of what came before the users' words, newest last."""
        self.listens = listens

    @property
    def name(self) -> str:
        return self._chat.name

    async def start(self) -> None:
        """Find the server and its model, and let it answer something. Raises EngineError."""
        started = False
        try:
            await self._chat.start()
            await require_whole_turns(self._server)
            await self._compute([Message("user", "Hello.", audio=noise() if self.listens else None)])
            started = True
        finally:
            if not started:
                await self.aclose()

    async def aclose(self) -> None:
        await self._chat.aclose()

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. To a sound with nothing to hear in it there is no answer, but where its words
        are known. Closing it ends the server's work."""
        limit = min(MAX_TOKENS if max_tokens is None else max_tokens, longest_tokens(self._server) // 2)
        asked = self._asked(messages)
        if asked is None:
            yield Finish("stop", Usage(0, 0))
            return
        async with (
            self._admission.place(self._server),
            aclosing(self._fitting(asked, language, limit, tools)) as pieces,
        ):
            async for piece in pieces:
                yield _stopped(piece) if max_tokens is None else piece

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        """As `base.Responder.prepare`; never knows. Sound is computed as often as it is asked for, words only when
        what came before them is new: there are few of them, and more with every call. Gives way to answers."""
        asked = self._asked(messages)
        if asked is None or self._admission.full:
            return None
        if self.listens and asked and asked[-1].audio is not None:
            await self._compute(asked)
        elif (before := hash(tuple(asked[:-1]))) not in self._computed:
            await self._compute(asked)
            self._remember(before)
        return None

    def _asked(self, messages: Sequence[Message]) -> Sequence[Message] | None:
        """None: there is nothing to answer."""
        if not self.listens or not messages:
            return messages
        last = worth_answering(messages[-1])
        return None if last is None else [*messages[:-1], last]

    async def _fitting(
        self, messages: Sequence[Message], language: str | None, max_tokens: int, tools: Tools
    ) -> AsyncGenerator[Piece, None]:
        """What does not fit the model's context is dropped from the old end, half of it at a time."""
        while True:
            pieces = self._chat.respond(messages, language=language, max_tokens=max_tokens, tools=tools)
            try:
                async with aclosing(patient(pieces, self._server, self._suspect)) as timely:
                    async for piece in timely:
                        yield piece
                return
            except RequestError as refusal:
                shorter = newer_half(messages)
                if TOO_LONG not in str(refusal) or len(shorter) == len(messages):
                    raise
                messages = shorter

    async def _compute(self, messages: Sequence[Message]) -> None:
        async with aclosing(self.respond(messages, language=None, max_tokens=1)) as pieces:
            async for _ in pieces:
                pass

    def _remember(self, before: int) -> None:
        self._computed[before] = None
        while len(self._computed) > MEMORY:
            self._computed.popitem(last=False)


def _stopped(piece: Piece) -> Piece:
    """Our own limit is an end like any other."""
    return replace(piece, reason="stop") if isinstance(piece, Finish) else piece
