"""The vocabulary of the core: events in, commands out. Frozen values, no behaviour.

Knows: what can happen in a conversation. Does not know: JSON, sockets, models, time of day.

Positions in the user's audio are **samples at 16 kHz since the session began**, and never wall time. `now` (given
with each event) is seconds on any clock that does not go backwards.

Events come from three sides: the client (through `realtime/`), the engines, and time. Commands go two ways: work for
the engines (carried out by `server/runner`), and notices for the client (put on the wire by `realtime/`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from voxtral_voice.conversation.contest import Kind
from voxtral_voice.conversation.timeline import Timeline

Samples = npt.NDArray[np.float32]

Role = Literal["system", "user", "assistant"]
Modality = Literal["audio", "text"]
UNLIMITED: Final = 0
WordTimes = tuple[tuple[str, float, float], ...]
"""(word, start_ms, end_ms) of words as they are written, in order."""
AudioFormat = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
Finish = Literal["stop", "length"]
"""Why a responder ended: it had said all, or it reached the most tokens it may use."""


# --- tools ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client's. Wire: an entry of `session.tools`."""

    name: str
    description: str
    parameters: str
    """JSON Schema of its arguments, as JSON text."""


@dataclass(frozen=True, slots=True)
class NamedTool:
    """As a tool choice: this one has to be called."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


# --- what a responder is shown ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picture:
    """Shown by the user, before the words that follow."""

    url: str
    """A data: URL; nothing else is ever fetched."""
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class ToolCall:
    call_id: str
    name: str
    arguments: str
    """JSON text, as the responder wrote it; perhaps not valid."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Sound:
    """The user's newest turn, for a responder that listens itself."""

    item_id: str
    start_sample: int
    end_sample: int
    text: str = ""
    """Its words when they are known."""


Shown = tuple[Role, str] | Picture | ToolCall | ToolOutput | Sound
"""One message of a prompt: (role, text), or one of the others."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the engine counted them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    """Of the input."""


# --- settings ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How the end of a turn is found. Wire: `session.audio.input.turn_detection`."""

    kind: Literal["server_vad", "semantic_vad"] = "semantic_vad"
    threshold: float = 0.5
    """Speech probability at which a frame counts as voiced (server_vad; semantic_vad uses the default)."""
    prefix_padding_ms: int = 300
    """Audio kept from before the first voiced frame."""
    silence_duration_ms: int = 500
    """server_vad: the turn ends after this much silence."""
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """semantic_vad: a name for a patience; what counts is `patience`."""
    patience: float = 0.5
    """0 (fast) to 1 (careful): how sure one has to be that a turn is over, or that a sound is an interruption."""
    idle_timeout_ms: int | None = None
    """server_vad: so long after a reply was played a turn without words begins by itself; None = never."""
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What the client chose for the session; replaced as a whole by `Configure`."""

    instructions: str = ""
    voice: str = "af_heart"
    speed: float = 1.0
    modality: Modality = "audio"
    max_output_tokens: int | None = None
    language: str | None = None
    """ISO 639-1 the user speaks, None = detect."""
    transcription_prompt: str = ""
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    """None: the client says when a turn ends (push to talk)."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Overrides for one reply (`response.create`); None = as the session has it."""

    instructions: str | None = None
    voice: str | None = None
    modality: Modality | None = None
    max_output_tokens: int | None = None
    """UNLIMITED: as many as the responder makes, whatever the session says."""
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    aside: bool = False
    """Beside the conversation: it does not enter the history, nobody's turn changes (`conversation: "none"`)."""
    input: tuple[Shown | ItemReference, ...] | None = None
    """What it answers instead of the history; () = nothing but the instructions."""
    request: str | None = None
    """The client's mark of this request, given back in the one ReplyStarted for it; means nothing to the core."""
    audio_format: AudioFormat | None = None
    """Given back too, also when the reply begins again."""


@dataclass(frozen=True, slots=True)
class ItemReference:
    """An item of the history, as an input of one reply."""

    item_id: str


# --- items ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the conversation history."""

    id: str
    role: Role
    modality: Modality
    """audio: spoken by the user or by us; text: typed, seeded, or a text reply."""
    text: str | None
    """The words. None: spoken, transcript not known yet. Of a cut-off reply: only what was heard."""
    status: ItemStatus = "completed"
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class CallItem:
    """A call of a tool, asked for by the assistant."""

    id: str
    call: ToolCall
    status: ItemStatus = "completed"


