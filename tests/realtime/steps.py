"""What can happen in a talk: what clients send, right and wrong, what is heard, what engines do.

    STEPS                name -> what happens; each takes the talk and its own chance
    random_script(rng)   names and numbers, for `play`

Knows: every client event and what can be wrong with it. Does not know: what has to come of it.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any, Final

from tests.realtime.client import Client
from tests.realtime.replies import Event
from tests.realtime.talk import FRAME_S, Talk

Make = Callable[[Client, random.Random], Event]
Step = Callable[[Talk, random.Random], object]
Script = list[tuple[str, int]]

PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
TOOL: Final = {
    "type": "function",
    "name": "weather",
    "description": "Of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOLS: Final[tuple[list[Event], ...]] = ([], [TOOL], [TOOL, {"type": "function", "name": "clock"}])
CHOICES: Final = ("auto", "none", "required", {"type": "function", "name": "weather"})
FORMATS: Final = ({"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"})


# --- the session -------------------------------------------------------------------------------------------------


def _detection(rng: random.Random) -> Any:
    answers = {"create_response": rng.random() < 0.9, "interrupt_response": rng.random() < 0.9}
    return rng.choice(
        (
            None,
            {"type": "server_vad"},
            {"type": "server_vad", "silence_duration_ms": rng.choice((0, 200, 1200)), **answers},
            {"type": "server_vad", "threshold": rng.random(), "idle_timeout_ms": rng.choice((None, 5000))},
            {"type": "semantic_vad", "eagerness": rng.choice(("low", "medium", "high", "auto")), **answers},
            {"type": "semantic_vad", "patience": rng.random()},
        )
    )


def _inputs(rng: random.Random) -> Event:
    return _some(
        rng,
        format=rng.choice(FORMATS),
        transcription=rng.choice((None, {"model": "whisper-1"}, {"model": "m", "language": "hi", "prompt": "Names."})),
        noise_reduction=rng.choice((None, {"type": "near_field"})),
        turn_detection=_detection(rng),
    )


def _session(talk: Client, rng: random.Random) -> Event:
    if talk.session_object["type"] == "transcription":
        inputs = _inputs(rng)
        if inputs.get("turn_detection"):
            inputs["turn_detection"] = rng.choice((None, {"type": "server_vad", "silence_duration_ms": 200}))
        include = ["item.input_audio_transcription.logprobs"]
        return {"type": "transcription", **_some(rng, audio={"input": inputs}, include=rng.choice((None, include)))}
    outputs = _some(
        rng, format=rng.choice(FORMATS), voice=rng.choice(("alloy", "af_heart", {"id": "marin"})), speed=1.2
    )
    return {
        "type": "realtime",
        **_some(
            rng,
            model="gpt-realtime",
            instructions=rng.choice(("", "Be brief.")),
            output_modalities=rng.choice((["audio"], ["audio"], ["text"])),
            tools=rng.choice(TOOLS),
            tool_choice=rng.choice(CHOICES[:3]),
            parallel_tool_calls=rng.random() < 0.5,
            max_output_tokens=rng.choice((1, 4096, "inf")),
            tracing=rng.choice((None, "auto", {"workflow_name": "w"})),
            truncation=rng.choice(("auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5})),
            prompt=None,
            reasoning=rng.choice((None, {"effort": "low"})),
            include=rng.choice((None, ["item.input_audio_transcription.logprobs"])),
            voxtral_voice={"events": rng.random() < 0.5},
            audio=_some(rng, input=_inputs(rng), output=outputs),
            temperature=0.8,
        ),
    }


def _some(rng: random.Random, **fields: Any) -> Event:
    """A few of them."""
    share = rng.choice((0.1, 0.3, 0.6))
    return {key: value for key, value in fields.items() if rng.random() < share}


# --- items and responses -----------------------------------------------------------------------------------------


def _content(rng: random.Random, role: str) -> list[Event]:
    sound = base64.b64encode(bytes(rng.choice((480, 4800)))).decode()
    kinds: dict[str, tuple[list[Event], ...]] = {
        "system": ([{"type": "input_text", "text": "Be kind."}],),
        "user": (
            [{"type": "input_text", "text": "what is the time"}],
            [{"type": "input_text", "text": "call"}],
            [{"type": "input_audio", "audio": sound}],
            [{"type": "input_audio", "audio": sound, "transcript": "hello"}],
            [{"type": "input_image", "image_url": PIXEL}, {"type": "input_text", "text": "what is this"}],
            [{"type": "input_image", "image_url": PIXEL, "detail": "low"}],
        ),
        "assistant": (
            [{"type": "output_text", "text": "Hello."}],
            [{"type": "output_audio", "transcript": "Hello."}],
            [{"type": "text", "text": "Hello."}],
        ),
    }
    return rng.choice(kinds[role])


def _item(talk: Client, rng: random.Random) -> Event:
    item: Event = {"id": _new_id(talk, rng)} if rng.random() < 0.5 else {}
    kind = rng.random()
    if kind < 0.6:
        role = rng.choice(("system", "user", "user", "assistant"))
        return {**item, "type": "message", "role": role, "content": _content(rng, role)}
    call_id = rng.choice([*talk.call_ids[-3:], "call_mine"])
    if kind < 0.75:
        return {**item, "type": "function_call", "name": "weather", "call_id": call_id, "arguments": "{}"}
    return {**item, "type": "function_call_output", "call_id": call_id, "output": rng.choice(("", "sunny"))}


def _new_id(talk: Client, rng: random.Random) -> str:
    """Mostly a new one."""
    return rng.choice((talk.name(), talk.name(), talk.name(), _item_id(talk, rng)))


def _item_id(talk: Client, rng: random.Random) -> str:
    """Mostly one that is there."""
    return rng.choice([*talk.item_ids[-6:], *talk.order.items[-6:], "nobody"])


def _response(talk: Client, rng: random.Random) -> Event:
    references = [{"type": "item_reference", "id": _item_id(talk, rng)}]
    inputs: tuple[list[Event], ...] = ([], references, [_item(talk, rng)])
    return {
        "metadata": {"mark": talk.name()},
        **_some(
            rng,
            conversation=rng.choice(("auto", "none", "none")),
            input=rng.choice(inputs),
            instructions=rng.choice((None, "Sing.")),
            output_modalities=rng.choice((["audio"], ["text"])),
            tools=rng.choice(TOOLS),
            tool_choice=rng.choice(CHOICES[:3]),
            parallel_tool_calls=False,
            max_output_tokens=rng.choice((10, "inf")),
            audio={"output": _some(rng, format=rng.choice(FORMATS), voice="marin")},
            temperature=0.8,
        ),
    }


def _create_response(talk: Client, rng: random.Random) -> Event:
    return {"response": _response(talk, rng)} if rng.random() < 0.7 else {}


def _cancel(talk: Client, rng: random.Random) -> Event:
    names = [*talk.response_ids[-3:], *talk.order.replies.open, "nobody"]
    return {"response_id": rng.choice(names)} if rng.random() < 0.5 else {}


def _append(_: Client, rng: random.Random) -> Event:
    return {"audio": base64.b64encode(rng.randbytes(rng.choice((0, 1, 480, 961, 9600, 48_000)))).decode()}


def _create_item(talk: Client, rng: random.Random) -> Event:
    previous = rng.choice(({}, {}, {"previous_item_id": rng.choice((None, "root", _item_id(talk, rng)))}))
    return {"item": _item(talk, rng), **previous}


def _truncate(talk: Client, rng: random.Random) -> Event:
    return {
        "item_id": _item_id(talk, rng),
        "content_index": 0,
        "audio_end_ms": rng.choice((0, 1, 300, 1500.5, 10**9)),
    }


EVENTS: Final[dict[str, Make]] = {
    "session.update": lambda talk, rng: {"session": _session(talk, rng)},
    "input_audio_buffer.append": _append,
    "input_audio_buffer.commit": lambda _, __: {},
    "input_audio_buffer.clear": lambda _, __: {},
    "output_audio_buffer.clear": lambda _, __: {},
    "conversation.item.create": _create_item,
    "conversation.item.delete": lambda talk, rng: {"item_id": _item_id(talk, rng)},
    "conversation.item.retrieve": lambda talk, rng: {"item_id": _item_id(talk, rng)},
    "conversation.item.truncate": _truncate,
    "response.create": _create_response,
    "response.cancel": _cancel,
}
"""Every client event -> its fields, as a client means them: right, but perhaps at the wrong time."""


def client_event(talk: Client, rng: random.Random, kind: str | None = None) -> Event:
    kind = kind or rng.choice([*EVENTS])
    return {"type": kind, "event_id": talk.name(), **EVENTS[kind](talk, rng)}


# --- what is wrong -----------------------------------------------------------------------------------------------

HUGE: Final = (10**30, -(10**30), 1e308, "x" * 200_000, ["x"] * 5000, {f"k{i}": i for i in range(3000)})
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 0.5, -0.0, "", "x", "\u0000", "💥", "root", "none", "audio/pcm", [], [None], {},
    {"type": None}, {"type": "function"}, {"type": "audio/pcmu"}, [[]], float("nan"), float("inf"), "\ud800",
)  # fmt: skip
NO_EVENTS: Final = (
    "", "{", "null", "[]", "1", '"x"', "{}", '{"type": null}', '{"type": 5}', '{"type": ""}', '{"type": "magic"}',
    '{"type": "response.done"}', '{"type": "session.update", "session": NaN}', "\u0000", b"", b"\x00\x01",
    b'{"type": "x"}', '{"type": "conversation.item.create", "item": ' + "[" * 3000 + "]" * 3000 + "}",
    '{"type": "mcp_list_tools.in_progress"}',
)  # fmt: skip


def spoil(event: Event, rng: random.Random) -> Event:
    """One place of it, or an unknown one, is otherwise; its name stays, mostly."""
    event = json.loads(json.dumps(event))
    way = rng.choice(_places(event))
    if way == ("event_id",) and rng.random() < 0.8:
        way = ("type",)
    *into, last = way
    target: Any = event
    for key in into:
        target = target[key]
    what = rng.random()
    if what < 0.2:
        del target[last]
    elif what < 0.3 and isinstance(target, dict):
        target[rng.choice(("unknown", "temperature", "", "__proto__", "x" * 300))] = rng.choice(ODD)
    elif what < 0.4:
        target[last] = rng.choice(HUGE)
    elif what < 0.42:
        target[last] = _deep(rng.choice((50, 300)))
    else:
        target[last] = rng.choice(ODD)
    return event


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [place for key, entry in inner for place in _places(entry, (*at, key))]


def _send_spoiled(talk: Talk, rng: random.Random) -> None:
    """As JSON that may hold NaN, as some clients' libraries write it."""
    talk.send(json.dumps(spoil(client_event(talk, rng), rng)))
    if rng.random() < 0.2:
        _look_at_the_session(talk, rng)


