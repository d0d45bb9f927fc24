"""llama.cpp's own server on a port of this machine, with the small model of the embedded profile, taught to call tools.

Knows: llama.cpp, a chat template for tools, which examples make so small a model follow it. Does not know: our engines
but for their messages.

The model was never trained to call. Its template shows calls as plain JSON, and with `EXAMPLES` at the head of the
conversation it writes them: what comes over the wire is what llama.cpp sends for any model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import xllamacpp

from voxtral_voice.engines.base import Call, Message, Tool

MODEL: Final = "smollm2-135m-instruct-q4_1.gguf"
TEMPLATE: Final = """{%- if tools %}<|im_start|>system
Answer with a call of one of these functions:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
Result: {{ message.content }}<|im_end|>
{% elif message.role == 'assistant' and message.tool_calls %}<|im_start|>assistant
{{ message.content or '' }}
{%- for call in message.tool_calls %}
{%- if not loop.first %}
{% endif %}{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
{%- endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WEATHER: Final = Tool(
    "get_weather",
    "The weather in a city.",
    '{"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}',
)


def example(city: str, weather: str) -> tuple[Message, ...]:
    call = Call(f"example-{city}", WEATHER.name, json.dumps({"city": city}))
    return (
        Message("user", f"What is the weather in {city}?"),
        Message("assistant", "", calls=(call,)),
        Message("tool", weather, call_id=call.call_id),
        Message("assistant", f"{weather} in {city}."),
    )


EXAMPLES: Final = (
    Message("system", "You are a voice assistant."),
    *example("Oslo", "12 degrees"),
    *example("Paris", "20 degrees"),
    *example("London", "rain"),
)


@asynccontextmanager
async def llama_server(path: Path) -> AsyncIterator[str]:
    """path: the model's. Yields the URL for `--responder-url`. Greedy, one thread, one conversation at a time."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.use_jinja = True
    parameters.chat_template = TEMPLATE
    parameters.sampling.temp = 0.0
    parameters.verbosity = -1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = await asyncio.to_thread(xllamacpp.Server, parameters)
    yield f"{server.listening_address}/v1"
    del server
