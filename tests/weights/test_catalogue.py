from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from voxtral_voice.weights.catalogue import HubSource, PackageSource, catalogue, needed, voices

MISSION_VOICES = "af_heart af_bella af_nicole af_sarah hf_alpha hf_beta hm_omega hm_psi".split()


def test_every_file_has_its_own_name_below_the_folder() -> None:
    names = [file.name for file in catalogue()]
    assert len(names) == len(set(names))
    for name in names:
        assert not PurePosixPath(name).is_absolute()
        assert ".." not in PurePosixPath(name).parts
        assert "{" not in name


def test_the_embedded_profile_has_a_file_for_every_engine() -> None:
    assert {file.part for file in needed("embedded")} == {
        "voice_activity",
        "turn_judge",
        "transcriber",
        "responder",
        "speaker",
    }


@pytest.mark.parametrize(
    "name",
    [
        "whisper-base/model.bin",
        "whisper-base/config.json",
        "whisper-base/tokenizer.json",
        "whisper-base/vocabulary.txt",
        "smollm2-135m-instruct-q4_1.gguf",
        "kokoro-v1.0-int8.onnx",
        "silero-vad-v5.onnx",
        "smart-turn-v3.2.onnx",
    ],
)
def test_the_names_that_engines_ask_for_are_there(name: str) -> None:
    assert name in {file.name for file in needed("embedded")}


def test_the_gpu_profile_has_all_but_what_voxtral_does() -> None:
    rest = {file.name for file in needed("embedded") if file.part not in ("transcriber", "responder")}
    assert {file.name for file in needed("gpu")} == rest


def test_the_remote_profile_has_only_what_listens_and_judges() -> None:
    assert {file.name for file in needed("remote")} == {"silero-vad-v5.onnx", "smart-turn-v3.2.onnx"}


def test_the_fake_profile_needs_no_files() -> None:
    assert needed("fake") == ()


def test_all_54_kokoro_voices_are_there() -> None:
    assert len(voices()) == 54
    assert set(MISSION_VOICES) <= set(voices())
    assert all(re.fullmatch("[abefhijpz][fm]_[a-z]+", voice) for voice in voices())


def test_every_file_can_be_had_from_a_pinned_place_and_from_a_mirror() -> None:
    for file in catalogue():
        assert isinstance(file.sources[-1], PackageSource), file.name
        for source in file.sources:
            if isinstance(source, HubSource):
                assert source.revision != "0" * 40, file.name


def test_a_source_names_itself_for_people() -> None:
    speaker = next(file for file in catalogue() if file.name == "voices/af_heart.bin")
    assert [str(source) for source in speaker.sources] == [
        "hub onnx-community/Kokoro-82M-v1.0-ONNX",
        "npm kokoro-js",
    ]
    assert str(next(f for f in catalogue() if f.part == "voice_activity").sources[0]).startswith("https://")
