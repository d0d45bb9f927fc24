"""Every error this package raises on purpose, at a glance.

    VoiceError                    anything below; its text is one sentence a user can act on
    ├── ConfigError               a setting is unknown, malformed or out of range
    ├── WeightsError              a model file cannot be had, or is damaged
    ├── AudioError                bytes or a file that are not the audio they claim to be
    ├── CorpusError               a clip to measure with is unknown, cannot be had, or is damaged
    ├── EngineError               an engine failed or cannot run here; `engine` says which one
    │   └── RequestError          what was asked of it cannot be done; the engine is fine
    │       └── BusyError         it could be done later: the engine has no room now
    │           └── DownError     it has failed again and again, and is not asked until it works
    ├── ServerError               the server cannot start (port in use, ...)
    ├── TalkError                 a caller (talk, bench) cannot reach, or was refused by, a server
    ├── BenchError                a measurement cannot be made as asked
    └── ReplayError               a file is no recorded session that can be replayed here

Protocol errors of a client are not exceptions: they are answered on the wire (`realtime/`) and the session goes on.
"""

from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)


class VoiceError(Exception):
    """Base of the tree. `str(error)` is a full sentence: what was wrong and what to do."""


class ConfigError(VoiceError):
    """A setting is unknown, malformed or out of range."""


class WeightsError(VoiceError):
    """A model file cannot be fetched or is damaged."""


class AudioError(VoiceError):
    """Audio that is not what it claims to be."""


class CorpusError(VoiceError):
    """A recording to measure with is unknown, cannot be had, or is not what the manifest says."""


class EngineError(VoiceError):
    """An engine failed, or cannot run on this machine.

    `engine` is the seam's name: "voice_activity", "turn_judge", "transcriber", "responder" or "speaker". `told` is what
    a client may be told of it, where the message has URLs or words of others in it, which are for the log.
    """

    def __init__(self, engine: str, message: str, told: str | None = None) -> None:
        super().__init__(message)
        self.engine = engine
        self.told = message if told is None else told


class RequestError(EngineError):
    """An engine cannot do what was asked of it, and is fine: too long, for example. Not counted against it."""


class BusyError(RequestError):
    """An engine has no room for what was asked of it now, and may have it in a moment."""


class DownError(BusyError):
    """An engine was not asked, since it has failed again and again; the message is that of its last failure."""


ENGINE_FAULTS: Final = (EngineError, RuntimeError, ValueError, OSError, TimeoutError)
"""What model libraries raise when a piece of work fails."""


class ServerError(VoiceError):
    """The server cannot start or went away."""


class TalkError(VoiceError):
    """A caller cannot reach a server, or the server refused it."""


class BenchError(VoiceError):
    """A measurement cannot be made as asked."""


class ReplayError(VoiceError):
    """A file is no recorded session that can be replayed here."""


def first_of(group: BaseExceptionGroup[E]) -> E:
    """The first error of a group that `except*` caught: groups nested in it are opened."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error
