from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.engines import fake_nvml
from tests.engines.fake_nvml import Card, FakeNvml
from tests.engines.odd_server import never, odd_server
from tests.weights.loopback import model_file
from voxtral_voice import doctor
from voxtral_voice.config import (
    Config,
    ResponderConfig,
    ServerConfig,
    SpeakerConfig,
    VoxtralConfig,
    WeightsConfig,
)
from voxtral_voice.doctor import Check, examine
from voxtral_voice.errors import EngineError
from voxtral_voice.weights.store import Store

FILES = (model_file("one", b"one"), model_file("two", b"two"))


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import_failures", lambda _: {})


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr("voxtral_voice.config.needed", lambda profile: FILES if profile == "embedded" else ())
    return Config(server=ServerConfig(port=0), weights=WeightsConfig(dir=tmp_path))


def checks(config: Config, subject: str) -> list[Check]:
    return [check for check in examine(config) if check.subject.startswith(subject)]


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.usefixtures("libraries")
def test_with_everything_in_place_nothing_is_wrong(config: Config) -> None:
    for file in FILES:
        (config.weights.dir / file.name).write_bytes(file.name.encode())
    store = Store(config.weights.dir)
    assert [store.verify(file).state for file in FILES] == ["ok", "ok"]
    assert store.save_stamps()
    found = list(examine(config))
    assert [check for check in found if check.verdict == "wrong"] == []
    assert {"Python", "model files", "port 0", "GPU", "disk", "machine"} <= {check.subject for check in found}
    assert str(checks(config, "model")[0]) == (
        f"ok       model files: all 2 in {config.weights.dir}, sha256 checked before"
    )


@pytest.mark.usefixtures("libraries")
def test_missing_and_damaged_model_files_are_wrong_and_named(config: Config) -> None:
    (config.weights.dir / "one").write_bytes(b"o")
    missing, damaged = checks(config, "model files")
    assert (missing.verdict, damaged.verdict) == ("wrong", "wrong")
    assert missing.text.startswith("1 of 2 missing")
    assert "(two): run 'voxtral-voice models pull'" in missing.text
    assert "1 of 2 damaged" in damaged.text


@pytest.mark.usefixtures("libraries")
def test_unchecked_model_files_are_a_warning(config: Config) -> None:
    for file in FILES:
        (config.weights.dir / file.name).write_bytes(file.name.encode())
    (check,) = checks(config, "model files")
    assert (check.verdict, check.text[:25]) == ("warning", "2 of 2 not checked yet; t")


@pytest.mark.usefixtures("libraries")
def test_the_fake_profile_needs_neither_models_nor_their_libraries(config: Config) -> None:
    fake = config.model_copy(update={"profile": "fake"})
    assert checks(fake, "model files")[0].verdict == "ok"
    assert checks(fake, "library onnxruntime") == []
    assert len(checks(config, "library onnxruntime")) == 1


@pytest.mark.usefixtures("libraries")
async def test_servers_that_engines_are_behind_are_asked(config: Config) -> None:
    async with odd_server(never) as server:
        responder = ResponderConfig(url="http://127.0.0.1:9/v1", fallback_url=server.url)
        parts = {"speaker": SpeakerConfig(url=server.url), "responder": responder}
        found = await asyncio.to_thread(lambda: list(examine(config.model_copy(update=parts))))
    engines = ("transcriber", "responder", "responder.fallback", "speaker")
    assert [str(check) for check in found if check.subject in engines] == [
        "wrong    responder: No server answers at http://127.0.0.1:9/v1/models (Connection refused): start it, or "
        "correct responder.url.",
        f"ok       speaker: only at {server.url}",
        f"ok       responder.fallback: only at {server.url}",
    ]
    assert [check.verdict for check in found if check.subject == "library aiohttp"] == ["ok"]


