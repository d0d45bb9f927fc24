"""How many conversations at once: the largest number of sessions whose turns are still answered in time.

Knows: the search (doubling, then bisection, then a longer trial that must hold) and the rule. Does not know: callers,
servers; a trial is made by whoever asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

SLOWER: Final = 1.25
"""p95 with N sessions may be so many times that of one."""
LONGEST_P95_MS: Final = 1_500.0
UNDERRUNS_PER_REPLY: Final = 0.001
CUT_INS_PER_TURN: Final = 0.05
"""A server that cuts in on more turns than this does not hold a conversation."""
TRIES: Final = 2
"""A trial in which the bench itself was late is made so many times."""


@dataclass(frozen=True, slots=True)
class Trial:
    """N sessions at once."""

    sessions: int
    turns: int
    p50_ms: float
    p95_ms: float
    """V2V; a missed turn counts as its deadline."""
    missed: int
    cut_ins: int
    underruns: int
    lateness_p99_ms: float
    late: bool
    """The bench's own microphone was: the trial proves nothing."""
    cpu_s_per_audio_minute: float | None = None
    memory_mb: float | None = None
    refused_for: str = ""
    """Why this number of sessions is too many; "" when it is not. Set by the trial when the server took fewer."""


Measure = Callable[[int, bool], Awaitable[Trial]]
"""sessions, whether it is the long trial -> what came of it."""


@dataclass(frozen=True, slots=True)
class Capacity:
    sessions: int
    """0: not even one session is answered in time."""
    limit_p95_ms: float
    trials: tuple[Trial, ...]
    """In the order in which they were made."""

    @property
    def void(self) -> bool:
        """Nothing is known: the bench itself was late with one session."""
        return self.sessions == 0 and self.at_least

    @property
    def at_least(self) -> bool:
        """With more sessions the bench itself was late: the server may hold more."""
        refused = [trial for trial in self.trials if trial.refused_for and trial.sessions > self.sessions]
        return bool(refused) and min(refused, key=lambda trial: trial.sessions).late

    def memory_mb_per_session(self) -> float | None:
        """Slope of a line through (sessions, memory) of all trials; None without two numbers of sessions."""
        points = {trial.sessions: trial.memory_mb for trial in self.trials if trial.memory_mb is not None}
        if len(points) < 2:
            return None
        mean_n = sum(points) / len(points)
        mean_mb = sum(points.values()) / len(points)
        rise = sum((n - mean_n) * (mb - mean_mb) for n, mb in points.items())
        return rise / sum((n - mean_n) ** 2 for n in points)

    def as_json(self) -> Mapping[str, Any]:
        slope = self.memory_mb_per_session()
        return {
            "sessions": self.sessions,
            "at_least": self.at_least,
            "limit_p95_ms": round(self.limit_p95_ms, 1),
            "memory_mb_per_session": None if slope is None else round(slope, 2),
            "trials": [asdict(trial) for trial in self.trials],
        }


async def search(
    measure: Measure,
    *,
    most: int,
    limit_p95_ms: float | None = None,
    after_trial: Callable[[Trial], object] = lambda _: None,
) -> Capacity:
    """limit_p95_ms: None = 1.25 x the p95 of one session, and at most 1,500 ms."""
    trials: list[Trial] = []
    limit_ms = LONGEST_P95_MS if limit_p95_ms is None else limit_p95_ms

    async def holds(sessions: int, *, long: bool = False) -> bool:
        for _ in range(TRIES):
            trial = await measure(sessions, long)
            trial = replace(trial, refused_for=refusal(trial, limit_ms))
            trials.append(trial)
            after_trial(trial)
            if not trial.late:
                break
        return not trial.refused_for

    if not await holds(1):
        return Capacity(0, limit_ms, tuple(trials))
    if limit_p95_ms is None:
        limit_ms = min(LONGEST_P95_MS, SLOWER * trials[0].p95_ms)
    good, bad = 1, most + 1
    while bad - good > 1:
        doubling = bad > most
        step = min(2 * good, most) if doubling else (good + bad) // 2
        good, bad = (step, bad) if await holds(step) else (good, step)
    while good > 1 and not await holds(good, long=True):
        good -= 1
    return Capacity(good, limit_ms, tuple(trials))


def refusal(trial: Trial, limit_p95_ms: float) -> str:
    """Why so many sessions are too many; "" when they are not."""
    if trial.refused_for:
        return trial.refused_for
    if trial.late:
        return f"the bench itself was {trial.lateness_p99_ms:.0f} ms late (p99): it needs more CPU than it had"
    if trial.missed:
        return f"{trial.missed} of {trial.turns} turns had no answer"
    if trial.cut_ins > CUT_INS_PER_TURN * trial.turns:
        return f"{trial.cut_ins} of {trial.turns} turns were cut into"
    if trial.p95_ms > limit_p95_ms:
        return f"p95 {trial.p95_ms:.0f} ms is over {limit_p95_ms:.0f} ms"
    if trial.underruns > UNDERRUNS_PER_REPLY * trial.turns:
        return f"{trial.underruns} underruns in {trial.turns} replies"
    return ""
