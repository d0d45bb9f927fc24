"""The HTTP endpoints with the real models, asked with the stock OpenAI SDK: text is spoken, and written down again."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest

from tests.e2e.speech import word_errors

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]
embedded = pytest.mark.parametrize("live_server", ["embedded"], indirect=True)

TEXT: Final = (
    "The old library stands at the end of our street. Every Friday evening, after the last reader has gone, "
    "the librarian walks along the shelves and puts each book back where it belongs."
)
LONG: Final = " ".join(
    (
        TEXT,
        "On Saturday morning the doors are open again, and children come in from the rain to hear a story.",
        "Their parents drink coffee in the small kitchen, and talk about the weather and the news.",
        "In the afternoon an old man plays the piano, and nobody minds that he is a little too loud.",
    )
)
"""Longer than the transcriber takes at once."""
ENDINGS: Final = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav"}
MOST_ERRORS: Final = 0.15
"""Word error rate of the way there and back."""


@pytest.fixture
def client(live_server: str) -> Iterator[openai.OpenAI]:
    transport = openai.DefaultHttpx2Client(trust_env=False)
    with openai.OpenAI(
        base_url=f"{live_server}/v1", api_key="unused", max_retries=0, timeout=120, http_client=transport
    ) as made:
        yield made


def speech(client: openai.OpenAI, text: str, form: Any) -> bytes:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format=form
    ) as response:
        return b"".join(response.iter_bytes())


@embedded
@pytest.mark.parametrize("form", ENDINGS)
def test_text_to_speech_to_text(client: openai.OpenAI, form: str) -> None:
    file = (f"speech.{ENDINGS[form]}", io.BytesIO(speech(client, TEXT, form)))
    heard = client.audio.transcriptions.create(model="whisper-1", file=file)
    assert word_errors(TEXT, heard.text) <= MOST_ERRORS, heard.text


@embedded
def test_a_long_text_comes_back_in_subtitles_that_follow_each_other(client: openai.OpenAI) -> None:
    data = speech(client, LONG, "mp3")
    told = client.audio.transcriptions.create(
        model="whisper-1", file=("a.mp3", data), response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert word_errors(LONG, told.text) <= MOST_ERRORS, told.text
    assert told.language == "en"
    segments = told.segments or []
    assert len(segments) >= 2
    times = [time for segment in segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] <= told.duration + 0.1
    streamed = [*client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", data), stream=True)]
    assert streamed[-1].type == "transcript.text.done"
    assert streamed[-1].text == told.text


@embedded
def test_chat_hears(client: openai.OpenAI) -> None:
    data = base64.b64encode(speech(client, "What is the capital of France?", "wav")).decode()
    part: Any = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": [part]}])
    assert "Paris" in (answer.choices[0].message.content or "")


@embedded
def test_chat_streams_what_it_also_says_whole(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    with client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True) as stream:
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert streamed == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"


@embedded
def test_the_models_that_are_there(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "whisper-base-int8" in names
    assert client.models.retrieve(names[0]).id == names[0]
