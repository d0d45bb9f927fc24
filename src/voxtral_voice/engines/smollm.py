"""Responder on SmolLM2-135M-Instruct, in this process, through llama.cpp (xllamacpp's server object).

Knows: llama.cpp's settings and answers, what makes this small model speak briefly, how much fits its context. Does
not know: sessions, voices, where the file comes from.

It is a demo brain: fluent, often wrong, English only. It knows no tools and no pictures: it never calls one, and is told
in words what they gave (`prompt.in_words`). Every reply is one request to one of SLOTS slots. llama.cpp
gives a request the slot, or the saved state, that shares the longest prefix with it, so a session finds its history
computed already; what differs is computed anew and nothing of another session's words is ever in the context.

While the user speaks, `prepare` computes the prompt up to the words so far, and reads off what the model expects behind
them: the end of a sentence, or more words.

The server object insists on an HTTP listener. It gets a Unix socket in a private folder that is removed as soon as it
listens, so that nothing can connect to it.
"""

from __future__ import annotations

import math
import re
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import xllamacpp

from voxtral_voice.engines.base import NO_TOOLS, Finish, Message, Piece, Tools, Usage
from voxtral_voice.engines.prompt import in_words
from voxtral_voice.engines.worker import Cancelled, Worker
from voxtral_voice.errors import EngineError, RequestError

SLOTS: Final = 4
"""Replies computed at once; more wait. 24 MB each, and as much for the one preparation at a time."""
CONTEXT_TOKENS: Final = 1024
"""Of one slot: prompt and reply."""
MAX_REPLY_TOKENS: Final = 80
STEP_TOKENS: Final = 8
"""Prompt tokens per step, about 7 ms each on one thread: a cancelled reply stops after a step. Larger steps are no
faster on this model."""
SAVED_STATES_MIB: Final = 64
"""Memory for the computed prefixes of sessions that lost their slot; about 24 KB a token."""
SLOT_SIMILARITY: Final = 0.8
"""A slot is taken over for a prompt that shares this much of it; below, the least recently used slot is saved and
given away. Lower, and sessions that share only the system prompt throw each other's history out; higher, and a session
loses its own slot to its own next turn."""

SAMPLING: Final = {"temperature": 0.0, "repeat_penalty": 1.05, "repeat_last_n": 64}
"""Greedy. Without the penalty it repeats whole sentences; at 1.1 it avoids the question's own words ("the largest
exoplanet")."""

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

_Give = Callable[[Piece], bool]
_Hear = Callable[[Mapping[str, Any]], bool]


class SmolLM:
    """path: the GGUF file. threads: of llama.cpp. max_sentences: a reply ends after so many."""

    def __init__(self, path: Path, threads: int = 1, max_sentences: int = 2) -> None:
        self._path = path
        self._threads = threads
        self._max_sentences = max_sentences
        self._worker = Worker("smollm", threads=SLOTS)
        self._server: xllamacpp.Server | None = None
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
        if self._server is not None:
            await self._preparer.run(self._unload)
        self._worker.close()
        self._preparer.close()

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
                preparation.finish()
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
        """What an answer has to wait for, so that it finds the slot free that its prompt was prepared in: the step that
        a cancelled preparation is in, and the whole one of the same words, which is a part of its own work."""
        self._end_unawaited()
        words = _words_so_far(messages)
        return [p for p in self._preparations if p.cancelled or p.messages == words]

    # --- on the worker's threads

    def _load(self) -> None:
        if not self._path.is_file():
            raise EngineError("responder", f"There is no model file {self._path}; run: voxtral-voice models pull")
        with tempfile.TemporaryDirectory(prefix="voxtral-") as folder:
            try:
                self._server = xllamacpp.Server(_parameters(self._path, f"{folder}/llama.sock", self._threads))
            except RuntimeError as error:
                raise EngineError(
                    "responder", f"llama.cpp cannot load {self._path}; run: voxtral-voice models verify"
                ) from error

    def _unload(self) -> None:
        """No preparation runs, as this is on their thread. The server's destructor waits for llama.cpp's threads."""
        self._server = None

    def _answer(self, messages: Sequence[Message], max_tokens: int | None, give: _Give, cancelled: Cancelled) -> None:
        """Try with less and less of the history until it fits."""
        limit = min(max_tokens or MAX_REPLY_TOKENS, MAX_REPLY_TOKENS)
        room = CONTEXT_TOKENS - limit
        while room > 0:
            prompt = chat(fit(prompted(messages), room)) + REPLY_BEGINS
            reply = _Reply(self._max_sentences, give)
            if self._complete(_request(prompt, limit), reply.hear, cancelled):
                give(reply.finish(length_counts=limit == max_tokens))
                return
            room -= CONTEXT_TOKENS // 8
        raise RequestError(
            "responder",
            f"The instructions are too long for this model, which takes about {CONTEXT_TOKENS // 2} words;"
            " shorten them.",
        )

    def _judge(self, messages: Sequence[Message], cancelled: Cancelled) -> float | None:
        """Compute the prompt up to the end of the last message, which stays open, and look at what may come next."""
        prompt = chat(fit(prompted(messages), CONTEXT_TOKENS - MAX_REPLY_TOKENS)).removesuffix(MESSAGE_ENDS)
        likely: list[Mapping[str, Any]] = []

        def hear(chunk: Mapping[str, Any]) -> bool:
            likely.extend(_likely_next(chunk))
            return False

        self._complete({**_request(prompt, 1), "logprobs": LIKELIEST}, hear, cancelled)
        return math.fsum(math.exp(t["logprob"]) for t in likely if _is_final(t["token"])) if likely else None

    def _complete(self, request: dict[str, object], hear: _Hear, cancelled: Cancelled) -> bool:
        """One request. hear: gets the chunks, and stops it by True. False: the prompt does not fit the context."""
        server = self._server
        if server is None:
            raise EngineError("responder", "The responder was used before its start or after its close.")
        failures: list[Mapping[str, Any]] = []

        def between_steps(chunk: Mapping[str, Any]) -> bool:
            """True stops llama.cpp."""
            if "error" in chunk:
                failures.append(chunk["error"])
            return bool(cancelled or self._closing or hear(chunk))

        server.handle_completions(request, between_steps)
        for failure in failures:
            if failure.get("type") == "exceed_context_size_error":
                return False
            raise EngineError("responder", f"llama.cpp refused the request: {failure.get('message')}")
        return True


