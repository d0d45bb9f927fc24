"""What each piece of Voxtral and Kokoro costs on this machine's GPU: at their real size, with random weights.

    python -m benchmarks.gpu [--device cuda:0] [--parts mini realtime speaker] [--repeats 20] [--out FILE]
    python -m benchmarks.gpu --device cpu --size tiny       # anywhere: does it run?

Needs torch, transformers and numpy, and neither the server nor a checkpoint: the models are built on the device from
the sizes that were released, and run by the engines' own `Decoder` and `Encoder`. Random weights cost what trained ones
cost, because nothing here depends on their values: every count of tokens is given. So times and memory mean something,
and words would not; none are made. The one exception is the flush, which is quicker the less there is to say: both its
ends are measured.

Every figure is in ms, after warm-up, with the device waited for before and after (`torch.cuda.synchronize`): median,
lowest and highest of n. `eager` is what plain transformers take for the same, for comparison.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from voxtral_voice.engines.kokoro_torch.network import TINY, Kokoro, Phrase, Plan, Shape
from voxtral_voice.engines.voxtral.decoder import Decoder, Written
from voxtral_voice.engines.voxtral.encoder import Encoder, Heard

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
REPLIES: Final = (1, 4, 8)
"""Written at once."""
MINI_TOKENS: Final = 2_048
"""Of the longest conversation here."""
AT_ONCE: Final = 8
"""Tokens of a transcript between two looks whether it is over."""
STREAMS: Final = (1, 4, 16)
DELAYS_MS: Final = (240, 480)
TOKEN_MS: Final = 80
PROMPT_TOKENS: Final = 39
"""At 480 ms: its start, 32 of left padding, the delay."""
RIGHT_PAD_TOKENS: Final = 11
"""Pushed after the last sound, besides the delay: the token that ends and ten more."""
STREAM_S: Final = 10
"""Of sound in a stream before a step is timed: most turns are shorter."""
REALTIME_TOKENS: Final = 1_024
MEL_PER_TOKEN: Final = 8
STEP_SAMPLES: Final = 1_680
"""Of one step: 80 ms and what the first frame looks back on."""
STEPS: Final = 10
"""Timed together, then divided: one alone is about as long as waiting for the device."""
GUESSED: Final = 8
"""Tokens of an end in one pass, where the model has nothing more to say."""

PHRASES: Final = (10, 20, 40, 80, 160)
"""Symbols. Five words are about 20."""
SYMBOL_FRAMES: Final = 3
"""Of 25 ms: what a symbol lasts."""
TOGETHER_SYMBOLS: Final = 40
SPEAK_RATE_HZ: Final = 24_000

Audio = np.ndarray[Any, np.dtype[np.float32]]


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


def sound(seconds: float, seed: int = 0) -> Audio:
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
        body, head = self.model.model.language_model, self.model.lm_head
        self.decoder = Decoder(body, head, sequences=max(REPLIES) + 1, tokens=MINI_TOKENS, seam="responder")

    def mel(self, audio: Audio, device: torch.device | str) -> torch.Tensor:
        """[1, 128, 3000], always of 30 s, computed on `device`, and on the model's in the end."""
        made = self._extractor(audio, sampling_rate=RATE_HZ, return_tensors="pt", device=str(device))
        found: torch.Tensor = made["input_features"].to(self._bench.device, self.model.dtype)
        return found

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """[375, width]."""
        found: torch.Tensor = self.model.get_audio_features(mel, return_dict=True).pooler_output
        return found

    def text(self, tokens: int) -> torch.Tensor:
        """[tokens, width]."""
        return self.decoder.embed([1_000 + number for number in range(tokens)])

    def request(self, turn: Audio) -> torch.Tensor:
        """What is to be read of a turn that is over: [tokens, width]."""
        heard = self.encode(self.mel(turn, self._bench.device)).to(self.model.dtype)
        return torch.cat([self.text(BEFORE), heard, self.text(AFTER)])

    def transcribe(self, turn: Audio, tokens: int) -> None:
        """AT_ONCE tokens between two looks, always the likeliest."""
        sequence = self.decoder.begin()
        ids = [int(self.decoder.read(sequence, self.request(turn)).argmax())]
        while len(ids) < tokens:
            count = min(AT_ONCE, tokens - len(ids))
            nothing = torch.zeros((count, 1, self.decoder.width), device=self._bench.device, dtype=self.model.dtype)
            ids += self.decoder.follow([sequence], ids[-1:], nothing)[0]
        self.decoder.end(sequence)

    def answer(self, history: Written, turn: Audio, tokens: int) -> None:
        """After what is read already. Each token is looked at as it comes."""
        sequence = self.decoder.copy(history)
        self._write(self.decoder.read(sequence, self.request(turn)), sequence, tokens)
        self.decoder.end(sequence)

    def _write(self, logits: torch.Tensor, sequence: Written, tokens: int) -> None:
        for _ in range(tokens - 1):
            logits = self.decoder.step([sequence], [int(logits.argmax())])[0]
        int(logits.argmax())


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
    return {
        "built_s": mini.built_s,
        **_size(mini.model),
        "warm_s": _warm_s(bench, lambda: mini.decoder.warm(max(REPLIES), MINI_TOKENS)),
        "mel_cpu": bench.timed(lambda: mini.mel(turn, "cpu")),
        "mel_device": bench.timed(lambda: mini.mel(turn, bench.device)),
        "encode": bench.timed(lambda: mini.encode(mel)),
        "prefill": _prefill(mini, bench, mini.request(turn)),
        "token": {f"{replies} replies": _token(mini, bench, replies) for replies in REPLIES},
        "transcription": {f"{seconds} s": _transcription(mini, bench, seconds) for seconds in TURNS_S},
        "audio_chat": _audio_chat(mini, bench, turn),
        "eager": {"token": _eager_token(mini, bench)},
        "memory": bench.memory(),
    }


