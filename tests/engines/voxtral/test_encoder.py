"""The encoder hears pieces, batches and copies of a stream as transformers hears the whole of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.engines.voxtral import small
from voxtral_voice.errors import BusyError

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.voxtral.encoder import Encoder

pytestmark = pytest.mark.voxtral
TOKENS = 50
"""200 frames: five times what a frame sees, and the ring goes round."""
FRAMES = 8
"""Of mel, in a token."""


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    from voxtral_voice.engines.voxtral.encoder import Encoder

    return Encoder(small.realtime().model, streams=4, seam="transcriber")


def sound(seed: int) -> Tensor:
    import torch

    return torch.randn(1, small.BINS, FRAMES * TOKENS, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def whole() -> list[Tensor]:
    """Of the sounds 0 and 1, as transformers hears them."""
    import torch

    model = small.realtime()
    with torch.inference_mode():
        return [model.get_audio_features(input_features=sound(seed)).pooler_output[0] for seed in (0, 1)]


def near(heard: Tensor, expected: Tensor) -> bool:
    return bool((heard - expected).abs().max() < 1e-4 * expected.std())


@pytest.mark.parametrize("seed", range(3))
def test_in_pieces_of_any_length_it_is_the_same(encoder: Encoder, whole: list[Tensor], seed: int) -> None:
    import torch

    stream, lengths, heard, at = encoder.begin(), random.Random(seed), [], 0
    while at < TOKENS:
        count = min(lengths.randint(1, 23), TOKENS - at)
        heard.append(encoder.hear([stream], sound(0)[:, :, FRAMES * at : FRAMES * (at + count)])[0])
        at += count
    encoder.end(stream)
    assert near(torch.cat(heard), whole[0])


def test_streams_of_different_age_in_one_step(encoder: Encoder, whole: list[Tensor]) -> None:
    import torch

    old, young, heard = encoder.begin(), encoder.begin(), []
    encoder.hear([old], sound(0)[:, :, : FRAMES * 20])
    for at in range(30):
        parts = [sound(0)[:, :, FRAMES * (20 + at) :][:, :, :FRAMES], sound(1)[:, :, FRAMES * at :][:, :, :FRAMES]]
        heard.append(encoder.hear([old, young], torch.cat(parts))[:, 0])
    encoder.end(old)
    encoder.end(young)
    both = torch.stack(heard, dim=1)
    assert near(both[0], whole[0][20:])
    assert near(both[1], whole[1][:30])


def test_a_copy_goes_on_by_itself(encoder: Encoder, whole: list[Tensor]) -> None:
    stream = encoder.begin()
    encoder.hear([stream], sound(0)[:, :, : FRAMES * 30])
    copy = encoder.copy(stream)
    encoder.hear([copy], sound(1)[:, :, : FRAMES * 17])
    encoder.end(copy)
    assert near(encoder.hear([stream], sound(0)[:, :, FRAMES * 30 :])[0], whole[0][30:])
    encoder.end(stream)


@pytest.mark.parametrize("at", [0, 3, 30])
def test_a_fork_leaves_its_stream_as_it_was(whole: list[Tensor], at: int) -> None:
    """Soon after its beginning, and when the ring has gone round; as far as a fork may go."""
    import torch

    from voxtral_voice.engines.voxtral.encoder import Encoder

    encoder = Encoder(small.realtime().model, streams=1, seam="transcriber", ahead=18, often=(18,))
    stream = encoder.begin()
    if at:
        encoder.hear([stream], sound(0)[:, :, : FRAMES * at])
    for _ in range(2):
        fork = encoder.fork(stream)
        tried = encoder.hear([fork], sound(0)[:, :, FRAMES * at : FRAMES * (at + 18)])
        assert near(tried[0], whole[0][at : at + 18])
        encoder.hear([encoder.fork(stream)], sound(1)[:, :, : FRAMES * 18])
    heard = [encoder.hear([stream], sound(0)[:, :, FRAMES * token :][:, :, :FRAMES])[0] for token in range(at, TOKENS)]
    assert near(torch.cat(heard), whole[0][at:])


def test_a_place_that_is_used_again_begins_anew(encoder: Encoder, whole: list[Tensor]) -> None:
    stream = encoder.begin()
    encoder.hear([stream], sound(0))
    encoder.end(stream)
    stream = encoder.begin()
    assert near(encoder.hear([stream], sound(1))[0], whole[1])
    encoder.end(stream)


def test_a_copy_that_fails_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from voxtral_voice.engines.voxtral.encoder import Encoder

    class Full:
        """Keys or values that nothing more can be put beside."""

        def __getitem__(self, _: object) -> object:
            raise torch.OutOfMemoryError

    encoder = Encoder(small.realtime().model, streams=2, seam="transcriber")
    stream = encoder.begin()
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_values", Full())
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError):
                encoder.copy(stream)
    assert encoder.copy(stream).place != stream.place


def test_recording_ahead_changes_nothing(encoder: Encoder, whole: list[Tensor]) -> None:
    encoder.warm(2)
    test_a_place_that_is_used_again_begins_anew(encoder, whole)


def test_no_place_is_left(encoder: Encoder) -> None:
    streams = [encoder.begin() for _ in range(4)]
    with pytest.raises(BusyError, match="All 4 places"):
        encoder.begin()
    for stream in streams:
        encoder.end(stream)
        encoder.end(stream)  # a second time is nothing
    assert len({encoder.begin().place for _ in range(4)}) == 4
