"""Checkpoints of Voxtral with random weights: the shape and the speed of the real ones, nonsense for words.

Knows: the sizes of both models, their tokenizer, how to draw weights that write words. Does not know: how a model is
run, where the real weights come from.

For tests (`tiny`) and for measuring a GPU where the real weights are not (`real`). A folder written here has the files
that the published ones have for transformers, and is loaded as they are: config, tokenizer, processor, safetensors.

What they write: frequent words of the true vocabulary in Latin letters, from `mini` with marks (. , ?), so that text
can be cut into phrases and spoken. Special tokens are never the likeliest, but for one: a text of `mini` **ends behind
its first full stop**, after two to some hundred tokens, and never at once. `realtime` writes a word at every step of
80 ms, where the real one mostly writes nothing.

Sources: the model cards and the default configs in transformers; the tokenizer is the one that mistral-common ships,
with the special tokens and the audio section of the Voxtral checkpoints added to it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, ProcessorMixin

Kind = Literal["mini", "realtime"]
Size = Literal["tiny", "real"]

SPECIAL_TOKENS: Final = 1000
"""The first ids; words come behind them."""
VOCABULARY: Final[dict[Size, int]] = {"tiny": 4096, "real": 131072}
"""Special tokens included. The words of a tokenizer are in the order of their making, so the first ones are one too."""
DELAY_MS: Final = 480
"""Of Realtime, as published."""
STD: Final = 0.02
"""Of all weights, but for the scaled ones."""
MARKS: Final[Mapping[bytes, float]] = {b".": 2.0, b",": 1.5, b"?": 1.5}
"""Scale of the rows that write them: a sentence has some ten to fifty words."""

STOP_LOUD: Final = 30.0
PROMPT_LOUD: Final = 4.0
"""Standard deviation of what is read for a full stop, and for the end of a prompt: what the layers add is not much
more, and the state behind such a token is to be known by it."""
AWAY: Final = 1.5
"""Lengths of a row by which marks are turned away from the end of a prompt."""

_BOS, _EOS, _PAD = 1, 2, 11
_AUDIO: Final = 24
_TRANSCRIBE: Final = 34
_PROMPT_ENDS: Final = (4, _TRANSCRIBE)
"""Of a conversation, [/INST], and of a transcription."""
_FREQUENT: Final = 20_000
"""Words behind those are rare ones."""
_WORD: Final = re.compile(rb" [a-z]{3,9}")
_ENDS: Final = {"bos_token_id": _BOS, "eos_token_id": _EOS, "pad_token_id": _PAD}
_ROPE: Final = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}

_SPECTROGRAM: Final = {"num_mel_bins": 128, "hop_length": 160, "window_size": 400}
_AUDIO_SECTION: Final[dict[Kind, dict[str, object]]] = {
    "mini": {
        "sampling_rate": 16000,
        "frame_rate": 12.5,
        "chunk_length_s": 30.0,
        "audio_encoding_config": _SPECTROGRAM,
    },
    "realtime": {
        "sampling_rate": 16000,
        "frame_rate": 12.5,
        "audio_encoding_config": _SPECTROGRAM,
        "transcription_format": "streaming",
        "transcription_delay_ms": float(DELAY_MS),
        "streaming_look_ahead_ms": 2.5,
        "streaming_look_back_ms": 52.5,
        "streaming_n_left_pad_tokens": 32,
    },
}
_TINY_TEXT: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY["tiny"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,  # the least that vLLM computes on a CPU
    "max_position_embeddings": 8192,
}
_REAL_TEXT: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY["real"],
    "hidden_size": 3072,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
}


def write(folder: Path, kind: Kind, size: Size, *, device: str = "cpu", seed: int = 0) -> Path:
    """Make a checkpoint in `folder`, which need not be there. Returns `folder`.

    device: where the weights are drawn; the real size takes 9.4 GB of it, and as much of disk. The same seed gives the
    same weights on the same device. tiny is float32, real bfloat16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer_file(folder / "tekken.json", kind, VOCABULARY[size])
    model = _mini(size) if kind == "mini" else _realtime(size)
    _draw(model, device, seed)
    _liven(model, kind, size)
    _write_words_only(model, tokenizer, kind)
    if kind == "mini":
        _end_sentences(model, tokenizer)
    model.save_pretrained(folder)
    _processor(kind, tokenizer).save_pretrained(folder)
    return folder


