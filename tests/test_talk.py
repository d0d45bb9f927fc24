from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr

from tests.realtime_stub import RATE_HZ, Call, Script, answers, silence, stub_server, tone
from voxtral_voice import talk as talk_module
from voxtral_voice.audio.wav import write_wav
from voxtral_voice.bench.turn import TurnFigures
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.errors import AudioError, TalkError
from voxtral_voice.server.run import running
from voxtral_voice.talk import report, stages, talk, timeline

TRACE = {
    "stages_ms": {
        "silence": 96.0,
        "transcript": 40.0,
        "first_token": 20.0,
        "first_phrase": 5.0,
        "first_audio": 30.0,
        "hold": 9.0,
    },
    "offsets_ms": {"commit": 200.0},
    "total_ms": 200.0,
    "endpoint_ms": 199.0,
}


@pytest.fixture
def question(tmp_path: Path) -> Path:
    write_wav(tmp_path / "question.wav", tone(300), RATE_HZ)
    return tmp_path / "question.wav"


async def talked(question: Path, script: Script, **options: Any) -> Path:
    """Ask a stub; returns where the answer was written."""
    answer = question.with_name("answer.wav")
    async with stub_server(script, **options) as stub:
        await asyncio.to_thread(talk, question, answer, stub.url, Config())
    return answer


async def test_the_spoken_answer_is_written_and_the_turn_is_printed(
    question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken = np.concatenate((silence(50), tone(200)))
    answer = await talked(question, answers(spoken, extra={"voxtral_voice": {"trace": TRACE}}))
    info = soundfile.info(answer)
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (24_000, 1, 6_000, "PCM_16")
    spectrum = np.abs(np.fft.rfft(soundfile.read(answer)[0][1_200:]))
    assert np.argmax(spectrum) * 5 == 440  # 200 ms: bins of 5 Hz
    printed = capsys.readouterr().out
    assert "what is it" in printed
    assert "It is a stub." in printed
    assert re.search(r"^silence +96\.0 ", printed, re.MULTILINE)
    assert re.search(r"^leading silence +50\.0 ", printed, re.MULTILINE)
    assert re.search(r"^V2V as heard +2[3-8]\d\.\d ", printed, re.MULTILINE)  # 200 + 50 ms


@pytest.mark.parametrize(("subtype", "rate_hz", "channels"), [("PCM_U8", 8_000, 1), ("FLOAT", 44_100, 2)])
async def test_a_question_of_any_format_is_asked(tmp_path: Path, subtype: str, rate_hz: int, channels: int) -> None:
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate_hz // 3) / rate_hz)
    soundfile.write(tmp_path / "q.wav", np.stack([samples] * channels, axis=1), rate_hz, subtype=subtype)
    assert (await talked(tmp_path / "q.wav", answers(tone(100)))).is_file()


async def refusal(question: Path, script: Script, **options: Any) -> str:
    with pytest.raises(TalkError) as caught:
        await talked(question, script, **options)
    assert not question.with_name("answer.wav").exists()
    return str(caught.value)


async def says_nothing(call: Call) -> None:
    await asyncio.Event().wait()


def test_a_silent_question_is_not_sent(tmp_path: Path) -> None:
    write_wav(tmp_path / "q.wav", silence(1_000), RATE_HZ)
    with pytest.raises(TalkError, match=r"No speech was heard in .*q\.wav: it is silent"):
        talk(tmp_path / "q.wav", tmp_path / "a.wav", "127.0.0.1:1", Config())


def test_a_question_that_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "q.wav").write_text("hello")
    with pytest.raises(AudioError, match="not an audio file"):
        talk(tmp_path / "q.wav", tmp_path / "a.wav", "127.0.0.1:1", Config())


def test_a_place_for_the_answer_that_is_not_there_is_noticed_before_the_talk(question: Path) -> None:
    with pytest.raises(AudioError, match=r"cannot be written: there is no folder"):
        talk(question, question.parent / "nowhere" / "a.wav", "127.0.0.1:1", Config())


def test_no_server_at_the_address(question: Path) -> None:
    with pytest.raises(TalkError, match="No server can be reached at ws://127"):
        talk(question, question.with_name("a.wav"), "127.0.0.1:1", Config())


def test_an_address_that_is_none(question: Path) -> None:
    with pytest.raises(TalkError, match="is not the address of a server"):
        talk(question, question.with_name("a.wav"), "ftp://host", Config())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_module, "ANSWER_TIMEOUT_S", 0.3)


async def test_a_server_that_notices_no_speech(question: Path, impatient: None) -> None:
    assert "the server noticed none" in await refusal(question, says_nothing)


async def test_a_server_that_gives_no_answer(question: Path, impatient: None) -> None:
    async def hears(call: Call) -> None:
        await call.ends.get()
        await call.committed()
        await says_nothing(call)

    assert "gave no answer within 0.3 s" in await refusal(question, hears)


