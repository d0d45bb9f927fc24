"""Sounds during a reply: which of them stop it, and how soon.

    .venv/bin/python -m benchmarks.contests [--interruptions 40] [--transcript-ms 180]

Every clip is heard as a session hears it: Silero, the gate, the echo guard, Whisper's partial transcripts, the rule of
`conversation/contest.py`, frame by frame. A transcript's words come a declared time after they are asked for, so that
the figures do not depend on the machine. Times are counted from the true onset of the speech (the corpus's marks).
Writes benchmarks/<date>-<commit>-contests.json.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from voxtral_voice.audio.echo import ECHO, EchoGuard
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench import corpus
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.conversation.contest import (
    TRANSCRIBE_AT_MS,
    TRANSCRIBE_EVERY_MS,
    Sound,
    Verdict,
    kind_of,
    verdict,
)
from voxtral_voice.conversation.gate import FRAME_MS, FRAME_SAMPLES, RATE_HZ, Onset, SpeechGate
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Transcriber, VoiceActivity
from voxtral_voice.engines.silero import Silero
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.weights import default_weights_dir

FOLDER: Final = Path(__file__).parent
PATIENCE: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
THRESHOLD: Final = 0.5
LEAD_S: Final = 1.0
"""Of faint noise before each clip."""
TAIL_S: Final = 1.5
USUAL_DBFS: Final = -25.0
"""The user's level in earlier turns, as declared to the rule."""
AHEAD_S: Final = 0.4
"""Audio leaves so far ahead of its playing."""
NOISE_DBFS: Final = -65.0
PAD_MS: Final = 96.0
"""Audio before the sound that its transcript hears too."""
FORGOTTEN_MS: Final = 500.0
"""After this silence the next sound is another one."""


