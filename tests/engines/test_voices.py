"""The table of voices."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from voxtral_voice.engines import student
from voxtral_voice.engines.voices import DEFAULT_VOICES, GAINS_DB, LOUDNESS_LUFS, VOICES, known, one_of
from voxtral_voice.errors import EngineError
from voxtral_voice.weights.catalogue import voices

ROOT: Final = Path(__file__).parents[2]


def test_every_voice_that_there_is_a_file_of_is_in_the_table() -> None:
    assert sorted(VOICES) == list(voices())


def test_the_default_voices_come_first() -> None:
    eight = "af_heart af_bella af_nicole af_sarah hf_alpha hf_beta hm_omega hm_psi"
    assert " ".join(DEFAULT_VOICES) == eight
    assert tuple(VOICES)[:8] == DEFAULT_VOICES


def test_nine_languages() -> None:
    assert Counter(voice.language for voice in VOICES.values()) == {
        "en-US": 20,
        "en-GB": 8,
        "es": 3,
        "fr": 1,
        "hi": 4,
        "it": 2,
        "ja": 5,
        "pt-BR": 3,
        "zh": 8,
    }
    assert {voice.speaks for voice in VOICES.values()} == {"en", "es", "fr", "hi", "it", "ja", "pt", "zh"}


def test_a_name_says_who_it_is() -> None:
    for name, voice in VOICES.items():
        assert voice.id == name
        assert voice.gender == {"f": "female", "m": "male"}[name[1]]


def test_grades_are_those_of_the_model_card() -> None:
    graded = [VOICES[name].grade for name in ("af_heart", "am_adam", "bf_emma", "hm_psi", "zm_yunxi", "ef_dora")]
    assert graded == ["A", "F+", "B-", "C", "D", ""]
    assert {voice.speaks for voice in VOICES.values() if not voice.grade} == {"es", "pt"}


def test_an_unknown_voice_is_told_the_nearest_first_and_not_all_of_them() -> None:
    with pytest.raises(EngineError) as caught:
        known(VOICES, "am_Micheal")
    assert str(caught.value) == (
        "There is no voice 'am_Micheal': use one of am_michael, af_heart, af_bella, af_nicole, af_sarah, hf_alpha, "
        "hf_beta, hm_omega or 46 others."
    )


def test_few_voices_are_all_named() -> None:
    assert one_of(["first", "second"], "secnod") == "one of second, first"


def test_the_gains_are_those_that_were_measured() -> None:
    measured = json.loads((ROOT / "benchmarks" / "voice_gains.json").read_text())
    gains = {row["voice"]: row["gain_db"] for row in measured["voices"]}
    assert {name: gains[name] for name in VOICES} == GAINS_DB
    assert gains["student"] == student.GAIN_DB
    assert measured["target_lufs"] == LOUDNESS_LUFS
    assert measured["all_lufs_spread_lu"] <= 2