def _prefill(mini: Mini, bench: Bench, request: torch.Tensor) -> Facts:
    sequence = mini.decoder.begin()

    def once() -> None:
        sequence.length = 0
        int(mini.decoder.read(sequence, request).argmax())

    found = bench.timed(once)
    mini.decoder.end(sequence)
    return {"tokens": request.shape[0], **found}


def _token(mini: Mini, bench: Bench, replies: int) -> Facts:
    """Of each reply, with a history behind it; looked at as it comes."""
    sequences = [mini.decoder.begin() for _ in range(replies)]
    for sequence in sequences:
        mini.decoder.read(sequence, mini.text(HISTORY_TOKENS))

    def some() -> None:
        last = [1_000] * replies
        for _ in range(STEPS):
            last = mini.decoder.step(sequences, last).argmax(-1).tolist()
        for sequence in sequences:
            sequence.length = HISTORY_TOKENS

    found = bench.timed(some, parts=STEPS)
    for sequence in sequences:
        mini.decoder.end(sequence)
    return found


def _transcription(mini: Mini, bench: Bench, seconds: int) -> Facts:
    """Of a turn that is over: everything after its last sample."""
    turn, count = sound(seconds), round(seconds * TOKENS_PER_S)
    return {"tokens": count, **bench.timed(lambda: mini.transcribe(turn, count))}


def _audio_chat(mini: Mini, bench: Bench, turn: Audio) -> Facts:
    """The history is read already; then a turn of 5 s is over."""
    history = mini.decoder.begin()

    def read() -> None:
        history.length = 0
        int(mini.decoder.read(history, mini.text(HISTORY_TOKENS)).argmax())

    return {
        "history_tokens": HISTORY_TOKENS,
        "history_prefill": bench.timed(read),
        "first_token": bench.timed(lambda: mini.answer(history, turn, 1)),
        "first_phrase": {"tokens": PHRASE_TOKENS, **bench.timed(lambda: mini.answer(history, turn, PHRASE_TOKENS))},
    }


def _eager_token(mini: Mini, bench: Bench) -> Facts:
    cache = DynamicCache(config=mini.model.config.text_config)
    mini.model(inputs_embeds=mini.text(HISTORY_TOKENS)[None], past_key_values=cache, use_cache=True, logits_to_keep=1)

    def some() -> None:
        embeds = mini.text(1)[None]
        for _ in range(STEPS):
            out = mini.model(inputs_embeds=embeds, past_key_values=cache, use_cache=True, logits_to_keep=1)
            embeds = mini.decoder.embed([int(out.logits[0, -1].argmax())])[None]
        cache.crop(-STEPS)

    return bench.timed(some, parts=STEPS)


