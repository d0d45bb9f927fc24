"""The golden readings: what is said for 200 tricky texts, and the phonemes, reviewed by eye.

    .venv/bin/python -m tests.engines.golden            shows how what is read now differs from the file
    .venv/bin/python -m tests.engines.golden --write    and puts it into the file, for a person to review

A new text is added to the file by hand, with its language alone, and then written.
"""

from __future__ import annotations

import argparse
import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voxtral_voice.engines.phonemes import Phonemizer
from voxtral_voice.engines.text import as_spoken

FILE: Final = Path(__file__).with_name("golden_readings.toml")


@dataclass(frozen=True, slots=True)
class Reading:
    language: str
    """Code or tag."""
    written: str
    spoken: str = ""
    """What is said for all tokens, with a space between."""
    phonemes: str = ""
    """Kokoro's symbols of all utterances, with a space between."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    before = FILE.read_text("utf-8")
    after = as_toml(head(before), read_again(readings(before)))
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "reviewed", "now", n=2, lineterm="")
    print("\n".join(lines) or "no difference")
    if write:
        FILE.write_text(after, "utf-8")


def readings(text: str) -> list[Reading]:
    return [Reading(**table) for table in tomllib.loads(text)["reading"]]


def read_again(old: Iterable[Reading]) -> Iterator[Reading]:
    phonemizer = Phonemizer()
    for reading in old:
        said = as_spoken(reading.written, reading.language)
        utterances = phonemizer.read(reading.written, language=reading.language).utterances
        yield Reading(
            reading.language,
            reading.written,
            " ".join(one.spoken for one in said if one.spoken),
            " ".join(utterance.symbols for utterance in utterances),
        )


def head(text: str) -> str:
    """The comment in front of the first reading."""
    return text.partition("[[reading]]")[0]


def as_toml(comment: str, all_readings: Iterable[Reading]) -> str:
    tables = (
        "[[reading]]\n"
        + "".join(f"{name} = {json.dumps(getattr(one, name), ensure_ascii=False)}\n" for name in Reading.__slots__)
        for one in all_readings
    )
    return comment + "\n".join(tables)


if __name__ == "__main__":
    main()
