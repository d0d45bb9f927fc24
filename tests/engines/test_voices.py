"""The table of voices."""

from __future__ import annotations

from voxtral_voice.engines.voices import EMBEDDED_VOICES, GAINS_DB


def test_the_eight_voices_of_the_embedded_profile() -> None:
    assert {voice.language: 0 for voice in EMBEDDED_VOICES.values()}.keys() == {"en", "hi"}
    assert [voice for voice in EMBEDDED_VOICES if voice.startswith("af_")] == [
        "af_heart",
        "af_bella",
        "af_nicole",
        "af_sarah",
    ]
    assert [voice for voice in EMBEDDED_VOICES if voice.startswith("h")] == [
        "hf_alpha",
        "hf_beta",
        "hm_omega",
        "hm_psi",
    ]


def test_a_name_says_language_and_gender() -> None:
    for name, voice in EMBEDDED_VOICES.items():
        assert voice.id == name
        assert voice.language == {"a": "en", "h": "hi"}[name[0]]
        assert voice.gender == {"f": "female", "m": "male"}[name[1]]


def test_every_voice_has_a_gain_that_cannot_clip_it() -> None:
    assert GAINS_DB.keys() == EMBEDDED_VOICES.keys()
    assert all(gain <= 0 for gain in GAINS_DB.values())
