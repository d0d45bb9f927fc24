"""What of the protocol this server does, found out by doing it: the tables of docs/protocol.md.

    python -m tests.realtime.coverage       # writes the tables anew

Knows: every event of the protocol, every field of a session and of a response, and how it shows that one is there. Does
not know: how it is done. The other servers' columns were read from their sources in November 2026, at the commits that
the table names.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.realtime.replies import Event
from tests.realtime.server_coverage import SERVER_PROBES
from tests.realtime.steps import PIXEL, TOOL
from tests.realtime.talk import Talk
from voxtral_voice.conversation import events as ev

Need = Literal["must", "should", "may", "no"]
Probe = Callable[[Talk], bool]

PAGE: Final = Path(__file__).parents[2] / "docs" / "protocol.md"
BEGIN: Final = "<!-- made by python -m tests.realtime.coverage -->"
END: Final = "<!-- end of what is made -->"
LOUD, QUIET = 0.95, 0.02
STORY: Final = 3 * "Once upon a time there was a king who had three sons, and the youngest of them was a fool. "
PUSHED: Final = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}
LISTENING: Final = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}


# --- what is done ------------------------------------------------------------------------------------------------


def update(talk: Talk, **session: Any) -> Event:
    """The session after it."""
    [event] = talk.ask("session.update", session={"type": talk.session_object["type"], **session})
    assert event["type"] == "session.updated", event
    session_object: Event = event["session"]
    return session_object


def add(talk: Talk, item: Event, **fields: Any) -> list[str]:
    return [event["type"] for event in talk.ask("conversation.item.create", item=item, **fields)]


def words(text: str = "hello", **fields: Any) -> Event:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def answer(talk: Talk, **response: Any) -> Event:
    """The response at its end."""
    count = len(talk.all("response.done"))
    talk.ask("response.create", response=response)
    for _ in range(200):
        talk.work_through()
        talk.pass_time(0.2)
        if len(talk.all("response.done")) > count:
            break
    done: Event = talk.all("response.done")[count]["response"]
    return done


def turn(talk: Talk) -> Event | None:
    """Something is said; the response to it, if there is one within 5 s."""
    count = len(talk.all("response.done"))
    talk.hear(15, LOUD)
    for _ in range(80):
        talk.hear(2, QUIET)
        talk.work_through()
        if len(talk.all("response.done")) > count:
            done: Event = talk.all("response.done")[count]["response"]
            return done
    return None


def push_to_talk(talk: Talk) -> list[str]:
    """What is told when the client ends a turn."""
    update(talk, **PUSHED)
    talk.hear(20, QUIET)
    return [event["type"] for event in talk.ask("input_audio_buffer.commit")]


def speaking(talk: Talk) -> tuple[str, str]:
    """A reply that is being said, and its item."""
    update(talk, **PUSHED)
    add(talk, words())
    talk.ask("response.create")
    while not talk.order.replies.sounds:
        assert talk.work() or talk.session.wake_at() is not None
        talk.pass_time(0.05)
    [item_id] = talk.order.replies.sounds
    assert talk.order.replies.active is not None
    return talk.order.replies.active, item_id


def refused(talk: Talk, kind: str, **fields: Any) -> str | None:
    """With which code."""
    codes: list[str] = [e["error"]["code"] for e in talk.ask(kind, **fields) if e["type"] == "error"]
    return codes[0] if codes else None


def call(talk: Talk, **session: Any) -> Event:
    """A response that calls a tool."""
    update(talk, **PUSHED, **{"tools": [TOOL], "tool_choice": "required", **session})
    add(talk, words())
    return answer(talk)


# --- client events -----------------------------------------------------------------------------------------------

ADDED: Final = ["conversation.item.added", "conversation.item.done"]


def _append(talk: Talk) -> bool:
    return talk.append(bytes(960)) == [] and refused(talk, "input_audio_buffer.append", audio="?") == "invalid_value"


def _commit(talk: Talk) -> bool:
    told = push_to_talk(talk) == ["input_audio_buffer.committed", *ADDED]
    return told and refused(talk, "input_audio_buffer.commit") == "input_audio_buffer_commit_empty"


def _items(talk: Talk) -> bool:
    sound = base64.b64encode(bytes(9600)).decode()
    call_item = {"type": "function_call", "name": "look", "call_id": "C", "arguments": "{}"}
    contents = {
        "system": [[{"type": "input_text", "text": "x"}]],
        "user": [
            [{"type": "input_text", "text": "x"}],
            [{"type": "input_audio", "audio": sound}],
            [{"type": "input_audio", "audio": sound, "transcript": "x"}],
            [{"type": "input_image", "image_url": PIXEL}, {"type": "input_text", "text": "x"}],
        ],
        "assistant": [[{"type": "output_text", "text": "x"}], [{"type": "output_audio", "transcript": "x"}]],
    }
    made = [{"type": "message", "role": role, "content": c} for role, some in contents.items() for c in some]
    items: list[Event] = [*made, call_item, {"type": "function_call_output", "call_id": "C", "output": "x"}]
    added = all(add(talk, item) == ADDED for item in items)
    named = add(talk, words(id="mine"), previous_item_id="root") == ADDED and talk.order.items[0] == "mine"
    behind = add(talk, words(id="next"), previous_item_id="mine") == ADDED and talk.order.items[1] == "next"
    again = refused(talk, "conversation.item.create", item=words(id="mine")) == "item_create_duplicate_item_id"
    return added and named and behind and again


def _delete(talk: Talk) -> bool:
    add(talk, words(id="mine"))
    [gone] = talk.ask("conversation.item.delete", item_id="mine")
    again = refused(talk, "conversation.item.delete", item_id="mine")
    return gone["type"] == "conversation.item.deleted" and again == "item_delete_invalid_item_id"


def _retrieve(talk: Talk) -> bool:
    """With its sound."""
    update(talk, **PUSHED)
    add(talk, words())
    done = answer(talk)
    [told] = talk.ask("conversation.item.retrieve", item_id=done["output"][0]["id"])
    [content] = told["item"]["content"]
    unknown = refused(talk, "conversation.item.retrieve", item_id="nobody")
    return bool(content["audio"] and content["transcript"]) and unknown == "item_retrieve_invalid_item_id"


def _truncate(talk: Talk) -> bool:
    """Clamped; and what was not heard is gone."""
    update(talk, **PUSHED)
    add(talk, words())
    item_id = answer(talk)["output"][0]["id"]
    far, near = (
        talk.ask("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms) for ms in (10**7, 1)
    )
    [kept] = talk.ask("conversation.item.retrieve", item_id=item_id)
    kinds = [[event["type"] for event in told] for told in (far, near)]
    unknown = refused(talk, "conversation.item.truncate", item_id="nobody", content_index=0, audio_end_ms=1)
    cut = kinds == [["conversation.item.truncated"]] * 2 and not kept["item"]["content"][0]["transcript"]
    return cut and far[0]["audio_end_ms"] < 10**7 and unknown == "item_truncate_invalid_item_id"


def _create(talk: Talk) -> bool:
    speaking(talk)
    code = refused(talk, "response.create")
    return code == "conversation_already_has_active_response"


def _cancel(talk: Talk) -> bool:
    speaking(talk)
    [*_, done] = talk.ask("response.cancel")
    late = refused(talk, "response.cancel")
    details = done["response"]["status_details"]
    return details["reason"] == "client_cancelled" and late == "response_cancel_not_active"


# --- sessions ----------------------------------------------------------------------------------------------------


def _echo(name: str, value: Any) -> Probe:
    return lambda talk: bool(update(talk, **{name: value})[name] == value)


def _echo_input(name: str, *values: Any) -> Probe:
    """Each of them is told back, and null clears it."""

    def probe(talk: Talk) -> bool:
        told = [update(talk, audio={"input": {name: value}})["audio"]["input"][name] for value in values]
        return all(_same(value, back) for value, back in zip(values, told, strict=True))

    return probe


def _same(given: Any, told: Any) -> bool:
    """told may say more."""
    if isinstance(given, dict):
        return isinstance(told, dict) and all(told.get(key) == value for key, value in given.items())
    return bool(given == told)


def _identity(talk: Talk) -> bool:
    session = talk.session_object
    return (session["object"], session["id"]) == ("realtime.session", "sess_1") and bool(session["expires_at"])


def _model(talk: Talk) -> bool:
    """Ours, whatever the client says."""
    return bool(update(talk, model="gpt-realtime")["model"] == talk.session_object["model"] == "voxtral-voice")


def _type(talk: Talk) -> bool:
    missing = refused(talk, "session.update", session={"instructions": "x"}) == "missing_required_parameter"
    talk.append(bytes(960))
    return missing and refused(talk, "session.update", session={"type": "transcription"}) == "invalid_value"


def _modalities(talk: Talk) -> bool:
    both = refused(talk, "session.update", session={"type": "realtime", "output_modalities": ["text", "audio"]})
    update(talk, output_modalities=["text"])
    return both == "invalid_value" and bool(answer(talk)["output"][0]["content"][0]["type"] == "output_text")


def _instructions(talk: Talk) -> bool:
    update(talk, instructions="Sing.")
    answer(talk)
    told = talk.prompts[-1].messages[0] == ("system", "Sing.")
    update(talk, instructions="")
    answer(talk)
    return told and ("system", "Sing.") not in talk.prompts[-1].messages


def _tools(talk: Talk) -> bool:
    mcp = {"type": "mcp", "server_label": "x", "server_url": "https://example.com"}
    refusal = refused(talk, "session.update", session={"type": "realtime", "tools": [mcp]})
    done = call(talk)
    return refusal == "invalid_value" and any(item["type"] == "function_call" for item in done["output"])


def _tool_choice(talk: Talk) -> bool:
    named = {"type": "function", "name": "weather"}
    asked = []
    for choice in ("auto", "none", "required", named):
        update(talk, tools=[TOOL], tool_choice=choice, output_modalities=["text"])
        answer(talk)
        asked.append(talk.prompts[-1].tool_choice)
    return asked == ["auto", "none", "required", ev.NamedTool("weather")]


def _parallel(talk: Talk) -> bool:
    update(talk, tools=[TOOL], parallel_tool_calls=False, output_modalities=["text"])
    answer(talk)
    return talk.prompts[-1].parallel_tool_calls is False


def _tokens(talk: Talk) -> bool:
    limited = answer(talk, max_output_tokens=7, output_modalities=["text"])["max_output_tokens"] == 7
    update(talk, max_output_tokens=9)
    answer(talk)
    return limited and talk.prompts[-1].max_tokens == 9 and update(talk, max_output_tokens="inf") is not None


def _prompt(talk: Talk) -> bool:
    told = refused(talk, "session.update", session={"type": "realtime", "prompt": {"id": "p"}})
    return told == "invalid_value" and update(talk, prompt=None)["prompt"] is None


def _formats(side: str) -> Probe:
    def probe(talk: Talk) -> bool:
        given = [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"}]
        told = [update(talk, audio={side: {"format": each}})["audio"][side]["format"] for each in given]
        wrong = {"type": "realtime", "audio": {side: {"format": {"type": "audio/pcm", "rate": 16000}}}}
        return told == given and refused(talk, "session.update", session=wrong) == "invalid_value"

    return probe


def _telephone_in(talk: Talk) -> bool:
    """As long as it is said to be: 8 kHz."""
    update(talk, audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}})
    before = talk.received
    talk.append(bytes([0xFF]) * 8000)
    return _formats("input")(talk) and abs(talk.received - before - 16_000) < 200


def _telephone_out(talk: Talk) -> bool:
    update(talk, **PUSHED)
    done = answer(talk, audio={"output": {"format": {"type": "audio/pcma"}}}, input=[words()])
    sound = talk.order.replies.sounds[done["output"][0]["id"]]
    return _formats("output")(talk) and sound.encoding == "audio/pcma" and sound.size > 0


def _transcription(talk: Talk) -> bool:
    """Told to who asks for it, and with the language and the prompt that it gives."""
    talk.heard = ("hello there",)
    turn(talk)
    untold = not talk.all("conversation.item.input_audio_transcription.completed")
    update(talk, audio={"input": {"transcription": {"model": "m", "language": "hi", "prompt": "Names."}}})
    turn(talk)
    job = talk.transcriptions[-1]
    told = talk.all("conversation.item.input_audio_transcription.completed")
    return untold and len(told) == 1 and (job.language, job.prompt) == ("hi", "Names.")


def _server_vad(talk: Talk) -> bool:
    """Its silence ends the turn, exactly; threshold, padding and the two switches too."""
    talk.heard = ("hello there",)
    update(talk, audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 1500}}})
    answered = turn(talk) is not None
    start, stop = talk.all("input_audio_buffer.speech_started")[0], talk.all("input_audio_buffer.speech_stopped")[0]
    padded = start["audio_start_ms"] == 0 and 400 <= stop["audio_end_ms"] <= 600
    update(talk, audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.99}}})
    deaf = turn(talk) is None and len(talk.all("input_audio_buffer.speech_started")) == 1
    update(talk, audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
    return answered and padded and deaf and turn(talk) is None and len(talk.all("input_audio_buffer.committed")) == 2


def _interrupt(_: Talk) -> bool:
    """interrupt_response: an interruption ends the reply, or does not."""
    return [_cut(interrupts) for interrupts in (True, False)] == ["turn_detected", None]


def _cut(interrupts: bool) -> str | None:
    """Why a reply ended over which something was said."""
    talk = Talk(random.Random(1))
    talk.answers = (STORY,)
    update(talk, audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": interrupts}}})
    talk.ask("response.create", response={"input": [words()]})
    talk.work_through()
    talk.hear(10, QUIET)
    talk.hear(50, LOUD)
    talk.pass_time(30.0)
    details = talk.all("response.done")[0]["response"]["status_details"]
    return None if details is None else str(details["reason"])


def _idle(talk: Talk) -> bool:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    update(talk, audio={"input": {"turn_detection": detection}}, output_modalities=["text"])
    answer(talk)
    talk.hear(250, QUIET)
    talk.work_through()
    [timeout] = talk.all("input_audio_buffer.timeout_triggered")[:1]
    return timeout["item_id"] in talk.order.items and len(talk.all("response.created")) >= 2


def _semantic_vad(talk: Talk) -> bool:
    talk.heard = ("hello there",)
    names = ("low", "medium", "high", "auto")
    given = [{"type": "semantic_vad", "eagerness": name} for name in names]
    told = [
        update(talk, audio={"input": {"turn_detection": each}})["audio"]["input"]["turn_detection"] for each in given
    ]
    return [each["eagerness"] for each in told] == [*names] and turn(talk) is not None


def _manual(talk: Talk) -> bool:
    update(talk, **PUSHED)
    talk.hear(20, LOUD)
    talk.hear(60, QUIET)
    return not talk.all("input_audio_buffer.speech_started")


def _voice(talk: Talk) -> bool:
    """Its own voices, OpenAI's names, and {id}; an unknown one is refused."""
    voices = [update(talk, audio={"output": {"voice": name}})["audio"]["output"]["voice"]
              for name in ("af_bella", "coral", {"id": "marin"})]  # fmt: skip
    wrong = {"type": "realtime", "audio": {"output": {"voice": "nobody"}}}
    answer(talk, input=[words()], audio={"output": {"voice": "am_michael"}})
    used = talk.spoken[-1].voice == "am_michael"
    known = voices == ["af_bella", "af_bella", "af_heart"]
    return known and used and refused(talk, "session.update", session=wrong) == "invalid_value"


