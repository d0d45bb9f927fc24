from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from voxtral_voice.bench.corpus import voices
from voxtral_voice.bench.corpus.manifest import Voiced, recipes
from voxtral_voice.bench.corpus.voices import Spoken, voiced
from voxtral_voice.engines.base import SpeechChunk, Voice, WordTime
from voxtral_voice.errors import CorpusError
from voxtral_voice.weights import default_weights_dir


class Talker:
    """A Speaker whose every phrase is one second, with its last word where it is told."""

    name = "talker"
    voices: Mapping[str, Voice] = {}

    def __init__(self, last_word_ms: float = 600.0, chunks: int = 1) -> None:
        self.said: list[str] = []
        self._chunk = SpeechChunk(np.full(24_000, 0.25, np.float32), (WordTime("word", last_word_ms, 1_000.0),))
        self._chunks = chunks

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    async def speak(
        self,
        text: str,
        *,
        voice: str,
        speed: float,
        language: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[SpeechChunk, None]:
        assert (voice, speed) == ("af_bella", 1.0)
        self.said.append(text)
        for _ in range(self._chunks):
            yield self._chunk


def talking(monkeypatch: pytest.MonkeyPatch, talker: Talker) -> Talker:
    monkeypatch.setattr(voices, "speaker", lambda: talker)
    return talker


def how(text: str = "One word") -> Voiced:
    marks = {"onset_s": 0.03, "end_s": 0.9, "last_word_s": 0.6}
    return Voiced.model_validate({"name": "a", "text": text, "voice": "af_bella", "language": "en", **marks})


def test_a_clip_is_spoken_once_and_another_text_is_another_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talker = talking(monkeypatch, Talker())
    first = voiced([("set/a", how())], tmp_path)["set/a"]
    again = voiced([("set/a", how())], tmp_path)["set/a"]
    np.testing.assert_array_equal(first.samples, again.samples)
    voiced([("set/a", how("Another word"))], tmp_path)
    assert talker.said == ["One word", "Another word"]
    assert capsys.readouterr().err == "speaking 1 clips with Kokoro\n" * 2


def test_a_file_that_changed_is_spoken_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talker = talking(monkeypatch, Talker())
    voiced([("set/a", how())], tmp_path)
    (path,) = tmp_path.rglob("*.wav")
    path.write_bytes(path.read_bytes()[:-2])
    assert len(voiced([("set/a", how())], tmp_path)["set/a"].samples) == 24_000
    assert len(talker.said) == 2


async def test_it_may_be_called_from_a_running_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talking(monkeypatch, Talker())
    assert asyncio.get_running_loop()
    assert voiced([("set/a", how())], tmp_path)["set/a"].last_word_s == pytest.approx(0.6)


def test_marks_move_with_the_last_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talking(monkeypatch, Talker(last_word_ms=660))
    spoken = voiced([("set/a", how())], tmp_path)["set/a"]
    assert [spoken.moved(mark) for mark in (0.0, 0.3, 0.6, 0.9)] == pytest.approx([0.0, 0.33, 0.66, 0.96])


def test_a_single_word_that_begins_at_once_moves_as_a_whole() -> None:
    assert Spoken(np.zeros(1, np.float32), 0.0, 0.025).moved(0.5) == pytest.approx(0.525)


def test_another_reading_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talking(monkeypatch, Talker(last_word_ms=250))
    with pytest.raises(CorpusError) as caught:
        voiced([("set/a", how())], tmp_path)
    assert str(caught.value) == (
        "Kokoro speaks clip set/a differently here: its last word begins at 0.25 s instead of 0.60 s, so its marks do "
        "not fit; leave the clip out."
    )


def test_a_text_that_is_no_phrase_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talking(monkeypatch, Talker(chunks=2))
    with pytest.raises(CorpusError, match="Clip set/a came in 2 pieces: its text must be one phrase of words"):
        voiced([("set/a", how())], tmp_path)


@pytest.mark.models
def test_kokoro_says_the_same_twice_and_where_the_manifest_expects_it(
    model_files: Callable[[str], Path], tmp_path: Path
) -> None:
    assert model_files(voices.MODEL).parent == default_weights_dir()
    clips = [(clip, recipes()[clip].how) for clip in ("tap/okay-bella", "hi/naam")]
    asked = [(clip, recipe) for clip, recipe in clips if isinstance(recipe, Voiced)]
    first, second = voiced(asked, tmp_path / "1"), voiced(asked, tmp_path / "2")
    for clip, recipe in asked:
        np.testing.assert_array_equal(first[clip].samples, second[clip].samples)
        assert first[clip].last_word_s == pytest.approx(recipe.last_word_s, abs=0.1)
        assert first[clip].moved(recipe.end_s) < len(first[clip].samples) / 24_000


def test_clips_are_as_loud_as_when_they_were_marked() -> None:
    gains = voices.AsMarked()
    assert gains.gain_db("hf_alpha") == -8.0
    assert gains.gain_db("bf_emma") is None  # of no clip
    assert gains.voice("hf_alpha") is None
    assert gains.styles("hf_alpha") is None
