"""False cut-offs against latency, for the endpoint rule and two simpler ones, on the same silences.

    .venv/bin/python -m benchmarks.endpointing [--judge-ms 146] [--words-ms 200] [--words-judged-ms 260]

The clips of the corpus are heard once, as the server hears them: voice activity finds every silence, and at its
tentative end (64 ms) Smart Turn judges the turn so far, Whisper writes it down, and the responder's model judges the
words. Then every rule is tried on the same signals: it learns each of them so many milliseconds after the tentative
end, which are the declared constants above (a lone session on two cores), and ends the turn when its wait is over.

A pause of 100 ms or more, put in or the speaker's own, is cut off when the rule ends the turn before speech is heard to
go on (96 ms of it, as in the server). The latency of a true end is counted from the mark in the corpus, so that what
voice activity adds is in it. The rules: silence alone; Smart Turn with a threshold, a short and a long wait, all of
which are swept; ours, with patience from 0 to 1. The coefficients of ours were fitted on other recordings; where its
dial stands was chosen on those too, but with these figures in sight, as every best setting below is chosen.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from tqdm import tqdm

from voxtral_voice import __version__
from voxtral_voice.audio.level import frames_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench import corpus
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.bench.stats import DRAWS, SEED
from voxtral_voice.conversation.endpoint import Signals, endpoint_wait_ms
from voxtral_voice.conversation.events import TurnDetection
from voxtral_voice.conversation.gate import FRAME_SAMPLES, Offset, Onset, SpeechGate
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Message, TurnJudge, VoiceActivity
from voxtral_voice.engines.silero import Silero
from voxtral_voice.engines.smart_turn import SmartTurn
from voxtral_voice.engines.smollm import SmolLM
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.errors import VoiceError
from voxtral_voice.weights import default_weights_dir

FOLDER: Final = Path(__file__).parent
LEAD_S: Final = 0.5
TAIL_S: Final = 0.6
ROOM_TONE_DBFS: Final = -70.0
PREFIX_MS: Final = 300
THRESHOLD: Final = 0.5
"""Of voice activity, and the audio kept from before the onset: the server's defaults."""
NEAR_S: Final = 0.2
"""A silence that begins this close to a pause's mark is that pause."""
SHORTEST_PAUSE_MS: Final = 100.0
PAUSE_LENGTH: Final = re.compile(r"-\d+$")
"""In the id of a clip with a pause put in."""
CUT_BUDGETS: Final = (5, 10)
MS_BUDGETS: Final = (300, 600)
FIGURES: Final = (
    "latency_at_5_percent_ms",
    "latency_at_10_percent_ms",
    "cut_offs_at_300_ms_percent",
    "cut_offs_at_600_ms_percent",
    "default_cut_offs_percent",
    "default_latency_ms",
)


@dataclass(frozen=True, slots=True)
class Silence:
    """One tentative end, and all that was known at it."""

    clip: str
    kind: str
    """end, put (a pause that was put in), own (the speaker's own pause)."""
    language: str
    lag_ms: float
    """From the mark to the last voiced sample by voice activity; 0 where there is no mark."""
    lasts_ms: float | None
    """From the last voiced sample to where speech is heard to go on; None at the end."""
    signals: Signals


@dataclass(frozen=True, slots=True)
class Ears:
    """The engines, started."""

    vad: VoiceActivity
    judge: TurnJudge
    whisper: Whisper
    judge_words: Callable[[str, str], Awaitable[float | None]]
    """(words, language)"""


# --- hearing ------------------------------------------------------------------------------------------------------


