from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.endpoint import MAX_WAIT_MS, endpoint_wait_ms
from voxtral_voice.conversation.events import TurnDetection


@pytest.mark.parametrize(
    ("judged", "wait_ms"), [(1.0, 300), (2.0, 300), (0.0, 4000), (-1.0, 4000), (None, 1095), (0.5, 1095)]
)
def test_certainty_moves_the_wait_from_longest_to_shortest(judged: float | None, wait_ms: float) -> None:
    assert endpoint_wait_ms(TurnDetection(), judged, 300) == pytest.approx(wait_ms, abs=1)


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["low", "medium", "high", "auto"]))
def test_more_certain_is_never_slower(a: float, b: float, eagerness: str) -> None:
    detection = TurnDetection(eagerness=eagerness)  # type: ignore[arg-type]
    low, high = sorted((a, b))
    assert endpoint_wait_ms(detection, high, 300) <= endpoint_wait_ms(detection, low, 300) <= MAX_WAIT_MS[eagerness]


def test_server_vad_waits_for_what_the_client_said() -> None:
    detection = TurnDetection(kind="server_vad", silence_duration_ms=200)
    assert endpoint_wait_ms(detection, 0.0, 300) == 200