class _Preparation:
    """Work ahead of a reply, done once, by the thread that comes first: the one for preparations, or the reply's."""

    def __init__(
        self, messages: tuple[Message, ...], work: Callable[[Cancelled], float | None], *, awaited: bool
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

    def finish(self) -> float | None:
        """Do it, or wait for who does. When it was cancelled: wait for the step that it is in."""
        with self._running:
            if not self._done and not self.cancelled:
                self._result = self._work(self.cancelled)
                self._done = True
        return self._result


def _parameters(path: Path, socket_path: str, threads: int) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel = SLOTS + 1
    parameters.n_ctx = (SLOTS + 1) * CONTEXT_TOKENS
    parameters.n_batch = parameters.n_ubatch = STEP_TOKENS
    parameters.cache_ram_mib = SAVED_STATES_MIB
    parameters.slot_prompt_similarity = SLOT_SIMILARITY
    parameters.fit_params = False
    parameters.verbosity = -1
    parameters.hostnames = [socket_path]
    parameters.n_threads_http = 1
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = threads
    return parameters


def _request(prompt: str, limit: int) -> dict[str, object]:
    return {"prompt": prompt, "max_tokens": limit, "stream": True, "return_progress": True, **SAMPLING}


class _Reply:
    """Gives the first sentences, and counts."""

    def __init__(self, max_sentences: int, give: _Give) -> None:
        self._sentences = Sentences(max_sentences)
        self._give = give
        self._read = self._cached = self._written = 0
        self._at_limit = False

    def hear(self, chunk: Mapping[str, Any]) -> bool:
        """True: no more is wanted."""
        if progress := chunk.get("prompt_progress"):
            self._read, self._cached = progress["total"], progress["cache"]
        self._at_limit |= any(choice.get("finish_reason") == "length" for choice in chunk.get("choices", ()))
        text = _text_of(chunk)
        self._written += bool(text)
        spoken = self._sentences.take(text)
        return bool(spoken and not self._give(spoken)) or self._sentences.done

    def finish(self, *, length_counts: bool) -> Finish:
        """length_counts: the limit was the client's own."""
        cut_off = self._at_limit and length_counts and not self._sentences.done
        return Finish("length" if cut_off else "stop", Usage(self._read, self._written, self._cached))


def _text_of(chunk: Mapping[str, Any]) -> str:
    """The new text in a streamed chunk; progress and closing chunks have none."""
    return next((choice["text"] for choice in chunk.get("choices", ())), "")


def _likely_next(chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The likeliest tokens at the chunk's place, with their log-probabilities; none in a progress or closing chunk."""
    found = [choice["logprobs"]["content"][0] for choice in chunk.get("choices", ()) if choice["logprobs"]]
    return [token for place in found for token in place["top_logprobs"]]


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
