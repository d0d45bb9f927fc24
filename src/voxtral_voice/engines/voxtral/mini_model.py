"""Voxtral Mini, shared by the engines that transcribe and answer with it.

Knows: one thread for the model, whose steps run together, when it is loaded and freed, who goes first. Does not know:
tensors, prompts' contents, what is done with the tokens.

All texts under way take their next step together: a step of four takes hardly longer than one of a single text. What
has to be heard or read first has steps of its own in between. A text that nobody wants any more ends with the step it
is in.

torch is imported by `start`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from voxtral_voice.engines.batch import Batches
from voxtral_voice.engines.voxtral.loading import LOADING
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Network, Reading
    from voxtral_voice.engines.voxtral.tokens import Vocabulary

Item = TypeVar("Item")
Result = TypeVar("Result")

SEQUENCES: Final = 8
"""Texts at once, and prompts that are remembered for the next turn; more texts wait. 0.5 GB each on CUDA."""
TOKENS: Final = 4096
"""Of a prompt and what is written to it: 123 KB each on CUDA."""
RESERVED_SHARE: Final = 0.25
"""Of the places, and one at the least, for texts that are not kept: replies are long, and a transcript does not wait
until one ends."""


class MiniModel:
    """path: a folder with a checkpoint. device: "cuda:0", "cpu". sequences: as SEQUENCES. tokens: as TOKENS."""

    def __init__(self, path: Path, device: str = "cpu", *, sequences: int = SEQUENCES, tokens: int = TOKENS) -> None:
        self.tokens = tokens
        self.reserved = min(sequences - 1, max(1, int(sequences * RESERVED_SHARE)))
        """Places that are always left by texts that are kept."""
        self.busy = Busy()
        self._path, self._device, self._sequences = path, device, sequences
        self._users = 0
        self._starting = asyncio.Lock()
        self._running: _Running | None = None

    @property
    def name(self) -> str:
        return f"{self._path.name} on {self._device}"

    async def start(self, seam: str) -> None:
        """Load it, for the first of its users. seam: the user's. Each calls `aclose` once. Raises EngineError."""
        async with self._starting:
            if self._running is None:
                self._running = await self._begin(seam)
            self._users += 1

    async def aclose(self) -> None:
        """The last user's frees it."""
        async with self._starting:
            self._users -= 1
            if self._users == 0 and self._running is not None:
                running, self._running = self._running, None
                await running.aclose()

    def vocabulary(self, seam: str) -> Vocabulary:
        return self._started(seam).network.vocabulary

    async def hear(self, reading: Reading, *, seam: str) -> None:
        """The sound of its prompt. `prepare` and `write` do it, where it was not done."""
        sound = reading.prompt.sound
        if sound is not None and reading.heard is None:
            running = self._started(seam)
            reading.heard = await running.step(seam, running.network.hear, sound)

    async def prepare(self, reading: Reading, *, seam: str) -> None:
        """Hear and read the prompt, so that one that begins like it is read sooner."""
        running = self._started(seam)
        async with running.place(reading):
            await self.hear(reading, seam=seam)
            await running.step(seam, running.network.prepare, reading)

    async def write(self, reading: Reading, limit: int, *, seam: str) -> AsyncGenerator[int, None]:
        """Tokens behind the prompt, at most so many. Fewer: the text has ended."""
        running = self._started(seam)
        network = running.network
        async with running.place(reading):
            try:
                await self.hear(reading, seam=seam)
                reading.last = await running.step(seam, network.read, reading)
                for written in range(1, limit + 1):
                    if reading.last == network.end:
                        return
                    yield reading.last
                    if written < limit:
                        reading.last = await running.step(seam, network.step, reading)
            finally:  # behind the step that may still run
                running.worker.later(partial(network.release, reading))

    def _started(self, seam: str) -> _Running:
        if self._running is None:
            raise EngineError(seam, f"The {seam} is not running; call start() first.")
        return self._running

    async def _begin(self, seam: str) -> _Running:
        worker = Worker("voxtral-mini")
        with ExitStack() as undone:
            undone.callback(worker.close)
            running = _Running(await worker.run(partial(self._load, seam)), worker, self._sequences, self.reserved)
            undone.pop_all()
        return running

    def _load(self, seam: str) -> Network:
        with LOADING:
            from voxtral_voice.engines.voxtral.mini_network import Network

            network = Network(self._path, self._device, sequences=self._sequences, tokens=self.tokens, seam=seam)
            network.warm(self._sequences)
            return network


class _Running:
    """The loaded model, and its thread."""

    def __init__(self, network: Network, worker: Worker, sequences: int, reserved: int) -> None:
        self.network, self.worker = network, worker
        self._places = asyncio.Semaphore(sequences)
        self._kept_places = asyncio.Semaphore(sequences - reserved)
        self._batches = Batches(worker, seam="responder", most=sequences)

    @asynccontextmanager
    async def place(self, reading: Reading) -> AsyncIterator[None]:
        """In the model's memory."""
        async with self._kept_places if reading.keep else nullcontext(), self._places:
            yield

    async def step(self, seam: str, run: Callable[[Sequence[Item]], Sequence[Result]], item: Item) -> Result:
        from voxtral_voice.engines.voxtral.failures import told

        with told(seam, "Voxtral Mini failed"):
            return await self._batches.run(run.__name__, run, item)

    async def aclose(self) -> None:
        self._batches.close()
        await self.worker.run(self.network.free)
        self.worker.close()


class Busy:
    """What is being done, for those that wait until it is over."""

    def __init__(self) -> None:
        self._doing: Counter[Hashable] = Counter()
        self._changed = asyncio.Event()

    @contextmanager
    def doing(self, what: Hashable) -> Iterator[None]:
        self._doing[what] += 1
        try:
            yield
        finally:
            self._doing[what] -= 1
            self._doing += Counter()  # without what nobody does
            self._changed.set()
            self._changed = asyncio.Event()

    def does(self, what: Hashable) -> bool:
        """Somebody."""
        return self._doing[what] > 0

    async def over(self, what: Hashable) -> None:
        """Returns when nobody does it."""
        while self.does(what):
            await self._changed.wait()
