"""What a profile needs on this machine before anything is loaded: libraries, a GPU, model files, Voxtral's checkpoints.

Knows: which settings mean which files and checks, and their order: what costs nothing is asked before gigabytes are
fetched. Does not know: how files get here (`weights`), how engines are built (`engines.registry`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from voxtral_voice.config import Config
from voxtral_voice.engines import speaker_backend, voxtral_parts
from voxtral_voice.engines.speaker_backend import SpeakerBackend
from voxtral_voice.engines.voxtral_parts import Backend, Model, VoxtralOptions
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights import checkpoint, fetch, repository
from voxtral_voice.weights.checkpoint import Checkpoint, Layout
from voxtral_voice.weights.store import Finding

LAYOUTS: Final[dict[Backend, Layout]] = {"vllm": "mistral", "transformers": "transformers"}
SCRATCH: Final = "voxtral/delays"
"""Below the weights folder: what vLLM reads another delay than the checkpoint's own from."""


def ensure(config: Config) -> dict[Model, Path]:
    """The folders of Voxtral's models that run here, with all else that the profile needs. Raises EngineError,
    WeightsError."""
    if config.profile == "gpu":
        voxtral_parts.require(voxtral_options(config))
    elif (speaker := speaker_of(config)) is not None:
        speaker_backend.require(speaker, config.placement.speaker)
    return pull(config)


def pull(config: Config) -> dict[Model, Path]:
    """The same, also on a machine that cannot run it. Raises WeightsError."""
    fetch.ensure(config.model_files, config.weights.dir, offline=config.weights.offline)
    return {found.model: found.folder for found in checkpoints(config)}


def checkpoints(config: Config) -> Iterator[Checkpoint]:
    """Fetched where they are of the hub, and looked at; those that are here already first. Raises WeightsError."""
    for model in config.voxtral_models:
        place = repository.repository(source(config, model), config.weights.dir)
        if isinstance(place, Path):
            checkpoint.look(place, wanted=model, layout=_layout(config))
    for model in config.voxtral_models:
        layout, weights = _layout(config), config.weights
        folder = repository.obtain(source(config, model), model, layout, weights.dir, offline=weights.offline)
        yield checkpoint.look(folder, wanted=model, layout=layout)


def described(config: Config) -> Iterator[str]:
    """A line for each of Voxtral's models that run here; nothing is fetched."""
    for model in config.voxtral_models:
        begin = f"{checkpoint.NAMES[model]} ({source(config, model)}): "
        try:
            folder = _folder(config, model)
            if not checkpoint.is_there(folder, model):
                yield f"{begin}missing"
                continue
            found = checkpoint.look(folder, wanted=model, layout=_layout(config))
        except WeightsError as error:
            yield f"{begin}{error}"
        else:
            yield f"{begin}{found.weights_bytes / 1e9:.1f} GB for {backend(config)} in {folder}"


def verify(config: Config) -> list[Finding]:
    """Reads and hashes every file whose sha256 is known. Raises WeightsError for a checkpoint that is not one."""
    findings = fetch.verify(config.model_files, config.weights.dir)
    for model in config.voxtral_models:
        of_model = repository.verify(source(config, model), config.weights.dir)
        findings += of_model
        if all(finding.state == "ok" for finding in of_model):
            checkpoint.look(_folder(config, model), wanted=model, layout=_layout(config))
    return findings


def source(config: Config, model: Model) -> str:
    """As it was set: a repository or a folder."""
    return config.voxtral.mini if model == "mini" else config.voxtral.realtime


def backend(config: Config) -> Backend:
    """What runs Voxtral. Where nobody said: vLLM when something asks for it or it is installed."""
    voxtral = config.voxtral
    if voxtral.backend:
        return voxtral.backend
    if voxtral.vllm_url or voxtral.vllm_command or voxtral.quantization:
        return "vllm"

    from voxtral_voice.engines.vllm.launch import find

    return "transformers" if find("") is None else "vllm"


def speaker_of(config: Config) -> SpeakerBackend | None:
    """What runs Kokoro; None: it is behind a URL, or nobody speaks."""
    if config.speaker.url or config.profile == "fake":
        return None
    return speaker_backend.chosen(config.speaker.backend, config.placement.speaker)


def _folder(config: Config, model: Model) -> Path:
    """Whether it is there or not."""
    place = repository.repository(source(config, model), config.weights.dir)
    return place if isinstance(place, Path) else place.folder


def _layout(config: Config) -> Layout:
    return LAYOUTS[backend(config)]


def voxtral_options(config: Config) -> VoxtralOptions:
    voxtral = config.voxtral
    return VoxtralOptions(
        listen=config.listen,
        backend=backend(config),
        models=config.voxtral_models,
        placement=config.placement,
        speaker=speaker_of(config),
        delay_ms=voxtral.delay_ms,
        vllm=config.vllm,
        vllm_command=voxtral.vllm_command,
        quantization=voxtral.quantization,
        memory_share=voxtral.memory_share,
        realtime_max_tokens=voxtral.realtime_max_tokens,
        mini_max_tokens=voxtral.mini_max_tokens,
        scratch=config.weights.dir / SCRATCH,
    )