async def hear(clip: Clip, ears: Ears) -> list[Silence]:
    """Every silence of 64 ms in the clip that has speech before it, but for those too short to be a pause."""
    audio = in_a_room(resample(clip.samples, clip.rate_hz, LISTEN_RATE_HZ))
    edges = await edges_of(audio, ears)
    if not edges:
        return unheard(clip, [])
    onset = edges[0][0].sample
    start = max(0, onset - PREFIX_MS * LISTEN_RATE_HZ // 1000)
    found: list[Silence] = []
    for (edge, heard_to), next_edge in zip_longest(edges[1::2], edges[2::2]):
        kind, lag_ms = placed(clip, edge.sample / LISTEN_RATE_HZ - LEAD_S, next_edge is None)
        pause_ms = math.inf if next_edge is None else ms(next_edge[0].sample - edge.sample)
        if pause_ms >= SHORTEST_PAUSE_MS:
            judged_to = max(heard_to, edge.sample + Policy().judged_silence_ms * LISTEN_RATE_HZ // 1000)
            signals = await signals_of(audio[start:heard_to], audio[start:judged_to], ears)
            lasts_ms = None if next_edge is None else ms(next_edge[1] - edge.sample)
            found.append(Silence(clip.id, kind, clip.language, lag_ms, lasts_ms, signals))
    return [*found, *unheard(clip, found)]


def unheard(clip: Clip, found: Sequence[Silence]) -> list[Silence]:
    """The pauses that were put in and that voice activity spoke through: no rule can cut them off."""
    missing = len(clip.pauses) - sum(each.kind == "put" for each in found)
    return [Silence(clip.id, "put", clip.language, 0.0, 0.0, Signals())] * missing


async def edges_of(audio: Samples, ears: Ears) -> list[tuple[Onset | Offset, int]]:
    """Each edge, and the sample behind the frame at which it was known."""
    policy = Policy()
    gate = SpeechGate(THRESHOLD, policy.onset_ms, policy.tentative_silence_ms)
    frames = audio[: len(audio) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    probabilities = await ears.vad.session().probabilities(frames)
    heard = enumerate(zip(probabilities, frames_dbfs(frames), strict=True))
    edges = [(gate.push(i * FRAME_SAMPLES, *frame), (i + 1) * FRAME_SAMPLES) for i, frame in heard]
    return [(edge, heard_to) for edge, heard_to in edges if edge is not None]


async def signals_of(audio: Samples, with_silence: Samples, ears: Ears) -> Signals:
    judged = await ears.judge.complete_probability(with_silence)
    heard = await ears.whisper.transcribe(audio, language=None, prompt="", final=True)
    return Signals(judged, heard.text, await ears.judge_words(heard.text, heard.language), heard.language)


def placed(clip: Clip, at_s: float, last: bool) -> tuple[str, float]:
    """Kind and lag of a silence that begins there."""
    if last:
        return "end", 1000 * (at_s - clip.end_s)
    for begin_s, _ in clip.pauses:
        if abs(at_s - begin_s) <= NEAR_S:
            return "put", 1000 * (at_s - begin_s)
    return "own", 0.0


def in_a_room(speech: Samples) -> Samples:
    """With quiet before and behind it."""
    rng = np.random.default_rng(0)
    lead, tail = (
        (rng.standard_normal(round(s * LISTEN_RATE_HZ)) * 10 ** (ROOM_TONE_DBFS / 20)).astype(np.float32)
        for s in (LEAD_S, TAIL_S)
    )
    return np.concatenate([lead, speech, tail])


def ms(samples: int) -> float:
    return 1000 * samples / LISTEN_RATE_HZ


async def heard(clips: Sequence[Clip]) -> list[Silence]:
    folder = default_weights_dir()
    vad, judge = Silero(folder / "silero-vad-v5.onnx"), SmartTurn(folder / "smart-turn-v3.2.onnx")
    whisper = Whisper(folder / "whisper-base", threads=1, workers=1)
    responder = SmolLM(folder / "smollm2-135m-instruct-q4_1.gguf")
    engines = (vad, judge, whisper, responder)

    async def judge_words(words: str, language: str) -> float | None:
        return await responder.prepare([Message("user", words)], language=language)

    try:
        for engine in engines:
            await engine.start()
        ears = Ears(vad, judge, whisper, judge_words)
        return [silence for clip in tqdm(clips, unit="clip") for silence in await hear(clip, ears)]
    finally:
        for engine in engines:
            await engine.aclose()


# --- rules --------------------------------------------------------------------------------------------------------

Wait = Callable[[Signals], float]
"""Silence after the last voiced sample that ends the turn, by what is known at a moment."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When each signal is known, after the tentative end."""

    judged_ms: float
    words_ms: float
    words_judged_ms: float


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    wait: Wait


def silence_alone() -> list[Setting]:
    return [Setting(f"{wait} ms", partial(silence_wait, float(wait))) for wait in range(100, 2001, 50)]


def smart_turn_alone() -> list[Setting]:
    """Threshold, wait above it, wait below it."""
    thresholds = [0.02, 0.05, *np.arange(0.1, 0.95, 0.1).round(2).tolist(), 0.95, 0.97, 0.98, 0.99]
    swept = product(thresholds, (100, 150, 200, 250, 300, 400, 500, 600), (600, 1000, 1300, 1600, 1800, 2000, 2500))
    return [Setting(f"{t:g}, {s} and {w} ms", partial(smart_turn_wait, t, float(s), float(w))) for t, s, w in swept]


def ours() -> list[Setting]:
    return [Setting(f"patience {p / 20:g}", partial(our_wait, p / 20)) for p in range(21)]


def silence_wait(wait_ms: float, _: Signals) -> float:
    return wait_ms


def smart_turn_wait(threshold: float, short_ms: float, long_ms: float, signals: Signals) -> float:
    return short_ms if signals.judged is not None and signals.judged >= threshold else long_ms


def our_wait(patience: float, signals: Signals) -> float:
    return endpoint_wait_ms(TurnDetection(patience=patience), signals)


def ended_ms(wait: Wait, signals: Signals, arrival: Arrival) -> float:
    """When the rule ends the turn, after the last voiced sample, if nobody goes on."""
    moments = list(known(signals, arrival))
    nexts = [at_ms for at_ms, _ in moments[1:]] + [math.inf]
    dues = (max(at_ms, wait(then)) for at_ms, then in moments)
    return next(due for due, next_ms in zip(dues, nexts, strict=True) if due < next_ms)


def known(signals: Signals, arrival: Arrival) -> Iterator[tuple[float, Signals]]:
    """At each moment after the last voiced sample, what is known from then on."""
    began_ms = Policy().tentative_silence_ms
    for after_ms in sorted({0.0, *astuple(arrival)}):
        has_words = after_ms >= arrival.words_ms
        yield (
            began_ms + after_ms,
            replace(
                signals,
                judged=signals.judged if after_ms >= arrival.judged_ms else None,
                words=signals.words if has_words else None,
                words_judged=signals.words_judged if after_ms >= arrival.words_judged_ms else None,
                language=signals.language if has_words else None,
            ),
        )


# --- scores -------------------------------------------------------------------------------------------------------

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What each setting of a rule does in each silence."""

    names: list[str]
    cut: Values
    """[settings, pauses]: 1 where the turn was ended in the pause."""
    latency_ms: Values
    """[settings, ends]."""


def outcomes(settings: Sequence[Setting], silences: Sequence[Silence], arrival: Arrival) -> Outcomes:
    ended = np.array([[ended_ms(each.wait, s.signals, arrival) for s in silences] for each in settings])
    pauses = [i for i, s in enumerate(silences) if s.kind != "end"]
    ends = [i for i, s in enumerate(silences) if s.kind == "end"]
    lasts = np.array([silences[i].lasts_ms for i in pauses], np.float64)
    lags = np.array([silences[i].lag_ms for i in ends], np.float64)
    return Outcomes(
        [each.name for each in settings], (ended[:, pauses] < lasts).astype(np.float64), ended[:, ends] + lags
    )


def points(of: Outcomes, pauses: Indices, ends: Indices) -> tuple[Values, Values]:
    """False cut-offs in percent and median latency of each setting, over these pauses and ends (indices)."""
    return 100 * of.cut[:, pauses].mean(axis=1), np.median(of.latency_ms[:, ends], axis=1)


def at_budgets(cuts: Values, latency_ms: Values) -> list[float]:
    """The best setting's latency at 5 and 10 % false cut-offs, its false cut-offs at 300 and 600 ms; NaN: none is."""
    chosen = [latency_ms[cuts <= most] for most in CUT_BUDGETS] + [cuts[latency_ms <= most] for most in MS_BUDGETS]
    return [float(each.min()) if len(each) else math.nan for each in chosen]


@dataclass(frozen=True, slots=True)
class Group:
    """The silences of one set of clips, and which of them belong together."""

    name: str
    silences: list[Silence]

    def draws(self, kind_is_end: bool) -> Iterator[Indices]:
        """Indices into its pauses or its ends: once all of them, then drawn by clip. Pauses at one place in one
        sentence, six lengths of them, are drawn together: they are hardly different."""
        mine = [s for s in self.silences if (s.kind == "end") == kind_is_end]
        clips: dict[str, list[int]] = {}
        for index, silence in enumerate(mine):
            clips.setdefault(PAUSE_LENGTH.sub("", silence.clip), []).append(index)
        members = [np.array(each) for each in clips.values()]
        yield np.arange(len(mine))
        rng = np.random.default_rng(SEED)
        for _ in range(DRAWS):
            yield np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])


def figures(group: Group, rules: Mapping[str, list[Setting]], arrival: Arrival) -> dict[str, Any]:
    """Of each rule at the budgets, each with its interval, and of ours at the default patience."""
    done = {name: outcomes(settings, group.silences, arrival) for name, settings in rules.items()}
    default = done["ours"].names.index("patience 0.5")
    drawn: dict[str, list[list[float]]] = {name: [] for name in done}
    for pauses, ends in zip(group.draws(False), group.draws(True), strict=True):
        for name, each in done.items():
            cuts, latency_ms = points(each, pauses, ends)
            extra = [float(cuts[default]), float(latency_ms[default])] if name == "ours" else []
            drawn[name].append(at_budgets(cuts, latency_ms) + extra)
    return {
        "pauses": int(done["ours"].cut.shape[1]),
        "ends": int(done["ours"].latency_ms.shape[1]),
        "rules": {
            name: dict(zip(FIGURES, map(estimate, np.array(rows).T), strict=False)) for name, rows in drawn.items()
        },
        "less_than_smart_turn": compared(drawn),
        "curve": curve(done["ours"]),
    }


def compared(drawn: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Ours less Smart Turn alone, on the same draws."""
    less = np.array(drawn["ours"])[:, :4] - np.array(drawn["Smart Turn"])
    return dict(zip(FIGURES, map(estimate, less.T), strict=False))


def curve(of: Outcomes) -> list[dict[str, Any]]:
    """Every setting, over everything."""
    cuts = 100 * of.cut.mean(axis=1)
    p50, p95 = np.quantile(of.latency_ms, (0.5, 0.95), axis=1)
    return [
        {"setting": name, "cut_offs_percent": round(c, 1), "p50_ms": round(a), "p95_ms": round(b)}
        for name, c, a, b in zip(of.names, cuts.tolist(), p50.tolist(), p95.tolist(), strict=True)
    ]


def estimate(values: Values) -> dict[str, float | None]:
    """The first value, and the interval of the others."""
    low, high = np.quantile(values[1:], (0.025, 0.975), method="inverted_cdf")
    return {name: tidy(value) for name, value in (("value", values[0]), ("low", low), ("high", high))}


def tidy(value: float) -> float | None:
    """NaN, no setting within the budget, is null."""
    return round(float(value), 1) if math.isfinite(value) else None


# --- all of it ----------------------------------------------------------------------------------------------------

PAUSED: Final = ("hold-human", "hold-voice")
WHOLE: Final = ("questions", "en-core", "en-tel", "hi")


def groups_of(silences: Sequence[Silence]) -> list[Group]:
    """Pauses of every clip, ends of the whole ones: a sentence with a pause in it is there six times."""
    counted = [s for s in silences if s.kind != "end" or s.clip.split("/")[0] in WHOLE]
    of = {
        "people": [s for s in counted if s.clip.split("/")[0] in ("hold-human", "en-core", "en-tel")],
        "voices": [s for s in counted if s.clip.split("/")[0] in ("hold-voice", "questions") and s.language == "en"],
        "Hindi": [s for s in counted if s.language == "hi"],
        "all": counted,
        "target": [s for s in counted if s.kind == "put" or (s.kind == "end" and s.clip.split("/")[0] == "questions")],
    }
    return [Group(name, mine) for name, mine in of.items()]


def main() -> int:
    options = parse()
    arrival = Arrival(options.judge_ms, options.words_ms, options.words_judged_ms)
    rules = {"silence": silence_alone(), "Smart Turn": smart_turn_alone(), "ours": ours()}
    try:
        silences = asyncio.run(heard(corpus.load([*WHOLE, *PAUSED])))
    except VoiceError as error:
        print(f"endpointing: {error}", file=sys.stderr)
        return 1
    found = {group.name: figures(group, rules, arrival) for group in groups_of(silences)}
    written = {
        "format": 1,
        "command": " ".join(["python -m benchmarks.endpointing", *sys.argv[1:]]),
        "commit": commit(),
        "version": __version__,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {"clips": [*WHOLE, *PAUSED], "arrival": asdict(arrival)},
        "groups": found,
        "silences": [asdict(silence) for silence in silences],
    }
    name = f"{datetime.now(UTC):%Y-%m-%d}-{(commit() or 'unknown')[:10]}-endpointing.json"
    (FOLDER / name).write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    print(table(found))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge-ms", type=float, default=146.0)
    parser.add_argument("--words-ms", type=float, default=200.0)
    parser.add_argument("--words-judged-ms", type=float, default=260.0)
    return parser.parse_args()


def table(found: Mapping[str, Any]) -> str:
    lines = [f"{'':22}{'ms at 5 %':>22}{'ms at 10 %':>22}{'% at 300 ms':>20}{'% at 600 ms':>20}"]
    for group, each in found.items():
        lines.append(f"{group}: {each['pauses']} pauses, {each['ends']} ends")
        lines += [
            f"  {rule:20}"
            + "".join(f"{shown(row[name]):>{w}}" for name, w in zip(FIGURES, (22, 22, 20, 20), strict=False))
            for rule, row in [*each["rules"].items(), ("ours less Smart Turn", each["less_than_smart_turn"])]
        ]
        default = each["rules"]["ours"]
        cuts, latency = (shown(default[name]) for name in FIGURES[4:])
        lines.append(f"  ours, as it is by default: {cuts} % cut off, {latency} ms")
    return "\n".join(lines)


def shown(figure: Mapping[str, float | None]) -> str:
    value, low, high = ("-" if figure[name] is None else f"{figure[name]:.0f}" for name in ("value", "low", "high"))
    return value if value == "-" else f"{value} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
