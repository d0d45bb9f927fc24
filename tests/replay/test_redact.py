from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.stage import Stage, sound
from tests.conversation.test_properties import DETECTIONS
from tests.replay.scenes import POLICIES, Script, deltas, record, recorded_stage, scripts, texts
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.contest import Kind
from voxtral_voice.conversation.endpoint import odds_of_ending
from voxtral_voice.conversation.phrases import PhraseSplitter, is_hiragana, is_unspaced
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.replay import redact
from voxtral_voice.replay.codec import tagged
from voxtral_voice.replay.recording import Step
from voxtral_voice.replay.redact import Redactor, Turn, Words, mask, masked, masked_word

EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))


# --- characters -------------------------------------------------------------------------------------------------


def test_a_mask_says_what_kind_a_character_is() -> None:
    assert masked("Hello, Wörld! 42 (it's 3.5%)\n") == "Xxxxx, Xxxxx! 00 (xx'x 0.0%)\n"
    assert masked("नमस्ते, १२। 你好 ½ ☺🎈") == "कककुकु, 00। 字字 ½ ☺☺".replace("कककुकु", masked("नमस्ते"))
    assert set(masked("नमस्ते")) == {"क", "ु"}


def test_of_a_letter_digit_or_sign_nothing_is_left_but_its_kind() -> None:
    kept = {character for character in EVERY_CHARACTER if masked(character) == character}
    kinds = set(redact._KINDS)
    for character in kept - kinds:
        assert character.isspace() or character.isascii() or unicodedata.category(character)[0] in "PC", character
        assert not character.isalnum()


def test_what_the_core_asks_of_a_character_has_the_same_answer() -> None:
    for character in EVERY_CHARACTER:
        other = masked(character)
        assert len(other) == 1
        assert masked(other) == other
        for question in (str.isspace, str.isalpha, str.isalnum, str.isdigit, str.isupper, is_unspaced, is_hiragana):
            assert question(other) == question(character), (character, other)
    marks = ".!?…।॥,;:—–\"'”’)](“‘[\n 、，；：､。！？｡．」』）】》〉»*_`~|"
    assert masked(marks) == marks


def test_the_choices_of_a_kind_are_of_that_kind() -> None:
    for kind, choices in redact._KINDS.items():
        assert choices[0] == kind
        assert masked(choices) == kind * len(choices)
        assert len(set(choices)) == len(choices) >= 9


# --- messages ---------------------------------------------------------------------------------------------------


def test_words_and_sound_are_masked_and_nothing_else() -> None:
    audio = ev.PhraseAudio("resp_1", 2, sound(10), (("Secret", 1.0, 2.0),))
    quiet = mask(audio)
    assert (quiet.reply_id, quiet.phrase, quiet.words) == ("resp_1", 2, (("Xxxxxx", 1.0, 2.0),))
    assert quiet.samples.size == 240
    assert not quiet.samples.any()
    respond = ev.Respond("resp_1", (("system", "Be brief."), ("user", "Why 2?")), "hi", 5)
    assert mask(respond) == ev.Respond("resp_1", (("system", "Xx xxxxx."), ("user", "Xxx 0?")), "hi", 5)
    options = ev.ReplyOptions("Be brief.", "af_heart", "text", 3, request='{"who":"Bob"}')
    quiet_options = ev.ReplyOptions("Xx xxxxx.", "af_heart", "text", 3, request='{"xxx":"Xxx"}')
    assert mask(ev.CreateReply(options)).options == quiet_options
    item = ev.Item("item_1", "user", "text", "Hi")
    assert mask(ev.AddItem(item, "item_0")) == ev.AddItem(ev.Item("item_1", "user", "text", "Xx"), "item_0")
    assert mask(ev.AudioCommitted(ev.Item("a", "user", "audio", None), None)).item.text is None
    failed = ev.ReplyFailed("resp_1", "speaker", "It is broken.")
    assert mask(failed) == failed
    prompt = ev.Settings(instructions="Be brief.", transcription_prompt="Kokoro", language="hi")
    assert mask(prompt) == ev.Settings(instructions="Xx xxxxx.", transcription_prompt="Xxxxxx", language="hi")


