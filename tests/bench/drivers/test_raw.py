from __future__ import annotations

import json

import numpy as np
import pytest

from tests.bench.drivers.line import ScriptedLine
from voxtral_voice.bench.drivers.base import Driver
from voxtral_voice.bench.drivers.raw import RawTranslator, raw
from voxtral_voice.bench.record import AudioArrived, Flushed, Heard, ReplyBegan, ReplyEnded
from voxtral_voice.errors import TalkError

AT = 7.0
AUDIO = np.array([0, 16_384, -32_768], "<i2").tobytes()
STARTED, STOPPED, INTERRUPTED = (json.dumps({"type": kind}) for kind in ("bot_started", "bot_stopped", "interrupted"))


@pytest.fixture
def translator() -> RawTranslator:
    return raw("127.0.0.1:8000").translator(0.0)


def kinds(translator: RawTranslator, *messages: str | bytes) -> list[str]:
    return [type(seen).__name__ for message in messages for seen in translator.translate(message, AT)]


async def test_what_goes_to_the_server() -> None:
    driver: Driver = raw("127.0.0.1:8000")
    assert (driver.url, driver.headers, driver.microphone_hz) == ("ws://127.0.0.1:8000/ws", {}, 16_000)
    assert driver.encode(AUDIO) == AUDIO
    line = ScriptedLine([])
    await driver.greet(line)
    assert (line.sent, line.timeouts_s) == ([], [])


def test_a_reply_has_a_beginning_and_an_end(translator: RawTranslator) -> None:
    assert list(translator.translate(STARTED, AT)) == [ReplyBegan(AT, "reply_1")]
    (audio,) = translator.translate(AUDIO, AT)
    assert isinstance(audio, AudioArrived)
    assert (audio.at, audio.reply, audio.samples.tolist()) == (AT, "reply_1", [0, 0.5, -1])
    assert list(translator.translate(STOPPED, AT)) == [ReplyEnded(AT, "reply_1", "completed")]


@pytest.mark.parametrize("first", [(STARTED, AUDIO), (AUDIO, STARTED)])
def test_audio_and_its_announcement_come_in_any_order(
    translator: RawTranslator, first: tuple[str | bytes, ...]
) -> None:
    assert sorted(kinds(translator, *first, AUDIO)) == ["AudioArrived", "AudioArrived", "ReplyBegan"]


@pytest.mark.parametrize("end", [STOPPED, INTERRUPTED])
def test_audio_after_an_end_is_another_reply(translator: RawTranslator, end: str) -> None:
    kinds(translator, AUDIO, end)
    began, audio = translator.translate(AUDIO, AT)
    assert began == ReplyBegan(AT, "reply_2")
    assert isinstance(audio, AudioArrived)
    assert audio.reply == "reply_2"


def test_an_interruption_silences_and_ends_the_reply(translator: RawTranslator) -> None:
    assert list(translator.translate(INTERRUPTED, AT)) == [Flushed(AT)]
    kinds(translator, AUDIO)
    assert list(translator.translate(INTERRUPTED, AT)) == [Flushed(AT), ReplyEnded(AT, "reply_1", "cancelled")]
    assert list(translator.translate(STOPPED, AT)) == []
    assert translator.cut("reply_1", 100.0) == ()


def test_transcripts_are_told_apart(translator: RawTranslator) -> None:
    assert not translator.transcribes
    message = json.dumps({"type": "transcript", "text": "so"})
    seen = [*translator.translate(message, AT), *translator.translate(message, AT)]
    assert seen == [Heard(AT, "item_1", "so"), Heard(AT, "item_2", "so")]
    assert translator.transcribes


def test_what_it_does_not_know_is_left_out(translator: RawTranslator) -> None:
    assert kinds(translator, '{"type": "metrics"}', b"") == []


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("hello", r"sent a text that this wire does not have: hello$"),
        ("[1]", r"sent a text that this wire does not have"),
        ('{"kind": 1}', r"sent a text that this wire does not have"),
        ('{"type": "transcript"}', r"sent a text that this wire does not have"),
        ('{"type": "transcript", "text": 5}', r"sent a text that this wire does not have"),
        ('{"type": "transcript", "text": ["a"]}', r"sent a text that this wire does not have"),
        (b"\x00", r"sent malformed audio: 16-bit PCM needs an even number of bytes"),
    ],
)
def test_nonsense_is_refused(translator: RawTranslator, message: str | bytes, complaint: str) -> None:
    with pytest.raises(TalkError, match=complaint):
        translator.translate(message, AT)
