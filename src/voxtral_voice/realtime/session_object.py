"""The session's configuration on the wire: patched by `session.update`, echoed whole with explicit nulls.

Knows: the GA session objects of types "realtime" and "transcription", their defaults and ranges. Does not know: frames,
events, the core's state. What this server cannot do (stored prompts, tools of MCP servers) is refused, never dropped in
silence.

Patch: only the keys that are there change; `audio.input`, `audio.output` and `transcription` merge; `turn_detection`
is replaced as a whole, with defaults filled in; null puts a key back to its default. All or nothing. Unknown keys are
ignored outside `audio` (old clients send flat beta fields; `ignored` names them) and refused inside.

Two fields are ours, `turn_detection.patience` and `voxtral_voice`: they are echoed only when somebody has set them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from voxtral_voice.conversation.events import Modality, Settings, Tool, ToolChoice, TurnDetection
from voxtral_voice.realtime.audio_formats import RATE_HZ, TELEPHONE_HZ, FormatName
from voxtral_voice.realtime.fields import (
    Check,
    FieldError,
    Fields,
    Json,
    JsonObject,
    Problem,
    boolean,
    choice,
    each,
    integer,
    invalid,
    number,
    shape,
    small_object,
    text,
    unsupported,
)
from voxtral_voice.realtime.tools import (
    check_choice,
    choice_among,
    tool_choice,
    tool_choice_json,
    tool_json,
    tool_list,
)
from voxtral_voice.realtime.voices import Voices

MAX_OUTPUT_TOKENS: Final = 4096
MAX_PREFIX_PADDING_MS: Final = 5_000
MAX_SILENCE_MS: Final = 30_000
MIN_IDLE_TIMEOUT_MS: Final = 5_000
MAX_IDLE_TIMEOUT_MS: Final = 30_000
EAGERNESS_PATIENCE: Final = {"low": 0.85, "high": 0.2}
"""What eagerness means on the dial; medium and auto are wherever the server has it."""
LANGUAGE: Final = re.compile(r"([A-Za-z]{2,3})(-[A-Za-z0-9]{1,8})*")
"""A BCP 47 tag; only its first part, the ISO 639 code, is used."""
ECHOED: Final = ("id", "object", "expires_at", "type", "model")
"""Clients send these back as they got them; a `type` and a `model` are checked."""
KNOWN: Final = {
    "realtime": (
        *ECHOED, "output_modalities", "instructions", "tools", "tool_choice", "parallel_tool_calls",
        "max_output_tokens", "tracing", "truncation", "prompt", "reasoning", "include", "audio", "voxtral_voice",
    ),
    "transcription": (*ECHOED, "include", "audio", "voxtral_voice"),
}  # fmt: skip

Kind = Literal["realtime", "transcription"]
"""transcription: the user's words and nothing else; there are no responses."""


