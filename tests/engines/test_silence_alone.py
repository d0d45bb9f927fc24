from __future__ import annotations

import numpy as np

from voxtral_voice.conversation.endpoint import endpoint_wait_ms
from voxtral_voice.conversation.events import TurnDetection
from voxtral_voice.engines.silence_alone import SilenceAlone


async def test_a_turn_ends_after_the_shortest_silence_whatever_was_said() -> None:
    judge = SilenceAlone()
    await judge.start()
    for audio in (np.zeros(0, np.float32), np.ones(16_000, np.float32)):
        judged = await judge.complete_probability(audio)
        assert endpoint_wait_ms(TurnDetection(), judged, 300) == 300
    await judge.aclose()
