from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.engines.spoken_language import language_of_text
from voxtral_voice.engines.voices import LANGUAGES, VOICES
from voxtral_voice.errors import AudioError
from voxtral_voice.server import apology


def test_there_is_one_for_each_engine_in_each_language_that_we_speak() -> None:
    assert set(apology.VOICES) == set(LANGUAGES.values())
    assert {apology.file(engine, tag) for engine in apology.TEXTS for tag in apology.VOICES} == {
        *apology.FOLDER.iterdir()
    }


@pytest.mark.parametrize("tag", apology.VOICES)
@pytest.mark.parametrize("engine", apology.TEXTS)
def test_each_is_short_and_loud_enough(engine: str, tag: str) -> None:
    samples = apology.recorded(engine, tag)
    seconds = len(samples) / SPEAK_RATE_HZ
    assert samples.dtype == np.float32
    assert 2 < seconds < 9
    assert 0.3 < np.abs(samples).max() <= 1
    assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.3
    assert apology.file(engine, tag).stat().st_size < 50_000


@pytest.mark.parametrize("tag", apology.VOICES)
@pytest.mark.parametrize("engine", apology.TEXTS)
def test_each_is_in_its_language(engine: str, tag: str) -> None:
    """By a voice of it."""
    language = tag.partition("-")[0]
    assert language_of_text(apology.text(engine, tag), language) == language
    assert VOICES[apology.VOICES[tag]].language == tag


@pytest.mark.parametrize(
    ("language", "voice", "tag"),
    [
        ("fr", "af_heart", "fr"),
        ("en", "af_heart", "en-US"),
        ("en", "bm_george", "en-GB"),
        (None, "bm_george", "en-GB"),
        (None, "hf_alpha", "hi"),
        ("en", "hf_alpha", "en-US"),
        ("ko", "af_heart", "en-US"),
        ("pt", None, "pt-BR"),
        (None, None, "en-US"),
    ],
)
def test_it_is_in_the_user_s_language_else_in_the_voice_s(language: str | None, voice: str | None, tag: str) -> None:
    assert apology.tag_for(language, VOICES[voice] if voice else None) == tag


def test_a_file_that_is_missing_or_damaged_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apology, "FOLDER", tmp_path)
    read = apology.recorded.__wrapped__
    with pytest.raises(AudioError, match=r"^The apology speaker-fr.opus cannot be read"):
        read("speaker", "fr")
    apology.file("speaker", "fr").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="cannot be read"):
        read("speaker", "fr")
    soundfile.write(apology.file("speaker", "fr"), np.zeros((480, 2)), 48_000, format="OGG", subtype="OPUS")
    with pytest.raises(AudioError, match="is not mono at 24000 Hz"):
        read("speaker", "fr")
