"""Runs a small Llama model on the CPU through ONNX runtime, for several conversations at once.

Knows: tokens, what of a prompt is computed already, greedy sampling. Does not know: chat templates, sentences, asyncio:
its calls block, and stop within a step.

    text(prompt, limit, hear, cancelled)   read a prompt, write up to `limit` tokens
    next_tokens(prompt, cancelled)         read a prompt, say what may come next

What was computed is kept in memories, each of one conversation: a prompt goes to the free memory that shares the most
with it, and only what differs is computed. A new conversation gets the one that was used least recently, with what they
share copied, so that nothing but the tokens of its own prompt is ever in it.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers.decoders import DecodeStream

from voxtral_voice.engines import llama_graph
from voxtral_voice.engines.base import Usage
from voxtral_voice.engines.onnx_model import ORT_ERRORS
from voxtral_voice.errors import EngineError

Floats = npt.NDArray[np.float32]

STEP_TOKENS: Final = 32
"""Prompt tokens per step, about 2 ms each on one thread: a cancelled reply stops after a step."""
SIMILAR: Final = 0.8
"""A memory is taken over for a prompt that has this much of it. With less it is another conversation's, and kept as
long as there is one that was used less recently."""
PENALTY: Final = 1.05
PENALTY_TOKENS: Final = 64
"""Logits of the tokens among the last so many are made smaller by so much (Keskar et al. 2019). Without it the model
repeats whole sentences; at 1.1 it avoids the question's own words ("the largest exoplanet")."""


@dataclass(frozen=True, slots=True)
class Written:
    end: Literal["end", "limit", "stopped"]
    usage: Usage


@dataclass(slots=True)
class Memory:
    """Keys and values of some tokens, in buffers that grow no further than what they hold is touched."""

    tokens: list[int]
    values: dict[str, Floats]
    binding: onnxruntime.IOBinding
    used: int = 0
    """When, by a count."""

    def shared(self, tokens: Sequence[int]) -> int:
        """How many tokens at the beginning are the same."""
        pairs = zip(self.tokens, tokens, strict=False)
        return next((i for i, (mine, other) in enumerate(pairs) if mine != other), min(len(self.tokens), len(tokens)))


