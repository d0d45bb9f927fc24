"""Voxtral-Mini-4B-Realtime, loaded through transformers, and its three steps: hear, read the prompt, write a token.

Knows: log-mel frames, the delay's prompt. Does not know: the checkpoint's files, which step is due,
threads: one call at a time.

Hearing and writing are apart: the audio of all tokens of a stretch's end is heard in one go, and then one token at a
time is written to what was heard. `Encoder` and `Decoder` hold the memory of all streams; here a stream is a `Place` in
each. A step changes neither the place nor the stretch it is for, only memory behind them: who asked for it goes on from
its result, or does not.

Source: the model card of mistralai/Voxtral-Mini-4B-Realtime-2602; `VoxtralRealtimeForConditionalGeneration.forward` of
transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from voxtral_voice.engines.base import Samples
from voxtral_voice.engines.voxtral.checkpoint import Checkpoint
from voxtral_voice.engines.voxtral.decoder import Decoder, Written
from voxtral_voice.engines.voxtral.encoder import Encoder, Heard
from voxtral_voice.engines.voxtral.failures import told
from voxtral_voice.engines.voxtral.realtime_stream import Framing

SEAM: Final = "transcriber"
KIND: Final = "voxtral_realtime"
"""`model_type` of its config."""
STREAMS: Final = 8
"""Turns heard at once: 350 MB each on CUDA, and once more for what fills up a batch."""
LONGEST_TOKENS: Final = 1024
"""Of one stretch: 82 s."""
_FLOOR: Final = 1e-10
"""Least power, before its logarithm."""


@dataclass(slots=True, eq=False)
class Place:
    """One stretch's, in the memory of the model."""

    heard: Heard
    written: Written


class RealtimeModel:
    """path: a folder with a checkpoint. device: "cuda:0", "cpu". delay_ms: a multiple of 80. Raises EngineError."""

    def __init__(self, path: Path, device: str, delay_ms: int) -> None:
        checkpoint = Checkpoint(path, device, SEAM, "Voxtral Realtime", KIND)
        checkpoint.require()
        with told(SEAM, f"{path} cannot be loaded as Voxtral Realtime"):
            from transformers import VoxtralRealtimeForConditionalGeneration, VoxtralRealtimeProcessor

            model = checkpoint.load(VoxtralRealtimeForConditionalGeneration)
            processor = VoxtralRealtimeProcessor.from_pretrained(path, local_files_only=True)
            words = processor.tokenizer.tokenizer.instruct_tokenizer
            self.framing = _framing(processor, delay_ms)
            self.prompt = [*words.start(), *words.audio_encoder.encode_streaming_tokens(delay_ms)]
            self.piece: Callable[[int], bytes] = cache(words.tokenizer.id_to_byte_piece)
            """Of a token's text; none of a control token."""
            self._nothing_new = words.audio_encoder.streaming_pad
            self.device: torch.device = model.device
            ending, prompt = self.framing.ending_tokens, self.framing.prompt_tokens
            self.encoder = Encoder(model.model, streams=STREAMS, seam=SEAM, ahead=ending, often=(ending, prompt))
            time = torch.full((1,), float(self.framing.delay_tokens), device=self.device, dtype=model.dtype)
            with torch.inference_mode():
                delay = {"t_cond": model.model.time_embedding(time)[None]}
            body, head = model.model.language_model, model.lm_head
            self.decoder = Decoder(body, head, sequences=STREAMS, tokens=LONGEST_TOKENS, seam=SEAM, fixed=delay)
            self._mel = _Mel(processor.feature_extractor, self.device)

    def begin(self) -> Place:
        """For a new stretch. Raises BusyError."""
        with ExitStack() as undone:
            heard = self.encoder.begin()
            undone.callback(self.encoder.end, heard)
            place = Place(heard, self.decoder.begin())
            undone.pop_all()
        return place

    def end(self, place: Place) -> None:
        """Safe to call twice."""
        self.encoder.end(place.heard)
        self.decoder.end(place.written)

    def hear(self, steps: Sequence[tuple[Heard, Samples]]) -> list[tuple[Heard, Tensor]]:
        """The audio of the next tokens, of one length for all. Returns each stream as it is then, and [token, width];
        those that were given stay as they were."""
        with told(SEAM, "Voxtral Realtime failed while it heard"):
            streams = [self.encoder.fork(stream) for stream, _ in steps]
            heard = self.encoder.hear(streams, self._mel(np.stack([audio for _, audio in steps])))
            return list(zip(streams, heard, strict=True))

    def read(self, steps: Sequence[tuple[Written, Tensor]]) -> list[int]:
        """The prompt, to what was heard with it: [token, width]. Returns the first id of each."""
        with told(SEAM, "Voxtral Realtime failed while it read"):
            prompt = self.decoder.embed(self.prompt)
            return [int(self.decoder.read(sequence, prompt + heard).argmax()) for sequence, heard in steps]

    def write(self, steps: Sequence[tuple[Written, int, Tensor]]) -> list[int]:
        """One token more of each: its last id, and what is heard with it, [width]. Returns the next ids."""
        sequences, last, heard = zip(*steps, strict=True)
        with told(SEAM, "Voxtral Realtime failed while it wrote"):
            return [ids[0] for ids in self.decoder.follow(sequences, last, torch.stack(heard)[None])]

    def guess(self, steps: Sequence[tuple[Written, int, Tensor]]) -> list[list[int]]:
        """Several tokens more of each, in one pass: [token, width] is heard with them. At an end most of them say that
        there is nothing new; those up to the first that does not are returned, that one too."""
        with told(SEAM, "Voxtral Realtime failed while it wrote"):
            return [self.decoder.guess(*step, usual=self._nothing_new) for step in steps]

    def warm(self) -> None:
        """Record what is replayed on CUDA."""
        with told(SEAM, "Voxtral Realtime cannot be warmed up"):
            self.encoder.warm(STREAMS)
            self.decoder.warm(STREAMS, LONGEST_TOKENS, guessing=True)