# --- Voxtral Mini 4B Realtime -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stream:
    heard: Heard
    written: Written
    last: int


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
        inner, most, ends = self.model.model, max(bench.streams) + 1, [_ending(ms) for ms in DELAYS_MS]
        delay = torch.full((1,), 6.0, device=bench.device, dtype=self.model.dtype)
        fixed = {"t_cond": inner.time_embedding(delay)[None]}
        self.encoder = Encoder(inner, streams=most, seam="transcriber", ahead=max(ends), often=(PROMPT_TOKENS, *ends))
        self.decoder = Decoder(
            inner.language_model,
            self.model.lm_head,
            sequences=most,
            tokens=REALTIME_TOKENS,
            seam="transcriber",
            fixed=fixed,
        )

    def warm(self) -> None:
        self.encoder.warm(max(self._bench.streams))
        self.decoder.warm(max(self._bench.streams), REALTIME_TOKENS, guessing=True)

    def begin(self, seconds: float) -> Stream:
        """Prompt and so much sound."""
        tokens = PROMPT_TOKENS + round(seconds * 1000 / TOKEN_MS)
        stream = Stream(self.encoder.begin(), self.decoder.begin(), 0)
        heard = self.encoder.hear([stream.heard], self.noise(tokens))[0]
        stream.last = int(self.decoder.read(stream.written, self.decoder.embed([32] * tokens) + heard).argmax())
        return stream

    def end(self, stream: Stream) -> None:
        self.encoder.end(stream.heard)
        self.decoder.end(stream.written)

    def noise(self, tokens: int) -> torch.Tensor:
        """Mel of a past that nobody times: [1, 128, frames]."""
        shape = (1, 128, tokens * MEL_PER_TOKEN)
        return torch.randn(shape, device=self._bench.device, dtype=self.model.dtype)

    def mel(self, chunks: Sequence[Audio]) -> torch.Tensor:
        """[streams, 128, frames] of pieces of one length."""
        made = self._extractor([*chunks], sampling_rate=RATE_HZ, center=False, return_tensors="pt")
        found: torch.Tensor = made["input_features"].to(self._bench.device, self.model.dtype)
        return found

    def step(self, streams: Sequence[Stream], chunks: Sequence[Audio]) -> None:
        heard = self.encoder.hear([stream.heard for stream in streams], self.mel(chunks))
        written, last = [stream.written for stream in streams], [stream.last for stream in streams]
        for stream, ids in zip(streams, self.decoder.follow(written, last, heard.transpose(0, 1)), strict=True):
            stream.last = ids[-1]

    def flush(self, stream: Stream, tokens: int, *, guessed: bool) -> None:
        """On a fork: right padding, heard at once. guessed: as if the model had nothing more to say, several tokens in
        one pass; else as if every token were a word, one after the other."""
        quiet = np.zeros(STEP_SAMPLES + (tokens - 1) * TOKEN_MS * RATE_HZ // 1000, np.float32)
        fork = self.encoder.fork(stream.heard)
        heard = self.encoder.hear([fork], self.mel([quiet]))[0]
        behind = Written(stream.written.place, stream.written.length)
        if not guessed:
            self.decoder.follow([behind], [stream.last], heard[:, None])
            return
        for done in range(0, tokens, GUESSED):
            self.decoder.guess(behind, stream.last, heard[done:], usual=32)


def _ending(delay_ms: int) -> int:
    return delay_ms // TOKEN_MS + RIGHT_PAD_TOKENS


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
        "warm_s": _warm_s(bench, realtime.warm),
        "stream_s": STREAM_S,
        "begin": bench.timed(lambda: realtime.end(realtime.begin(0.0))),
        "mel": bench.timed(lambda: realtime.mel(chunks[:1])),
        "step": {f"{count} streams": _step(realtime, bench, chunks[:count]) for count in bench.streams},
        "copy": _copy(realtime, bench),
        "flush": {f"{ms} ms": _flush(realtime, bench, _ending(ms)) for ms in DELAYS_MS},
        "eager": {"step": _eager_step(realtime, bench, chunks[0])},
        "memory": bench.memory(),
    }


def _step(realtime: Realtime, bench: Bench, chunks: Sequence[Audio]) -> Facts:
    """Of all streams together: 80 ms of each."""
    streams = [realtime.begin(STREAM_S) for _ in chunks]
    length = streams[0].written.length

    def some() -> None:
        for _ in range(STEPS):
            realtime.step(streams, chunks)
        for stream in streams:
            stream.written.length = length

    found = bench.timed(some, parts=STEPS)
    for stream in streams:
        realtime.end(stream)
    return found


def _copy(realtime: Realtime, bench: Bench) -> Facts:
    """Of a whole stream; a flush needs none."""
    stream = realtime.begin(STREAM_S)

    def once() -> None:
        realtime.encoder.end(realtime.encoder.copy(stream.heard))
        realtime.decoder.end(realtime.decoder.copy(stream.written))

    found = bench.timed(once)
    realtime.end(stream)
    return found


def _flush(realtime: Realtime, bench: Bench, tokens: int) -> Facts:
    stream = realtime.begin(STREAM_S)
    found = {
        "tokens": tokens,
        "all_words": bench.timed(lambda: realtime.flush(stream, tokens, guessed=False)),
        "nothing_new": bench.timed(lambda: realtime.flush(stream, tokens, guessed=True)),
    }
    realtime.end(stream)
    return found