@pytest.mark.usefixtures("libraries")
def test_an_engine_that_is_elsewhere_needs_no_library_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_remote_parts", lambda _: ())
    elsewhere = SpeakerConfig(url="http://a/v1"), ResponderConfig(url="http://a/v1")
    found = list(examine(Config(speaker=elsewhere[0], responder=elsewhere[1], server=ServerConfig(port=0))))
    libraries = {check.subject.removeprefix("library ") for check in found if check.subject.startswith("library")}
    assert {"aiohttp", "onnxruntime", "ctranslate2", "tokenizers"} <= libraries
    assert not {"onnx", "espeakng-loader", "hibari-tts"} & libraries


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(
    ("settings", "verdict", "text"),
    [
        ({}, "ok", "this machine, without a key, no TLS"),
        ({"host": "0.0.0.0"}, "wrong", "At 0.0.0.0 everyone who can reach this machine could use the server"),
        ({"host": "0.0.0.0", "insecure_no_auth": True}, "warning", "all who reach this machine, without a key, no TLS"),
        (
            {"host": "0.0.0.0", "api_keys": SecretStr("a-key-of-a-good-length"), "tls_cert": __file__},
            "ok",
            "all who reach this machine, with a key, TLS",
        ),
    ],
)
def test_who_may_use_the_server(config: Config, settings: dict[str, Any], verdict: str, text: str) -> None:
    (check,) = checks(config.model_copy(update={"server": ServerConfig(port=0, **settings)}), "access")
    assert (check.verdict, check.text[: len(text)]) == (verdict, text)


@pytest.mark.usefixtures("libraries")
def test_keys_and_certificates_that_cannot_be_read(config: Config, tmp_path: Path) -> None:
    server = ServerConfig(
        port=0, api_keys_file=str(tmp_path / "keys"), tls_cert=__file__, tls_key=str(tmp_path / "key")
    )
    found = checks(config.model_copy(update={"server": server}), "server.")
    assert [(check.verdict, check.subject) for check in found] == [
        ("wrong", "server.api_keys_file"),
        ("wrong", "server.tls_key"),
    ]


@pytest.mark.usefixtures("libraries")
def test_a_port_in_use_is_wrong(config: Config) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = config.model_copy(update={"server": ServerConfig(port=taken.getsockname()[1])})
        (check,) = checks(busy, "port")
    assert check.verdict == "wrong"
    assert "cannot listen on 127.0.0.1 (Address already in use): choose another with --port or --host" in check.text


@pytest.mark.usefixtures("libraries")
def test_a_host_that_is_none_is_wrong(config: Config) -> None:
    nowhere = config.model_copy(update={"server": ServerConfig(host="no-such-host.invalid")})
    assert checks(nowhere, "port")[0].verdict == "wrong"


@pytest.mark.usefixtures("libraries")
def test_a_full_disk_is_wrong(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1_000_000})())
    elsewhere = config.model_copy(update={"weights": WeightsConfig(dir=config.weights.dir / "a" / "b")})
    (check,) = checks(elsewhere, "disk")
    assert check.verdict == "wrong"
    assert f"0.0 GB free at {config.weights.dir}, and 0.1 GB are needed" in check.text


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(
    ("script", "verdict", "text"),
    [
        ("echo 'NVIDIA H100, 81559 MiB'", "ok", "NVIDIA H100, 81559 MiB; this profile does not use it"),
        ("echo 'driver mismatch'; exit 9", "warning", "nvidia-smi finds none (driver mismatch)"),
    ],
)
def test_a_gpu_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, verdict: str, text: str
) -> None:
    stub(tmp_path, monkeypatch, script)
    (check,) = checks(config, "GPU")
    assert (check.verdict, text in check.text) == (verdict, True), check


