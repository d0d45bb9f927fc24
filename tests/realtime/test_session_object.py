from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.realtime.make import session_object
from tests.realtime.oracle import INPUT_KEYS, OUTPUT_KEYS, SESSION_KEYS
from voxtral_voice.conversation.events import NamedTool, Settings, Tool, TurnDetection
from voxtral_voice.realtime.fields import Problem
from voxtral_voice.realtime.session_object import SessionObject

SEMANTIC = {"type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True}
SERVER = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}


def patched(patch: dict[str, Any], before: SessionObject | None = None) -> SessionObject:
    session = (before or session_object()).patched({"type": "realtime", **patch})
    assert isinstance(session, SessionObject), session
    return session


def refused(patch: dict[str, Any]) -> Problem:
    problem = session_object().patched({"type": "realtime", **patch})
    assert isinstance(problem, Problem), problem
    return problem


def echo(session: SessionObject) -> dict[str, Any]:
    echoed: dict[str, Any] = orjson.loads(orjson.dumps(session.to_json()))
    return echoed


def test_the_default_is_whole_with_explicit_nulls() -> None:
    session = echo(session_object())
    assert session.keys() == SESSION_KEYS
    assert session["audio"]["input"].keys() == INPUT_KEYS
    assert session["audio"]["output"].keys() == OUTPUT_KEYS
    assert session["audio"]["input"]["turn_detection"] == SEMANTIC
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["output_modalities"] == ["audio"]
    assert (session["tools"], session["max_output_tokens"], session["tracing"]) == ([], "inf", None)


def test_the_default_settings() -> None:
    assert session_object().to_settings() == Settings(voice="af_heart")


FULL: dict[str, Any] = {
    "model": "gpt-realtime",
    "instructions": "Be brief.",
    "output_modalities": ["text"],
    "max_output_tokens": 100,
    "tools": [{"type": "function", "name": "now", "description": "The time.", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "now"},
    "parallel_tool_calls": False,
    "tracing": "auto",
    "truncation": "disabled",
    "prompt": None,
    "reasoning": {"effort": "low"},
    "include": ["item.input_audio_transcription.logprobs"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "whisper-1", "language": "hi-IN", "prompt": "Names: Asha."},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 200},
        },
        "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.25},
    },
}


def test_everything_can_be_set_and_is_echoed() -> None:
    session = echo(patched(FULL))
    same = set(FULL) - {"model", "audio"}
    assert {key: session[key] for key in same} == {key: FULL[key] for key in same}
    assert session["model"] == "voxtral-voice"
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"]["format"] == {"type": "audio/pcma"}
    assert session["audio"]["input"]["transcription"] == FULL["audio"]["input"]["transcription"]
    assert session["audio"]["input"]["noise_reduction"] == {"type": "near_field"}
    assert session["audio"]["input"]["turn_detection"] == {**SERVER, "threshold": 0.7, "silence_duration_ms": 200}
    assert session["audio"]["output"]["voice"] == "af_heart"
    assert session["audio"]["output"]["speed"] == 1.25


def test_everything_that_matters_reaches_the_settings() -> None:
    assert patched(FULL).to_settings() == Settings(
        instructions="Be brief.",
        voice="af_heart",
        speed=1.25,
        modality="text",
        max_output_tokens=100,
        language="hi",
        transcription_prompt="Names: Asha.",
        turn_detection=TurnDetection("server_vad", threshold=0.7, silence_duration_ms=200),
        tools=(Tool("now", "The time.", '{"type":"object"}'),),
        tool_choice=NamedTool("now"),
        parallel_tool_calls=False,
    )


def test_what_is_not_in_the_patch_stays() -> None:
    before = patched(FULL)
    assert patched({}, before) == before
    assert patched({"audio": {"output": {"voice": "hf_alpha"}}}, before).speed == 1.25
    assert patched({"audio": None}, before) == before


def test_null_puts_back_the_default() -> None:
    nothing = dict.fromkeys(FULL)
    nothing["audio"] = {"input": dict.fromkeys(INPUT_KEYS), "output": dict.fromkeys(OUTPUT_KEYS)}
    cleared = patched(nothing, patched(FULL))
    assert cleared.turn_detection is None  # null is a value of its own here: push to talk
    assert echo(cleared)["audio"]["input"]["turn_detection"] is None
    assert patched({"audio": {"input": {"turn_detection": SEMANTIC}}}, cleared) == session_object()