# --- the checkpoint -----------------------------------------------------------------------------------------------


def _framing(processor: Any, delay_ms: int) -> Framing:
    audio, mel = processor.mistral_common_audio_config, processor.feature_extractor
    return Framing(
        token_samples=audio.raw_audio_length_per_tok,
        ahead_samples=mel.win_length // 2 - mel.hop_length,
        before_samples=mel.win_length // 2,
        left_tokens=audio.n_left_pad_tokens,
        delay_tokens=audio.get_num_delay_tokens(delay_ms),
        right_tokens=audio.n_right_pad_tokens(delay_ms),
        end_id=processor.tokenizer.tokenizer.instruct_tokenizer.tokenizer.eos_id,
    )


# --- frames -------------------------------------------------------------------------------------------------------


class _Mel:
    """Log-mel frames as the checkpoint's feature extractor makes them, of whole frames and on the model's device."""

    def __init__(self, extractor: Any, device: torch.device) -> None:
        self._samples, self._hop = extractor.n_fft, extractor.hop_length
        self._window = torch.hann_window(self._samples, device=device)
        self._filters = torch.from_numpy(extractor.mel_filters.T).to(device, torch.float32)
        self._least = extractor.global_log_mel_max - 8.0

    def __call__(self, audio: Samples) -> Tensor:
        """audio: [stream, samples]. Returns [stream, band, frame]."""
        sound = torch.from_numpy(audio).to(self._window.device)
        spectrum = torch.stft(sound, self._samples, self._hop, window=self._window, center=False, return_complex=True)
        log = (self._filters @ spectrum.abs() ** 2).clamp(min=_FLOOR).log10()
        mel: Tensor = (log.clamp(min=self._least) + 4.0) / 4.0
        return mel
