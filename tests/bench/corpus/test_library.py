"""The clips themselves: what is made of the recordings, and that it is what the manifest says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.corpus import library, load, sets
from voxtral_voice.bench.corpus.library import evenly, published, sha256_of
from voxtral_voice.bench.corpus.manifest import Recorded, Splice, members, recipes
from voxtral_voice.bench.corpus.voices import Spoken
from voxtral_voice.bench.stub.recognise import Recogniser
from voxtral_voice.errors import CorpusError

HUMAN = ("stub", "en-core", "en-tel", "multi", "hold-human", "soak", "noise")
"""What needs no model."""


def speech(clip: Clip) -> Samples:
    return clip.samples[round(clip.onset_s * clip.rate_hz) : round(clip.end_s * clip.rate_hz)]


def clips(recordings: Path, *names: str) -> dict[str, Clip]:
    return {clip.id: clip for clip in load(names, recordings)}


# --- what there is ----------------------------------------------------------------------------------------------


def test_the_sets_say_what_they_are() -> None:
    known = sets()
    assert {name for name, info in known.items() if not info.models} == set(HUMAN)
    assert known["hold"].size == known["hold-human"].size + known["hold-voice"].size == 84
    assert known["en-tel"].licence == "CC-BY-SA-3.0"
    assert all(info.what and info.size and info.licence for info in known.values())


def test_each_set_has_the_clips_that_it_promises(recordings: Path) -> None:
    for name in HUMAN:
        assert len(load([name], recordings)) == sets()[name].size


def test_a_clip_of_two_sets_comes_once(recordings: Path) -> None:
    assert len(load(["stub", "en-core", "en-core/goforward"], recordings)) == sets()["en-core"].size


# --- marks ------------------------------------------------------------------------------------------------------


def test_marks_lie_inside_the_audio_with_the_speech_between_them(recordings: Path) -> None:
    for clip in load(["en-core", "en-tel", "multi"], recordings):
        assert 0 <= clip.onset_s < clip.end_s <= len(clip.samples) / clip.rate_hz, clip.id
        bright = np.diff(clip.samples)  # a breath's rumble on the microphone is no speech
        last = bright[round((clip.end_s - 0.3) * clip.rate_hz) : round(clip.end_s * clip.rate_hz)]
        behind = bright[round((clip.end_s + 0.03) * clip.rate_hz) :]
        assert rms_dbfs(last) > rms_dbfs(behind) + 6, clip.id


def test_rates_are_those_of_the_recordings(recordings: Path) -> None:
    rates = Counter((clip.id.split("/")[0], clip.rate_hz) for clip in load(["en-core", "en-tel", "multi"], recordings))
    assert set(rates) == {("en-core", 16_000), ("en-tel", 8_000), ("multi", 16_000)}


# --- pauses -----------------------------------------------------------------------------------------------------


def test_a_pause_is_as_long_as_it_says_and_the_rest_is_the_recording(recordings: Path) -> None:
    found = clips(recordings, "hold-human", "en-core")
    for clip in found.values():
        how = recipes()[clip.id].how
        if not isinstance(how, Splice):
            continue
        of, size = found[how.of], how.pause_ms * clip.rate_hz // 1000
        cut = round(how.at_s * clip.rate_hz)
        np.testing.assert_array_equal(np.delete(clip.samples, slice(cut, cut + size)), of.samples)
        assert clip.pauses == ((cut / clip.rate_hz, (cut + size) / clip.rate_hz),)
        assert clip.end_s == pytest.approx(of.end_s + size / clip.rate_hz)
        assert (clip.text, clip.kind, clip.condition) == (of.text, "hold", f"pause {how.pause_ms} ms")


def test_a_pause_is_as_quiet_as_the_room(recordings: Path) -> None:
    for clip in load(["hold-human"], recordings):
        begin, end = (round(at * clip.rate_hz) for at in clip.pauses[0])
        fade = clip.rate_hz // 100
        room = clip.samples[begin + fade : end - fade]
        assert rms_dbfs(room) < rms_dbfs(speech(clip)) - 15, clip.id
        silences = (
            clip.samples[: round(clip.onset_s * clip.rate_hz)],
            clip.samples[round(clip.end_s * clip.rate_hz) :],
        )
        heard = min(rms_dbfs(part) for part in silences if len(part) >= clip.rate_hz // 20)
        assert rms_dbfs(room) == pytest.approx(heard, abs=3), clip.id


def test_a_cut_in_a_voice_moves_with_its_words() -> None:
    samples = np.linspace(-0.5, 0.5, 48_000, dtype=np.float32)
    of = Clip("sentences/pizza", "turn", "", "en", samples, 24_000, 0.1, 1.8)
    recipe = next(r for r in recipes().values() if isinstance(r.how, Splice) and r.how.of == of.id)
    assert isinstance(recipe.how, Splice)
    spoken = {of.id: Spoken(samples, stored_s=1.0, last_word_s=1.1)}
    made = library._made(recipe, {of.id: of}, spoken, Path())
    assert made.pauses[0][0] == pytest.approx(recipe.how.at_s * 1.1, abs=1e-4)


# --- noise ------------------------------------------------------------------------------------------------------


def test_noise_is_there_before_and_after_and_its_marks_moved(recordings: Path) -> None:
    found = clips(recordings, "noise", "en-core")
    for clip in found.values():
        if clip.kind == "noise":
            of = found[recipes()[clip.id].of[0]]
            assert clip.onset_s == pytest.approx(of.onset_s + 0.5)
            assert len(clip.samples) / clip.rate_hz == pytest.approx(len(of.samples) / of.rate_hz + 2.5)
            around = np.concatenate((clip.samples[:4_000], clip.samples[-16_000:]))
            assert rms_dbfs(around) < rms_dbfs(speech(clip)) + 3
            assert np.abs(clip.samples).max() < 0.99


def test_louder_noise_is_louder(recordings: Path) -> None:
    found = clips(recordings, "noise")
    for noise in ("pink", "babble"):
        levels = [rms_dbfs(found[f"noise/goforward-{noise}-{snr}"].samples[-16_000:]) for snr in (20, 10, 5, 0)]
        assert levels == sorted(levels)
        assert levels[-1] - levels[0] == pytest.approx(20, abs=5)  # of different noise, with chance in it


# --- the same everywhere ----------------------------------------------------------------------------------------


def test_what_is_made_of_recordings_and_noise_alone_has_a_published_hash(recordings: Path) -> None:
    alone = {clip for name in HUMAN for clip in members()[name]} | {
        "tap/cough-1",
        "tap/cough-2",
        "tap/door-1",
        "tap/door-2",
    }
    assert published().keys() == {clip for clip in alone if not isinstance(recipes()[clip].how, Recorded)}
    for clip in load([*published()], recordings):
        assert sha256_of(clip) == published()[clip.id]


def test_a_clip_that_comes_out_differently_is_refused(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "published", lambda: {"tap/door-1": "0" * 64})
    with pytest.raises(CorpusError) as caught:
        load(["tap/door-1"], recordings)
    assert str(caught.value) == (
        "Clip tap/door-1 comes out differently on this machine than everywhere else, so its figures could not be "
        "compared: install the numpy of requirements.lock, or leave its set out."
    )


def test_a_clip_that_is_shorter_than_its_marks_is_refused(recordings: Path) -> None:
    (clip,) = load(["en-core/goforward"], recordings)
    with pytest.raises(CorpusError, match="Clip en-core/goforward is shorter than its marks"):
        library._checked(replace(clip, end_s=60.0))


# --- a part of it -----------------------------------------------------------------------------------------------


def test_a_limit_takes_one_of_each_condition_in_turn() -> None:
    ids = members()["hold"]
    assert Counter(recipes()[clip].condition for clip in evenly(ids, 12)) == Counter(
        {f"pause {ms} ms": 2 for ms in (200, 400, 600, 800, 1000, 1500)}
    )
    assert len({recipes()[clip].of for clip in evenly(ids, 12)}) > 5
    assert {clip.split("/")[1][:2] for clip in evenly(members()["multi"], 9)} == {
        "en", "es", "fr", "hi", "it", "ja", "pl", "pt", "zh"
    }  # fmt: skip


def test_a_limit_takes_the_same_ones_always_and_never_more_than_there_are() -> None:
    ids = members()["noise"]
    assert evenly(ids, 9) == evenly(ids, 20)[:9]
    assert sorted(evenly(ids, 1_000)) == sorted(ids)


def test_only_what_the_limit_leaves_is_made(recordings: Path) -> None:
    assert [clip.id for clip in load(["hold-human"], recordings, limit=3)] == list(evenly(members()["hold-human"], 3))


@pytest.mark.parametrize(
    ("names", "limit", "sentence"),
    [
        (["en-core"], 0, "A limit of 0 clips leaves nothing to say: give 1 or more."),
        ([], None, "No set of clips is named: the sets are stub, en-core, "),
        (["nois"], None, "There is no set of clips 'nois': did you mean 'noise'?"),
    ],
)
def test_what_cannot_be_meant_is_refused(names: list[str], limit: int | None, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        load(names, tmp_path, limit)
    assert str(caught.value).startswith(sentence)


# --- for a server without models --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stub", "en-core"])
def test_every_clip_of_the_stub_is_known_by_its_envelope(recordings: Path, name: str) -> None:
    found = load([name], recordings)
    recogniser = Recogniser([resample(clip.samples, clip.rate_hz, 16_000) for clip in found])
    for i, clip in enumerate(found):
        room = np.random.default_rng(i).standard_normal(len(clip.samples) + 16_000) * 10 ** (-70 / 20)
        heard = room.astype(np.float32)
        heard[4_000 : 4_000 + len(clip.samples)] += clip.samples
        match = recogniser.recognise(heard)
        assert match is not None
        assert match.index == i, clip.id
