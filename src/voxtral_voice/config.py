"""Every setting, its unit, its default, and where its value came from.

Knows: names, types and ranges; the sources in order (defaults < file < environment < flags).
Does not know: what the settings do, or argparse (the flags come in as plain texts).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from voxtral_voice.weights import default_weights_dir


class Part(BaseModel):
    """A group of settings: one table of the file, one prefix of the environment and of the flags."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class ServerConfig(Part):
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 = every interface")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 = any free one")
    max_session_minutes: float = Field(60, gt=0, le=1440, description="a session is ended after this many minutes")


class TurnsConfig(Part):
    min_endpoint_ms: int = Field(
        300, ge=50, le=10_000, description="silence, in ms, after which a turn ends when the turn judge is sure"
    )
    max_endpoint_ms: int = Field(
        2000, ge=50, le=30_000, description="silence, in ms, after which a turn ends whatever the turn judge says"
    )
    contest_ms: int = Field(
        250, ge=0, le=5_000, description="speech, in ms, during a reply that makes it an interruption"
    )
    onset_ms: int = Field(64, ge=32, le=1_000, description="voiced audio, in ms, that starts a turn")
    tentative_silence_ms: int = Field(
        96, ge=32, le=5_000, description="silence, in ms, after which a reply is prepared in case the turn is over"
    )
    partial_every_ms: int = Field(
        1000, ge=100, le=60_000, description="while the user speaks, a partial transcript is made every so many ms"
    )


class PlayoutConfig(Part):
    lead_ms: int = Field(400, ge=40, le=10_000, description="how far, in ms, audio is sent ahead of being heard")
    chunk_ms: int = Field(40, ge=10, le=100, description="length, in ms, of one piece of audio on the wire")


class TranscriberConfig(Part):
    threads: int = Field(1, ge=1, le=256, description="CPU threads of the transcriber")


class ResponderConfig(Part):
    intents: bool = Field(True, description="answer greetings, thanks, the time and the like without the model")
    threads: int = Field(1, ge=1, le=256, description="CPU threads of the responder")
    max_sentences: int = Field(2, ge=1, le=50, description="a reply is at most this many sentences long")


class SpeakerConfig(Part):
    threads: int = Field(2, ge=1, le=256, description="CPU threads of the speaker")
    student: bool = Field(True, description="speak af_heart with its distilled student, many times faster")
    voice: str = Field("af_heart", description="voice of a session that asks for none, e.g. af_heart, hf_alpha")


class WeightsConfig(Part):
    dir: Path = Field(default_factory=default_weights_dir, description="folder that holds the model files")
    offline: bool = Field(False, description="never fetch a model file: use those in the folder, or fail")


class LogConfig(Part):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least urgent events to log")


class Config(Part):
    profile: Literal["embedded", "fake"] = Field(
        "embedded", description="which engines run: embedded = real models on the CPU, fake = scripted, no models"
    )
    server: ServerConfig = ServerConfig()
    turns: TurnsConfig = TurnsConfig()
    playout: PlayoutConfig = PlayoutConfig()
    transcriber: TranscriberConfig = TranscriberConfig()
    responder: ResponderConfig = ResponderConfig()
    speaker: SpeakerConfig = SpeakerConfig()
    weights: WeightsConfig = Field(default_factory=WeightsConfig)
    log: LogConfig = LogConfig()
