"""What all sessions of one server share: engines, settings, metrics, and which engine is failing.

Knows: the engines and how they last fared. Does not know: sessions, HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from voxtral_voice import models
from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.config import Config
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines import registry
from voxtral_voice.engines.blends import names_in
from voxtral_voice.engines.fallback import Fallback, Link
from voxtral_voice.engines.registry import EmbeddedOptions, Engines
from voxtral_voice.engines.voices import StyleSource
from voxtral_voice.errors import ENGINE_FAULTS as ENGINE_FAULTS
from voxtral_voice.errors import DownError, EngineError, RequestError
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.watch import Export
from voxtral_voice.realtime.voices import Voices
from voxtral_voice.replay.recorder import Recorder, Recording
from voxtral_voice.server.admission import Admission
from voxtral_voice.server.auth import Auth, Who
from voxtral_voice.server.circuits import Circuits
from voxtral_voice.server.cloned_voices import ClonedVoices
from voxtral_voice.server.keeping import Keeping
from voxtral_voice.server.load import Load
from voxtral_voice.server.patience import NEXT_THERE_S, Waits, brain_is_there, next_respond_s, respond_s, waits
from voxtral_voice.server.refusals import Refusals
from voxtral_voice.server.sessions import Sessions
from voxtral_voice.server.tick import Tick

STREAMED_EVERY_MS: Final = 160
"""A transcriber that streams is given so much new speech at a time: two of the steps of Voxtral Realtime, which makes a
token of each 80 ms. Less, and there are more calls than the 32 ms frames of voice activity keep apart; more, and as
much more is left to be heard when the user falls silent."""
LAG_EVERY_S: Final = 0.1
LAG_WINDOW: Final = 100
"""10 s of measurements."""
TASKS_EVERY: Final = 10
"""Measurements of the lag: each count goes through all tasks."""


@dataclass(slots=True)
class Runtime:
    config: Config
    engines: Engines
    metrics: Metrics = field(default_factory=Metrics)
    failing: dict[str, str] = field(default_factory=dict)
    """By engine: what its last piece of work failed with; gone when it works again."""
    ready: bool = False
    """A turn has gone through all engines (`synthetic`) since one of them last failed."""
    works_again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last failing engine works again."""
    recorder: Recorder | None = None
    tick: Tick = field(default_factory=Tick)
    """All sessions hear at the same moments."""
    sessions: Sessions = field(default_factory=Sessions)
    keeping: Keeping = field(init=False)
    auth: Auth = field(default_factory=Auth)
    closing: ExitStack = field(default_factory=ExitStack)
    """What else has to be closed when the server stops."""
    cloned: ClonedVoices | None = None
    traces: Export | None = None
    """Takes each turn when it is over."""
    admission: Admission = field(init=False)
    """Who gets a place."""
    refusals: Refusals = field(init=False)
    circuits: Circuits = field(init=False)
    waits: Mapping[str, Waits] = field(init=False)
    """How long each engine is waited for."""

    def __post_init__(self) -> None:
        self.keeping = Keeping(self.sessions)
        self.admission = Admission(self.config.limits, self.config.limits.most_sessions(self.config.profile))
        self.refusals = Refusals(self.metrics)
        chain = self.chain
        self.circuits = Circuits(self.metrics, chain.breakers if chain else {})
        if chain is not None:
            chain.watcher = self
        self.waits = waits(self.config)

    @property
    def chain(self) -> Fallback | None:
        """The responder, where it is several."""
        return self.engines.responder if isinstance(self.engines.responder, Fallback) else None

    @property
    def degraded(self) -> dict[str, str]:
        """What fails while something else does its work: by its name, why."""
        return self.chain.failing if self.chain is not None else {}

    @property
    def model(self) -> str:
        """What clients are told that they talk to."""
        return f"voxtral-voice-{self.config.profile}"

    def voices(self, who: Who) -> Voices:
        """Those that they may use."""
        return Voices(tuple(self.engines.speaker.voices), self.config.speaker.voice, partial(self._found, who.name))

    def _found(self, owner: str, name: str) -> str:
        """Raises EngineError, also when somebody else's voice is in it."""
        if self.cloned is not None:
            for part in names_in(name):
                self.cloned.require(part, owner)
        return self.engines.speaker.find(name).id

    def recording(self, session_id: str, audio: InputBuffer) -> Recording:
        """audio: what the session hears."""
        return Recording() if self.recorder is None else self.recorder.begin(session_id, audio)

    def worked(self, engine: str) -> None:
        """For somebody."""
        self.circuits.worked(engine)
        self._recovered(engine)

    def try_worked(self, engine: str) -> None:
        """In the background."""
        self.circuits.try_worked(engine)
        self._recovered(engine)

    def _recovered(self, engine: str) -> None:
        """If it was failing."""
        if self.failing.pop(engine, None) is not None:
            log.event("engine_recovered", engine=engine)
            if not self.failing:
                self.works_again.set()

    def failed(self, engine: str, error: Exception) -> str:
        """Returns what a client may be told about it; the rest is for the log and /readyz. What the engine cannot do,
        or not now, is no fault of its own."""
        message = "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        told = error.told if isinstance(error, EngineError) else message
        if isinstance(error, DownError):
            log.event("engine_not_asked", "warning", engine=engine)
        elif isinstance(error, RequestError):
            log.event("engine_refused", "warning", engine=engine, reason=message)
        else:
            self.failing[engine] = message
            self.ready = False
            self.metrics.engine_failures.labels(engine).inc()
            log.event("engine_failed", "error", engine=engine, reason=message)
            self.circuits.failed(engine, message, told, hung=isinstance(error, TimeoutError))
        return told

    def link_failed(self, link: Link, *, opened: bool) -> None:
        self.metrics.engine_failures.labels(link.name).inc()
        log.event("engine_failed", "error", engine=link.name, reason=link.failing or "")
        if opened:
            log.event("circuit_opened", "error", engine=link.name, reason=link.failing or "")

    def link_worked(self, link: Link, *, closed: bool) -> None:
        log.event("engine_recovered", engine=link.name)
        if closed:
            log.event("circuit_closed", engine=link.name)

    def fell_back(self, name: str) -> None:
        self.metrics.fallbacks.labels(name).inc()
        log.event("fell_back", "warning", to=name)

    def tried_again(self, engine: str, error: Exception) -> None:
        """Its first try failed, before it gave anything."""
        self.metrics.retries.labels(engine).inc()
        log.event("engine_tried_again", "warning", engine=engine, reason=str(error) or type(error).__name__)


