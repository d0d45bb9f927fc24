"""What each piece of Voxtral costs on this machine's GPU: both models at their real size, with random weights.

    python -m benchmarks.gpu [--device cuda:0] [--parts mini realtime] [--repeats 20] [--out FILE]
    python -m benchmarks.gpu --device cpu --size tiny       # anywhere: does it run?

Needs torch, transformers and numpy, and neither the server nor a checkpoint: the models are built on the device from
the sizes that were released. Random weights cost what trained ones cost, because nothing here depends on their values:
every count of tokens is given. So times and memory mean something, and words would not; none are made.

Every figure is in ms, after warm-up, with the device waited for before and after (`torch.cuda.synchronize`): median,
lowest and highest of n. It is what plain transformers do, layer by layer in eager mode, with SDPA.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import (
    DynamicCache,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralRealtimeConfig,
    VoxtralRealtimeFeatureExtractor,
    VoxtralRealtimeForConditionalGeneration,
    WhisperFeatureExtractor,
)

from voxtral_voice.bench.machine import Facts, commit, machine

FOLDER: Final = Path(__file__).parent
RATE_HZ: Final = 16_000
WARM_UP: Final = 3
TURNS_S: Final = (2, 5, 20)
TOKENS_PER_S: Final = 3.5
"""Of speech: 150 words a minute, 1.4 tokens a word."""
HISTORY_TOKENS: Final = 300
"""Instructions and a few turns as text."""
PHRASE_TOKENS: Final = 8
"""Until a first phrase is whole: docs/turns.md has 7.1 for SmolLM2."""
BEFORE, AFTER = 3, 6
"""Text tokens of a request around the audio: BOS, [INST], [BEGIN_AUDIO]; [/INST], lang:en, [TRANSCRIBE]."""
STREAMS: Final = (1, 4, 16)
DELAYS_MS: Final = (240, 480)
TOKEN_MS: Final = 80
LEFT_PAD_TOKENS: Final = 32
RIGHT_PAD_TOKENS: Final = 11
"""Pushed after the last sound, besides the delay: the token that ends and ten more."""
STREAM_S: Final = 10
"""Of sound in a stream before a step is timed: most turns are shorter."""
MEL_PER_TOKEN: Final = 8
STEP_SAMPLES: Final = 1_680
"""Of one step: 80 ms and what the first frame looks back on."""
STEPS: Final = 10
"""Timed together, then divided: one alone is about as long as waiting for the device."""


@dataclass(frozen=True, slots=True)
class Figure:
    median_ms: float
    low_ms: float
    high_ms: float
    n: int

    def as_json(self) -> Facts:
        return {"median_ms": self.median_ms, "low_ms": self.low_ms, "high_ms": self.high_ms, "n": self.n}


@dataclass(frozen=True, slots=True)
class Bench:
    """How it is measured."""

    device: torch.device
    repeats: int
    tiny: bool
    streams: tuple[int, ...] = STREAMS

    def timed(self, work: Callable[[], object], *, parts: int = 1) -> Facts:
        """work is run WARM_UP times, then `repeats` times; parts: of which each run has so many."""
        for _ in range(WARM_UP):
            work()
        return figure([self._once(work) / parts for _ in range(self.repeats)]).as_json()

    def _once(self, work: Callable[[], object]) -> float:
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return (time.perf_counter() - began) * 1000

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def memory(self) -> Facts:
        """MiB; nothing without a GPU."""
        if self.device.type != "cuda":
            return {}
        held, most = torch.cuda.memory_allocated(self.device), torch.cuda.max_memory_allocated(self.device)
        return {"allocated_mib": round(held / 2**20), "peak_mib": round(most / 2**20)}


def figure(times_ms: Sequence[float]) -> Figure:
    low, high = min(times_ms), max(times_ms)
    return Figure(round(statistics.median(times_ms), 3), round(low, 3), round(high, 3), len(times_ms))


@contextmanager
def building(device: torch.device) -> Iterator[None]:
    """Parameters are made on the device: bf16 on a GPU, float32 elsewhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else before)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def sound(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Something to hear."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    return (0.05 * noise).astype(np.float32)


# --- Voxtral Mini 3B ----------------------------------------------------------------------------------------------


class Mini:
    """As transcriber and as responder that listens: mel, encoder, prompt, tokens."""

    def __init__(self, bench: Bench) -> None:
        began = time.perf_counter()
        with building(bench.device):
            self.model = VoxtralForConditionalGeneration(mini_config(bench.tiny)).eval()
        bench.wait()
        self.built_s = round(time.perf_counter() - began, 2)
        self._bench = bench
        self._extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=30)

    def mel(self, audio: np.ndarray[Any, Any], device: torch.device | str) -> torch.Tensor:
        """[1, 128, 3000], always of 30 s, computed on `device`, and on the model's in the end."""
        made = self._extractor(audio, sampling_rate=RATE_HZ, return_tensors="pt", device=str(device))
        found: torch.Tensor = made["input_features"].to(self._bench.device, self.model.dtype)
        return found

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """[375, d]."""
        found: torch.Tensor = self.model.get_audio_features(mel, return_dict=True).pooler_output
        return found

    def text(self, tokens: int) -> torch.Tensor:
        """[1, tokens, d]."""
        ids = torch.randint(1_000, self.model.config.text_config.vocab_size, (1, tokens), device=self._bench.device)
        found: torch.Tensor = self.model.get_input_embeddings()(ids)
        return found

    def request(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.text(BEFORE), audio[None].to(self.model.dtype), self.text(AFTER)], dim=1)

    def cache(self) -> DynamicCache:
        return DynamicCache(config=self.model.config.text_config)

    def token(self, embeds: torch.Tensor, cache: DynamicCache) -> int:
        """The next one, as a number: the device is waited for, as whoever looks for the end has to."""
        out = self.model(inputs_embeds=embeds, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return int(out.logits[0, -1].argmax())

    def tokens(self, embeds: torch.Tensor, cache: DynamicCache, count: int) -> None:
        for _ in range(count):
            number = self.token(embeds, cache)
            embeds = self.model.get_input_embeddings()(torch.tensor([[number]], device=self._bench.device))


def mini_config(tiny: bool) -> VoxtralConfig:
    """mistralai/Voxtral-Mini-3B-2507."""
    rope = {"rope_type": "default", "rope_theta": 1e8}
    encoder = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
    decoder = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 30, "num_attention_heads": 32}
    sizes = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131_072, "max_position_embeddings": 131_072}
    if tiny:
        encoder = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
        decoder = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 4_096}
    text = {"model_type": "llama", **decoder, **sizes, "rope_parameters": rope, "rms_norm_eps": 1e-5}
    return VoxtralConfig(audio_config=encoder, text_config=text, audio_token_id=24)


