"""Responder on SmolLM2-135M-Instruct, in this process.

Knows: what makes this small model speak briefly, how much fits its context, when its work may be done ahead. Does not
know: how the model is computed (`llama`), sessions, voices, where the file comes from.

It is a demo brain: fluent, often wrong, English only. Of tools and pictures it is told in words (`prompt.in_words`),
and it calls none. What a conversation has computed is found again for its next turn; nothing of another session's words
is ever in its context.

While the user speaks, `prepare` computes the prompt up to the words so far, and reads off what the model expects behind
them: the end of a sentence, or more words.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.engines.base import NO_TOOLS, Finish, Message, Piece, Tools
from voxtral_voice.engines.llama import Model, Written
from voxtral_voice.engines.prompt import in_words
from voxtral_voice.engines.worker import Cancelled, Worker
from voxtral_voice.errors import EngineError, RequestError

REPLIES: Final = 4
"""Computed at once; more wait."""
CONTEXT_TOKENS: Final = 1024
"""Prompt and reply."""
MAX_REPLY_TOKENS: Final = 80
MEMORIES: Final = 8
"""Conversations that are not computed anew at their next turn. 47 KB a token, so 49 MB each and 385 MB in all at the
most."""

SYSTEM_PROMPT: Final = "You are a friendly voice assistant. Answer in one or two short sentences."
EXAMPLES: Final = (
    Message("user", "What's your name?"),
    Message("assistant", "I don't have a name. I'm a voice assistant on this computer."),
    Message("user", "How many hours are in a day?"),
    Message("assistant", "There are twenty-four hours in a day."),
    Message("user", "Who wrote Oliver Twist?"),
    Message("assistant", "Charles Dickens wrote Oliver Twist."),
    Message("user", "Is it raining?"),
    Message("assistant", "I can't see the weather from here."),
    Message("user", "How do I study better?"),
    Message("assistant", "Take a short break every half hour, and drink some water."),
)
"""Shown to the model after its own system prompt: they shorten its answers more than any instruction does."""

DROPPED_SHARE: Final = 0.75
"""Of the room for history, dropped from its old end at once when it is full: the rest stays the same prefix, computed
once, for the replies that follow."""

ONLY_ENGLISH: Final = "Sorry, I only know English."
ONLY_ENGLISH_HINDI: Final = "माफ़ कीजिए, मुझे अभी केवल अंग्रेज़ी आती है।"
"""Said instead of the nonsense that the model answers to words in another script."""

LIKELIEST: Final = 20
"""Tokens behind the words whose probability is asked for."""
FINAL_MARKS: Final = (".", "?", "!", "…")
"""A token that begins with one of them ends an utterance; so does the empty one, the end of the message."""
OPEN_MARKS: Final = " \n.?!…,;:-–—"
"""Taken off the end of the words: a transcriber puts some there whether or not the user was done."""
KEPT_JUDGEMENTS: Final = 64
"""For words that are asked about again: the final transcript is often the last partial one."""

LOOK_S: Final = 0.05
"""So often who waits for another's work looks whether it is still wanted."""

_Give = Callable[[Piece], bool]
_Stopped = Callable[[], bool]