def _eager_step(realtime: Realtime, bench: Bench, chunk: Audio) -> Facts:
    """One stream, one step after the other, each as it comes."""
    model = realtime.model
    state: Facts = {"past_key_values": DynamicCache(config=model.config.text_config)}

    def once(ids: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
        out = model(input_ids=ids, input_features=mel, use_cache=True, num_delay_tokens=6, logits_to_keep=1, **state)
        state["encoder_past_key_values"], state["padding_cache"] = out.encoder_past_key_values, out.padding_cache
        found: torch.Tensor = out.logits[:, -1].argmax(-1, keepdim=True)
        int(found)
        return found

    tokens = PROMPT_TOKENS + STREAM_S * 1000 // TOKEN_MS
    last = once(torch.full((1, tokens), 32, device=bench.device), realtime.noise(tokens))

    def some() -> None:
        newest = last
        for _ in range(STEPS):
            newest = once(newest, realtime.mel([chunk]))

    return bench.timed(some, parts=STEPS)


# --- Kokoro ------------------------------------------------------------------------------------------------------


class Voice:
    """The speaker's network, in float32, with convolutions in TF32 where the GPU has that: what the engine runs."""

    def __init__(self, bench: Bench) -> None:
        began = time.perf_counter()
        self.model: Kokoro = Kokoro(TINY if bench.tiny else Shape()).requires_grad_(False).eval().to(bench.device)
        bench.wait()
        self.built_s = round(time.perf_counter() - began, 2)
        self._frames = 1 if bench.tiny else SYMBOL_FRAMES
        self._style = np.random.default_rng(0).normal(0, 0.3, 256).astype(np.float32)

    def phrase(self, symbols: int) -> Phrase:
        return Phrase((0, *(43 + number % 26 for number in range(symbols)), 0), self._style, 1.0)

    def plan(self, symbols: Sequence[int]) -> list[Plan]:
        """As long as speech is, whatever random weights say."""
        made = self.model.plan([self.phrase(count) for count in symbols])
        return [replace(plan, frames=(self._frames,) * len(plan.frames)) for plan in made]

    def speak(self, symbols: Sequence[int]) -> list[Audio]:
        """Of phrases that share their runs: all from symbols to samples in this machine's memory."""
        return self.model.sound(self.plan(symbols))


def measure_speaker(bench: Bench) -> Facts:
    voice = Voice(bench)
    parameters = list(voice.model.parameters())
    half = TOGETHER_SYMBOLS // 2
    uneven = [half + 5 * number % (half + 1) for number in range(max(bench.streams))]
    return {
        "built_s": voice.built_s,
        "parameters": sum(each.numel() for each in parameters),
        "weights_mib": round(sum(each.numel() * each.element_size() for each in parameters) / 2**20),
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "phrase": {f"{count} symbols": _phrase(voice, bench, [count]) for count in PHRASES},
        "first_at_a_length": _first_at_a_length(voice, bench),
        "together": {f"{count} phrases": _phrase(voice, bench, [TOGETHER_SYMBOLS] * count) for count in bench.streams},
        "uneven": {f"{count} phrases": _phrase(voice, bench, uneven[:count]) for count in bench.streams if count > 1},
        "memory": bench.memory(),
    }


def _phrase(voice: Voice, bench: Bench, symbols: Sequence[int]) -> Facts:
    """Of all of them in one run: until the first sample of each is there, which is when all are."""
    audio_s = sum(samples.size for samples in voice.speak(symbols)) / SPEAK_RATE_HZ
    return {
        "audio_s": round(audio_s, 2),
        **bench.timed(lambda: voice.speak(symbols)),
        "plan": bench.timed(lambda: voice.plan(symbols)),
    }


def _first_at_a_length(voice: Voice, bench: Bench) -> Facts:
    """Phrases of lengths that were never seen: what libraries do once for each comes on top."""
    times_ms = []
    for count in range(23, 23 + 4 * max(2, bench.repeats), 4):
        began = time.perf_counter()
        voice.speak([count])
        times_ms.append((time.perf_counter() - began) * 1000)
    return figure(times_ms).as_json()


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


def _warm_s(bench: Bench, warm: Callable[[], object]) -> float:
    """On CUDA everything is recorded here: a part of the server's start."""
    began = time.perf_counter()
    warm()
    bench.wait()
    return round(time.perf_counter() - began, 2)


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


PARTS: Final[dict[str, Callable[[Bench], Facts]]] = {
    "mini": measure_mini,
    "realtime": measure_realtime,
    "speaker": measure_speaker,
}


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
    name = f"{written['date'][:10]}-{(written['commit'] or 'unknown')[:10]}-gpu-pieces.json"
    (path or FOLDER / name).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0 (default), cpu")
    parser.add_argument("--size", choices=["real", "tiny"], default="real", help="of the models")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--repeats", type=int, default=20, help="of which the median is taken (20)")
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[*STREAMS], help="Realtime, or phrases, at once (1 4 16)"
    )
    parser.add_argument("--commit", help="of the source, where there is no git")
    parser.add_argument("--out", type=Path, help="file (benchmarks/<date>-<commit>-gpu-pieces.json)")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
