"""Voxtral-Mini-3B, loaded through transformers, and what it does in one go: hear, read a prompt, write a token.

Knows: spectrograms, embeddings, how a token is chosen. Does not know: the checkpoint's files, conversations,
threads: one call at a time, all on one thread.

Each takes several at once; those of one call do not wait for each other. What was heard last is kept: a turn that is
answered and transcribed is heard once.

Source: the model card of mistralai/Voxtral-Mini-3B-2507; `VoxtralForConditionalGeneration.forward` of transformers.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from voxtral_voice.engines.voxtral.checkpoint import Checkpoint
from voxtral_voice.engines.voxtral.decoder import Decoder
from voxtral_voice.engines.voxtral.failures import told
from voxtral_voice.engines.voxtral.mini_memory import Memories, Memory
from voxtral_voice.engines.voxtral.mini_prompt import Prompt
from voxtral_voice.engines.voxtral.mini_sound import WINDOW_SAMPLES, Sound
from voxtral_voice.engines.voxtral.tokens import Vocabulary

KIND: Final = "voxtral"
"""`model_type` of its config."""
KEPT_SOUNDS: Final = 8
"""2.3 MB for each 30 s."""
LIKELIEST: Final = 256
"""A token is drawn from so many at the most."""
_FLOOR: Final = 1e-10
"""Least power, before its logarithm."""


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float
    top_p: float
    """Only the likeliest tokens are drawn that have so much of the probability together."""
    random: np.random.Generator


@dataclass(slots=True, eq=False)
class Reading:
    """One text under way."""

    prompt: Prompt
    sampling: Sampling | None = None
    """None: always the likeliest token."""
    keep: bool = True
    """The prompt and what is written are likely to be the beginning of a later prompt."""
    begun: tuple[int, ...] = ()
    """What was written behind the prompt already, and is gone on from."""
    heard: Tensor | None = None
    """The prompt's sound: [tokens, width]."""
    cached: int = 0
    """Tokens of the prompt that were read before."""
    last: int = 0
    """The newest token, not read yet."""
    memory: Memory | None = None


class Network:
    """path: a folder with a checkpoint. device: "cuda:0", "cpu". sequences: texts and remembered prompts at once.
    tokens: of the longest, prompt and text. seam: whose failure it is when it cannot be loaded. Raises EngineError."""

    def __init__(self, path: Path, device: str, *, sequences: int, tokens: int, seam: str) -> None:
        checkpoint = Checkpoint(path, device, seam, "Voxtral Mini", KIND)
        checkpoint.require()
        with told(seam, f"{path} cannot be loaded as Voxtral Mini"):
            from transformers import VoxtralForConditionalGeneration

            self.vocabulary = Vocabulary(path / "tekken.json")
            self.end = self.vocabulary.end
            """The token behind a text."""
            self._model = checkpoint.load(VoxtralForConditionalGeneration)
            body, head = self._model.model.language_model, self._model.lm_head
            self._decoder = Decoder(body, head, sequences=sequences, tokens=tokens, seam=seam)
            self._memories = Memories(self._decoder, sequences)
            self._mel = _Mel(self._decoder.device)
        self._sounds: OrderedDict[bytes, Tensor] = OrderedDict()

    # --- hearing ------------------------------------------------------------------------------------------------

    def hear(self, sounds: Sequence[Sound]) -> list[Tensor]:
        """[tokens, width] of each."""
        for sound in sounds:
            if sound.digest not in self._sounds:
                with torch.inference_mode():
                    self._sounds[sound.digest] = self._heard(self._mel(sound))
            self._sounds.move_to_end(sound.digest)
        heard = [self._sounds[sound.digest] for sound in sounds]
        while len(self._sounds) > KEPT_SOUNDS:
            self._sounds.popitem(last=False)
        return heard

    def _heard(self, mel: Tensor) -> Tensor:
        """mel: [window, band, frame]. Returns [token, width]."""
        features: Tensor = self._model.get_audio_features(mel.to(self._decoder.dtype), return_dict=True).pooler_output
        return features

    # --- reading and writing ------------------------------------------------------------------------------------

    def read(self, readings: Sequence[Reading]) -> list[int]:
        """The prompts. Returns the first token of each."""
        return [_chosen(self._read(reading)[None], [reading])[0] for reading in readings]

    def prepare(self, readings: Sequence[Reading]) -> list[None]:
        """Read the prompts, to remember them."""
        for reading in readings:
            try:
                self._read(reading)
            finally:
                self.release(reading)
        return [None] * len(readings)

    def step(self, readings: Sequence[Reading]) -> list[int]:
        """One token more of each: its newest is read. Returns the next ones."""
        memories = [reading.memory for reading in readings if reading.memory is not None]
        logits = self._decoder.step([memory.written for memory in memories], [reading.last for reading in readings])
        for memory, reading in zip(memories, readings, strict=True):
            memory.keys.append(reading.last)
            memory.after = None
        return _chosen(logits, readings)

    def release(self, reading: Reading) -> None:
        """Nothing more is written. Safe to call twice, and for one that was never read."""
        if reading.memory is not None:
            self._memories.give_back(reading.memory, keep=reading.keep)
            reading.memory = None

    def free(self) -> None:
        """Of memory on the device. It cannot be used any more."""
        device = self._decoder.device
        del self._model, self._decoder, self._memories, self._sounds
        gc.collect()  # the decoder and its steps know each other
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def warm(self, texts: int) -> None:
        """Record what is replayed on CUDA, for so many texts at once."""
        self._decoder.warm(texts, self._decoder.tokens)

    def _read(self, reading: Reading) -> Tensor:
        """Returns the logits behind the prompt: [words]."""
        keys = [*reading.prompt.keys(self.vocabulary.audio), *reading.begun]
        reading.memory = memory = self._memories.take(keys, keep=reading.keep)
        reading.cached = len(memory.keys)
        if memory.after is None:
            embedded = self._embedded(reading, reading.cached)
            memory.after = self._decoder.read(memory.written, embedded).clone()
            memory.keys = keys
        return memory.after

    def _embedded(self, reading: Reading, start: int) -> Tensor:
        """The prompt from a token on, and what is begun: [tokens, width]."""
        ids = (*reading.prompt.ids, *reading.begun)[start:]
        audio = [index for index, token in enumerate(reading.prompt.ids[start:]) if token == self.vocabulary.audio]
        with torch.inference_mode():
            embedded = self._decoder.embed(ids)
            if audio and reading.heard is not None:
                embedded[audio] = reading.heard[-len(audio) :].to(embedded.dtype)
        return embedded