def test_turn_detection_is_replaced_as_a_whole() -> None:
    before = patched(FULL)
    after = patched({"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}}}}, before)
    assert echo(after)["audio"]["input"]["turn_detection"] == SERVER
    after = patched({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}}, after)
    assert echo(after)["audio"]["input"]["turn_detection"] == {**SEMANTIC, "eagerness": "low"}


def test_the_idle_timeout_is_the_one_asked_for() -> None:
    for timeout_ms in (5000, 30_000, 6000.0):
        asked = {"type": "server_vad", "idle_timeout_ms": timeout_ms}
        session = patched({"audio": {"input": {"turn_detection": asked}}})
        assert session.to_settings().turn_detection == TurnDetection("server_vad", idle_timeout_ms=int(timeout_ms))
        assert echo(session)["audio"]["input"]["turn_detection"] == {**SERVER, "idle_timeout_ms": int(timeout_ms)}


# --- patience ---------------------------------------------------------------------------------------------------


def detecting(turn_detection: dict[str, Any] | None, before: SessionObject | None = None) -> SessionObject:
    return patched({"audio": {"input": {"turn_detection": turn_detection}}}, before)


def patience(session: SessionObject) -> float:
    detection = session.to_settings().turn_detection
    assert detection is not None
    return detection.patience


@pytest.mark.parametrize("kind", ["semantic_vad", "server_vad"])
@pytest.mark.parametrize("value", [0, 0.35, 1])
def test_patience_is_the_one_asked_for_and_echoed(kind: str, value: float) -> None:
    session = detecting({"type": kind, "patience": value})
    assert patience(session) == value
    assert echo(session)["audio"]["input"]["turn_detection"]["patience"] == value


def test_patience_goes_with_the_turn_detection_that_named_it() -> None:
    named = detecting({"type": "server_vad", "patience": 0.9})
    assert patience(patched({"instructions": "Be brief."}, named)) == 0.9
    for after in (detecting({"type": "server_vad"}, named), detecting(SERVER, detecting(None, named))):
        assert patience(after) == 0.5
        assert echo(after)["audio"]["input"]["turn_detection"] == SERVER
    assert (
        echo(detecting({"type": "server_vad", "patience": None}, named))["audio"]["input"]["turn_detection"] == SERVER
    )


@pytest.mark.parametrize(("eagerness", "means"), [("low", 0.85), ("medium", 0.5), ("auto", 0.5), ("high", 0.2)])
def test_eagerness_is_a_name_for_a_patience_that_is_not_echoed(eagerness: str, means: float) -> None:
    session = detecting({"type": "semantic_vad", "eagerness": eagerness})
    assert patience(session) == means
    assert echo(session)["audio"]["input"]["turn_detection"] == {**SEMANTIC, "eagerness": eagerness}
    assert patience(detecting({"type": "semantic_vad", "eagerness": eagerness, "patience": 0.6})) == 0.6


def test_the_servers_own_patience_is_for_who_names_none_and_is_echoed() -> None:
    server = replace(session_object(), server_patience=0.3)
    assert patience(server) == 0.3
    assert echo(server)["audio"]["input"]["turn_detection"] == {**SEMANTIC, "patience": 0.3}
    assert patience(detecting({"type": "semantic_vad", "eagerness": "medium"}, server)) == 0.3
    assert patience(detecting({"type": "server_vad"}, server)) == 0.3
    low = detecting({"type": "semantic_vad", "eagerness": "low"}, server)
    assert echo(low)["audio"]["input"]["turn_detection"] == {**SEMANTIC, "eagerness": "low", "patience": 0.85}
    assert echo(detecting(None, server))["audio"]["input"]["turn_detection"] is None


def test_a_bad_patience_is_told_precisely() -> None:
    problem = refused({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "patience": 2}}}})
    assert problem.message == (
        "Invalid value for 'session.audio.input.turn_detection.patience': expected a number from 0 to 1, but got 2."
    )


# --- our own events ---------------------------------------------------------------------------------------------