def test_tools_calls_outputs_and_pictures_are_masked() -> None:
    settings = ev.Settings(tools=(ev.Tool("weather", "Of a city.", "{}"),), tool_choice=ev.NamedTool("weather"))
    quiet = ev.Settings(tools=(ev.Tool("xxxxxxx", "Xx x xxxx.", "{}"),), tool_choice=ev.NamedTool("xxxxxxx"))
    assert mask(settings) == quiet
    assert mask(ev.Settings(tool_choice="required")).tool_choice == "required"
    called = ev.ToolCall("call_1", "weather", '{"city": "Rome"}')
    quiet_call = ev.ToolCall("call_1", "xxxxxxx", '{"xxxx": "Xxxx"}')
    shown: tuple[ev.Shown, ...] = (
        ev.Picture("data:abc", "low"),
        ("user", "Hi"),
        called,
        ev.ToolOutput("call_1", "Hot"),
        ev.Sound("item_1", 0, 512, "Hm?"),
    )
    quiet_shown = (
        ev.Picture("xxxxxxxx", "low"),
        ("user", "Xx"),
        quiet_call,
        ev.ToolOutput("call_1", "Xxx"),
        ev.Sound("item_1", 0, 512, "Xx?"),
    )
    assert mask(ev.Respond("resp_1", shown, None, None)).messages == quiet_shown
    assert mask(ev.AddItem(ev.CallItem("item_1", called), None)).item == ev.CallItem("item_1", quiet_call)
    chosen = ev.ReplyOptions(input=(ev.ItemReference("item_1"), *shown))
    assert mask(chosen).input == (ev.ItemReference("item_1"), *quiet_shown)
    piece = ev.ReplyCall("resp_1", 0, "call_1", "weather", '{"ci')
    assert mask(piece) == ev.ReplyCall("resp_1", 0, "call_1", "xxxxxxx", '{"xx')


def test_a_message_without_words_is_left_as_it_is() -> None:
    for message in (ev.Wake(), ev.TurnJudged(1, 0.5), ev.FramesHeard(0, (0.5,)), ev.StopReply("resp_1")):
        assert mask(message) is message


# --- transcripts ------------------------------------------------------------------------------------------------


def test_transcripts_of_a_turn_part_where_they_parted() -> None:
    turn = Turn()
    heard = ["I thank", "I think so", "I  think, so", " I think so."]
    assert [turn.masked(text) for text in heard] == ["X xxxxx", "X xxyxx xx", "X  xxyxx, xx", " X xxyxx xx."]
    assert Turn().masked("I think so") == "X xxxxx xx"


def agreed(one: str, other: str) -> int:
    pairs = zip(one.split(), other.split(), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@given(st.lists(texts, min_size=2, max_size=5))
def test_what_the_core_compares_compares_the_same(heard: list[str]) -> None:
    heard += [heard[0] + heard[1], heard[0].strip()]
    turn = Turn()
    quiet = [turn.masked(text) for text in heard]
    assert [masked(text) for text in quiet] == [masked(text) for text in heard]
    for (one, quiet_one), (other, quiet_other) in itertools.product(zip(heard, quiet, strict=True), repeat=2):
        assert agreed(quiet_one, quiet_other) == agreed(one, other)
        stable, quiet_stable = " ".join(one.split()), " ".join(quiet_one.split())
        assert quiet_other.strip().startswith(quiet_stable) == other.strip().startswith(stable)


def test_when_there_is_no_other_letter_left_the_last_is_shared() -> None:
    turn = Turn()
    masks = [turn.masked(chr(ord("一") + n)) for n in range(100)]
    assert len(set(masks)) == 65
    assert masks[-1] == masks[-2]


# --- replies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "quiet"),
    [
        ("because", "because"), ("AND", "AND"), ("And", "And"), ("but", "and"), ("secret", "xxxxxx"), ("and.", "xxx."),
        ("Dr.", "Av."), ("e.g.", "a.m."), ("(“Prof.", "(“Apdo."), ("etc..", "xxx.."), ("I", "I"), ("I.", "I."),
        ("“I", "“I"), ("J.", "X."), ("12.", "00."), ("कि", "कि"), ("के", "का"), ("डॉ.", "डॉ."), ("है", "कु"), ("", ""),
        ("is", "do"), ("May", "Are"), ("my", "al"), ("them", "them"), ("us", "me"), ("then", "avec"),
        ("no", "no"), ("no.", "av."), ("sun", "apr"), ("i", "a"), ("it.", "xx."), ("it,", "xx,"),
    ],
)  # fmt: skip
def test_a_word_is_masked_but_what_it_means_to_phrases(word: str, quiet: str) -> None:
    assert masked_word(word) == quiet


