"""Speaker on Kokoro-82M: one phrase is one ONNX run on this machine's CPU.

Knows: the model's inputs and outputs, which symbol became which stretch of audio. Does not know: how text becomes
symbols (`phonemes`), what a voice is (`voice_styles`), where files come from, sessions.

Model (kokoro-v1.0-int8.onnx, on a CPU as `kokoro_file` makes it of that): tokens int64 [1, n], style float32 [1, 256],
speed float32 [1] or [n] -> audio float32 [samples] at 24 kHz. Its duration predictor's result is not an output of the
file, so one is added to the graph in memory: `frames` float32 [1, n], 25 ms each, one entry per token; their sum is
the length of the audio.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,
    RuntimeException,
)

from voxtral_voice.audio.faster import faster
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, SpeechChunk, Voice, WordTime
from voxtral_voice.engines.even_speed import SPEED, speeds
from voxtral_voice.engines.kokoro_file import for_this_cpu
from voxtral_voice.engines.phonemes import Phonemizer, Utterance
from voxtral_voice.engines.placement import CPU, index
from voxtral_voice.engines.short_loudness import evened
from voxtral_voice.engines.trim import Trimmed, pause_after_ms, trim
from voxtral_voice.engines.voice_styles import Sound, VoiceStyles, read_file
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES, Styles, StyleSource
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError, RequestError

log = logging.getLogger(__name__)

FRAME_MS: Final = 25.0
"""Of the model's duration predictor."""
WORD_TIMES_LATE_MS: Final = 40.0
"""Durations put a word's onset 15 to 60 ms behind its onset in the audio, Kokoro's and the student's alike."""
MIN_SPEED: Final = 0.25
MAX_SPEED: Final = 4.0
FASTEST: Final = 1.25
"""At which the models speak themselves. No token of theirs is shorter than 25 ms, so that at twice the speed a phrase
was 5 to 25 % too long; what is asked for beyond is done to the sound (`audio/faster.py`)."""
CUDA: Final = "CUDAExecutionProvider"
_FRAMES_OUTPUT: Final = "/encoder/Clip_output_0"
_WARM_UP: Final[Mapping[str, str]] = {"en": "Hello.", "hi": "नमस्ते।"}

ONNX_ERRORS: Final = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
"""What ONNX runtime raises; they have no common base but Exception."""