def measure_mini(bench: Bench) -> Facts:
    mini = Mini(bench)
    turn = sound(5)
    mel = mini.mel(turn, "cpu")
    heard = mini.encode(mel)
    request = mini.request(heard)
    return {
        "built_s": mini.built_s,
        **_size(mini.model),
        "mel_cpu": bench.timed(lambda: mini.mel(turn, "cpu")),
        "mel_device": bench.timed(lambda: mini.mel(turn, bench.device)),
        "encode": bench.timed(lambda: mini.encode(mel)),
        "prefill": {"tokens": request.shape[1], **bench.timed(lambda: mini.token(request, mini.cache()))},
        "token": _mini_token(mini, bench, request),
        "transcription": {f"{seconds} s": _transcription(mini, bench, seconds) for seconds in TURNS_S},
        "audio_chat": _audio_chat(mini, bench, turn),
        "kv_mib_per_1000_tokens": _kv_mib(mini, request),
        "memory": bench.memory(),
    }


def _mini_token(mini: Mini, bench: Bench, request: torch.Tensor) -> Facts:
    cache = mini.cache()
    mini.token(request, cache)
    one = mini.text(1)

    def some() -> None:
        mini.tokens(one, cache, STEPS)
        cache.crop(-STEPS)

    return bench.timed(some, parts=STEPS)


def _transcription(mini: Mini, bench: Bench, seconds: int) -> Facts:
    """Of a turn that is over: everything after its last sample."""
    turn, count = sound(seconds), round(seconds * TOKENS_PER_S)

    def whole() -> None:
        mini.tokens(mini.request(mini.encode(mini.mel(turn, bench.device))), mini.cache(), count)

    return {"tokens": count, **bench.timed(whole)}


def _audio_chat(mini: Mini, bench: Bench, turn: np.ndarray[Any, Any]) -> Facts:
    """The history is there already; then a turn of 5 s is over."""
    cache = mini.cache()
    mini.token(mini.text(HISTORY_TOKENS), cache)

    def answer(tokens: int) -> None:
        mini.tokens(mini.request(mini.encode(mini.mel(turn, bench.device))), cache, tokens)
        cache.crop(HISTORY_TOKENS - cache.get_seq_length())

    return {
        "history_tokens": HISTORY_TOKENS,
        "history_prefill": bench.timed(lambda: mini.token(mini.text(HISTORY_TOKENS), mini.cache())),
        "first_token": bench.timed(lambda: answer(1)),
        "first_phrase": {"tokens": PHRASE_TOKENS, **bench.timed(lambda: answer(PHRASE_TOKENS))},
    }


