"""A short soak: every part of it is played, nothing is broken, and nothing of a session is left. What it would notice.
What the long one came to."""

from __future__ import annotations

import base64
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection

from benchmarks import soak, soak_clock, soak_judge, soak_server
from benchmarks.soak_callers import PARTS, VOICES, Caller, Leak, calling, leaves, loudest_hz, new_secret
from benchmarks.soak_judge import Sample, Turn, verdict, windows
from benchmarks.soak_server import Hears, Says, tone_hz
from voxtral_voice.audio.g711 import float_to_g711
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.fakes import FakeResponder
from voxtral_voice.server import apology, run

RESULT = Path(soak.__file__).parent / "soak.json"
PAGE: Final = RESULT.parents[1] / "docs" / "measuring.md"
MINUTES = 0.3


@pytest.mark.timeout(240)
async def test_a_short_one() -> None:
    made = await soak.soaked(MINUTES, 9, 7)
    assert made["violations"] == [], "\n".join(made["violations"])
    assert made["leaks"] == []
    counts = made["counts"]
    assert sum(counts.get(f"part {part.__name__}", 0) for part in PARTS) > 10
    assert counts["own words"] > 100
    assert counts["own sounds"] > 20
    assert counts["refused"] > 2
    assert counts["sessions that may be resumed"] > 0
    assert made["latency"]["windows"][0]["turns"] > 0
    before, after = made["server"]["before"], made["server"]["after"]
    assert after["tasks"] <= before["tasks"]
    assert after["files"] <= before["files"]


# --- leaks -------------------------------------------------------------------------------------------------------


class Gossip:
    """A responder that was shown more than it should be: what the others said."""

    def __init__(self) -> None:
        self._heard: list[str] = []

    def __call__(self, messages: Sequence[Message]) -> str:
        told = " ".join(self._heard)
        self._heard += soak_server.SECRET.findall(" ".join(message.text for message in messages))
        return f"Yes. {told}"


async def ask(caller: Caller) -> None:
    await caller.ask("response.create")
    await caller.until(lambda: bool(caller.all("response.done")), "the answer")


async def two_calls(monkeypatch: pytest.MonkeyPatch, responder: FakeResponder, speaker: Says) -> Counter[str]:
    """One after the other, in voices of their own."""
    engines = soak_server.engines(Hears(soak_server.LINES), responder, speaker)
    monkeypatch.setattr(run, "build_engines", lambda *_: engines)
    counts: Counter[str] = Counter()
    async with run.running(Config(profile="fake", server=ServerConfig(port=0))) as url:
        for number in (1, 2):
            rng = random.Random(number)
            async with calling(url, rng, counts, new_secret(rng), voice=VOICES[number]) as caller:
                await caller.settle_in(None)
                await ask(caller)
    return counts


async def test_callers_hear_their_own_word_and_their_own_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = await two_calls(monkeypatch, FakeResponder(soak_server.answer), Says())
    assert counts["own words"] >= 6
    assert counts["own sounds"] >= 6


async def test_a_word_of_another_session_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        await two_calls(monkeypatch, FakeResponder(Gossip()), Says())
    assert any(isinstance(error, Leak) and "of another session" in str(error) for error in leaves(group.value))


class Mistaken(Says):
    """Everybody has the voice of the first one."""

    def _tone(self, voice: str, like: Any) -> Any:
        self.voice = getattr(self, "voice", voice)
        return super()._tone(self.voice, like)


async def test_a_voice_of_another_session_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        await two_calls(monkeypatch, FakeResponder(soak_server.answer), Mistaken())
    assert any(isinstance(error, Leak) and "Hz" in str(error) for error in leaves(group.value))


def test_a_word_is_found_wherever_it_stands() -> None:
    caller = Caller(cast(ClientConnection, None), random.Random(1), Counter(), "sesameaaaaaaaa", None)
    caller._look_for_others(b'{"delta": "sesameaaaaaaaa."}')
    assert caller.counts["own words"] == 1
    with pytest.raises(Leak, match="sesamebbbbbbbb of another session was told to sesameaaaaaaaa"):
        caller._look_for_others(b'{"item": {"arguments": "{\\"city\\": \\"sesamebbbbbbbb\\"}"}}')


