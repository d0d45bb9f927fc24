"""The engine seams: what a session needs from a model, and nothing else.

All methods are asynchronous. An engine that computes in this process runs its blocking code through `worker.Worker`;
an engine behind a URL awaits its socket. In both cases **cancelling the awaiting task stops the work within one
step** (a token, a phrase, one decoder call), and an async iterator that is closed early (`aclose`) does the same.

Audio into engines is float32 mono at 16 kHz in [-1, 1]; audio out of a Speaker is float32 mono at 24 kHz.
Failures are raised as `errors.EngineError` with the seam's name; there is no success with empty audio and no default
transcript.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""float32 mono samples in [-1, 1]; the rate is said where it is used."""

LISTEN_RATE_HZ = 16_000
"""Rate of all audio that goes into engines."""
SPEAK_RATE_HZ = 24_000
"""Rate of all audio that comes out of a Speaker."""
VAD_FRAME_SAMPLES = 512
"""One voice-activity frame: 512 samples at 16 kHz = 32 ms."""


class Engine(Protocol):
    """What every engine has besides its work."""

    @property
    def name(self) -> str:
        """What is running, for logs, `/readyz` and `doctor`: e.g. "whisper-base int8"."""

    async def start(self) -> None:
        """Load the model and run it once, so that the first user does not wait. Raises EngineError."""

    async def aclose(self) -> None:
        """Stop threads, free memory. Safe to call twice."""


# --- voice activity ---------------------------------------------------------------------------------------------


class VoiceActivitySession(Protocol):
    """The recurrent state of one session."""

    async def probabilities(self, frames: Samples) -> Sequence[float]:
        """frames: [n, 512] in order. Returns n speech probabilities in [0, 1]."""

    def reset(self) -> None:
        """Forget what was heard (after `input_audio_buffer.clear`)."""


class VoiceActivity(Engine, Protocol):
    """Is someone speaking? 32 ms at a time."""

    def session(self) -> VoiceActivitySession: ...


# --- turn judge -------------------------------------------------------------------------------------------------


class TurnJudge(Engine, Protocol):
    """Is the speaker done, or only pausing?"""

    async def complete_probability(self, audio: Samples) -> float | None:
        """audio: the turn so far at 16 kHz (the engine takes the last seconds it wants). Returns P(turn is over), or
        None when the engine cannot say."""


# --- transcriber ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    """What was said; "" when there were no words. Never a placeholder."""
    language: str
    """ISO 639-1 code that the model heard or was told."""


class TranscriptStream(Protocol):
    """One turn, heard while it is said. One call at a time; closing it while one runs is fine."""

    async def push(self, audio: Samples) -> str:
        """More of the turn, 16 kHz, any length. Returns all words so far; they trail what was said by the engine's
        delay. When it fails or is cancelled, nothing but `aclose` is called any more."""

    async def flush(self) -> Transcript:
        """The words as if the turn ended here. The stream is as it was, also when this is cancelled: more may follow,
        and another flush. When it fails, nothing but `aclose` is called any more."""

    async def aclose(self) -> None:
        """Nothing more comes. Safe to call twice."""


class Transcriber(Engine, Protocol):
    @property
    def streams(self) -> bool:
        """It hears a turn while it is said: `stream` gives more than None."""

    async def transcribe(self, audio: Samples, *, language: str | None, prompt: str, final: bool) -> Transcript:
        """audio: the turn so far, 16 kHz. language: ISO 639-1, or None to detect. prompt: words to expect, or "".

        final is False for a partial of a turn that still goes on: it may be cheaper, and gives way to final ones.
        """

    def stream(self, *, language: str | None, prompt: str) -> TranscriptStream | None:
        """A new turn begins; costs nothing before the first push. None: this engine hears a turn as a whole."""