def _speed(talk: Talk) -> bool:
    update(talk, audio={"output": {"speed": 1.25}})
    answer(talk, input=[words()])
    return talk.spoken[-1].speed == 1.25


def _unknown_keys(talk: Talk) -> bool:
    """Ignored at the top, where old clients have theirs; refused inside of audio."""
    update(talk, temperature=0.8, voice="alloy")
    wrong = {"type": "realtime", "audio": {"input": {"smell": 1}}}
    return refused(talk, "session.update", session=wrong) == "unknown_parameter"


def _transcribing(talk: Talk) -> bool:
    """As the first thing; and no responses."""
    [event] = talk.ask("session.update", session={"type": "transcription"})
    talk.hear(20, LOUD)
    for _ in range(60):
        talk.hear(2, QUIET)
        talk.work_through()
    told = talk.all("conversation.item.input_audio_transcription.completed")
    none = refused(talk, "response.create") == "invalid_value" and not talk.all("response.created")
    return event["session"]["object"] == "realtime.transcription_session" and len(told) == 1 and none


# --- responses ---------------------------------------------------------------------------------------------------


def _beside(talk: Talk) -> bool:
    """Out of the conversation: while one is being said, and none of it in the history."""
    speaking(talk)
    items = list(talk.order.items)
    inputs = {"conversation": "none", "input": [words()], "metadata": {"k": "v"}, "output_modalities": ["text"]}
    talk.ask("response.create", response=inputs)
    talk.work_through()
    done = next(e["response"] for e in talk.all("response.done") if e["response"]["metadata"] == {"k": "v"})
    return done["conversation_id"] is None and talk.order.items == items and bool(done["output"])


