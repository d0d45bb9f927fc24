from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conversation.stage import Stage, sound
from tests.replay.scenes import header
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.contest import Kind
from voxtral_voice.conversation.floor import State
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.replay.compare import Replayed
from voxtral_voice.replay.listing import Listing, shown
from voxtral_voice.replay.recording import Step


def listed(steps: Sequence[Step], states: Sequence[State] = ()) -> list[str]:
    """Without the head. states: before the first step and after each; none = always open."""
    states = states or [State.OPEN] * (len(steps) + 1)
    listing = Listing(header(ev.Settings(), content=False))
    lines: list[str] = []
    for number, step in enumerate(steps):
        lines += listing.add(Replayed(number + 2, step, states[number], states[number + 1], None))
    return [line for line in [*lines, *listing.end()] if line.startswith("   ")]


def test_the_head_says_what_it_is() -> None:
    listing = Listing(header(ev.Settings(language="hi", turn_detection=None), content=True))
    first, policy, settings, *_ = listing.add(Replayed(2, Step(1.0, ev.ClearAudio(), ()), State.OPEN, State.OPEN, None))
    assert first == "sess_1, 2026-11-22T08:44:29Z, voxtral-voice 0.1.0, with what was said"
    assert policy.startswith("  Policy onset_ms=96 ")
    assert (
        settings
        == "  Settings instructions='' voice=af_heart speed=1 modality=audio language=hi transcription_prompt=''"
    )


def test_what_came_what_changed_and_what_was_said() -> None:
    started = ev.SpeechStarted("item_0123456789abcdef0123", 8000)
    steps = [Step(100.0, ev.AudioReceived(320), ()), Step(101.25, ev.FramesHeard(512, (0.25, 0.75)), (started,))]
    assert listed(steps, [State.OPEN, State.OPEN, State.HEARING]) == [
        "       0.000  ... audio up to 0.020 s",
        "       1.250  FramesHeard first_sample=512 (0.032 s) speech 0.25 to 0.75",
        "              open -> hearing",
        "              > SpeechStarted item_01234567 start_sample=8000 (0.500 s)",
    ]


def test_audio_that_only_came_and_went_is_one_line() -> None:
    sent = (ev.ReplyAudioDelta("resp_1", sound(40)), ev.ReplyAudioDelta("resp_1", sound(20)))
    steps = [
        Step(1.0, ev.AudioReceived(320), ()),
        Step(1.1, ev.FramesHeard(0, (0.5,)), ()),
        Step(1.2, ev.Wake(), sent),
        Step(1.3, ev.AudioReceived(640), sent),
        Step(1.4, ev.ClearAudio(), ()),
        Step(1.5, ev.Wake(), ()),
        Step(1.6, ev.Wake(), (ev.AudioCleared(), *sent)),
    ]
    assert listed(steps) == [
        "       0.000  ... audio up to 0.040 s; 1 frames, speech 0.50; 120 ms sent",
        "       0.400  ClearAudio",
        "       0.500  ... woken",
        "       0.600  Wake",
        "              > AudioCleared",
        "              > ReplyAudioDelta 60 ms",
    ]


def test_a_turn_is_told_with_its_stages() -> None:
    timeline = Timeline(10.0, 10.1, 10.25, 10.3, 10.32, 10.36, 10.4, 10.41)
    ended = ev.ReplyEnded("resp_1", "completed", None, "Hi.", 960, None, timeline)
    cut = ev.ReplyEnded("resp_2", "cancelled", "turn_detected", "", 0, None, Timeline(10.0, 10.1))
    by_text = ev.ReplyEnded("resp_3", "failed", None, "", 0, "speaker: broken.", None)
    assert listed([Step(1.0, ev.Wake(), (ended, cut, by_text))])[1:] == [
        "              > ReplyEnded resp_1 status=completed text='Hi.' audio_ms=960",
        "                  silence 100 + transcript 150 + first_token 50 + first_phrase 20 + first_audio 40 + hold 50 "
        "= 410 ms (turn over after 400 ms)",
        "              > ReplyEnded resp_2 status=cancelled reason=turn_detected text='' audio_ms=0",
        "                  silence 100",
        "              > ReplyEnded resp_3 status=failed text='' audio_ms=0 error='speaker: broken.'",
    ]


def test_a_reply_that_reached_no_stage() -> None:
    ended = ev.ReplyEnded("resp_1", "cancelled", None, "", 0, None, Timeline())
    assert listed([Step(1.0, ev.Wake(), (ended,))])[-1] == "                  no stage was reached"


def test_a_fault_of_the_core_is_told() -> None:
    assert listed([Step(1.0, ev.Wake(), (), raised="KeyError")]) == [
        "       0.000  Wake",
        "              ! the core failed: KeyError",
    ]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (ev.PhraseAudio("resp_1", 0, sound(40), (("Hi", 0, 1),)), "PhraseAudio resp_1 phrase=0 40 ms 1 words"),
        (ev.Respond("r", (("system", "Be brief."), ("user", "Why?")), "en", 5),
         "Respond r 2 messages, last of user: 'Why?' language=en max_tokens=5"),
        (ev.Respond("r", (), None, None), "Respond r 0 messages"),
        (ev.AddItem(ev.Item("mine", "user", "text", "x" * 70), "root"),
         f"AddItem [Item mine role=user modality=text text='{'x' * 60}...' status=completed] after=root"),
        (ev.CreateReply(ev.ReplyOptions(modality="text")), "CreateReply [ReplyOptions modality=text]"),
        (ev.FramesHeard(0, ()), "FramesHeard first_sample=0 (0.000 s)"),
        (ev.FramesHeard(0, (0.5, 1.0), (-60.4, -21.0), (0.0, 0.0)),
         "FramesHeard first_sample=0 (0.000 s) speech 0.50 to 1.00 level -60 to -21 dBFS echo 0.00"),
        (ev.TranscriptHeard(3, "xx", "en", False, ev.WordFacts(Kind.DENIAL)),
         "TranscriptHeard attempt=3 text=xx language=en final=False [WordFacts kind=denial parked=False]"),
        (ev.CancelReply(None), "CancelReply"),
    ],
)  # fmt: skip
def test_a_message_on_one_line(message: object, line: str) -> None:
    assert shown(message) == line


def test_every_message_of_a_conversation_can_be_shown() -> None:
    stage = Stage()
    stage.turn()
    assert all(shown(command) for command in stage.log)
