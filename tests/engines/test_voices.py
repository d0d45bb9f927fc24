"""The table of voices."""

from __future__ import annotations

from voxtral_voice.engines.voices import EMBEDDED_VOICES, GAINS_DB, gain_db


def test_the_eight_voices_of_the_embedded_profile() -> None:
    assert {voice.speaks: 0 for voice in EMBEDDED_VOICES.values()}.keys() == {"en", "hi"}
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
        assert voice.speaks == {"a": "en", "h": "hi"}[name[0]]
        assert voice.gender == {"f": "female", "m": "male"}[name[1]]


def test_every_voice_has_a_gain_that_cannot_clip_it() -> None:
    assert GAINS_DB.keys() == EMBEDDED_VOICES.keys()
    assert all(gain <= 0 for gain in GAINS_DB.values())


def test_a_voice_that_was_not_measured_is_as_soft_as_the_loudest_of_its_language_has_to_be() -> None:
    assert gain_db("af_heart") == 0.0
    assert gain_db("hm_psi") == -6.2
    assert gain_db("am_adam") == min(gain for name, gain in GAINS_DB.items() if name[0] == "a")
    assert gain_db("zf_xiaobei") == gain_db("") == min(GAINS_DB.values())