def _metadata(talk: Talk) -> bool:
    return bool(
        answer(talk, metadata={"client_event_id": "x"}, input=[words()])["metadata"] == {"client_event_id": "x"}
    )


def _input(talk: Talk) -> bool:
    add(talk, words("one", id="first"))
    add(talk, words("two"))
    answer(talk, input=[{"type": "item_reference", "id": "first"}, words("three")], output_modalities=["text"])
    given = talk.prompts[-1].messages == (("user", "one"), ("user", "three"))
    answer(talk, input=[], instructions="Sing.", output_modalities=["text"])
    return given and talk.prompts[-1].messages == (("system", "Sing."),)


def _own_tools(talk: Talk) -> bool:
    done = answer(talk, tools=[TOOL], tool_choice="required", input=[words()])
    return any(item["type"] == "function_call" for item in done["output"]) and talk.session_object["tools"] == []


def _failure(talk: Talk) -> bool:
    """Everything is closed, and the response says why."""
    update(talk, **PUSHED)
    add(talk, words())
    talk.ask("response.create")
    talk.work(failing=True)
    done = talk.all("response.done")[-1]["response"]
    return done["status"] == "failed" and bool(done["status_details"]["error"]["message"])


def _length(talk: Talk) -> bool:
    """max_output_tokens."""
    for _ in range(200):
        done = answer(talk, input=[words()], output_modalities=["text"])
        if done["status"] == "incomplete":
            return bool(done["status_details"]["reason"] == "max_output_tokens")
    return False


def _usage(talk: Talk) -> bool:
    """As the engine counted, whole."""
    for _ in range(50):
        usage = answer(talk, input=[words()], output_modalities=["text"])["usage"]
        if usage["total_tokens"]:
            return "cached_tokens_details" in usage["input_token_details"] and "output_token_details" in usage
    return False


# --- server events -----------------------------------------------------------------------------------------------


def _voice_turn(talk: Talk) -> object:
    talk.heard = ("hello there",)
    update(talk, **LISTENING)
    return turn(talk)


def _lost_words(talk: Talk) -> None:
    push_to_talk(talk)
    talk.work(failing=True)


def _text(talk: Talk) -> None:
    answer(talk, input=[words()], output_modalities=["text"])


def _seen(kind: str, scene: Callable[[Talk], object]) -> Probe:
    def probe(talk: Talk) -> bool:
        scene(talk)
        return bool(talk.all(kind)) or bool(kind == "response.output_audio.delta" and talk.order.replies.sounds)

    return probe


SCENES: Final[dict[str, Callable[[Talk], object]]] = {
    "session.created": lambda _: None,
    "session.updated": lambda talk: update(talk, **PUSHED),
    "error": lambda talk: talk.send("{"),
    "input_audio_buffer.speech_started": _voice_turn,
    "input_audio_buffer.speech_stopped": _voice_turn,
    "input_audio_buffer.committed": _voice_turn,
    "input_audio_buffer.cleared": lambda talk: talk.ask("input_audio_buffer.clear"),
    "input_audio_buffer.timeout_triggered": _idle,
    "conversation.item.added": _voice_turn,
    "conversation.item.done": _voice_turn,
    "conversation.item.deleted": _delete,
    "conversation.item.retrieved": _retrieve,
    "conversation.item.truncated": _truncate,
    "conversation.item.input_audio_transcription.delta": _voice_turn,
    "conversation.item.input_audio_transcription.completed": _voice_turn,
    "conversation.item.input_audio_transcription.failed": _lost_words,
    "response.created": _voice_turn,
    "response.done": _voice_turn,
    "response.output_item.added": _voice_turn,
    "response.output_item.done": _voice_turn,
    "response.content_part.added": _voice_turn,
    "response.content_part.done": _voice_turn,
    "response.output_audio.delta": _voice_turn,
    "response.output_audio.done": _voice_turn,
    "response.output_audio_transcript.delta": _voice_turn,
    "response.output_audio_transcript.done": _voice_turn,
    "response.output_text.delta": _text,
    "response.output_text.done": _text,
    "response.function_call_arguments.delta": call,
    "response.function_call_arguments.done": call,
}