def test_no_mask_is_a_word_that_means_something() -> None:
    meaningful = frozenset[str]().union(*redact._LISTS)
    for word in meaningful:
        assert masked(word) not in meaningful
        assert [masked_word(word) in words for words in redact._LISTS] == [word in words for words in redact._LISTS]


def quietly(pieces: list[str]) -> list[str]:
    words = Words()
    masked_pieces = [words.add(piece) for piece in pieces]
    words.end()
    assert all(piece.known for piece in masked_pieces)
    return [piece.masked for piece in masked_pieces]


def phrases(pieces: list[str]) -> list[list[str]]:
    splitter = PhraseSplitter()
    return [[cut.text for cut in cuts] for cuts in (*map(splitter.feed, pieces), splitter.finish())]


@settings(max_examples=500, deadline=None)
@given(deltas)
def test_a_masked_reply_is_cut_where_the_reply_is(pieces: list[str]) -> None:
    expected = [[masked(phrase) for phrase in cut] for cut in phrases(pieces)]
    assert [[masked(phrase) for phrase in cut] for cut in phrases(quietly(pieces))] == expected


def test_a_word_is_known_when_it_has_ended() -> None:
    words = Words()
    first, second = words.add("bec"), words.add("ause ")
    assert (first.masked, first.known, second.masked, second.known) == ("bec", True, "ause ", True)
    third = words.add("bec")
    assert not third.known
    fourth = words.add("k ")
    assert (third.masked, fourth.masked) == ("xxx", "x ")


# --- a session --------------------------------------------------------------------------------------------------


def redacted(steps: list[Step]) -> list[Step]:
    redactor = Redactor()
    return [*itertools.chain(*map(redactor.push, steps)), *redactor.end()]


def as_json(step: Step, commands: Any) -> Any:
    return [tagged(mask(command)) for command in commands], step.wake_at


@settings(max_examples=300, deadline=None)
@given(scripts, st.sampled_from(DETECTIONS), st.sampled_from(POLICIES))
def test_the_commands_of_the_redacted_session_are_the_redacted_commands(
    script: Script, detection: ev.TurnDetection | None, policy: Policy
) -> None:
    chosen = ev.Settings(instructions="Be brief.", turn_detection=detection)
    steps = record(script, chosen, policy=policy)
    quiet = redacted(steps)
    ids = iter([new for step in steps for new in step.ids])
    session = Session(mask(chosen), lambda _: next(ids), policy)
    for real, step in zip(steps, quiet, strict=True):
        assert (step.at, type(step.event)) == (real.at, type(real.event))
        commands = session.receive(step.event, step.at)
        assert as_json(step, commands) == as_json(real, real.commands)
        assert as_json(step, commands) == ([tagged(command) for command in step.commands], session.wake_at())


def facts(steps: list[Step]) -> list[ev.WordFacts | None]:
    return [step.event.facts for step in steps if isinstance(step.event, ev.TranscriptHeard)]


def goes_as_it_went(steps: list[Step]) -> bool:
    ids = iter([new for step in steps for new in step.ids])
    session = Session(ev.Settings(), lambda _: next(ids, "item_new"))
    return all(
        as_json(step, session.receive(step.event, step.at)) == as_json(step, step.commands)
        and session.wake_at() == step.wake_at
        for step in steps
    )


def without_facts(steps: list[Step]) -> list[Step]:
    heard = ev.TranscriptHeard
    return [
        replace(step, event=replace(step.event, facts=None)) if isinstance(step.event, heard) else step
        for step in steps
    ]


def overheard(stage: Stage) -> None:
    """Said into the answer to a question."""
    stage.turn(reply="It is Paris, and has been for a long time.")
    stage.speak(224)
    stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "Stop.", "en", False))


def broken_off(stage: Stage) -> None:
    stage.speak(500)
    stage.silence(96)
    stage.judge(0.99)
    stage.do(ev.TranscriptHeard(stage.last(ev.Transcribe).attempt, "I would like to", "en", True))
    stage.pass_time(1000)


def gone_on(stage: Stage, words: str = "order a salad") -> None:
    """An answer is parked, and then these are the words."""
    stage.speak(500)
    stage.silence(96)
    stage.judge(0.8)
    stage.transcribe("Order a pizza.")
    stage.answer()
    stage.speak(160)
    stage.silence(96)
    stage.transcribe(words)
    stage.silence(3000)