# --- tokenizer ----------------------------------------------------------------------------------------------------


def _tokenizer_file(path: Path, kind: Kind, vocabulary: int) -> Path:
    import mistral_common

    made = json.loads((Path(mistral_common.__file__).parent / "data" / "tekken_240911.json").read_text())
    made.pop("image")
    made["vocab"] = made["vocab"][: vocabulary - SPECIAL_TOKENS]
    made["config"] |= {
        "version": "v7",
        "default_vocab_size": vocabulary,
        "default_num_special_tokens": SPECIAL_TOKENS,
        "num_vocab_tokens": len(made["vocab"]),
    }
    made["special_tokens"] = [
        {"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(_special_tokens(kind))
    ]
    made["audio"] = _AUDIO_SECTION[kind]
    path.write_text(json.dumps(made))
    return path


def _special_tokens(kind: Kind) -> Iterator[str]:
    """By id."""
    from mistral_common.tokens.tokenizers.base import SpecialTokens
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    named = {
        token["rank"]: str(SpecialTokens(token["token_str"]).value) for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS
    }
    named |= {_AUDIO: SpecialTokens.audio.value, 25: SpecialTokens.begin_audio.value}
    named |= {_TRANSCRIBE: SpecialTokens.transcribe.value}
    if kind == "realtime":
        named |= {32: SpecialTokens.streaming_pad.value, 33: SpecialTokens.streaming_word.value}
    for rank in range(SPECIAL_TOKENS):
        yield named.get(rank, f"<SPECIAL_{rank}>")


def _processor(kind: Kind, tokenizer: Path) -> ProcessorMixin:
    from transformers import (
        MistralCommonBackend,
        VoxtralProcessor,
        VoxtralRealtimeFeatureExtractor,
        VoxtralRealtimeProcessor,
        WhisperFeatureExtractor,
    )

    words = MistralCommonBackend(tokenizer_path=str(tokenizer))
    if kind == "realtime":
        return VoxtralRealtimeProcessor(VoxtralRealtimeFeatureExtractor(), words)
    spectrogram = WhisperFeatureExtractor(
        feature_size=128, sampling_rate=16000, hop_length=160, n_fft=400, chunk_length=30
    )
    return VoxtralProcessor(spectrogram, words)


def _pieces(tokenizer: Path) -> Iterator[tuple[int, bytes]]:
    """Of the vocabulary: id and bytes."""
    for entry in json.loads(tokenizer.read_text())["vocab"]:
        yield SPECIAL_TOKENS + entry["rank"], base64.b64decode(entry["token_bytes"])


# --- weights ------------------------------------------------------------------------------------------------------


def _mini(size: Size) -> PreTrainedModel:
    """Without weights."""
    import torch
    from transformers import GenerationConfig, VoxtralConfig, VoxtralForConditionalGeneration

    audio: dict[str, Any] = {}  # the published size is the default
    text = _REAL_TEXT | {"intermediate_size": 8192, "num_hidden_layers": 30}
    if size == "tiny":
        audio = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = _TINY_TEXT
    text = {"model_type": "llama", **text, "rope_theta": 1e8, **_ENDS}
    config = VoxtralConfig(audio_config=audio, text_config=text, audio_token_id=_AUDIO)
    with torch.device("meta"):
        model = VoxtralForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**_ENDS)
    return model.to(_dtype(size))


