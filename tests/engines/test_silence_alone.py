from __future__ import annotations

import numpy as np

from voxtral_voice.engines.base import TurnJudge
from voxtral_voice.engines.silence_alone import SilenceAlone


async def test_it_cannot_say_whatever_was_said() -> None:
    judge: TurnJudge = SilenceAlone()
    await judge.start()
    for audio in (np.zeros(0, np.float32), np.ones(16_000, np.float32)):
        assert await judge.complete_probability(audio) is None
    await judge.aclose()
