from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxtral_voice.engines.voice_clone_space import PROSODY, TIMBRE, Space, read_learned, read_space, span
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.engines.voices import VOICES, Styles
from voxtral_voice.errors import EngineError, RequestError


def packs(count: int = 4) -> dict[str, Styles]:
    """Voices that change with the length of a phrase in one way."""
    rng = np.random.default_rng(1)
    way = np.linspace(-0.1, 0.1, STYLE_SHAPE[0])[:, None, None]
    return {f"v{n}": (rng.normal(0, 1, STYLE_SHAPE[1:]) + way).astype(np.float32) for n in range(count)}


@pytest.fixture(scope="module")
def space() -> Space:
    return span(packs())


def test_over_the_voices_each_coordinate_has_mean_0_and_variance_1(space: Space) -> None:
    points = np.stack([space.point_of(mean) for mean in space.means])
    assert points.shape == (4, 6)
    assert points.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-6)
    assert points.var(axis=0) == pytest.approx(np.ones(6))


def test_a_voice_is_its_point(space: Space) -> None:
    for mean, pack in zip(space.means, packs().values(), strict=True):
        point = space.point_of(mean)
        assert space.style(point) == pytest.approx(mean)
        assert np.abs(space.styles(point) - pack).max() < 1e-5
    assert space.styles(np.zeros(6)).dtype == np.float32
    assert space.styles(np.zeros(6)).shape == STYLE_SHAPE


def test_timbre_and_prosody_go_their_own_ways(space: Space) -> None:
    moved = space.style(np.array([1.0, 0, 0, 0, 0, 0])) - space.centre
    assert np.abs(moved[TIMBRE]).max() > 0.01
    assert np.abs(moved[PROSODY]).max() == 0


def test_voices_are_read_from_their_files(tmp_path: Path) -> None:
    for name, pack in packs(2).items():
        (tmp_path / f"{name}.bin").write_bytes(pack.tobytes())
    assert read_space(tmp_path, ("v0", "v1")).names == ("v0", "v1")
    with pytest.raises(EngineError, match=r"v2\.bin") as failed:
        read_space(tmp_path, ("v0", "v2"))
    assert not isinstance(failed.value, RequestError)
    assert str(tmp_path) not in failed.value.told


def test_what_was_learned_is_in_the_package() -> None:
    learned = read_learned()
    assert set(learned.voices) == set(VOICES)
    assert learned.by_style.shape == (256, 257)
    assert learned.embeddings.shape == (54, 256)
    assert np.linalg.norm(learned.embeddings, axis=1) == pytest.approx(np.ones(54), abs=1e-2)
    assert learned.pitches.shape == (54,)


def test_men_were_heard_to_be_lower_than_women() -> None:
    learned = read_learned()
    pitches = dict(zip(learned.voices, learned.pitches, strict=True))
    assert max(pitches[name] for name in ("am_onyx", "hm_omega", "am_michael")) < pitches["af_heart"]


def test_the_response_is_that_of_the_directions(space: Space) -> None:
    learned = read_learned()
    assert learned.response(space) == pytest.approx(space.directions @ learned.by_style)
