"""Whisper through CTranslate2, on the turn's own length instead of 30 s.

Knows: the window, the prompt, limits against loops and hallucinations, which language to write. Does not know: turns,
attempts, when a partial is worth its cost.

Whisper pads everything to 30 s, and its encoder costs the same whatever was said. CTranslate2 accepts a shorter
spectrogram, and the cost falls with it. Below about 8 s the decoder may repeat itself, or write words for clicks; it
is then unsure, and says so by its own probabilities. So short audio gets a short window first, and a long one when the
answer is not a sure one. Sources: openai/whisper (prompt layout, thresholds on silence), models.generate of
CTranslate2's Whisper.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import ctranslate2
import numpy as np
from tokenizers import Tokenizer

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.log_mel import log_mel
from voxtral_voice.engines.repetition import without_loop
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError, RequestError

T = TypeVar("T")

SURE_WINDOW_S: Final = 8
"""On which `_PERHAPS_SILENCE` and the others were measured. Shorter, and clicks become words."""
QUICK_WINDOW_S: Final = 5
"""Tried first for known English. On 72 clips the words are those of 7 s (8.4 % errors; 8.2 at 8 s), the encoder takes
two thirds of its time, and 7 go on to the long window; at 4 s 15 do, at 3 s 23."""
PARTIAL_WINDOW_S: Final = 4
"""Of partial transcripts. "Yeah", "okay" and "right" are written in 12 of 12 voices as at 8 s, for half the work."""
QUICK_LANGUAGE: Final = "en"
"""In others the errors grow, of 32 clips in seven languages from 42 to 45 %."""
_STATE_SAMPLES: Final = LISTEN_RATE_HZ // 50
"""The encoder makes one state of 20 ms."""
_QUICK_TOKENS_PER_S: Final = 5
_QUICK_SPARE_TOKENS: Final = 6
"""Limit of the quick try: speech took at most 3.6 tokens a second and 4 more. A loop runs up to it."""
_QUICK_SURE: Final = -0.7
"""Least mean log-probability of words that are taken from the quick try. Of 69 clips of speech 2 had less; of words
written for clicks, all (at most -1.07)."""
TAIL_S: Final = 0.75
"""Least silence behind the words. With 0.25 s or less Whisper base starts again from the first sentence."""
LONGEST_PIECE_S: Final = 29
"""Whisper's window is 30 s, tail included."""
SPLIT_SEARCH_S: Final = 10
"""Longer audio is cut at the quietest point in the last 10 s of each piece."""
LANGUAGES: Final = ("en", "hi", "es", "fr", "it", "ja", "pt", "zh")
"""What detection chooses from: the languages that can be answered aloud. English also when nothing was heard."""

_PERHAPS_SILENCE: Final = 0.55
_SURE_SILENCE: Final = 0.77
_SURE_WORDS: Final = -0.5
"""When nobody spoke. Measured on 8 s windows: silence, noise, hum, clicks and coughs have a no-speech
probability >= 0.58; speech, noisy or faint, <= 0.53, but for faint long readings, at most 0.75, whose mean token
log-probability is above -0.5. Whisper's own thresholds, 0.6 and -1, let "Thank you." through."""
_DOUBTFUL: Final = -1.0
_SHORT_TOKENS: Final = 4
"""More tokens than that with a lower mean log-probability are nothing in a partial transcript: the phrases written for
clicks have at most -1.07. A short sound has less too: "okay" and "yeah" -0.4 to -2.1."""
_QUIETEST_PEAK: Final = 2.0**-15
"""One step of 16-bit audio: below it there is nothing to hear."""

_TOKENS_PER_S: Final = {"hi": 25, "ja": 15, "zh": 15}
"""Fastest speech per language; Devanagari takes several tokens per letter."""
_TOKENS_PER_S_ELSE: Final = 10
_SPARE_TOKENS: Final = 10
_MOST_TOKENS: Final = 220
"""Whisper's decoder holds 448 positions, half of them for the prompt."""
_MOST_PROMPT_TOKENS: Final = 220

_DEVANAGARI_PROMPT: Final = " नमस्ते, मैं ठीक हूँ। आप कैसे हैं? क्या हुआ, मुझे बताइए।"
"""Everyday words for Hindi. Without it Whisper base writes Hindi in Urdu or Latin letters, or in English."""
_REPETITION_PENALTY: Final = 1.1
"""In Hindi always (loops and errors fall by a third); elsewhere for the second try after a loop."""