class Model:
    """memories: conversations whose tokens are kept; more than there are calls at once."""

    def __init__(self, path: Path, *, context: int, threads: int, memories: int) -> None:
        """Raises EngineError."""
        llama = llama_graph.read(path, context)
        self._shape, self._embeddings, self._tokenizer = llama.shape, llama.embeddings, llama.tokenizer
        self._ends = {self._tokenizer.token_to_id(mark) for mark in ("<|im_end|>", "<|endoftext|>")}
        self._session = _open(llama.graph, threads)
        self._free = [self._new_memory() for _ in range(memories)]
        self._changed = threading.Condition()
        self._clock = itertools.count(1)

    def _new_memory(self) -> Memory:
        """Pages that nothing was written to take no memory."""
        shape = (1, self._shape.kv_heads, self._shape.context, self._shape.head_width)
        binding, values = self._session.io_binding(), {}
        for name in (f"{layer}.{part}" for layer in range(self._shape.layers) for part in "kv"):
            values[name] = np.zeros(shape, np.float32)
            place = ("cpu", 0, np.float32, shape, values[name].ctypes.data)
            binding.bind_input(f"past.{name}", *place)
            binding.bind_output(f"present.{name}", *place)
        binding.bind_output("logits", "cpu")
        return Memory([], values, binding)

    def text(
        self, prompt: str, limit: int, hear: Callable[[str], bool], cancelled: Callable[[], bool]
    ) -> Written | None:
        """hear: gets the pieces of text, and stops it by True. None: the prompt and the limit do not fit."""
        tokens = self._tokenizer.encode(prompt).ids
        if not self._fits(tokens, limit):
            return None
        with self._memory_for(tokens) as memory:
            cached = len(memory.tokens)
            logits = self._read(memory, tokens, cancelled)
            end, count = self._write(memory, tokens, logits, limit, hear, cancelled)
            return Written(end, Usage(len(tokens), count, cached))

    def next_tokens(self, prompt: str, cancelled: Callable[[], bool]) -> Floats | None:
        """Probability of each token behind the prompt. None: it does not fit, or it was cancelled."""
        tokens = self._tokenizer.encode(prompt).ids
        if not self._fits(tokens, 1):
            return None
        with self._memory_for(tokens) as memory:
            logits = self._read(memory, tokens, cancelled)
            return None if logits is None else _softmax(logits)

    def word(self, token: int) -> str:
        """What a token says; "" of a mark."""
        return str(self._tokenizer.decode([token]))

    def _fits(self, tokens: Sequence[int], more: int) -> bool:
        return 0 < len(tokens) <= self._shape.context - more

    # --- memories -----------------------------------------------------------------------------------------------

    @contextmanager
    def _memory_for(self, tokens: list[int]) -> Iterator[Memory]:
        """Holds the beginning of these tokens, all but the last at the most."""
        with self._changed:
            while not self._free:
                self._changed.wait()
            memory = self._take(tokens)
        try:
            yield memory
        finally:
            with self._changed:
                memory.used = next(self._clock)
                self._free.append(memory)
                self._changed.notify()

    def _take(self, tokens: list[int]) -> Memory:
        nearest = max(self._free, key=lambda memory: memory.shared(tokens))
        count = min(nearest.shared(tokens), len(tokens) - 1)
        memory = nearest
        if count < SIMILAR * len(nearest.tokens):
            memory = min(self._free, key=lambda each: each.used)
            if memory is not nearest:
                for name, values in memory.values.items():
                    values[:, :, :count] = nearest.values[name][:, :, :count]
        memory.tokens = tokens[:count]
        self._free.remove(memory)
        return memory

    # --- computing ----------------------------------------------------------------------------------------------

    def _read(self, memory: Memory, tokens: list[int], cancelled: Callable[[], bool]) -> Floats | None:
        """Logits behind the last token, as long as the memory is held and makes no other step. None: cancelled."""
        logits = None
        while len(memory.tokens) < len(tokens):
            if cancelled():
                return None
            logits = self._step(memory, tokens[len(memory.tokens) :][:STEP_TOKENS])
        return logits

    def _write(
        self,
        memory: Memory,
        prompt: list[int],
        logits: Floats | None,
        limit: int,
        hear: Callable[[str], bool],
        cancelled: Callable[[], bool],
    ) -> tuple[Literal["end", "limit", "stopped"], int]:
        """How it ended, and after how many tokens."""
        stream, written = DecodeStream(skip_special_tokens=True), list(prompt[-PENALTY_TOKENS:])
        for count in range(limit):
            if logits is None or cancelled():
                return "stopped", count
            token = _likeliest(logits, written[-PENALTY_TOKENS:])
            if token in self._ends:
                return "end", count
            written.append(token)
            piece = stream.step(self._tokenizer, token)
            if piece and hear(piece):
                return "stopped", count + 1
            logits = self._step(memory, [token]) if count + 1 < limit else None
        return "limit", limit

    def _step(self, memory: Memory, tokens: list[int]) -> Floats:
        """Raises EngineError."""
        total = len(memory.tokens) + len(tokens)
        memory.binding.bind_cpu_input("x", self._embeddings.of(tokens))
        memory.binding.bind_cpu_input("last", np.array([total - 1], np.int32))
        memory.binding.bind_cpu_input("total", np.array(total, np.int32))
        try:
            self._session.run_with_iobinding(memory.binding)
        except (*ORT_ERRORS, RuntimeError) as error:
            memory.tokens = []
            raise EngineError("responder", f"The responder model failed: {error}") from error
        memory.tokens += tokens
        logits: Floats = memory.binding.get_outputs()[-1].numpy()[0, 0]
        return logits


def _open(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    """By way of a file: a session that is given bytes keeps all 150 MB of them. Raises EngineError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            file.write(graph)
            file.flush()
            return onnxruntime.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        needed = f"{len(graph) / 1e6:.0f} MB in {tempfile.gettempdir()} for a moment"
        raise EngineError("responder", f"The model needs {needed} ({error}); set TMPDIR to a larger folder.") from error
    except (*ORT_ERRORS, RuntimeError) as error:
        raise EngineError("responder", f"ONNX runtime cannot load the responder model ({error}).") from error


def _likeliest(logits: Floats, last: Sequence[int]) -> int:
    seen = np.unique(np.array(last, np.int64))
    logits = logits.copy()
    logits[seen] = np.where(logits[seen] > 0, logits[seen] / PENALTY, logits[seen] * PENALTY)
    return int(logits.argmax())


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)
