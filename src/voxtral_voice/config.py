"""Every setting, its unit, its default, and where its value came from.

Knows: names, types and ranges; the sources in order (defaults < file < environment < flags).
Does not know: what the settings do, or argparse (the flags come in as plain texts).
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.config_part import Part
from voxtral_voice.conversation.events import TurnDetection
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines import placement
from voxtral_voice.engines.placement import Listen, Placement
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.engines.voices import VOICES, no_voice, voice_or_blend
from voxtral_voice.errors import ConfigError, EngineError
from voxtral_voice.weights import CORPUS_DIR_VARIABLE, default_weights_dir
from voxtral_voice.weights.catalogue import ModelFile, needed

FILE_NAME: Final = "voxtral-voice.toml"
"""Read from the working folder when no other file is named."""
PREFIX: Final = "VOXTRAL_VOICE_"
"""Of every environment variable: VOXTRAL_VOICE_SERVER_PORT."""
API_KEY: Final = "VOXTRAL_VOICE_BENCH_API_KEY"
"""Variable with the key of the server to measure."""
NO_SETTINGS: Final = frozenset({API_KEY, CORPUS_DIR_VARIABLE})
"""Variables with our prefix that are read elsewhere; they have no flag and no line in the file."""
DEFAULT: Final = "default"
"""Origin of a value that nobody set."""

_POLICY: Final = Policy()
"""The core knows the defaults of its own numbers."""

PLAIN_KEY: Final = re.compile(r"[!-~]+")
"""What a header can carry."""
ORIGIN: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s]+")
HOST_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,253}")
STORE: Final = re.compile(r"rediss?://[^\s/?#]+(/\d*)?(\?[^\s?#@]*)?|unix://\S*/\S*")
"""What stands behind a stray "/", "?" or "#" is most likely the rest of a password."""
DELAYS_MS: Final = (*range(80, 1201, 80), 2400)
"""That Voxtral Realtime was trained for."""
OF_OUR_VLLM: Final = ("vllm_command", "memory_share", "realtime_max_tokens", "mini_max_tokens")
"""Settings of the group voxtral that are for a vLLM that is started here."""
REMOTE_PARTS: Final = ("transcriber", "responder", "speaker")
MODELS: Final = (
    *((part, "model", "url") for part in REMOTE_PARTS),
    ("responder", "fallback_model", "fallback_url"),
)
"""Group, name of a server's model in it, name of that server."""
"""That may run behind a URL."""
SECRETS: Final = (
    "server.api_keys",
    "server.resume_store",
    "voxtral.vllm_api_key",
    *(f"{part}.api_key" for part in REMOTE_PARTS),
    "responder.fallback_api_key",
)
"""Settings whose values are never printed."""