def _kv_mib(mini: Mini, request: torch.Tensor) -> float:
    cache = mini.cache()
    mini.token(request, cache)
    return round(_mib(cache) / int(request.shape[1]) * 1000, 1)


# --- Voxtral Mini 4B Realtime -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Streams:
    """So many at once, in step."""

    decoder: DynamicCache
    encoder: Any
    padding: Any
    last: torch.Tensor
    """[streams, 1]"""

    def clone(self) -> Streams:
        return copy.deepcopy(self)


class Realtime:
    """One token for every 80 ms of sound."""

    def __init__(self, bench: Bench) -> None:
        began = time.perf_counter()
        with building(bench.device):
            self.model = VoxtralRealtimeForConditionalGeneration(realtime_config(bench.tiny)).eval()
        bench.wait()
        self.built_s = round(time.perf_counter() - began, 2)
        self._bench = bench
        self._extractor = VoxtralRealtimeFeatureExtractor()

    def begin(self, streams: int, delay_ms: int, seconds: float) -> Streams:
        """Prompt and so much sound, in one pass."""
        tokens = 1 + LEFT_PAD_TOKENS + delay_ms // TOKEN_MS + round(seconds * 1000 / TOKEN_MS)
        ids = torch.full((streams, tokens), 32, device=self._bench.device)
        mel = torch.randn(streams, 128, tokens * MEL_PER_TOKEN, device=self._bench.device, dtype=self.model.dtype)
        decoder = DynamicCache(config=self.model.config.text_config)
        begun = Streams(decoder, None, None, ids[:, :1])
        return self._forward(begun, ids, mel, delay_ms)

    def mel(self, chunks: Sequence[np.ndarray[Any, Any]]) -> torch.Tensor:
        """[streams, 128, 8] of as many pieces of STEP_SAMPLES."""
        made = self._extractor([*chunks], sampling_rate=RATE_HZ, center=False, return_tensors="pt")
        found: torch.Tensor = made["input_features"].to(self._bench.device, self.model.dtype)
        return found

    def step(self, streams: Streams, chunks: Sequence[np.ndarray[Any, Any]], delay_ms: int) -> list[int]:
        self._forward(streams, streams.last, self.mel(chunks), delay_ms)
        return [int(number) for number in streams.last[:, 0].tolist()]

    def _forward(self, streams: Streams, ids: torch.Tensor, mel: torch.Tensor, delay_ms: int) -> Streams:
        out = self.model(
            input_ids=ids,
            input_features=mel,
            past_key_values=streams.decoder,
            encoder_past_key_values=streams.encoder,
            padding_cache=streams.padding,
            use_cache=True,
            num_delay_tokens=delay_ms // TOKEN_MS,
            logits_to_keep=1,
        )
        streams.encoder, streams.padding = out.encoder_past_key_values, out.padding_cache
        streams.last = out.logits[:, -1].argmax(-1, keepdim=True)
        return streams

    def flush(self, streams: Streams, delay_ms: int) -> None:
        """Right padding, of which the encoder hears all at once; the tokens come one after the other."""
        count = delay_ms // TOKEN_MS + RIGHT_PAD_TOKENS
        quiet = np.zeros(STEP_SAMPLES + (count - 1) * TOKEN_MS * RATE_HZ // 1000, np.float32)
        inner = self.model.model
        heard = inner.get_audio_features(
            input_features=self.mel([quiet]),
            past_key_values=streams.encoder,
            padding_cache=streams.padding,
            use_cache=True,
            return_dict=True,
        ).pooler_output
        delay = torch.full((1,), delay_ms // TOKEN_MS, device=self._bench.device, dtype=self.model.dtype)
        condition = inner.time_embedding(delay)[None]
        for index in range(count):
            embeds = inner.get_input_embeddings()(streams.last) + heard[:, index : index + 1]
            out = inner.language_model(
                inputs_embeds=embeds, past_key_values=streams.decoder, use_cache=True, t_cond=condition
            )
            streams.last = self.model.lm_head(out.last_hidden_state).argmax(-1)
            int(streams.last)


def realtime_config(tiny: bool) -> VoxtralRealtimeConfig:
    """mistralai/Voxtral-Mini-4B-Realtime-2602."""
    rope = {"rope_type": "default", "rope_theta": 1e6}
    encoder = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 32}
    decoder = {"hidden_size": 3072, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 32}
    sizes, head = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131_072}, 64
    if tiny:
        encoder = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        decoder = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes, head = {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 4_096}, 16
    return VoxtralRealtimeConfig(
        audio_config={**encoder, "head_dim": head, "sliding_window": 750, "rope_parameters": rope},
        text_config={**decoder, **sizes, "sliding_window": 8_192, "rope_parameters": rope},
    )


