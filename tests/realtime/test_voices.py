from __future__ import annotations

import pytest

from voxtral_voice.errors import VoiceError
from voxtral_voice.realtime.fields import FieldError
from voxtral_voice.realtime.voices import OPENAI_VOICES, Voices


def find(name: str) -> str:
    if name != "af_bella:1,af_heart:1":
        raise VoiceError(f"There is no voice {name!r}.")
    return "af_bella:0.5,af_heart:0.5"


VOICES = Voices(("af_heart", "af_bella", "am_michael"), "af_heart", find)


def test_our_own_names_stay() -> None:
    assert VOICES.resolve("af_bella", "voice") == "af_bella"


def test_openai_names_become_voices_that_are_there() -> None:
    assert VOICES.resolve("marin", "voice") == "af_heart"
    assert VOICES.resolve("cedar", "voice") == "am_michael"  # its first choice, am_fenrir, is not there
    assert VOICES.resolve("fable", "voice") == "af_heart"  # nothing like it is there: the default
    assert all(VOICES.resolve(name, "voice") in VOICES.names for name in OPENAI_VOICES)


def test_others_are_asked_for() -> None:
    assert VOICES.resolve("af_bella:1,af_heart:1", "voice") == "af_bella:0.5,af_heart:0.5"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("coral:1,af_heart:1", "af_bella:1,af_heart:1"),
        ("coral:0.5, marin", "af_bella:0.5,af_heart"),
        ("af_heart, echo:2", "af_heart,am_michael:2"),
        ("coral:1", "af_bella:1"),
        ("fable:1,af_heart", "fable:1,af_heart"),  # nothing like it is there, and a blend has no default
        ("darth, :", "darth, :"),
    ],
)
def test_openai_names_in_a_blend(name: str, asked: str) -> None:
    found: list[str] = []

    def note(name: str) -> str:
        found.append(name)
        return name

    assert Voices(VOICES.names, VOICES.default, note).resolve(name, "voice") == asked
    assert found == [asked]


def test_other_names_are_refused_with_the_reason() -> None:
    with pytest.raises(FieldError) as caught:
        VOICES.resolve("darth", "session.audio.output.voice")
    problem = caught.value.problem
    assert (problem.code, problem.param) == ("invalid_value", "session.audio.output.voice")
    assert problem.message == "Invalid value for 'session.audio.output.voice': There is no voice 'darth'."