def build_engines(config: Config, others: StyleSource | None = None) -> Engines:
    """The engines of the profile, not started; model files are fetched first. others: voices besides the table's.
    Raises WeightsError, EngineError."""
    engines, fallback = _of_the_profile(config, others), config.responder.fallback
    if fallback is None:
        return engines
    first_s, next_s = respond_s(config, there=brain_is_there(config)), next_respond_s(config)
    there = (respond_s(config, there=True), NEXT_THERE_S)
    return registry.with_fallback(engines, fallback, (first_s, next_s), there, intents=config.responder.intents)


def _of_the_profile(config: Config, others: StyleSource | None) -> Engines:
    if config.profile == "fake":
        return registry.fake_with(config.remote, config.listen, others)
    checkpoints = models.ensure(config)
    folder = config.weights.dir
    options = EmbeddedOptions(
        transcriber_threads=config.transcriber.threads,
        responder_threads=config.responder.threads,
        speaker_threads=config.speaker.threads,
        intents=config.responder.intents,
        speaker_backend=models.speaker_of(config) or "onnx",
        student=config.speaker.student,
        voice=config.speaker.voice,
        others=others,
        lexicon=Path(config.speaker.lexicon) if config.speaker.lexicon else None,
        max_sentences=config.responder.max_sentences,
        judge=config.turns.judge,
    )
    if config.profile == "gpu":
        voxtral = models.voxtral_options(config)
        log.event("voxtral", listen=voxtral.listen, backend=voxtral.backend)
        return registry.gpu(lambda name: folder / name, checkpoints, options, voxtral, config.remote)
    return registry.embedded(lambda name: folder / name, options, config.remote)


def start_recorder(config: Config) -> Recorder | None:
    """Raises ServerError when nothing can be written where it should."""
    record = config.record
    if not record.dir:
        return None
    return Recorder(Path(record.dir), content=record.content, keep_days=record.keep_days)


def policy(config: Config, engines: Engines) -> Policy:
    turns, playout = config.turns, config.playout
    streams = engines.transcriber.streams
    return Policy(
        onset_ms=turns.onset_ms,
        tentative_silence_ms=turns.tentative_silence_ms,
        partial_every_ms=STREAMED_EVERY_MS if streams else turns.partial_every_ms,
        streams=streams,
        listens=engines.responder.listens,
        apologises=True,
        lead_ms=playout.lead_ms,
        chunk_ms=playout.chunk_ms,
    )


async def watch_loop_lag(metrics: Metrics, load: Load | None = None) -> None:
    """load: is told of it, too. Sleeps and measures by how much it overslept, for ever. Cancel it to stop."""
    loop, busy = asyncio.get_running_loop(), False
    lags: deque[float] = deque([0.0], maxlen=LAG_WINDOW)  # full: the oldest measurement goes
    for number in itertools.count():
        due = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lags.append(max(0.0, loop.time() - due))
        metrics.loop_lag.set(max(lags))
        metrics.loop_delay.observe(lags[-1])
        if load is not None:
            load.lag(lags[-1])
        if number % TASKS_EVERY == 0:
            metrics.tasks.set(len(asyncio.all_tasks()))
            busy = load is not None and _has_too_much(load, metrics, loop.time(), busy)


def _has_too_much(load: Load, metrics: Metrics, now: float, before: bool) -> bool:
    figure = load.too_much(now)
    metrics.overloaded.set(figure is not None)
    if figure is not None and not before:
        p95_s, lag_s = round(load.turn_p95_s(now), 3), round(load.loop_lag_s(), 3)
        log.event("overloaded", "warning", figure=figure, turn_p95_s=p95_s, loop_lag_s=lag_s)
    elif before and figure is None:
        log.event("overload_over")
    return figure is not None