class Kokoro:
    """A Speaker with every voice of the table, and others.

    model_path: the ONNX file. voices_dir: the folder of `<voice>.bin`. threads: of the model; one phrase at a time.
    device: "cpu", or "cuda:0" and so on where ONNX runtime was built for it. voice: to be loaded at the start, besides
    the default ones. others: voices besides the table's. phonemizer: with the user's lexicon.
    """

    def __init__(
        self,
        model_path: Path,
        voices_dir: Path,
        threads: int = 2,
        device: str = CPU,
        voice: str = DEFAULT_VOICES[0],
        others: StyleSource | None = None,
        phonemizer: Phonemizer | None = None,
    ) -> None:
        self._model_path = model_path
        self._styles = VoiceStyles(voices_dir, others)
        self._first_voices = (*DEFAULT_VOICES, voice)
        self._threads = threads
        self._device = device
        self._worker = Worker("kokoro")
        self._phonemizer = phonemizer or Phonemizer()
        self._session: onnxruntime.InferenceSession | None = None
        self._trials: set[onnxruntime.RunOptions] = set()
        """Runs that give way to a phrase."""

    @property
    def name(self) -> str:
        return f"{self._model_path.stem} on {self._device if self._device != CPU else f'{self._threads} threads'}"

    @property
    def voices(self) -> Mapping[str, Voice]:
        return VOICES

    async def start(self) -> None:
        """Load model and default voices, and speak a word in two languages. Raises EngineError naming a file at
        fault."""
        await self._worker.run(self._load)

    async def aclose(self) -> None:
        self._worker.close()
        self._session = None

    def find(self, name: str) -> Voice:
        return self._styles.find(name)

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """As `base.Speaker.speak`. One chunk per phrase, more only for a phrase too long for one run. A run that is
        not wanted any more stops at its next operator, within milliseconds."""
        self.find(voice)
        check_speed(speed)
        running(self._session)
        self._end_trials()
        stop = onnxruntime.RunOptions()
        try:
            speech = self._worker.stream(lambda: self._chunks(text, voice, speed, language, stop))
            async with aclosing(speech) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            stop.terminate = True

    async def try_styles(self, text: str, styles: Styles) -> Samples:
        """As `voice_clone_fit.StyledSpeaker.try_styles`, in English. A phrase that is to be spoken meanwhile waits for
        it no longer than an operator takes; the run is done again behind it."""
        while True:
            running(self._session)
            stop = onnxruntime.RunOptions()
            self._trials.add(stop)
            try:
                return await self._worker.run(partial(self._trial, text, styles, stop))
            except EngineError:
                if stop in self._trials:  # nobody stopped it
                    raise
            finally:
                self._trials.discard(stop)
                stop.terminate = True

    def _end_trials(self) -> None:
        for stop in self._trials:
            stop.terminate = True
        self._trials.clear()

    # --- on the worker's thread

    def _load(self) -> None:
        self._styles.load(self._first_voices)
        self._session = open_model(
            self._model_path,
            extra_output=_FRAMES_OUTPUT,
            threads=self._threads,
            device=self._device,
            prepare=partial(for_this_cpu, self._model_path, frames=_FRAMES_OUTPUT),
        )
        self._phonemizer.warm(self.find(self._first_voices[-1]).language)
        for language, text in _WARM_UP.items():
            voice = next(voice.id for voice in self.voices.values() if voice.speaks == language)
            for _ in self._chunks(text, voice, 1.0, None, onnxruntime.RunOptions()):
                pass

    def _chunks(
        self, text: str, voice: str, speed: float, language: str | None, stop: onnxruntime.RunOptions
    ) -> Iterator[SpeechChunk]:
        made_ms = 0.0
        utterances = read_phrase(self._phonemizer, text, language_of(self.find(voice), language))
        sounds = [self._styles.sound(voice, len(utterance.symbols)) for utterance in utterances]
        for utterance, sound in zip(utterances, sounds, strict=True):
            audio, frames = self._run(utterance, sound, min(speed, FASTEST), stop)
            audio, token_ms = at_speed(audio, frames * FRAME_MS, speed)
            chunk = chunk_of(utterance, audio, token_ms, text, speed, made_ms, shared=sound.shared)
            made_ms += chunk.samples.size * 1000 / SPEAK_RATE_HZ
            yield chunk

    def _trial(self, text: str, styles: Styles, stop: onnxruntime.RunOptions) -> Samples:
        (utterance,) = read_phrase(self._phonemizer, text, "en-US")
        style = styles[len(utterance.symbols) - 1]
        return self._run_in(utterance, style, 1.0, stop)[0]

    def _run(
        self, utterance: Utterance, sound: Sound, speed: float, stop: onnxruntime.RunOptions
    ) -> tuple[Samples, Samples]:
        """Audio, and the frames of each token."""
        audio, frames = self._run_in(utterance, sound.style, speed, stop)
        return audio * sound.gain, frames

    def _run_in(
        self, utterance: Utterance, style: Styles, speed: float, stop: onnxruntime.RunOptions
    ) -> tuple[Samples, Samples]:
        """style: [1, 256]. As `_run`, as loud as the model makes it."""
        feeds = {
            "tokens": np.array([utterance.ids], np.int64),
            "style": style,
            "speed": speed_of(running(self._session), len(utterance.ids), speed),
        }
        audio, frames = run_model(running(self._session), ["audio", _FRAMES_OUTPUT], feeds, stop)
        return audio, frames[0]


# --- what Kokoro shares with its student ------------------------------------------------------------------------


def check_speed(speed: float) -> None:
    """Raises EngineError for what no Speaker can do."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise EngineError("speaker", f"Speed {speed:g} is out of range: use {MIN_SPEED:g} to {MAX_SPEED:g}.")


def running(session: onnxruntime.InferenceSession | None) -> onnxruntime.InferenceSession:
    """Raises EngineError before start() and after aclose()."""
    if session is None:
        raise EngineError("speaker", "The speaker is not running: await start() before speak().")
    return session


def run_model(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str] | None,
    feeds: Mapping[str, object],
    options: onnxruntime.RunOptions | None = None,
) -> list[Samples]:
    """One run. Raises EngineError when the model fails, or when `options.terminate` was set meanwhile."""
    try:
        results: list[Samples] = session.run(outputs, feeds, options)
    except ONNX_ERRORS as error:
        raise EngineError("speaker", f"The speech model failed: {str(error).splitlines()[0][:200]}.") from error
    return results


def at_speed(audio: Samples, token_ms: Samples, speed: float) -> tuple[Samples, Samples]:
    """What a model spoke at `speed`, or at FASTEST, and the length of each token: now at `speed`."""
    ratio = max(speed / FASTEST, 1.0)
    return faster(audio, ratio, SPEAK_RATE_HZ), token_ms / np.float32(ratio)


def speed_of(session: onnxruntime.InferenceSession, tokens: int, speed: float) -> Samples:
    """What the model's input takes: a value for each token, or, of a file as it was exported, one for all."""
    (size,) = next(value.shape for value in session.get_inputs() if value.name == SPEED)
    return np.array([speed], np.float32) if size == 1 else speeds(tokens, speed)


def language_of(voice: Voice, told: str | None) -> str:
    """In which this voice reads a phrase: its own tag (British English) unless told of another language."""
    return voice.language if told in (None, voice.speaks) else told