def _send_unknown(talk: Talk, rng: random.Random) -> None:
    """Deep inside, where it is refused."""
    side = rng.choice(("input", "output"))
    audio: dict[str, Any] = {side: {rng.choice(("smell", "voice_id", "")): rng.choice((1, "x", {}))}}
    talk.ask("session.update", session={"type": talk.session_object["type"], "instructions": "x", "audio": audio})


def _look_at_the_session(talk: Talk, _: random.Random) -> None:
    """An update of nothing shows it as it is, and the checker knows as what it was told before."""
    talk.ask("session.update", session={"type": talk.session_object["type"]})


# --- steps -------------------------------------------------------------------------------------------------------


def _said(kind: str) -> Step:
    return lambda talk, rng: talk.say(client_event(talk, rng, kind))


def _speak(talk: Talk, rng: random.Random) -> None:
    talk.hear(rng.randrange(1, 20), rng.choice((0.95, 0.95, 0.5)))


def _be_silent(talk: Talk, rng: random.Random) -> None:
    talk.hear(rng.randrange(1, 30), 0.02)


def _turn(talk: Talk, rng: random.Random) -> None:
    """Something is said, and the engines follow at once."""
    talk.hear(rng.randrange(6, 20), 0.95)
    for _ in range(rng.randrange(4, 14)):
        talk.hear(4, 0.02)
        talk.work()
        talk.work()


