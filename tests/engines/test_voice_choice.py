"""The voice that was asked for speaks if it can, else the best one of the language."""

from __future__ import annotations

import pytest

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voice_choice import Why, reads, voice_for, why

VOICES = {
    voice.id: voice
    for voice in (
        Voice("af_heart", "en-US", "female", "A"),
        Voice("am_adam", "en-US", "male", "F+"),
        Voice("am_puck", "en-US", "male", "C+"),
        Voice("bm_george", "en-GB", "male", "C"),
        Voice("hf_alpha", "hi", "female", "C"),
        Voice("hf_beta", "hi", "female", "C"),
        Voice("hm_omega", "hi", "male", "C"),
        Voice("hm_new", "hi", "male", "C+"),
        Voice("ff_siwis", "fr", "female", "B-"),
        Voice("em_alex", "es", "male"),
        Voice("em_santa", "es", "male", "F"),
    )
}
CLONED = Voice("voice_1", "", "")


@pytest.mark.parametrize(
    ("asked", "language", "used", "reason"),
    [
        ("af_heart", "en", "af_heart", "asked"),
        ("bm_george", "en", "bm_george", "asked"),
        ("hm_omega", "hi", "hm_omega", "asked"),
        ("hf_beta", "en", "hf_beta", "asked"),  # a Hindi voice reads English
        ("af_heart", "hi", "hf_alpha", "language"),  # the same gender; the first of two alike
        ("am_adam", "hi", "hm_new", "language"),  # the better grade
        ("am_adam", "fr", "ff_siwis", "language"),  # no man speaks it
        ("bm_george", "es", "em_santa", "language"),  # not graded comes last
        ("ff_siwis", "en", "af_heart", "language"),
        ("em_alex", "en", "am_puck", "language"),  # C+ is better than C
        ("af_heart", "ko", "af_heart", "no_voice"),
        ("af_heart", "", "af_heart", "asked"),
    ],
)
def test_which_voice_speaks(asked: str, language: str, used: str, reason: Why) -> None:
    found = voice_for(VOICES, VOICES[asked], language)
    assert (found.id, why(VOICES[asked], found, language)) == (used, reason)


@pytest.mark.parametrize("language", ["en", "hi", "ko", ""])
def test_a_voice_of_no_known_language_reads_every_one(language: str) -> None:
    assert voice_for(VOICES, CLONED, language) is CLONED
    assert why(CLONED, CLONED, language) == "asked"


def test_who_reads_what() -> None:
    assert reads(VOICES["hf_alpha"], "en")
    assert not reads(VOICES["af_heart"], "hi")
