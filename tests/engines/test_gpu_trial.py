from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from voxtral_voice.engines import gpu_trial
from voxtral_voice.engines.gpu_trial import Used, told, used
from voxtral_voice.errors import EngineError

# Names as the traces of torch have them.
FLASH = (
    "void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4, false, false, cutlass::bfloat16_t>>"
)
SPLIT = "void pytorch_flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4>>"
EFFICIENT = (
    "fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::bfloat16_t>::Params)"
)
CUDNN = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_3_64x128x128_4x1x1_kernel0_0"
PLAIN = "void (anonymous namespace)::softmax_warp_forward<c10::BFloat16, c10::BFloat16, float, 9, false, false>"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (FLASH, "flash"),
        (SPLIT, "flash"),
        (EFFICIENT, "memory-efficient"),
        (CUDNN, "cuDNN"),
        (PLAIN, "plain"),
        ("void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, c10::BFloat16>", "plain"),
    ],
)
def test_the_kind_of_attention_is_that_of_the_kernels(name: str, kind: str) -> None:
    assert used([name, name, "aten::_scaled_dot_product_flash_attention"], on_cpu=False).attention == {kind: 2}


def test_on_a_cpu_operators_tell_it() -> None:
    names = [
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_attention_math",
        "aten::mm",
    ]
    assert used(names, on_cpu=True).attention == {"flash": 1, "plain": 1}


def test_graphs_launches_and_copies_are_counted() -> None:
    names = [
        "cudaGraphLaunch",
        "cudaLaunchKernel",
        "cudaLaunchKernelExC",
        "cuLaunchKernelEx",
        "cudaLaunchHostFunc",
        "Memcpy HtoD (Pageable -> Device)",
        "Memcpy HtoD (Pinned -> Device)",
        "Memcpy DtoH (Device -> Pinned)",
        "Memcpy DtoD (Device -> Device)",
    ]
    found = used(names, on_cpu=False)
    assert found == Used({}, graphs=1, launches=3, pinned=2, pageable=1)
    assert told(found, on_cpu=False) == (
        "attention not seen; CUDA graphs launched 1 times, 3 kernels one by one; copies through pinned memory 2, "
        "pageable 1"
    )


def test_what_was_used_most_is_told_first() -> None:
    assert told(used([PLAIN, FLASH, FLASH], on_cpu=True), on_cpu=True) == "attention flash (2), plain (1)"


# --- the trial --------------------------------------------------------------------------------------------------


@pytest.mark.voxtral
def test_a_trial_on_the_cpu_computes_and_hears(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_trial.main("cpu") == 0
    lines = [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines() if line.startswith(gpu_trial.MARK)]
    assert [(verdict, subject) for verdict, subject, _ in lines] == [
        ("ok", "torch"),
        ("ok", "bfloat16 products"),
        ("ok", "float32 products"),
        ("ok", "Voxtral Mini, tiny"),
        ("ok", "Voxtral Realtime, tiny"),
        ("ok", "Kokoro, tiny"),
    ]
    assert "speaks 3 phrases in one run in " in lines[5][2]
    for _, _, text in lines[3:5]:
        assert "with float32 weights; attention flash (" in text


@pytest.mark.voxtral
def test_a_product_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(gpu_trial, "_speed", lambda *_: 1.0)
    assert gpu_trial._bfloat16(torch, "cpu")[0] == "ok"
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: torch.mm(left, right) * 1.1)
    monkeypatch.setattr(gpu_trial, "_off", lambda *_: 0.1)
    verdict, _, text = gpu_trial._bfloat16(torch, "cpu")
    assert (verdict, "is faulty" in text) == ("wrong", True)


@pytest.mark.voxtral
def test_how_far_a_product_is_off() -> None:
    import torch

    left = torch.eye(4)
    right = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert gpu_trial._off(left @ right, left, right) == 0
    assert gpu_trial._off(left @ right * 1.5, left, right) == pytest.approx(0.5)


@pytest.mark.voxtral
def test_a_torch_without_cuda_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (_, _, build), (verdict, subject, _) = gpu_trial.trial("cuda:0")
    assert build.startswith(torch.__version__)
    assert (verdict, subject) == ("wrong", "cuda:0")


def fails() -> None:
    raise RuntimeError("The NVIDIA driver on your system is too old\n(found version 12020).")


@pytest.mark.parametrize(
    ("built", "start", "text"),
    [
        (None, fails, "torch is built without CUDA: run 'make voxtral'"),
        ("13.0", fails, "CUDA does not start (The NVIDIA driver on your system is too old (found version 12020).)"),
        ("13.0", lambda: None, "CUDA finds no GPU: is CUDA_VISIBLE_DEVICES right?"),
    ],
)
def test_why_cuda_cannot_be_used(built: str | None, start: Any, text: str) -> None:
    torch = SimpleNamespace(version=SimpleNamespace(cuda=built), cuda=SimpleNamespace(init=start))
    assert gpu_trial._no_cuda(torch).startswith(text)


def test_a_model_that_cannot_be_tried_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    async def broken(*_: object) -> None:
        raise EngineError("transcriber", "No memory.")

    monkeypatch.setattr("voxtral_voice.engines.voxtral.random_weights.write", lambda *_: None)
    monkeypatch.setattr(gpu_trial, "_engine", lambda *_: None)
    monkeypatch.setattr(gpu_trial, "_heard", broken)
    assert gpu_trial._model(None, "mini", tmp_path, "cpu") == ("wrong", "Voxtral Mini, tiny", "No memory.")


def test_a_model_without_graphs_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    async def heard(*_: object) -> tuple[Used, str, float]:
        return Used({"flash": 2}, launches=900), "bfloat16", 0.25

    monkeypatch.setattr("voxtral_voice.engines.voxtral.random_weights.write", lambda *_: None)
    monkeypatch.setattr(gpu_trial, "_engine", lambda *_: None)
    monkeypatch.setattr(gpu_trial, "_heard", heard)
    verdict, _, text = gpu_trial._model(None, "mini", tmp_path, "cuda:0")
    assert verdict == "warning"
    assert text == (
        "hears 2 s in 250 ms with bfloat16 weights; attention flash (2); CUDA graphs launched 0 times, 900 kernels one "
        "by one; copies through pinned memory 0, pageable 0; without graphs it is slow"
    )


@pytest.mark.voxtral
def test_a_speaker_that_cannot_run_or_differs_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.network import Kokoro

    right = Kokoro.sound

    def louder(self: Kokoro, plans: Any) -> Any:
        return [samples * len(plans) for samples in right(self, plans)]

    monkeypatch.setattr(Kokoro, "sound", louder)
    verdict, subject, text = gpu_trial._speaker(torch, "cpu")
    assert (verdict, subject) == ("wrong", "Kokoro, tiny")
    assert "within 200.0% of its loudest sample" in text

    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")

    monkeypatch.setattr(Kokoro, "sound", broken)
    assert gpu_trial._speaker(torch, "cpu") == (
        "wrong",
        "Kokoro, tiny",
        "PyTorch cannot run it (CUDNN_STATUS_NOT_SUPPORTED)",
    )