def measure_realtime(bench: Bench) -> Facts:
    realtime = Realtime(bench)
    chunks = [sound(STEP_SAMPLES / RATE_HZ, seed) for seed in range(max(bench.streams))]
    return {
        "built_s": realtime.built_s,
        **_size(realtime.model),
        "stream_s": STREAM_S,
        "begin": bench.timed(lambda: realtime.begin(1, 480, 0.0)),
        "mel": bench.timed(lambda: realtime.mel(chunks[:1])),
        "step": {f"{n} streams": _step(realtime, bench, chunks[:n]) for n in bench.streams},
        "clone": {f"{seconds} s": _clone(realtime, bench, seconds) for seconds in (5, STREAM_S, 60)},
        "flush_by_steps": {f"{ms} ms": _flush_by_steps(realtime, bench, ms) for ms in DELAYS_MS},
        "flush": {f"{ms} ms": _flush(realtime, bench, ms) for ms in DELAYS_MS},
        "memory": bench.memory(),
    }


def _step(realtime: Realtime, bench: Bench, chunks: Sequence[np.ndarray[Any, Any]]) -> Facts:
    begun = realtime.begin(len(chunks), 480, STREAM_S)

    def some() -> None:
        for _ in range(STEPS):
            realtime.step(begun, chunks, 480)

    return bench.timed(some, parts=STEPS) | bench.memory()


def _clone(realtime: Realtime, bench: Bench, seconds: int) -> Facts:
    begun = realtime.begin(1, 480, seconds)
    return {**bench.timed(begun.clone), "state_mib": round(_mib(begun.decoder) + _mib(begun.encoder), 1)}


def _flush_by_steps(realtime: Realtime, bench: Bench, delay_ms: int) -> Facts:
    """A clone, and the right padding one step after the other."""
    begun, quiet = realtime.begin(1, delay_ms, STREAM_S), [np.zeros(STEP_SAMPLES, np.float32)]
    count = delay_ms // TOKEN_MS + RIGHT_PAD_TOKENS

    def whole() -> None:
        cloned = begun.clone()
        for _ in range(count):
            realtime.step(cloned, quiet, delay_ms)

    return {"tokens": count, **bench.timed(whole)}


def _flush(realtime: Realtime, bench: Bench, delay_ms: int) -> Facts:
    begun = realtime.begin(1, delay_ms, STREAM_S)
    count = delay_ms // TOKEN_MS + RIGHT_PAD_TOKENS
    return {"tokens": count, **bench.timed(lambda: realtime.flush(begun.clone(), delay_ms))}


# --- all ----------------------------------------------------------------------------------------------------------


def _size(model: Any) -> Facts:
    parameters = list(model.parameters())
    held = sum(each.numel() * each.element_size() for each in parameters)
    return {
        "parameters": sum(each.numel() for each in parameters),
        "weights_mib": round(held / 2**20),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.config._attn_implementation,
    }


def _mib(cache: Any) -> float:
    """Of all keys and values."""
    tensors = [each for layer in cache.layers for each in (layer.keys, layer.values)]
    return sum(float(each.numel() * each.element_size()) for each in tensors) / 2**20


def device_facts(device: torch.device) -> Facts:
    if device.type != "cuda":
        return {"name": "cpu", "threads": torch.get_num_threads()}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "compute_capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


PARTS: Final[dict[str, Callable[[Bench], Facts]]] = {"mini": measure_mini, "realtime": measure_realtime}


def measured(bench: Bench, name: str) -> Facts:
    """One part's figures; its model is gone afterwards."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    with torch.inference_mode():
        found = PARTS[name](bench)
    gc.collect()
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    bench = Bench(torch.device(options.device), options.repeats, options.size == "tiny", tuple(options.streams))
    written: Facts = {
        "command": " ".join(["python -m benchmarks.gpu", *(sys.argv[1:] if words is None else words)]),
        "commit": options.commit or commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "device": device_facts(bench.device),
        "weights": f"random, {options.size} size",
    }
    for name in options.parts:
        written[name] = measured(bench, name)
        print(json.dumps({name: written[name]}, indent=2), flush=True)
        write(written, options.out)
    return 0


def write(written: Facts, path: Path | None) -> None:
    name = f"{written['date'][:10]}-{(written['commit'] or 'unknown')[:10]}-gpu.json"
    (path or FOLDER / name).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0 (default), cpu")
    parser.add_argument("--size", choices=["real", "tiny"], default="real", help="of the models")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--repeats", type=int, default=20, help="of which the median is taken (20)")
    parser.add_argument("--streams", type=int, nargs="+", default=[*STREAMS], help="Realtime, at once (1 4 16)")
    parser.add_argument("--commit", help="of the source, where there is no git")
    parser.add_argument("--out", type=Path, help="file (benchmarks/<date>-<commit>-gpu.json)")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