def default_voices_dir() -> Path:
    """In the user's own data, not in a cache that somebody may empty."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "voxtral-voice" / "voices"


# --- the settings -----------------------------------------------------------------------------------------------


class ServerConfig(Part):
    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 = every interface")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on; 0 = any free one")
    max_session_minutes: float = Field(
        default=60, ge=0.01, le=1440, description="a session is ended after this many minutes"
    )
    resume_s: int = Field(
        default=120,
        ge=0,
        le=3600,
        description="a session whose connection is lost waits so many seconds for its client, if that has asked for "
        "it; 0 = none waits",
    )
    drain_s: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="told to stop, the server lets what is being said come to its end, for so many seconds at most",
    )
    resume_store: SecretStr = Field(
        default=SecretStr(""),
        description="Redis in which sessions are kept, too, with what was said in them, as long as they wait for their "
        "clients: another server with the same store, or this one after a restart, then goes on with them; e.g. "
        "redis://127.0.0.1:6379/0, or rediss:// for TLS; set it in the environment when it holds a password; never "
        "printed; empty = only in memory",
    )
    api_keys_file: str = Field(
        default="",
        description="file with the API keys that may use the server, one NAME:SHA256 a line, read again when it "
        "changes; 'voxtral-voice keys new NAME' makes a key; empty = none",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="API keys that may use the server, with commas; set it in the environment, where other users "
        "cannot read it; never printed",
    )
    insecure_no_auth: bool = Field(
        default=False,
        description="serve other machines without any key: whoever can reach the port may use all of it",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description="sites whose pages may connect, besides our own page, with commas, e.g. https://app.example.com",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="names that the server may be asked by (the Host header), with commas, e.g. voice.example.com; "
        "empty = any, but on loopback without keys localhost alone; addresses always count",
    )
    tls_cert: str = Field(
        default="",
        description="file with the TLS certificate and its chain (PEM): the server then speaks https and wss, and "
        "nothing else; empty = no TLS",
    )
    tls_key: str = Field(
        default="", description="file with the private key of tls_cert (PEM); empty = it is in the same file"
    )

    voices_dir: Path = Field(default_factory=default_voices_dir, description="private folder of the cloned voices")

    @field_validator("voices_dir")
    @classmethod
    def _whole_folder(cls, folder: Path) -> Path:
        return _whole(folder)

    @field_validator("api_keys_file", "tls_cert", "tls_key")
    @classmethod
    def _absolute(cls, file: str) -> str:
        return _absolute(file)

    @field_validator("api_keys")
    @classmethod
    def _can_be_shown(cls, keys: SecretStr) -> SecretStr:
        for key in _with_commas(keys.get_secret_value()):
            if not PLAIN_KEY.fullmatch(key):
                raise ValueError("a key should be letters, digits and signs, without blanks")
        return keys

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, origins: Any) -> Any:
        return _with_commas(origins) if isinstance(origins, str) else origins

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError("each should be a scheme and a host, such as https://app.example.com")
        return tuple(origin.lower() for origin in origins)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST_NAME.fullmatch(host):
                raise ValueError("each should be a name without a port, such as voice.example.com")
        return tuple(host.lower() for host in hosts)

    @field_validator("resume_store")
    @classmethod
    def _is_a_store(cls, store: SecretStr) -> SecretStr:
        if store.get_secret_value() and not _is_understood(store.get_secret_value()):
            raise ValueError(
                "it should be a URL like redis://127.0.0.1:6379/0 or rediss://store.example.com, with %2F, %3F and "
                "%23 for /, ? and # in a password"
            ) from None
        return store

    @field_validator("tls_key")
    @classmethod
    def _of_a_certificate(cls, key: str, info: ValidationInfo) -> str:
        if key and not info.data.get("tls_cert"):
            raise ValueError("a key is of no use without its certificate; name that with --server-tls-cert")
        return key

    @property
    def plain_keys(self) -> tuple[str, ...]:
        return _with_commas(self.api_keys.get_secret_value())

    @property
    def asks_for_a_key(self) -> bool:
        return bool(self.api_keys_file or self.plain_keys)

    def require_protection(self) -> None:
        """Raises ConfigError when other machines could use the server, and nobody has asked for that by name."""
        if not (is_loopback(self.host) or self.asks_for_a_key or self.insecure_no_auth):
            raise ConfigError(
                f"At {self.host} everyone who can reach this machine could use the server: ask for a key "
                "(--server-api-keys-file; 'voxtral-voice keys new NAME' makes one), or serve without any by "
                "--server-insecure-no-auth."
            )


class TurnsConfig(Part):
    onset_ms: int = Field(
        default=_POLICY.onset_ms, ge=32, le=1_000, description="voiced audio, in ms, that starts a turn"
    )
    tentative_silence_ms: int = Field(
        default=_POLICY.tentative_silence_ms,
        ge=32,
        le=5_000,
        description="silence, in ms, after which a reply is prepared in case the turn is over",
    )
    patience: float = Field(
        default=TurnDetection().patience,
        ge=0,
        le=1,
        description="0 = fast to 1 = careful: how sure the server has to be that a turn is over, or that a sound is an "
        "interruption; a session may ask for its own",
    )
    partial_every_ms: int = Field(
        default=_POLICY.partial_every_ms,
        ge=0,
        le=60_000,
        description="while the user speaks, a partial transcript is made every so many ms; 0 = never",
    )
    judge: Literal["smart_turn", "none"] = Field(
        default="smart_turn",
        description="what hears if a turn is complete: smart_turn, or none = the words and the silence decide",
    )

    @property
    def chosen_patience(self) -> float | None:
        """None when nobody has set it: clients then see no field that they may not know."""
        return self.patience if "patience" in self.model_fields_set else None


class PlayoutConfig(Part):
    lead_ms: int = Field(
        default=_POLICY.lead_ms, ge=40, le=10_000, description="how far, in ms, audio is sent ahead of being heard"
    )
    chunk_ms: int = Field(
        default=_POLICY.chunk_ms, ge=10, le=100, description="length, in ms, of one piece of audio on the wire"
    )


class EngineConfig(Part):
    """An engine that may run behind a URL instead of on this machine."""

    url: str = Field(
        default="",
        description="base URL of an OpenAI-compatible server that does this, e.g. http://127.0.0.1:8001/v1; "
        "empty = the profile's own",
    )
    model: str = Field(default="", description="its model; empty = the only one that the server lists")
    api_key: SecretStr = Field(default=SecretStr(""), description="its API key; never printed")
    timeout_s: float = Field(
        default=0,
        ge=0,
        le=600,
        description="an engine that says nothing for so many seconds has failed; 0 = 5 behind a URL, 20 on this "
        "machine (30 for the speaker)",
    )

    @field_validator("url")
    @classmethod
    def _base_url(cls, url: str) -> str:
        return _base_url(url)

    @property
    def remote(self) -> Remote | None:
        return Remote(self.url, self.model, self.api_key.get_secret_value()) if self.url else None


class TranscriberConfig(EngineConfig):
    threads: int = Field(default=1, ge=1, le=256, description="CPU threads of the embedded transcriber")


class ResponderConfig(EngineConfig):
    intents: bool = Field(
        default=True, description="answer greetings, thanks, the time and the like without the embedded model"
    )
    threads: int = Field(default=1, ge=1, le=256, description="CPU threads of the embedded responder")
    max_sentences: int = Field(
        default=2, ge=1, le=50, description="a reply of the embedded responder is at most this many sentences long"
    )
    fallback_url: str = Field(
        default="",
        description="base URL of an OpenAI-compatible server that answers while the responder fails; when it fails "
        "too, greetings, the time and the like are still answered; empty = none",
    )
    fallback_model: str = Field(default="", description="its model; empty = the only one that the server lists")
    fallback_api_key: SecretStr = Field(default=SecretStr(""), description="its API key; never printed")

    @field_validator("fallback_url")
    @classmethod
    def _fallback_base_url(cls, url: str) -> str:
        return _base_url(url)

    @property
    def fallback(self) -> Remote | None:
        if not self.fallback_url:
            return None
        key = self.fallback_api_key.get_secret_value()
        return Remote(self.fallback_url, self.fallback_model, key, settings="responder.fallback_")


class SpeakerConfig(EngineConfig):
    threads: int = Field(default=2, ge=1, le=256, description="CPU threads of the embedded speaker")
    student: bool = Field(default=True, description="speak af_heart with its distilled student, many times faster")
    backend: Literal["", "onnx", "torch"] = Field(
        default="",
        description="what runs Kokoro: onnx = ONNX runtime, torch = PyTorch, which also speaks for several sessions at "
        "once; empty = torch where the speaker is placed on a GPU and PyTorch is installed, else onnx",
    )
    lexicon: str = Field(default="", description="file that says how words are pronounced, e.g. lexicon.toml")
    voices: tuple[str, ...] = Field(
        default=(), description="voices of the speaker at speaker.url, with commas; empty = the embedded ones"
    )
    voice: str = Field(
        default="af_heart",
        description="voice of a session that asks for none: hf_alpha, or a blend such as af_heart:0.6,af_bella:0.4",
    )

    @model_validator(mode="before")
    @classmethod
    def _first_voice(cls, values: Any) -> Any:
        """The default voice is the first of those that were named."""
        named = cls._split(values.get("voices")) if isinstance(values, dict) else ()
        return {**values, "voice": named[0]} if named and "voice" not in values else values

    @field_validator("lexicon")
    @classmethod
    def _absolute(cls, file: str) -> str:
        return _absolute(file)

    @field_validator("voices", mode="before")
    @classmethod
    def _split(cls, voices: Any) -> Any:
        return _with_commas(voices) if isinstance(voices, str) else voices

    @field_validator("voice")
    @classmethod
    def _known_voice(cls, voice: str, info: ValidationInfo) -> str:
        named = info.data.get("voices") or (VOICES if info.data.get("url") else ())
        try:
            if not named:
                return voice_or_blend(voice).id
            if voice not in named:
                raise no_voice(voice, named)
        except EngineError as error:
            text = str(error)
            raise ValueError(text[0].lower() + text[1:]) from error
        return voice


class VoxtralConfig(Part):
    """Of the gpu profile."""

    listen: Literal["", "streaming", "direct", "utterance"] = Field(
        default="",
        description="streaming = words while one talks, then a language model; direct = Voxtral answers from the sound "
        "itself; utterance = the words when the turn is over, then a language model; empty = streaming in the gpu "
        "profile, else utterance",
    )
    backend: Literal["", "vllm", "transformers"] = Field(
        default="",
        description="what runs Voxtral: vllm, as a process of its own, or transformers, in this process; empty = vllm "
        "where its command or vllm_url is there, else transformers",
    )
    vllm_url: str = Field(
        default="",
        description="base URL of a vLLM that already serves the Voxtral model of the mode, e.g. "
        "http://127.0.0.1:8001/v1; empty = one of our own is started",
    )
    vllm_model: str = Field(default="", description="its model; empty = the only one that it lists")
    vllm_api_key: SecretStr = Field(default=SecretStr(""), description="its API key; never printed")
    vllm_command: str = Field(
        default="", description="the vllm program; empty = that of 'make vllm', or beside our Python, or on the PATH"
    )
    realtime: str = Field(
        default="mistralai/Voxtral-Mini-4B-Realtime-2602",
        min_length=1,
        description="Voxtral Realtime: a repository on the hub, REPOSITORY@REVISION, or a folder",
    )
    mini: str = Field(
        default="mistralai/Voxtral-Mini-3B-2507",
        min_length=1,
        description="Voxtral Mini: a repository on the hub, REPOSITORY@REVISION, or a folder",
    )
    delay_ms: int = Field(
        default=480,
        description="by how much, in ms, streamed words trail what is said: more is more exact; 80 to 1200 in steps of "
        "80, or 2400",
    )
    quantization: Literal[
        "",
        "fp8",
        "fp8_per_tensor",
        "fp8_per_block",
        "fp8_per_channel",
        "int8_per_channel_weight_only",
        "mxfp8",
        "nvfp4_per_token",
    ] = Field(
        default="",
        description="how vLLM makes the weights smaller while it loads them, e.g. fp8; empty = as they are",
    )
    device: str = Field(
        default="",
        description="which engine runs where, e.g. transcriber=cuda:0,responder=cuda:1, or one device for both; "
        "empty = cuda:0, and the speaker on the cpu",
    )
    memory_share: float = Field(
        default=0.9, ge=0.05, le=1, description="share of a GPU's memory that vLLM may take, all its models together"
    )
    realtime_max_tokens: int = Field(
        default=16_384,
        ge=512,
        le=131_072,
        description="longest stretch that Voxtral Realtime hears on vLLM, in tokens of 80 ms",
    )
    mini_max_tokens: int = Field(
        default=8_192,
        ge=1_024,
        le=32_768,
        description="longest conversation that Voxtral Mini reads on vLLM, in tokens; 30 s of sound are 375",
    )

    @field_validator("vllm_url")
    @classmethod
    def _base_url(cls, url: str) -> str:
        return _base_url(url)

    @field_validator("delay_ms")
    @classmethod
    def _is_a_step(cls, delay_ms: int) -> int:
        if delay_ms not in DELAYS_MS:
            raise ValueError("it should be a multiple of 80 from 80 to 1200, or 2400")
        return delay_ms

    @field_validator("device")
    @classmethod
    def _can_be_read(cls, device: str) -> str:
        placement.parse(device)
        return device

    @model_validator(mode="after")
    def _of_vllm(self) -> Self:
        if self.backend == "transformers" and self.vllm_url:
            raise ValueError("voxtral.vllm_url is for backend = vllm: leave one of the two out")
        if self.backend == "transformers" and self.quantization:
            raise ValueError("voxtral.quantization is done by vLLM: leave it out, or choose backend = vllm")
        if self.vllm_url and self.quantization:
            raise ValueError("voxtral.quantization is for a vLLM that is started here: start yours with it instead")
        for name in (name for name in self.changed if name in OF_OUR_VLLM):
            if self.backend == "transformers":
                raise ValueError(f"voxtral.{name} is for backend = vllm: leave one of the two out")
            if self.vllm_url:
                raise ValueError(
                    f"voxtral.{name} is for a vLLM that is started here, and that at voxtral.vllm_url runs already: "
                    "leave one of the two out"
                )
        return self


class WeightsConfig(Part):
    dir: Path = Field(default_factory=default_weights_dir, description="folder that holds the model files")
    offline: bool = Field(default=False, description="never fetch a model file: use those in the folder, or fail")

    @field_validator("dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return _whole(folder)


class LogConfig(Part):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least urgent events to log"
    )
    format: Literal["text", "json"] = Field(default="text", description="how a line of the log is written")


class ObserveConfig(Part):
    otlp_endpoint: str = Field(
        default="",
        description="base URL of a collector of OpenTelemetry traces, e.g. http://127.0.0.1:4318: each turn is sent "
        "there, without what was said; empty = none",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        try:
            return _base_url(url)
        except ValueError as error:
            wanted = "it should be a URL like http://127.0.0.1:4318; a key goes into OTEL_EXPORTER_OTLP_HEADERS"
            raise ValueError(wanted) from error


class RecordConfig(Part):
    dir: str = Field(default="", description="folder to record every session into, for replay; empty = record nothing")
    content: bool = Field(default=False, description="recordings hold what was said, texts and audio, too")
    keep_days: float = Field(
        default=0,
        ge=0,
        le=36_500,
        description="recordings are erased when they are older than this many days; 0 = they stay until you erase them",
    )

    @field_validator("dir")
    @classmethod
    def _absolute(cls, folder: str) -> str:
        return _absolute(folder)

    @field_validator("content")
    @classmethod
    def _needs_a_folder(cls, content: bool, info: ValidationInfo) -> bool:
        if content and not info.data.get("dir"):
            raise ValueError("nothing is recorded; name a folder with --record")
        return content


class Config(Part):
    profile: Literal["embedded", "gpu", "remote", "fake"] = Field(
        default="embedded",
        description="which engines run: embedded = small models on the CPU, gpu = Voxtral on an NVIDIA GPU, remote = "
        "behind URLs, fake = scripted, no models; a part whose url is set runs there in any profile",
    )
    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    turns: TurnsConfig = TurnsConfig()
    playout: PlayoutConfig = PlayoutConfig()
    transcriber: TranscriberConfig = TranscriberConfig()
    responder: ResponderConfig = ResponderConfig()
    speaker: SpeakerConfig = SpeakerConfig()
    voxtral: VoxtralConfig = VoxtralConfig()
    weights: WeightsConfig = Field(default_factory=WeightsConfig)
    log: LogConfig = LogConfig()
    observe: ObserveConfig = ObserveConfig()
    record: RecordConfig = RecordConfig()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        missing = [f"{part}.url" for part in REMOTE_PARTS if not getattr(self, part).url]
        if self.profile == "remote" and missing:
            raise ValueError(
                f"The remote profile needs {', '.join(missing)}: the base URL of an OpenAI-compatible server, such as "
                "http://127.0.0.1:8001/v1"
            )
        for name, model, url in MODELS:
            if getattr(getattr(self, name), model) and not getattr(getattr(self, name), url):
                raise ValueError(f"{name}.{model} is for the server at {name}.{url}: set that too, or leave it out")
        if self.speaker.voices and not self.speaker.url:
            raise ValueError("speaker.voices is for a speaker behind a URL: set speaker.url, or leave it out")
        if self.speaker.backend and (self.speaker.url or self.profile in ("fake", "remote")):
            raise ValueError("speaker.backend is for Kokoro on this machine, and it does not run here: leave it out")
        return self

    @model_validator(mode="after")
    def _voxtral_fits_in(self) -> Self:
        self._require_a_profile_with_voxtral()
        if self.listen == "streaming" and self.transcriber.url:
            raise ValueError(
                "voxtral.listen = streaming hears with Voxtral Realtime: leave transcriber.url out, or choose utterance"
            )
        if self.listen == "direct" and self.responder.url:
            raise ValueError(
                "voxtral.listen = direct has Voxtral answer what it hears: leave responder.url out, or choose "
                "streaming or utterance"
            )
        if self.listen != "streaming" and "delay_ms" in self.voxtral.changed:
            raise ValueError(
                f"voxtral.delay_ms is for Voxtral Realtime, and voxtral.listen = {self.listen} does without: leave it "
                "out, or choose streaming"
            )
        self._require_work_for_voxtral()
        self._require_that_the_vllm_fits_in()
        try:
            _ = self.placement
        except ValueError as error:
            raise ValueError(f'voxtral.device = "{self.voxtral.device}" cannot be used: {error}') from error
        return self

    def _require_work_for_voxtral(self) -> None:
        """What runs Voxtral is of no use where Voxtral does not run."""
        runs = ("backend", "vllm_url", "vllm_command", "quantization")
        asked = [name for name in runs if name in self.voxtral.changed]
        if asked and self.transcriber.url and self.responder.url:
            raise ValueError(
                f"voxtral.{asked[0]} is for Voxtral, and transcriber.url and responder.url leave it nothing to do: "
                "leave one of the three out"
            )

    def _require_that_the_vllm_fits_in(self) -> None:
        """That of somebody else."""
        if not self.voxtral.vllm_url:
            return
        if self.listen == "streaming" and not self.responder.url:
            raise ValueError(
                "The vLLM at voxtral.vllm_url hears, and nothing answers: set responder.url too, or leave "
                "voxtral.vllm_url out"
            )
        if self.listen == "utterance" and self.transcriber.url:
            raise ValueError(
                "The vLLM at voxtral.vllm_url is to hear, and so is the server at transcriber.url: leave one of the "
                "two out, or name the vLLM as responder.url"
            )
        placed = [part for part in placement.parse(self.voxtral.device) if part != "speaker"]
        if placed:
            raise ValueError(
                f"voxtral.device says where the {placed[0]} runs, and it runs behind a URL: leave it out, or place the "
                "speaker alone"
            )

    def _require_a_profile_with_voxtral(self) -> None:
        if self.profile == "gpu":
            return
        asked = [name for name in self.voxtral.changed if name != "listen"]
        if self.profile != "fake" and self.listen != "utterance":
            asked.insert(0, "listen")
        if asked:
            raise ValueError(
                f"voxtral.{asked[0]} is for Voxtral, and the {self.profile} profile has none: add --profile gpu, or "
                "leave it out"
            )

    @property
    def vllm(self) -> Remote | None:
        """That of somebody else."""
        if not self.voxtral.vllm_url:
            return None
        key = self.voxtral.vllm_api_key.get_secret_value()
        return Remote(self.voxtral.vllm_url, self.voxtral.vllm_model, key, settings="voxtral.vllm_")

    @property
    def listen(self) -> Listen:
        return self.voxtral.listen or ("streaming" if self.profile == "gpu" else "utterance")

    @property
    def placement(self) -> Placement:
        one_model = self.listen != "streaming" and not self.responder.url
        return placement.place(placement.parse(self.voxtral.device), one_model=one_model)

    @property
    def voxtral_models(self) -> tuple[Literal["realtime", "mini"], ...]:
        """Those that run on this machine."""
        if self.profile != "gpu" or self.voxtral.vllm_url:
            return ()
        if self.listen == "streaming":
            return ("realtime",) if self.responder.url else ("realtime", "mini")
        return () if self.transcriber.url and self.responder.url else ("mini",)

    def on_its_own(self) -> Config:
        """The same for a server that only the program that starts it talks to: any free port of loopback, open."""
        server = ServerConfig(port=0, max_session_minutes=self.server.max_session_minutes)
        return self.model_copy(update={"server": server})

    @property
    def remote(self) -> RemoteParts:
        return RemoteParts(self.transcriber.remote, self.responder.remote, self.speaker.remote, self.speaker.voices)

    @property
    def model_files(self) -> tuple[ModelFile, ...]:
        """Those that the profile cannot run without: none for what runs behind a URL or is switched off."""
        elsewhere = {part for part in REMOTE_PARTS if getattr(self, part).url}
        if self.turns.judge == "none":
            elsewhere.add("turn_judge")
        return tuple(file for file in needed(self.profile) if file.part not in elsewhere)


def is_loopback(host: str) -> bool:
    """Only this machine reaches it. A name but localhost is not looked up: it counts as another machine's."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or an address that is none
        usable = False
    if url and not usable:
        raise ValueError("it should be a URL like http://127.0.0.1:8001/v1")
    if "@" in url:
        raise ValueError("it should hold no password: that is for api_key")
    return url


