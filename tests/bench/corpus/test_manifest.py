from __future__ import annotations

import pytest
from pydantic import ValidationError

from voxtral_voice.bench.corpus.manifest import (
    Echoed,
    Marked,
    Mix,
    Recorded,
    Splice,
    Voiced,
    ids_of,
    licences,
    manifest,
    members,
    needed,
    recipes,
)
from voxtral_voice.bench.corpus.voices import GAINS_DB
from voxtral_voice.errors import CorpusError


def test_every_file_is_used_and_every_clip_has_its_file() -> None:
    used = {recipe.how.file for recipe in recipes().values() if isinstance(recipe.how, Recorded)}
    assert used == manifest().files().keys()


def test_no_name_is_given_twice() -> None:
    files = [file.name for package in manifest().packages for file in package.files]
    names = [entry.name for entry in manifest().clip_sets]
    own = [clip for entry in manifest().clip_sets if not entry.sets + entry.clips for clip in members()[entry.name]]
    for given in (files, names, own):
        assert len(set(given)) == len(given)


def test_what_a_clip_is_made_of_is_there_and_comes_before_it() -> None:
    order = [recipe.id for recipe in needed(tuple(recipes()))]
    assert sorted(order) == sorted(recipes())
    for recipe in recipes().values():
        assert all(order.index(part) < order.index(recipe.id) for part in recipe.of)


def test_every_voice_is_one_of_the_speakers_and_no_caller_has_the_assistants() -> None:
    voices = {
        (recipe.id.split("/")[0], recipe.how.voice) for recipe in recipes().values() if isinstance(recipe.how, Voiced)
    }
    assert {voice for _, voice in voices} <= GAINS_DB.keys()
    assert {name for name, voice in voices if voice == "af_heart"} == {"assistant"}


def test_cuts_lie_inside_the_speech() -> None:
    for recipe in recipes().values():
        if isinstance(recipe.how, Splice):
            of = recipes()[recipe.how.of].how
            assert isinstance(of, Marked)
            assert of.onset_s + 0.2 < recipe.how.at_s < of.end_s - 0.2, recipe.id


def test_the_conditions_are_those_that_were_asked_for() -> None:
    def conditions(name: str) -> set[str]:
        return {recipes()[clip].condition for clip in members()[name]}

    assert conditions("hold") == {f"pause {ms} ms" for ms in (200, 400, 600, 800, 1000, 1500)}
    assert conditions("tap") == {"backchannel", "cough", "door", *(f"echo -{db} dB" for db in (10, 20, 30, 40))}
    assert conditions("noise") == {f"{noise} {db} dB" for noise in ("pink", "babble") for db in (0, 5, 10, 20)}
    assert len(members()["hold"]) >= 60
    echoes = [r.how for r in recipes().values() if isinstance(r.how, Echoed)]
    assert {echo.delay_ms for echo in echoes} == {20, 80, 150, 250}


def test_nobody_babbles_behind_himself() -> None:
    for recipe in recipes().values():
        if isinstance(recipe.how, Mix) and recipe.how.noise == "babble":
            assert recipe.of[0] not in recipe.of[1:]
            assert len(recipe.of) > 6


def test_ids_of_a_set_of_a_clip_and_of_sets_together() -> None:
    assert ids_of("en-core/goforward") == ("en-core/goforward",)
    assert ids_of("hold") == ids_of("hold-human") + ids_of("hold-voice")
    assert set(ids_of("stub")) < set(ids_of("en-core"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("en-cor", "There is no set of clips 'en-cor': did you mean 'en-core'?"),
        ("en-core/gofoward", "There is no clip 'en-core/gofoward': did you mean 'en-core/goforward'?"),
        ("zzz", "There is no set of clips 'zzz': the sets are stub, en-core, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, sentence: str) -> None:
    with pytest.raises(CorpusError) as caught:
        ids_of(name)
    assert str(caught.value).startswith(sentence)


def test_licences_are_those_of_what_a_clip_is_made_of() -> None:
    assert licences(ids_of("noise")) == "BSD-2-Clause"
    assert licences(ids_of("hold")) == "BSD-2-Clause AND Apache-2.0"
    assert licences(("tap/door-1",)) == "Apache-2.0"


def test_marks_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="a ends before it begins"):
        Marked(name="a", text="", onset_s=1, end_s=1)
