"""A folder with a checkpoint, as transformers loads it.

Knows: its files, what may be wrong with them, in which precision a device runs it. Does not know: what the model is
for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from voxtral_voice.errors import EngineError

_FILES: Final = ("config.json", "tekken.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    path: Path
    device: str
    """ "cuda:0", "cpu"."""
    seam: str
    """Whose failure it is when it cannot be loaded."""
    name: str
    """Of the model that it has to be."""
    kind: str
    """`model_type` of that model's config."""

    def require(self) -> None:
        """Before anything is loaded. Raises EngineError."""
        for name in _FILES:
            if not (self.path / name).is_file():
                raise self._error(f"{self.path / name} is missing: fetch {self.name} again.")
        kind = self._kind()
        if kind != self.kind:
            raise self._error(f"{self.path} holds a model of type {kind!r}, and {self.name} is wanted here.")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise self._error(f"{self.name} was to run on {self.device}, but torch finds no CUDA here.")

    def load(self, model_class: Any) -> Any:
        """model_class: of transformers. Raises EngineError, and what transformers raises."""
        from safetensors import SafetensorError
        from transformers.utils.logging import disable_progress_bar, set_verbosity_error

        disable_progress_bar()
        set_verbosity_error()
        try:
            model, found = model_class.from_pretrained(
                self.path,
                dtype=torch.bfloat16 if self.device.startswith("cuda") else torch.float32,
                attn_implementation="sdpa",
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except SafetensorError as error:
            raise self._error(f"The weights in {self.path} are damaged ({error}): fetch {self.name} again.") from error
        if found["missing_keys"] or found["mismatched_keys"]:
            raise self._error(f"The weights in {self.path} are not complete: fetch {self.name} again.")
        return model.to(self.device).eval()

    def _kind(self) -> object:
        config = self.path / "config.json"
        try:
            return json.loads(config.read_bytes()).get("model_type")
        except (ValueError, AttributeError) as error:
            raise self._error(f"{config} is damaged: fetch {self.name} again.") from error

    def _error(self, message: str) -> EngineError:
        return EngineError(self.seam, message)