# --- the tables --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    need: Need
    probe: Probe | None = None
    """None: it is not for this server, as the note says."""
    note: str = ""
    word: str = "yes"
    """When it is done."""

    def driven(self) -> Talk:
        """A talk in which it was tried, for who wants to see the traffic."""
        talk = Talk(random.Random(self.name))
        if self.probe is not None:
            self.probe(talk)
        return talk

    @property
    def is_done(self) -> bool:
        return self.probe is not None and self.probe(Talk(random.Random(self.name)))

    @property
    def cell(self) -> str:
        if self.probe is None:
            return "–"
        return self.word if self.is_done else "no"


CLIENT_EVENTS: Final = (
    Row(
        "session.update",
        "must",
        _unknown_keys,
        "a patch, all of it or nothing; unknown keys outside of `audio` are ignored",
    ),
    Row("input_audio_buffer.append", "must", _append, "up to 15 MiB of audio"),
    Row("input_audio_buffer.commit", "must", _commit, "also while voice activity is on"),
    Row("input_audio_buffer.clear", "must", _seen("input_audio_buffer.cleared", SCENES["input_audio_buffer.cleared"])),
    Row("output_audio_buffer.clear", "no", note="WebRTC and SIP only: an error, as OpenAI has it"),
    Row(
        "conversation.item.create",
        "must",
        _items,
        "messages with text, sound or pictures; calls and their outputs; ids of the client's own; `root`",
    ),
    Row("conversation.item.delete", "must", _delete),
    Row("conversation.item.retrieve", "must", _retrieve, "with its sound, the last 30 s of each side"),
    Row("conversation.item.truncate", "must", _truncate, "what is beyond the end is clamped"),
    Row("response.create", "must", _create),
    Row("response.cancel", "must", _cancel, "a late one never ends the next response"),
)

