"""A result as it is written down: one JSON object, read by the report, the README's table and whoever compares.

Knows: the format. Does not know: how anything was measured, how it is shown.

    format      1
    command     what repeats it
    commit      of this package's source, with "+changes" if it was not clean; null outside a checkout
    version     of this package
    machine     cpu, cores, memory_gb, system, python, load_1min (when it was written)
    date        ISO 8601, UTC
    target      url, wire, model, ready_s (a server of our own)
    settings    clips (sets), turns, barge_ins, sessions, seed
    runs        one per endpoint setting: name, figures (score.Figures), buffered (V2V and continuity once more, with a
                player that buffers jitter_ms), cost or null (with `work`, what the server threw away, or null),
                turns (turn.TurnFigures)
    tradeoff    latency against false cut-ins over the runs: by kind of latency (score.tradeoff); null without two
                runs that have hold clips
    capacity    capacity.Capacity; null when it was not asked for
    interrupted true when it was stopped before everything was said
    lost        true when every session of a run broke
    void        true when the microphone was late in any run: nothing in it may be quoted
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from voxtral_voice import __version__
from voxtral_voice.bench.capacity import Capacity
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.bench.measure import Cost, Measured
from voxtral_voice.bench.score import Figures, figures, tradeoff

FORMAT: Final = 1
BUFFER_MS: Final = 60.0
"""As a browser's player has it."""

Result = dict[str, Any]
"""What JSON can hold."""


def result(
    *,
    command: str,
    target: Mapping[str, Any],
    settings: Mapping[str, Any],
    runs: Sequence[tuple[str, Measured]],
    capacity: Capacity | None = None,
    interrupted: bool = False,
) -> Result:
    """runs: (endpoint setting, what was measured with it)."""
    found = [figures(measured.records) for _, measured in runs]
    written = [_run(*run, each) for run, each in zip(runs, found, strict=True)]
    curves = tradeoff([(name, each) for (name, _), each in zip(runs, found, strict=True)])
    return {
        "format": FORMAT,
        "command": command,
        "commit": commit(),
        "version": __version__,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": dict(target),
        "settings": dict(settings),
        "runs": written,
        "tradeoff": {kind: asdict(curve) for kind, curve in curves.items()} or None,
        "capacity": None if capacity is None else capacity.as_json(),
        "interrupted": interrupted,
        "lost": any(each.sessions and each.lost >= each.sessions for each in found),
        "void": any(run["figures"]["void"] for run in written) or (capacity is not None and capacity.void),
    }


def _run(name: str, measured: Measured, found: Figures) -> Result:
    cost, buffered = measured.cost, figures(measured.records, BUFFER_MS)
    return {
        "name": name,
        "figures": found.as_json(),
        "buffered": {
            "jitter_ms": BUFFER_MS,
            "v2v_ms": asdict(buffered.latency.v2v_ms),
            "continuity": asdict(buffered.continuity),
        },
        "cost": None if cost is None else _cost(cost),
        "turns": [turn.as_json() for turn in measured.turns],
    }


def _cost(cost: Cost) -> Result:
    work = None if cost.work is None else cost.work.as_json()
    return asdict(cost) | {"cpu_s_per_audio_minute": cost.cpu_s_per_audio_minute, "work": work}
