from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from voxtral_voice import cli
from voxtral_voice.audio.level import last_audible_sample
from voxtral_voice.audio.wav import read_speech
from voxtral_voice.config import load
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Voice
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.server import samples

FAKE = ("voices", "--profile", "fake", "--language", "fr", "--samples")


class Page(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] or "" for name, attributes in self.tags if name == tag and attribute in attributes
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two voices, one of them with its speeds, and one tricky text."""
    made = tmp_path_factory.mktemp("samples") / "new" / "folder"
    voices = (VOICES["hm_omega"], VOICES["af_bella"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "TRICKY", (("af_bella", "5 < 6 & **bold**"), ("zf_xiaobei", "不")))
        patch.setattr(samples, "BLENDS", ("af_bella,hm_omega:3", "af_bella,af_sky"))
        patch.setattr(samples, "SPEEDS", (1.0, 2.0))
        (line,) = samples.make(made, load(None, {"VOXTRAL_VOICE_PROFILE": "fake"}, ()).config, voices)
    assert line == f"open {made}/index.html (voices: 2, samples: 6)"
    return made


def test_every_sample_has_its_file_and_its_name(folder: Path) -> None:
    page = Page(folder / "index.html")
    names = ["hm_omega, male, grade C", "af_bella, female, grade A-", "af_bella,hm_omega:3"]
    names += ["hm_omega at speed 1", "hm_omega at speed 2", "text 1, af_bella"]
    assert page.all("audio", "aria-label") == names
    files = page.all("audio", "src")
    assert len({*files}) == len(names)
    assert sorted(files) == sorted(f"audio/{path.name}" for path in (folder / "audio").iterdir())
    assert "5 < 6 & **bold**" in page.words
    assert page.all("p", "lang") == ["hi", "en-US", "hi", "hi", "hi", "en-US"]


def test_the_files_are_speech_at_their_speed(folder: Path) -> None:
    lengths = []
    for name in ("04-hm_omega-at-speed-1", "05-hm_omega-at-speed-2"):
        audio, rate_hz = read_speech(folder / "audio" / f"{name}.mp3")
        assert rate_hz == SPEAK_RATE_HZ
        lengths.append(last_audible_sample(audio, rate_hz))
    assert lengths[0] is not None
    assert lengths[0] == pytest.approx(2 * (lengths[1] or 0), rel=0.1)


def test_the_page_needs_nobody_else_and_can_be_used_by_keys(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|<script|javascript:", text)
    page = Page(folder / "index.html")
    assert "default-src 'none'" in page.all("meta", "content")[-1]
    assert {tag for tag, attributes in page.tags if tag == "audio" and "controls" not in attributes} == set()
    assert [f"#{name}" for name in page.all("h2", "id")] == page.all("a", "href")
    assert page.all("section", "aria-labelledby") == page.all("h2", "id")


def test_what_somebody_else_called_a_voice_is_only_text() -> None:
    section = samples.sections((Voice("<b>&", "", ""),), FakeSpeaker())[0]
    assert "<b>" not in samples.page([section])
    assert "&lt;b&gt;&amp;" in samples.page([section])
    assert section.title == "Language not known"
    assert section.samples[0].file == "audio/01-b.mp3"


def test_a_page_of_ours_is_made_again_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert cli.main([*FAKE, str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"open {tmp_path}/index.html (voices: 1, samples: 1)\n"
    (tmp_path / "index.html").write_text("mine")
    assert cli.main([*FAKE, str(tmp_path)]) == 1
    assert "is not a page of samples: name another folder." in capsys.readouterr().err


def test_a_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main([*FAKE, str(tmp_path / "file" / "x")]) == 1
    assert "file/x: Not a directory." in capsys.readouterr().err


def test_either_json_or_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*FAKE, str(tmp_path), "--json"])
    assert exit_.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
