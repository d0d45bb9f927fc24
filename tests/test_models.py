"""What a profile needs is asked for in the right order: checks that cost nothing, then files, then checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.loopback import Hub
from tests.weights.voxtral_folder import voxtral_files, write
from voxtral_voice import models
from voxtral_voice.config import Config, Setting, load
from voxtral_voice.engines.voxtral_parts import Model, VoxtralOptions
from voxtral_voice.errors import EngineError, WeightsError

MODELS: tuple[Model, ...] = ("mini", "realtime")


@pytest.fixture(autouse=True)
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Model files and the machine are there; in the order in which they were asked for."""
    calls: list[str] = []
    monkeypatch.setattr(
        "voxtral_voice.weights.fetch.ensure", lambda files, *_, **__: calls.append(f"{len(files)} files")
    )
    monkeypatch.setattr("voxtral_voice.engines.voxtral_parts.require", lambda _: calls.append("machine"))
    return calls


@pytest.fixture
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.engines.vllm.launch.find", lambda _: None)


def settings(tmp_path: Path, profile: str = "gpu", **voxtral: str) -> Config:
    flags = [
        Setting("profile", profile, "--profile"),
        Setting("weights.dir", str(tmp_path / "weights"), "--weights-dir"),
    ]
    return load(
        None, {}, [*flags, *(Setting(f"voxtral.{key}", value, "flag") for key, value in voxtral.items())]
    ).config


def folders(tmp_path: Path) -> dict[str, str]:
    """Of both models, in the layout of transformers."""
    made = {m: write(tmp_path / m, voxtral_files(m, "transformers")) for m in MODELS}
    return {model: str(folder) for model, folder in made.items()}


@pytest.mark.usefixtures("no_vllm")
def test_the_machine_comes_before_the_files_and_these_before_the_checkpoints(tmp_path: Path, called: list[str]) -> None:
    config = settings(tmp_path, **folders(tmp_path))
    found = models.ensure(config)
    assert found == {"realtime": tmp_path / "realtime", "mini": tmp_path / "mini"}
    assert called == ["machine", f"{len(config.model_files)} files"]


def test_other_profiles_ask_nothing_of_the_machine(tmp_path: Path, called: list[str]) -> None:
    assert models.ensure(settings(tmp_path, "embedded")) == {}
    assert called == [f"{len(Config().model_files)} files"]


def test_nothing_is_fetched_for_a_machine_that_cannot(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: VoxtralOptions) -> None:
        raise EngineError("gpu", "There is no GPU.")

    monkeypatch.setattr("voxtral_voice.engines.voxtral_parts.require", refuse)
    with pytest.raises(EngineError, match="no GPU"):
        models.ensure(settings(tmp_path))
    assert called == []


@pytest.mark.usefixtures("no_vllm")
def test_the_wrong_model_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    made = folders(tmp_path)
    with pytest.raises(WeightsError, match="holds Voxtral Mini, and Voxtral Realtime is wanted there"):
        models.ensure(settings(tmp_path, **made | {"realtime": made["mini"]}))