# --- responder --------------------------------------------------------------------------------------------------

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Picture:
    url: str
    """A data: URL."""
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class Call:
    """Of a tool."""

    call_id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str
    """Of what is to be heard (`audio`) the words when they are known, else ""."""
    pictures: tuple[Picture, ...] = ()
    """The user's. An engine that cannot see leaves them out."""
    calls: tuple[Call, ...] = ()
    """The assistant's."""
    call_id: str | None = None
    """Of role tool: which call `text` is the output of."""
    audio: Samples | None = field(default=None, compare=False, repr=False)
    """The user's newest turn, 16 kHz; only for an engine that listens."""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: str
    """JSON Schema, as JSON text."""


@dataclass(frozen=True, slots=True)
class NamedTool:
    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class Tools:
    """What a responder may call. An engine that knows no tools answers without."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    parallel: bool = True

    @property
    def may_call(self) -> bool:
        return bool(self.tools) and self.choice != "none"


NO_TOOLS = Tools()


@dataclass(frozen=True, slots=True)
class CallPiece:
    """More of a call; the first piece of an index begins it."""

    index: int
    """0, 1, ... in order."""
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """Yielded last by an engine that knows more than that it is done."""

    reason: Literal["stop", "length"] = "stop"
    usage: Usage | None = None


Piece = str | CallPiece | Finish


class Responder(Engine, Protocol):
    @property
    def listens(self) -> bool:
        """It hears the user's newest turn itself (`Message.audio`): no transcript is waited for."""

    def respond(
        self, messages: Sequence[Message], *, language: str | None, max_tokens: int | None, tools: Tools = NO_TOOLS
    ) -> AsyncGenerator[Piece, None]:
        """messages: oldest first, the last one is what to answer; calls and their outputs stand in any order. Yields
        pieces of text and of calls as they are made, one call after the other; last, when there is more to say than
        that it is done, one Finish. After Finish("length") the last call may lack its end.

        language: ISO 639-1 of the user's last turn when known. max_tokens: None = the engine's own limit, which is a
        "stop". tools: what may be called; an engine that knows no tools answers without.
        """

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:
        """Compute what is known of the prompt, so that `respond` to it, or to more of it, begins sooner.

        The last message is the user's words so far and may still grow. Returns P(those words are a finished
        utterance), or None when the engine cannot say. A later `prepare` or `respond` of the same conversation ends
        one that still runs; it returns None then.
        """


# --- speaker ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Voice:
    id: str
    """Kokoro's name: "af_heart"."""
    language: str
    """BCP 47 tag: "en-US", "hi", "pt-BR"; "" when it is not known, as of a server's own voices."""
    gender: Literal["female", "male", ""]
    grade: str = ""
    """Of its model card, "A" to "F+"; "" when nobody graded it."""

    @property
    def speaks(self) -> str:
        """ISO 639-1 code: "en"; "" when it is not known."""
        return self.language.partition("-")[0]


@dataclass(frozen=True, slots=True)
class WordTime:
    word: str
    start_ms: float
    """From the first sample of this phrase's audio."""
    end_ms: float


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of one phrase's audio. Word times, when the engine has them, cover the whole phrase and come with the
    first piece."""

    samples: Samples
    """float32 mono, 24 kHz."""
    words: tuple[WordTime, ...] = ()


class Speaker(Engine, Protocol):
    @property
    def voices(self) -> Mapping[str, Voice]:
        """By id; those that everyone may use."""

    def find(self, name: str) -> Voice:
        """What `speak` takes: one of `voices`, or, where the engine can, a blend of them ("af_heart:0.6,af_bella:0.4")
        or a cloned one. Raises EngineError that says what is wrong, and which voices there are."""

    def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """One phrase to audio. Leading silence is trimmed to about 10 ms, trailing to a natural pause.

        text: one phrase, as written (numbers, symbols and markdown included). voice: a name that `find` knows. speed:
        0.25 .. 4, 1 = natural. language: ISO 639-1, in which to read what its script does not tell; None: the voice's.
        A phrase with nothing to say aloud (only punctuation) yields nothing.
        """
