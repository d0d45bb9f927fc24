"""The table of voices."""

from __future__ import annotations

from voxtral_voice.engines.voices import EMBEDDED_VOICES


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
