"""Voxtral Realtime as a transcriber that hears a turn while it is said, in this process.

Knows: which step of a turn comes next, trying an end, what to do with a turn that is too long. Does not know: models
and tensors beyond handing them on, when an end is worth trying.

A turn is one stretch of speech, or several that follow each other: no stretch becomes longer than the model's memory
of it (82 s), and it has to be cut, in a pause, before. Words trail what was said by the delay; a flush puts silence
behind what there is, and the model writes what it still owes. That is done on a fork, and the turn itself goes on where
it was.

torch is imported by `start`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.batch import Batches
from voxtral_voice.engines.spoken_language import language_of
from voxtral_voice.engines.voxtral.loading import LOADING
from voxtral_voice.engines.voxtral.realtime_stream import Stretch
from voxtral_voice.engines.voxtral.realtime_text import joined, text_of
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.voxtral.decoder import Written
    from voxtral_voice.engines.voxtral.realtime_model import Place, RealtimeModel

Item = TypeVar("Item")
Result = TypeVar("Result")

SEAM: Final = "transcriber"
AT_ONCE_TOKENS: Final = 16
"""Heard in one go where so many are there: then other streams have their turn."""
TOGETHER_TOKENS: Final = 2
"""Of streams that hear in one step: what 160 ms bring. More are heard by one stream alone."""
CUT_FROM_TOKENS: Final = 750
"""A stretch of 60 s is cut at its next pause."""
CUT_AT_TOKENS: Final = 960
"""And one of 77 s wherever it is: its end has to fit too."""
TOGETHER: Final = 8
"""Streams in one step."""
WARM_UP_S: Final = 2


class RealtimeTranscriber:
    """path: a folder with a checkpoint. device: "cuda:0", "cpu". delay_ms: how far the words trail the voice; more is
    more exact. All streams share the model, one thread, and one delay."""

    streams = True

    def __init__(self, path: Path, device: str, delay_ms: int) -> None:
        self._path, self._device, self._delay_ms = path, device, delay_ms
        self._worker = Worker("voxtral-realtime")
        self._batches = Batches(self._worker, seam=SEAM, most=TOGETHER)
        self._model: RealtimeModel | None = None

    @property
    def name(self) -> str:
        return f"{self._path.name} {self._delay_ms} ms on {self._device}"

    async def start(self) -> None:
        self._model = await self._worker.run(self._load)
        noise = np.random.default_rng(0).normal(0, 0.05, WARM_UP_S * LISTEN_RATE_HZ).astype(np.float32)
        await self.transcribe(noise, language=None, prompt="", final=True)

    async def aclose(self) -> None:
        self._batches.close()
        self._worker.close()
        self._model = None

    def stream(self, *, language: str | None, prompt: str) -> RealtimeStream:  # noqa: ARG002
        """The model takes no words to expect, and finds the language by itself."""
        return RealtimeStream(self._running, self._batches, language)

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,
        final: bool,  # noqa: ARG002
    ) -> Transcript:
        """A partial costs what a final does: it also ends with a flush."""
        stream = self.stream(language=language, prompt=prompt)
        try:
            await stream.push(audio)
            return await stream.flush()
        finally:
            await stream.aclose()

    def _load(self) -> RealtimeModel:
        with LOADING:
            from voxtral_voice.engines.voxtral.realtime_model import RealtimeModel

            model = RealtimeModel(self._path, self._device, self._delay_ms)
            model.warm()
            return model

    @property
    def _running(self) -> RealtimeModel:
        if self._model is None:
            raise EngineError(SEAM, "The transcriber is not running; call start() first.")
        return self._model


class RealtimeStream:
    """One turn. Its place in the model's memory is taken when there is enough to hear."""

    def __init__(self, model: RealtimeModel, batches: Batches, language: str | None) -> None:
        self._model, self._batches, self._language = model, batches, language
        self._stretch = Stretch(model.framing)
        self._before: list[str] = []
        """Texts of the stretches before this one."""
        self._place: Place | None = None
        self._stepping = False
        self._closed = False

    async def push(self, audio: Samples) -> str:
        if audio.ndim != 1:
            raise EngineError(SEAM, f"The transcriber takes mono samples, not shape {list(audio.shape)}.")
        self._require_open()
        self._stretch.add(audio)
        while count := self._due():
            await self._go_on(self._stretch, self._taken(), count)
            await self._follow_on()
        return joined([*self._before, self._text(self._stretch)])

    async def flush(self) -> Transcript:
        await self.push(np.zeros(0, np.float32))  # what a cancelled push left undone
        text = joined([*self._before, await self._end_of(self._stretch.ending())])
        return Transcript(text, language_of(text, self._language))

    async def aclose(self) -> None:
        """A step that runs is the last one: who waits for it is told, and its place is free when it is done."""
        self._closed = True
        if not self._stepping:
            self._leave()

    # --- stretches ----------------------------------------------------------------------------------------------

    def _due(self) -> int:
        """A pause to cut in is looked for after every token."""
        count = self._stretch.due(1 if self._stretch.tokens >= CUT_FROM_TOKENS else AT_ONCE_TOKENS)
        return count if count >= AT_ONCE_TOKENS else min(count, TOGETHER_TOKENS)

    async def _follow_on(self) -> None:
        """With another stretch, when this one is over or long enough."""
        stretch = self._stretch
        if stretch.over:
            self._begin(stretch.after_end(), self._text(stretch))
        elif stretch.tokens >= CUT_AT_TOKENS or (stretch.tokens >= CUT_FROM_TOKENS and stretch.pauses):
            ending, following = stretch.cut()
            self._begin(following, await self._end_of(ending))

    def _begin(self, stretch: Stretch, before: str) -> None:
        self._stretch = stretch
        self._before.append(before)
        self._leave()

    async def _end_of(self, ending: Stretch) -> str:
        """In the memory behind this stretch, which stays as it is."""
        place = replace(self._taken())
        while count := ending.due(ending.framing.ending_tokens):
            await self._go_on(ending, place, count)
        return self._text(ending)

    def _text(self, stretch: Stretch) -> str:
        return text_of(stretch.ids, self._model.piece)

    # --- steps --------------------------------------------------------------------------------------------------

    async def _go_on(self, stretch: Stretch, place: Place, count: int) -> None:
        """With the next tokens, as far as there is no end among them. What was computed counts when all of it is
        there: cancelled, it may be called again."""
        alone = place.heard.place if count > TOGETHER_TOKENS or stretch.ends else None
        hear = (place.heard, stretch.audio_of(count))
        after, heard = await self._step(("hear", count, alone), self._model.hear, hear)
        if stretch.tokens:
            ids = await (self._guess if stretch.ends else self._write)(stretch, place, heard[:count])
            stretch.read(len(ids), ids)
        else:
            ids = [await self._step("read", self._model.read, (self._at(place, 0), heard))]
            stretch.read(count, ids)
        place.heard = after

    async def _write(self, stretch: Stretch, place: Place, heard: Tensor) -> list[int]:
        """A token at a time, so that other streams write theirs in the same step, and nothing is written in vain."""
        ids = stretch.ids[-1:]
        for index, sound in enumerate(heard):
            step = (self._at(place, stretch.tokens + index), ids[-1], sound)
            ids.append(await self._step("write", self._model.write, step))
            if ids[-1] == stretch.framing.end_id:
                break
        return ids[1:]

    async def _guess(self, stretch: Stretch, place: Place, heard: Tensor) -> list[int]:
        """As `_write`, for an end, which is waited for: fewer passes, but of this stream alone."""
        ids = stretch.ids[-1:]
        while len(ids) <= len(heard) and ids[-1] != stretch.framing.end_id:
            done = len(ids) - 1
            step = (self._at(place, stretch.tokens + done), ids[-1], heard[done:])
            ids += await self._step(("guess", place.written.place), self._model.guess, step)
        return ids[1:]

    def _at(self, place: Place, tokens: int) -> Written:
        return replace(place.written, length=tokens)

    async def _step(self, kind: Hashable, run: Callable[[Sequence[Item]], Sequence[Result]], item: Item) -> Result:
        self._stepping = True
        try:
            result = await self._batches.run(kind, run, item)
        finally:
            self._stepping = False
            if self._closed:
                self._leave()
        self._require_open()
        return result

    # --- its place ----------------------------------------------------------------------------------------------

    def _taken(self) -> Place:
        if self._place is None:
            self._place = self._model.begin()
        return self._place

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self._model.end(place)

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError(SEAM, "The stream is closed.")
