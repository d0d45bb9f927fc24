"""The group `limits`: how much of the server anybody gets.

Knows: names, units, ranges and defaults. Does not know: what is done about who wants more (`server.admission`,
`server.allowance`).
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from voxtral_voice.config_part import Part

SESSIONS: Final = {"embedded": 16, "gpu": 64, "remote": 128, "fake": 256}
"""By profile, where nobody has set it. Two people who talk without a pause keep two CPU cores busy with the embedded
engines, and most people listen, or are silent, most of the time; the load has the last word."""


class LimitsConfig(Part):
    sessions: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="sessions at once, and requests that engines work for; who comes then is refused; 0 = by the "
        "profile: " + ", ".join(f"{most} {profile}" for profile, most in SESSIONS.items()),
    )
    sessions_per_key: int = Field(
        default=0, ge=0, le=100_000, description="of them, those with one API key, its client secrets' too; 0 = all"
    )
    sessions_per_address: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="of them, those from one address (of IPv6: one /64 network); 0 = all, as it has to be behind a "
        "proxy that does not say whom it brings",
    )
    new_sessions_per_s: float = Field(
        default=50, ge=0.1, le=10_000, description="new sessions in a second, after a burst of twice as many"
    )
    slow_turn_s: float = Field(
        default=4,
        ge=0,
        le=60,
        description="while several sessions run and the p95 of their recent answers, in s from the end of a turn to "
        "the first sound, is above this, no new ones are let in; 0 = however slow they are",
    )
    loop_lag_ms: float = Field(
        default=100,
        ge=0,
        le=10_000,
        description="while the server's event loop is late by more than this, in ms, most of the time, nobody new is "
        "let in; 0 = however late it is",
    )
    audio_speed: float = Field(
        default=2,
        ge=1,
        le=100,
        description="how many times faster than it was spoken a session's audio is taken, after audio_burst_s of it",
    )
    audio_burst_s: float = Field(
        default=330,
        ge=1,
        le=3_600,
        description="seconds of audio that a session may send as fast as it can; the largest append is 328 s",
    )
    events_per_s: float = Field(
        default=50,
        ge=1,
        le=100_000,
        description="events other than audio that are taken of a session in a second, after a burst of twenty times as "
        "many; the next ones wait",
    )

    def most_sessions(self, profile: str) -> int:
        return self.sessions or SESSIONS[profile]