@pytest.mark.parametrize("kind", ["audio/pcm", "audio/pcmu"])
@pytest.mark.parametrize("voice", [VOICES[0], VOICES[1], VOICES[-1]])
def test_voices_are_told_apart(kind: str, voice: str) -> None:
    rate_hz = 24_000 if kind == "audio/pcm" else 8_000
    wave = 0.1 * np.sin(2 * np.pi * tone_hz(voice) * np.arange(rate_hz // 10) / rate_hz).astype(np.float32)
    audio = float_to_pcm16(wave) if kind == "audio/pcm" else float_to_g711(wave, "mu")
    heard_hz = loudest_hz(base64.b64encode(audio).decode(), kind)
    assert heard_hz is not None
    assert abs(heard_hz - tone_hz(voice)) < soak_server.STEP_HZ / 4


@pytest.mark.parametrize("file", sorted(apology.FOLDER.glob("*-en-*")), ids=lambda file: file.stem)
def test_the_servers_apology_is_nobodys_voice(file: Path) -> None:
    samples, _ = soundfile.read(file, dtype="float32")
    pieces = [samples[at : at + 960] for at in range(0, len(samples) - 960, 480)]
    heard_hz = [loudest_hz(base64.b64encode(float_to_pcm16(piece)).decode(), "audio/pcm") for piece in pieces]
    assert not [hz for hz in heard_hz if hz is not None and hz > soak_server.LOWEST_HZ - soak_server.STEP_HZ]


def test_silence_has_no_voice() -> None:
    assert loudest_hz(base64.b64encode(bytes(4800)).decode(), "audio/pcm") is None


# --- the clocks --------------------------------------------------------------------------------------------------


def test_a_turn_that_nobody_was_there_for_counts_only_if_it_had_its_time() -> None:
    whole = 1800.0
    assert soak_clock.unsaid_turns(3, 1.5, 12.0, whole) == []
    assert soak_clock.unsaid_turns(3, 1.5, 19.4, whole) == []  # it is due at 19.5
    assert soak_clock.unsaid_turns(3, 1.5, 25.6, whole) == [3, 4]
    assert soak_clock.unsaid_turns(299, 0.0, 299 * 6 + 0.1, whole) == []  # the end is before the next
    assert soak_clock.unsaid_turns(297, 0.0, 299 * 6 + 0.1, whole) == [297, 298]


async def test_what_was_said_and_told_is_kept_with_its_time() -> None:
    caller = soak_clock.Clock(cast(ClientConnection, None), random.Random(1), Counter(), "sesameaaaaaaaa", None)
    caller.asked_at = time.monotonic() - 1.0
    caller._note("client append")
    caller._note(f"server {'x' * 500}")
    [line] = caller.last
    assert line.startswith("+1.")
    assert f" s: server {'x' * 100}" in line
    assert len(line) < 250


# --- the judge ---------------------------------------------------------------------------------------------------


def samples(mb_per_h: float, noise_mb: float = 0.0) -> list[Sample]:
    """Half an hour of them."""
    rng = np.random.default_rng(5)
    return [
        Sample(5.0 * i, 100 + mb_per_h * i / 720 + noise_mb * float(rng.standard_normal()), 5, 9, 0.0)
        for i in range(360)
    ]


def test_a_slope_is_that_of_what_grows_and_says_how_sure_it_is() -> None:
    sure = soak_judge.slopes(samples(10.0), 360)
    for name in ("memory_mb", "memory_floor_mb"):
        assert sure[name] == {"per_hour": 10.0, "low": 10.0, "high": 10.0}
    assert sure["tasks"]["per_hour"] == 0.0
    noisy = soak_judge.slopes(samples(10.0, noise_mb=2.0), 360)["memory_mb"]
    assert noisy["low"] < 10.0 < noisy["high"]
    assert 0.5 < noisy["high"] - noisy["low"] < 8
    assert soak_judge.slopes(samples(10.0)[:20], 0) == {}


def test_what_comes_and_goes_does_not_raise_the_floor() -> None:
    rng = np.random.default_rng(3)
    kept = [replace(each, memory_mb=each.memory_mb + 15 * float(rng.random() < 0.3)) for each in samples(0.0)]
    found = soak_judge.slopes(kept, 360)
    assert found["memory_floor_mb"] == {"per_hour": 0.0, "low": 0.0, "high": 0.0}
    assert found["memory_mb"]["high"] > 5


def test_the_interval_is_students() -> None:
    tables = {3: 3.182, 5: 2.571, 10: 2.228, 22: 2.074}
    for free, t in tables.items():
        assert soak_judge._t975(free) == pytest.approx(t, rel=0.01)


def test_a_window_has_the_p95_and_a_missed_turn_counts_as_a_slow_one() -> None:
    turns = [Turn(3.0 * i, 0.4 + (i >= 100) * 0.1) for i in range(200)]
    first, last = windows([*turns, Turn(599.0, None), Turn(30.0, None, broken=True)], 30)[:2]
    assert (first["turns"], first["p95_ms"], first["while_broken"], first["missed"]) == (100, 400.0, 1, 0)
    assert (last["turns"], last["missed"]) == (101, 1)
    assert last["p95_ms"] == 500.0
    assert len(windows(turns, 30)) == 6
    assert len(windows(turns, 5)) == 5


def made(**changed: Any) -> dict[str, Any]:
    """A run in which all is well."""
    kept = samples(0.5)
    whole: dict[str, Any] = {
        "minutes": 30,
        "violations": [],
        "leaks": [],
        "missed": [],
        "latency": {"windows": windows([Turn(1.5 * i, 0.4) for i in range(1200)], 30), "late_p99_ms": 2.0},
        "server": {
            "before": {"tasks": 5, "files": 9},
            "after": {"tasks": 5, "files": 9},
            "slopes_per_hour": soak_judge.slopes(kept, 360),
            "samples": [{"at_s": each.at_s, "heap_used_mb": each.memory_mb} for each in kept],
        },
    }
    return whole | changed


SLOW: Final = windows([Turn(1.5 * i, 0.4 if i < 1000 else 0.46) for i in range(1200)], 30)
DEAF: Final = windows([Turn(1.5 * i, None if i == 7 else 0.4) for i in range(1200)], 30)


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, None),
        ({"violations": ["x"]}, "rules of the protocol broken: 1"),
        ({"leaks": ["x"]}, "words of one session seen in another: 1"),
        ({"server": made()["server"] | {"after": {"tasks": 6, "files": 9}}}, "tasks before the first session 5, after"),
        (
            {"server": made()["server"] | {"after": {"tasks": 5, "files": 10}}},
            "files before the first session 9, after",
        ),
        ({"server": made()["server"] | {"slopes_per_hour": soak_judge.slopes(samples(2.0), 0)}}, "grows by 2 MB/h"),
        ({"server": made()["server"] | {"slopes_per_hour": {}}}, "too few samples"),
        ({"server": made()["server"] | {"slopes_per_hour": soak_judge.slopes(samples(0.0, 9.0), 0)}}, "too unsteady"),
        ({"latency": {"windows": SLOW, "late_p99_ms": 2.0}}, "of the last 460 ms"),
        ({"latency": {"windows": DEAF, "late_p99_ms": 2.0}}, "without an answer: 1 of 1200"),
        ({"latency": {"windows": windows([], 30), "late_p99_ms": 0.0}}, "without an answer: 0 of 0"),
        ({"latency": made()["latency"] | {"late_p99_ms": 12.0}}, "up to 12 ms late"),
    ],
)
def test_each_limit_is_held_to(changed: dict[str, Any], missed: str | None) -> None:
    found = [said for kept, said in verdict(made(**changed)) if not kept]
    if missed is None:
        assert found == []
    else:
        assert any(missed in said for said in found), found