def _realtime(size: Size) -> PreTrainedModel:
    """Without weights."""
    import torch
    from transformers import GenerationConfig, VoxtralRealtimeConfig, VoxtralRealtimeForConditionalGeneration

    audio: dict[str, Any] = dict(_ROPE)  # the published size is the default
    text = _REAL_TEXT | {"intermediate_size": 9216, "num_hidden_layers": 26}
    if size == "tiny":
        text = _TINY_TEXT
        audio |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
        audio |= {"head_dim": 32, "vocab_size": VOCABULARY["tiny"]}
    config = VoxtralRealtimeConfig(
        audio_config=audio,
        text_config={**text, "sliding_window": 8192, **_ROPE, **_ENDS},
        audio_length_per_tok=8,
        default_num_delay_tokens=DELAY_MS // 80,
        downsample_factor=4,
    )
    with torch.device("meta"):
        model = VoxtralRealtimeForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**_ENDS)
    return model.to(_dtype(size))


def _dtype(size: Size) -> torch.dtype:
    import torch

    return torch.float32 if size == "tiny" else torch.bfloat16


def _draw(model: PreTrainedModel, device: str, seed: int) -> None:
    """Give the model its weights, on the device and in the type in which they stay."""
    import torch

    model.to_empty(device=device)
    model.tie_weights()
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                weights.normal_(0, STD, generator=generator)
            else:  # a norm's weight or a bias
                weights.fill_(1.0 if name.endswith("weight") else 0.0)


def _liven(model: Any, kind: Kind, size: Size) -> None:
    """As drawn, neither what is heard nor what is written would change the next word much: one would be repeated for
    ever. The factors were found by trying."""
    import torch

    scaled = _livened(model, kind) if size == "tiny" else []
    sharper = {"tiny": 12.0 if kind == "mini" else 1.0, "real": 2.0}[size]
    for layer in model.model.language_model.layers:
        scaled += [(linear.weight, sharper) for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj)]
    if kind == "mini":  # those of Realtime are tied to the last layer
        scaled.append((model.get_input_embeddings().weight, {"tiny": 50.0, "real": 10.0}[size]))
    with torch.no_grad():
        for weights, factor in scaled:
            weights.mul_(factor)


def _livened(model: Any, kind: Kind) -> list[tuple[torch.Tensor, float]]:
    """Of a tiny model, with its few layers of few numbers."""
    projector = model.model.multi_modal_projector
    heard = 10.0 if kind == "mini" else 20.0
    scaled = [(weights, 24.0) for weights in model.model.audio_tower.parameters() if weights.dim() > 1]
    scaled += [(projector.linear_1.weight, heard), (projector.linear_2.weight, heard)]
    for layer in model.model.language_model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        scaled += [(linear.weight, 8.0) for linear in (attention.v_proj, attention.o_proj, mlp.up_proj, mlp.down_proj)]
    return scaled


def _write_words_only(model: Any, tokenizer: Path, kind: Kind) -> None:
    """A token whose row of the last layer is 0 has the logit 0, and thousands of others are random: it is never the
    likeliest. Realtime reads tokens with the same rows that it writes them with: a larger one would repeat itself."""
    import torch

    rows = model.get_output_embeddings().weight
    kept = torch.zeros(rows.shape[0], 1, device=rows.device, dtype=rows.dtype)
    for token, piece in _pieces(tokenizer):
        if _WORD.fullmatch(piece) and token < _FREQUENT:
            kept[token] = 1.0
        elif piece in MARKS and kind == "mini":
            kept[token] = MARKS[piece]
    with torch.no_grad():
        rows.mul_(kept)


def _end_sentences(model: Any, tokenizer: Path) -> None:
    """A text ends behind its first full stop, and does not begin with a mark: rows of the last layer are turned to the
    state behind the stop, and away from those behind a prompt."""
    import torch

    read, write = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    usual = STD * write.shape[1] ** 0.5  # length of a row
    marks = {piece: token for token, piece in _pieces(tokenizer) if piece in MARKS}

    def towards(token: int, loud: float) -> torch.Tensor:
        read[token] *= loud / read[token].std()
        return usual * read[token] / read[token].norm()

    with torch.no_grad():
        write[_EOS] = towards(marks[b"."], STOP_LOUD)
        for token in _PROMPT_ENDS:
            write[list(marks.values())] -= AWAY * towards(token, PROMPT_LOUD)
