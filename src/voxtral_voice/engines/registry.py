"""The engines of a profile, built, started and closed together.

Knows: which engine fills which seam, and which model file each one needs; a part that has a URL runs there, whatever
the profile. Does not know: where files come from (`locate` does), settings' sources, sessions. Engines are imported
where they are built, so that the fakes need no native library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from voxtral_voice.engines.base import Engine, Responder, Speaker, Transcriber, TurnJudge, VoiceActivity
from voxtral_voice.engines.fakes import (
    FakeCloner,
    FakeResponder,
    FakeSpeaker,
    FakeTranscriber,
    FakeTurnJudge,
    FakeVoiceActivity,
)
from voxtral_voice.engines.fallback import Fallback, Link, Nobody
from voxtral_voice.engines.intents import Intents
from voxtral_voice.engines.placement import CPU, Listen
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.engines.silence_alone import SilenceAlone
from voxtral_voice.engines.speaker_backend import SpeakerBackend
from voxtral_voice.engines.voice_clone import VoiceCloner
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES, StyleSource, voice_or_blend
from voxtral_voice.engines.voxtral_parts import Model, Process, VoxtralOptions, parts
from voxtral_voice.errors import EngineError, RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro import Kokoro
    from voxtral_voice.engines.kokoro_torch.speaker import KokoroTorch
    from voxtral_voice.engines.phonemes import Phonemizer

LANGUAGES: Final = tuple(dict.fromkeys(VOICES[voice].speaks for voice in DEFAULT_VOICES))
"""What the transcriber may hear when it is not told: those of the default voices, and that of the server's voice."""
NOTHING_REMOTE: Final = RemoteParts()
WHISPER_FILES: Final = tuple(
    f"whisper-base/{name}" for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
)


@dataclass(frozen=True, slots=True)
class Engines:
    """One engine per seam, shared by all sessions, and the processes that some of them are in."""

    voice_activity: VoiceActivity
    turn_judge: TurnJudge
    transcriber: Transcriber
    responder: Responder
    speaker: Speaker
    processes: Mapping[str, Process] = field(default_factory=dict)
    """By name, in the order of their start."""
    one_by_one: bool = False
    """The responder is started when the transcriber has started."""
    cloner: VoiceCloner | None = None
    """Where the speaker can be given new voices. No conversation needs it."""

    async def start(self, started: Callable[[str], None] = lambda _: None) -> None:
        """Start the processes one after the other, as each takes its share of a GPU; then all engines at once. When one
        fails all are closed, and its EngineError is raised. started: is told the name of each that is there."""
        all_started = False
        try:
            for name, process in self.processes.items():
                await process.start()
                started(name)
            await _all_of(self._starts(started))
            all_started = True
        finally:
            if not all_started:
                await self.aclose()

    async def aclose(self) -> None:
        """Close all, also when one of them fails at it; then raise the first failure. Safe to call twice."""
        try:
            beside = [self.cloner] if self.cloner else []
            await _all_of(engine.aclose() for engine in (*beside, *self._all().values()))
        finally:
            await _all_of(process.aclose() for process in self.processes.values())

    def names(self) -> dict[str, str]:
        """Seam -> what runs there."""
        return {seam: engine.name for seam, engine in self._all().items()}

    def failing(self) -> dict[str, str]:
        """Process -> why it cannot be used now."""
        return {name: why for name, process in self.processes.items() if (why := process.failing) is not None}

    def _starts(self, started: Callable[[str], None]) -> list[Awaitable[None]]:
        engines = self._all()

        async def start(*seams: str) -> None:
            for seam in seams:
                await engines[seam].start()
                started(seam)

        if not self.one_by_one:
            return [start(seam) for seam in engines]
        return [start("transcriber", "responder"), *map(start, ("voice_activity", "turn_judge", "speaker"))]

    def _all(self) -> dict[str, Engine]:
        return {
            "voice_activity": self.voice_activity,
            "turn_judge": self.turn_judge,
            "transcriber": self.transcriber,
            "responder": self.responder,
            "speaker": self.speaker,
        }


