"""Voxtral Mini as a responder: to what it hears and to what is written, prepared, sampled, bounded, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.engines.voxtral.original import audio_part, original
from tests.engines.voxtral.sounds import speech
from tests.engines.voxtral.steps import Steps
from voxtral_voice.engines.base import Call, Finish, Message, Picture, Piece, Samples, Tool, Tools
from voxtral_voice.engines.voxtral import mini_network, mini_responder
from voxtral_voice.engines.voxtral.mini_model import MiniModel
from voxtral_voice.engines.voxtral.mini_prompt import AGREED
from voxtral_voice.engines.voxtral.mini_responder import MiniResponder
from voxtral_voice.engines.voxtral.mini_transcriber import MiniTranscriber
from voxtral_voice.errors import EngineError, RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Network

pytestmark = pytest.mark.voxtral
SYSTEM = Message("system", "Answer in one sentence.")
HISTORY = (Message("user", "Hello."), Message("assistant", "Yes?"))
COUNT = 10


@pytest.fixture
async def model(tiny_mini: Path) -> AsyncIterator[MiniModel]:
    """For as many engines as want it."""
    model = MiniModel(tiny_mini, sequences=3, tokens=1536)
    await model.start("responder")
    network_of(model).end = -1  # replies do not end by themselves
    yield model
    await model.aclose()


@pytest.fixture
async def listening(model: MiniModel) -> AsyncIterator[MiniResponder]:
    responder = MiniResponder(model, True, seed=0)
    await responder.start()
    yield responder
    await responder.aclose()


@pytest.fixture
async def reading(model: MiniModel) -> AsyncIterator[MiniResponder]:
    responder = MiniResponder(model, False, seed=0)
    await responder.start()
    yield responder
    await responder.aclose()


@pytest.fixture
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_responder, "TEMPERATURE", 1e-6)


def network_of(model: MiniModel) -> Network:
    assert model._running is not None
    return model._running.network


async def answer(
    responder: MiniResponder, messages: Sequence[Message], max_tokens: int | None = COUNT, tools: Tools | None = None
) -> tuple[str, Finish]:
    pieces: list[Piece] = []
    options = {"tools": tools} if tools else {}
    async with aclosing(responder.respond(messages, language=None, max_tokens=max_tokens, **options)) as replies:
        pieces += [piece async for piece in replies]
    *texts, finish = pieces
    assert isinstance(finish, Finish)
    return "".join(str(text) for text in texts), finish


def heard(seed: int = 0, words: str = "") -> Message:
    return Message("user", words, audio=speech(2, seed))


async def test_to_what_it_hears_it_writes_what_transformers_writes(
    listening: MiniResponder, tiny_mini: Path, greedy: None
) -> None:
    original_model = original(tiny_mini)
    before = [Message("user", SYSTEM.text), Message("assistant", AGREED), *HISTORY]
    said = [{"role": message.role, "content": message.text} for message in before]
    inputs = original_model.conversation([*said, {"role": "user", "content": [audio_part(speech(2))]}])
    text, finish = await answer(listening, [SYSTEM, *HISTORY, heard()])
    assert text == original_model.text(original_model.written(inputs, COUNT))
    assert finish.usage is not None
    assert finish.usage.input_tokens == inputs["input_ids"].shape[1]
    assert (finish.usage.output_tokens, finish.reason) == (COUNT, "length")


async def test_to_what_is_written_it_answers_with_a_system_role(
    reading: MiniResponder, tiny_mini: Path, greedy: None
) -> None:
    messages = [SYSTEM, *HISTORY, Message("user", "What is the time?")]
    original_model = original(tiny_mini)
    inputs = original_model.conversation([{"role": m.role, "content": m.text} for m in messages])
    text, _ = await answer(reading, messages)
    assert text == original_model.text(original_model.written(inputs, COUNT))


async def test_prepared_it_answers_the_same_and_begins_with_nothing_left_to_read(
    listening: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [SYSTEM, *HISTORY, heard(1)]
    expected, finish = await answer(listening, messages)
    assert finish.usage is not None
    assert finish.usage.cached_tokens < finish.usage.input_tokens - 375
    other = [SYSTEM, *HISTORY, heard(2)]
    unprepared = (await answer(MiniResponder(model, True, seed=0), other))[0]
    assert await listening.prepare(messages, language=None) is None
    assert await listening.prepare(other, language=None) is None
    decoder = network_of(model)._decoder
    reads: list[object] = []
    read = decoder.read

    def counted(*what: object) -> object:
        reads.append(what)
        return read(*what)

    monkeypatch.setattr(decoder, "read", counted)
    again, prepared = await answer(listening, [*messages[:-1], heard(1, words="known by now")])
    assert again == expected
    assert not reads
    assert prepared.usage is not None
    assert prepared.usage.cached_tokens == prepared.usage.input_tokens
    assert (await answer(listening, other))[0] == unprepared


async def test_words_that_grow_are_read_on(reading: MiniResponder, greedy: None) -> None:
    expected, _ = await answer(reading, [SYSTEM, Message("user", "What is the time in Delhi?")])
    other = [SYSTEM, *HISTORY]
    for words in ("", "How", "How are", "How are you,"):
        await reading.prepare([*other, Message("user", words)], language=None)
    _, finish = await answer(reading, [*other, Message("user", "How are you, my friend?")])
    assert finish.usage is not None
    assert finish.usage.cached_tokens >= finish.usage.input_tokens - 8
    assert (await answer(reading, [SYSTEM, Message("user", "What is the time in Delhi?")]))[0] == expected


@pytest.mark.parametrize("messages", [[], [SYSTEM], [*HISTORY], [Message("tool", "42", call_id="a")]])
async def test_there_is_nothing_to_prepare_without_words_of_the_user(
    reading: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch, messages: list[Message]
) -> None:
    def fail(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(network_of(model), "prepare", fail)
    assert await reading.prepare(messages, language=None) is None


async def test_the_next_turn_goes_on_from_the_last(reading: MiniResponder, greedy: None) -> None:
    first = [SYSTEM, Message("user", "Hello.")]
    text, _ = await answer(reading, first)
    _, finish = await answer(reading, [*first, Message("assistant", text), Message("user", "And?")])
    assert finish.usage is not None
    assert finish.usage.cached_tokens > len("Hello.")


async def test_the_same_seed_gives_the_same_reply(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_responder, "TEMPERATURE", 3.0)
    messages = [SYSTEM, Message("user", "Hello.")]
    replies = [(await answer(MiniResponder(model, False, seed=seed), messages))[0] for seed in (1, 1, 2, None, None)]
    assert replies[0] == replies[1]
    assert len(set(replies)) == 4


async def test_its_own_limit_is_no_cut(reading: MiniResponder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_responder, "MAX_REPLY_TOKENS", 4)
    _, finish = await answer(reading, [*HISTORY], max_tokens=None)
    assert finish.usage is not None
    assert (finish.reason, finish.usage.output_tokens) == ("stop", 4)


class Script:
    """What the model writes, instead of what it would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ids: Iterator[int]) -> None:
        self.written = 0
        self._ids = ids
        monkeypatch.setattr(mini_network, "_chosen", self._chosen)

    def _chosen(self, _: object, readings: Sequence[object]) -> list[int]:
        self.written += 1
        return [next(self._ids) for _ in readings]


