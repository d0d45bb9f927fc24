"""Engines are built, started, named and closed together."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from voxtral_voice.engines import whisper
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.fakes import FakeResponder, FakeSpeaker, FakeTranscriber
from voxtral_voice.engines.fallback import Fallback
from voxtral_voice.engines.intents import Intents
from voxtral_voice.engines.placement import Listen
from voxtral_voice.engines.registry import EmbeddedOptions, embedded, fake, fake_with, gpu, heard, with_fallback
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.engines.voxtral_parts import VoxtralOptions
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.errors import DownError, EngineError


class Watched(FakeTranscriber):
    """Says when it was started and closed; may fail at either."""

    def __init__(self, start: Exception | None = None, aclose: Exception | None = None) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.begun = asyncio.Event()
        self._start = start
        self._aclose = aclose

    async def start(self) -> None:
        self.seen.append("start")
        self.begun.set()
        if self._start:
            raise self._start

    async def aclose(self) -> None:
        self.seen.append("close")
        if self._aclose:
            raise self._aclose


class Slow(FakeResponder):
    """Starts only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start = asyncio.Event()
        self.closed = False

    async def start(self) -> None:
        await self.may_start.wait()

    async def aclose(self) -> None:
        self.closed = True


class BrokenSpeaker(FakeSpeaker):
    async def start(self) -> None:
        raise EngineError("speaker", "There is no voice.")


def test_the_fake_profile_names_what_runs_in_each_seam() -> None:
    assert fake().names() == {
        "voice_activity": "fake voice activity",
        "turn_judge": "fake turn judge",
        "transcriber": "fake transcriber",
        "responder": "fake responder",
        "speaker": "fake speaker",
    }


def test_the_fake_profile_needs_no_native_library() -> None:
    native = "{'onnx', 'ctranslate2', 'onnxruntime', 'hibari', 'tokenizers'}"
    code = f"import sys, voxtral_voice.engines.registry as r; r.fake(); sys.exit(bool({native} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_engines_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        fake().speaker = FakeSpeaker()  # type: ignore[misc]


async def test_all_are_started_and_closed_and_may_be_closed_twice() -> None:
    watched = Watched()
    engines = fake(transcriber=watched)
    await engines.start()
    await engines.aclose()
    await engines.aclose()
    assert watched.seen == ["start", "close", "close"]


async def test_engines_start_side_by_side() -> None:
    watched, slow = Watched(), Slow()
    starting = asyncio.create_task(fake(transcriber=watched, responder=slow).start())
    await watched.begun.wait()
    assert not starting.done()
    slow.may_start.set()
    await starting


async def test_a_failed_start_closes_what_was_started_and_raises_the_engines_error() -> None:
    watched = Watched()
    with pytest.raises(EngineError, match="There is no voice") as caught:
        await fake(transcriber=watched, speaker=BrokenSpeaker()).start()
    assert caught.value.engine == "speaker"
    assert watched.seen == ["start", "close"]


async def test_a_cancelled_start_closes_all() -> None:
    watched, slow = Watched(), Slow()
    starting = asyncio.create_task(fake(transcriber=watched, responder=slow).start())
    await watched.begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert slow.closed
    assert watched.seen == ["start", "close"]


async def test_one_that_fails_to_close_does_not_keep_the_others_open() -> None:
    slow = Slow()
    watched = Watched(aclose=EngineError("transcriber", "It is stuck."))
    with pytest.raises(EngineError, match="It is stuck"):
        await fake(transcriber=watched, responder=slow).aclose()
    assert slow.closed


# --- processes beneath engines ---


class Beneath:
    """A process that writes what happens to it into a diary."""

    def __init__(self, name: str, diary: list[str], start: Exception | None = None) -> None:
        self.failing: str | None = None
        self._name, self._diary, self._start = name, diary, start

    async def start(self) -> None:
        self._diary.append(f"{self._name} begins")
        await asyncio.sleep(0)
        if self._start:
            raise self._start
        self._diary.append(f"{self._name} runs")

    async def aclose(self) -> None:
        self._diary.append(f"{self._name} ends")


class Diarist(FakeTranscriber):
    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self._diary = diary

    async def start(self) -> None:
        self._diary.append("transcriber begins")
        await asyncio.sleep(0)
        self._diary.append("transcriber runs")

    async def aclose(self) -> None:
        self._diary.append("transcriber ends")


class Second(FakeResponder):
    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self._diary = diary

    async def start(self) -> None:
        self._diary.append("responder begins")