async def _all_of(work: Iterable[Awaitable[None]]) -> None:
    """Side by side, each to its end; then the first failure is raised."""
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if failure is not None:
            raise failure


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Of the embedded profile."""

    transcriber_threads: int = 1
    responder_threads: int = 1
    """Two are a third faster alone (10 ms a token, not 15); beside one busy process on two cores every twentieth token
    then takes 160 ms, not 44."""
    speaker_threads: int = 2
    speaker_backend: SpeakerBackend = "onnx"
    intents: bool = True
    """Greetings, thanks, goodbyes, time, date and "repeat that" are answered without the model."""
    student: bool = True
    """English in `af_heart` is spoken by Kokoro's small student."""
    voice: str = DEFAULT_VOICES[0]
    """Of a session that asks for none: loaded at the start."""
    others: StyleSource | None = None
    """Voices besides the table's."""
    lexicon: Path | None = None
    """How words are pronounced: the user's file."""
    max_sentences: int = 2
    """A reply ends after so many."""
    judge: Literal["smart_turn", "none"] = "smart_turn"
    """none: the silence alone decides when a turn is over."""


def fake(
    *,
    voice_activity: VoiceActivity | None = None,
    turn_judge: TurnJudge | None = None,
    transcriber: Transcriber | None = None,
    responder: Responder | None = None,
    speaker: Speaker | None = None,
    cloner: VoiceCloner | None = None,
) -> Engines:
    """The scripted engines of `fakes`, with their declared latencies; any of them may be given."""
    return Engines(
        voice_activity or FakeVoiceActivity(),
        turn_judge or FakeTurnJudge(),
        transcriber or FakeTranscriber(),
        responder or FakeResponder(),
        speaker or FakeSpeaker(),
        cloner=cloner,
    )


def embedded(locate: Callable[[str], Path], options: EmbeddedOptions, remote: RemoteParts = NOTHING_REMOTE) -> Engines:
    """Models on this machine's CPU, but for what is remote. locate: a model file's catalogue name -> its path."""
    from voxtral_voice.engines.silero import Silero

    speaker, cloner = _speaker(locate, options, remote)
    return Engines(
        Silero(locate("silero-vad-v5.onnx")),
        _turn_judge(locate, options),
        _remote_transcriber(remote) or _embedded_transcriber(locate, options),
        _remote_responder(remote) or _embedded_responder(locate, options),
        speaker,
        cloner=cloner,
    )


def fake_with(remote: RemoteParts, listen: Listen = "utterance", others: StyleSource | None = None) -> Engines:
    """The scripted engines, but for what is remote. others: voices besides the table's."""
    there = _remote_speaker(remote)
    return fake(
        transcriber=_remote_transcriber(remote) or FakeTranscriber(streaming=listen == "streaming"),
        responder=_remote_responder(remote) or FakeResponder(listens=listen == "direct"),
        speaker=there or FakeSpeaker(others=others),
        cloner=None if there else FakeCloner(),
    )


def gpu(
    locate: Callable[[str], Path],
    checkpoints: Mapping[Model, Path],
    options: EmbeddedOptions,
    voxtral: VoxtralOptions,
    remote: RemoteParts = NOTHING_REMOTE,
) -> Engines:
    """Voxtral hears and, where nobody else does, answers; the rest as in the embedded profile. checkpoints: folders of
    voxtral.models. Raises EngineError when something that is needed is not on this machine."""
    from voxtral_voice.engines.silero import Silero

    ours = parts(voxtral, checkpoints) if voxtral.models or voxtral.vllm else None
    transcriber = _remote_transcriber(remote) or (ours.transcriber if ours else None)
    responder = _remote_responder(remote) or _with_intents(ours.responder if ours else None, options)
    if transcriber is None or responder is None:
        raise EngineError("transcriber" if transcriber is None else "responder", "Neither Voxtral nor a URL is for it.")
    speaker, cloner = _speaker(locate, options, remote, voxtral.placement.speaker)
    return Engines(
        Silero(locate("silero-vad-v5.onnx")),
        _turn_judge(locate, options),
        transcriber,
        responder,
        speaker,
        ours.processes if ours else {},
        one_by_one=ours is not None and ours.one_by_one,
        cloner=cloner,
    )


def with_fallback(
    engines: Engines,
    fallback: Remote,
    waits: tuple[float, float],
    fallback_waits: tuple[float, float],
    *,
    intents: bool = True,
) -> Engines:
    """The responder is followed by this one, and that by what needs no model. waits: until the first output, and
    between two."""
    from voxtral_voice.engines.openai_responder import OpenAIResponder

    first = Link("responder", engines.responder, *waits)
    links = (first, Link("responder.fallback", OpenAIResponder(fallback), *fallback_waits))
    return replace(engines, responder=Fallback(links, Intents(Nobody(), _local_time) if intents else None))