def test_our_events_are_wanted_only_when_asked_for() -> None:
    assert not session_object().wants_our_events
    asked = patched({"voxtral_voice": {"events": True}})
    assert asked.wants_our_events
    assert patched({"instructions": "Be brief."}, asked).wants_our_events
    assert echo(asked)["voxtral_voice"] == {"events": True}
    refusing = patched({"voxtral_voice": {"events": False}}, asked)
    assert not refusing.wants_our_events
    assert echo(refusing)["voxtral_voice"] == {"events": False}
    assert patched({"voxtral_voice": None}, asked) == session_object()


def test_transcription_merges_and_is_echoed_with_nulls() -> None:
    one = patched({"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    assert one.transcription == {"model": "whisper-1", "language": None, "prompt": None}
    two = patched({"audio": {"input": {"transcription": {"language": "en", "keywords": ["Kokoro"]}}}}, one)
    assert two.transcription == {"model": "whisper-1", "language": "en", "prompt": None, "keywords": ["Kokoro"]}
    assert two.to_settings().language == "en"


def test_free_forms_are_echoed() -> None:
    tracing = {"workflow_name": "w", "metadata": {"a": [1]}}
    ratio = {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 1000}}
    session = patched({"tracing": tracing, "truncation": ratio})
    assert (session.tracing, session.truncation) == (tracing, ratio)


def test_unknown_keys_outside_audio_are_ignored_and_named() -> None:
    patch: dict[str, Any] = {"temperature": 0.8, "voice": "alloy", "modalities": ["audio"], "turn_detection": None}
    assert patched(patch) == session_object()
    assert session_object().ignored(patch) == ("session.temperature", "session.voice", "session.modalities")


def test_what_a_client_sends_back_as_it_got_it_is_known() -> None:
    session = patched(FULL)
    assert patched(echo(session), session) == session
    assert session.ignored(echo(session)) == ()


# --- tools ------------------------------------------------------------------------------------------------------

NOW = {"type": "function", "name": "now"}


def test_a_tool_that_is_chosen_has_to_be_there() -> None:
    problem = refused({"tools": [NOW], "tool_choice": {"type": "function", "name": "later"}})
    assert (problem.code, problem.param) == ("invalid_value", "session.tool_choice.name")
    assert refused({"tool_choice": NOW}).param == "session.tool_choice.name"


def test_a_choice_outlives_its_tool_but_means_nothing() -> None:
    chosen = patched({"tools": [NOW], "tool_choice": NOW})
    gone = patched({"tools": []}, chosen)
    assert echo(gone)["tool_choice"] == NOW
    assert gone.to_settings().tool_choice == "auto"
    assert patched({"tools": [NOW]}, gone).to_settings().tool_choice == NamedTool("now")


def test_tools_are_cleared_by_an_empty_list_or_null() -> None:
    with_tools = patched({"tools": [NOW]})
    assert len(with_tools.tools) == 1
    assert patched({"tools": []}, with_tools) == patched({"tools": None}, with_tools) == session_object()


# --- formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
@pytest.mark.parametrize("rate", [{}, {"rate": None}, {"rate": 8000}])
def test_formats(side: str, name: str, rate: dict[str, Any]) -> None:
    session = patched({"audio": {side: {"format": {"type": name, **rate}}}})
    assert echo(session)["audio"][side]["format"] == {"type": name}
    other = "output" if side == "input" else "input"
    assert echo(session)["audio"][other]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert patched({"audio": {side: {"format": None}}}, session) == session_object()


# --- transcription sessions -------------------------------------------------------------------------------------

WORDS = {"model": "voxtral-voice", "language": None, "prompt": None}


def transcribing(patch: dict[str, Any] | None = None) -> SessionObject:
    session = session_object().patched({"type": "transcription", **(patch or {})}, new=True)
    assert isinstance(session, SessionObject), session
    return session


def test_a_session_that_only_transcribes() -> None:
    session = transcribing()
    assert echo(session) == {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": "sess_1",
        "expires_at": 1_800_000_000,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": WORDS,
                "noise_reduction": None,
                "turn_detection": {"type": "semantic_vad", "eagerness": "auto"},
            },
        },
    }
    assert session.to_settings() == Settings(turn_detection=TurnDetection(create_response=False))


