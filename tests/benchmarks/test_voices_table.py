"""The tables of docs/voices.md, of a result made by hand, and as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import voices_table
from voxtral_voice.engines.text import as_spoken
from voxtral_voice.engines.voices import VOICES


def percent(value: float) -> dict[str, float]:
    return {"value": value, "of": 100}


def row(voice: str, wer: float, per: float, pitch_hz: int, fast: float) -> dict[str, Any]:
    return {
        "voice": voice,
        "language": VOICES[voice].language,
        "gender": VOICES[voice].gender,
        "wer": percent(wer),
        "cer": percent(1.0),
        "per": percent(per),
        "pitch_hz": pitch_hz,
        "duration_as_asked": {"0.5": 0.99, "2": fast},
    }


FOUND: dict[str, Any] = {
    "commit": "0123456789abcdef",
    "command": "python -m benchmarks.voices",
    "voices": [row("af_heart", 2.0, 1.0, 209, 1.02), row("af_sky", 6.0, 3.0, 180, 1.08), row("hm_psi", 70, 40, 140, 1)],
    "pitch": [{"language": "en-US", "not_apart": ["af_sky"]}, {"language": "hi", "not_apart": []}],
    "loudness_lu": {"lowest": -23.9, "highest": -22.2, "range": 1.7},
    "references": [
        {"language": "en", "spoken_by": "people", "clips": 35, "wer": percent(7.8)},
        {"language": "hi", "spoken_by": "synthetic", "clips": 3, "wer": percent(78.3)},
    ],
    "across": [{"voice": "hm_psi", "reads": "en-US", "wer": percent(12.0), "per": percent(5.0)}],
}
PAGE = "a <!-- voices:begin -->old<!-- voices:end --> b <!-- measured:begin --><!-- measured:end --> c"


def test_every_voice_has_its_row_and_its_figures() -> None:
    text = voices_table.written(PAGE, FOUND)
    assert "| **af_heart** | en-US | female | A | 2.0 | 1.0 | 209 |" in text
    assert "| am_adam | en-US | male | F+ | - | - | - |" in text
    assert "| pf_dora | pt-BR | female | - | - | - | - |" in text
    assert all(re.search(rf"\| (\*\*)?{voice}(\*\*)? \|", text) for voice in VOICES)


def test_languages_stand_beside_what_the_listener_makes_of_recordings() -> None:
    text = voices_table.written(PAGE, FOUND)
    assert "| English, American | 2 | 2.0, 4.0, 6.0 | 1.0, 2.0, 3.0 | 7.8 (35 clips, people) |" in text
    assert "| Hindi | 1 | 70.0, 70.0, 70.0 | 40.0, 40.0, 40.0 | 78.3 (3 clips, synthetic) |" in text
    assert "| hm_psi | English, American | 12.0 | 5.0 |" in text
    assert "-23.9 to -22.2 LUFS, 1.7 LU apart" in text
    assert "at speed 2 against what was asked: +0 to +8 %, median +2.0 %, 2 of 3 voices within 5 %" in text
    assert "by the median pitch: af_sky." in text
    assert "Made by `python -m benchmarks.voices` at `0123456789`" in text


def test_the_page_is_that_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert voices_table.main(["--check"]) == 0, capsys.readouterr().out


def test_another_result_is_noticed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "voices.md"
    page.write_text(PAGE)
    monkeypatch.setattr(voices_table, "PAGE", page)
    assert voices_table.main(["--check"]) == 1
    assert "run python -m benchmarks.voices_table" in capsys.readouterr().out
    assert voices_table.main([]) == 0
    assert voices_table.main(["--check"]) == 0
    assert "af_heart" in page.read_text()


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("en", "$3.50", "three dollars and fifty cents"),
        ("hi", "₹1,25,000", "एक लाख पच्चीस हज़ार रुपये"),
        ("en", "9:05 a.m.", "nine oh five AM"),
        ("hi", "10:30 बजे", "साढ़े दस बजे"),
        ("en", "3/14/2026", "March fourteenth, twenty twenty-six"),
        ("hi", "15/08/2026", "पंद्रह अगस्त दो हज़ार छब्बीस"),
        ("en", "+1 (555) 010-4477", "plus one, five five five, zero one zero, four four seven seven"),
        ("en", "jo@example.com", "jo at example dot com"),
        ("en", "https://example.com/help", "example dot com slash help"),
        ("en", "Dr. Smith lives at 12 Oak Dr.", "Doctor Smith lives at twelve Oak Drive"),
        ("en", "3 kg", "three kilograms"),
        ("en", "20 °C", "twenty degrees Celsius"),
        ("en", "50%", "fifty percent"),
        ("en", "**bold**", "bold"),
        ("en", "[link](url)", "link"),
        ("en", "😀", ""),
    ],
)
def test_what_the_page_says_of_texts_is_so(language: str, written: str, said: str) -> None:
    page = voices_table.PAGE.read_text(encoding="utf-8")
    spoken = " ".join(part.spoken for part in as_spoken(written, language) if part.spoken)
    assert spoken.rstrip(".") == said
    assert written in page
    assert said in page or not said
