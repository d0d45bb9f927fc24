"""`voxtral-voice voices --samples FOLDER`: one page to listen to every voice, blends, speeds and tricky texts.

Knows: what is said as which sample, the page and its audio files. Does not know: how speech is made or encoded.

The page needs no network, server or script: `index.html`, and MP3 files in `audio/` beside it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from itertools import count
from pathlib import Path
from string import Template
from typing import Final

from tqdm import tqdm

from voxtral_voice.config import Config
from voxtral_voice.conversation.phrases import PhraseSplitter
from voxtral_voice.engines.base import Speaker, Voice
from voxtral_voice.engines.blends import names_in
from voxtral_voice.errors import AudioError, RequestError
from voxtral_voice.server.rest.encode import KINDS
from voxtral_voice.server.rest.voices import SENTENCES
from voxtral_voice.server.runtime import build_engines

AUDIO: Final = "audio"
"""Folder of the files, beside the page."""
MARK: Final = '<meta name="generator" content="voxtral-voice voices --samples">'
"""By which a page of ours is known, and may be written over."""
FORMAT: Final = "mp3"
BLENDS: Final = ("af_heart:0.6,af_bella:0.4", "af_heart,hf_alpha", "am_michael:0.7,bm_george:0.3")
SPEEDS: Final = (0.5, 0.75, 1.0, 1.5, 2.0)
SPEED_VOICES: Final = ("af_heart", "hm_omega")
NAMES: Final = {
    "en-US": "English, American",
    "en-GB": "English, British",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "pt-BR": "Portuguese, Brazilian",
    "zh": "Chinese, Mandarin",
    "": "Language not known",
}
"""Of languages, by tag."""
TRICKY: Final = (
    ("af_bella", "Your total comes to $1,249.50, including 8.25% tax."),
    ("af_bella", "Dr. Alvarez can see you on 3/14 at 9:05 a.m., at 221 St. James St."),
    ("af_bella", "Call +1 (555) 010-4477 or write to jo.smith@example.com."),
    ("af_bella", "See https://example.com/help for more — or just ask me 😀."),
    ("af_bella", "**Mix** 2½ cups of flour with ¾ tsp of salt at 180 °C for 1h 20min."),
    ("af_bella", "In 1999 the 3rd version shipped; by 2026 it was v10.2 (not 10.1)."),
    ("hf_alpha", "आपका बिल ₹1,25,000 है, 18% जीएसटी के साथ।"),
    ("hf_alpha", "डॉ. शर्मा 15/08/2026 को सुबह 10:30 बजे मिलेंगे।"),
    ("hf_alpha", "मेरा नंबर 98765 43210 है, और तापमान 42 °C है।"),
    ("hf_alpha", "मैंने laptop order कर दिया है, delivery Friday को होगी।"),
    ("af_heart", "The Hindi word for water is पानी, and for thank you it is धन्यवाद."),
)
"""(voice, text): what is written in one way and said in another."""


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    """What stands beside it."""
    voice: str
    text: str
    language: str = ""
    """Of the text: a BCP 47 tag; "" when it is not known."""
    speed: float = 1.0
    number: int = 0
    """On the page."""

    @property
    def file(self) -> str:
        """Below the page's folder."""
        words = re.sub("[^a-z0-9_.]+", "-", self.name.lower()).strip("-")
        return f"{AUDIO}/{self.number:02}-{words}.{FORMAT}"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    samples: tuple[Sample, ...]


def make(folder: Path, config: Config, voices: Sequence[Voice]) -> Iterator[str]:
    """Write the page; yields what to print. voices: whose samples are wanted. Raises AudioError (the folder), and what
    the speaker raises."""
    _prepare(folder)
    found = asyncio.run(_spoken(folder, build_engines(config).speaker, voices))
    index = folder / "index.html"
    index.write_text(page(found), encoding="utf-8")
    yield f"open {index} (voices: {len(voices)}, samples: {sum(len(section.samples) for section in found)})"


def _prepare(folder: Path) -> None:
    """Raises AudioError. Nobody else's page is written over."""
    index = folder / "index.html"
    try:
        (folder / AUDIO).mkdir(parents=True, exist_ok=True)
        taken = index.exists() and MARK not in index.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise AudioError(f"The samples cannot be written to {folder}: {error.strerror}.") from error
    if taken:
        raise AudioError(f"{index} is not a page of samples: name another folder.")