NOT_OURS: Final = (
    Row("rate_limits.updated", "may", note="never: there are no limits to tell"),
    Row("conversation.item.input_audio_transcription.segment", "no", note="there is one speaker"),
    Row("input_audio_buffer.dtmf_event_received", "no", note="SIP only"),
    Row("output_audio_buffer.started, .stopped, .cleared", "no", note="WebRTC only"),
    Row("mcp_list_tools.*, response.mcp_call*", "no", note="the client runs its tools"),
    Row("conversation.created, conversation.item.created", "no", note="of the beta"),
)

SHOULD: Final = {"input_audio_buffer.timeout_triggered"}
SERVER_EVENTS: Final = (
    *(Row(kind, "should" if kind in SHOULD else "must", _seen(kind, scene)) for kind, scene in SCENES.items()),
    *NOT_OURS,
)

TOLD_BACK: Final = "told back only"

SESSION: Final = (
    Row("type", "must", _type, "`realtime` or `transcription`, for the whole session"),
    Row("object, id, expires_at", "must", _identity),
    Row("model", "must", _model, "the server's own, whatever is asked for"),
    Row("output_modalities", "must", _modalities),
    Row("instructions", "must", _instructions),
    Row("tools", "must", _tools, "functions; tools of MCP servers are refused"),
    Row("tool_choice", "must", _tool_choice),
    Row("parallel_tool_calls", "should", _parallel),
    Row("max_output_tokens", "must", _tokens),
    Row("tracing", "should", _echo("tracing", "auto"), word=TOLD_BACK),
    Row("truncation", "should", _echo("truncation", "disabled"), "the history keeps its newest items", TOLD_BACK),
    Row("prompt", "may", _prompt, "there are no stored prompts; null is taken", "refused"),
    Row("reasoning", "may", _echo("reasoning", {"effort": "low"}), word=TOLD_BACK),
    Row(
        "include",
        "may",
        _echo("include", ["item.input_audio_transcription.logprobs"]),
        "`logprobs` are null",
        TOLD_BACK,
    ),
    Row("audio.input.format", "must", _telephone_in, "audio/pcm at 24 kHz, audio/pcmu, audio/pcma"),
    Row(
        "audio.input.transcription",
        "must",
        _transcription,
        "with `language` and `prompt`; the model is the server's own",
    ),
    Row(
        "audio.input.noise_reduction",
        "should",
        _echo_input("noise_reduction", {"type": "near_field"}, None),
        word=TOLD_BACK,
    ),
    Row("audio.input.turn_detection: null", "must", _manual),
    Row("audio.input.turn_detection: server_vad", "must", _server_vad),
    Row("audio.input.turn_detection.idle_timeout_ms", "should", _idle),
    Row("audio.input.turn_detection.interrupt_response", "must", _interrupt),
    Row("audio.input.turn_detection: semantic_vad", "should", _semantic_vad),
    Row("audio.output.format", "must", _telephone_out),
    Row("audio.output.voice", "must", _voice, "Kokoro's, and OpenAI's names for them"),
    Row("audio.output.speed", "should", _speed, "0.25 to 2"),
    Row("a session of type transcription", "must", _transcribing, "also by `?intent=transcription`"),
)