@dataclass(frozen=True, slots=True)
class Case:
    """One sound during a reply."""

    id: str
    kind: str
    interrupts: bool
    """What a person would say of it."""
    language: str
    onset_s: float
    """In `samples`."""
    samples: Samples
    """16 kHz; the reply is being played all the time."""
    reply: Samples | None = None
    """24 kHz; what is played from the first sample on; None = the microphone hears nothing of it."""
    saying: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the models say of it, frame by frame."""

    case: Case
    probabilities: tuple[float, ...]
    """0 for a frame that is our own voice."""
    raw: tuple[float, ...]
    levels_db: tuple[float, ...]
    likeness: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    stopped_ms: float | None
    """From the true onset to the decision; None = the reply goes on."""
    contested: bool
    """It passed for a sound at all."""
    freed_ms: float | None
    """From the true onset to the first decision that it is no interruption."""


class Ears:
    """The models, and what they have heard already."""

    def __init__(self, voice_activity: VoiceActivity, transcriber: Transcriber) -> None:
        self._voice_activity, self._transcriber = voice_activity, transcriber
        self.known: dict[tuple[str, int, int], str] = {}

    async def hear(self, case: Case) -> Heard:
        count = len(case.samples) // FRAME_SAMPLES
        frames = case.samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
        raw = tuple(await self._voice_activity.session().probabilities(frames))
        likeness = tuple(likenesses(case, frames))
        kept = tuple(0.0 if like >= ECHO else p for p, like in zip(raw, likeness, strict=True))
        return Heard(case, kept, raw, tuple(map(rms_dbfs, frames)), likeness)

    async def words(self, case: Case, first: int, last: int) -> str:
        """Of samples [first, last)."""
        key = (case.id, first, last)
        if key not in self.known:
            audio = case.samples[max(0, first) : last]
            heard = await self._transcriber.transcribe(audio, language=case.language, prompt="", final=False)
            self.known[key] = heard.text
        return self.known[key]


def likenesses(case: Case, frames: Samples) -> Iterable[float]:
    if case.reply is None:
        return [0.0] * len(frames)
    guard, sent, found = EchoGuard(), 0, []
    step = SPEAK_RATE_HZ // 25
    for index, frame in enumerate(frames):
        now_s = index * FRAME_MS / 1000
        while sent < len(case.reply) and sent / SPEAK_RATE_HZ < now_s + AHEAD_S:
            guard.played(case.reply[sent : sent + step], sent / SPEAK_RATE_HZ)
            sent += step
        found.append(guard.likeness(frame, now_s))
    return found


# --- one sound, frame by frame ----------------------------------------------------------------------------------


async def contest(ears: Ears, heard: Heard, patience: float, transcript_ms: float, usual_db: float | None) -> Outcome:
    """A reply goes on all the time; what becomes of it?"""
    policy = Policy()
    gate = SpeechGate(THRESHOLD, policy.onset_ms, policy.tentative_silence_ms)
    true_ms = 1000 * heard.case.onset_s
    start: int | None = None
    contested, freed_ms = False, None
    for index, probability in enumerate(heard.probabilities):
        edge = gate.push(index * FRAME_SAMPLES, probability, heard.levels_db[index])
        if start is None and isinstance(edge, Onset):
            start, contested = edge.sample // FRAME_SAMPLES, True
            sound = Contested(heard, start, usual_db)
        if start is None:
            continue
        for now_ms, found in await sound.frame(ears, index, patience, transcript_ms):
            if found is Verdict.INTERRUPTION:
                return Outcome(heard.case, now_ms - true_ms, contested, freed_ms)
            if found is not Verdict.UNDECIDED and freed_ms is None:
                freed_ms = now_ms - true_ms
        if sound.silent_ms >= FORGOTTEN_MS and sound.settled:
            start = None
    return Outcome(heard.case, None, contested, freed_ms)


class Contested:
    """One sound while it lasts."""

    def __init__(self, heard: Heard, start: int, usual_db: float | None) -> None:
        self._heard, self._start, self._usual_db = heard, start, usual_db
        self._voiced = False
        self._voiced_frames: list[int] = []
        self._last = start
        self._asked: list[tuple[int, float]] = []
        """(frame behind the audio, ms at which the words come)."""
        self._words: str | None = None
        self._words_to = start
        self.silent_ms = 0.0
        self._seen = start

    @property
    def settled(self) -> bool:
        return not self._asked

    async def frame(
        self, ears: Ears, index: int, patience: float, transcript_ms: float
    ) -> Sequence[tuple[float, Verdict]]:
        """(when, verdict) of a frame and of words that came before the next one."""
        for each in range(self._seen, index + 1):
            self._count(each)
        self._seen = index + 1
        now_ms = (index + 1) * FRAME_MS
        if self._is_worth_a_transcript():
            self._asked.append((index + 1, now_ms + transcript_ms))
        found = [(now_ms, verdict(self._sound(index), patience))]
        while self._asked and self._asked[0][1] < now_ms + FRAME_MS:
            end, came_ms = self._asked.pop(0)
            first = round(self._start * FRAME_SAMPLES - PAD_MS * RATE_HZ / 1000)
            self._words = await ears.words(self._heard.case, first, end * FRAME_SAMPLES)
            self._words_to = end
            found.append((came_ms, verdict(self._sound(index), patience)))
        return found

    def _count(self, index: int) -> None:
        p = self._heard.probabilities[index]
        self._voiced = p >= THRESHOLD - (0.15 if self._voiced else 0.0)
        if self._voiced:
            self._voiced_frames.append(index)
            self._last = index
        self.silent_ms = (index - self._last) * FRAME_MS

    def _is_worth_a_transcript(self) -> bool:
        if self._asked:
            return False
        covered = sum(frame < self._words_to for frame in self._voiced_frames)
        fresh = len(self._voiced_frames) - covered
        if self.silent_ms >= 64 and fresh > 0:
            return True
        return self.silent_ms == 0 and fresh * FRAME_MS >= (TRANSCRIBE_EVERY_MS if covered else TRANSCRIBE_AT_MS)

    def _sound(self, index: int) -> Sound:
        levels = [10 ** (self._heard.levels_db[frame] / 10) for frame in self._voiced_frames]
        case = self._heard.case
        return Sound(
            elapsed_ms=(index + 1 - self._start) * FRAME_MS,
            voiced_ms=len(self._voiced_frames) * FRAME_MS,
            silent_ms=self.silent_ms,
            level_db=float(10 * np.log10(np.mean(levels))) if levels else None,
            usual_db=self._usual_db,
            kind=kind_of(self._words, case.language, case.saying),
            words_to_ms=(self._words_to - self._start) * FRAME_MS,
            language=case.language,
        )


# --- what is heard ----------------------------------------------------------------------------------------------


def placed(samples: Samples, rate_hz: int, seed: int) -> Samples:
    """At 16 kHz, with faint noise under it and around it."""
    clean = resample(samples, rate_hz, RATE_HZ)
    lead, tail = round(LEAD_S * RATE_HZ), round(TAIL_S * RATE_HZ)
    noise = np.random.default_rng(seed).standard_normal(lead + len(clean) + tail) * 10 ** (NOISE_DBFS / 20)
    noise[lead : lead + len(clean)] += clean
    heard: Samples = np.clip(noise, -1, 1).astype(np.float32)
    return heard


def cases(interruptions: int) -> list[Case]:
    replies = {clip.id.split("/")[1]: clip for clip in corpus.load(["assistant"])}
    found = [tapped(clip, seed, replies) for seed, clip in enumerate(corpus.load(["tap"]))]
    for seed, clip in enumerate(corpus.load(["questions", "en-core", "hi"], limit=interruptions)):
        onset_s = LEAD_S + clip.onset_s
        kind = f"interruption, {clip.language}"
        found.append(Case(clip.id, kind, True, clip.language, onset_s, placed(clip.samples, clip.rate_hz, seed)))
    return found + made_up()


def tapped(clip: Clip, seed: int, replies: Mapping[str, Clip]) -> Case:
    samples = placed(clip.samples, clip.rate_hz, seed)
    onset_s = LEAD_S + clip.onset_s
    name = clip.id.split("/")[1]
    if not name.startswith("echo"):
        return Case(clip.id, clip.condition, False, clip.language, onset_s, samples)
    of = replies[name.split("-")[1]]
    silence = np.zeros(round(LEAD_S * SPEAK_RATE_HZ), np.float32)
    reply = np.concatenate((silence, resample(of.samples, of.rate_hz, SPEAK_RATE_HZ)))
    return Case(clip.id, clip.condition, False, clip.language, onset_s, samples, reply, of.text)


def made_up() -> list[Case]:
    """Bad input: sounds that are no speech."""
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    random = np.random.default_rng(1)
    white = random.standard_normal(len(time_s))
    clicks = np.where(np.arange(len(time_s)) % 4_000 < 40, 0.5 * white, 0.0)
    hum = sum(np.sin(2 * np.pi * 50 * n * time_s) / n for n in (1, 2, 3, 5))
    notes = 220 * 2 ** (np.array([0, 4, 7, 12, 7, 4])[(time_s * 4).astype(int) % 6] / 12)
    music = sum(np.sin(2 * np.pi * n * np.cumsum(notes) / RATE_HZ) / n for n in (1, 2, 3))
    whisper = random.standard_normal(len(time_s)) * (1 + np.sin(2 * np.pi * 4 * time_s)) / 2
    sounds = [(f"white noise {level} dB", white * 10 ** (level / 20)) for level in (-50, -40, -30, -20, -10)]
    sounds += [("clicks", clicks), ("hum", 0.1 * np.asarray(hum)), ("music", 0.1 * np.asarray(music))]
    sounds += [("modulated breath", 0.05 * whisper)]
    return [
        Case(f"made/{name}", name, False, "en", LEAD_S, placed(np.clip(wave, -1, 1).astype(np.float32), RATE_HZ, 9))
        for name, wave in sounds
    ]


# --- rooms ------------------------------------------------------------------------------------------------------

ROOMS: Final = (("direct +6 dB, 0.3 s", 6.0, 0.3), ("direct 0 dB, 0.4 s", 0.0, 0.4), ("direct -3 dB, 0.5 s", -3.0, 0.5))
"""(name, direct sound over the rest in dB, reverberation time)."""
TALKS: Final = (None, 0.0, 6.0, 10.0)
"""The user's level over the echo's; None = the user says nothing."""
YOUNG_S: Final = 1.5
"""Of a session's first reply, while the path is learned."""