@dataclass(frozen=True, slots=True)
class OutputItem:
    """What a tool gave back, said by the client."""

    id: str
    result: ToolOutput
    status: ItemStatus = "completed"


Entry = Item | CallItem | OutputItem
"""Of the history."""


# --- events: from the client ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configure:
    settings: Settings


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """More microphone audio is in the input buffer."""

    end_sample: int
    """Total received in the session so far."""


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """The client ends the turn by itself."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """The client drops the audio not yet committed."""


@dataclass(frozen=True, slots=True)
class AddItem:
    item: Entry
    after: str | None
    """Id of the item to stand behind; None = at the end; "root" = at the front."""
    sound_ms: float = 0.0
    """Length of the sound that came with it. When its words (`Item.text`) are None they are made of that."""


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """The client says how much of a reply it played."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class CreateReply:
    options: ReplyOptions = ReplyOptions()


@dataclass(frozen=True, slots=True)
class CancelReply:
    reply_id: str | None
    """None: whichever is active."""


# --- events: from the engines -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FramesHeard:
    """Voice-activity result for consecutive 512-sample frames."""

    first_sample: int
    probabilities: tuple[float, ...]
    levels_db: tuple[float, ...] = ()
    """RMS of each frame in dBFS; () = not known."""
    echoes: tuple[float, ...] = ()
    """Likeness of each frame to what the client is playing, 0 to 1 (`audio/echo`); () = nothing is played."""


@dataclass(frozen=True, slots=True)
class TurnJudged:
    attempt: int
    probability: float
    """That the turn is over."""


@dataclass(frozen=True, slots=True)
class WordsJudged:
    """The Prepare of this attempt is done."""

    attempt: int
    probability: float | None
    """That the words are a finished utterance; None: the responder cannot say."""


@dataclass(frozen=True, slots=True)
class WordFacts:
    """What is decided by a transcript's words, other than how much of it is as in the one before."""

    kind: Kind = Kind.UNKNOWN
    """Of a sound during a reply."""
    ending: float | None = None
    """Of all of a turn: how its end speaks for its being over (`endpoint.odds_of_ending`)."""
    parked: bool = False
    """Of all of a turn: an answer to the same words is parked."""


@dataclass(frozen=True, slots=True)
class TranscriptHeard:
    """A transcript of the turn so far (final False), or of all of it up to its tentative end (final True)."""

    attempt: int
    text: str
    language: str | None
    final: bool
    facts: WordFacts | None = None
    """Of the words, when the text does not have them any more (a recording without content); None: see the text."""


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    attempt: int
    message: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    reply_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ReplyCall:
    """More of a tool call. The first event of an index begins it; the next index, or the end of the text, ends it."""

    reply_id: str
    index: int
    """0, 1, ... of the calls of this reply, in order."""
    call_id: str
    name: str
    arguments: str
    """The next piece of them."""


@dataclass(frozen=True, slots=True)
class ReplyTextEnded:
    """The responder is done, with its calls too."""

    reply_id: str
    finish: Finish = "stop"
    usage: Usage | None = None
    """None: the engine does not say."""


@dataclass(frozen=True, slots=True)
class SpokenBy:
    """Which voice speaks a reply."""

    asked: str
    used: str
    language: str
    """ISO 639-1 of the reply's words; "" when it is not known."""
    why: Literal["asked", "language", "no_voice"]
    """asked: the voice that was asked for speaks that language. language: it does not, and `used` does. no_voice: there
    is none that does, so that the one asked for reads it as it can."""


@dataclass(frozen=True, slots=True)
class PhraseAudio:
    """Audio of one phrase; a phrase may come in several pieces, in order."""

    reply_id: str
    phrase: int
    samples: Samples
    """float32 mono, 24 kHz."""
    words: WordTimes = ()
    """Those that begin in this piece, in ms from the phrase's first sample; () when the engine has no word times."""
    by: SpokenBy | None = None
    """With the first piece of a phrase; the same for all of a reply."""
    places: tuple[int, ...] = ()
    """Of each of the words, where it begins in the phrase's text; () when they are not those of the text."""