RESPONSE: Final = (
    Row("conversation: none", "must", _beside, "up to eight at once, beside the one of the conversation"),
    Row("input", "must", _input, "items and references; `[]` is nothing but the instructions"),
    Row("metadata", "must", _metadata),
    Row("instructions, output_modalities, max_output_tokens, audio.output", "must", _tokens),
    Row("tools, tool_choice, parallel_tool_calls", "must", _own_tools),
    Row("status failed", "must", _failure, "whichever engine fails"),
    Row("status incomplete", "must", _length),
    Row("usage", "must", _usage, "as the engine counts; zeros when it does not"),
)

TABLES: Final = {
    "Events of the client": CLIENT_EVENTS,
    "Events of the server": SERVER_EVENTS,
    "The session": SESSION,
    "A response": RESPONSE,
}
ROWS: Final = tuple(row for rows in TABLES.values() for row in rows if row.probe is not None)


# --- beside the others -------------------------------------------------------------------------------------------

OTHERS: Final = ("speech-to-speech 9f59bc7", "speaches 870e1e1", "LocalAI 82c191a", "vLLM")


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    needs: tuple[str, ...]
    """Rows, or probes of the server, that have to be done."""
    others: tuple[str, str, str, str]


def _f(name: str, needs: str, *others: str) -> Feature:
    first, second, third, fourth = others
    return Feature(name, tuple(needs.split()), (first, second, third, fourth))


