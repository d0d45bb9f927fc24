from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.contest import Kind
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.replay.codec import CodecError, Json, read_tagged, read_untagged, tagged, untagged
from voxtral_voice.replay.recording import COMMANDS, EVENTS

KINDS: list[Any] = [*get_args(ev.Event), *get_args(ev.Command)]

audio = st.lists(st.integers(-32768, 32767), max_size=20).map(lambda ints: np.array(ints, np.float32) / 32768)


def instances(kind: Any) -> st.SearchStrategy[Any]:
    given_audio = {"samples": audio} if any(field.name == "samples" for field in fields(kind)) else {}
    return st.builds(kind, **given_audio)


messages = st.sampled_from(KINDS).flatmap(instances)


def through_json(value: Json) -> Json:
    read: Json = json.loads(json.dumps(value))
    return read


def same(one: Any, other: Any) -> bool:
    """Also of audio, which has no == of its own, and of NaN, which is not even itself."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return type(one) is type(other) and all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b or repr(a) == repr(b) for a, b in pairs
    )


@given(messages)
def test_every_message_survives_the_way_there_and_back(message: Any) -> None:
    kinds: Any = EVENTS if type(message).__name__ in EVENTS else COMMANDS
    assert same(read_tagged(through_json(tagged(message)), kinds), message)


def test_every_kind_of_message_is_tagged_with_its_class() -> None:
    assert tagged(ev.TurnJudged(3, 0.25)) == {"TurnJudged": {"attempt": 3, "probability": 0.25}}
    assert tagged(ev.Wake()) == {"Wake": {}}
    assert EVENTS.keys() | COMMANDS.keys() == {kind.__name__ for kind in KINDS}
    assert not EVENTS.keys() & COMMANDS.keys()


def test_one_of_a_set_is_its_name() -> None:
    heard = ev.TranscriptHeard(1, "xxxx", "en", False, ev.WordFacts(Kind.STRONG))
    value = tagged(heard)["TranscriptHeard"]
    assert isinstance(value, dict)
    assert value["facts"] == {"kind": "strong", "ending": None, "parked": False}
    assert read_untagged(value, ev.TranscriptHeard) == heard


def test_numbers_of_numpy_become_plain_ones() -> None:
    frames = ev.FramesHeard(np.int64(512), (np.float32(0.5), np.float64(0.1)))  # type: ignore[arg-type]
    assert through_json(tagged(frames)) == {
        "FramesHeard": {"first_sample": 512, "probabilities": [0.5, 0.1], "levels_db": [], "echoes": []}
    }


def test_silence_is_a_number_and_takes_no_memory() -> None:
    value = tagged(ev.ReplyAudioDelta("resp_1", np.zeros(960, np.float32)))
    assert value == {"ReplyAudioDelta": {"reply_id": "resp_1", "samples": {"silence": 960}, "plays_at": 0.0}}
    huge = read_tagged({"ReplyAudioDelta": {"reply_id": "r", "samples": {"silence": 24_000 * 3600}}}, COMMANDS)
    assert isinstance(huge, ev.ReplyAudioDelta)
    assert huge.samples.size == 24_000 * 3600
    assert huge.samples.base is not None
    assert huge.samples.base.nbytes == 4


def test_a_missing_field_takes_its_default() -> None:
    assert read_tagged({"CreateReply": {}}, EVENTS) == ev.CreateReply()
    assert read_untagged({"onset_ms": 64}, Policy) == Policy(onset_ms=64)
    assert untagged(Timeline())["first_sent"] is None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "a message should be an object with one field, its class"),
        ({}, "a message should be an object with one field, its class"),
        ({"Wake": {}, "ClearAudio": {}}, "a message should be an object with one field, its class"),
        ({"Sing": {}}, "'Sing' is no message that is known here"),
        ({"ReplyStarted": {}}, "'ReplyStarted' is no message that is known here"),
        ({"Wake": []}, "Wake should be an object, not []"),
        ({"Wake": {"now": 1}}, "Wake has no field 'now'"),
        ({"TurnJudged": {"attempt": 1}}, "TurnJudged lacks the field 'probability'"),
        ({"TurnJudged": {"attempt": 1.0, "probability": 1}}, "TurnJudged.attempt should be a whole number, not 1.0"),
        ({"TurnJudged": {"attempt": True, "probability": 1}}, "TurnJudged.attempt should be a whole number, not True"),
        (
            {"TurnJudged": {"attempt": 1, "probability": "high"}},
            "TurnJudged.probability should be a number, not 'high'",
        ),
        ({"TurnJudged": {"attempt": 1, "probability": 10**400}}, "TurnJudged.probability should be a number, not 1000"),
        ({"DeleteItem": {"item_id": None}}, "DeleteItem.item_id should be a text, not None"),
        ({"FramesHeard": {"first_sample": 0, "probabilities": 1}}, "FramesHeard.probabilities should be a list, not 1"),
        (
            {"PhraseAudio": {"reply_id": "r", "phrase": 0, "samples": {"silence": 1}, "words": [["a", 1]]}},
            "PhraseAudio.words should be a list of 3, not ['a', 1]",
        ),
        (
            {"AddItem": {"item": {"id": "a", "role": "king", "modality": "text", "text": ""}, "after": None}},
            "AddItem.item.role should be one of system, user, assistant, not 'king'",
        ),
        (
            {"TranscriptHeard": {"attempt": 1, "text": "", "language": None, "final": True, "facts": {"kind": 1}}},
            "TranscriptHeard.facts.kind should be one of unknown, none, ours, backchannel, strong, denial, words, word",
        ),
        ({"Configure": {"settings": {"speed": []}}}, "Configure.settings.speed should be a number, not []"),
        ({"Configure": {"settings": {"turn_detection": 1}}}, "Configure.settings.turn_detection should be an object"),
    ],
)
def test_what_does_not_fit_is_named(value: Json, sentence: str) -> None:
    with pytest.raises(CodecError) as raised:
        read_tagged(value, EVENTS)
    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize(
    "samples",
    [None, 1, [], {}, {"silence": -1}, {"silence": 1.5}, {"silence": True}, {"silence": 10**9}, {"tone": 1},
     {"silence": 1, "pcm16": ""}, {"pcm16": "!"}, {"pcm16": "AA=="}, {"pcm16": 1}],
)  # fmt: skip
def test_what_is_no_audio_is_refused(samples: Json) -> None:
    with pytest.raises(CodecError, match=r"PhraseAudio\.samples"):
        read_tagged({"PhraseAudio": {"reply_id": "r", "phrase": 0, "samples": samples}}, EVENTS)


def test_a_type_that_the_codec_does_not_know_is_found_at_once() -> None:
    with pytest.raises(TypeError, match="bytes"):
        untagged(b"")
    with pytest.raises(TypeError, match="bytes"):
        read_untagged("", bytes)


def test_one_of_several_things_is_as_it_was_or_tagged() -> None:
    called = ev.ToolCall("call_1", "weather", "{}")
    added = ev.AddItem(ev.CallItem("item_1", called), None)
    plain: Json = {"id": "a", "role": "user", "modality": "text", "text": "hi"}
    assert tagged(added)["AddItem"] == {
        "item": {"CallItem": {"id": "item_1", "call": untagged(called), "status": "completed"}},
        "after": None, "sound_ms": 0.0,
    }  # fmt: skip
    assert read_tagged(tagged(added), EVENTS) == added
    item = ev.Item("a", "user", "text", "hi")
    assert read_tagged({"AddItem": {"item": plain, "after": None}}, EVENTS) == ev.AddItem(item, None)
    shown: tuple[ev.Shown, ...] = (("user", "hi"), ev.Picture("data:x"), called, ev.ToolOutput("call_1", "sunny"))
    messages = (*shown, ev.Sound("item_1", 0, 512))
    respond = ev.Respond("r", messages, None, None, tool_choice=ev.NamedTool("weather"))
    assert read_tagged(through_json(tagged(respond)), COMMANDS) == respond
    [asked] = tagged(ev.CreateReply(ev.ReplyOptions(tool_choice="none", input=(ev.ItemReference("a"),)))).values()
    assert read_untagged(asked, ev.CreateReply).options.input == (ev.ItemReference("a"),)


def test_nothing_is_none_of_several_things_unless_it_may_be() -> None:
    with pytest.raises(CodecError, match=r"AddItem\.item should be an object, not None"):
        read_tagged({"AddItem": {"item": None, "after": None}}, EVENTS)
    with pytest.raises(CodecError, match=r"tool_choice should be one of auto, none, required, not None"):
        read_untagged({"reply_id": "r", "messages": [], "language": None, "max_tokens": None, "tool_choice": None},
                      ev.Respond)  # fmt: skip