class Whisper:
    """model_dir: `model.bin`, `config.json`, `tokenizer.json`, `vocabulary.txt` of a multilingual model.

    threads: of one call into the model. workers: calls at once. languages: what detection chooses from, the first
    one when nothing was heard.

    Finals come before partials: a partial begins a step (encoder, decoder) only while no final waits or runs, and one
    worker is kept from them when there are two. So a partial holds up a final by at most the one step it is in, and
    with two workers not at all.
    """

    streams = False

    def __init__(
        self, model_dir: Path, *, threads: int = 1, workers: int = 2, languages: Sequence[str] = LANGUAGES
    ) -> None:
        self._dir = model_dir
        self._threads = threads
        self._workers = workers
        self._languages = tuple(languages)
        self._model: _Model | None = None
        self._worker = Worker("whisper", workers)
        self._order = _FinalsFirst(workers)

    @property
    def name(self) -> str:
        return f"{self._dir.name} int8"

    async def start(self) -> None:
        self._model = await self._worker.run(self._load)
        warm_up = np.random.default_rng(0).normal(0, 0.01, LISTEN_RATE_HZ).astype(np.float32)
        await self.transcribe(warm_up, language=None, prompt="", final=True)

    async def aclose(self) -> None:
        self._model = None
        self._worker.close()

    def stream(self, *, language: str | None, prompt: str) -> None:
        """It hears a turn as a whole."""

    async def transcribe(self, audio: Samples, *, language: str | None, prompt: str, final: bool) -> Transcript:
        model = self._checked(audio, language)
        texts: list[str] = []
        async with self._order.turn(final=final) as may_step:
            for window in windows(audio):
                heard = None
                for attempt in _attempts(len(window) / LISTEN_RATE_HZ, language, final=final):
                    await may_step()
                    encoded = await self._step(partial(model.encode, window, attempt.window_s))
                    await may_step()
                    heard = await self._step(partial(model.decode, encoded, attempt, language, prompt))
                    if heard is not None:
                        break
                if heard is not None and heard.text:
                    texts.append(heard.text)
                    language = heard.language
        return Transcript(" ".join(texts), language or self._languages[0])

    def _checked(self, audio: Samples, language: str | None) -> _Model:
        model = self._model
        if model is None:
            raise EngineError("transcriber", "The transcriber is not running; call start() first.")
        if audio.ndim != 1:
            raise EngineError("transcriber", f"The transcriber takes mono samples, not shape {list(audio.shape)}.")
        if language is not None and language not in model.languages:
            raise RequestError("transcriber", f"Whisper does not know the language {language!r}; use ISO 639-1.")
        return model

    async def _step(self, step: Callable[[], T]) -> T:
        try:
            return await self._worker.run(step)
        except (RuntimeError, ValueError) as error:  # all that CTranslate2 raises
            raise EngineError("transcriber", f"Whisper failed: {error}") from error

    def _load(self) -> _Model:
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
            if not (self._dir / name).is_file():
                raise EngineError("transcriber", f"{self._dir / name} is missing; fetch the model again.")
        try:
            return _Model(self._dir, threads=self._threads, workers=self._workers, detectable=self._languages)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                "transcriber", f"{self._dir} cannot be loaded as a Whisper model ({error}); fetch it again."
            ) from error


# --- the audio ----------------------------------------------------------------------------------------------------


def windows(audio: Samples) -> Iterator[Samples]:
    """Pieces of at most 29 s, cut where it is quietest; pieces with nothing to hear are left out."""
    longest = LONGEST_PIECE_S * LISTEN_RATE_HZ
    while len(audio) > longest:
        cut = longest - SPLIT_SEARCH_S * LISTEN_RATE_HZ
        cut += _quietest(audio[cut:longest])
        yield from _audible(audio[:cut])
        audio = audio[cut:]
    yield from _audible(audio)


def _audible(audio: Samples) -> Iterator[Samples]:
    if len(audio) and np.abs(audio).max() >= _QUIETEST_PEAK:
        yield audio