class SmolLM:
    """path: the GGUF file. threads: of one reply. max_sentences: a reply ends after so many."""

    listens = False

    def __init__(self, path: Path, threads: int = 1, max_sentences: int = 2) -> None:
        self._path = path
        self._threads = threads
        self._max_sentences = max_sentences
        self._worker = Worker("smollm", threads=REPLIES)
        self._model: Model | None = None
        self._closing = Cancelled()
        self._preparer = Worker("smollm-prepare")
        self._preparations: list[_Preparation] = []
        """Those that wait or run, and some that ended."""
        self._judged: dict[tuple[Message, ...], float | None] = {}

    @property
    def name(self) -> str:
        return f"{self._path.stem} on {self._threads} thread{'s' if self._threads > 1 else ''}"

    async def start(self) -> None:
        """Load the model and compute its own prompt once. Raises EngineError."""
        await self._worker.run(self._load)
        async for _ in self.respond([Message("user", "Hello.")], language=None, max_tokens=1):
            pass

    async def aclose(self) -> None:
        self._closing.set()
        self._worker.close()
        self._preparer.close()
        self._model = None

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. Ends after the sentences or tokens allowed, whichever is first; it is a
        "length" only where max_tokens is what ended it. No tool is called.

        The model knows English only, and says so when asked in another script.
        Turns that do not fit the context are dropped from the old end; of a last message that alone does not fit,
        the end is kept.
        """
        messages = in_words(messages)
        if messages and not _is_latin(messages[-1].text):
            yield ONLY_ENGLISH_HINDI if language == "hi" or _is_devanagari(messages[-1].text) else ONLY_ENGLISH
            return
        ahead = self._ahead_of(messages)

        def answer(give: _Give, cancelled: Cancelled) -> None:
            for preparation in ahead:
                preparation.finish(self._until(cancelled))
            self._answer(messages, max_tokens, give, cancelled)

        said = ""
        async with aclosing(self._worker.listen(answer)) as pieces:
            async for piece in pieces:
                said += piece if isinstance(piece, str) else ""
                yield piece
        self._prepare_next([*messages, Message("assistant", said)])

    def _prepare_next(self, messages: Sequence[Message]) -> None:
        """While the reply is spoken, compute the prompt of the next turn up to the user's words.

        Saves 5 tokens of some 17 that would be computed while the user waits, and more when the reply was cut at its
        last sentence: first token after 98-180 ms instead of 133-288 in 20 turns of short questions.
        """
        self._preparer.later(self._preparation([*messages, Message("user", "")], awaited=False).finish)

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        """As `base.Responder.prepare`. None for no words, for words in another script, and when the prompt is too long.

        One at a time. Cancelling it ends it within a step.
        """
        words = _words_so_far(in_words(messages))
        if not words or not words[-1].text or not _is_latin(words[-1].text):
            return None
        if words in self._judged:
            return self._judged[words]
        self._end_unawaited()
        preparation = self._preparation(words, awaited=True)
        try:
            probability = await self._preparer.run(preparation.finish)
        finally:
            preparation.cancelled.set()
        self._judged[words] = probability
        if len(self._judged) > KEPT_JUDGEMENTS:
            del self._judged[next(iter(self._judged))]
        return probability

    def _preparation(self, messages: Sequence[Message], *, awaited: bool) -> _Preparation:
        preparation = _Preparation(tuple(messages), partial(self._judge, messages), awaited=awaited)
        self._preparations = [*(p for p in self._preparations if not p.over), preparation]
        return preparation

    def _end_unawaited(self) -> None:
        for preparation in self._preparations:
            if not preparation.awaited:
                preparation.cancelled.set()

    def _ahead_of(self, messages: Sequence[Message]) -> list[_Preparation]:
        """What an answer has to wait for, so that it finds the memory free that its prompt was prepared in: the step
        that a cancelled preparation is in, and the whole one of the same words, which is a part of its own work."""
        self._end_unawaited()
        words = _words_so_far(messages)
        return [p for p in self._preparations if p.cancelled or p.messages == words]

    # --- on the worker's threads

    def _load(self) -> None:
        if not self._path.is_file():
            raise EngineError("responder", f"There is no model file {self._path}; run: voxtral-voice models pull")
        self._model = Model(self._path, context=CONTEXT_TOKENS, threads=self._threads, memories=MEMORIES)

    def _answer(self, messages: Sequence[Message], max_tokens: int | None, give: _Give, cancelled: Cancelled) -> None:
        """Try with less and less of the history until it fits."""
        limit = min(max_tokens or MAX_REPLY_TOKENS, MAX_REPLY_TOKENS)
        room = CONTEXT_TOKENS - limit
        while room > 0:
            prompt = chat(fit(prompted(messages), room)) + REPLY_BEGINS
            reply = _Reply(self._max_sentences, give)
            written = self._loaded.text(prompt, limit, reply.hear, self._until(cancelled))
            if written is not None:
                give(reply.finish(written, length_counts=limit == max_tokens))
                return
            room -= CONTEXT_TOKENS // 8
        raise RequestError(
            "responder",
            f"The instructions are too long for this model, which takes about {CONTEXT_TOKENS // 2} words;"
            " shorten them.",
        )

    def _judge(self, messages: Sequence[Message], stopped: _Stopped) -> float | None:
        """Compute the prompt up to the end of the last message, which stays open, and look at what may come next."""
        prompt = chat(fit(prompted(messages), CONTEXT_TOKENS - MAX_REPLY_TOKENS)).removesuffix(MESSAGE_ENDS)
        model = self._loaded
        chances = model.next_tokens(prompt, lambda: stopped() or bool(self._closing))
        if chances is None:
            return None
        likeliest = np.argpartition(chances, -LIKELIEST)[-LIKELIEST:]
        return math.fsum(float(chances[token]) for token in likeliest if _is_final(model.word(int(token))))

    @property
    def _loaded(self) -> Model:
        if self._model is None:
            raise EngineError("responder", "The responder was used before its start or after its close.")
        return self._model

    def _until(self, cancelled: Cancelled) -> _Stopped:
        return lambda: bool(cancelled or self._closing)


class _Preparation:
    """Work ahead of a reply, done once, by the thread that comes first: the one for preparations, or the reply's."""

    def __init__(
        self, messages: tuple[Message, ...], work: Callable[[_Stopped], float | None], *, awaited: bool
    ) -> None:
        self.messages = messages
        self.awaited = awaited
        self.cancelled = Cancelled()
        self._work = work
        self._running = threading.Lock()
        self._done = False
        self._result: float | None = None

    @property
    def over(self) -> bool:
        return bool(self._done or self.cancelled) and not self._running.locked()

    def finish(self, stopped: _Stopped = lambda: False) -> float | None:
        """Do it, or wait for who does. When it was cancelled: wait for the step that it is in.

        stopped: who waits here does not any more; what they did of it is left for who comes next.
        """
        while not self._running.acquire(timeout=LOOK_S):
            if stopped():
                return None
        try:
            if not self._done and not self.cancelled:
                result = self._work(lambda: bool(self.cancelled) or stopped())
                if not stopped():
                    self._result, self._done = result, True
            return self._result
        finally:
            self._running.release()