@dataclass(frozen=True, slots=True)
class PhraseEnded:
    reply_id: str
    phrase: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The responder or the speaker failed."""

    reply_id: str
    engine: str
    message: str


@dataclass(frozen=True, slots=True)
class Apology:
    """What is heard in place of a reply that failed before anything of it was. Answers Apologise, always."""

    reply_id: str
    text: str
    samples: Samples
    """All of it: float32 mono, 24 kHz. None of them: there is nothing to be said."""
    words: WordTimes = ()
    by: SpokenBy | None = None
    """None: it was spoken beforehand."""
    places: tuple[int, ...] = ()


# --- events: time -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wake:
    """`wake_at()` was reached."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The client was away and is back; meanwhile the session's time stood still."""

    away_ms: float
    """So long it had no connection; its player went on with what it had."""
    unheard: tuple[tuple[str, float], ...] = ()
    """By reply, the end of the audio sent that had not arrived, in ms. It is sent again now."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The session goes on that another server had. Its first event."""

    history: tuple[Entry, ...]
    rest: str = ""
    """Of the assistant's reply: what was made of it and not heard."""
    voice: str = ""
    language: str | None = None
    """Of the rest."""
    owed: bool = False
    """An answer to what was said last."""


Event = (
    Configure | AudioReceived | CommitAudio | ClearAudio | AddItem | DeleteItem | TruncateItem | CreateReply
    | CancelReply | FramesHeard | TurnJudged | WordsJudged | TranscriptHeard | TranscriptFailed | ReplyText | ReplyCall
    | ReplyTextEnded | PhraseAudio | PhraseEnded | ReplyFailed | Apology | Wake | Reconnected | Restored
)  # fmt: skip


# --- commands: work for the engines -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Transcribe the user's audio [start_sample, end_sample); answer with TranscriptHeard(attempt)."""

    attempt: int
    start_sample: int
    end_sample: int
    language: str | None
    prompt: str
    final: bool
    grows: bool = False
    """It is the open turn, of which more may be asked: for a transcriber that hears a turn while it is said."""


@dataclass(frozen=True, slots=True)
class TranscribeItem:
    """Transcribe the sound that came with this item; answer with TranscriptHeard(attempt, final=True)."""

    attempt: int
    item_id: str
    language: str | None
    prompt: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Is the turn over at end_sample? Answer with TurnJudged(attempt)."""

    attempt: int
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """The responder may compute what is known of the prompt; the last message is the user's words so far, or the Sound
    of the turn. Answer with WordsJudged(attempt), also when it fails."""

    attempt: int
    messages: tuple[Shown, ...]
    language: str | None


@dataclass(frozen=True, slots=True)
class Abandon:
    """The results of this attempt are not wanted, whether they are there or not; stop what is left of its work."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Respond:
    """Begin a reply; answer with ReplyText and ReplyCall, then ReplyTextEnded; or with ReplyFailed."""

    reply_id: str
    messages: tuple[Shown, ...]
    """What to answer, oldest first, instructions as a leading system message when there are any. Pictures stand before
    the user's words that they came with (perhaps ""). Calls and their outputs come in any order. A Sound stands for
    the words of the turn that is answered."""
    language: str | None
    max_tokens: int | None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class Recite:
    """Begin a reply whose text is known: its Speak commands follow."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class Speak:
    """Say a phrase, after the ones before it; answer with PhraseAudio*, PhraseEnded or ReplyFailed."""

    reply_id: str
    phrase: int
    text: str
    voice: str
    """The one asked for. Another speaks when it does not speak the language of the words."""
    speed: float
    language: str | None = None
    """ISO 639-1 that the words are expected in: the user's; None = not known. What the words themselves show counts
    more."""


@dataclass(frozen=True, slots=True)
class Apologise:
    """This engine failed, and nothing of the reply was heard: stop all work of it, and answer with Apology."""

    reply_id: str
    engine: str
    voice: str
    speed: float
    language: str | None
    """ISO 639-1 of the user's words; None = not known."""


@dataclass(frozen=True, slots=True)
class StopReply:
    """Stop all work of this reply now; whether cancelled, failed or complete, nothing more is wanted from it."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class ForgetAudio:
    """The user's audio before this sample is not needed any more."""

    before_sample: int


@dataclass(frozen=True, slots=True)
class ResetVoiceActivity:
    """The voice-activity engine forgets what it heard."""


