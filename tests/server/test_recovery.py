from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from aiohttp import web

from tests.server.caller import PATIENCE_S
from tests.server.conftest import Server, Serving, quick, quick_config
from voxtral_voice.engines import registry
from voxtral_voice.engines.audible import audible, worth_answering
from voxtral_voice.engines.base import NO_TOOLS, Message, Piece, Samples, SpeechChunk, Tools, Transcript
from voxtral_voice.engines.breaker import OPENS_AT, Circuit
from voxtral_voice.engines.fakes import (
    Broken,
    FakeResponder,
    FakeSpeaker,
    FakeTranscriber,
    FakeTurnJudge,
    FakeVoiceActivity,
)
from voxtral_voice.engines.fallback import Fallback, Link
from voxtral_voice.engines.intents import recognise
from voxtral_voice.engines.registry import Engines
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.errors import BusyError, EngineError, RequestError
from voxtral_voice.observe import log
from voxtral_voice.server import recovery
from voxtral_voice.server.recovery import ASKED, EVERY_S, PROBES, TOKENS, noise, recover
from voxtral_voice.server.runtime import Runtime

SEAMS = tuple(PROBES)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self._asleep: list[asyncio.Future[None]] = []
        self._fell_asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        assert seconds == EVERY_S
        self._asleep.append(asyncio.get_running_loop().create_future())
        self._fell_asleep.set()
        await self._asleep[-1]

    async def all_asleep(self, count: int = len(SEAMS)) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self._asleep) < count:
                self._fell_asleep.clear()
                await self._fell_asleep.wait()

    def passes(self) -> None:
        woken, self._asleep = self._asleep, []
        for sleeper in woken:
            sleeper.set_result(None)


@asynccontextmanager
async def recovering(
    engines: Engines, *failing: str, sleepers: int = len(SEAMS)
) -> AsyncIterator[tuple[Runtime, Clock]]:
    """These have failed. sleepers: those who try."""
    runtime, clock = Runtime(quick_config(), engines), Clock()
    for seam in failing:
        runtime.failed(seam, EngineError(seam, "it is gone"))
    task = asyncio.create_task(recover(runtime, clock.sleep))
    try:
        await clock.all_asleep(sleepers)
        yield runtime, clock
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def one_try(clock: Clock, ended: int = len(SEAMS)) -> None:
    """ended: of how many engines the try ends."""
    clock.passes()
    await clock.all_asleep(ended)


def failures(runtime: Runtime) -> float:
    [counted] = runtime.metrics.engine_failures.collect()
    return sum(sample.value for sample in counted.samples if sample.name.endswith("_total"))


def fakes() -> dict[str, Any]:
    """By seam."""
    return {
        "voice_activity": FakeVoiceActivity(),
        "turn_judge": FakeTurnJudge(latency_ms=0),
        "transcriber": FakeTranscriber(latency_ms=0),
        "responder": FakeResponder(first_token_ms=0, token_ms=0),
        "speaker": FakeSpeaker(first_audio_ms=0, realtime_factor=0),
    }


@pytest.mark.parametrize("seam", SEAMS)
async def test_an_engine_that_is_mended_works_again_by_itself(seam: str, caplog: pytest.LogCaptureFixture) -> None:
    """Until then it is said why it failed; no try counts as a failure, or is an error in the log."""
    caplog.set_level(logging.INFO, log.ROOT)
    engines = fakes()
    engines[seam].broken = Broken("still gone")
    async with recovering(registry.fake(**engines), seam) as (runtime, clock):
        for _ in range(3):
            await one_try(clock)
            assert runtime.failing == {seam: "it is gone"}
        engines[seam].broken = None
        for _ in range(3):
            await one_try(clock)
            assert runtime.failing == {}
        assert failures(runtime) == 1
    assert [record.getMessage() for record in caplog.records] == ["engine_failed", "engine_recovered"]


async def test_what_does_not_fail_is_not_tried_and_what_works_again_is_tried_once() -> None:
    engines = fakes()
    async with recovering(registry.fake(**engines), "turn_judge") as (_, clock):
        for _ in range(3):
            await one_try(clock)
    assert {seam: engine._steps for seam, engine in engines.items()} == {**dict.fromkeys(SEAMS, 0), "turn_judge": 1}


async def test_why_a_try_failed_is_for_who_debugs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, log.ROOT)
    judge = FakeTurnJudge(latency_ms=0, broken=Broken("out of memory"))
    async with recovering(quick(turn_judge=judge), "turn_judge") as (_, clock):
        await one_try(clock)
    [record] = [record for record in caplog.records if record.getMessage() == "engine_still_failing"]
    assert record.__dict__["fields"] == {"engine": "turn_judge", "reason": "out of memory"}


class Hung(FakeTurnJudge):
    def __init__(self) -> None:
        super().__init__(latency_ms=0)
        self.asked = 0
        self.hangs = True
        self.begun, self.ended, self.loaded = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def complete_probability(self, audio: Samples) -> float:  # noqa: ARG002
        self.asked += 1
        self.begun.set()
        try:
            if self.hangs:
                await self.loaded.wait()
        finally:
            self.ended.set()
        return 0.0


async def test_one_that_hangs_keeps_no_other_waiting() -> None:
    judge, engines = Hung(), fakes()
    engines["speaker"].broken = Broken("still gone")
    engines["turn_judge"], others = judge, len(SEAMS) - 1
    async with recovering(registry.fake(**engines), "turn_judge", "speaker") as (runtime, clock):
        for _ in range(3):
            await one_try(clock, ended=others)
        engines["speaker"].broken = None
        await one_try(clock, ended=others)
        assert (runtime.failing, judge.asked) == ({"turn_judge": "it is gone"}, 1)
    assert judge.ended.is_set()  # with the server


async def test_one_that_hung_is_asked_anew_beside_a_patient_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked before it came back is perhaps never answered."""
    judge = Hung()
    monkeypatch.setattr(recovery, "QUICK_S", 0.01)
    async with recovering(quick(turn_judge=judge), "turn_judge") as (runtime, clock):
        await one_try(clock)
        assert judge.ended.is_set()
        await one_try(clock)
        await one_try(clock)
        assert (runtime.failing, judge.asked) == ({"turn_judge": "it is gone"}, 4)  # one of them is patient
        judge.hangs = False
        await one_try(clock)
        assert runtime.failing == {}


async def test_one_that_is_slow_is_found_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads its model when it is asked, and the more often the later."""
    judge = Hung()
    monkeypatch.setattr(recovery, "QUICK_S", 0.01)
    async with recovering(quick(turn_judge=judge), "turn_judge") as (runtime, clock):
        await one_try(clock)
        await one_try(clock)
        assert runtime.failing == {"turn_judge": "it is gone"}
        judge.loaded.set()
        async with asyncio.timeout(PATIENCE_S):
            while runtime.failing:  # noqa: ASYNC110 - as one who looks at /readyz
                await asyncio.sleep(0)
        assert judge.asked == 3


async def test_a_patient_try_has_a_time_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Hung()
    monkeypatch.setattr(recovery, "QUICK_S", 0.01)
    monkeypatch.setattr(recovery, "PATIENT_S", 0.02)
    async with recovering(quick(turn_judge=judge), "turn_judge") as (_, clock):
        async with asyncio.timeout(PATIENCE_S):
            while judge.asked < 6:  # three of them patient, one after the other
                await one_try(clock)


class Raising(FakeTurnJudge):
    def __init__(self, error: Exception) -> None:
        super().__init__(latency_ms=0)
        self._error = error

    async def complete_probability(self, audio: Samples) -> float:  # noqa: ARG002
        raise self._error


@pytest.mark.parametrize(
    ("error", "works"),
    [
        (RequestError("turn_judge", "too short"), True),
        (BusyError("turn_judge", "no room"), False),
        (KeyError("no rule has this name"), False),
    ],
)
async def test_what_a_try_is_answered(error: Exception, works: bool) -> None:
    """An engine that refuses is fine; one without room has not shown it; a fault in an engine is nothing worse."""
    async with recovering(quick(turn_judge=Raising(error)), "turn_judge") as (runtime, clock):
        for _ in range(2):
            await one_try(clock)
        assert ("turn_judge" not in runtime.failing) == works


async def test_a_fault_of_ours_is_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    """Else the engine would seem to fail for ever."""
    judge = Raising(KeyError("no rule has this name"))
    async with recovering(quick(turn_judge=judge), "turn_judge") as (_, clock):
        for _ in range(3):
            await one_try(clock)
    [shown] = [record for record in caplog.records if record.getMessage() == "try_broken"]
    assert shown.exc_info is not None
    assert isinstance(shown.exc_info[1], KeyError)


# --- a chain ----------------------------------------------------------------------------------------------------


def chained(**faults: Broken) -> tuple[Fallback, list[FakeResponder]]:
    first = FakeResponder(lambda _: "A", 0, 0, broken=faults.get("A"))
    second = FakeResponder(lambda _: "B", 0, 0, broken=faults.get("B"))
    links = [Link(name, link, 30.0, 30.0) for name, link in (("responder", first), ("responder.fallback", second))]
    return Fallback(links), [first, second]


async def said(runtime: Runtime) -> str:
    pieces = runtime.engines.responder.respond([Message("user", "Who?")], language="en", max_tokens=None)
    return "".join([piece async for piece in pieces if isinstance(piece, str)])


LINKS = len(SEAMS) + 2


async def test_the_first_of_a_chain_is_tried_while_the_second_answers() -> None:
    chain, [first, _] = chained(A=Broken("gone"))
    await chain.start()
    async with recovering(quick(responder=chain), sleepers=LINKS) as (runtime, clock):
        for _ in range(OPENS_AT + 1):
            assert await said(runtime) == "B"
        assert (runtime.degraded, runtime.failing) == ({"responder": "gone"}, {})
        await one_try(clock, LINKS)
        assert chain.links[0].breaker.circuit is Circuit.OPEN
        first.broken = None
        assert await said(runtime) == "B"
        await one_try(clock, LINKS)
        assert (runtime.degraded, await said(runtime)) == ({}, "A")


async def test_one_that_works_again_is_enough() -> None:
    chain, [first, second] = chained(A=Broken("gone"), B=Broken("gone too"))
    await chain.start()
    async with recovering(quick(responder=chain), sleepers=LINKS) as (runtime, clock):
        with pytest.raises(EngineError) as caught:
            await said(runtime)
        runtime.failed("responder", caught.value)
        assert (runtime.failing, set(runtime.degraded)) == (
            {"responder": "gone too"},
            {"responder", "responder.fallback"},
        )
        await one_try(clock, LINKS)
        assert runtime.failing == {"responder": "gone too"}
        second.broken = None
        await one_try(clock, LINKS)
        assert (runtime.failing, runtime.degraded) == ({}, {"responder": "gone"})
        assert await said(runtime) == "B"
        assert first._steps == 0


async def test_one_that_did_not_start_is_started_when_it_can() -> None:
    class Late(FakeResponder):
        there = False

        async def start(self) -> None:
            if not self.there:
                raise EngineError("responder", "nobody answers")

    late, second = Late(lambda _: "A", 0, 0), FakeResponder(lambda _: "B", 0, 0)
    chain = Fallback([Link("responder", late, 30.0, 30.0), Link("responder.fallback", second, 30.0, 30.0)])
    await chain.start()
    async with recovering(quick(responder=chain), sleepers=LINKS) as (runtime, clock):
        await one_try(clock, LINKS)
        assert (runtime.degraded, await said(runtime)) == ({"responder": "nobody answers"}, "B")
        late.there = True
        await one_try(clock, LINKS)
        assert (runtime.degraded, await said(runtime)) == ({}, "A")


class Starting(FakeResponder):
    """Does so until it may be done."""

    def __init__(self) -> None:
        super().__init__(lambda _: "A", 0, 0)
        self.begun = self.under_way = self.most = 0
        self.done = asyncio.Event()

    async def start(self) -> None:
        self.begun += 1
        if self.begun == 1:  # with the server
            raise EngineError("responder", "nobody answers")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.done.wait()
        finally:
            self.under_way -= 1


async def test_a_start_has_a_time_limit_too_and_no_other_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "QUICK_S", 0.01)
    first, second = Starting(), FakeResponder(lambda _: "B", 0, 0)
    chain = Fallback([Link("responder", first, 30.0, 30.0), Link("responder.fallback", second, 30.0, 30.0)])
    await chain.start()
    async with recovering(quick(responder=chain), sleepers=LINKS) as (runtime, clock):
        for _ in range(3):
            await one_try(clock, LINKS)
        assert (first.begun, first.under_way, first.most) == (3, 1, 1)  # with the server, quick, patient
        first.done.set()
        await one_try(clock, LINKS)
        assert (runtime.degraded, await said(runtime), first.begun) == ({}, "A", 3)


# --- what is asked ----------------------------------------------------------------------------------------------


def test_what_is_asked_is_work() -> None:
    """Nothing that an engine answers without its model."""
    assert recognise(ASKED) is None
    assert audible(noise())
    asked = Message("user", ASKED, audio=noise())
    assert worth_answering(asked) is asked


class Heard(FakeResponder):
    def __init__(self, listens: bool) -> None:
        super().__init__(first_token_ms=0, token_ms=0, listens=listens)
        self.asked: list[tuple[Message, int | None]] = []

    async def respond(
        self, messages: Sequence[Message], *, language: str | None, max_tokens: int | None, tools: Tools = NO_TOOLS
    ) -> AsyncGenerator[Piece, None]:
        self.asked += [(message, max_tokens) for message in messages]
        async for piece in super().respond(messages, language=language, max_tokens=max_tokens, tools=tools):
            yield piece


@pytest.mark.parametrize("listens", [False, True])
async def test_a_responder_is_asked_for_a_few_tokens_by_what_it_takes(listens: bool) -> None:
    responder = Heard(listens)
    async with recovering(quick(responder=responder), "responder") as (runtime, clock):
        await one_try(clock)
        assert runtime.failing == {}
    [(message, max_tokens)] = responder.asked
    assert (message.role, message.text, message.audio is not None, max_tokens) == ("user", ASKED, listens, TOKENS)


class Listed(FakeTranscriber):
    def __init__(self) -> None:
        super().__init__(latency_ms=0)
        self.finals: list[bool] = []

    async def transcribe(self, audio: Samples, *, language: str | None, prompt: str, final: bool) -> Transcript:
        self.finals.append(final)
        return await super().transcribe(audio, language=language, prompt=prompt, final=final)


class Endless(FakeSpeaker):
    """So is what it says, and what it writes."""

    listens = False

    async def speak(self, *_: Any, **__: Any) -> AsyncGenerator[SpeechChunk, None]:
        while True:
            yield SpeechChunk(np.zeros(24_000, np.float32))

    async def respond(self, *_: Any, **__: Any) -> AsyncGenerator[Piece, None]:
        while True:
            yield "yes and "


@pytest.mark.parametrize("seam", ["speaker", "responder"])
async def test_what_breaks_behind_its_first_outputs_does_not_work(seam: str) -> None:
    engines = fakes()
    engines["responder"] = FakeResponder(lambda _: "One, two, three, four, five.", 0, 0)
    engines[seam].broken = Broken("it breaks off", after_steps=3)
    async with recovering(registry.fake(**engines), seam) as (runtime, clock):
        await one_try(clock)
        assert runtime.failing == {seam: "it is gone"}


@pytest.mark.parametrize("seam", ["speaker", "responder"])
async def test_what_does_not_end_does_not_work(seam: str) -> None:
    async with recovering(quick(**{seam: Endless()}), seam) as (runtime, clock):
        await one_try(clock)
        assert runtime.failing == {seam: "it is gone"}


async def test_one_whose_circuit_is_open_is_asked_again_once_it_works() -> None:
    engines = fakes()
    engines["speaker"].broken = Broken("gone")
    async with recovering(registry.fake(**engines), "speaker", "speaker", "speaker") as (runtime, clock):
        assert not runtime.circuits.closed("speaker")
        await one_try(clock)
        assert not runtime.circuits.closed("speaker")
        engines["speaker"].broken = None
        await one_try(clock)
        assert runtime.circuits.closed("speaker")


async def test_one_that_fails_at_what_people_want_and_at_no_try_is_not_asked() -> None:
    async with recovering(registry.fake(**fakes())) as (runtime, clock):
        asked = []
        for _ in range(OPENS_AT + 2):
            runtime.failed("speaker", EngineError("speaker", "too much for it"))
            asked.append(runtime.circuits.closed("speaker"))
            await one_try(clock)
            assert (runtime.failing, runtime.circuits.closed("speaker")) == ({}, True)
        assert asked == [True] * (OPENS_AT - 1) + [False] * 3
        runtime.worked("speaker")
        runtime.failed("speaker", EngineError("speaker", "too much for it"))
        assert runtime.circuits.closed("speaker")


async def test_a_transcriber_that_is_tried_gives_way_to_final_ones() -> None:
    transcriber = Listed()
    async with recovering(quick(transcriber=transcriber), "transcriber") as (_, clock):
        await one_try(clock)
    assert transcriber.finals == [False]


# --- a whole server ---------------------------------------------------------------------------------------------


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "EVERY_S", 0.01)


async def readiness(server: Server) -> tuple[int, Mapping[str, str]]:
    answer = await server.get("/readyz")
    return answer.status_code, answer.json()["failing"]


async def ready_again(server: Server) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await server.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - what a load balancer does
            await asyncio.sleep(0.01)


async def test_a_server_is_ready_again_though_nobody_talks(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch)
    engines = fakes()
    for engine in engines.values():
        engine.broken = Broken("gone")
    async with serving(registry.fake(**engines)) as server:
        for seam in SEAMS:
            server.runtime.failed(seam, EngineError(seam, "gone"))
        assert await readiness(server) == (503, dict.fromkeys(SEAMS, "gone"))
        for engine in engines.values():
            engine.broken = None
        await ready_again(server)
        assert [await server.metric("engine_failures_total", engine=seam) for seam in SEAMS] == [1] * len(SEAMS)


class Brain:
    """A chat server on one port, that goes away and comes back."""

    def __init__(self) -> None:
        self.status = 200
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def comes(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._chat)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def goes(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "brain"}]})

    async def _chat(self, _: web.Request) -> web.Response:
        text = 'data: {"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        return web.Response(text=text, status=self.status, content_type="text/event-stream")


async def ask(server: Server) -> int:
    question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
        return (await client.post("/v1/chat/completions", json=question)).status_code


def failed_tries(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released at each try that has failed."""
    done, event = asyncio.Semaphore(0), log.event

    def heard(name: str, *more: Any, **fields: Any) -> None:
        event(name, *more, **fields)
        if name == "engine_still_failing":
            done.release()

    monkeypatch.setattr(log, "event", heard)
    return done


async def test_an_engine_behind_a_url_that_was_down_and_is_back(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is there again but fails at each answer, which its list of models does not say."""
    often(monkeypatch)
    failed, brain = failed_tries(monkeypatch), Brain()
    await brain.comes()
    try:
        engines = registry.fake_with(RemoteParts(responder=Remote(brain.url)))
        async with serving(replace(engines, speaker=fakes()["speaker"])) as server:
            assert await ask(server) == 200
            await brain.goes()
            assert await ask(server) == 500
            async with asyncio.timeout(PATIENCE_S):
                await failed.acquire()
                assert (await readiness(server))[0] == 503
                brain.status = 500
                await brain.comes()
                for _ in range(3):
                    await failed.acquire()
            status, failing = await readiness(server)
            assert (status, set(failing)) == (503, {"responder"})
            brain.status = 200
            await ready_again(server)
            assert await server.metric("engine_failures_total", engine="responder") == 1
            assert await ask(server) == 200
            await brain.goes()
    finally:
        await brain.goes()


async def test_a_server_stops_in_the_middle_of_a_try(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch)
    judge = Hung()
    monkeypatch.setattr(Server, "is_quiet", Server.all_ended)  # but for the try
    async with serving(quick(turn_judge=judge)) as server:
        server.runtime.failed("turn_judge", TimeoutError())
        async with asyncio.timeout(PATIENCE_S):
            await judge.begun.wait()
    assert judge.ended.is_set()