class _Reply:
    """Gives the first sentences."""

    def __init__(self, max_sentences: int, give: _Give) -> None:
        self._sentences = Sentences(max_sentences)
        self._give = give

    def hear(self, text: str) -> bool:
        """True: no more is wanted."""
        spoken = self._sentences.take(text)
        return bool(spoken and not self._give(spoken)) or self._sentences.done

    def finish(self, written: Written, *, length_counts: bool) -> Finish:
        """length_counts: the limit was the client's own."""
        cut_off = written.end == "limit" and length_counts and not self._sentences.done
        return Finish("length" if cut_off else "stop", written.usage)


def _is_final(token: str) -> bool:
    return not token or token.startswith(FINAL_MARKS)


def _words_so_far(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Without the marks at their end; () when the last message is not the user's."""
    if not messages or messages[-1].role != "user":
        return ()
    return (*messages[:-1], Message("user", messages[-1].text.rstrip(OPEN_MARKS)))


# --- what the model is shown ----------------------------------------------------------------------------------

MESSAGE_ENDS: Final = "<|im_end|>\n"
REPLY_BEGINS: Final = "<|im_start|>assistant\n"


def chat(messages: Iterable[Message]) -> str:
    """ChatML, SmolLM2's own template. Marks in a message are no marks."""
    return "".join(f"<|im_start|>{m.role}\n{m.text.replace('<|', '< |')}{MESSAGE_ENDS}" for m in messages)


def prompted(messages: Sequence[Message]) -> list[Message]:
    """With the model's own system prompt and examples in front, unless there are instructions."""
    if messages and messages[0].role == "system":
        return list(messages)
    return [Message("system", SYSTEM_PROMPT), *EXAMPLES, *messages]


def fit(messages: Sequence[Message], room: int) -> list[Message]:
    """The messages that fit `room` tokens by estimate: the head stays, the oldest turns go, the last message stays
    or, if it alone is too long, its end."""
    head = [m for m in messages[:1] if m.role == "system"]
    if messages[len(head) : len(head) + len(EXAMPLES)] == list(EXAMPLES):
        head = [*head, *EXAMPLES]
    room -= sum(_tokens(m) for m in head)
    turns = _newest(messages[len(head) :], room)
    return [*head, *(_shortened(m, room) if len(turns) == 1 else m for m in turns)]


def _newest(turns: Sequence[Message], room: int) -> Sequence[Message]:
    """Cut at a multiple of DROPPED_SHARE of the room, so that the cut stays where it is while the history grows."""
    ends = list(accumulate(_tokens(m) for m in turns))
    if not ends or ends[-1] <= room or room <= 0:
        return turns[-1:] if room <= 0 else turns
    stride = room * DROPPED_SHARE
    cut = math.ceil((ends[-1] - room) / stride) * stride
    first_kept = next(i + 1 for i, end in enumerate(ends) if end >= cut)
    return turns[min(first_kept, len(turns) - 1) :]


def _tokens(message: Message) -> int:
    """An estimate on the safe side: 3 ASCII characters, or one byte of any other, a token; 5 for the role."""
    ascii_count = sum(c.isascii() for c in message.text)
    return 5 + ascii_count // 3 + len(message.text.encode()) - ascii_count


def _shortened(message: Message, room: int) -> Message:
    words = message.text.split()
    while len(words) > 1 and _tokens(message) > room:
        words = words[len(words) // 4 + 1 :]
        message = Message(message.role, " ".join(words))
    return message


def _is_latin(text: str) -> bool:
    """Of its letters most are Latin (or it has none)."""
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c < "\u0250" for c in letters) >= len(letters)


def _is_devanagari(text: str) -> bool:
    return any("\u0900" <= c <= "\u097f" for c in text)


# --- what the model may say -----------------------------------------------------------------------------------

_SENTENCE_END: Final = re.compile(
    r"""(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\bMrs)(?<!\be\.g)(?<!\bi\.e)  # abbreviations
    (?<!\b[A-Z])  # initials, U.S.
    (?<!^\d)(?<!\n\d)(?<!:\ \d)  # the numbers of a list
    [.!?।]+["”’)\]]*\s""",
    re.VERBOSE,
)
_UNSPOKEN: Final = str.maketrans({"*": None, "#": None, "`": None, "\n": " "})


class Sentences:
    """Lets the first sentences of a streamed text through, without the marks of markdown.

    A sentence is over at its stop and the white space behind it, so "3.5" and "Dr. No" are whole.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text = ""
        self.done = False

    def take(self, piece: str) -> str:
        """What of the next piece may be said; after the last sentence `done` is True and nothing may."""
        if self.done:
            return ""
        before = len(self._text)
        self._text += piece
        ends = [m.end() - 1 for m in _SENTENCE_END.finditer(self._text)]
        self.done = len(ends) >= self._limit
        after = ends[self._limit - 1] if self.done else len(self._text)
        return self._text[before:after].translate(_UNSPOKEN)