async def test_processes_start_one_by_one_before_the_engines_and_end_after_them() -> None:
    diary: list[str] = []
    engines = replace(fake(transcriber=Diarist(diary)), processes={"a": Beneath("a", diary), "b": Beneath("b", diary)})
    await engines.start()
    assert diary == ["a begins", "a runs", "b begins", "b runs", "transcriber begins", "transcriber runs"]
    diary.clear()
    await engines.aclose()
    assert diary == ["transcriber ends", "a ends", "b ends"]


async def test_a_process_that_does_not_start_ends_all() -> None:
    diary: list[str] = []
    broken = Beneath("b", diary, EngineError("vllm", "There is no memory."))
    engines = replace(fake(transcriber=Diarist(diary)), processes={"a": Beneath("a", diary), "b": broken})
    with pytest.raises(EngineError, match="no memory"):
        await engines.start()
    assert diary == ["a begins", "a runs", "b begins", "transcriber ends", "a ends", "b ends"]


def test_a_process_that_is_down_is_named() -> None:
    well, down = Beneath("a", []), Beneath("b", [])
    down.failing = "vllm ended with status 1"
    assert replace(fake(), processes={"a": well, "b": down}).failing() == {"b": "vllm ended with status 1"}


async def test_the_responder_may_have_to_wait_for_the_transcriber() -> None:
    diary: list[str] = []
    engines = replace(fake(transcriber=Diarist(diary), responder=Second(diary)), one_by_one=True)
    await engines.start()
    assert diary == ["transcriber begins", "transcriber runs", "responder begins"]


# --- gpu ---

ELSEWHERE = VoxtralOptions(models=(), vllm=Remote("http://there/v1"))


def test_voxtral_hears_and_a_url_answers(tmp_path: Path) -> None:
    asked: list[str] = []

    def locate(name: str) -> Path:
        asked.append(name)
        return tmp_path / name

    brain = RemoteParts(responder=Remote("http://brain/v1", "m"))
    engines = gpu(locate, {}, EmbeddedOptions(), ELSEWHERE, brain)
    assert engines.transcriber.streams
    assert engines.names()["responder"] == "m at http://brain/v1"
    assert not isinstance(engines.responder, Intents)
    assert {name for name in asked if "/" not in name} == {
        "silero-vad-v5.onnx",
        "smart-turn-v3.2.onnx",
        "kokoro-v1.0-int8.onnx",
        "speaker-encoder.pt",
    }
    assert list(engines.processes) == ["vllm realtime"]


@pytest.mark.parametrize("intents", [True, False])
def test_voxtral_answers_what_it_hears(tmp_path: Path, intents: bool) -> None:
    direct = replace(ELSEWHERE, listen="direct")
    engines = gpu(tmp_path.joinpath, {}, EmbeddedOptions(intents=intents), direct)
    assert engines.responder.listens
    assert not engines.transcriber.streams
    assert isinstance(engines.responder, Intents) is intents


def test_a_part_that_nobody_does_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Neither Voxtral nor a URL"):
        gpu(tmp_path.joinpath, {}, EmbeddedOptions(), ELSEWHERE)


# --- embedded ---