def _turn_judge(locate: Callable[[str], Path], options: EmbeddedOptions) -> TurnJudge:
    if options.judge == "none":
        return SilenceAlone()

    from voxtral_voice.engines.smart_turn import SmartTurn

    return SmartTurn(locate("smart-turn-v3.2.onnx"))


# --- behind a URL -----------------------------------------------------------------------------------------------


def _remote_transcriber(remote: RemoteParts) -> Transcriber | None:
    if remote.transcriber is None:
        return None

    from voxtral_voice.engines.openai_transcriber import OpenAITranscriber

    return OpenAITranscriber(remote.transcriber)


def _remote_responder(remote: RemoteParts) -> Responder | None:
    if remote.responder is None:
        return None

    from voxtral_voice.engines.openai_responder import OpenAIResponder

    return OpenAIResponder(remote.responder)


def _remote_speaker(remote: RemoteParts) -> Speaker | None:
    if remote.speaker is None:
        return None

    from voxtral_voice.engines.openai_speaker import OpenAISpeaker

    return OpenAISpeaker(remote.speaker, remote.voices)


# --- on this machine --------------------------------------------------------------------------------------------


def _embedded_transcriber(locate: Callable[[str], Path], options: EmbeddedOptions) -> Transcriber:
    from voxtral_voice.engines.whisper import Whisper

    languages = heard(options.voice)
    return Whisper(_folder(locate, WHISPER_FILES), threads=options.transcriber_threads, languages=languages)


def heard(voice: str) -> tuple[str, ...]:
    """What the transcriber may hear when it is not told, on a server that speaks with this voice."""
    try:
        own = voice_or_blend(voice).speaks
    except RequestError:  # a cloned one, or one of a speaker elsewhere: of no language that we know
        return LANGUAGES
    return tuple(dict.fromkeys((*LANGUAGES, own)))


def _embedded_responder(locate: Callable[[str], Path], options: EmbeddedOptions) -> Responder:
    from voxtral_voice.engines.smollm import SmolLM

    model = SmolLM(locate("smollm2-135m-instruct-q4_1.gguf"), options.responder_threads, options.max_sentences)
    return Intents(model, _local_time) if options.intents else model


def _with_intents(responder: Responder | None, options: EmbeddedOptions) -> Responder | None:
    return Intents(responder, _local_time) if responder and options.intents else responder


def _speaker(
    locate: Callable[[str], Path], options: EmbeddedOptions, remote: RemoteParts, device: str = CPU
) -> tuple[Speaker, VoiceCloner | None]:
    """Kokoro, and what gives it new voices; or the one behind a URL, whose voices are its own."""
    if (there := _remote_speaker(remote)) is not None:
        return there, None

    from voxtral_voice.engines.phonemes import NO_LEXICON, Phonemizer, read_lexicon
    from voxtral_voice.engines.student import Student, WithStudent
    from voxtral_voice.engines.voice_clone_fit import KokoroCloner

    phonemizer = Phonemizer(read_lexicon(options.lexicon) if options.lexicon else NO_LEXICON)
    voices_dir = _folder(locate, [f"voices/{voice}.bin" for voice in VOICES])
    kokoro = _kokoro(locate("kokoro-v1.0-int8.onnx"), voices_dir, options, device, phonemizer)
    cloner = KokoroCloner(kokoro, locate("speaker-encoder.pt"), voices_dir)
    return (WithStudent(kokoro, Student(phonemizer)) if options.student else kokoro), cloner


def _kokoro(
    model: Path, voices_dir: Path, options: EmbeddedOptions, device: str, phonemizer: Phonemizer
) -> Kokoro | KokoroTorch:
    voice, others = options.voice, options.others
    if options.speaker_backend == "torch":
        from voxtral_voice.engines.kokoro_torch.speaker import KokoroTorch

        return KokoroTorch(model, voices_dir, device, voice=voice, others=others, phonemizer=phonemizer)

    from voxtral_voice.engines.kokoro import Kokoro

    threads = options.speaker_threads
    return Kokoro(model, voices_dir, threads, device, voice=voice, others=others, phonemizer=phonemizer)


def _folder(locate: Callable[[str], Path], names: Iterable[str]) -> Path:
    """Every file is located; they lie in one folder."""
    (folder,) = {locate(name).parent for name in names}
    return folder


def _local_time() -> datetime:
    return datetime.now().astimezone()
