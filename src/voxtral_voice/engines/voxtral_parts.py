"""What Voxtral does in the gpu profile: hears, answers, or both, through vLLM or in this process.

Knows: which engine a mode and a backend make, which models and processes they share, and what this machine has to have
for that. Does not know: the other engines (`registry`), where checkpoints come from. Libraries are imported where an
engine is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from voxtral_voice.engines import gpu, speaker_backend
from voxtral_voice.engines.base import Engine, Responder, Transcriber
from voxtral_voice.engines.placement import Listen, Placement, index
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.speaker_backend import SpeakerBackend
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.vllm.admission import Admission
    from voxtral_voice.engines.vllm.launch import Serve

Backend = Literal["vllm", "transformers"]
Model = Literal["realtime", "mini"]

LIBRARIES: Final = {"torch": "torch", "transformers": "transformers", "mistral_common": "mistral-common"}
"""(To import: to install) of the models in this process."""


class Process(Protocol):
    """What runs beneath engines, and is started before them."""

    @property
    def failing(self) -> str | None:
        """Why it cannot be used now."""

    async def start(self) -> None:
        """Until it can be used. Raises EngineError."""

    async def aclose(self) -> None:
        """Safe to call twice."""


@dataclass(frozen=True, slots=True)
class VoxtralOptions:
    listen: Listen = "streaming"
    backend: Backend = "vllm"
    models: tuple[Model, ...] = ("realtime", "mini")
    """That run on this machine."""
    placement: Placement = field(default_factory=Placement)
    speaker: SpeakerBackend | None = "onnx"
    """None: it is behind a URL."""
    delay_ms: int = 480
    vllm: Remote | None = None
    """One that runs already; None: a process of our own for each model."""
    vllm_command: str = ""
    quantization: str = ""
    memory_share: float = 0.9
    realtime_max_tokens: int = 16_384
    mini_max_tokens: int = 8_192
    scratch: Path = Path("build/voxtral")
    """A folder for small files that vLLM is to read."""

    def device(self, model: Model) -> str:
        """Where it runs. Mini also hears, but for streaming, and is then where the transcriber is."""
        placed = self.placement
        return placed.responder if model == "mini" and self.listen == "streaming" else placed.transcriber


@dataclass(frozen=True, slots=True)
class VoxtralParts:
    transcriber: Transcriber
    """Where it is not wanted it is not started."""
    responder: Responder | None
    """None: somebody else answers."""
    processes: Mapping[str, Process] = field(default_factory=dict)
    """By name; in the order in which they are started, one after the other."""
    one_by_one: bool = False
    """Start the responder when the transcriber has started: transformers does not bear to load two models at once."""


def require(options: VoxtralOptions) -> None:
    """Is what this machine has enough? Touches no weights and no network. Raises EngineError."""
    if options.speaker is not None:
        speaker_backend.require(options.speaker, options.placement.speaker)
    if not options.models:
        return
    if options.backend == "transformers":
        _require_libraries()
        gpu.require(_needs(options), cuda=gpu.cuda_of_torch())
    else:
        environment = _command(options).resolve().parent.parent
        gpu.require(_needs(options), _left_to(options), cuda=gpu.cuda_of_torch(environment))


def parts(options: VoxtralOptions, checkpoints: Mapping[Model, Path]) -> VoxtralParts:
    """Not started. checkpoints: folders, in the layout of the backend. Raises EngineError."""
    if options.backend == "transformers":
        return _in_process(options, checkpoints)
    if options.vllm is not None:
        return _on_vllm(options, {"realtime" if options.listen == "streaming" else "mini": _theirs(options.vllm)})
    return _on_vllm(options, {model: _ours(options, model, checkpoints[model]) for model in options.models})


# --- what has to be here ----------------------------------------------------------------------------------------


def _require_libraries() -> None:
    absent = [name for module, name in LIBRARIES.items() if find_spec(module) is None]
    if absent:
        raise EngineError(
            "transcriber",
            f"Voxtral in this process needs {', '.join(absent)}: run 'make voxtral', or let vLLM run it ('make vllm').",
        )


def _command(options: VoxtralOptions) -> Path:
    from voxtral_voice.engines.vllm.launch import find

    found = find(options.vllm_command)
    if found is None:
        named = f"There is no program {options.vllm_command}" if options.vllm_command else "There is no vllm"
        raise EngineError(
            "transcriber",
            f"{named}, which is to run Voxtral: run 'make vllm', name another with --voxtral-vllm-command, use one "
            "that runs with --vllm-url, or do without by --voxtral-backend transformers.",
        )
    return found


def _needs(options: VoxtralOptions) -> list[gpu.Need]:
    """Of all that shares the GPUs."""
    speaker = [speaker_backend.need(options.placement.speaker)] if options.speaker == "torch" else []
    return [*(_need(options, model) for model in options.models), *speaker]


def _need(options: VoxtralOptions, model: Model) -> gpu.Need:
    """At the least: vLLM takes all that it may have, for more sessions. In this process memory is set aside for all
    texts at once, and one more that computes."""
    device = options.device(model)
    if options.backend == "vllm":
        tokens = options.mini_max_tokens if model == "mini" else options.realtime_max_tokens
        return gpu.need(model, device, max_tokens=tokens, quantization=options.quantization)
    if model == "mini":
        from voxtral_voice.engines.voxtral.mini_model import SEQUENCES, TOKENS

        return gpu.need(model, device, max_tokens=TOKENS, sessions=SEQUENCES + 1, set_aside=True)

    from voxtral_voice.engines.voxtral.realtime_model import LONGEST_TOKENS, STREAMS

    return gpu.need(model, device, max_tokens=LONGEST_TOKENS, sessions=STREAMS + 1, set_aside=True)


def _left_to(options: VoxtralOptions) -> gpu.Found:
    """The GPUs, with no more free than vLLM may have."""
    found = gpu.look()
    mine = [replace(g, free_bytes=min(g.free_bytes, int(options.memory_share * g.total_bytes))) for g in found.gpus]
    return replace(found, gpus=tuple(mine))


def _share(options: VoxtralOptions, model: Model) -> float:
    """Of all memory of its GPU; models that are on one share what vLLM may have as they need it."""
    device = options.device(model)
    number = index(device)
    gpus = _left_to(options).gpus
    if number is None or number >= len(gpus):
        return options.memory_share
    together = sum(need.total_bytes for need in _needs(options) if need.device == device)
    here = gpus[number]
    return here.free_bytes / here.total_bytes * _need(options, model).total_bytes / together


# --- through vLLM -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Server:
    """A vLLM, as every engine that asks it has to know it."""

    place: Remote
    admission: Admission
    """Theirs together: it works on so many requests at once, whoever they are of."""
    suspect: Callable[[], None]
    process: Process


def _theirs(place: Remote) -> _Server:
    from voxtral_voice.engines.vllm.admission import Admission
    from voxtral_voice.engines.vllm.patience import nobody
    from voxtral_voice.engines.vllm.theirs import Theirs

    return _Server(place, Admission(), nobody, Theirs(place))


def _ours(options: VoxtralOptions, model: Model, checkpoint: Path) -> _Server:
    from voxtral_voice.engines.vllm.admission import Admission
    from voxtral_voice.engines.vllm.process import VllmProcess, starting
    from voxtral_voice.engines.vllm.realtime import VllmRealtime
    from voxtral_voice.engines.vllm.transcription import VllmTranscriber

    def hearing() -> Engine:
        """Of the process's own warm-up: what it finds is known where it is asked."""
        return VllmTranscriber(place) if model == "mini" else VllmRealtime(place, options.delay_ms)

    serve = _serve_mini(options, checkpoint) if model == "mini" else _serve_realtime(options, checkpoint)
    process = VllmProcess(
        serve.argv, log_prefix=f"vllm {model}", environment=serve.environment, warm_up=starting(hearing)
    )
    place = Remote(process.url, serve.model)
    return _Server(place, Admission(serve.sessions), process.suspect, process)