def test_a_short_run_is_judged_by_what_it_can_tell() -> None:
    short = made(minutes=5)
    assert all(kept for kept, _ in verdict(short))
    assert not any("MB/h" in said or "p95" in said for _, said in verdict(short))
    grown = samples(500.0)
    short["server"]["samples"] = [{"at_s": each.at_s, "heap_used_mb": each.memory_mb} for each in grown[:60]]
    assert [said for kept, said in verdict(short) if not kept] == [
        "the heap in use has grown by 25.0 MB from the minute after the warm-up to the last, at its least; may be 15"
    ]


# --- the long one ------------------------------------------------------------------------------------------------


def test_the_page_says_of_half_an_hour_what_was_kept_and_what_was_missed() -> None:
    found = json.loads(RESULT.read_text())
    assert found["minutes"] >= 30
    assert found["sessions_at_once"] >= 16
    said = [f"- {'kept' if kept else '**missed**'}: {sentence}." for kept, sentence in verdict(found)]
    told = PAGE.read_text().split("<!-- soak -->\n")[1].strip().splitlines()
    assert told == said


@pytest.mark.parametrize("what", ["violations", "leaks"])
def test_half_an_hour_of_it_broke_no_rule_and_leaked_nothing(what: str) -> None:
    assert json.loads(RESULT.read_text())[what] == []
