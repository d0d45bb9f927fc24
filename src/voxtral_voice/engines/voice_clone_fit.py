"""A Kokoro voice fitted to a clip: styles are tried until what Kokoro says in one sounds like the person.

Knows: the order of looking, trying, checking. Does not know: how a style is chosen (`voice_clone_search`), how Kokoro
speaks, sessions.

A dozen short phrases are spoken with one style after the other and listened to. Kokoro does that when it has nothing
else to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.pitch import pitch_hz, semitones
from voxtral_voice.engines.speaker_embedding import SpeakerEncoder, unit, without_silence
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_clone_clip import require_one_person
from voxtral_voice.engines.voice_clone_search import Heard, Search
from voxtral_voice.engines.voice_clone_space import Learned, Space, read_learned, read_space
from voxtral_voice.engines.voices import LOUDNESS_LUFS, VOICES, Styles
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError, RequestError

ATTEMPTS: Final = 8
PHRASES: Final = (
    "We saw a bright moon over her old house.",
    "My father bought five cups of tea.",
)
"""Each attempt says these: nearly all voiced, most vowels of English, 1.8 s each."""
NEARLY: Final = 0.03
"""Of likeness: a voice of the table that is so much less like the clip than the nearest counts for a third of it."""
CHECK: Final = "Please give the children a warm coat before they walk to school."
"""Is said by the finished voice: no search has heard it."""
FEMALE_FROM_HZ: Final = 165.0
"""Of the table's voices, 28 of 30 female ones are above and 20 of 24 male ones below."""
MOST_GAIN_DB: Final = 6.0


class StyledSpeaker(Protocol):
    async def try_styles(self, text: str, styles: Styles) -> Samples:
        """What a voice of these styles sounds like: 24 kHz, untrimmed, at its own loudness. Gives way to all else that
        is to be spoken. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class _Tools:
    """Read at the first clip."""

    encoder: SpeakerEncoder
    space: Space
    learned: Learned


class KokoroCloner:
    """A VoiceCloner. encoder: file of the speaker encoder. voices_dir: folder of the voice files. voices: that span the
    space."""

    def __init__(
        self, speaker: StyledSpeaker, encoder: Path, voices_dir: Path, voices: Sequence[str] = tuple(VOICES)
    ) -> None:
        self._speaker = speaker
        self._encoder = encoder
        self._voices_dir = voices_dir
        self._voices = voices
        self._worker = Worker("cloner")
        self._tools: _Tools | None = None

    @property
    def name(self) -> str:
        return "Kokoro voice fitted to a clip"

    async def start(self) -> None:
        """Nothing: what it needs is read at the first clip."""

    async def aclose(self) -> None:
        self._worker.close()
        self._tools = None

    async def clone(self, clip: Samples) -> ClonedVoice:
        tools = await self._worker.run(self._read)
        wanted = await self._worker.run(partial(_wanted, tools, clip))
        search = _search(tools, wanted)
        for _ in range(ATTEMPTS):
            styles = tools.space.styles(search.next)
            said = [await self._speaker.try_styles(phrase, styles) for phrase in PHRASES]
            search.tell(await self._worker.run(partial(_heard, tools, said)))
        styles = tools.space.styles(search.found)
        check = await self._speaker.try_styles(CHECK, styles)
        return await self._worker.run(partial(_checked, tools, wanted, styles, check))

    def _read(self) -> _Tools:
        if self._tools is None:
            space = read_space(self._voices_dir, self._voices)
            self._tools = _Tools(SpeakerEncoder.load(self._encoder), space, read_learned())
        return self._tools


def _wanted(tools: _Tools, clip: Samples) -> Heard:
    """Raises RequestError."""
    windows = tools.encoder.windows(without_silence(clip))
    require_one_person(windows)
    pitch = pitch_hz(clip)
    if pitch is None:
        raise RequestError("speaker", "No voice was found in the recording: send one person talking, not whispering.")
    return Heard(unit(windows.mean(axis=0)).astype(np.float64), semitones(pitch))


def _search(tools: _Tools, wanted: Heard) -> Search:
    """From the voice of the table whose timbre is nearest, as far as its sound is known, in the midst of those that are
    nearly as near; the pitch is soon put right."""
    learned, space = tools.learned, tools.space
    known = [number for number, name in enumerate(learned.voices) if name in space.names]
    likeness = learned.embeddings[known] @ wanted.embedding
    points = np.stack([space.point_of(space.means[space.names.index(learned.voices[number])]) for number in known])
    shares = np.exp((likeness - likeness.max()) / NEARLY)
    best = int(likeness.argmax())
    search = Search(learned.response(space), wanted, points[best], shares @ points / shares.sum())
    search.tell(Heard(learned.embeddings[known[best]], float(learned.pitches[known[best]])))
    return search


def _heard(tools: _Tools, said: Sequence[Samples]) -> Heard:
    """Of all phrases together, as of the voices of the table. Raises EngineError when nothing was said."""
    phrases = [without_silence(resample(audio, SPEAK_RATE_HZ, LISTEN_RATE_HZ)) for audio in said]
    pitches = [semitones(hz) for hz in map(pitch_hz, phrases) if hz is not None]
    if not pitches:
        raise EngineError("speaker", "The model made no voice for a style: its file may be damaged.")
    embeddings = np.stack([tools.encoder.embed(phrase) for phrase in phrases])
    return Heard(unit(embeddings.mean(axis=0)).astype(np.float64), float(np.mean(pitches)))


def _checked(tools: _Tools, wanted: Heard, styles: Styles, check: Samples) -> ClonedVoice:
    """check: of CHECK, in these styles."""
    heard = _heard(tools, [check])
    gain_db = LOUDNESS_LUFS - loudness_lufs(check, SPEAK_RATE_HZ)
    hz = 100 * 2 ** (wanted.pitch / 12)
    return ClonedVoice(
        styles,
        min(MOST_GAIN_DB, gain_db),
        "female" if hz >= FEMALE_FROM_HZ else "male",
        round(hz, 1),
        float(heard.embedding @ wanted.embedding),
    )