async def test_a_reply_comes_in_whole_letters_and_ends_by_itself(
    reading: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ज़रूर, meeting कल है 😀।"
    vocabulary = network_of(model).vocabulary
    Script(monkeypatch, iter([*vocabulary.ids(text), -1]))
    pieces = [piece async for piece in reading.respond([*HISTORY], language="hi", max_tokens=None)]
    *texts, finish = pieces
    assert "".join(map(str, texts)) == text
    assert all(texts)
    assert "\ufffd" not in "".join(map(str, texts))
    assert isinstance(finish, Finish)
    assert finish.reason == "stop"


async def test_a_reply_of_exactly_max_tokens_that_ends_is_cut_off_by_nothing(
    reading: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = network_of(model).vocabulary
    Script(monkeypatch, iter([*vocabulary.ids("Yes."), -1]))
    _, finish = await answer(reading, [*HISTORY], max_tokens=len(vocabulary.ids("Yes.")) + 1)
    assert finish.reason == "stop"


async def test_a_closed_reply_stops_within_one_token(
    reading: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(monkeypatch, iter(network_of(model).vocabulary.ids("word ") * 500))
    async with aclosing(reading.respond([*HISTORY], language=None, max_tokens=None)) as pieces:
        async for _ in pieces:
            if script.written >= 4:
                break
    closed_after = script.written
    assert model._running is not None
    await model._running.worker.run(lambda: None)
    assert script.written == closed_after
    assert network_of(model)._memories._free + len(network_of(model)._memories._idle) == 3


async def test_replies_that_vanish_give_every_place_back(
    listening: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they are prepared, or written, or wait for a place."""
    steps = Steps(network_of(model), ("hear", "prepare", "read", "step"), monkeypatch)
    vanished = 0

    async def work(number: int, turn: int) -> None:
        messages = [SYSTEM, *HISTORY, heard(number + turn) if turn % 2 else Message("user", f"Turn {turn}.")]
        if (number + turn) % 3:
            await answer(listening, messages, max_tokens=None)
        else:
            await listening.prepare(messages, language=None)

    for number in range(50):
        works = [asyncio.create_task(work(number, turn)) for turn in range(4)]
        await steps.more(1 + number % 9, *works)
        vanished += sum(task.cancel() for task in works)
        await asyncio.gather(*works, return_exceptions=True)
    assert vanished > 50
    kept = [listening.respond([Message("user", f"{n}?")], language=None, max_tokens=None) for n in range(2)]
    async with asyncio.timeout(60), aclosing(kept[0]) as one, aclosing(kept[1]) as two:
        assert await anext(one)
        assert await anext(two)
        assert (await MiniTranscriber(model).transcribe(speech(1), language="en", prompt="", final=True)).text
    assert model._running is not None
    await model._running.worker.run(lambda: None)
    memories = network_of(model)._memories
    assert memories._free + len(memories._idle) == model._running._places._value == 3
    assert model._running._kept_places._value == 2
    assert not model.busy._doing


async def test_replies_at_once_do_not_disturb_each_other(listening: MiniResponder) -> None:
    alone = [(await answer(listening, [SYSTEM, heard(seed)]))[0] for seed in range(5)]
    together = await asyncio.gather(*(answer(listening, [SYSTEM, heard(seed)]) for seed in range(5)))
    assert [text for text, _ in together] == alone


async def test_a_sound_is_answered_before_it_is_transcribed(
    listening: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are asked for at the same moment, the transcript first; they share one model."""
    transcriber = MiniTranscriber(model)
    await transcriber.start()
    steps: list[str] = []
    for name in ("hear", "prepare", "read"):
        monkeypatch.setattr(network_of(model), name, noted(steps, getattr(network_of(model), name)))
    await asyncio.gather(
        transcriber.transcribe(speech(2, 4), language="en", prompt="", final=True),
        listening.prepare([SYSTEM, heard(4)], language=None),
    )
    assert [step for step in steps if step != "hear"] == ["prepare", "read"]
    await transcriber.aclose()


def noted(steps: list[str], step: Callable[[object], object]) -> Callable[[object], object]:
    @wraps(step)
    def run(items: object) -> object:
        steps.append(step.__name__)
        return step(items)

    return run


@pytest.mark.parametrize("audio", [np.zeros(16_000, np.float32), speech(0.05)], ids=["silence", "short"])
async def test_to_nothing_audible_it_says_nothing(
    listening: MiniResponder, model: MiniModel, monkeypatch: pytest.MonkeyPatch, audio: Samples
) -> None:
    def fail(_: object) -> None:
        raise AssertionError

    for step in ("hear", "read", "prepare"):
        monkeypatch.setattr(network_of(model), step, fail)
    messages = [SYSTEM, Message("user", "", audio=audio)]
    assert await listening.prepare(messages, language=None) is None
    text, finish = await answer(listening, messages)
    assert (text, finish.reason) == ("", "stop")


async def test_words_stand_in_for_a_sound_that_is_not_audible(listening: MiniResponder) -> None:
    silent = Message("user", "Hello there.", audio=np.zeros(16_000, np.float32))
    written = Message("user", "Hello there.")
    assert (await answer(listening, [SYSTEM, silent]))[0] == (await answer(listening, [SYSTEM, written]))[0]


async def test_tools_and_pictures_are_told_in_words_and_none_is_called(reading: MiniResponder) -> None:
    messages = [
        Message("user", "What is this?", pictures=(Picture("data:image/png;base64,"),)),
        Message("assistant", "", calls=(Call("1", "look", "{}"),)),
        Message("tool", "A cat.", call_id="1"),
    ]
    text, finish = await answer(reading, messages, tools=Tools((Tool("look", "Looks.", "{}"),), "required"))
    assert text
    assert finish.usage is not None
    in_words = [
        Message("user", "(a picture that you cannot see) What is this?"),
        Message("user", "(look says: A cat.)"),
    ]
    _, same = await answer(reading, in_words)
    assert same.usage is not None
    assert same.usage.input_tokens == finish.usage.input_tokens


async def test_too_long_instructions_are_said_so(reading: MiniResponder) -> None:
    with pytest.raises(RequestError, match=r"too long for this model: it takes \d+ tokens"):
        await answer(reading, [Message("system", "word " * 4000), Message("user", "Hi")])


async def test_a_reply_to_nothing_is_one(reading: MiniResponder) -> None:
    assert (await answer(reading, []))[0]
    assert (await answer(reading, [SYSTEM]))[0]


async def test_before_its_start_and_after_its_close_it_does_not_run(tiny_mini: Path) -> None:
    responder = MiniResponder(MiniModel(tiny_mini, sequences=1, tokens=1024), False)
    assert responder.name == "mini on cpu"
    with pytest.raises(EngineError, match="The responder is not running; call start"):
        await answer(responder, [*HISTORY])
    await responder.start()
    await responder.aclose()
    await responder.aclose()
    with pytest.raises(EngineError, match="The responder is not running; call start"):
        await answer(responder, [*HISTORY])