@dataclass(frozen=True, slots=True)
class SessionObject:
    id: str
    model: str
    expires_at: int
    """Unix seconds."""
    voices: Voices
    voice: str
    """A voice of `voices`, whatever name the client used."""
    kind: Kind = "realtime"
    speed: float = 1.0
    instructions: str = ""
    modality: Modality = "audio"
    max_output_tokens: int | None = None
    """None: "inf" on the wire."""
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    """Its patience does not count: see `patience`."""
    patience: float | None = None
    """As the client said it, together with the turn detection."""
    server_patience: float | None = None
    """As the server's operator has set it."""
    voxtral_voice: JsonObject | None = None
    """{"events": true}: the client wants our own events too. {"resume": true}: it may want its session back."""
    input_format: FormatName = "audio/pcm"
    output_format: FormatName = "audio/pcm"
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    transcription: JsonObject | None = None
    """None: the client is not told what was said."""
    noise_reduction: JsonObject | None = None
    """Echoed only, like all that follow."""
    tracing: Json = None
    truncation: Json = "auto"
    include: Json = None
    reasoning: JsonObject | None = None

    def patched(self, patch: JsonObject, *, new: bool = False) -> SessionObject | Problem:
        """The object after `session.update` with this `session`; a Problem leaves all as it was. new: it is not in use,
        so that its type may still change."""
        try:
            fields = Fields(patch, "session")
            refuse_prompt(fields)
            fields.optional("model", text(), "")  # ours, whatever the client repeats
            kind: Kind = fields.required("type", choice("realtime", "transcription"))
            if kind != self.kind and not new:
                message = f"Invalid value for 'session.type': this is a {self.kind} session, and it is in use already."
                raise FieldError(Problem("invalid_value", message, fields.param("type")))
            session = self if kind == self.kind else self.of_kind(kind)
            return session._patch_general(fields)._patch_audio(fields.inner("audio"))
        except FieldError as error:
            return error.problem

    def ignored(self, patch: JsonObject) -> tuple[str, ...]:
        """Keys of a patch that was taken which mean nothing here."""
        return Fields(patch, "session").unknown(*KNOWN[self.kind])

    def of_kind(self, kind: Kind) -> SessionObject:
        """A new session, as one of this kind."""
        return replace(self, kind=kind, transcription=self._usual_transcription(kind))

    def _usual_transcription(self, kind: Kind) -> JsonObject | None:
        """Unless the client says more: only a session that is for nothing else transcribes."""
        return None if kind == "realtime" else {"model": self.model, "language": None, "prompt": None}

    @property
    def wants_our_events(self) -> bool:
        return self.voxtral_voice is not None and self.voxtral_voice.get("events") is True

    @property
    def wants_resume(self) -> bool:
        return self.voxtral_voice is not None and self.voxtral_voice.get("resume") is True

    def to_settings(self) -> Settings:
        transcription = self.transcription or {}
        language, prompt = transcription.get("language"), transcription.get("prompt")
        return Settings(
            instructions=self.instructions,
            voice=self.voice,
            speed=self.speed,
            modality=self.modality,
            max_output_tokens=self.max_output_tokens,
            language=language.split("-")[0].lower() if isinstance(language, str) else None,
            transcription_prompt=prompt if isinstance(prompt, str) else "",
            turn_detection=self._detection,
            tools=self.tools,
            tool_choice=choice_among(self.tools, self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls,
        )

    @property
    def _detection(self) -> TurnDetection | None:
        detection = self._with_patience()
        if detection is None or self.kind == "realtime":
            return detection
        return replace(detection, create_response=False)

    def _with_patience(self) -> TurnDetection | None:
        detection = self.turn_detection
        if detection is None:
            return None
        named = self.patience if self.patience is not None else EAGERNESS_PATIENCE.get(detection.eagerness)
        patience = named if named is not None else self.server_patience
        return detection if patience is None else replace(detection, patience=patience)

    def to_json(self) -> JsonObject:
        ours: JsonObject = {} if self.voxtral_voice is None else {"voxtral_voice": self.voxtral_voice}
        return (self._realtime_json() if self.kind == "realtime" else self._transcription_json()) | ours

    def _realtime_json(self) -> JsonObject:
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": self.model,
            "expires_at": self.expires_at,
            "output_modalities": [self.modality],
            "instructions": self.instructions,
            "tools": [tool_json(tool) for tool in self.tools],
            "tool_choice": tool_choice_json(self.tool_choice),
            "parallel_tool_calls": self.parallel_tool_calls,
            "max_output_tokens": token_limit(self.max_output_tokens),
            "tracing": self.tracing,
            "truncation": self.truncation,
            "prompt": None,
            "reasoning": self.reasoning,
            "include": self.include,
            "audio": {
                "input": self._input_json(),
                "output": {"format": format_json(self.output_format), "voice": self.voice, "speed": self.speed},
            },
        }

    def _transcription_json(self) -> JsonObject:
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": self.id,
            "expires_at": self.expires_at,
            "include": self.include,
            "audio": {"input": self._input_json()},
        }

    def _input_json(self) -> JsonObject:
        return {
            "format": format_json(self.input_format),
            "transcription": self.transcription,
            "noise_reduction": self.noise_reduction,
            "turn_detection": self._turn_detection_json(),
        }

    def _turn_detection_json(self) -> Json:
        detection = self._with_patience()
        if detection is None:
            return None
        ours: JsonObject = {"patience": detection.patience}
        told = self.patience is not None or self.server_patience is not None
        whether: JsonObject = {
            "create_response": detection.create_response,
            "interrupt_response": detection.interrupt_response,
        }
        responds = self.kind == "realtime"
        return _turn_detection_json(detection) | (whether if responds else {}) | (ours if told else {})

    def _patch_general(self, fields: Fields) -> SessionObject:
        for_both = replace(
            self,
            include=fields.patch("include", _include, self.include, None),
            voxtral_voice=fields.patch("voxtral_voice", _VOXTRAL_VOICE, self.voxtral_voice, None),
        )
        return for_both._patch_responses(fields) if self.kind == "realtime" else for_both

    def _patch_responses(self, fields: Fields) -> SessionObject:
        tools = fields.patch("tools", tool_list, self.tools, ())
        wanted: ToolChoice = fields.patch("tool_choice", tool_choice, self.tool_choice, "auto")
        if "tool_choice" in fields.values:
            check_choice(tools, wanted, fields.param("tool_choice"))
        return replace(
            self,
            instructions=fields.patch("instructions", text(), self.instructions, ""),
            modality=fields.patch("output_modalities", output_modality, self.modality, "audio"),
            max_output_tokens=fields.patch("max_output_tokens", output_tokens, self.max_output_tokens, None),
            tools=tools,
            tool_choice=wanted,
            parallel_tool_calls=fields.patch("parallel_tool_calls", boolean, self.parallel_tool_calls, True),
            tracing=fields.patch("tracing", _tracing, self.tracing, None),
            truncation=fields.patch("truncation", _truncation, self.truncation, "auto"),
            reasoning=fields.patch("reasoning", reasoning, self.reasoning, None),
        )

    def _patch_audio(self, audio: Fields) -> SessionObject:
        if self.kind == "transcription":
            audio.only("input")
            return self._patch_input(audio.inner("input"))
        audio.only("input", "output")
        return self._patch_input(audio.inner("input"))._patch_output(audio.inner("output"))

    def _patch_input(self, fields: Fields) -> SessionObject:
        fields.only("format", "transcription", "noise_reduction", "turn_detection")
        usual = self._usual_transcription(self.kind)
        return replace(
            self,
            input_format=fields.patch("format", audio_format, self.input_format, "audio/pcm"),
            transcription=fields.patch("transcription", self._merge_transcription, self.transcription, usual),
            noise_reduction=fields.patch("noise_reduction", _NOISE_REDUCTION, self.noise_reduction, None),
            turn_detection=fields.patch("turn_detection", _turn_detection, self.turn_detection, None),
            patience=fields.patch("turn_detection", _patience, self.patience, None),
        )

    def _patch_output(self, fields: Fields) -> SessionObject:
        fields.only("format", "voice", "speed")
        name = fields.patch("voice", voice_name, self.voice, self.voices.default)
        return replace(
            self,
            output_format=fields.patch("format", audio_format, self.output_format, "audio/pcm"),
            voice=name if name == self.voice else self.voices.resolve(name, fields.param("voice")),
            speed=fields.patch("speed", number(0.25, 2), self.speed, 1.0),
        )

    def _merge_transcription(self, value: Json, param: str) -> JsonObject:
        current = self.transcription or {"model": None, "language": None, "prompt": None}
        return current | _TRANSCRIPTION(value, param)


