"""Computes on a GPU and tells what it really used: not what was asked for, but what the GPU's own trace shows.

Knows: torch's profiler, the names of kernels. Does not know: settings, real weights; all models are tiny and random.

    python -m voxtral_voice.engines.gpu_trial cuda:0

Runs as a process of its own (for the doctor): what breaks CUDA breaks only that, and all memory is given back. One line
per finding on stdout, behind MARK: verdict, subject and text with tabs between. Works on "cpu" too, where there is less
to tell.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Transcriber
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    import torch

MARK: Final = "tried-by-the-doctor"
"""Begins each line that is ours; a library may print, too."""
DELAY_MS: Final = 480
HEARD_S: Final = 2.0
SIDE: Final = {"cuda": 4096, "cpu": 512}
"""Of the square matrices that are multiplied."""
ROWS: Final = 64
"""Of the product, that are computed a second time on the CPU."""
REPEATS: Final = 20
BFLOAT16_ERROR: Final = 0.02
"""Most that a right product may be off, of its largest number; rounding to 8 bits makes 0.004."""
TF32_ERROR: Final = 1e-5
"""Products of float32 that are off by more were computed with 10 bits, not 23."""
SPOKEN: Final = (5, 12, 20)
"""Symbols of the phrases that are spoken."""
SPOKEN_ERROR: Final = 0.05
"""Most that a phrase may change in company: convolutions of float32 have 10 bits on a GPU."""

Finding = tuple[str, str, str]
"""Verdict, subject, text."""

# --- what a trace shows -------------------------------------------------------------------------------------------

ATTENTION: Final = (
    (re.compile(r"cudnn.*(sdpa|attention|mha)"), "cuDNN"),
    (re.compile(r"flash_fwd|flash_attention_for_cpu"), "flash"),
    (re.compile(r"fmha_cutlass|AttentionKernel"), "memory-efficient"),
    (re.compile(r"_scaled_dot_product_attention_math$|softmax_?(warp_)?forward", re.IGNORECASE), "plain"),
)
"""The first that is found in the name of a kernel, or on a CPU of an operator, says which kind it is."""
OPERATOR: Final = "aten::"
GRAPHS: Final = frozenset({"cudaGraphLaunch", "cuGraphLaunch"})
LAUNCH: Final = re.compile(r"^(cudaLaunch|cuLaunch)\w*Kernel\w*$")
COPY: Final = re.compile(r"^Memcpy (?:HtoD|DtoH) \((\w+) -> (\w+)\)")


@dataclass(frozen=True, slots=True)
class Used:
    """Counts, of one trace."""

    attention: Mapping[str, int] = field(default_factory=dict)
    """By kind."""
    graphs: int = 0
    """Times that a recorded graph was launched."""
    launches: int = 0
    """Kernels that Python launched one by one."""
    pinned: int = 0
    pageable: int = 0
    """Copies between the GPU and this memory of the machine."""


def used(names: Iterable[str], *, on_cpu: bool) -> Used:
    """names: of all events. On a GPU the operators are left out, which only say what was asked of it."""
    counts = Counter(name for name in names if on_cpu or not name.startswith(OPERATOR))
    attention: Counter[str] = Counter()
    for name, count in counts.items():
        kind = next((kind for pattern, kind in ATTENTION if pattern.search(name)), None)
        if kind is not None:
            attention[kind] += count
    copies: Counter[str] = Counter()
    for name, count in counts.items():
        if found := COPY.match(name):
            copies.update(dict.fromkeys({found[1], found[2]} - {"Device"}, count))
    return Used(
        dict(attention.most_common()),
        sum(count for name, count in counts.items() if name in GRAPHS),
        sum(count for name, count in counts.items() if LAUNCH.match(name)),
        copies["Pinned"],
        copies["Pageable"],
    )


def told(it: Used, *, on_cpu: bool) -> str:
    kinds = ", ".join(f"{kind} ({count})" for kind, count in it.attention.items()) or "not seen"
    if on_cpu:
        return f"attention {kinds}"
    return (
        f"attention {kinds}; CUDA graphs launched {it.graphs} times, {it.launches} kernels one by one; copies through "
        f"pinned memory {it.pinned}, pageable {it.pageable}"
    )


# --- the trial ----------------------------------------------------------------------------------------------------


def trial(device: str) -> Iterator[Finding]:
    """Each finding as soon as it is made. Raises ImportError, RuntimeError (torch's), EngineError."""
    import torch

    yield "ok", "torch", _build(torch)
    if device != "cpu":
        if not torch.cuda.is_available():
            yield "wrong", device, _no_cuda(torch)
            return
        torch.cuda.set_device(device)
        yield "ok", device, _what_it_is(torch, device)
    yield _bfloat16(torch, device)
    yield "ok", "float32 products", _float32(torch, device)
    with TemporaryDirectory() as folder:
        for kind in ("mini", "realtime"):
            yield _model(torch, kind, Path(folder) / kind, device)
    yield _speaker(torch, device)


def _build(torch: Any) -> str:
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f"{torch.__version__}, {built}" + (f", cuDNN {cudnn}" if cudnn else "")


def _no_cuda(torch: Any) -> str:
    if not torch.version.cuda:
        return "torch is built without CUDA: run 'make voxtral' on this machine to install its CUDA build"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return f"CUDA does not start ({' '.join(str(error).split())[:200]}): is the driver new enough for this torch?"
    return "CUDA finds no GPU: is CUDA_VISIBLE_DEVICES right?"


def _what_it_is(torch: Any, device: str) -> str:
    it = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return (
        f"{it.name}, compute capability {it.major}.{it.minor}, {it.multi_processor_count} multiprocessors, "
        f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    )


def _bfloat16(torch: Any, device: str) -> Finding:
    """A product of bfloat16, against the same in float64 on the CPU."""
    side = SIDE["cpu" if device == "cpu" else "cuda"]
    left, right = (_random(torch, side, seed, device).bfloat16() for seed in (1, 2))
    product = left @ right
    off = _off(product[:ROWS], left[:ROWS], right)
    text = f"{side} x {side} is right within {off:.1%} of its largest number"
    if off > BFLOAT16_ERROR:
        return (
            "wrong",
            "bfloat16 products",
            f"{text}, and {BFLOAT16_ERROR:.0%} are the most: this GPU or driver is faulty",
        )
    return "ok", "bfloat16 products", f"{text}, {_speed(torch, left, right):.1f} TFLOP/s"


def _speed(torch: Any, left: torch.Tensor, right: torch.Tensor) -> float:
    _wait(torch, left)
    began = time.perf_counter()
    for _ in range(REPEATS):
        left @ right
    _wait(torch, left)
    return float(REPEATS * 2 * len(left) ** 3 / (time.perf_counter() - began) / 1e12)


def _wait(torch: Any, tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def _float32(torch: Any, device: str) -> str:
    left, right = (_random(torch, SIDE["cpu"], seed, device) for seed in (1, 2))
    off = _off(left @ right, left, right)
    bits = "as TF32 (10 bits)" if off > TF32_ERROR else "in full (23 bits)"
    asked = torch.get_float32_matmul_precision()
    return f"computed {bits}, right within {off:.0e} of the largest number; torch is set to {asked!r}"


def _random(torch: Any, side: int, seed: int, device: str) -> torch.Tensor:
    made: torch.Tensor = torch.randn(side, side, generator=torch.Generator().manual_seed(seed)).to(device)
    return made


def _off(product: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    right_one = left.cpu().double() @ right.cpu().double()
    return float((product.cpu().double() - right_one).abs().max() / right_one.abs().max())


def _model(torch: Any, kind: Any, folder: Path, device: str) -> Finding:
    from voxtral_voice.engines.voxtral import random_weights

    random_weights.write(folder, kind, "tiny")
    gc.collect()
    subject = f"Voxtral {kind.capitalize()}, tiny"
    engine = _engine(kind, folder, device)
    try:
        seen, dtype, wall_s = asyncio.run(_heard(torch, engine, device))
    except EngineError as error:
        return "wrong", subject, str(error)
    on_cpu = device == "cpu"
    graphs = on_cpu or seen.graphs > 0 or not seen.launches
    text = f"hears {HEARD_S:g} s in {wall_s * 1000:.0f} ms with {dtype} weights; {told(seen, on_cpu=on_cpu)}"
    return ("ok" if graphs else "warning"), subject, text if graphs else f"{text}; without graphs it is slow"


def _engine(kind: str, folder: Path, device: str) -> Transcriber:
    from voxtral_voice.engines.voxtral.mini_model import MiniModel
    from voxtral_voice.engines.voxtral.mini_transcriber import MiniTranscriber
    from voxtral_voice.engines.voxtral.realtime_transcriber import RealtimeTranscriber

    if kind == "realtime":
        return RealtimeTranscriber(folder, device, DELAY_MS)
    return MiniTranscriber(MiniModel(folder, device))


async def _heard(torch: Any, engine: Transcriber, device: str) -> tuple[Used, str, float]:
    """What was used to hear noise, of which type the weights are, and how long it took without being watched."""
    noise = (torch.randn(int(HEARD_S * LISTEN_RATE_HZ), generator=torch.Generator().manual_seed(3)) * 0.05).numpy()
    try:
        await engine.start()
        types = _types(torch, device)
        began = time.perf_counter()
        await engine.transcribe(noise, language="en", prompt="", final=True)
        wall_s = time.perf_counter() - began
        with _watched(torch, device) as trace:
            await engine.transcribe(noise[::-1].copy(), language="en", prompt="", final=True)
    finally:
        await engine.aclose()
    return used((event.name for event in trace.events()), on_cpu=device == "cpu"), types, wall_s


def _speaker(torch: Any, device: str) -> Finding:
    """Phrases of several lengths in one run, against each alone."""
    import numpy as np

    from voxtral_voice.engines.kokoro_torch.network import TINY, Kokoro, Phrase

    subject = "Kokoro, tiny"
    try:
        torch.manual_seed(0)
        model = Kokoro(TINY).requires_grad_(False).eval().to(device)
        style = np.random.default_rng(0).normal(0, 0.3, 2 * TINY.style).astype(np.float32)
        plans = [model.plan([Phrase((0, *range(43, 43 + length), 0), style, 1.0)])[0] for length in SPOKEN]
        alone = [model.sound([plan])[0] for plan in plans]
        model.sound(plans)
        began = time.perf_counter()
        together = model.sound(plans)
        wall_s = time.perf_counter() - began
    except RuntimeError as error:
        return "wrong", subject, f"PyTorch cannot run it ({' '.join(str(error).split())[:200]})"
    off = max(float(np.abs(one - same).max() / np.abs(one).max()) for one, same in zip(alone, together, strict=True))
    text = (
        f"speaks {len(plans)} phrases in one run in {wall_s * 1000:.0f} ms, each as it is alone within {off:.1%} of "
        "its loudest sample"
    )
    return ("ok" if off < SPOKEN_ERROR else "wrong"), subject, text


def _types(torch: Any, device: str) -> str:
    """Of all weights on the device, whoever has them: "bfloat16", or each with its share."""
    kind, numbers = device.partition(":")[0], Counter[str]()
    for it in gc.get_objects():
        if type(it) is torch.nn.Parameter and it.device.type == kind:  # isinstance would touch all that lives
            numbers[str(it.dtype).removeprefix("torch.")] += it.numel()
    if len(numbers) == 1:
        return next(iter(numbers))
    return ", ".join(f"{name} {count / numbers.total():.1%}" for name, count in numbers.most_common())


def _watched(torch: Any, device: str) -> Any:
    """Of all threads: engines have their own."""
    profiler = torch.profiler
    kinds = [profiler.ProfilerActivity.CPU] + ([profiler.ProfilerActivity.CUDA] if device != "cpu" else [])
    everywhere = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    return profiler.profile(activities=kinds, experimental_config=everywhere)


def main(device: str) -> int:
    """Exit status: 1 when something is wrong."""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    status = 0
    for verdict, subject, text in trial(device):
        print(MARK, verdict, subject, text, sep="\t", flush=True)
        status |= verdict == "wrong"
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