def _idle(talk: Talk, _: random.Random) -> None:
    """Nobody says anything for as long as the client allows."""
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    talk.ask("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
    talk.work_through()
    talk.hear(240, 0.02)


def _work(talk: Talk, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 10))):
        talk.work()


STEPS: Final[dict[str, Step]] = {
    **{kind: _said(kind) for kind in EVENTS},
    "something wrong": _send_spoiled,
    "unknown key": _send_unknown,
    "no event": lambda talk, rng: talk.send(rng.choice(NO_EVENTS)),
    "look": _look_at_the_session,
    "speak": _speak,
    "be silent": _be_silent,
    "turn": _turn,
    "idle": _idle,
    "time": lambda talk, rng: talk.pass_time(rng.choice((FRAME_S, 0.2, 1.0, 6.0))),
    "work": _work,
    "all work": lambda talk, _: talk.work_through(),
    "fail": lambda talk, _: talk.work(failing=True),
}
USUAL: Final = (
    "something wrong", "something wrong", "something wrong", "speak", "be silent", "turn", "work", "work", "work",
    "all work", "time", "response.create", "conversation.item.create", "session.update",
)  # fmt: skip


def random_script(rng: random.Random) -> Script:
    names = [*STEPS, *USUAL, *USUAL]
    return [(rng.choice(names), rng.randrange(2**32)) for _ in range(rng.choice((4, 10, 20, 40)))]


def play(talk: Talk, script: Script) -> None:
    for name, number in script:
        STEPS[name](talk, random.Random(number))
