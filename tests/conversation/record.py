"""Makes the recordings beside this file: a caller talks to a server with scripted engines, in real time.

    python -m tests.conversation.record        # all of them, some 25 s

Knows: what is said and when. Does not know: what the server makes of it; see that with `voxtral-voice replay FILE`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import numpy as np

from tests.server.caller import Caller, calling, silence, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.config import Config, RecordConfig, ServerConfig
from voxtral_voice.server.run import running

Scene = Callable[[Caller], Awaitable[None]]

FOLDER: Final = Path(__file__).parent / "recordings"
CHUNK_MS: Final = 20
LONG: Final = "Dr. Rao, which of the 3 rivers is longest, and where does it end?"
"""Scripted engines repeat it, so that there is time to interrupt."""


async def live(caller: Caller, samples: Samples) -> None:
    """As a microphone sends it: chunk by chunk, each when it has been heard."""
    clock = asyncio.get_running_loop().time
    step = 24 * CHUNK_MS
    due = clock()
    for start in range(0, len(samples), step):
        due += CHUNK_MS / 1000
        await asyncio.sleep(due - clock())
        await caller.say(samples[start : start + step])


async def plain_turn(caller: Caller) -> None:
    await live(caller, np.concatenate((silence(200), tone(1500), silence(2600))))


async def hesitation(caller: Caller) -> None:
    await live(caller, np.concatenate((silence(200), tone(500), silence(200), tone(600), silence(2600))))


async def cough(caller: Caller) -> None:
    """Noise during the answer, too short to interrupt it."""
    await live(caller, silence(200))
    await ask(caller, LONG)
    await live(caller, np.concatenate((silence(900), tone(160), silence(3000))))


async def barge_in(caller: Caller) -> None:
    """Words during the answer; they are answered."""
    await live(caller, silence(200))
    await ask(caller, LONG)
    await live(caller, np.concatenate((silence(900), tone(1500), silence(2600))))


async def truncated(caller: Caller) -> None:
    """The client stops the answer by itself, and says how much of it was heard."""
    await live(caller, silence(200))
    reply = await ask(caller, LONG)
    await live(caller, silence(700))
    await caller.send("conversation.item.truncate", item_id=reply, content_index=0, audio_end_ms=480)
    await live(caller, silence(300))


async def tool_round(caller: Caller) -> None:
    """A tool is called, and what it gives back is asked for while the words before the call are still being said."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    await caller.update(tools=[{"type": "function", "name": "get_weather", "parameters": schema}])
    await live(caller, silence(200))
    await ask(caller, "The weather in Paris, please.")
    called = await caller.until("response.function_call_arguments.done")
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "It is sunny."}
    await caller.send("conversation.item.create", item=output)
    await caller.send("response.create")
    await live(caller, silence(4000))


async def ask(caller: Caller, text: str) -> str:
    """In writing, and return the id of the spoken answer when that has begun."""
    content = [{"type": "input_text", "text": text}]
    await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await caller.send("response.create")
    await caller.until("response.output_audio.delta")
    reply: str = caller.all("response.output_item.added")[-1]["item"]["id"]
    return reply


SCENES: Final[tuple[Scene, ...]] = (plain_turn, hesitation, cough, barge_in, truncated, tool_round)


async def record(scene: Scene, folder: str) -> None:
    config = Config(profile="fake", server=ServerConfig(port=0), record=RecordConfig(dir=folder))
    async with running(config) as url, calling(url, finished=False) as caller:
        await scene(caller)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for scene in SCENES:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(record(scene, folder))
            [made] = Path(folder).glob("*.jsonl")
            (FOLDER / f"{scene.__name__}.jsonl").write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
