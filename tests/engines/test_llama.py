"""Reading and writing tokens, and what is kept of conversations, with a tiny model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.engines.tiny_llama import Tiny
from voxtral_voice.engines import llama as llama_module
from voxtral_voice.engines.llama import STEP_TOKENS, Memory, Model, Written
from voxtral_voice.errors import EngineError

CONTEXT = 96
LONG = "abcdefgh" * 9
"""72 tokens: three steps."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Tiny().save(tmp_path_factory.mktemp("gguf") / "m.gguf")


@pytest.fixture
def model(file: Path) -> Model:
    return Model(file, context=CONTEXT, threads=1, memories=3)


def never() -> bool:
    return False


def go_on(_: str) -> bool:
    return False


def stop(_: str) -> bool:
    return True


def write(model: Model, prompt: str, limit: int = 8) -> tuple[str, Written]:
    pieces: list[str] = []

    def hear(piece: str) -> bool:
        pieces.append(piece)
        return False

    written = model.text(prompt, limit, hear, never)
    assert written is not None
    return "".join(pieces), written


def test_a_text_is_the_same_each_time_and_computed_once(model: Model) -> None:
    first, written = write(model, LONG)
    again, cached = write(model, LONG)
    assert first == again
    assert written.usage.cached_tokens == 0
    assert (cached.usage.input_tokens, cached.usage.cached_tokens) == (72, 71)
    assert 1 <= cached.usage.output_tokens <= 8


def test_what_is_computed_in_parts_is_what_is_computed_at_once(file: Path) -> None:
    at_once, in_parts = (Model(file, context=CONTEXT, threads=1, memories=3) for _ in range(2))
    for end in (1, 30, 50):
        in_parts.next_tokens(LONG[:end], never)
    one, other = at_once.next_tokens(LONG, never), in_parts.next_tokens(LONG, never)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one, other, atol=0.02)
    assert one.sum() == pytest.approx(1, abs=1e-3)


def test_it_ends_at_the_limit_at_an_end_mark_and_when_it_is_stopped(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write(model, LONG, limit=3)[1].end == "limit"
    stopped = model.text(LONG, 8, stop, never)
    assert stopped is not None
    assert (stopped.end, stopped.usage.output_tokens) == ("stopped", 1)
    monkeypatch.setattr(llama_module, "_likeliest", lambda *_: 2)
    text, written = write(model, LONG)
    assert (text, written.end, written.usage.output_tokens) == ("", "end", 0)


def test_a_token_that_was_just_said_is_less_likely() -> None:
    logits = np.array([1.0, 1.02, -1.0, -1.02], np.float32)
    assert llama_module._likeliest(logits, []) == 1
    assert llama_module._likeliest(logits, [1]) == 0
    assert llama_module._likeliest(np.array([-1.0, -1.02], np.float32), [0]) == 1


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_prompt_ends_after_its_step_and_what_was_computed_is_kept(model: Model, steps: int) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > steps

    assert model.next_tokens(LONG, cancelled) is None
    _, written = write(model, LONG)
    assert written.usage.cached_tokens == min(steps * STEP_TOKENS, 71)


def test_a_cancelled_text_says_no_more(model: Model) -> None:
    said: list[str] = []

    def hear(piece: str) -> bool:
        said.append(piece)
        return False

    written = model.text("ab", 20, hear, lambda: bool(said))
    assert written is not None
    assert (written.end, written.usage.output_tokens) == ("stopped", 1)
    nothing = model.text("abc", 20, hear, lambda: True)
    assert nothing is not None
    assert (nothing.end, nothing.usage.output_tokens) == ("stopped", 0)


def test_what_does_not_fit_is_not_computed(model: Model) -> None:
    assert model.text("a" * 90, 7, go_on, never) is None
    assert model.text("a" * 89, 7, go_on, never) is not None
    assert model.next_tokens("a" * 96, never) is None
    assert model.next_tokens("", never) is None


def test_conversations_keep_a_memory_each_and_the_one_used_least_recently_goes(model: Model) -> None:
    head = "abcdefgh" * 3
    rests = ["1" * 40, "2" * 40, "3" * 40]
    for rest in rests:
        write(model, head + rest, limit=1)
    for rest in rests:
        assert write(model, head + rest, limit=1)[1].usage.cached_tokens == 63
    assert write(model, head + "4" * 40, limit=1)[1].usage.cached_tokens == 24
    assert write(model, head + rests[1], limit=1)[1].usage.cached_tokens == 63
    assert write(model, head + rests[0], limit=1)[1].usage.cached_tokens == 24


def test_a_copied_beginning_gives_what_a_computed_one_does(file: Path) -> None:
    head = "abcdefgh" * 3
    fresh, used = (Model(file, context=CONTEXT, threads=1, memories=3) for _ in range(2))
    write(used, head + "1" * 40)
    one, other = (each.next_tokens(head + "2" * 30, never) for each in (fresh, used))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one, other, atol=0.02)


def test_a_call_waits_for_a_memory(model: Model) -> None:
    held = [model._take([1, 2]) for _ in range(3)]
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.append(write(model, "ab")[0]))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    with model._changed:
        model._free.append(held[0])
        model._changed.notify()
    waiting.join(10)
    assert len(found) == 1


def test_a_step_that_fails_is_an_error_and_its_memory_is_empty(model: Model) -> None:
    memory = model._take([1])
    with pytest.raises(EngineError, match="responder model failed"):
        model._step(memory, [0] * (CONTEXT + 1))
    assert memory.tokens == []


def test_probabilities_are_those_of_the_prompt_whatever_comes_next(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory is held until they are computed: its next step overwrites the logits."""
    alone = model.next_tokens("abc", never)
    softmax = llama_module._softmax

    def late(logits: llama_module.Floats) -> llama_module.Floats:
        assert len(model._free) == 2
        return softmax(logits)

    monkeypatch.setattr(llama_module, "_softmax", late)
    again = model.next_tokens("abc", never)
    assert alone is not None
    assert again is not None
    np.testing.assert_allclose(alone, again, atol=0.02)


def test_no_room_for_the_graph_is_an_error_that_says_what_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(EngineError, match=r"needs .* MB in /nowhere/at/all for a moment .*; set TMPDIR"):
        Model(file, context=CONTEXT, threads=1, memories=1)


def test_a_graph_that_cannot_be_loaded_is_an_error() -> None:
    with pytest.raises(EngineError, match="cannot load the responder model"):
        llama_module._open(b"no graph", 1)


def test_words_and_marks(model: Model) -> None:
    assert model.word(3) == "a"
    assert model.word(2) == ""


def test_how_much_of_a_prompt_is_there() -> None:
    def shared(there: list[int], tokens: list[int]) -> int:
        return Memory(there, {}, None).shared(tokens)

    assert [shared([1, 2, 3], t) for t in ([1, 2, 3, 4], [1, 2], [1, 9, 3], [], [9])] == [3, 2, 1, 0, 0]
