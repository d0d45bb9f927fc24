from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.gate import FRAME_SAMPLES, Offset, Onset, SpeechGate


def edges(gate: SpeechGate, probabilities: list[float]) -> list[Onset | Offset]:
    found = [gate.push(i * FRAME_SAMPLES, p) for i, p in enumerate(probabilities)]
    return [edge for edge in found if edge is not None]


def test_onset_and_offset_lie_at_the_first_frame_of_their_run() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=96)
    assert edges(gate, [0.0] * 4 + [0.9] * 10 + [0.0] * 5) == [Onset(4 * FRAME_SAMPLES), Offset(14 * FRAME_SAMPLES)]


def test_a_click_is_no_speech_and_a_gap_no_silence() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=96)
    assert edges(gate, [0.0, 0.9, 0.9, 0.0] * 5) == []
    assert edges(gate, [0.9] * 3 + [0.0, 0.9] * 5) == [Onset(0)]


def test_a_voiced_stretch_goes_on_a_little_below_the_threshold() -> None:
    assert edges(SpeechGate(0.5, 96, 96), [0.6] * 3 + [0.4] * 10) == [Onset(0)]
    assert edges(SpeechGate(0.5, 96, 96), [0.4] * 10) == []


def test_after_a_reset_speech_that_goes_on_is_a_new_onset() -> None:
    gate = SpeechGate(0.5, 96, 96)
    assert edges(gate, [0.9] * 5) == [Onset(0)]
    gate.reset()
    assert not gate.voiced
    assert edges(gate, [0.9] * 5) == [Onset(0)]


@given(st.lists(st.floats(0, 1), max_size=200), st.integers(1, 300), st.integers(1, 300))
def test_edges_alternate_and_their_positions_grow(probabilities: list[float], onset_ms: int, silence_ms: int) -> None:
    found = edges(SpeechGate(0.5, onset_ms, silence_ms), probabilities)
    assert all(isinstance(edge, Onset if i % 2 == 0 else Offset) for i, edge in enumerate(found))
    positions = [edge.sample for edge in found]
    assert positions == sorted(set(positions))


def levels(gate: SpeechGate, frames: list[tuple[float, float]]) -> list[Onset | Offset]:
    found = [gate.push(i * FRAME_SAMPLES, *frame) for i, frame in enumerate(frames)]
    return [edge for edge in found if edge is not None]


LOUD, HUSHED, GONE = (0.9, -20.0), (0.9, -50.0), (0.0, -60.0)


def test_what_is_far_below_the_speech_before_is_silence() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=64)
    assert levels(gate, [LOUD] * 10 + [HUSHED] * 2) == [Onset(0), Offset(10 * FRAME_SAMPLES)]


def test_silence_that_is_heard_as_such_takes_half_as_long() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=64)
    assert levels(gate, [LOUD] * 10 + [HUSHED]) == [Onset(0)]
    assert levels(SpeechGate(0.5, 96, 64), [LOUD] * 10 + [GONE]) == [Onset(0), Offset(10 * FRAME_SAMPLES)]


def test_what_is_left_of_the_old_speech_is_no_new_one() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=64)
    assert levels(gate, [LOUD] * 10 + [HUSHED] * 8 + [LOUD] * 3) == [
        Onset(0), Offset(10 * FRAME_SAMPLES), Onset(18 * FRAME_SAMPLES),
    ]  # fmt: skip


def test_a_quieter_speaker_is_heard_after_a_moment() -> None:
    gate = SpeechGate(0.5, onset_ms=96, silence_ms=64)
    assert levels(gate, [LOUD] * 10 + [GONE] * 20 + [HUSHED] * 10)[-1] == Onset(30 * FRAME_SAMPLES)


def test_short_speech_has_no_level_yet() -> None:
    gate = SpeechGate(0.5, onset_ms=32, silence_ms=64)
    assert levels(gate, [LOUD] * 2 + [HUSHED] * 2) == [Onset(0)]