def _serve_mini(options: VoxtralOptions, checkpoint: Path) -> Serve:
    from voxtral_voice.engines.vllm import launch

    return launch.mini(
        _command(options),
        checkpoint,
        device=options.device("mini"),
        max_tokens=options.mini_max_tokens,
        memory_share=_share(options, "mini"),
        quantization=options.quantization,
    )


def _serve_realtime(options: VoxtralOptions, checkpoint: Path) -> Serve:
    from voxtral_voice.engines.vllm import launch

    delay_ms = options.delay_ms
    return launch.realtime(
        _command(options),
        checkpoint,
        device=options.device("realtime"),
        max_tokens=options.realtime_max_tokens,
        memory_share=_share(options, "realtime"),
        tokenizer=launch.with_delay(checkpoint, delay_ms, options.scratch / f"{checkpoint.name}-{delay_ms}ms"),
        quantization=options.quantization,
    )


def _on_vllm(options: VoxtralOptions, servers: Mapping[Model, _Server]) -> VoxtralParts:
    from voxtral_voice.engines.vllm.chat import VllmChat
    from voxtral_voice.engines.vllm.realtime import VllmRealtime
    from voxtral_voice.engines.vllm.transcription import VllmTranscriber

    responder: Responder | None = None
    if (mini := servers.get("mini")) is not None:
        listens = options.listen == "direct"
        responder = VllmChat(mini.place, listens, admission=mini.admission, suspect=mini.suspect)
    transcriber: Transcriber
    if options.listen == "streaming":
        server = servers["realtime"]
        transcriber = VllmRealtime(server.place, options.delay_ms, admission=server.admission, suspect=server.suspect)
    else:
        server = servers["mini"]
        transcriber = VllmTranscriber(server.place, admission=server.admission, suspect=server.suspect)
    return VoxtralParts(transcriber, responder, {f"vllm {model}": server.process for model, server in servers.items()})


# --- in this process --------------------------------------------------------------------------------------------


def _in_process(options: VoxtralOptions, checkpoints: Mapping[Model, Path]) -> VoxtralParts:
    from voxtral_voice.engines.voxtral.mini_model import MiniModel
    from voxtral_voice.engines.voxtral.mini_responder import MiniResponder
    from voxtral_voice.engines.voxtral.mini_transcriber import MiniTranscriber
    from voxtral_voice.engines.voxtral.realtime_transcriber import RealtimeTranscriber

    mini = MiniModel(checkpoints["mini"], options.device("mini")) if "mini" in checkpoints else None
    responder = MiniResponder(mini, listens=options.listen == "direct") if mini else None
    transcriber: Transcriber
    if mini is None or options.listen == "streaming":
        transcriber = RealtimeTranscriber(checkpoints["realtime"], options.device("realtime"), options.delay_ms)
    else:
        transcriber = MiniTranscriber(mini)
    return VoxtralParts(transcriber, responder, one_by_one=True)
