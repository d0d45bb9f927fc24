"""Responder made of several: the first that works answers, and at the end of the chain stands what needs no model.

Knows: the order, which of them fail now, that an answer is begun once. Does not know: what is asked, who tries those
that fail again (`server/recovery`).

A link that fails before it gave anything is followed by the next, in the same answer. One that failed again and again
is not asked (`breaker`), so that nobody waits for it each time. Once a word was given the answer is that link's, to its
end or its failure: nobody hears two. What a link cannot do is told, and not tried elsewhere; one without room is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from voxtral_voice.engines.base import NO_TOOLS, Message, Piece, Responder, Tools
from voxtral_voice.engines.breaker import Breaker
from voxtral_voice.errors import ENGINE_FAULTS, BusyError, DownError, EngineError, RequestError

LAST: Final = "intents"
"""Name of what needs no model."""


class Watcher(Protocol):
    def link_failed(self, link: Link, *, opened: bool) -> None:
        """opened: it is not asked from now on."""

    def link_worked(self, link: Link, *, closed: bool) -> None:
        """It failed before. closed: it is asked again."""

    def fell_back(self, name: str) -> None:
        """This one answers, and not the first."""


@dataclass(slots=True)
class Link:
    name: str
    """As its settings: "responder", "responder.fallback"."""
    responder: Responder
    first_s: float
    """Until its first output."""
    next_s: float
    """Between two outputs."""
    breaker: Breaker = field(default_factory=Breaker)
    failing: str | None = None
    """What its last piece of work failed with; None: it works."""
    told: str = ""
    """What clients are told of that."""
    started: bool = False
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False, compare=False)

    async def start(self) -> None:
        """Once, also when several want it at a time."""
        async with self._starting:
            if not self.started:
                await self.responder.start()
                self.started = True

    @property
    def asked(self) -> bool:
        return self.started and self.breaker.closed

    def readable(self, messages: Sequence[Message]) -> Sequence[Message] | None:
        """As this one takes them; None: the words of what is to be answered are not known, and it does not listen."""
        if self.responder.listens or all(message.audio is None for message in messages):
            return messages
        if any(message.audio is not None and not message.text for message in messages):
            return None
        return [replace(message, audio=None) for message in messages]


class Fallback:
    """links: at least one, the first is preferred. last: asked when all of them fail; it may fail at once, too."""

    def __init__(
        self, links: Sequence[Link], last: Responder | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.links = tuple(links)
        self.watcher: Watcher | None = None
        self._last = last
        self._clock = clock

    @property
    def listens(self) -> bool:
        return self.links[0].responder.listens

    @property
    def name(self) -> str:
        return ", else ".join(link.responder.name for link in self.links)

    @property
    def failing(self) -> dict[str, str]:
        """By the link's name."""
        return {link.name: link.failing for link in self.links if link.failing is not None}

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """By the link's name."""
        return {link.name: link.breaker for link in self.links}

    async def start(self) -> None:
        """One has to start; others may follow later. Raises the EngineError of the first when none does."""
        results = await asyncio.gather(*(link.start() for link in self.links), return_exceptions=True)
        failures = {link.name: result for link, result in zip(self.links, results, strict=True) if result is not None}
        for failure in failures.values():
            if not isinstance(failure, EngineError) or len(failures) == len(self.links):
                raise failure
        for link in self.links:
            if isinstance(found := failures.get(link.name), EngineError):
                self.failed(link, found)

    async def aclose(self) -> None:
        for link in self.links:
            await link.responder.aclose()

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:
        """By the one that is to answer. One that fails at it does not answer either, and the next has nothing to
        prepare."""
        link = next((link for link in self.links if link.asked), None)
        shown = link.readable(messages) if link is not None else None
        if link is None or shown is None:
            return None
        try:
            return await link.responder.prepare(shown, language=language)
        except RequestError:
            return None
        except ENGINE_FAULTS as error:
            self.failed(link, error)
            return None

    async def respond(
        self, messages: Sequence[Message], *, language: str | None, max_tokens: int | None, tools: Tools = NO_TOOLS
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. Raises what the last link that was asked failed with."""
        failure: Exception | None = None
        for link in self.links:
            if not link.asked or (shown := link.readable(messages)) is None:
                continue
            pieces = link.responder.respond(shown, language=language, max_tokens=max_tokens, tools=tools)
            async with aclosing(pieces):
                try:
                    first = await _within(link.first_s, pieces)
                except ENGINE_FAULTS as error:
                    self._failed_unheard(link, error)
                    failure = error
                    continue
                self._answers(link.name)
                async with aclosing(self._rest(link, first, pieces)) as given:
                    async for piece in given:
                        yield piece
            return
        async with aclosing(self._without(messages, language, max_tokens, tools, failure)) as pieces:
            async for piece in pieces:
                yield piece

    async def _rest(
        self, link: Link, piece: Piece | None, pieces: AsyncGenerator[Piece, None]
    ) -> AsyncGenerator[Piece, None]:
        try:
            while piece is not None:
                yield piece
                piece = await _within(link.next_s, pieces)
        except RequestError:
            raise
        except ENGINE_FAULTS as error:
            self.failed(link, error)
            raise
        self.worked(link)

    async def _without(
        self,
        messages: Sequence[Message],
        language: str | None,
        max_tokens: int | None,
        tools: Tools,
        failure: Exception | None,
    ) -> AsyncGenerator[Piece, None]:
        """Without any of the links. failure: of one that was asked, which is then what is raised."""
        if self._last is not None:
            pieces = self._last.respond(messages, language=language, max_tokens=max_tokens, tools=tools)
            async with aclosing(pieces):
                try:
                    piece = await anext(pieces, None)
                except EngineError:
                    raise failure or self._down() from None
                self._answers(LAST)
                while piece is not None:
                    yield piece
                    piece = await anext(pieces, None)
            return
        raise failure or self._down()

    def _down(self) -> DownError:
        """Of the first that is known to fail."""
        link = next((link for link in self.links if link.failing is not None), self.links[0])
        return DownError("responder", link.failing or "nobody can answer that", link.told or "Nobody can answer that.")

    # --- how they fare ------------------------------------------------------------------------------------------

    def failed(self, link: Link, error: Exception) -> None:
        link.failing = "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        link.told = error.told if isinstance(error, EngineError) else link.failing
        opened = link.breaker.failed(self._clock(), hung=isinstance(error, TimeoutError))
        if self.watcher is not None:
            self.watcher.link_failed(link, opened=opened)

    def worked(self, link: Link) -> None:
        """For somebody."""
        self._recovered(link, closed=link.breaker.worked())

    def try_worked(self, link: Link) -> None:
        """In the background."""
        self._recovered(link, closed=link.breaker.try_worked())

    def _recovered(self, link: Link, *, closed: bool) -> None:
        failed_before, link.failing = link.failing is not None, None
        if failed_before and self.watcher is not None:
            self.watcher.link_worked(link, closed=closed)

    def _failed_unheard(self, link: Link, error: Exception) -> None:
        """Raises it when it is the request that is at fault."""
        if not isinstance(error, RequestError):
            self.failed(link, error)
        elif not isinstance(error, BusyError):
            raise error

    def _answers(self, name: str) -> None:
        if name != self.links[0].name and self.watcher is not None:
            self.watcher.fell_back(name)


class Nobody:
    """A responder that never answers: behind `Intents`, so that these are all there is."""

    listens = False
    name = "nobody"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        return None

    async def respond(
        self,
        messages: Sequence[Message],  # noqa: ARG002
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,  # noqa: ARG002
        tools: Tools = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Piece, None]:
        raise EngineError("responder", "nobody is left to answer")
        yield


async def _within(seconds: float, pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    async with asyncio.timeout(seconds):
        return await anext(pieces, None)
