"""What `voxtral-voice voices` prints.

Knows: words and columns. Does not know: voices that somebody has cloned on a server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from voxtral_voice.config import Config
from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voices import VOICES, described
from voxtral_voice.errors import ConfigError


def chosen(config: Config, language: str | None) -> tuple[Voice, ...]:
    """Those that the settings have, the default ones first. language: a tag or code; None: all. Raises ConfigError."""
    named = config.speaker.voices
    voices = [VOICES.get(name, Voice(name, "", "")) for name in named] if named else [*VOICES.values()]
    if language is None:
        return tuple(voices)
    wanted = language.lower()
    found = tuple(voice for voice in voices if wanted in (voice.speaks, voice.language.lower()))
    if not found:
        known = dict.fromkeys(voice.language for voice in voices if voice.language)
        raise ConfigError(f"No voice speaks {language!r}: use one of {', '.join(known) or 'none'}, or leave it out.")
    return found


def table(voices: Sequence[Voice]) -> Iterator[str]:
    """One line per voice, in columns."""
    width = max(len(voice.id) for voice in voices)
    yield f"{'voice':{width}}  language  gender  grade"
    for voice in voices:
        facts = described(voice)
        mark = "default" if facts["default"] else ""
        row = f"{voice.id:{width}}  {voice.language or '?':8}  {voice.gender or '?':6}  {voice.grade or '-':5}  {mark}"
        yield row.rstrip()


def as_json(voices: Sequence[Voice]) -> str:
    return json.dumps([described(voice) for voice in voices], indent=2)