# --- commands: notices for the client ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings of the last Configure are in force."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    start_sample: int
    """Prefix padding already subtracted."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    end_sample: int
    """Behind the last voiced frame."""


@dataclass(frozen=True, slots=True)
class AudioCommitted:
    """The turn is over; `item` (role user, text perhaps still None) enters the history behind `after`."""

    item: Item
    after: str | None
    start_sample: int = 0
    """Its sound is [start_sample, end_sample); it is forgotten right after this command."""
    end_sample: int = 0


@dataclass(frozen=True, slots=True)
class AudioCleared:
    pass


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """More words that will not change any more (append only), perhaps while the user still speaks."""

    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    item_id: str
    text: str
    audio_seconds: float


@dataclass(frozen=True, slots=True)
class TranscriptLost:
    """The transcriber failed on this item."""

    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """From AddItem."""

    item: Entry
    after: str | None


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    audio_end_ms: int
    """Clamped to the audio that there is."""
    text: str
    """What was heard."""


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A reply is now the client's business (never sent for a speculative one)."""

    reply_id: str
    item_id: str | None
    """Of the message that begins at once; None: with tools it is not known yet if there will be one."""
    after: str | None
    """The item before the reply's item."""
    modality: Modality
    voice: str
    max_output_tokens: int | None
    request: str | None = None
    """`ReplyOptions.request` of the CreateReply that asked for it; None when a turn did."""
    aside: bool = False
    """Its items are not in the conversation."""
    audio_format: AudioFormat | None = None
    """As in `ReplyOptions`."""


@dataclass(frozen=True, slots=True)
class ReplyMessageStarted:
    """The reply speaks, too: its message begins behind `after`. Only when ReplyStarted had no item_id."""

    reply_id: str
    item_id: str
    after: str | None


@dataclass(frozen=True, slots=True)
class ReplyCallStarted:
    """A tool is called."""

    reply_id: str
    item_id: str
    after: str | None
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ReplyCallDelta:
    reply_id: str
    item_id: str
    delta: str
    """More of its arguments."""


@dataclass(frozen=True, slots=True)
class ReplyCallEnded:
    """The call is whole. One that was cut off has none: it ends with its reply, incomplete."""

    reply_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class ReplyTextDelta:
    """Text of the reply. For a spoken reply: the words whose audio begins to leave now."""

    reply_id: str
    delta: str
    words: WordTimes = ()
    """Of the words of the delta, those that the speaker has times of, in ms from the reply's first sample. Before them,
    what came too late for the delta before: a phrase may be made in several pieces."""


@dataclass(frozen=True, slots=True)
class ReplyAudioDelta:
    reply_id: str
    samples: Samples
    """float32 mono, 24 kHz, at most 100 ms."""
    plays_at: float = 0.0
    """When a client that plays it at once begins to, on the session's clock."""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The one end of a reply."""

    reply_id: str
    status: Literal["completed", "cancelled", "failed", "incomplete"]
    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens"] | None
    """Of cancelled and incomplete."""
    text: str
    """Concatenation of all ReplyTextDelta. Of a reply that failed unheard, of the apology for it."""
    audio_ms: int
    """Sum of all ReplyAudioDelta."""
    error: str | None
    """Of failed: one sentence that names the engine."""
    timeline: Timeline | None
    """The turn's stamps; None for a reply that no spoken turn asked for."""
    usage: Usage | None = None
    """None: not known, or not all of it was made."""
    by: SpokenBy | None = None
    """None: nothing of it was spoken, or only what was spoken beforehand."""
    words: WordTimes = ()
    """Those whose audio was sent, in ms from its first sample."""


@dataclass(frozen=True, slots=True)
class FloorChanged:
    """Whose turn it is now; for clients that show it."""

    state: Literal["open", "hearing", "settling", "replying", "contested"]


@dataclass(frozen=True, slots=True)
class Speculated:
    """What became of an answer that was prepared while the turn might still go on; for clients that show it."""

    outcome: Literal["begun", "kept", "dropped"]
    text: str
    """The user's words that it answers; "" when the responder heard them before they were transcribed."""


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """Nobody has spoken for `idle_timeout_ms`: the silence becomes a turn without words, and a reply follows."""

    item_id: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A client's request cannot be done; nothing changed. Codes are those of the OpenAI Realtime API."""

    code: str
    message: str
    param: str | None = None


EngineCommand = (
    Transcribe | TranscribeItem | Judge | Prepare | Abandon | Respond | Recite | Speak | Apologise | StopReply
    | ForgetAudio | ResetVoiceActivity
)  # fmt: skip
Notice = (
    Configured | SpeechStarted | SpeechStopped | AudioCommitted | AudioCleared | TranscriptDelta | TranscriptDone
    | TranscriptLost | ItemAdded | ItemDeleted | ItemTruncated | ReplyStarted | ReplyMessageStarted | ReplyCallStarted
    | ReplyCallDelta | ReplyCallEnded | ReplyTextDelta | ReplyAudioDelta | ReplyEnded | FloorChanged | Speculated
    | IdleTimeout | Refused
)  # fmt: skip
Command = EngineCommand | Notice
