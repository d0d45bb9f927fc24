"""Which Voxtral a vLLM serves, before it is asked for what it cannot do.

Knows: that the realtime model has `/v1/realtime` and the other has not; that a chat with a realtime model ends the
whole vLLM (0.32), and that a transcription of it has no end. Does not know: how each is asked.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.vllm.sockets import hears_as_one_speaks

USUAL_TOKENS: Final = 4_096
"""`max_model_len` of a server that does not say."""
FEWEST_TOKENS: Final = 128
"""Half a minute of sound, in 375 tokens, does not fit then; the utterance of a start does."""
NOISE: Final = 0.01
"""Of what a model hears at the start: -40 dBFS."""


def require_listed(server: OpenAIServer) -> None:
    """The model that was named is served. Raises EngineError."""
    if server.listed and server.model not in server.listed:
        served = ", ".join(list(server.listed)[:5])
        raise server.error(f"{server.url} serves {served}, and not {server.model}.")


async def require_whole_turns(server: OpenAIServer) -> None:
    """The model takes a turn as a whole, as Voxtral Mini does. Raises EngineError."""
    require_listed(server)
    if await hears_as_one_speaks(server):
        raise server.error(
            f"{server.model} at {server.url} is a Voxtral Realtime model, which only transcribes while one speaks: "
            "this mode needs Voxtral Mini."
        )


def longest_tokens(server: OpenAIServer) -> int:
    """Of prompt and answer, or of what is heard in a row: `max_model_len`, which vLLM's list says."""
    tokens = server.listed.get(server.model, {}).get("max_model_len")
    return tokens if isinstance(tokens, int) and tokens >= FEWEST_TOKENS else USUAL_TOKENS


def noise() -> Samples:
    """A second that has hardly a word in it, and that a model is warmed up with."""
    return np.random.default_rng(0).normal(0, NOISE, LISTEN_RATE_HZ).astype(np.float32)