# --- fields that response.create has too ------------------------------------------------------------------------


def format_json(name: FormatName) -> JsonObject:
    return {"type": name, "rate": RATE_HZ} if name == "audio/pcm" else {"type": name}


def token_limit(most: int | None) -> Json:
    return "inf" if most is None else most


def audio_format(value: Json, param: str) -> FormatName:
    """16-bit PCM at 24 kHz, or G.711 at 8 kHz."""
    fields = Fields.of(value, param)
    fields.only("type", "rate")
    name: FormatName = fields.required("type", choice("audio/pcm", "audio/pcmu", "audio/pcma"))
    has_hz = RATE_HZ if name == "audio/pcm" else TELEPHONE_HZ
    rate = fields.optional("rate", integer(1, 1_000_000), has_hz)
    if rate != has_hz:
        raise invalid(fields.param("rate"), str(has_hz), rate)
    return name


def output_modality(value: Json, param: str) -> Modality:
    if value == ["audio"]:
        return "audio"
    if value == ["text"]:
        return "text"
    flat = isinstance(value, list) and len(value) <= 2 and all(isinstance(each, str) for each in value)
    got = ", ".join(map(str, value)) if flat and isinstance(value, list) else value
    raise invalid(param, '["audio"] (which comes with its text) or ["text"]', got)


def output_tokens(value: Json, param: str) -> int | None:
    if value == "inf":
        return None
    if isinstance(value, str):
        raise invalid(param, f'an integer from 1 to {MAX_OUTPUT_TOKENS}, or "inf"', value)
    return integer(1, MAX_OUTPUT_TOKENS)(value, param)