# --- choosing -----------------------------------------------------------------------------------------------------


def _chosen(logits: Tensor, readings: Sequence[Reading]) -> list[int]:
    """logits: [n, words]."""
    if all(reading.sampling is None for reading in readings):
        ids: list[int] = logits.argmax(-1).tolist()
        return ids
    likeliest, tokens = logits.float().topk(min(LIKELIEST, logits.shape[-1]))
    rows = zip(likeliest.cpu().numpy(), tokens.tolist(), readings, strict=True)
    return [row[_drawn(few, reading.sampling)] for few, row, reading in rows]


def _drawn(logits: np.ndarray[Any, np.dtype[np.float32]], sampling: Sampling | None) -> int:
    """Which of the likeliest, which come in order. What is not among them has no share: at the temperatures of speech
    that is so but for rounding."""
    if sampling is None:
        return 0
    scaled = np.exp((logits - logits[0]).astype(np.float64) / sampling.temperature)
    shares = scaled / scaled.sum()
    kept = int(np.searchsorted(np.cumsum(shares), sampling.top_p)) + 1
    shares = shares[:kept] / shares[:kept].sum()
    return int(sampling.random.choice(len(shares), p=shares))


# --- spectrograms -------------------------------------------------------------------------------------------------


class _Mel:
    """Log-mel spectrograms as `WhisperFeatureExtractor` makes them, on the model's device: of the 30 s that everything
    is padded to, the copy of the samples is then all that the processor has to do."""

    def __init__(self, device: torch.device) -> None:
        from transformers import WhisperFeatureExtractor

        extractor = WhisperFeatureExtractor(feature_size=128)
        self._samples, self._hop, self._bands = extractor.n_fft, extractor.hop_length, extractor.feature_size
        self._window = torch.hann_window(self._samples, device=device)
        self._filters = torch.from_numpy(extractor.mel_filters.T).to(device, torch.float32)

    def __call__(self, sound: Sound) -> Tensor:
        """[window, band, frame]."""
        device = self._window.device
        samples = torch.zeros(sound.windows * WINDOW_SAMPLES, device=device)
        samples[: len(sound.samples)] = torch.from_numpy(sound.samples).to(device)
        spectrum = torch.stft(samples, self._samples, self._hop, window=self._window, return_complex=True)[:, :-1]
        log = (self._filters @ (spectrum.abs() ** 2).contiguous()).clamp(min=_FLOOR).log10()
        mel: Tensor = (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
        return mel.reshape(self._bands, sound.windows, -1).transpose(0, 1)
