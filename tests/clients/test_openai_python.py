"""The `openai` package, unmodified, does everything that the protocol has; real speech, real models.

Only the responder follows a script (brain.py), so that what is asked of it and what it says can be foreseen.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

from tests.clients.brain import STORY, WEATHER, Brain
from tests.clients.serving import KEY, Certificate
from tests.clients.told import begins
from tests.e2e.caller import RATE_HZ, Caller, Reply, calling
from tests.e2e.speech import Studio, plain, word_errors
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples, pcm16_to_float

pytestmark = pytest.mark.models

CUT_MS: Final = 2500
TOOL: Final = {
    "type": "function",
    "name": "get_weather",
    "description": "What the weather is like in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL: Final = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
"""How a picture of 1 x 1 begins."""
LISTENS: Final = {"transcription": {"model": "whisper-1", "language": "en"}}
PUSH_TO_TALK: Final = {"input": {**LISTENS, "turn_detection": None}}


def clip(clips: Path, name: str) -> Samples:
    return pcm16_to_float((clips / f"{name}.pcm").read_bytes())


@asynccontextmanager
async def writing(
    url: str, session: dict[str, Any] | None = None, client: AsyncOpenAI | None = None, **query: Any
) -> AsyncIterator[Caller]:
    """A session without a microphone. session: what `session.update` says, if anything is to be said. query: of
    the URL, in place of the model."""
    client = client or AsyncOpenAI(api_key="any", base_url=f"{url}/v1")
    opening: Any = {"extra_query": query} if query else {"model": "voxtral-voice"}
    async with client, client.realtime.connect(**opening) as realtime:
        caller = Caller(realtime)
        listening = asyncio.create_task(caller.listen())
        try:
            await caller.event("session.created")
            if session is not None:
                await realtime.session.update(session=session)  # type: ignore[arg-type]
                await caller.event("session.updated")
            yield caller
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    caller.judge()
    assert [event for event in caller.events if event.type == "error"] == []


async def append(caller: Caller, pcm: bytes) -> None:
    for at in range(0, len(pcm), 4800):
        await caller.realtime.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + 4800]).decode())


async def add(caller: Caller, item: dict[str, Any], after: str | None = None) -> Any:
    """The item as the server has it."""
    since = len(caller.events)
    previous: Any = {} if after is None else {"previous_item_id": after}
    await caller.realtime.conversation.item.create(item=item, **previous)  # type: ignore[arg-type]
    return (await caller.event("conversation.item.done", since)).item


def message(role: str, text: str, item_id: str | None = None) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    own = {} if item_id is None else {"id": item_id}
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **own}


async def answered(caller: Caller, **response: Any) -> Any:
    """The finished response to a `response.create` with this."""
    since = len(caller.events)
    await caller.realtime.response.create(response=response)  # type: ignore[arg-type]
    return (await caller.event("response.done", since)).response


def calls_of(response: Any) -> list[tuple[str, dict[str, str]]]:
    return [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]


async def must_say(reply: Reply, text: str, studio: Studio) -> None:
    assert plain(reply.text) == plain(text)
    assert rms_dbfs(reply.audio) > -35
    assert word_errors(text, await studio.hear(reply.audio)) <= 0.25


# --- spoken ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detection", ["server_vad", "semantic_vad"])
async def test_a_voice_turn(detection: str, server: str, clips: Path, words: dict[str, str], studio: Studio) -> None:
    listening = {"input": {**LISTENS, "turn_detection": {"type": detection}}}
    async with calling(server, audio=listening) as caller:
        reply = await caller.ask(clip(clips, "question"))
        heard = await caller.transcript(0)
    caller.judge()
    assert reply.done.status == "completed"
    assert word_errors(words["question"], heard) <= 0.2
    await must_say(reply, f"You said: {heard}", studio)


async def test_a_barge_in_that_the_client_truncates(server: str, clips: Path) -> None:
    """The client knows best what it has played: what it says is what the server remembers."""
    async with calling(server, audio={"input": {**LISTENS, "turn_detection": {"type": "server_vad"}}}) as caller:
        await caller.say(clip(clips, "story"))
        story = await caller.audio(0, played_ms=CUT_MS)
        started = len(caller.events)
        speaking = asyncio.create_task(caller.ask(clip(clips, "repeat")))
        await caller.event("input_audio_buffer.speech_started", started)
        await caller.realtime.conversation.item.truncate(item_id=story.item_id, content_index=0, audio_end_ms=CUT_MS)
        truncated = await caller.event("conversation.item.truncated", started)
        kept = (await caller.retrieve(story.item_id)).content[0].transcript
        repeated = await speaking
    caller.judge()
    assert (story.done.status, story.done.status_details.reason) == ("cancelled", "turn_detected")
    assert truncated.audio_end_ms == CUT_MS
    assert begins(STORY, kept)
    assert 4 <= len(kept.split()) <= 12
    assert plain(repeated.text) == plain(kept)
    assert [event for event in caller.events if event.type == "error"] == []


async def test_push_to_talk(server: str, clips: Path, words: dict[str, str], studio: Studio) -> None:
    """Pressed twice: the first time the user thinks better of it."""
    async with writing(server, {"type": "realtime", "audio": PUSH_TO_TALK}) as caller:
        await append(caller, (clips / "story.pcm").read_bytes())
        await caller.realtime.input_audio_buffer.clear()
        await caller.event("input_audio_buffer.cleared")
        await append(caller, (clips / "question.pcm").read_bytes())
        await caller.realtime.input_audio_buffer.commit()
        reply = await caller.answer()
        heard = await caller.transcript(0)
    assert word_errors(words["question"], heard) <= 0.2
    await must_say(reply, f"You said: {heard}", studio)
    kinds = {event.type for event in caller.events}
    assert "input_audio_buffer.speech_started" not in kinds


async def test_a_spoken_tool_round(server: str, clips: Path, studio: Studio) -> None:
    async with calling(server, tools=[TOOL], tool_choice="auto") as caller:
        asked = await caller.ask(clip(clips, "weather"))
        (call,) = asked.done.output
        output = {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER}
        await add(caller, output)
        reply = await caller.answer()
    caller.judge()
    assert calls_of(asked.done) == [("get_weather", {"city": "Paris"})]
    assert asked.audio_ms == 0
    await must_say(reply, f"The weather in Paris is {WEATHER}.", studio)


# --- written --------------------------------------------------------------------------------------------------------


async def test_text_in_text_out(server: str) -> None:
    async with writing(server, {"type": "realtime", "output_modalities": ["text"]}) as caller:
        await add(caller, message("user", "Good day to you."))
        done = await answered(caller)
    (item,) = done.output
    assert (item.content[0].type, item.content[0].text) == ("output_text", "You said: Good day to you.")
    assert "".join(e.delta for e in caller.events if e.type == "response.output_text.delta") == item.content[0].text
    assert done.usage.total_tokens > 0


@pytest.mark.parametrize(
    ("text", "response", "called"),
    [
        ("What is the weather in Paris?", {}, ["Paris"]),
        ("The weather in Paris and Rome?", {}, ["Paris", "Rome"]),
        ("The weather in Paris and Rome?", {"parallel_tool_calls": False}, ["Paris"]),
        ("The weather in Rome?", {"tool_choice": "none"}, []),
        ("Good day, Rome.", {"tool_choice": "required"}, ["Rome"]),
        ("Good day, Rome.", {"tool_choice": {"type": "function", "name": "get_weather"}}, ["Rome"]),
        ("The weather in Rome?", {"tools": []}, []),
    ],
)
async def test_which_tools_are_called(server: str, text: str, response: dict[str, Any], called: list[str]) -> None:
    async with writing(server, {"type": "realtime", "output_modalities": ["text"], "tools": [TOOL]}) as caller:
        await add(caller, message("user", text))
        done = await answered(caller, **response)
    assert calls_of(done) == [("get_weather", {"city": city}) for city in called]
    assert done.status == "completed"


async def test_words_before_a_call_are_spoken_and_the_output_may_come_early(server: str, studio: Studio) -> None:
    """The client answers the call as soon as it is told, which may be before the response is done."""
    async with writing(server, {"type": "realtime", "tools": [TOOL]}) as caller:
        await add(caller, message("user", "Please look at the weather in Rome."))
        await caller.realtime.response.create()
        call = await caller.event("response.function_call_arguments.done")
        await add(caller, {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER})
        first = await caller.reply(0)
        second = await caller.answer()
    assert [item.type for item in first.done.output] == ["message", "function_call"]
    await must_say(first, "Let me look.", studio)
    await must_say(second, f"The weather in Rome is {WEATHER}.", studio)


async def test_history_is_seeded_in_any_order_and_edited(server: str) -> None:
    async with writing(server, {"type": "realtime", "output_modalities": ["text"]}) as caller:
        await add(caller, message("user", "Second.", "two"))
        await add(caller, message("assistant", "Third.", "three"))
        await add(caller, message("user", "First.", "one"), after="root")
        await add(caller, message("user", "Never mind.", "wrong"), after="two")
        since = len(caller.events)
        await caller.realtime.conversation.item.delete(item_id="wrong")
        deleted = await caller.event("conversation.item.deleted", since)
        third = await caller.retrieve("three")
        await add(caller, message("user", "List them."))
        done = await answered(caller)
    added = [(e.item.id, e.previous_item_id) for e in caller.events if e.type == "conversation.item.added"][:4]
    assert added == [("two", None), ("three", "two"), ("one", None), ("wrong", "two")]
    assert deleted.item_id == "wrong"
    assert (third.role, third.content[0].text) == ("assistant", "Third.")
    listed = "user: First. / user: Second. / assistant: Third. / user: List them."
    assert done.output[0].content[0].text == listed


async def test_a_response_beside_the_conversation(server: str) -> None:
    """It sees only what it is given, says so in its metadata, and leaves no trace."""
    async with writing(server, {"type": "realtime", "output_modalities": ["text"]}) as caller:
        await add(caller, message("user", "This is the conversation.", "here"))
        aside = await answered(
            caller,
            conversation="none",
            metadata={"topic": "classification"},
            input=[{"type": "item_reference", "id": "here"}, message("user", "List them.")],
        )
        items = sum(event.type.startswith("conversation.item") for event in caller.events)
        await add(caller, message("user", "List them."))
        after = await answered(caller)
    assert (aside.conversation_id, aside.metadata) == (None, {"topic": "classification"})
    assert aside.output[0].content[0].text == "user: This is the conversation. / user: List them."
    assert items == 2
    assert after.output[0].content[0].text == "user: This is the conversation. / user: List them."
    assert after.conversation_id is not None


# --- other sessions -------------------------------------------------------------------------------------------------


async def test_a_transcription_session(server: str, clips: Path, words: dict[str, str]) -> None:
    wanted = {"type": "transcription", "audio": {"input": {**LISTENS, "turn_detection": {"type": "server_vad"}}}}
    async with writing(server, wanted, intent="transcription") as caller:
        await append(caller, (clips / "question.pcm").read_bytes() + bytes(2 * RATE_HZ * 2))
        heard = await caller.transcript(0)
        session = (await caller.event("session.updated")).session
    assert session.type == "transcription"
    assert word_errors(words["question"], heard) <= 0.2
    kinds = [event.type for event in caller.events]
    assert not any(kind.startswith("response.") for kind in kinds)
    assert kinds.index("input_audio_buffer.committed") < kinds.index("conversation.item.added")


def trusting(made: Certificate, key: str, url: str) -> AsyncOpenAI:
    context = ssl.create_default_context(cafile=made.cert)
    return AsyncOpenAI(api_key=key, base_url=f"{url}/v1", http_client=httpx2.AsyncClient(verify=context))


async def test_a_client_secret_opens_the_session_that_it_was_made_for(
    secured: tuple[str, Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, made = secured
    monkeypatch.setenv("SSL_CERT_FILE", str(made.cert))  # for the WebSocket
    async with trusting(made, KEY, url) as client:
        session: Any = {"type": "realtime", "instructions": "Be brief.", "output_modalities": ["text"]}
        secret = await client.realtime.client_secrets.create(session=session)
    assert secret.value.startswith("ek_")
    async with writing(url, client=trusting(made, secret.value, url)) as caller:
        created = (await caller.event("session.created")).session
        await add(caller, message("user", "Good day."))
        done = await answered(caller)
    assert (created.instructions, created.output_modalities) == ("Be brief.", ["text"])
    assert done.output[0].content[0].text == "You said: Good day."


async def test_without_the_key_nobody_is_let_in(
    secured: tuple[str, Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, made = secured
    monkeypatch.setenv("SSL_CERT_FILE", str(made.cert))
    with pytest.raises(InvalidStatus) as refused:
        async with writing(url, client=trusting(made, "sk-wrong", url)):
            pass
    body = json.loads(refused.value.response.body)
    assert refused.value.response.status_code == 401
    assert body["error"]["code"] == "invalid_api_key"


async def test_what_the_responder_is_shown_of_a_picture(server: str, brain: Brain) -> None:
    """A picture goes to the language model with the words that follow it."""
    pixel = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
    async with writing(server, {"type": "realtime", "output_modalities": ["text"]}) as caller:
        content = [{"type": "input_image", "image_url": pixel}, {"type": "input_text", "text": "What is this?"}]
        await add(caller, {"type": "message", "role": "user", "content": content})
        await answered(caller)
    shown = [m for asked in brain.requests for m in asked["messages"] if isinstance(m.get("content"), list)]
    urls = [part["image_url"]["url"] for m in shown for part in m["content"] if part["type"] == "image_url"]
    assert pixel in urls