def voice_name(value: Json, param: str) -> str:
    """A name, or {"id": name}; whether there is such a voice is not known here."""
    if isinstance(value, dict):
        return Fields(value, param).required("id", text(256))
    return text(256)(value, param)


def refuse_prompt(fields: Fields) -> None:
    if fields.values.get("prompt") is not None:
        raise unsupported(fields.param("prompt"), "There are no stored prompts: put the text into 'instructions'.")


# --- fields of the session alone --------------------------------------------------------------------------------


def _language(value: Json, param: str) -> Json:
    tag = text(35)(value, param)
    if not LANGUAGE.fullmatch(tag):
        raise invalid(param, "a language code such as 'en' or 'hi'", tag)
    return tag


def _list(check: Check[Json], most: int) -> Check[Json]:
    return lambda value, param: list(each(check, most)(value, param))


def _turn_detection(value: Json, param: str) -> TurnDetection:
    fields = Fields.of(value, param)
    if fields.required("type", choice("server_vad", "semantic_vad")) == "semantic_vad":
        return _semantic_vad(fields)
    return _server_vad(fields)


def _patience(value: Json, param: str) -> float | None:
    """Of a turn detection that was checked otherwise."""
    return Fields.of(value, param).optional("patience", number(0, 1), None)


def _semantic_vad(fields: Fields) -> TurnDetection:
    fields.only("type", "eagerness", "create_response", "interrupt_response", "patience")
    return TurnDetection(
        kind="semantic_vad",
        eagerness=fields.optional("eagerness", choice("low", "medium", "high", "auto"), "auto"),
        create_response=fields.optional("create_response", boolean, True),
        interrupt_response=fields.optional("interrupt_response", boolean, True),
    )


def _server_vad(fields: Fields) -> TurnDetection:
    fields.only(
        "type",
        "threshold",
        "prefix_padding_ms",
        "silence_duration_ms",
        "idle_timeout_ms",
        "create_response",
        "interrupt_response",
        "patience",
    )
    return TurnDetection(
        kind="server_vad",
        threshold=fields.optional("threshold", number(0, 1), 0.5),
        prefix_padding_ms=fields.optional("prefix_padding_ms", integer(0, MAX_PREFIX_PADDING_MS), 300),
        silence_duration_ms=fields.optional("silence_duration_ms", integer(0, MAX_SILENCE_MS), 500),
        idle_timeout_ms=fields.optional("idle_timeout_ms", integer(MIN_IDLE_TIMEOUT_MS, MAX_IDLE_TIMEOUT_MS), None),
        create_response=fields.optional("create_response", boolean, True),
        interrupt_response=fields.optional("interrupt_response", boolean, True),
    )


def _turn_detection_json(detection: TurnDetection) -> JsonObject:
    if detection.kind == "semantic_vad":
        own: JsonObject = {"eagerness": detection.eagerness}
    else:
        own = {
            "threshold": detection.threshold,
            "prefix_padding_ms": detection.prefix_padding_ms,
            "silence_duration_ms": detection.silence_duration_ms,
            "idle_timeout_ms": detection.idle_timeout_ms,
        }
    return {"type": detection.kind, **own}


def _tracing(value: Json, param: str) -> Json:
    if value == "auto":
        return "auto"
    return shape({"workflow_name": text(512), "group_id": text(512), "metadata": small_object})(value, param)


def _truncation(value: Json, param: str) -> Json:
    if isinstance(value, str):
        return choice("auto", "disabled")(value, param)
    return _RETENTION(value, param)


_TRANSCRIPTION: Final = shape(
    {
        "model": text(256),
        "language": _language,
        "prompt": text(4096),
        "languages": _list(_language, 100),
        "keywords": _list(text(256), 1000),
        "delay": choice("minimal", "low", "medium", "high", "xhigh"),
    },
    strict=True,
)
_NOISE_REDUCTION: Final = shape(
    {"type": choice("near_field", "far_field"), "strength": number(0, 1)}, required=("type",), strict=True
)
_RETENTION: Final = shape(
    {
        "type": choice("retention_ratio"),
        "retention_ratio": number(0, 1),
        "token_limits": shape({"post_instructions": integer(0, 2**31)}),
    },
    required=("type", "retention_ratio"),
)
reasoning: Final = shape({"effort": choice("minimal", "low", "medium", "high", "xhigh")})
_VOXTRAL_VOICE: Final = shape({"events": boolean, "resume": boolean}, strict=True)
_include: Final = _list(choice("item.input_audio_transcription.logprobs"), 1)
