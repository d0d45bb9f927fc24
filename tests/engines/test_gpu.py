from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.engines import fake_nvml
from tests.engines.fake_nvml import Card, FakeNvml, install
from voxtral_voice.engines import gpu
from voxtral_voice.engines.gpu import NO_CUDA, Found, Gpu, Need, cuda_of_torch, look, need, require
from voxtral_voice.errors import EngineError

L4 = Gpu(0, "NVIDIA L4", 24_000_000_000, 23_000_000_000, "580.95.05", (8, 9), (13, 0))
SMALL = Gpu(0, "NVIDIA RTX 4060", 8_500_000_000, 8_000_000_000, "580.95.05", (8, 9), (13, 0))


def refusal(*needs: Need, found: Found, cuda: tuple[int, int] | None = None) -> str:
    with pytest.raises(EngineError) as raised:
        require(needs, found, cuda=cuda)
    return str(raised.value)


# --- what there is ----------------------------------------------------------------------------------------------


def test_every_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = install(monkeypatch, FakeNvml((Card(), Card("NVIDIA H100", capability=(9, 0), free=80_000_000_000))))
    found = gpu.gpus()
    assert found[0] == L4
    assert (found[1].index, found[1].name, found[1].capability) == (1, "NVIDIA H100", (9, 0))
    assert str(found[0]) == "cuda:0 NVIDIA L4, 23.0 of 24.0 GB free"
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", ["B"]), ("1,0", ["B", "A"]), ("GPU-b", ["B"]), ("0,-1,1", ["A"]), (" 1 , 7,0", ["B"])],
)
def test_gpus_are_those_that_cuda_shows(visible: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml((Card("A", uuid="GPU-a"), Card("B", uuid="GPU-b"))))
    found = look({"CUDA_VISIBLE_DEVICES": visible})
    assert [(each.index, each.name) for each in found.gpus] == list(enumerate(names))


