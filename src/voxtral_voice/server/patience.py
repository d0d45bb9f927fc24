"""How long each engine is waited for, by where it runs.

Knows: settings, limits and their reasons. Does not know: how an engine is asked (`asking`), how a connection is made
(`engines/openai_http`, which has a limit of its own for that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from voxtral_voice.config import Config

THERE_S: Final = 5.0
"""Until the first output of an engine behind a URL: a person who is told nothing for so long asks whether anybody is
there. Servers that are fine begin within one second, or two for a long prompt."""
NEXT_THERE_S: Final = 10.0
"""Between two outputs: some servers hold a whole tool call back until it is written, or a whole phrase until it is
spoken."""
TRANSCRIBER_S: Final = 20.0
RESPONDER_S: Final = 20.0
SPEAKER_S: Final = 30.0
"""On this machine, which may be slow and have other work, but does not go silent by itself: twenty times what the
embedded engines take on two cores."""
GRACE_S: Final = 1.0
"""For a chain, whose links have limits of their own, that these are what counts."""
JUDGE_S: Final = 5.0
PREPARE_S: Final = 5.0
"""Nobody waits for these two: a turn ends, and is answered, without them."""


@dataclass(frozen=True, slots=True)
class Waits:
    first_s: float
    """From being asked until the first output; a second try is part of it."""
    next_s: float
    """Between two outputs."""
    a_second_s: float = 0.0
    """More, for each second of audio that is to be heard."""

    def for_audio(self, seconds: float) -> float:
        """Until the words of so much audio."""
        return self.first_s + self.a_second_s * seconds


def waits(config: Config) -> Mapping[str, Waits]:
    """By seam."""
    ears_there = bool(config.transcriber.url or config.voxtral.vllm_url)
    brain_there = brain_is_there(config)
    hear_s = config.transcriber.timeout_s or (THERE_S if ears_there else TRANSCRIBER_S)
    speak_s = config.speaker.timeout_s or (THERE_S if config.speaker.url else SPEAKER_S)
    answer_s = respond_s(config, there=brain_there)
    chain_s = answer_s + respond_s(config, there=True) + GRACE_S if config.responder.fallback_url else answer_s
    return {
        "transcriber": Waits(hear_s, hear_s, a_second_s=0.5 if ears_there else 1.0),
        "responder": Waits(chain_s, next_respond_s(config)),
        "speaker": Waits(speak_s, max(speak_s, NEXT_THERE_S if config.speaker.url else SPEAKER_S)),
        "turn_judge": Waits(JUDGE_S, JUDGE_S),
    }


def respond_s(config: Config, *, there: bool) -> float:
    """Until the first output of one responder. there: it is behind a URL."""
    return config.responder.timeout_s or (THERE_S if there else RESPONDER_S)


def next_respond_s(config: Config) -> float:
    """Between two outputs of the first responder."""
    there = brain_is_there(config)
    return max(respond_s(config, there=there), NEXT_THERE_S if there else RESPONDER_S)


def brain_is_there(config: Config) -> bool:
    """The first responder is behind a URL."""
    return bool(config.responder.url or (config.voxtral.vllm_url and config.listen != "streaming"))