def test_all_that_a_transcription_session_may_be() -> None:
    audio = {
        "format": {"type": "audio/pcmu"},
        "transcription": {"language": "de"},
        "noise_reduction": {"type": "far_field"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300, "create_response": True},
    }
    include = ["item.input_audio_transcription.logprobs"]
    session = transcribing({"include": include, "audio": {"input": audio}})
    told = echo(session)
    assert told["include"] == include
    assert told["audio"]["input"]["transcription"] == {**WORDS, "language": "de"}
    assert told["audio"]["input"]["turn_detection"] == {
        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 300,
        "idle_timeout_ms": None,
    }  # fmt: skip
    detection = TurnDetection("server_vad", silence_duration_ms=300, create_response=False)
    assert session.to_settings() == Settings(language="de", turn_detection=detection)
    cleared: dict[str, Any] = {"transcription": None, "turn_detection": None}
    after = session.patched({"type": "transcription", "audio": {"input": cleared}})
    assert isinstance(after, SessionObject)
    assert after.transcription == WORDS
    assert after.to_settings().turn_detection is None


def test_what_is_for_responses_means_nothing_to_a_transcription_session() -> None:
    patch: dict[str, Any] = {"type": "transcription", "instructions": 7, "tools": "none", "include": None}
    session = transcribing(patch)
    assert session == transcribing()
    assert session.ignored(patch) == ("session.instructions", "session.tools")
    problem = session.patched({"type": "transcription", "audio": {"output": {"voice": "marin"}}})
    assert isinstance(problem, Problem)
    assert (problem.code, problem.param) == ("unknown_parameter", "session.audio.output")


def test_the_type_of_a_session_in_use_does_not_change() -> None:
    for session, other in ((session_object(), "transcription"), (transcribing(), "realtime")):
        problem = session.patched({"type": other})
        assert isinstance(problem, Problem)
        assert (problem.code, problem.param) == ("invalid_value", "session.type")
        assert "in use already" in problem.message


def test_a_session_can_go_back_to_audio() -> None:
    assert patched({"output_modalities": ["audio"]}, patched(FULL)).modality == "audio"


def test_a_voice_may_be_an_object() -> None:
    assert patched({"audio": {"output": {"voice": {"id": "af_bella"}}}}).voice == "af_bella"