@pytest.mark.parametrize(
    ("scene", "last"),
    [
        (overheard, ev.WordFacts(kind=Kind.STRONG)),
        (broken_off, ev.WordFacts(ending=odds_of_ending("I would like to"))),
        (gone_on, ev.WordFacts(ending=odds_of_ending("order a salad"), parked=False)),
    ],
)
def test_what_words_decide_is_told_beside_their_mask(scene: Callable[[Stage], None], last: ev.WordFacts) -> None:
    steps: list[Step] = []
    scene(recorded_stage(steps))
    quiet = redacted(steps)
    assert facts(quiet)[-1] == last
    assert goes_as_it_went(quiet)
    assert not goes_as_it_went(without_facts(quiet))  # the masks alone would be decided otherwise
    with_content: list[Step] = []
    scene(recorded_stage(with_content, content=True))
    assert set(facts(with_content)) == {None}
    assert goes_as_it_went(with_content)


def test_the_same_words_are_told_to_be_the_same() -> None:
    steps: list[Step] = []
    gone_on(recorded_stage(steps), "order a pizza")
    assert [told.parked for told in facts(redacted(steps)) if told] == [False, True]
    assert goes_as_it_went(redacted(steps))


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain(*map(texts_in, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain(*map(texts_in, value))


@settings(max_examples=100, deadline=None)
@given(scripts)
def test_nothing_of_what_was_said_is_left(script: Script) -> None:
    """No word with a letter in it that a mask does not have, and no sound."""
    script = [(name, number, said.replace("secret", "JQPlum").replace("秘", "密")) for name, number, said in script]
    for step in redacted(record(script)):
        for message in (step.event, *step.commands):
            for text in texts_in(tagged(message)):
                assert "plum" not in text.lower()
                assert "密" not in text
            samples = getattr(message, "samples", np.zeros(0))
            assert not samples.any()


def test_steps_wait_only_for_a_word_that_has_not_ended() -> None:
    redactor = Redactor()
    respond = ev.Respond("resp_1", (), None, None)
    pushed = [
        Step(1.0, ev.Wake(), (respond,)),
        Step(2.0, ev.ReplyText("resp_1", "Hello wor"), ()),
        Step(3.0, ev.AudioReceived(320), ()),
        Step(4.0, ev.ReplyText("resp_1", "ld "), ()),
        Step(5.0, ev.ReplyText("resp_1", "and"), ()),
        Step(6.0, ev.ReplyText("resp_0", "no longer wanted"), ()),
        Step(7.0, ev.Wake(), (ev.StopReply("resp_1"),)),
        Step(8.0, ev.ReplyText("resp_1", "late"), ()),
    ]
    known = [[step.at for step in redactor.push(step)] for step in pushed]
    assert known == [[1.0], [], [], [2.0, 3.0, 4.0], [], [], [5.0, 6.0, 7.0], [8.0]]
    assert list(redactor.end()) == []


def test_what_waits_comes_in_the_end() -> None:
    redactor = Redactor()
    steps = [Step(1.0, ev.Wake(), (ev.Respond("r", (), None, None),)), Step(2.0, ev.ReplyText("r", "Secr"), ())]
    assert [step.at for step in itertools.chain(*map(redactor.push, steps))] == [1.0]
    [last] = redactor.end()
    assert last.event == ev.ReplyText("r", "Xxxx")


def test_a_word_that_a_call_cuts_in_two_is_masked_as_it_is_cut() -> None:
    redactor = Redactor()
    steps = [
        Step(1.0, ev.Wake(), (ev.Respond("r", (), None, None),)),
        Step(2.0, ev.ReplyText("r", "Let me bec"), ()),
        Step(3.0, ev.ReplyCall("r", 0, "call_1", "weather", "{"), ()),
        Step(4.0, ev.ReplyCall("r", 0, "call_1", "weather", "}"), ()),
        Step(5.0, ev.ReplyText("r", "ause "), ()),
        Step(6.0, ev.ReplyCall("other", 0, "call_1", "weather", "}"), ()),
    ]
    quiet = [step.event for step in itertools.chain(*map(redactor.push, steps))]
    said = [event.delta for event in quiet if isinstance(event, ev.ReplyText)]
    assert said == ["Xxx me xxx", "xxxx "]
