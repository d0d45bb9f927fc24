"""What libraries raise becomes one sentence."""

from __future__ import annotations

import pytest

from voxtral_voice.errors import BusyError, EngineError, RequestError

pytestmark = pytest.mark.voxtral


def test_a_full_gpu_is_told_as_such() -> None:
    import torch

    from voxtral_voice.engines.voxtral.failures import told

    message = "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"
    with pytest.raises(EngineError) as caught, told("transcriber", "It cannot be loaded"):
        raise torch.OutOfMemoryError(message)
    assert caught.value.engine == "transcriber"
    expected = "It cannot be loaded: the GPU's memory is full (CUDA out of memory. Tried to allocate 2.00 GiB)."
    assert str(caught.value) == expected


@pytest.mark.parametrize("error", [RuntimeError, OSError, ValueError, KeyError, AssertionError])
def test_other_failures_say_what_failed_and_why(error: type[Exception]) -> None:
    from voxtral_voice.engines.voxtral.failures import told

    expected = rf"^It failed \({error.__name__}: .*wrong.*\)\.$"
    with pytest.raises(EngineError, match=expected) as caught, told("responder", "It failed"):
        raise error("wrong.\nmore")
    assert caught.value.engine == "responder"


def test_settings_of_the_wrong_type_are_told_too() -> None:
    from transformers import VoxtralConfig

    from voxtral_voice.engines.voxtral.failures import told

    with (
        pytest.raises(EngineError, match=r"^It failed \(StrictDataclass\w*: .*audio_token_id.+\)\.$"),
        told("responder", "It failed"),
    ):
        VoxtralConfig(audio_token_id="x")


def test_a_line_that_announces_another_is_told_with_it() -> None:
    from voxtral_voice.engines.voxtral.failures import told

    with (
        pytest.raises(EngineError, match=r"^It failed \(ValueError: Wrong field: a number\)\.$"),
        told("responder", "It failed"),
    ):
        raise ValueError("Wrong field:\n    a number.\nmore")


def test_our_own_are_kept_under_the_seam_that_asked() -> None:
    from voxtral_voice.engines.voxtral.failures import told

    with pytest.raises(EngineError, match="It is full") as caught, told("responder", "It failed"):
        raise EngineError("transcriber", "It is full.")
    assert caught.value.engine == "responder"


@pytest.mark.parametrize("kind", [RequestError, BusyError])
def test_what_is_no_failure_of_the_engine_stays_what_it_is(kind: type[RequestError]) -> None:
    from voxtral_voice.engines.voxtral.failures import told

    with pytest.raises(RequestError, match=r"^Too much at once\.$") as caught, told("responder", "It failed"):
        raise kind("transcriber", "Too much at once.", "Too much.")
    assert (type(caught.value), caught.value.engine, caught.value.told) == (kind, "responder", "Too much.")
