from __future__ import annotations

import json

import pytest

from voxtral_voice import cli
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES


def lines(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    assert cli.main(["voices", *argv]) == 0
    return capsys.readouterr().out.splitlines()


def test_all_of_them_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    head, first, *rest = lines(capsys)
    assert head == "voice          language  gender  grade"
    assert first == "af_heart       en-US     female  A      default"
    assert len(rest) + 1 == len(VOICES)
    assert "pm_santa       pt-BR     male    -" in rest


@pytest.mark.parametrize(("language", "count"), [("hi", 4), ("en", 28), ("en-gb", 8), ("PT", 3), ("zh", 8)])
def test_those_of_a_language(capsys: pytest.CaptureFixture[str], language: str, count: int) -> None:
    assert len(lines(capsys, "--language", language)) == 1 + count


def test_as_the_server_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads("\n".join(lines(capsys, "--json", "--language", "hi")))
    assert [row["id"] for row in rows] == ["hf_alpha", "hf_beta", "hm_omega", "hm_psi"]
    assert rows[0] == {"id": "hf_alpha", "language": "hi", "gender": "female", "grade": "C", "default": True}
    assert [row["id"] for row in json.loads("\n".join(lines(capsys, "--json"))) if row["default"]] == [*DEFAULT_VOICES]


def test_a_language_that_nobody_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["voices", "--language", "tlh"]) == 1
    assert capsys.readouterr().err == (
        "voxtral-voice: No voice speaks 'tlh': use one of en-US, hi, en-GB, es, fr, it, ja, pt-BR, zh, or leave it "
        "out.\n"
    )


def test_those_of_a_speaker_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--speaker-url", "http://a/v1", "--speaker-voices", "nova,af_sky"]
    assert lines(capsys, *there)[1:] == ["nova    ?         ?       -", "af_sky  en-US     female  C-"]
    assert cli.main(["voices", *there, "--language", "hi"]) == 1
    assert "No voice speaks 'hi': use one of en-US" in capsys.readouterr().err