def _quietest(audio: Samples) -> int:
    """Middle of the 100 ms with the least energy."""
    block = LISTEN_RATE_HZ // 10
    energy = np.square(audio[: len(audio) // block * block]).reshape(-1, block).sum(axis=1)
    return int(energy.argmin()) * block + block // 2


@dataclass(frozen=True, slots=True)
class _Attempt:
    audio_s: float
    window_s: float
    """Padding included."""
    if_sure: bool = False
    """Nothing is taken of it that is not sure English: another attempt follows."""
    may_err: bool = False
    """For a partial transcript: what is too doubtful for words is left out, and loops are cut."""


def _attempts(audio_s: float, language: str | None, *, final: bool) -> Iterator[_Attempt]:
    """The quick window costs a speaker of other languages too much to be tried when theirs is known."""
    least_s = audio_s + TAIL_S
    if not final:
        yield _Attempt(audio_s, max(PARTIAL_WINDOW_S, least_s), may_err=True)
        return
    if language in (None, QUICK_LANGUAGE) and least_s < SURE_WINDOW_S:
        yield _Attempt(audio_s, max(QUICK_WINDOW_S, least_s), if_sure=True)
    yield _Attempt(audio_s, max(SURE_WINDOW_S, least_s))


# --- the model, on the worker's threads ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Decoded:
    tokens: list[int]
    looped: bool
    """tokens are those before the loop."""
    hit_limit: bool
    log_probability: float
    """Mean of all tokens."""
    silence_probability: float

    @property
    def silent(self) -> bool:
        unsure = self.looped or self.log_probability < _SURE_WORDS
        return self.silence_probability > (_PERHAPS_SILENCE if unsure else _SURE_SILENCE)

    @property
    def doubtful(self) -> bool:
        """Of a partial transcript."""
        return self.silent or (self.log_probability < _DOUBTFUL and len(self.tokens) > _SHORT_TOKENS)

    @property
    def sure(self) -> bool:
        """Of words heard on the quick window."""
        return not (self.looped or self.hit_limit or self.silent) and self.log_probability >= _QUICK_SURE


class _Model:
    """The blocking part. Safe from as many threads as it has workers."""

    def __init__(self, folder: Path, *, threads: int, workers: int, detectable: Sequence[str]) -> None:
        self._whisper = ctranslate2.models.Whisper(
            str(folder), compute_type="int8", intra_threads=threads, inter_threads=workers
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        marks = {text[2:-2]: token for text, token in self._tokenizer.get_vocab().items() if text[:2] == "<|"}
        self.languages: Mapping[str, int] = {name: token for name, token in marks.items() if len(name) in (2, 3)}
        self._detectable = detectable
        self._prompt_start: int = marks["startofprev"]
        self._start: int = marks["startoftranscript"]
        self._task: list[int] = [marks["transcribe"], marks["notimestamps"]]
        self._not_devanagari = self._tokens_of_other_scripts(marks["endoftext"])

    def _tokens_of_other_scripts(self, end: int) -> list[int]:
        """Letters and digits outside Devanagari. Digits too: Whisper base loops on them in Hindi."""
        texts = self._tokenizer.decode_batch([[token] for token in range(end)])
        return [token for token, text in enumerate(texts) if any(map(_foreign_to_hindi, text))]

    def encode(self, audio: Samples, window_s: float) -> ctranslate2.StorageView:
        """audio: at most 29 s. Returns the encoder's states [1, frames / 2, width]."""
        window = np.zeros(math.ceil(window_s * LISTEN_RATE_HZ / _STATE_SAMPLES) * _STATE_SAMPLES, np.float32)
        window[: len(audio)] = audio
        return self._whisper.encode(ctranslate2.StorageView.from_array(log_mel(window)[None]))

    def decode(
        self, encoded: ctranslate2.StorageView, attempt: _Attempt, language: str | None, prompt: str
    ) -> Transcript | None:
        """language: None = detect. An empty text: nobody spoke. None: not sure, where it has to be."""
        language = language or self._detect(encoded)
        if attempt.if_sure and language != QUICK_LANGUAGE:
            return None
        penalty = _REPETITION_PENALTY if language == "hi" else 1.0
        limit = _token_limit(attempt, language)
        decoded = self._generate(encoded, limit, language, prompt, penalty)
        if attempt.if_sure and not decoded.sure:
            return None
        if attempt.may_err:
            return Transcript("" if decoded.doubtful else self._text(decoded.tokens), language)
        if decoded.looped and not decoded.silent:
            decoded = self._generate(encoded, limit, language, prompt, penalty * _REPETITION_PENALTY)
        return Transcript("" if decoded.silent else self._text(decoded.tokens), language)

    def _detect(self, encoded: ctranslate2.StorageView) -> str:
        """The likeliest of the detectable languages. Spoken Urdu and Hindi are one to the ear: both count as Hindi."""
        (ranking,) = self._whisper.detect_language(encoded)
        likely = {mark[2:-2]: probability for mark, probability in ranking}
        likely["hi"] += likely["ur"]
        return max(self._detectable, key=lambda language: likely[language])

    def _generate(
        self, encoded: ctranslate2.StorageView, limit: int, language: str, prompt: str, penalty: float
    ) -> _Decoded:
        start = [self._start, self.languages[language], *self._task]
        ours = self._before(language, "")
        before = self._before(language, prompt) if prompt else ours
        suppressed = [-1, *self._not_devanagari] if language == "hi" else [-1]
        result = self._write(encoded, before + start, limit, repetition_penalty=penalty, suppress_tokens=suppressed)
        # Words to expect make noise look like those words: ask once more without them whether anybody spoke.
        silence = self._write(encoded, ours + start, 1) if prompt else result
        written = result.sequences_ids[0]
        hit_limit = len(written) >= limit
        kept = without_loop(written, hit_limit=hit_limit)
        return _Decoded(kept, len(kept) < len(written), hit_limit, result.scores[0], silence.no_speech_prob)

    def _write(
        self, encoded: ctranslate2.StorageView, start: list[int], limit: int, **options: float | list[int]
    ) -> ctranslate2.models.WhisperGenerationResult:
        """At most `limit` tokens after `start`."""
        (result,) = self._whisper.generate(
            encoded,
            [start],
            beam_size=1,
            max_length=max(2 * limit, limit + len(start)),  # CTranslate2 writes at most half of it, and less the start
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        return result

    def _before(self, language: str, prompt: str) -> list[int]:
        """What Whisper takes for the words before: it goes on in their script and spelling."""
        text = f"{_DEVANAGARI_PROMPT if language == 'hi' else ''} {prompt}".rstrip()
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids[-_MOST_PROMPT_TOKENS:]
        return [self._prompt_start, *ids] if ids else []

    def _text(self, tokens: list[int]) -> str:
        """Without the half letter that the length limit may leave; "" when there is no letter or digit in it."""
        text: str = self._tokenizer.decode(tokens).replace("\ufffd", "").strip()
        return text if any(map(str.isalnum, text)) else ""


def _token_limit(attempt: _Attempt, language: str) -> int:
    per_s, spare = _TOKENS_PER_S.get(language, _TOKENS_PER_S_ELSE), _SPARE_TOKENS
    if language == QUICK_LANGUAGE and (attempt.if_sure or attempt.may_err):
        per_s, spare = _QUICK_TOKENS_PER_S, _QUICK_SPARE_TOKENS
    return min(_MOST_TOKENS, spare + int(per_s * attempt.audio_s))


def _foreign_to_hindi(letter: str) -> bool:
    return letter.isalnum() and not "\u0900" <= letter <= "\u097f"


# --- order --------------------------------------------------------------------------------------------------------


class _FinalsFirst:
    """Who may use the workers. A turn holds its place from its first step to its last, so that finals end in the
    order in which they came."""

    def __init__(self, workers: int) -> None:
        self._final_places = asyncio.Semaphore(workers)
        self._partial_places = asyncio.Semaphore(max(1, workers - 1))
        self._finals = 0
        self._no_finals = asyncio.Event()
        self._no_finals.set()

    @asynccontextmanager
    async def turn(self, *, final: bool) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Yields what to await before each step."""
        async with self._final() if final else self._partial_places:
            yield _at_once if final else self._after_finals

    @asynccontextmanager
    async def _final(self) -> AsyncIterator[None]:
        self._finals += 1
        self._no_finals.clear()
        try:
            async with self._final_places:
                yield
        finally:
            self._finals -= 1
            if not self._finals:
                self._no_finals.set()

    async def _after_finals(self) -> None:
        while self._finals:
            await self._no_finals.wait()


async def _at_once() -> None:
    """A final waits for nobody but a worker."""
