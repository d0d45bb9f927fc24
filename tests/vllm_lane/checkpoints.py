"""Tiny checkpoints as Mistral publishes them, which is how vLLM takes them.

Knows: what a weight is called there and how its rows lie. Does not know: what is in it: the weights are those of
`engines/voxtral/random_weights.py`, so that vLLM and transformers, given the same sound, have to write the same words.

Source of the names: vLLM's loaders (model_executor/models/voxtral.py and mistral.py). There, the rows of queries and
keys that are rotated together are (2i, 2i + 1); in transformers' layout they are (i, i + half).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.voxtral import random_weights
from voxtral_voice.engines.voxtral.random_weights import Kind

Weights = npt.NDArray[np.float32]

ENCODER: Final[dict[Kind, str]] = {
    "mini": "mm_whisper_embeddings.whisper_encoder",
    "realtime": "mm_streams_embeddings.embedding_module.whisper_encoder",
}
ADAPTER: Final[dict[Kind, str]] = {
    "mini": "mm_whisper_embeddings.audio_language_projection",
    "realtime": "mm_streams_embeddings.embedding_module.audio_language_projection",
}
CONVOLUTION: Final[dict[Kind, str]] = {"mini": "conv_layers.{}", "realtime": "conv_layers.{}.conv"}

IN_A_LAYER: Final = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "self_attn.out_proj": "attention.wo",
    "self_attn_layer_norm": "attention_norm",
    "input_layernorm": "attention_norm",
    "final_layer_norm": "ffn_norm",
    "post_attention_layernorm": "ffn_norm",
    "fc1": "feed_forward.w1",
    "fc2": "feed_forward.w2",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "ada_rms_norm.linear1": "ada_rms_norm_t_cond.0",
    "ada_rms_norm.linear2": "ada_rms_norm_t_cond.2",
}
"""Of the encoder and of the text model: transformers' name of a part -> Mistral's."""

END: Final = 2
"""The token."""

_LAYER: Final = re.compile(r"(audio_tower|language_model\.model)\.layers\.(\d+)\.(.+)\.(weight|bias)")
_CONVOLUTION: Final = re.compile(r"audio_tower\.(?:embedder\.)?conv([12])\.(weight|bias)")
_ADAPTER: Final = re.compile(r"multi_modal_projector\.linear_([12])\.weight")


def write(folder: Path, kind: Kind) -> Path:
    """Two layouts of the same weights: `folder`/transformers and `folder`/mistral. Returns the latter.

    What is written never ends by itself, so that there is always something to cancel.
    """
    source = random_weights.write(folder / "transformers", kind, "tiny")
    weights = dict(_load(source / "model.safetensors"))
    if kind == "mini":
        weights["language_model.lm_head.weight"][END] = 0.0  # others are positive
    _save(weights, source / "model.safetensors")
    made = folder / "mistral"
    made.mkdir()
    shutil.copy(source / "tekken.json", made / "tekken.json")
    config = json.loads((source / "config.json").read_text())
    (made / "params.json").write_text(json.dumps(_params(config, kind), indent=1))
    _save(dict(_converted(weights, config, kind)), made / "consolidated.safetensors")
    return made


def _load(path: Path) -> Mapping[str, Weights]:
    from safetensors.numpy import load_file

    weights: Mapping[str, Weights] = load_file(path)
    return weights


def _save(weights: dict[str, Weights], path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(weights, path, metadata={"format": "pt"})  # transformers asks for it


# --- weights ------------------------------------------------------------------------------------------------------


def _converted(weights: Mapping[str, Weights], config: dict[str, Any], kind: Kind) -> Iterator[tuple[str, Weights]]:
    for name, values in weights.items():
        yield _name(name, kind), np.ascontiguousarray(_paired(name, values, config, kind))


def _name(name: str, kind: Kind) -> str:
    """Mistral's, of transformers'."""
    if match := _LAYER.fullmatch(name):
        room, layer, part, what = match.groups()
        layers = f"{ENCODER[kind]}.transformer.layers" if room == "audio_tower" else "layers"
        return f"{layers}.{layer}.{IN_A_LAYER[part]}.{what}"
    if match := _CONVOLUTION.fullmatch(name):
        number, what = match.groups()
        return f"{ENCODER[kind]}.{CONVOLUTION[kind].format(int(number) - 1)}.{what}"
    if match := _ADAPTER.fullmatch(name):
        return f"{ADAPTER[kind]}.{2 * (int(match[1]) - 1)}.weight"
    return _name_of_an_end(name, kind)


def _name_of_an_end(name: str, kind: Kind) -> str:
    part, _, what = name.rpartition(".")
    ends = {
        "audio_tower.layer_norm": f"{ENCODER[kind]}.transformer.norm",
        "audio_tower.norm": f"{ENCODER[kind]}.transformer.norm",
        "audio_tower.embed_positions": f"{ENCODER[kind]}.embed_positions",  # sines in the real ones, and left out
        "language_model.model.norm": "norm",
        "language_model.lm_head": "output",
        "language_model.model.embed_tokens": ADAPTER[kind].rpartition(".")[0] + ".tok_embeddings",
    }
    return f"{ends[part]}.{what}"


def _paired(name: str, values: Weights, config: dict[str, Any], kind: Kind) -> Weights:
    """Rows of what is rotated, in Mistral's order. The encoder of mini knows places by sines: nothing is rotated."""
    if not re.search(r"\.[qk]_proj\.", name) or (kind == "mini" and name.startswith("audio_tower")):
        return values
    width = config["audio_config" if name.startswith("audio_tower") else "text_config"]["head_dim"]
    heads = values.reshape(-1, 2, width // 2, *values.shape[1:])
    return heads.swapaxes(1, 2).reshape(values.shape)


# --- params.json --------------------------------------------------------------------------------------------------


def _params(config: dict[str, Any], kind: Kind) -> dict[str, Any]:
    text = config["text_config"]
    params = {
        "dim": text["hidden_size"],
        "n_layers": text["num_hidden_layers"],
        "head_dim": text["head_dim"],
        "hidden_dim": text["intermediate_size"],
        "n_heads": text["num_attention_heads"],
        "n_kv_heads": text["num_key_value_heads"],
        "norm_eps": text["rms_norm_eps"],
        "rope_theta": text["rope_parameters"]["rope_theta"],
        "vocab_size": text["vocab_size"],
        "max_position_embeddings": text["max_position_embeddings"],
        "max_seq_len": text["max_position_embeddings"],
        "tied_embeddings": text["tie_word_embeddings"],
        "dtype": "float32",
        "multimodal": {
            "whisper_model_args": {
                "encoder_args": _encoder_args(config["audio_config"], kind),
                "downsample_args": {"downsample_factor": 4},
            }
        },
    }
    if kind == "realtime":
        params |= {"sliding_window": text["sliding_window"], "ada_rms_norm_t_cond": True, "ada_rms_norm_t_cond_dim": 32}
    return params


def _encoder_args(audio: dict[str, Any], kind: Kind) -> dict[str, Any]:
    heads = audio["num_attention_heads"]
    args = {
        "dim": audio["hidden_size"],
        "n_layers": audio["num_hidden_layers"],
        "head_dim": audio.get("head_dim", audio["hidden_size"] // heads),
        "hidden_dim": audio["intermediate_size"],
        "n_heads": heads,
        "vocab_size": audio["vocab_size"],
        "audio_encoding_args": {
            "sampling_rate": 16000,
            "frame_rate": 12.5,
            "num_mel_bins": 128,
            "hop_length": 160,
            "window_size": 400,
        },
    }
    if kind == "mini":
        return args | {"max_source_positions": audio["max_source_positions"]}
    args["audio_encoding_args"] |= {"global_log_mel_max": 1.5, "transcription_format": "streaming"}
    return args | {
        "causal": True,
        "pos_embed": "rope",
        "rope_theta": audio["rope_parameters"]["rope_theta"],
        "sliding_window": audio["sliding_window"],
        "n_kv_heads": heads,
        "ffn_type": "gate",
        "norm_type": "rms_norm",
        "use_biases": True,
    }