@pytest.mark.usefixtures("libraries")
def test_no_gpu_is_fine(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks(config, "GPU") == [Check("ok", "GPU", "none found, and this profile needs none")]


@pytest.mark.usefixtures("libraries")
def test_a_small_machine_is_a_warning(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: 1_000_000_000)
    (check,) = checks(config, "machine")
    assert check.verdict == "warning"
    assert "1.0 GB of memory; answers will be slow below 2 cores and 2 GB" in check.text


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a module that the doctor's child process can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    return make


def test_a_library_that_crashes_python_does_not_take_the_doctor_with_it(library: Callable[[str, str], None]) -> None:
    library("fine_a", "print('fine_a noise')")
    library("crashes", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    library("fine_b", "")
    library("raises", "raise OSError('libx.so is missing')")
    failures = doctor._import_failures(["fine_a", "crashes", "raises", "fine_b", "is_not_there"])
    assert failures == {
        "crashes": "breaks Python when it is imported (exit status -11)",
        "raises": "cannot be imported (OSError libx.so is missing)",
        "is_not_there": "cannot be imported (ModuleNotFoundError No module named 'is_not_there')",
    }


def test_a_library_that_hangs_is_found(library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "IMPORT_TIMEOUT_S", 1.0)
    library("fine_a", "")
    library("hangs", "import threading; threading.Event().wait()")
    assert doctor._import_failures(["fine_a", "hangs"]) == {
        "hangs": "breaks Python when it is imported (no end after 1 s)"
    }


def test_a_library_that_fails_is_wrong(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import_failures", lambda _: {"numpy": "cannot be imported (x)"})
    (check,) = checks(config, "library numpy")
    assert str(check) == ("wrong    library numpy: cannot be imported (x); run 'make install' to install it again")


# --- Voxtral ----------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu_config(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Of one L4, with vLLM."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake_nvml.install(monkeypatch, FakeNvml((Card(),)))
    vllm = tmp_path / "vllm"
    vllm.write_text("#!/bin/sh\n")
    vllm.chmod(0o755)
    voxtral = VoxtralConfig(vllm_command=str(vllm), realtime="a/b", mini=str(tmp_path / "mini"))
    return Config(profile="gpu", server=ServerConfig(port=0), weights=WeightsConfig(dir=tmp_path), voxtral=voxtral)


def no_memory(_: object) -> None:
    raise EngineError("gpu", "Voxtral Mini needs 9.4 GB.")


@pytest.mark.usefixtures("libraries")
def test_what_the_gpu_profile_needs_is_looked_at(
    gpu_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtral_voice.engines.voxtral_parts.require", lambda _: None)
    found = {check.subject: str(check) for check in examine(gpu_config)}
    assert found["GPU"] == (
        "ok       GPU: cuda:0 NVIDIA L4, 23.0 of 24.0 GB free, compute capability 8.9, driver 580.95.05 (CUDA up to "
        "13.0)"
    )
    assert found["vllm"] == f"ok       vllm: {tmp_path / 'vllm'}"
    assert found["Voxtral"] == "ok       Voxtral: streaming through vllm: realtime on cuda:0, mini on cuda:0"
    assert found["checkpoint realtime"] == (
        "wrong    checkpoint realtime: a/b is not fetched yet: run 'voxtral-voice models pull'"
    )
    there_is_none = f"wrong    checkpoint mini: There is no folder {tmp_path / 'mini'} with Voxtral Mini"
    assert found["checkpoint mini"].startswith(there_is_none)


@pytest.mark.usefixtures("libraries")
def test_what_does_not_fit_is_wrong(gpu_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml.install(monkeypatch, FakeNvml())
    monkeypatch.setattr("voxtral_voice.engines.voxtral_parts.require", no_memory)
    assert [str(check) for check in checks(gpu_config, "GPU")] == ["warning  GPU: there is no NVIDIA GPU"]
    assert [str(check) for check in checks(gpu_config, "Voxtral")] == ["wrong    Voxtral: Voxtral Mini needs 9.4 GB."]


@pytest.mark.voxtral
@pytest.mark.usefixtures("libraries")
def test_a_checkpoint_that_is_there(gpu_config: Config, tmp_path: Path) -> None:
    from voxtral_voice.engines.voxtral import random_weights

    random_weights.write(tmp_path / "mini", "mini", "tiny")
    voxtral = gpu_config.voxtral.model_copy(update={"backend": "transformers", "vllm_command": ""})
    (check,) = checks(gpu_config.model_copy(update={"voxtral": voxtral}), "checkpoint mini")
    assert str(check) == f"ok       checkpoint mini: 0.0 GB in {tmp_path / 'mini'}"


# --- what a GPU is tried with -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "device", "text"),
    [
        ((), "cuda:0", "there is no NVIDIA GPU; nothing can be tried"),
        ((Card(), Card()), "cuda:2", "there is no such GPU, only cuda:0, cuda:1: choose another with --device"),
    ],
)
def test_without_a_gpu_nothing_is_tried(
    gpu_config: Config, cards: tuple[Card, ...], device: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvml.install(monkeypatch, FakeNvml(cards))
    voxtral = gpu_config.voxtral.model_copy(update={"device": device})
    found = list(doctor.try_gpus(gpu_config.model_copy(update={"voxtral": voxtral})))
    assert found == [Check("wrong", device, text)]


TRIED = r"""
import sys
print("a library says something")
for verdict in ("ok", "warning", "odd"):
    print("tried-by-the-doctor", verdict, sys.argv[1], "it " + verdict, sep="\t", flush=True)
"""


@pytest.mark.parametrize(
    ("ending", "found"),
    [
        ("", []),
        ("sys.exit(1)", []),
        ("raise RuntimeError('CUDA error')", ["wrong    cuda:0: computing on it broke (RuntimeError: CUDA error)"]),
        ("import os; os.abort()", ["wrong    cuda:0: computing on it broke (status -6)"]),
    ],
)
def test_each_gpu_is_tried_in_another_process(
    gpu_config: Config,
    library: Callable[[str, str], None],
    ending: str,
    found: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "TRIAL", "trial")
    monkeypatch.setattr(doctor, "find_spec", lambda _: True)
    library("trial", TRIED + ending)
    there, *tried = [str(check) for check in doctor.try_gpus(gpu_config)]
    assert there.startswith("ok       cuda:0: cuda:0 NVIDIA L4")
    assert tried == ["ok       cuda:0: it ok", "warning  cuda:0: it warning", *found]


def test_a_gpu_that_hangs_is_found(
    gpu_config: Config, library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TRIAL", "trial")
    monkeypatch.setattr(doctor, "TRIAL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(doctor, "find_spec", lambda _: True)
    library("trial", "import threading; threading.Event().wait()")
    assert list(doctor.try_gpus(gpu_config))[1:] == [
        Check("wrong", "cuda:0", "computing on it did not end within 0 s; is it free?")
    ]


def test_a_gpu_without_torch_is_not_tried(gpu_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    assert list(doctor.try_gpus(gpu_config))[1:] == [Check("wrong", "torch", "is not installed: run 'make voxtral'")]


def test_what_is_placed_on_the_cpu_is_tried_there(gpu_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_tried", lambda device: [Check("ok", device, "tried")])
    voxtral = gpu_config.voxtral.model_copy(update={"device": "transcriber=cpu"})
    found = [str(check) for check in doctor.try_gpus(gpu_config.model_copy(update={"voxtral": voxtral}))]
    assert found[:2] == ["ok       cpu: asked for instead of a GPU", "ok       cpu: tried"]
    assert found[3:] == ["ok       cuda:0: tried"]


def test_the_doctor_knows_every_library_by_a_name_that_is_installed() -> None:
    for module, distribution in (*doctor.SERVER_LIBRARIES, *doctor.REMOTE_LIBRARIES, *doctor.ENGINE_LIBRARIES):
        owners = [name.lower().replace("_", "-") for name in metadata.packages_distributions()[module]]
        assert distribution in owners
