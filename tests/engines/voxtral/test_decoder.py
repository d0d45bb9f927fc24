"""The decoder writes what transformers writes, for several sequences at once, and from copies and prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.voxtral import small
from voxtral_voice.errors import BusyError, EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.voxtral.decoder import Decoder

pytestmark = pytest.mark.voxtral
TOKENS = 640
PROMPT = (5, 9, 17, 4, 250, 33)
OTHER = (7, 8, 120)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    from voxtral_voice.engines.voxtral.decoder import Decoder

    model = small.llama()
    return Decoder(model.model, model.lm_head, sequences=3, tokens=TOKENS, seam="responder")


def written(prompt: tuple[int, ...], count: int) -> list[int]:
    """By transformers."""
    import torch

    ids = small.llama().generate(torch.tensor([prompt]), max_new_tokens=count, do_sample=False, eos_token_id=None)
    tokens: list[int] = ids[0, len(prompt) :].tolist()
    return tokens


def nothing(steps: int, sequences: int = 1) -> Tensor:
    import torch

    return torch.zeros(steps, sequences, small.WIDTH)


def first(logits: Tensor) -> int:
    return int(logits.argmax())


def test_token_by_token_it_writes_what_transformers_writes(decoder: Decoder) -> None:
    sequence = decoder.begin()
    tokens = [first(decoder.read(sequence, decoder.embed(PROMPT)))]
    while len(tokens) < 12:
        tokens.append(first(decoder.step([sequence], tokens[-1:])[0]))
    decoder.end(sequence)
    assert tokens == written(PROMPT, 12)
    assert len(set(tokens)) > 4


def test_a_run_of_steps_is_the_same(decoder: Decoder) -> None:
    sequence = decoder.begin()
    token = first(decoder.read(sequence, decoder.embed(PROMPT)))
    tokens = [token, *decoder.follow([sequence], [token], nothing(11))[0]]
    assert tokens == written(PROMPT, 12)
    assert sequence.length == len(PROMPT) + 11
    decoder.end(sequence)


def test_a_prompt_may_be_read_in_parts(decoder: Decoder) -> None:
    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed(PROMPT[:2]))
    token = first(decoder.read(sequence, decoder.embed(PROMPT[2:])))
    assert [token, *decoder.follow([sequence], [token], nothing(5))[0]] == written(PROMPT, 6)
    decoder.end(sequence)


def test_several_sequences_in_one_step_do_not_disturb_each_other(decoder: Decoder) -> None:
    one, two, three = (decoder.begin() for _ in range(3))
    last = [
        first(decoder.read(one, decoder.embed(PROMPT))),
        first(decoder.read(two, decoder.embed(OTHER))),
        first(decoder.read(three, decoder.embed(PROMPT))),
    ]
    tokens = decoder.follow([one, two, three], last, nothing(9, 3))
    assert [last[0], *tokens[0]] == written(PROMPT, 10) == [last[2], *tokens[2]]
    assert [last[1], *tokens[1]] == written(OTHER, 10)
    for sequence in (one, two, three):
        decoder.end(sequence)


def test_a_copy_goes_on_by_itself(decoder: Decoder) -> None:
    sequence = decoder.begin()
    token = first(decoder.read(sequence, decoder.embed(PROMPT)))
    copy = decoder.copy(sequence)
    decoder.follow([copy], [200], nothing(9))
    decoder.end(copy)
    assert [token, *decoder.follow([sequence], [token], nothing(9))[0]] == written(PROMPT, 10)
    decoder.end(sequence)


def test_a_sequence_can_be_cut_back_to_its_prefix(decoder: Decoder) -> None:
    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed(PROMPT[:3]))
    decoder.read(sequence, decoder.embed(OTHER))
    sequence.length = 3
    token = first(decoder.read(sequence, decoder.embed(PROMPT[3:])))
    assert [token, *decoder.follow([sequence], [token], nothing(5))[0]] == written(PROMPT, 6)
    decoder.end(sequence)


def test_what_is_added_is_heard(decoder: Decoder) -> None:
    import torch

    sequence = decoder.begin()
    token = first(decoder.read(sequence, decoder.embed(PROMPT)))
    copy = decoder.copy(sequence)
    added = torch.randn(6, 1, small.WIDTH, generator=torch.Generator().manual_seed(3))
    alone = [token]
    for sound in added:
        alone.append(first(decoder.step([copy], alone[-1:], sound)[0]))
    assert decoder.follow([sequence], [token], added)[0] == alone[1:]
    assert alone[1:] != written(PROMPT, 7)[1:]
    decoder.end(sequence)
    decoder.end(copy)


@pytest.mark.parametrize("usual", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_guessing_writes_the_same(decoder: Decoder, usual: int, count: int) -> None:
    """usual: a token that never comes, the commonest one, and the first one."""
    import torch

    sequence = decoder.begin()
    token = first(decoder.read(sequence, decoder.embed(PROMPT)))
    copy = decoder.copy(sequence)
    added = torch.randn(count, small.WIDTH, generator=torch.Generator().manual_seed(4)) * 0.02
    tokens = decoder.follow([copy], [token], added[:, None])[0]
    never = next(word for word in range(small.WORDS) if word not in tokens)
    guess = (never, max(set(tokens), key=tokens.count), tokens[0])[usual]
    assert decoder.follow_guessing(sequence, token, added, guess) == tokens
    assert sequence.length == copy.length
    decoder.end(sequence)
    decoder.end(copy)


def test_guessing_to_the_last_place(decoder: Decoder) -> None:
    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed([3] * (TOKENS - 12)))
    copy = decoder.copy(sequence)
    tokens = decoder.follow([copy], [3], nothing(12))[0]
    assert decoder.follow_guessing(sequence, 3, nothing(12)[:, 0], tokens[0]) == tokens
    with pytest.raises(EngineError, match=f"room for {TOKENS} tokens"):
        decoder.follow_guessing(sequence, 3, nothing(1)[:, 0], 3)
    decoder.end(sequence)
    decoder.end(copy)


def test_a_usual_token_takes_fewer_passes(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from voxtral_voice.engines.voxtral import decoder as module

    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed(PROMPT))
    passes = 0

    def work(step: module._Step) -> None:
        nonlocal passes
        passes += 1
        step.chosen.fill_(77)

    monkeypatch.setattr(module._Step, "_work", work)
    assert decoder.follow_guessing(sequence, 5, nothing(17)[:, 0], 77) == [77] * 17
    assert passes == 3
    decoder.end(sequence)


def test_recording_ahead_changes_nothing(decoder: Decoder) -> None:
    decoder.warm(2, 100, guessing=True)
    test_a_run_of_steps_is_the_same(decoder)


def test_no_place_is_left(decoder: Decoder) -> None:
    sequences = [decoder.begin() for _ in range(3)]
    with pytest.raises(BusyError, match="All 3 places"):
        decoder.begin()
    decoder.end(sequences[0])
    decoder.end(sequences[0])  # a second time is nothing
    sequences[0] = decoder.begin()
    with pytest.raises(BusyError, match="All 3 places"):
        decoder.begin()
    for sequence in sequences:
        decoder.end(sequence)


def test_too_long_is_said_and_leaves_the_sequence_as_it_was(decoder: Decoder) -> None:
    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed([3] * (TOKENS - 2)))
    with pytest.raises(EngineError, match=f"room for {TOKENS} tokens"):
        decoder.follow([sequence], [3], nothing(3))
    assert sequence.length == TOKENS - 2
    decoder.follow([sequence], [3], nothing(2))
    with pytest.raises(EngineError, match=f"room for {TOKENS} tokens"):
        decoder.read(sequence, decoder.embed([3]))
    decoder.end(sequence)


def test_a_copy_that_fails_takes_no_place(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Full:
        """Keys or values that nothing more can be put beside."""

        def __getitem__(self, _: object) -> object:
            raise torch.OutOfMemoryError

    sequence = decoder.begin()
    decoder.read(sequence, decoder.embed(PROMPT))
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_values", Full())
        for _ in range(4):
            with pytest.raises(torch.OutOfMemoryError):
                decoder.copy(sequence)
    copies = [decoder.copy(sequence) for _ in range(2)]
    for each in (sequence, *copies):
        decoder.end(each)
