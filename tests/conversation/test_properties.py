"""Random conversations: what must hold whatever happens, in whatever order, at whatever time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.stage import Stage, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import State

DETECTIONS = [
    ev.TurnDetection(),
    ev.TurnDetection(kind="server_vad", silence_duration_ms=200),
    ev.TurnDetection(create_response=False),
    ev.TurnDetection(interrupt_response=False),
    None,
]
WEATHER = ev.Tool("weather", "", "{}")
WORDS = ["", "hello", "what is the capital of France", "stop."]
ANSWERS = [
    "Hi.",
    "It is Paris. A city in France, as you know.",
    "...",
    "One two three four five six seven eight nine ten.",
]


def pick(items: list[Any], number: int) -> Any:
    return items[number % len(items)] if items else None


def _transcript(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Transcribe)[-2:], n)
    if job is not None:
        stage.do(ev.TranscriptHeard(job.attempt, WORDS[n % 4], "en", job.final))


def _transcript_failed(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Transcribe)[-2:], n)
    if job is not None:
        stage.do(ev.TranscriptFailed(job.attempt, "transcriber: broken"))


def _judge(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Judge)[-2:], n)
    if job is not None:
        stage.do(ev.TurnJudged(job.attempt, (n % 11) / 10))


def _text(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is not None:
        stage.do(ev.ReplyText(job.reply_id, ANSWERS[n % 4]))


def _text_ended(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is not None:
        stage.do(ev.ReplyTextEnded(job.reply_id))


def _audio(stage: Stage, n: int) -> None:
    for job in stage.all(ev.Speak)[-3:]:
        stage.do(ev.PhraseAudio(job.reply_id, job.phrase, sound(40 * (n % 30))))
        stage.do(ev.PhraseEnded(job.reply_id, job.phrase))


def _reply_failed(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is not None:
        stage.do(ev.ReplyFailed(job.reply_id, "speaker", "broken"))


def _cancel(stage: Stage, n: int) -> None:
    started = pick(stage.all(ev.ReplyStarted)[-2:], n)
    stage.do(ev.CancelReply(started.reply_id if started is not None and n % 3 else None))


def _item_of(stage: Stage, started: ev.ReplyStarted | None) -> str:
    """Of the message of a reply."""
    begun = [c.item_id for c in stage.all(ev.ReplyMessageStarted) if started and c.reply_id == started.reply_id]
    return (started.item_id if started else None) or next(iter(begun), "nobody")


def _truncate(stage: Stage, n: int) -> None:
    started = pick(stage.all(ev.ReplyStarted)[-3:], n)
    stage.do(ev.TruncateItem(_item_of(stage, started), 37 * (n % 50)))


def _item(stage: Stage, n: int) -> None:
    stage.do(ev.AddItem(ev.Item(f"mine_{n % 7}", "user", "text", WORDS[n % 4]), [None, "root", "mine_1"][n % 3]))


def _delete(stage: Stage, n: int) -> None:
    started = pick(stage.all(ev.ReplyStarted)[-2:], n)
    stage.do(ev.DeleteItem(_item_of(stage, started) if n % 2 else f"mine_{n % 7}"))


def _options(n: int) -> ev.ReplyOptions:
    tools = (WEATHER,) if n % 3 == 0 else None
    return ev.ReplyOptions(modality="text" if n % 5 == 0 else None, tools=tools, aside=n % 4 == 0)


def _called(stage: Stage, n: int) -> None:
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is not None and job.tools:
        stage.do(ev.ReplyCall(job.reply_id, n % 3, f"call_{n % 3}", "weather", "{}"[: n % 4]))


def _output(stage: Stage, n: int) -> None:
    stage.do(ev.AddItem(ev.OutputItem(f"out_{n}", ev.ToolOutput(f"call_{n % 3}", "sunny")), None))


STEPS: dict[str, Callable[[Stage, int], object]] = {
    "speak": lambda stage, n: stage.speak(32 + 32 * (n % 25)),
    "silence": lambda stage, n: stage.silence(32 + 32 * (n % 25)),
    "time": lambda stage, n: stage.pass_time(17 * (n % 60)),
    "transcript": _transcript,
    "transcript failed": _transcript_failed,
    "judge": _judge,
    "text": _text,
    "text ended": _text_ended,
    "call": _called,
    "output": _output,
    "audio": _audio,
    "reply failed": _reply_failed,
    "cancel": _cancel,
    "truncate": _truncate,
    "item": _item,
    "delete": _delete,
    "commit": lambda stage, _: stage.do(ev.CommitAudio()),
    "clear": lambda stage, _: stage.do(ev.ClearAudio()),
    "ask": lambda stage, n: stage.do(ev.CreateReply(_options(n))),
    "configure": lambda stage, n: stage.do(ev.Configure(ev.Settings(turn_detection=DETECTIONS[n % 5]))),
}
COMMON = ["speak", "silence", "silence", "transcript", "judge", "text", "text ended", "audio", "audio", "time"]

scripts = st.lists(
    st.tuples(st.sampled_from([*COMMON, *STEPS]), st.integers(0, 1000)),
    max_size=60,
)


SAID = ev.ReplyTextDelta, ev.ReplyAudioDelta, ev.ReplyMessageStarted, ev.ReplyCallStarted, ev.ReplyCallEnded


def check_floor(stage: Stage) -> None:
    session = stage.session
    wake_at = session.wake_at()
    if session.state is State.OPEN:
        assert wake_at == session._asides.wake_at(), "there is no idle timeout here"
    if session.state is State.SETTLING:
        assert wake_at is not None, "a turn that nobody will end"


def check_replies(log: list[ev.Command]) -> None:
    """One live reply at a time, exactly one end each, nothing of a reply outside of its life."""
    live: set[str] = set()
    begun: set[str] = set()
    asides: set[str] = set()
    for command in log:
        if isinstance(command, ev.ReplyStarted):
            assert command.aside or not live - asides
            assert command.reply_id not in begun
            begun.add(command.reply_id)
            live.add(command.reply_id)
            asides |= {command.reply_id} if command.aside else set()
        elif isinstance(command, SAID):
            assert command.reply_id in live
        elif isinstance(command, ev.ReplyEnded):
            live.remove(command.reply_id)


def check_sums(log: list[ev.Command]) -> None:
    for end in (c for c in log if isinstance(c, ev.ReplyEnded)):
        texts = [c.delta for c in log if isinstance(c, ev.ReplyTextDelta) and c.reply_id == end.reply_id]
        audio = [c.samples.size for c in log if isinstance(c, ev.ReplyAudioDelta) and c.reply_id == end.reply_id]
        assert "".join(texts) == end.text
        assert round(sum(audio) / 24) == end.audio_ms


def check_stopped(log: list[ev.Command]) -> None:
    """No engine is asked to work for a reply after it was told to stop it, nor for an abandoned attempt."""
    stopped: set[str | int] = set()
    for command in log:
        if isinstance(command, ev.StopReply):
            stopped.add(command.reply_id)
        elif isinstance(command, ev.Abandon):
            stopped.add(command.attempt)
        elif isinstance(command, ev.Respond | ev.Speak):
            assert command.reply_id not in stopped
        elif isinstance(command, ev.Judge | ev.Transcribe):
            assert command.attempt not in stopped


def check_turns(log: list[ev.Command]) -> None:
    """Speech starts and stops alternate for each turn, positions grow, each id is committed once."""
    open_item: str | None = None
    committed: set[str] = set()
    last_sample = -1
    for command in log:
        if isinstance(command, ev.SpeechStarted):
            assert open_item is None
            open_item = command.item_id
            assert command.start_sample >= last_sample
        elif isinstance(command, ev.SpeechStopped):
            assert command.item_id == open_item
            assert command.end_sample > last_sample
            last_sample, open_item = command.end_sample, None
        elif isinstance(command, ev.AudioCommitted):
            assert command.item.id not in committed
            committed.add(command.item.id)
    for done in (c for c in log if isinstance(c, ev.TranscriptDone | ev.TranscriptLost)):
        assert done.item_id in committed


def check_transcripts_append_only(log: list[ev.Command]) -> None:
    for done in (c for c in log if isinstance(c, ev.TranscriptDone)):
        deltas = "".join(c.delta for c in log if isinstance(c, ev.TranscriptDelta) and c.item_id == done.item_id)
        if done.text.startswith(deltas):
            assert deltas == done.text


@settings(max_examples=400, deadline=None)
@given(scripts, st.sampled_from(DETECTIONS))
def test_invariants_hold_in_every_conversation(
    script: list[tuple[str, int]], detection: ev.TurnDetection | None
) -> None:
    stage = Stage(ev.Settings(turn_detection=detection))
    for step, number in script:
        STEPS[step](stage, number)
        check_floor(stage)
    check_replies(stage.log)
    check_sums(stage.log)
    check_stopped(stage.log)
    check_turns(stage.log)
    check_transcripts_append_only(stage.log)


@settings(max_examples=200, deadline=None)
@given(scripts, st.sampled_from(DETECTIONS))
def test_every_conversation_can_go_on(script: list[tuple[str, int]], detection: ev.TurnDetection | None) -> None:
    """Whatever happened, when the engines come back and the user falls silent the floor opens, and a turn is
    answered."""
    stage = Stage(ev.Settings(turn_detection=detection))
    for step, number in script:
        STEPS[step](stage, number)
    stage.do(ev.Configure(ev.Settings()))
    for _ in range(2):
        for job in stage.all(ev.Transcribe):
            stage.do(ev.TranscriptHeard(job.attempt, "words", "en", job.final))
        for respond in stage.all(ev.Respond):
            stage.do(ev.ReplyTextEnded(respond.reply_id))
        for speak in stage.all(ev.Speak):
            stage.do(ev.PhraseEnded(speak.reply_id, speak.phrase))
        stage.silence(60_000)
    assert stage.session.state is State.OPEN
    assert len(stage.all(ev.ReplyStarted)) == len(stage.all(ev.ReplyEnded))
    assert {c.reply_id for c in stage.all(ev.Respond)} <= {c.reply_id for c in stage.all(ev.StopReply)}
    stage.turn()


@settings(max_examples=50, deadline=None)
@given(scripts)
def test_the_same_events_give_the_same_commands(script: list[tuple[str, int]]) -> None:
    runs = []
    for _ in range(2):
        stage = Stage()
        for step, number in script:
            STEPS[step](stage, number)
        runs.append([repr(command) for command in stage.log])
    assert runs[0] == runs[1]