def test_a_folder_that_is_wrong_is_found_before_the_hub_is_asked(tmp_path: Path, hub: Hub) -> None:
    made = folders(tmp_path)
    with pytest.raises(WeightsError, match="holds Voxtral Realtime, and Voxtral Mini is wanted there"):
        models.ensure(settings(tmp_path, backend="transformers", realtime="someone/voxtral", mini=made["realtime"]))
    assert (hub.listings, hub.asked) == ([], [])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Hub({**voxtral_files("mini", "mistral"), **voxtral_files("mini", "transformers")}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.mark.parametrize("backend", ["vllm", "transformers"])
def test_a_repository_comes_in_the_layout_of_the_backend(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    config = settings(tmp_path, listen="direct", backend=backend, mini="someone/voxtral")
    (found,) = models.checkpoints(config)
    assert found.folder == tmp_path / "weights" / "voxtral" / "someone--voxtral"
    assert (found.folder / "params.json").exists() is (backend == "vllm")
    assert (found.folder / "config.json").exists() is (backend == "transformers")


@pytest.mark.usefixtures("no_vllm")
def test_what_is_here_of_voxtral_is_said_without_fetching(tmp_path: Path) -> None:
    made = folders(tmp_path)
    (tmp_path / "mini" / "tekken.json").unlink()
    config = settings(tmp_path, mini=made["mini"], realtime=made["realtime"])
    whole, broken = models.described(config)
    assert whole == f"Voxtral Realtime ({tmp_path}/realtime): 0.0 GB for transformers in {tmp_path}/realtime"
    assert broken.startswith(f"Voxtral Mini ({tmp_path}/mini): The model in {tmp_path}/mini is not whole: ")
    missing = settings(tmp_path, listen="direct", mini="someone/voxtral")
    assert list(models.described(missing)) == ["Voxtral Mini (someone/voxtral): missing"]
    assert list(models.described(settings(tmp_path, "embedded"))) == []


@pytest.mark.usefixtures("no_vllm")
def test_a_name_that_no_folder_can_have_is_one_sentence(tmp_path: Path) -> None:
    config = settings(tmp_path, listen="direct", mini="a" * 5_000)
    (line,) = models.described(config)
    assert "cannot be read (File name too long)" in line
    with pytest.raises(WeightsError, match="cannot be read"):
        models.pull(config)


def test_pulling_asks_nothing_of_the_machine(tmp_path: Path, called: list[str]) -> None:
    config = settings(tmp_path, **folders(tmp_path), backend="transformers")
    assert list(models.pull(config)) == ["realtime", "mini"]
    assert "machine" not in called


@pytest.mark.usefixtures("no_vllm")
def test_verify_hashes_what_came_from_the_hub_and_looks_at_the_rest(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    config = settings(tmp_path, listen="direct", mini="someone/voxtral", backend="transformers")
    (found,) = models.checkpoints(config)
    ours = [finding for finding in models.verify(config) if finding.file.name.startswith("voxtral/")]
    assert {finding.state for finding in ours} == {"ok"}
    assert len(ours) == len(voxtral_files("mini", "transformers"))
    (found.folder / "config.json").unlink()
    assert "missing" in {finding.state for finding in models.verify(config) if finding.file.name.startswith("voxtral/")}
    with pytest.raises(WeightsError, match="There is no folder /no/such"):
        models.verify(settings(tmp_path, listen="direct", mini="/no/such", backend="transformers"))


# --- what runs Voxtral --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_vllm")
@pytest.mark.parametrize(
    ("voxtral", "backend"),
    [
        ({}, "transformers"),
        ({"backend": "vllm"}, "vllm"),
        ({"listen": "direct", "vllm_url": "http://there/v1"}, "vllm"),
        ({"vllm_command": "/no/such/vllm"}, "vllm"),
        ({"quantization": "fp8"}, "vllm"),
    ],
)
def test_without_vllm_it_is_transformers_unless_something_is_vllms(
    tmp_path: Path, voxtral: dict[str, str], backend: str
) -> None:
    assert models.backend(settings(tmp_path, **voxtral)) == backend


def test_vllm_is_preferred_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.engines.vllm.launch.find", lambda _: tmp_path / "vllm")
    assert models.backend(settings(tmp_path)) == "vllm"
    assert models.backend(settings(tmp_path, backend="transformers")) == "transformers"


@pytest.mark.usefixtures("no_vllm")
def test_settings_reach_the_engines(tmp_path: Path) -> None:
    config = settings(
        tmp_path,
        vllm_command="/a/vllm",
        quantization="fp8",
        device="cuda:1",
        delay_ms="240",
        memory_share="0.5",
        realtime_max_tokens="1024",
        mini_max_tokens="2048",
    )
    assert models.voxtral_options(config) == VoxtralOptions(
        listen="streaming",
        backend="vllm",
        models=("realtime", "mini"),
        placement=config.placement,
        delay_ms=240,
        vllm_command="/a/vllm",
        quantization="fp8",
        memory_share=0.5,
        realtime_max_tokens=1024,
        mini_max_tokens=2048,
        scratch=tmp_path / "weights" / "voxtral" / "delays",
    )


def test_what_runs_kokoro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.engines.speaker_backend.find_spec", lambda _: True)
    assert models.speaker_of(settings(tmp_path, "embedded")) == "onnx"
    assert models.speaker_of(settings(tmp_path, "fake")) is None
    on_a_gpu = settings(tmp_path, device="speaker=cuda:1")
    assert models.speaker_of(on_a_gpu) == models.voxtral_options(on_a_gpu).speaker == "torch"


def test_pytorch_has_to_be_there_in_the_embedded_profile_too(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtral_voice.engines.speaker_backend.find_spec", lambda _: None)
    there = [Setting("profile", "embedded", "flag"), Setting("speaker.backend", "torch", "flag")]
    config = load(None, {}, [*there, Setting("weights.dir", str(tmp_path), "flag")]).config
    with pytest.raises(EngineError, match=r"speaker\.backend.*not installed"):
        models.ensure(config)
    assert called == []