def _absolute(path: str) -> str:
    return str(_whole(Path(path))) if path else ""


def _whole(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # there is no such user
        raise ValueError("it should be a whole path: whose home that is, is not known") from error


def _is_understood(store: str) -> bool:
    """By the library that will use it, too, with all its options. Nothing is connected."""
    if not STORE.fullmatch(store):
        return False
    from redis.asyncio import ConnectionPool  # where it is used: it takes a while to load

    try:
        pool = ConnectionPool.from_url(store)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):
        return False
    return True


def _with_commas(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


# --- where values come from -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One value from one source."""

    key: str
    """Dotted: "server.port"."""
    value: object
    """A text, or what the file held."""
    origin: str
    """As a person would find it: "voxtral-voice.toml", "VOXTRAL_VOICE_SERVER_PORT", "--server-port"."""


@dataclass(frozen=True, slots=True)
class Loaded:
    config: Config
    origins: Mapping[str, str]
    """By dotted key; `DEFAULT` where nobody set it."""


def keys() -> dict[str, FieldInfo]:
    """Every setting by its dotted key, in the order of the models."""
    found: dict[str, FieldInfo] = {}
    for name, info in Config.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and issubclass(part, Part):
            found |= {f"{name}.{key}": field for key, field in part.model_fields.items()}
        else:
            found[name] = info
    return found


def flag(key: str) -> str:
    """ "server.port" -> "--server-port"."""
    return "--" + key.replace(".", "-").replace("_", "-")


def variable(key: str) -> str:
    """ "server.port" -> "VOXTRAL_VOICE_SERVER_PORT"."""
    return PREFIX + key.replace(".", "_").upper()


def load(file: Path | None, environment: Mapping[str, str], flags: Sequence[Setting]) -> Loaded:
    """Defaults < file < environment < flags. file: None = `voxtral-voice.toml` of the working folder, if there is one.

    Raises ConfigError with one sentence that names the key, its source and what to do.
    """
    settings = [*_from_file(file), *_from_environment(environment), *flags]
    chosen = {setting.key: setting for setting in settings}
    try:
        config = Config.model_validate(_nested(chosen.values()))
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], chosen)) from error
    return Loaded(config, {key: chosen[key].origin if key in chosen else DEFAULT for key in keys()})