FEATURES: Final = (
    _f("names of GA", "session.created", "yes", "no: beta", "yes", "no: own"),
    _f(
        "session.created, session.updated: the whole object",
        "session.created session.updated",
        "partly",
        "partly: beta",
        "yes",
        "partly",
    ),
    _f(
        "input_audio_buffer.append, commit",
        "input_audio_buffer.append input_audio_buffer.commit",
        "yes",
        "yes",
        "partly",
        "partly",
    ),
    _f("input_audio_buffer.clear", "input_audio_buffer.clear", "no", "yes", "yes", "no"),
    _f(
        "speech_started, speech_stopped",
        "input_audio_buffer.speech_started input_audio_buffer.speech_stopped",
        "yes",
        "yes",
        "yes",
        "no",
    ),
    _f("committed", "input_audio_buffer.committed", "no", "yes", "yes", "no"),
    _f(
        "conversation.item.added, done",
        "conversation.item.added conversation.item.done",
        "no",
        "no",
        "added only",
        "no",
    ),
    _f(
        "items with text, pictures, sound, outputs of calls",
        "conversation.item.create",
        "no sound",
        "partly",
        "yes",
        "no",
    ),
    _f(
        "item.delete, item.retrieve",
        "conversation.item.delete conversation.item.retrieve",
        "no",
        "delete",
        "partly",
        "no",
    ),
    _f("item.truncate", "conversation.item.truncate", "partly", "no", "yes", "no"),
    _f(
        "transcription delta, completed, failed",
        "conversation.item.input_audio_transcription.delta conversation.item.input_audio_transcription.completed "
        "conversation.item.input_audio_transcription.failed",
        "partly",
        "completed",
        "yes",
        "own",
    ),
    _f(
        "response.created, response.done, on failure too",
        "response.created response.done failed",
        "yes",
        "yes",
        "no done on failure",
        "no",
    ),
    _f(
        "output_item.added, done",
        "response.output_item.added response.output_item.done",
        "tools only",
        "yes",
        "yes",
        "no",
    ),
    _f("content_part.added, done", "response.content_part.added response.content_part.done", "no", "yes", "yes", "no"),
    _f(
        "output_audio, its transcript",
        "response.output_audio.delta response.output_audio_transcript.done",
        "yes",
        "beta names",
        "yes",
        "no",
    ),
    _f("output_text", "response.output_text.delta response.output_text.done", "partly", "no", "yes", "no"),
    _f(
        "function calls, tool_choice in all forms",
        "response.function_call_arguments.done tool_choice",
        "strings only",
        "yes",
        "yes",
        "no",
    ),
    _f("response.cancel", "response.cancel", "yes", "no", "partly", "no"),
    _f("out of band, metadata", "none metadata", "yes", "no", "metadata", "no"),
    _f("semantic_vad", "semantic_vad", "partly", "no", "yes", "no"),
    _f("idle timeout", "idle_timeout_ms", "no", "no", "no", "no"),
    _f("transcription sessions", "transcription", "no", "yes", "yes", "only these"),
    _f("API keys, client secrets", "keys client_secrets", "no", "keys", "partly", "keys"),
    _f("sessions at the same time", "sessions", "one for each pipeline", "yes", "yes", "yes"),
)
SHORT: Final = {
    "failed": "status failed",
    "none": "conversation: none",
    "semantic_vad": "audio.input.turn_detection: semantic_vad",
    "idle_timeout_ms": "audio.input.turn_detection.idle_timeout_ms",
    "transcription": "a session of type transcription",
}


def tables() -> str:
    """Everything between the marks of the page."""
    done = {row.name: row.cell for row in ROWS}
    parts = [f"### {title}\n\n{_table(rows, done)}" for title, rows in TABLES.items()]
    return "\n\n".join([*parts, f"### Beside other open servers\n\n{_beside_others(done)}"])


def _table(rows: Iterable[Row], done: dict[str, str]) -> str:
    lines = ["| | clients need it | here | |", "|---|---|---|---|"]
    lines += [f"| {_code(row.name)} | {row.need} | {done.get(row.name, row.cell)} | {row.note} |" for row in rows]
    return "\n".join(lines)


def _code(names: str) -> str:
    return ", ".join(
        f"`{name}`" if " " not in name or name.startswith("audio.") else name for name in names.split(", ")
    )


def _beside_others(done: dict[str, str]) -> str:
    known = done | {name: "yes" if asyncio.run(probe()) else "no" for name, probe in SERVER_PROBES.items()}
    lines = [f"| | here | {' | '.join(OTHERS)} |", "|---|---|---|---|---|---|"]
    for feature in FEATURES:
        here = all(known[SHORT.get(need, need)] != "no" for need in feature.needs)
        lines.append(f"| {feature.name} | {'yes' if here else 'no'} | {' | '.join(feature.others)} |")
    return "\n".join(lines)


def written(page: str, made: str) -> str:
    """The page with these tables."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), tables()))