def test_inf_takes_the_token_limit_away() -> None:
    assert patched({"max_output_tokens": "inf"}, patched({"max_output_tokens": 5})).max_output_tokens is None


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"type": None}, "missing_required_parameter", "session.type"),
    ({"type": "x"}, "invalid_value", "session.type"),
    ({"model": 1}, "invalid_value", "session.model"),
    ({"instructions": 1}, "invalid_value", "session.instructions"),
    ({"instructions": "x" * 100_001}, "invalid_value", "session.instructions"),
    ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": "audio"}, "invalid_value", "session.output_modalities"),
    ({"max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
    ({"tools": [{"type": "mcp", "server_label": "s"}]}, "invalid_value", "session.tools[0].type"),
    ({"reasoning": {"effort": "endless"}}, "invalid_value", "session.reasoning.effort"),
    ({"tools": ["f"]}, "invalid_value", "session.tools[0]"),
    ({"tool_choice": "maybe"}, "invalid_value", "session.tool_choice"),
    ({"tool_choice": {"type": "mcp"}}, "invalid_value", "session.tool_choice.type"),
    ({"prompt": {"id": "p"}}, "invalid_value", "session.prompt"),
    ({"tracing": "always"}, "invalid_value", "session.tracing"),
    ({"truncation": "some"}, "invalid_value", "session.truncation"),
    ({"truncation": {"type": "retention_ratio"}}, "missing_required_parameter", "session.truncation.retention_ratio"),
    ({"include": ["x"]}, "invalid_value", "session.include[0]"),
    ({"audio": 1}, "invalid_value", "session.audio"),
    ({"audio": {"loudness": 1}}, "unknown_parameter", "session.audio.loudness"),
    ({"voxtral_voice": True}, "invalid_value", "session.voxtral_voice"),
    ({"voxtral_voice": {"events": 1}}, "invalid_value", "session.voxtral_voice.events"),
    ({"voxtral_voice": {"resume": "yes"}}, "invalid_value", "session.voxtral_voice.resume"),
    ({"voxtral_voice": {"evnts": True}}, "unknown_parameter", "session.voxtral_voice.evnts"),
]
REFUSED_INPUT: list[tuple[dict[str, Any], str, str]] = [
    ({"rate": 1}, "unknown_parameter", "rate"),
    ({"format": "pcm16"}, "invalid_value", "format"),
    ({"format": {"rate": 24000}}, "missing_required_parameter", "format.type"),
    ({"format": {"type": "audio/pcm", "rate": 16000}}, "invalid_value", "format.rate"),
    ({"format": {"type": "audio/pcm", "rate": 8000.0}}, "invalid_value", "format.rate"),
    ({"format": {"type": "audio/opus"}}, "invalid_value", "format.type"),
    ({"format": {"type": "audio/pcmu", "rate": 24000}}, "invalid_value", "format.rate"),
    ({"format": {"type": "audio/pcm", "bits": 8}}, "unknown_parameter", "format.bits"),
    ({"transcription": {"language": "English, please"}}, "invalid_value", "transcription.language"),
    ({"transcription": {"diarize": True}}, "unknown_parameter", "transcription.diarize"),
    ({"noise_reduction": {"type": "strong"}}, "invalid_value", "noise_reduction.type"),
    ({"turn_detection": {}}, "missing_required_parameter", "turn_detection.type"),
    ({"turn_detection": {"type": "none"}}, "invalid_value", "turn_detection.type"),
    ({"turn_detection": {**SERVER, "threshold": 9}}, "invalid_value", "turn_detection.threshold"),
    ({"turn_detection": {**SERVER, "idle_timeout_ms": 4999}}, "invalid_value", "turn_detection.idle_timeout_ms"),
    ({"turn_detection": {**SERVER, "idle_timeout_ms": 30001}}, "invalid_value", "turn_detection.idle_timeout_ms"),
    ({"turn_detection": {**SEMANTIC, "idle_timeout_ms": 6000}}, "unknown_parameter", "turn_detection.idle_timeout_ms"),
    ({"turn_detection": {**SEMANTIC, "patience": 1.1}}, "invalid_value", "turn_detection.patience"),
    ({"turn_detection": {**SERVER, "patience": -0.1}}, "invalid_value", "turn_detection.patience"),
    ({"turn_detection": {**SERVER, "patience": "high"}}, "invalid_value", "turn_detection.patience"),
    ({"turn_detection": {**SERVER, "patience": True}}, "invalid_value", "turn_detection.patience"),
    ({"turn_detection": {**SERVER, "eagerness": "low"}}, "unknown_parameter", "turn_detection.eagerness"),
    ({"turn_detection": {**SEMANTIC, "threshold": 0.5}}, "unknown_parameter", "turn_detection.threshold"),
]
REFUSED_OUTPUT: list[tuple[dict[str, Any], str, str]] = [
    ({"pitch": 1}, "unknown_parameter", "pitch"),
    ({"speed": 2.1}, "invalid_value", "speed"),
    ({"voice": "darth"}, "invalid_value", "voice"),
    ({"voice": 1}, "invalid_value", "voice"),
    ({"format": {"type": "audio/pcma", "rate": 16000}}, "invalid_value", "format.rate"),
]


@pytest.mark.parametrize(
    ("patch", "code", "param"),
    [
        *REFUSED,
        *(({"audio": {"input": p}}, c, f"session.audio.input.{name}") for p, c, name in REFUSED_INPUT),
        *(({"audio": {"output": p}}, c, f"session.audio.output.{name}") for p, c, name in REFUSED_OUTPUT),
    ],
)
def test_what_cannot_be_is_refused_by_name(patch: dict[str, Any], code: str, param: str) -> None:
    problem = refused({"instructions": "new", **patch})
    assert (problem.code, problem.param) == (code, param)
    assert param in problem.message


def test_a_session_that_may_be_resumed_is_asked_for() -> None:
    assert not session_object().wants_resume
    asked = patched({"voxtral_voice": {"resume": True}})
    assert asked.wants_resume
    assert not patched({"voxtral_voice": {"resume": False}}, asked).wants_resume
    assert not patched({"voxtral_voice": {"events": True}}, asked).wants_resume