def read_phrase(phonemizer: Phonemizer, text: str, language: str) -> tuple[Utterance, ...]:
    """The phrase in the languages of its script; says in the log what cannot be spoken."""
    reading = phonemizer.read(text, language=language)
    if reading.dropped:
        log.warning("characters without a sound left out of a phrase: %d", len(reading.dropped))  # never which
    return reading.utterances


def chunk_of(
    utterance: Utterance,
    audio: Samples,
    token_ms: Samples,
    text: str,
    speed: float,
    before_ms: float = 0.0,
    *,
    shared: bool = True,
) -> SpeechChunk:
    """audio: 24 kHz, untrimmed. token_ms: length of each token. text: the phrase, for the pause behind it. before_ms:
    what was made of the phrase before this piece. shared: by a voice that is everybody's; another's silence is no
    fault of the model. Raises EngineError for silence."""
    spoken = utterance.words[-1].word if utterance.words else text
    trimmed = trim(audio, pause_ms=pause_after_ms(spoken) / speed)
    if trimmed.samples.size == 0:
        raise _silent(shared)
    return SpeechChunk(evened(trimmed.samples), tuple(_word_times(utterance, token_ms, trimmed, before_ms)))


def _silent(shared: bool) -> EngineError:
    if shared:
        return EngineError("speaker", "The model made no sound for a phrase: its file may be damaged.")
    return RequestError("speaker", "The voice made no sound for a phrase: it may be damaged. Choose another voice.")


def _word_times(utterance: Utterance, token_ms: Samples, trimmed: Trimmed, before_ms: float) -> Iterator[WordTime]:
    """Token 0 is the opening pad, so symbol i is token i + 1."""
    starts_ms = np.concatenate(([0.0], np.cumsum(token_ms, dtype=np.float64))) - WORD_TIMES_LATE_MS - trimmed.head_ms
    times_ms = before_ms + np.clip(starts_ms, 0.0, trimmed.samples.size * 1000 / SPEAK_RATE_HZ)
    for span in utterance.words:
        yield WordTime(span.word, float(times_ms[span.first + 1]), float(times_ms[span.end + 1]))


# --- files ------------------------------------------------------------------------------------------


def open_model(
    path: Path,
    *,
    extra_output: str,
    threads: int,
    device: str = CPU,
    prepare: Callable[[bytes], bytes] = bytes,
) -> onnxruntime.InferenceSession:
    """A session whose threads sleep between runs, and that also returns one inner float tensor. prepare: what is made
    of the file for a CPU. Raises EngineError naming the file, or the device that ONNX runtime cannot use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen = providers(device)
    try:
        data = (prepare if device == CPU else on_floats)(read_file(path))
        session = onnxruntime.InferenceSession(with_output(data, extra_output), options, providers=chosen)
    except ONNX_ERRORS as error:
        reason = str(error).splitlines()[0][:200]
        raise EngineError("speaker", f"{path} is not a usable model ({reason}): fetch it again.") from error
    session._model_bytes = None  # ONNX runtime keeps the bytes for a fall-back that we do not use
    return session


def providers(device: str) -> list[str | tuple[str, dict[str, int | str]]]:
    """What ONNX runtime computes with, best first. Raises EngineError.

    On a GPU its default tries every algorithm of each convolution anew for each length of a phrase, which is likely why
    a phrase took over a second on an H100; cuDNN's own choice is asked for instead. That is not measured yet.
    """
    number = index(device)
    if number is None:
        return ["CPUExecutionProvider"]
    if CUDA not in onnxruntime.get_available_providers():
        raise EngineError(
            "speaker",
            f"The speaker cannot run on {device}: this ONNX runtime computes on the CPU only. Leave the speaker out of "
            "--device, or put onnxruntime-gpu in the place of onnxruntime.",
        )
    return [(CUDA, {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]


def on_floats(model: bytes) -> bytes:
    """A GPU has no kernels for the 8-bit operators of the file: with them every other step would go to the CPU. Raises
    what ONNX runtime would."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import load_model_from_string

    from voxtral_voice.engines.dequantised import dequantised

    try:
        floats: bytes = dequantised(load_model_from_string(model)).SerializeToString()
    except (DecodeError, ValueError) as error:
        raise InvalidProtobuf(str(error)) from error
    return floats


def with_output(model: bytes, tensor: str) -> bytes:
    """A serialized ModelProto whose graph has one float output more.

    Protocol buffers merge repeated occurrences of a message field, so a second `graph` (field 7) with nothing but an
    `output` (field 12: name = 1, type = 2 {tensor_type = 1 {elem_type = 1: FLOAT}}), put behind the file, adds to the
    first one.
    """
    value_info = _field(1, tensor.encode()) + _field(2, _field(1, b"\x08\x01"))
    return model + _field(7, _field(12, value_info))


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field; number < 16, payload shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload
