"""How vLLM is told to serve each of the two Voxtral models.

Knows: vLLM's flags and variables, and why each is there. Does not know: whether it fits (`gpu`), how it is kept running
(`process`).

Flags as the model cards have them, and as vLLM 0.32 takes them. What goes behind `extra` wins over what is here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from voxtral_voice.errors import EngineError

MISTRAL: Final = ("--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral")
"""The checkpoints have Mistral's own layout beside that of transformers; vLLM's Voxtral is written for the former."""
QUIET: Final = ("--disable-uvicorn-access-log", "--uvicorn-log-level", "warning")
"""Nobody reads a line per request, connection and health check; what is asked and answered is not logged anyway."""
MINI_SESSIONS: Final = 8
REALTIME_SESSIONS: Final = 16
"""Of one vLLM at a time; more wait."""
TOKENIZER: Final = "tekken.json"


@dataclass(frozen=True, slots=True)
class Serve:
    """What `process.VllmProcess` is given."""

    argv: tuple[str, ...]
    """Without host and port."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to that of `environment.cleaned`."""
    model: str = ""
    """Its name in requests."""
    sessions: int = 1
    """That it works on at once."""


def mini(
    vllm: Path,
    checkpoint: Path,
    *,
    device: str,
    max_tokens: int,
    memory_share: float,
    quantization: str = "",
    sessions: int = MINI_SESSIONS,
    extra: Sequence[str] = (),
) -> Serve:
    """Voxtral Mini 3B: transcriptions, and chat with sound or without. memory_share: of all of the GPU's memory."""
    ours = (
        *("--limit-mm-per-prompt", json.dumps({"audio": 1})),  # only the newest turn is heard, the others are read
        *("--tool-call-parser", "mistral", "--enable-auto-tool-choice"),
    )
    common = _common("voxtral-mini", device, max_tokens, memory_share, quantization, sessions)
    argv = (str(vllm), "serve", str(checkpoint), *common, *ours, *extra)
    return Serve(argv, _device_variables(device, os.environ), "voxtral-mini", sessions)


def realtime(
    vllm: Path,
    checkpoint: Path,
    *,
    device: str,
    max_tokens: int,
    memory_share: float,
    tokenizer: Path | None = None,
    quantization: str = "",
    sessions: int = REALTIME_SESSIONS,
    extra: Sequence[str] = (),
) -> Serve:
    """Voxtral Realtime 4B. max_tokens: of 80 ms, of one utterance. tokenizer: a folder of `with_delay`; None: the
    checkpoint's own delay."""
    ours = (
        *("--compilation-config", json.dumps({"cudagraph_mode": "PIECEWISE"})),  # vLLM refuses FULL for this model
        *(("--tokenizer", str(tokenizer)) if tokenizer else ()),
    )
    common = _common("voxtral-realtime", device, max_tokens, memory_share, quantization, sessions)
    argv = (str(vllm), "serve", str(checkpoint), *common, *ours, *extra)
    variables = {"VLLM_DISABLE_COMPILE_CACHE": "1"} | _device_variables(device, os.environ)
    return Serve(argv, variables, "voxtral-realtime", sessions)


def with_delay(checkpoint: Path, delay_ms: int, folder: Path) -> Path | None:
    """vLLM reads the delay of Realtime from its tokenizer's file: a copy of that with another one, in `folder`.

    Returns what `realtime` takes as tokenizer: None when the checkpoint has this delay already. Raises EngineError when
    the file cannot be read or written.
    """
    source = checkpoint / TOKENIZER
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        if content["audio"].get("transcription_delay_ms") == delay_ms:
            return None
        content["audio"]["transcription_delay_ms"] = float(delay_ms)
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"{TOKENIZER}.part"
        made.write_text(json.dumps(content), encoding="utf-8")
        made.replace(folder / TOKENIZER)
    except OSError as error:
        raise EngineError(
            "transcriber", f"{error.filename or source} cannot be used ({error.strerror}): the delay is set there."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError("transcriber", f"{source} is no tokenizer of Voxtral Realtime: fetch it again.") from error
    return folder


def find(command: str) -> Path | None:
    """The vllm program: `command` (a path, or a name on the PATH); "": that of `make vllm`, or beside our Python, or
    on the PATH. None: there is none."""
    if command:
        return _program(Path(command).expanduser()) if "/" in command else _on_path(command)
    beside_us = Path(sys.executable).parent / "vllm"
    made = Path(sys.prefix).parent / "build" / "vllm" / "bin" / "vllm"
    return _program(made) or _program(beside_us) or _on_path("vllm")


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _program(path: Path) -> Path | None:
    return path.absolute() if path.is_file() and os.access(path, os.X_OK) else None


def _common(
    name: str, device: str, max_tokens: int, memory_share: float, quantization: str, sessions: int
) -> tuple[str, ...]:
    return (
        *("--served-model-name", name),
        *MISTRAL,
        *("--max-model-len", str(max_tokens)),
        *("--max-num-seqs", str(sessions)),
        *(("--gpu-memory-utilization", f"{memory_share:.3f}") if device != "cpu" else ()),
        *(("--quantization", quantization) if quantization else ()),
        *QUIET,
    )


def _device_variables(device: str, environment: Mapping[str, str]) -> dict[str, str]:
    """vLLM takes the first GPU that it sees: it sees this one. device: as torch counts those that we may see."""
    if device == "cpu":
        return {}
    index = int(device.partition(":")[2] or 0)
    visible = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return {"CUDA_VISIBLE_DEVICES": visible[index] if index < len(visible) else str(index)}
