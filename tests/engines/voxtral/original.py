"""Voxtral Mini as transformers runs it: what our own way has to agree with."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import soundfile

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

Conversation = Sequence[Mapping[str, Any]]


class Original:
    def __init__(self, folder: Path) -> None:
        from transformers import VoxtralForConditionalGeneration, VoxtralProcessor

        self._model = VoxtralForConditionalGeneration.from_pretrained(folder).eval()
        self.processor = VoxtralProcessor.from_pretrained(folder)

    def request(self, audio: Samples, language: str | None) -> Any:
        """A transcription's inputs of the model."""
        return self.processor.apply_transcription_request(
            audio=audio, sampling_rate=LISTEN_RATE_HZ, format=["WAV"], language=language, model_id="mini"
        )

    def conversation(self, messages: Conversation) -> Any:
        return self.processor.apply_chat_template(messages)

    def written(self, inputs: Any, count: int, *, ends: bool = False) -> list[int]:
        """Greedily, `count` tokens. ends: fewer where the text ends before; the end is the last one then."""
        options: dict[str, Any] = {} if ends else {"eos_token_id": None}
        ids = self._model.generate(**inputs, max_new_tokens=count, do_sample=False, **options)[0]
        tokens: list[int] = ids[inputs["input_ids"].shape[1] :].tolist()
        return tokens

    def text(self, ids: Sequence[int]) -> str:
        decoded: str = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
        return decoded


@cache
def original(folder: Path) -> Original:
    return Original(folder)


def audio_part(audio: Samples) -> Mapping[str, str]:
    """Of a message's content."""
    wav = io.BytesIO()
    soundfile.write(wav, audio, LISTEN_RATE_HZ, format="WAV", subtype="PCM_16")
    return {"type": "audio", "base64": base64.b64encode(wav.getvalue()).decode()}
