"""Voxtral Realtime's and a Llama's shape, as small as they get, with random weights, without a tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, VoxtralRealtimeForConditionalGeneration

WIDTH = 64
WORDS = 300
BINS = 128
WINDOW = 40
"""Frames that a frame of the encoder sees: short, so that a test soon reaches beyond it."""
_SHAPE = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}


def realtime() -> VoxtralRealtimeForConditionalGeneration:
    import torch
    from transformers import VoxtralRealtimeConfig, VoxtralRealtimeForConditionalGeneration

    torch.manual_seed(1)
    text = {**_SHAPE, **_ROPE, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": WORDS}
    audio = {**_SHAPE, **_ROPE, "head_dim": 16, "num_mel_bins": BINS, "sliding_window": WINDOW, "vocab_size": WORDS}
    config = VoxtralRealtimeConfig(audio_config=audio, text_config=text, audio_length_per_tok=8, downsample_factor=4)
    return VoxtralRealtimeForConditionalGeneration(config).eval()


def llama() -> LlamaForCausalLM:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    config = LlamaConfig(**_SHAPE, num_key_value_heads=2, head_dim=16, vocab_size=WORDS)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # so that the next token depends on more than the last one
        for layer in model.model.layers:
            layer.self_attn.v_proj.weight.mul_(20)
            layer.self_attn.o_proj.weight.mul_(20)
    return model