def test_the_embedded_profile_asks_for_its_files_by_catalogue_name(tmp_path: Path) -> None:
    asked: list[str] = []

    def locate(name: str) -> Path:
        asked.append(name)
        return tmp_path / name

    embedded(locate, EmbeddedOptions())
    assert set(asked) == {
        *(f"whisper-base/{name}" for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")),
        *(f"voices/{voice}.bin" for voice in VOICES),
        "kokoro-v1.0-int8.onnx",
        "speaker-encoder.pt",
        "silero-vad-v5.onnx",
        "smart-turn-v3.2.onnx",
        "smollm2-135m-instruct-q4_1.gguf",
    }


def test_intents_and_the_student_can_be_switched_off(tmp_path: Path) -> None:
    both = embedded(tmp_path.joinpath, EmbeddedOptions())
    neither = embedded(tmp_path.joinpath, EmbeddedOptions(intents=False, student=False))
    assert isinstance(both.responder, Intents)
    assert not isinstance(neither.responder, Intents)
    assert "hibari" in both.names()["speaker"]
    assert "hibari" not in neither.names()["speaker"]


@pytest.mark.voxtral
def test_a_lexicon_is_checked_when_the_speaker_is_made(tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.toml"
    lexicon.write_text('Anh = "ˈæn"')
    embedded(tmp_path.joinpath, EmbeddedOptions(lexicon=lexicon))
    lexicon.write_text('Anh = "?"')
    with pytest.raises(EngineError, match="line 1"):
        embedded(tmp_path.joinpath, EmbeddedOptions(lexicon=lexicon))


def test_pytorch_may_speak(tmp_path: Path) -> None:
    engines = embedded(tmp_path.joinpath, EmbeddedOptions(student=False, speaker_backend="torch"))
    assert engines.names()["speaker"] == "kokoro-v1.0-int8 in torch on cpu"


async def test_a_missing_model_file_is_an_error_of_its_engine(tmp_path: Path) -> None:
    engines = embedded(tmp_path.joinpath, EmbeddedOptions(student=False))
    with pytest.raises(EngineError):
        await engines.start()


# --- behind URLs ---


def test_a_part_with_a_url_asks_for_no_file_and_runs_there(tmp_path: Path) -> None:
    asked: list[str] = []

    def locate(name: str) -> Path:
        asked.append(name)
        return tmp_path / name

    there = Remote("http://there/v1", "m")
    names = embedded(locate, EmbeddedOptions(judge="none"), RemoteParts(there, there, there)).names()
    assert asked == ["silero-vad-v5.onnx"]
    assert names == {
        "voice_activity": "silero-vad-v5",
        "turn_judge": "none: the silence alone decides",
        **dict.fromkeys(("transcriber", "responder", "speaker"), "m at http://there/v1"),
    }
    asked.clear()
    mixed = embedded(locate, EmbeddedOptions(), RemoteParts(responder=there))
    assert not isinstance(mixed.responder, Intents)
    assert {name.partition("/")[0].partition("-")[0] for name in asked} == {
        "silero",
        "smart",
        "whisper",
        "voices",
        "kokoro",
        "speaker",
    }


def test_scripted_engines_listen_as_voxtral_does() -> None:
    def ears(listen: Listen) -> tuple[bool, bool]:
        engines = fake_with(RemoteParts(), listen)
        return engines.transcriber.streams, engines.responder.listens

    assert [ears(listen) for listen in ("utterance", "streaming", "direct")] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_scripted_engines_and_remote_ones() -> None:
    names = fake_with(RemoteParts(speaker=Remote("http://there/v1", "m"), voices=("nova",))).names()
    assert names["speaker"] == "m at http://there/v1"
    assert names["responder"] == "fake responder"


@pytest.mark.parametrize(
    ("voice", "others"),
    [
        ("af_heart", ()),
        ("hf_alpha:1,af_heart:1", ()),
        ("ff_siwis", ("fr",)),
        ("ef_dora:2,af_heart:1", ("es",)),
        ("voice_0123456789abcdef0123", ()),
        ("nova", ()),
    ],
)
def test_the_language_of_the_server_s_voice_is_heard(voice: str, others: tuple[str, ...]) -> None:
    assert heard(voice) == ("en", "hi", *others)


@pytest.mark.models
async def test_the_embedded_profile_hears_it(
    model_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, ...]] = []

    class Noted(Whisper):
        def __init__(self, model_dir: Path, *, threads: int, languages: tuple[str, ...]) -> None:
            made.append(languages)
            super().__init__(model_dir, threads=threads, languages=languages)

    monkeypatch.setattr(whisper, "Whisper", Noted)
    engines = embedded(model_files, EmbeddedOptions(voice="ff_siwis"))
    await engines.aclose()
    assert made == [("en", "hi", "fr")]


@pytest.mark.models
async def test_the_embedded_profile_starts_and_closes(model_files: Callable[[str], Path]) -> None:
    engines = embedded(model_files, EmbeddedOptions())
    await engines.start()
    await engines.aclose()
    await engines.aclose()


def test_a_responder_with_another_behind_it() -> None:
    engines = with_fallback(fake(), Remote("http://b/v1", "m"), (5.0, 10.0), (3.0, 4.0))
    chain = engines.responder
    assert isinstance(chain, Fallback)
    assert chain.name == "fake responder, else m at http://b/v1"
    first, second = chain.links
    assert (first.name, first.first_s, first.next_s) == ("responder", 5.0, 10.0)
    assert (second.name, second.first_s, second.next_s) == ("responder.fallback", 3.0, 4.0)


@pytest.mark.parametrize("intents", [True, False])
async def test_and_behind_that_what_needs_no_model(intents: bool) -> None:
    made = with_fallback(fake(), Remote("http://127.0.0.1:9/v1", "m"), (1.0, 1.0), (1.0, 1.0), intents=intents)
    pieces = made.responder.respond([Message("user", "Thank you.")], language="en", max_tokens=None)
    if intents:
        assert "".join([str(piece) async for piece in pieces]) == "You're welcome!"
    else:
        with pytest.raises(DownError):  # none was started
            await anext(pieces)
