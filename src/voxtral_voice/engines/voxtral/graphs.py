"""Work that is recorded once on CUDA and replayed.

Knows: how a graph is recorded, which sizes are worth one. Does not know: the work, which is always the same on the same
addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

BATCHES: Final = (1, 2, 4, 8, 16, 32)
"""Sequences or streams in one step: their number is filled up to the next of these, since each has a graph of its
own."""
WARM_UPS: Final = 2
"""Runs before a graph is recorded: libraries choose their kernels in them."""


def filled(count: int) -> int:
    return next((size for size in BATCHES if size >= count), count)


def recorded(work: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph | None:
    """None where there is no CUDA: the work is then done as it is written."""
    if device.type != "cuda":
        return None
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph
