from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.server.conftest import quick, quick_config
from voxtral_voice.config import Config, PlayoutConfig, ResponderConfig, SpeakerConfig, TurnsConfig, WeightsConfig
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines import registry
from voxtral_voice.engines.fakes import FakeResponder, FakeTranscriber
from voxtral_voice.engines.registry import EmbeddedOptions
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.errors import BusyError, EngineError, RequestError
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server import load as load_module
from voxtral_voice.server import runtime as runtime_module
from voxtral_voice.server.load import Load
from voxtral_voice.server.runtime import Runtime, build_engines, policy, watch_loop_lag
from voxtral_voice.weights.catalogue import ModelFile


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(Config(profile="fake"), quick())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EngineError("speaker", "no memory"), "no memory"),
        (TimeoutError(), "it took too long"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_failure_is_named_counted_and_logged(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, error: Exception, message: str
) -> None:
    assert runtime.failed("speaker", error) == message
    assert runtime.failing == {"speaker": message}
    assert b'voxtral_voice_engine_failures_total{engine="speaker"} 1.0' in runtime.metrics.text()
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "engine_failed")
    assert record.__dict__["fields"] == {"engine": "speaker", "reason": message}


@pytest.mark.parametrize("kind", [RequestError, BusyError])
def test_what_an_engine_cannot_do_is_no_failure_of_it(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, kind: type[RequestError]
) -> None:
    assert runtime.failed("speaker", kind("speaker", "All places are taken.")) == "All places are taken."
    assert runtime.failing == {}
    assert b'engine_failures_total{engine="speaker"}' not in runtime.metrics.text()
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "engine_refused")


def test_what_is_not_for_clients_is_for_the_log(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    error = EngineError("responder", "http://llm/v1 said: sk-SECRET.", "The responder's server failed.")
    assert runtime.failed("responder", error) == "The responder's server failed."
    assert runtime.failing == {"responder": "http://llm/v1 said: sk-SECRET."}
    assert caplog.records[0].__dict__["fields"]["reason"] == "http://llm/v1 said: sk-SECRET."


def test_an_engine_that_works_again_is_told_once(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    runtime.failed("speaker", RuntimeError("x"))
    runtime.failed("responder", RuntimeError("y"))
    for _ in range(3):
        runtime.worked("speaker")
    assert runtime.failing == {"responder": "y"}
    assert [r.getMessage() for r in caplog.records].count("engine_recovered") == 1


def test_every_setting_of_turns_and_playout_reaches_the_core() -> None:
    """Each is moved by one step, and its own field of the policy moves with it."""
    base, plain = Config(profile="fake"), policy(Config(profile="fake"), quick())
    for part, model in (("turns", TurnsConfig), ("playout", PlayoutConfig)):
        for key in model.model_fields.keys() - {"judge", "patience"}:  # patience goes with each session's settings
            value = getattr(getattr(base, part), key)
            moved = base.model_copy(update={part: model(**{key: value + 1})})
            differing = [
                f.name for f in fields(Policy) if getattr(policy(moved, quick()), f.name) != getattr(plain, f.name)
            ]
            assert differing == [key]
            assert getattr(policy(moved, quick()), key) == value + 1


def test_what_the_engines_can_do_is_known_to_the_core() -> None:
    config = quick_config()
    assert not policy(config, quick()).streams
    assert not policy(config, quick()).listens
    streaming = policy(config, quick(transcriber=FakeTranscriber(streaming=True)))
    assert (streaming.streams, streaming.partial_every_ms) == (True, runtime_module.STREAMED_EVERY_MS)
    assert policy(config, quick(responder=FakeResponder(listens=True))).listens


def test_the_fake_profile_needs_no_files(tmp_path: Path) -> None:
    engines = build_engines(Config(profile="fake", weights=WeightsConfig(dir=tmp_path, offline=True)))
    assert engines.names()["speaker"] == "fake speaker"


def test_the_embedded_profile_is_built_from_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files first, then engines."""
    calls: list[Any] = []

    def ensure(files: Sequence[ModelFile], folder: Path, *, offline: bool) -> None:
        calls.append((files, folder, offline))

    def embedded(locate: Any, options: EmbeddedOptions, remote: RemoteParts) -> Any:
        calls.append((locate("a/b"), options, remote))
        return quick()

    monkeypatch.setattr("voxtral_voice.weights.fetch.ensure", ensure)
    monkeypatch.setattr(registry, "embedded", embedded)
    config = Config(
        weights=WeightsConfig(dir=tmp_path, offline=True),
        speaker=SpeakerConfig(threads=3, student=False),
        responder=ResponderConfig(url="http://there/v1", model="m", api_key=SecretStr("k")),
        turns=TurnsConfig(judge="none"),
    )
    build_engines(config)
    options = EmbeddedOptions(
        transcriber_threads=config.transcriber.threads,
        responder_threads=config.responder.threads,
        speaker_threads=3,
        intents=True,
        student=False,
        max_sentences=config.responder.max_sentences,
        judge="none",
    )
    remote = RemoteParts(responder=Remote("http://there/v1", "m", "k"))
    assert calls == [(config.model_files, tmp_path, True), (tmp_path / "a/b", options, remote)]


async def test_too_much_to_do_is_told_once_and_again_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    monkeypatch.setattr(runtime_module, "LAG_EVERY_S", 0.001)
    monkeypatch.setattr(runtime_module, "TASKS_EVERY", 1)
    monkeypatch.setattr(load_module, "CALM_S", 0.01)
    metrics, load = Metrics(), Load(1.0, 0.0)

    async def until(value: int) -> None:
        async with asyncio.timeout(10):
            while metrics.registry.get_sample_value("voxtral_voice_overloaded") != value:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.005)

    watching = asyncio.ensure_future(watch_loop_lag(metrics, load))
    for _ in range(20):
        load.turn(2.0, asyncio.get_running_loop().time())
    await until(1)
    await asyncio.sleep(0.02)
    for _ in range(500):
        load.turn(0.1, asyncio.get_running_loop().time())
    await until(0)
    watching.cancel()
    await asyncio.wait([watching])
    told = [record for record in caplog.records if record.getMessage().startswith("overload")]
    assert [record.getMessage() for record in told] == ["overloaded", "overload_over"]
    assert told[0].__dict__["fields"].items() >= {"figure": "turn latency", "turn_p95_s": 2.0}.items()


async def test_the_lag_of_the_loop_is_seen_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "LAG_EVERY_S", 0.005)
    monkeypatch.setattr(runtime_module, "LAG_WINDOW", 4)
    metrics = Metrics()

    def lag_s() -> float:
        value = metrics.registry.get_sample_value("voxtral_voice_event_loop_lag_seconds")
        assert value is not None
        return value

    watching = asyncio.ensure_future(watch_loop_lag(metrics))
    await asyncio.sleep(0.01)
    busy_until = time.perf_counter() + 0.5
    while time.perf_counter() < busy_until:
        pass
    await asyncio.sleep(0.02)
    assert 0.3 < lag_s() < 5
    async with asyncio.timeout(10):
        while lag_s() > 0.2:  # noqa: ASYNC110 - the gauge has no event
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
