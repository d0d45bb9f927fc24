from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.rest.sdk import silence, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import VAD_FRAME_SAMPLES
from voxtral_voice.server.rest.cut import FRAME_S, LONGEST_S, PAD_FRAMES, Cutter, Piece


def pieces(*parts: tuple[float, float]) -> list[Piece]:
    """parts: (seconds, level), each of them whole frames."""
    cutter, found = Cutter(), []
    for seconds, level in parts:
        frame = tone(FRAME_S, level=level)
        probability = 0.9 if level else 0.1
        found += [cutter.push(frame, probability) for _ in range(round(seconds / FRAME_S))]
    found.append(cutter.finish())
    return [piece for piece in found if piece is not None]


def spans(found: list[Piece]) -> list[tuple[float, float]]:
    return [(piece.start_s, piece.end_s) for piece in found]


def near(*expected: tuple[float, float]) -> list[object]:
    return [pytest.approx(span, abs=3 * FRAME_S) for span in expected]


def test_nothing_but_silence() -> None:
    assert pieces((10, 0)) == []
    assert pieces() == []


def test_one_sentence_with_its_times_and_a_little_silence() -> None:
    (piece,) = pieces((3, 0), (2, 0.3), (3, 0))
    assert (piece.start_s, piece.end_s) == pytest.approx((3, 5), abs=FRAME_S)
    assert len(piece.audio) == pytest.approx((2 / FRAME_S + 2 * PAD_FRAMES) * VAD_FRAME_SAMPLES, abs=VAD_FRAME_SAMPLES)


def test_speech_from_the_first_to_the_last_frame() -> None:
    (piece,) = pieces((2, 0.3))
    assert (piece.start_s, len(piece.audio)) == (0, round(piece.end_s * 16_000))


def test_a_short_piece_goes_on_over_a_pause() -> None:
    assert spans(pieces((2, 0.3), (1.2, 0), (2, 0.3))) == near((0, 5.2))
    assert spans(pieces((2, 0.3), (1.8, 0), (2, 0.3))) == near((0, 2), (3.8, 5.8))


def test_a_longer_one_ends_at_a_shorter_silence() -> None:
    assert spans(pieces((7, 0.3), (0.5, 0), (2, 0.3))) == near((0, 7), (7.5, 9.5))
    assert spans(pieces((7, 0.3), (0.2, 0), (2, 0.3))) == near((0, 9.2))
    assert spans(pieces((13, 0.3), (0.2, 0), (2, 0.3))) == near((0, 13), (13.2, 15.2))


def test_without_any_silence_it_is_cut_where_it_is_quietest() -> None:
    assert spans(pieces((25, 0.3), (0.1, 0.01), (10, 0.3))) == near((0, 25.1), (25.1, 35.1))


def test_a_cut_in_the_midst_of_speech_doubles_nothing() -> None:
    found = pieces((100, 0.3))
    assert sum(len(piece.audio) for piece in found) == round(100 / FRAME_S) * VAD_FRAME_SAMPLES
    assert all(before.end_s == after.start_s for before, after in pairwise(found))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 40), st.sampled_from([0.0, 0.3])), max_size=6))
def test_all_speech_is_in_pieces_that_can_be_transcribed(parts: list[tuple[float, float]]) -> None:
    found = pieces(*parts)
    assert all(piece.audio.size <= (LONGEST_S + 2 * PAD_FRAMES * FRAME_S) * 16_000 for piece in found)
    assert all(before.end_s <= after.start_s for before, after in pairwise(found))
    speech = sum(round(seconds / FRAME_S) for seconds, level in parts if level)
    heard = sum(loud_frames(piece.audio) for piece in found)
    assert heard == speech


def loud_frames(audio: Samples) -> int:
    return int((np.abs(audio.reshape(-1, VAD_FRAME_SAMPLES)).max(axis=1) > 0.1).sum())


def test_how_long_it_was() -> None:
    cutter = Cutter()
    for frame in silence(3.2).reshape(-1, VAD_FRAME_SAMPLES):
        cutter.push(frame, 0.0)
    assert cutter.seconds == pytest.approx(3.2)