def rooms() -> list[dict[str, Any]]:
    """Shares of frames that the guard takes for an echo. Right: all where nobody talks over it; none where the user
    does, counted where the user is above half of his level."""
    replies = [resample(clip.samples, clip.rate_hz, SPEAK_RATE_HZ) for clip in corpus.load(["sentences"])]
    users = [resample(clip.samples, clip.rate_hz, RATE_HZ) for clip in corpus.load(["questions"])]
    rows = []
    for name, direct_db, seconds in ROOMS:
        for over_db in TALKS:
            young: list[bool] = []
            known: list[bool] = []
            for seed in range(4):
                reply = np.concatenate((replies[seed], replies[seed + 1]))
                user = None if over_db is None else np.concatenate(users[2 * seed : 2 * seed + 4])
                for at_s, like in room(reply, user, direct_db, seconds, over_db or 0.0, seed):
                    (young if at_s < YOUNG_S else known).append(like >= ECHO)
            shares = {"first_1500_ms": share(young), "after": share(known)}
            rows.append({"room": name, "user_over_echo_db": over_db, **shares})
    return rows


def share(found: Sequence[bool]) -> float | None:
    return round(sum(found) / len(found), 3) if found else None


def room(
    reply: Samples, user: Samples | None, direct_db: float, seconds: float, over_db: float, seed: int
) -> list[tuple[float, float]]:
    """(when, likeness) of the frames that count. An echo at -32 dBFS, 20 to 300 ms late, under faint noise."""
    random = np.random.default_rng(seed)
    size = round(seconds * RATE_HZ)
    tail = random.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    late = np.zeros(round(random.uniform(0.02, 0.3) * RATE_HZ))
    played = resample(reply, SPEAK_RATE_HZ, RATE_HZ)
    echo = at_dbfs(np.concatenate((late, np.convolve(played, tail)))[: len(played)], -32.0)
    other = at_dbfs(np.resize(user, len(echo)), -32.0 + over_db) if user is not None else None
    heard = echo + 10 ** (-60 / 20) * random.standard_normal(len(echo)) + (0 if other is None else other)
    frames = heard[: len(heard) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES).astype(np.float32)
    counts = (echo if other is None else other)[: frames.size].reshape(frames.shape)
    loud = 10 * np.log10(np.mean(np.square(counts), axis=1) + 1e-12) > (-50.0 if other is None else -38.0 + over_db)
    case = Case("", "", False, "en", 0.0, heard.astype(np.float32), reply)
    found = likenesses(case, frames)
    return [(i * FRAME_MS / 1000, like) for i, (like, count) in enumerate(zip(found, loud, strict=True)) if count]