async def test_a_server_that_breaks_off(question: Path, impatient: None) -> None:
    async def breaks_off(call: Call) -> None:
        await call.ends.get()
        await call.begin("r1")
        await call.audio("r1", tone(100))
        await says_nothing(call)

    assert "broke off in the middle of the answer, 0.1 s into it" in await refusal(question, breaks_off)


async def test_a_server_that_fails(question: Path) -> None:
    async def fails(call: Call) -> None:
        await call.ends.get()
        await call.begin("r1")
        details = {"type": "failed", "error": {"message": "The speaker failed {badly}."}}
        await call.done("r1", status="failed", status_details=details)

    assert "could not answer: The speaker failed {badly}." in await refusal(question, fails)


async def test_a_server_that_takes_its_answer_back(question: Path, impatient: None) -> None:
    async def takes_back(call: Call) -> None:
        await call.ends.get()
        await call.begin("r1")
        await call.done("r1", status="cancelled")

    assert "took its answer back, and gave no other within 0.3 s" in await refusal(question, takes_back)


async def test_an_answer_that_is_silent(question: Path) -> None:
    assert "nothing of the answer can be heard" in await refusal(question, answers(silence(100)))


async def test_a_server_that_hangs_up(question: Path) -> None:
    async def hangs_up(call: Call) -> None:
        await call.onsets.get()
        await call.close(1001, "going away")

    assert "closed the connection" in await refusal(question, hangs_up)


def test_a_server_of_its_own_answers(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = question.with_name("answer.wav")
    talk(question, answer, None, Config(profile="fake"))
    assert soundfile.info(answer).samplerate == 24_000
    assert re.search(r"^endpoint wait +\d+\.\d ", capsys.readouterr().out, re.MULTILINE)


def test_a_server_of_its_own_asks_for_no_key(question: Path) -> None:
    keyed = ServerConfig(host="0.0.0.0", api_keys=SecretStr("a-key-of-a-good-length"))
    talk(question, question.with_name("answer.wav"), None, Config(profile="fake", server=keyed))


async def test_a_server_that_asks_for_a_key(question: Path) -> None:
    keyed = ServerConfig(port=0, api_keys=SecretStr("a-key-of-a-good-length"))
    async with running(Config(profile="fake", server=keyed)) as url:
        answer = question.with_name("answer.wav")
        for key, said in ((None, "asks for a key"), ("wrong", "refused the key")):
            with pytest.raises(TalkError, match=f"{said}: HTTP 401"):
                await asyncio.to_thread(talk, question, answer, url, Config(), key)
        await asyncio.to_thread(talk, question, answer, url, Config(), "a-key-of-a-good-length")
        assert answer.exists()


# --- the table


def turn(**changes: Any) -> TurnFigures:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(TurnFigures))
    values |= {
        "status": "completed",
        "heard": "What?",
        "said": "That.",
        "audio": tone(500),
        "v2v_ms": 254.5,
        "leading_silence_ms": 50.0,
        "underruns": 0,
        "longest_gap_ms": 0.0,
        "cut_ins": 0,
        "trace": TRACE,
    }
    return TurnFigures(**(values | changes))


def test_the_stages_sum_to_the_latency_as_heard() -> None:
    rows = stages(turn())
    assert sum(ms for _, ms, _ in rows) == pytest.approx(254.5)
    assert [name for name, _, _ in rows[:3]] == ["silence", "transcript", "first token"]
    assert rows[-2][0] == "speech end, net"
    assert rows[-2][1] == pytest.approx(4.5)
    assert rows[-1][:2] == ("leading silence", 50.0)


def test_a_server_without_a_trace_has_what_can_be_seen_from_outside() -> None:
    rows = stages(turn(trace=None))
    assert [(name, ms) for name, ms, _ in rows] == [("server, network", 204.5), ("leading silence", 50.0)]
    assert not any("endpoint" in line for line in timeline(turn(trace=None)))


def test_the_columns_are_aligned() -> None:
    lines = timeline(turn())
    assert lines[0] == "silence              96.0  until the silence was noticed"
    assert {line.index(".") for line in lines if not line.startswith("-")} == {len("silence              96")}
    assert any(line.startswith("endpoint wait       199.0") for line in lines)


def test_gaps_and_cut_ins_are_told_when_there_are_any() -> None:
    text = report(turn(underruns=2, longest_gap_ms=81.2, cut_ins=1, heard=None), Path("a.wav"))
    assert "gaps: 2, the longest 81 ms" in text
    assert "cut-ins: 1" in text
    assert "(no transcript)" in text
    quiet = report(turn(), Path("a.wav"))
    assert "gaps" not in quiet
    assert "cut-ins" not in quiet
    assert "a.wav (0.5 s)" in quiet