def as_toml(loaded: Loaded) -> str:
    """The effective values with their meaning and origin, in the format of the settings file."""
    lines: list[str] = []
    part = ""
    for key, info in keys().items():
        table, _, name = key.rpartition(".")
        if table != part:
            lines += ["", f"[{table}]"]
            part = table
        value = getattr(getattr(loaded.config, table) if table else loaded.config, name)
        lines += [f"# {info.description}", f"{_line(name, value)}  # {loaded.origins[key]}"]
    return "\n".join(lines) + "\n"


def _from_file(file: Path | None) -> list[Setting]:
    path = file or Path(FILE_NAME)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file is None:
            return []
        raise ConfigError(f"There is no settings file {path}: name another with --config, or leave it out.") from None
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ConfigError(f"The settings file {path} is not TOML: {error}.") from error
    settings = [Setting(key, value, str(path)) for key, value in _flat(table)]
    for setting in settings:
        _require_known(setting)
    return settings


def _from_environment(environment: Mapping[str, str]) -> list[Setting]:
    """A variable that is set to nothing counts as not set."""
    known = {variable(key): key for key in keys()}
    settings: list[Setting] = []
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in known and name not in NO_SETTINGS:
            raise ConfigError(f"The environment variable {name} is no setting{_nearest(name, known)}")
        if name in known and value:
            settings.append(Setting(known[name], value, name))
    return settings


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Dotted keys of nested tables."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _require_known(setting: Setting) -> None:
    if setting.key in keys():
        return
    if setting.key in Config.model_fields:
        raise ConfigError(f"In {setting.origin}, {setting.key} is a group of settings: write [{setting.key}].")
    raise ConfigError(f"In {setting.origin}, {setting.key} is no setting{_nearest(setting.key, keys())}")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    close = close or [key for key in known if key.endswith(f".{name}")][:1]
    return f"; did you mean {close[0]}?" if close else "; 'voxtral-voice config' lists all of them."