def at_dbfs(wave: np.ndarray[Any, np.dtype[np.floating[Any]]], level: float) -> Samples:
    scaled: Samples = (wave * np.sqrt(10 ** (level / 10) / np.mean(np.square(wave)))).astype(np.float32)
    return scaled


# --- figures ----------------------------------------------------------------------------------------------------


def main() -> int:
    options = parse()
    result = {
        "command": " ".join(["python -m benchmarks.contests", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {
            **vars(options),
            "threshold": THRESHOLD,
            "pad_ms": PAD_MS,
            "noise_dbfs": NOISE_DBFS,
            "usual_dbfs": USUAL_DBFS,
        },
        **asyncio.run(measure(options.interruptions, options.transcript_ms)),
    }
    name = f"{datetime.now(UTC):%Y-%m-%d}-{(commit() or 'unknown')[:10]}-contests.json"
    (FOLDER / name).write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interruptions", type=int, default=40)
    parser.add_argument("--transcript-ms", type=float, default=180.0)
    return parser.parse_args()


async def measure(interruptions: int, transcript_ms: float) -> dict[str, Any]:
    folder = default_weights_dir()
    silero, whisper = Silero(folder / "silero-vad-v5.onnx"), Whisper(folder / "whisper-base")
    await silero.start()
    await whisper.start()
    ears = Ears(silero, whisper)
    heard = [await ears.hear(case) for case in cases(interruptions)]
    runs = []
    for patience in PATIENCE:
        outcomes = [await contest(ears, each, patience, transcript_ms, USUAL_DBFS) for each in heard]
        runs.append({"patience": patience, **figures(outcomes)})
        print(orjson.dumps(runs[-1]["all"]).decode(), flush=True)
    await silero.aclose()
    await whisper.aclose()
    return {"runs": runs, "echo_frames": echo_figures(heard), "rooms": rooms(), "words": spelled(ears)}


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.case.kind].append(outcome)
    wanted = [outcome for outcome in outcomes if outcome.case.interrupts]
    taps = [outcome for outcome in outcomes if outcome.case.id.startswith("tap/")]
    return {
        "all": {"interruptions": decided(wanted), "taps": undisturbed(taps)},
        "kinds": {kind: (decided if of[0].case.interrupts else undisturbed)(of) for kind, of in kinds.items()},
        "wrong": [outcome.case.id for outcome in outcomes if outcome.case.interrupts == (outcome.stopped_ms is None)],
    }


def decided(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    times = [outcome.stopped_ms for outcome in outcomes if outcome.stopped_ms is not None]
    p50, p95 = (round(float(np.percentile(times, q))) if times else None for q in (50, 95))
    return {"n": len(outcomes), "missed": len(outcomes) - len(times), "p50_ms": p50, "p95_ms": p95}


def undisturbed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    freed = [outcome.freed_ms for outcome in outcomes if outcome.freed_ms is not None]
    return {
        "n": len(outcomes),
        "contested": sum(outcome.contested for outcome in outcomes),
        "false_stops": sum(outcome.stopped_ms is not None for outcome in outcomes),
        "freed_p50_ms": round(float(np.percentile(freed, 50))) if freed else None,
    }


def echo_figures(heard: Sequence[Heard]) -> dict[str, Any]:
    """Of the frames that Silero calls voiced, the share that the guard knows, by level."""
    shares: dict[str, list[bool]] = defaultdict(list)
    for each in heard:
        if each.case.reply is not None:
            known = [like >= ECHO for like, p in zip(each.likeness, each.raw, strict=True) if p >= THRESHOLD]
            shares[each.case.kind] += known
    return {kind: {"voiced": len(known), "known": sum(known)} for kind, known in shares.items()}


def spelled(ears: Ears) -> dict[str, str]:
    """Every transcript: clip, first and last sample -> words."""
    return {f"{case} {first} {last}": words for (case, first, last), words in ears.known.items()}


if __name__ == "__main__":
    sys.exit(main())