@pytest.mark.parametrize(
    ("nvml", "visible", "lacking"),
    [
        (FakeNvml(failure=fake_nvml.NVMLError_LibraryNotFound()), None, "there is no NVIDIA driver on this machine"),
        (FakeNvml(failure=fake_nvml.NVMLError_DriverNotLoaded()), None, "there is no NVIDIA driver on this machine"),
        (FakeNvml(failure=fake_nvml.NVMLError_LibRmVersionMismatch()), None, "the NVIDIA driver was renewed"),
        (FakeNvml(failure=fake_nvml.Failure("Odd")), None, "the NVIDIA driver cannot be asked (Odd)"),
        (FakeNvml(later=fake_nvml.Failure("Odd")), None, "the NVIDIA driver does not tell of its GPUs (Odd)"),
        (FakeNvml((Card(),)), "GPU-9", "the NVIDIA driver does not tell of its GPUs (Not Found)"),
        (FakeNvml(), None, "there is no NVIDIA GPU"),
        (FakeNvml((Card(),)), "", 'CUDA_VISIBLE_DEVICES="" hides every GPU'),
    ],
)
def test_why_there_is_none(nvml: FakeNvml, visible: str | None, lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, nvml)
    found = look({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    assert found.gpus == ()
    assert found.lacking.startswith(lacking)
    assert nvml.open == 0


def test_without_the_library_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert look() == Found(lacking="the library nvidia-ml-py is not installed ('make voxtral' installs it)")


def test_the_true_library_answers() -> None:
    found = look()
    assert bool(found.gpus) != bool(found.lacking)


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '13.0'", (13, 0)), ("cuda: Optional[str] = None", NO_CUDA)]
)
def test_what_torch_is_built_for(line: str, cuda: tuple[int, int], tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "torch"
    folder.mkdir(parents=True)
    (folder / "version.py").write_text(f"__version__ = '2.13.0'\ndebug = False\n{line}\nhip = None\n")
    assert cuda_of_torch(tmp_path) == cuda


def test_an_environment_without_torch(tmp_path: Path) -> None:
    assert cuda_of_torch(tmp_path) is None


# --- what the models need ---------------------------------------------------------------------------------------


def test_the_sizes_are_those_that_are_published() -> None:
    mini, realtime = need("mini", "cuda:0", max_tokens=1), need("realtime", "cuda:0", max_tokens=1)
    assert mini.weights_bytes / 1e9 == pytest.approx(9.35, abs=0.01)
    assert realtime.weights_bytes / 1e9 == pytest.approx(8.86, abs=0.01)


def test_a_cache_grows_with_the_longest_session_and_a_little_with_each_other() -> None:
    one = need("mini", "cuda:0", max_tokens=8192)
    assert one.cache_bytes == 8192 * 122_880
    assert need("mini", "cuda:0", max_tokens=8192, sessions=3).cache_bytes == (8192 + 2 * 750) * 122_880
    each = need("mini", "cuda:0", max_tokens=4096, sessions=9, set_aside=True)
    assert each.cache_bytes == 9 * 4096 * 122_880
    streams = need("realtime", "cuda:0", max_tokens=16_384, sessions=2)
    assert streams.cache_bytes == (8192 + 750) * 106_496 + 2 * 196_608_000


def test_a_quantization_makes_the_text_model_smaller() -> None:
    whole, half = (need("mini", "cuda:0", max_tokens=1, quantization=kind) for kind in ("", "fp8"))
    assert whole.weights_bytes - half.weights_bytes == gpu.SHAPES["mini"].layer_weights
    assert need("mini", "cuda:0", max_tokens=1, quantization="new").weights_bytes == whole.weights_bytes


@pytest.mark.voxtral
@pytest.mark.parametrize("model", ["mini", "realtime"])
def test_the_shapes_are_those_of_the_published_configs(model: gpu.Model) -> None:
    from voxtral_voice.engines.voxtral import random_weights

    made = {"mini": random_weights._mini, "realtime": random_weights._realtime}[model]("real")
    text, audio = made.config.text_config, made.config.audio_config
    layers = [w.numel() for name, w in made.named_parameters() if "language_model" in name and ".layers." in name]
    shape = gpu.SHAPES[model]
    assert shape.layer_weights + shape.other_weights == sum(w.numel() for w in made.parameters())
    assert shape.layer_weights == pytest.approx(sum(layers), rel=0.001)  # all but their norms
    assert shape.token_bytes == 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * 2
    if model == "realtime":
        per_frame = 2 * audio.num_hidden_layers * audio.num_key_value_heads * audio.head_dim * 2
        assert (shape.encoder_bytes, shape.window_tokens) == (audio.sliding_window * per_frame, text.sliding_window)


# --- does it fit ------------------------------------------------------------------------------------------------


def test_what_fits_is_fine() -> None:
    require([need("realtime", "cuda:0", max_tokens=16_384)], Found((L4,)), cuda=(13, 0))
    require([], Found(lacking="nothing"))
    require([need("mini", "cpu", max_tokens=8192)], Found(lacking="nothing"))


def test_too_little_memory_is_told_with_numbers() -> None:
    told = refusal(Need("Voxtral Mini", "cuda:0", 9_500_000_000, 1_200_000_000, 0), found=Found((SMALL,)))
    assert told == (
        "Voxtral Mini needs 9.5 GB + 1.2 GB KV on cuda:0 (NVIDIA RTX 4060), 8.0 GB free of 8.5: free some, make the "
        "weights smaller with --quantization fp8, or place an engine elsewhere with --device."
    )


def test_all_on_one_gpu_are_added_up() -> None:
    each = Need("A", "cuda:0", 12_000_000_000, 500_000_000, 0), Need("B", "cuda", 10_000_000_000, 1_000_000_000, 0)
    assert "B needs 10.0 GB + 1.0 GB KV, together 23.5 GB on cuda:0" in refusal(*each, found=Found((L4,)))
    require([each[0], Need("B", "cuda:1", 10_000_000_000, 1_000_000_000)], Found((L4, L4)))


def test_the_room_to_work_in_counts() -> None:
    assert "9.0 GB + 0.0 GB KV + 1.5 GB to work in on" in refusal(
        Need("A", "cuda:0", 9_000_000_000, 0), found=Found((SMALL,))
    )


def test_a_gpu_that_is_not_there() -> None:
    told = refusal(need("mini", "cuda:1", max_tokens=8192), found=Found((L4,)))
    assert told == (
        "Voxtral Mini should run on cuda:1, and this machine has cuda:0 (NVIDIA L4) only: choose another with --device."
    )


def test_no_gpu_at_all() -> None:
    told = refusal(need("mini", "cuda:0", max_tokens=8192), found=Found(lacking="there is no NVIDIA GPU"))
    assert told.startswith("Voxtral Mini should run on cuda:0, and there is no NVIDIA GPU. Without a GPU, choose ")


def test_a_driver_that_is_too_old() -> None:
    old = Gpu(0, "NVIDIA L4", 24_000_000_000, 23_000_000_000, "550.54", (8, 9), (12, 4))
    assert refusal(need("mini", "cuda:0", max_tokens=8192), found=Found((old,)), cuda=(13, 0)) == (
        "The NVIDIA driver 550.54 runs CUDA up to 12.4, and the libraries here are built for 13.0: install a newer "
        "driver."
    )
    require([need("mini", "cuda:0", max_tokens=8192)], Found((old,)), cuda=(12, 9))  # newer, of the same generation


def test_a_torch_without_cuda() -> None:
    told = refusal(need("mini", "cuda:0", max_tokens=8192), found=Found((L4,)), cuda=NO_CUDA)
    assert told.startswith("torch is installed without CUDA, so cuda:0 (NVIDIA L4) cannot be used")


def test_a_gpu_without_bfloat16() -> None:
    turing = Gpu(0, "Tesla T4", 16_000_000_000, 15_000_000_000, "580.1", (7, 5), (13, 0))
    told = refusal(need("mini", "cuda:0", max_tokens=8192), found=Found((turing,)))
    assert told.startswith("cuda:0 (Tesla T4) has compute capability 7.5, and Voxtral needs 8.0 (Ampere, 2020)")


def test_what_is_here_is_asked_when_it_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "look", lambda: Found(lacking="there is none"))
    with pytest.raises(EngineError, match="there is none"):
        require([need("mini", "cuda:0", max_tokens=8192)])