def _nested(settings: Iterable[Setting]) -> dict[str, Any]:
    """What the models take. Booleans become texts, so that a number set to `true` is refused instead of being 1."""
    values: dict[str, Any] = {}
    for setting in settings:
        part, _, name = setting.key.rpartition(".")
        value = str(setting.value).lower() if isinstance(setting.value, bool) else setting.value
        (values.setdefault(part, {}) if part else values)[name] = value
    return values


def _sentence(error: ErrorDetails, chosen: Mapping[str, Setting]) -> str:
    key = ".".join(str(step) for step in error["loc"] if isinstance(step, str))
    message = error["msg"].removeprefix("Value error, ")
    if key not in chosen:  # what is wrong with several settings together says so itself
        return f"{message}."
    setting = chosen[key]
    message = re.sub("^(Input|String|Value) should ", "it should ", message).split(", unable")[0]
    message = message.replace("a valid boolean", "true or false")
    hidden = key in SECRETS or (key.endswith("url") and "@" in str(setting.value))  # a URL with a password
    shown = "(hidden)" if hidden else json.dumps(setting.value, ensure_ascii=False, default=str)
    return f"{key} = {shown} (from {setting.origin}) cannot be used: {message}" + "." * (message[-1] not in ".?")


def _line(name: str, value: object) -> str:
    """A secret that is set stays one; the line is then no setting."""
    if isinstance(value, SecretStr):
        return f"# {name} is set" if value.get_secret_value() else f'{name} = ""'
    return f"{name} = {_toml(value)}"


def _toml(value: object) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