async def _spoken(folder: Path, speaker: Speaker, voices: Sequence[Voice]) -> tuple[Section, ...]:
    """Every sample to its file; what this speaker has no voice for is left out."""
    wanted = sections(voices, speaker)
    await speaker.start()
    try:
        for sample in tqdm([each for section in wanted for each in section.samples], unit="sample", leave=False):
            data = await _encoded(speaker, sample)
            await asyncio.to_thread((folder / sample.file).write_bytes, data)
    finally:
        await speaker.aclose()
    return wanted


async def _encoded(speaker: Speaker, sample: Sample) -> bytes:
    splitter, encoder, data = PhraseSplitter(), KINDS[FORMAT].make(), b""
    phrases = [cut.text for cut in (*splitter.feed(sample.text), *splitter.finish()) if not cut.silent]
    for phrase in phrases:
        async with aclosing(speaker.speak(phrase, voice=sample.voice, speed=sample.speed)) as chunks:
            async for chunk in chunks:
                data += encoder.push(chunk.samples)
    return data + encoder.finish()


# --- what is said -------------------------------------------------------------------------------------------------


def sections(voices: Sequence[Voice], speaker: Speaker) -> tuple[Section, ...]:
    """One per language, then blends, speeds and tricky texts, as far as their voices are among these."""
    named = {voice.id: voice for voice in voices}
    found = [_of_language(tag, voices) for tag in dict.fromkeys(voice.language for voice in voices)]
    found.append(Section("Blends", tuple(_blends(named, speaker))))
    found.append(Section("Speeds", tuple(_speeds(named))))
    found.append(Section("As written, as said", tuple(_tricky(named))))
    numbers = count(1)
    return tuple(_numbered(section, numbers) for section in found if section.samples)


def _numbered(section: Section, numbers: Iterator[int]) -> Section:
    return replace(section, samples=tuple(replace(sample, number=next(numbers)) for sample in section.samples))


def _of_language(tag: str, voices: Iterable[Voice]) -> Section:
    samples = (Sample(_told(voice), voice.id, _sentence(voice), tag) for voice in voices if voice.language == tag)
    return Section(NAMES.get(tag, tag), tuple(samples))


def _told(voice: Voice) -> str:
    """ "af_heart, female, grade A"."""
    grade = f"grade {voice.grade}" if voice.grade else ""
    return ", ".join(filter(None, (voice.id, voice.gender, grade)))


def _sentence(voice: Voice) -> str:
    return SENTENCES.get(voice.speaks, SENTENCES["en"])


def _blends(named: Mapping[str, Voice], speaker: Speaker) -> Iterator[Sample]:
    for blend in BLENDS:
        if named.keys() >= {*names_in(blend)}:
            try:
                voice = speaker.find(blend)
            except RequestError:  # a speaker elsewhere may know none
                continue
            yield Sample(blend, voice.id, _sentence(voice), voice.language)


def _speeds(named: Mapping[str, Voice]) -> Iterator[Sample]:
    for name in SPEED_VOICES:
        if name in named:
            for speed in SPEEDS:
                voice = named[name]
                yield Sample(f"{name} at speed {speed:g}", name, _sentence(voice), voice.language, speed)


def _tricky(named: Mapping[str, Voice]) -> Iterator[Sample]:
    for number, (name, text) in enumerate(TRICKY, 1):
        if name in named:
            yield Sample(f"text {number}, {name}", name, text, named[name].language)


# --- the page -----------------------------------------------------------------------------------------------------


def page(found: Sequence[Section]) -> str:
    """Every text in it is escaped: the names of voices may be somebody else's."""
    template = Template(files("voxtral_voice.server").joinpath("samples.html").read_text(encoding="utf-8"))
    return template.substitute(
        mark=MARK,
        links="\n".join(f'<li><a href="#part-{i}">{escape(part.title)}</a></li>' for i, part in enumerate(found)),
        sections="\n".join(_section(i, part) for i, part in enumerate(found)),
    )


def _section(number: int, section: Section) -> str:
    items = "\n".join(_item(sample) for sample in section.samples)
    title = f'<h2 id="part-{number}">{escape(section.title)}</h2>'
    return f'<section aria-labelledby="part-{number}">\n{title}\n<ul>\n{items}\n</ul>\n</section>'


def _item(sample: Sample) -> str:
    name, text, source = escape(sample.name), escape(sample.text), escape(sample.file)
    language = f' lang="{escape(sample.language)}"' if sample.language else ""
    player = f'<audio controls preload="none" src="{source}" aria-label="{name}"></audio>'
    return f'<li><p class="name">{name}</p><p class="text"{language}>{text}</p>{player}</li>'
