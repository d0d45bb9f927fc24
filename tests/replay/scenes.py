"""Random conversations with random words in them, recorded.

Knows: the stage and the steps of the core's own property tests. Does not know: files.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import strategies as st

from tests.conversation.stage import Stage, sound
from tests.conversation.test_properties import DETECTIONS, STEPS, pick
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.replay.recorder import RecordedSession
from voxtral_voice.replay.recording import Header, Step

WORDS: Final = (
    "secret Secret sécret and AND or so because which the on I i I. A. it is no sat. Dr. Mr. e.g. etc. etc.. (Prof. "
    "“e.g. 1. 12 3.14 1,000 10:30 ½ x² Ⅷ . .) ... ? wait, well; yes! “so” good-bye don't "
    "नमस्ते और लेकिन या कि डॉ. श्री. हैं। है 你好。 秘密 これは ひみつ مرحبا сікрет 🎈 ☺ $5 a+b _"
).split()
"""Those that phrases are cut by, those that almost are, and scripts that they know nothing of."""

_spaces = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", "\t", ""])
_words = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.text(max_size=6), st.just("long" * 70 + "and"))
SAID: Final = (
    "stop.",
    "mhm",
    "no",
    "I would like to",
    "",
    " ",
    "Order a pizza.",
    "order a pizza",
    "secret things, you know",
)
"""By which the core decides: of a sound during a reply, of the end of a turn, of a turn that goes on."""
_run = st.sampled_from("secret and android or order because on one या कि है what".split())
"""Of words without any mark, long enough to be cut in front of one of them."""
texts = st.one_of(
    st.lists(st.tuples(_words, _spaces), max_size=40).map(lambda parts: "".join(itertools.chain(*parts))),
    st.lists(_run, min_size=9, max_size=40).map(" ".join),
    st.sampled_from(SAID),
)


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    """Into deltas."""
    at = sorted({min(place, len(text)) for place in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(at)] or [""]


deltas = st.builds(cut, texts, st.lists(st.integers(0, 200), max_size=20))


def _heard(stage: Stage, n: int, said: str) -> None:
    job = pick(stage.all(ev.Transcribe)[-2:], n)
    if job is not None:
        stage.do(ev.TranscriptHeard(job.attempt, said, "en", job.final))


def _judge(stage: Stage, probability: float) -> None:
    """Whether what was asked about last is over."""
    for judge in stage.all(ev.Judge)[-1:]:
        stage.do(ev.TurnJudged(judge.attempt, probability))
    for prepare in stage.all(ev.Prepare)[-1:]:
        stage.do(ev.WordsJudged(prepare.attempt, probability))


def _misheard(stage: Stage, n: int, said: str) -> None:
    """A long turn; a partial transcript takes back the last word of the one before."""
    words = said.split()
    for length in range(max(1, len(words) - 3), len(words) + 1):
        stage.speak(1056)
        job = stage.all(ev.Transcribe)[-1:]
        heard = [*words[: length - 1], words[length - 1][:: -1 if length % 2 else 1]]
        if job and not job[0].final:
            stage.do(ev.TranscriptHeard(job[0].attempt, " ".join(heard), "en", False))


def _answer(stage: Stage, n: int, said: str) -> None:
    """In deltas of n characters, with speech in between; perhaps not to its end."""
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is None:
        return
    for start in range(0, len(said), 1 + n % 9):
        stage.do(ev.ReplyText(job.reply_id, said[start : start + 1 + n % 9]))
        if start % 5 == 0:
            stage.hear(32, (n % 10) / 10)
    if n % 3:
        stage.do(ev.ReplyTextEnded(job.reply_id))


def _speak(stage: Stage, n: int, said: str) -> None:
    """With word times or without."""
    for job in stage.all(ev.Speak)[-3:]:
        found = [*re.finditer(r"\S+", job.text)] if n % 2 else []
        words = tuple((word.group(), 200.0 * i, 200.0 * i + 150) for i, word in enumerate(found))
        places = tuple(word.start() for word in found)
        stage.do(ev.PhraseAudio(job.reply_id, job.phrase, sound(40 * (n % 40)), words, places=places))
        stage.do(ev.PhraseEnded(job.reply_id, job.phrase))


def _turn(stage: Stage, n: int, said: str) -> None:
    """All of it, answered with what was said."""
    stage.speak(320)
    stage.silence(96)
    _judge(stage, 0.99)
    _heard(stage, 1, said)
    _judge(stage, 0.99)
    stage.silence(32 * (n % 60))
    _answer(stage, 1 + n, said)
    _speak(stage, n, said)
    stage.silence(32 * (n % 60))


def _hesitate(stage: Stage, n: int, said: str) -> None:
    """A turn goes on when its answer has begun, with other words or without."""
    stage.speak(320)
    for words in (said, [said, said.upper(), f"{said} now", "order a pizza"][n % 4]):
        stage.silence(96)
        _judge(stage, 0.3)
        _heard(stage, 1, words)
        if n % 3:
            _judge(stage, 0.8)
        stage.silence(32 * (n % 5))
        stage.speak(96 + 32 * (n % 20))
    stage.silence(96)
    _heard(stage, 1, said)
    stage.silence(32 * (n % 90))


def _contest(stage: Stage, n: int, said: str) -> None:
    """A sound during a reply, and its words; perhaps they are those of the reply."""
    _turn(stage, 20, said or "what is that")
    stage.speak(192 + 32 * (n % 5))
    ours = "".join(delta.delta for delta in stage.all(ev.ReplyTextDelta))
    for asked in stage.all(ev.Transcribe)[-1:]:
        words = ours[-20:] if n % 5 == 0 else said
        stage.do(ev.TranscriptHeard(asked.attempt, words, ["en", "hi", None][n % 3], asked.final))
    stage.speak(32 * (n % 30))
    stage.silence(32 * (n % 40))


def _typed(stage: Stage, n: int, said: str) -> None:
    item_id = f"mine_{n % 7}"
    items: list[ev.Entry] = [
        ev.Item(item_id, "user", "text", said),
        ev.Item(item_id, "user", "text", said, pictures=(ev.Picture(f"data:{said}"),)),
        ev.CallItem(item_id, ev.ToolCall(f"call_{n % 3}", said, said)),
        ev.OutputItem(item_id, ev.ToolOutput(f"call_{n % 3}", said)),
    ]
    stage.do(ev.AddItem(items[n % 4], [None, "root", "mine_1"][n % 3]))


def _called(stage: Stage, n: int, said: str) -> None:
    """Perhaps in the middle of a word; perhaps by a responder that was offered no tool."""
    job = pick(stage.all(ev.Respond)[-2:], n)
    if job is not None:
        stage.do(ev.ReplyCall(job.reply_id, n % 3, f"call_{n % 3}", said or "x", said))


def _settings(stage: Stage, n: int, said: str) -> None:
    detection = DETECTIONS[n % 5]
    prompt = said if n % 2 else ""
    tools = (ev.Tool(said, said, said),) if n % 3 == 0 else ()
    settings = ev.Settings(
        instructions=said, transcription_prompt=prompt, turn_detection=detection, tools=tools,
        tool_choice=ev.NamedTool(said) if n % 6 == 0 else "auto",
    )  # fmt: skip
    stage.do(ev.Configure(settings))


def _ask(stage: Stage, n: int, said: str) -> None:
    request = f'{{"note": "{n}"}}' if n % 2 else None
    chosen: tuple[ev.Shown | ev.ItemReference, ...] = (("user", said), ev.ItemReference("mine_1"))
    stage.do(
        ev.CreateReply(
            ev.ReplyOptions(
                said if n % 3 else None,
                modality="text" if n % 4 == 0 else None,
                aside=n % 5 == 0,
                input=chosen if n % 7 == 0 else None,
                request=request,
            )
        )
    )


WORDY: Final[dict[str, Callable[[Stage, int, str], None]]] = {
    "transcript": _heard,
    "misheard": _misheard,
    "turn": _turn,
    "hesitate": _hesitate,
    "contest": _contest,
    "text": _answer,
    "audio": _speak,
    "item": _typed,
    "call": _called,
    "configure": _settings,
    "ask": _ask,
}
"""In place of the steps of that name."""
COMMON: Final = (
    "speak silence silence transcript misheard turn turn turn hesitate contest contest judge text text audio audio time"
).split()

scripts = st.lists(st.tuples(st.sampled_from([*COMMON, *STEPS]), st.integers(0, 1000), texts), max_size=30)
Script = list[tuple[str, int, str]]


PLAIN: Final = Policy()
POLICIES: Final = (PLAIN, Policy(streams=True, partial_every_ms=160), Policy(listens=True))
"""A turn is heard when it is over, while it is said, or by the responder itself."""


def header(settings: ev.Settings, *, content: bool, policy: Policy = PLAIN) -> Header:
    return Header("sess_1", "2026-11-22T08:44:29Z", "0.1.0", content, policy, settings)


def recorded_stage(
    steps: list[Step], settings: ev.Settings | None = None, *, content: bool = False, policy: Policy = PLAIN
) -> Stage:
    """steps: what happens on it is put there."""
    counter = itertools.count(1)
    stage = Stage()
    stage.session = RecordedSession(
        settings or ev.Settings(), lambda kind: f"{kind}_{next(counter)}", policy, steps.append, content=content
    )
    return stage


def record(
    script: Script, settings: ev.Settings | None = None, *, content: bool = False, policy: Policy = PLAIN
) -> list[Step]:
    """The steps of a session that goes like this."""
    steps: list[Step] = []
    stage = recorded_stage(steps, settings, content=content, policy=policy)
    for name, number, said in script:
        if name in WORDY:
            WORDY[name](stage, number, said)
        else:
            STEPS[name](stage, number)
    return steps
