"""Where a figure was measured: the machine, its GPUs, the libraries that compute, the commit.

Knows: the operating system, git, the versions that are installed. Does not know: figures, names of people or hosts. It
needs no more than the standard library (and nvidia-ml-py to name GPUs), so that a script that lacks the server's
libraries can say it too.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from voxtral_voice.engines.gpu import gpus

Facts = dict[str, Any]
"""What JSON can hold."""

COMPUTING: Final = ("torch", "transformers", "vllm", "onnxruntime", "onnxruntime-gpu", "ctranslate2")
"""Libraries whose version may change a figure."""


def machine() -> Facts:
    """Where it was measured; no names of people or hosts. `gpus` only where there are some."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "libraries": libraries(),
        **_gpus(),
    }


def _gpus() -> Facts:
    found = [
        {
            "name": gpu.name,
            "memory_gb": round(gpu.total_bytes / 1e9, 1),
            "driver": gpu.driver,
            "compute_capability": ".".join(map(str, gpu.capability)),
        }
        for gpu in gpus()
    ]
    return {"gpus": found} if found else {}


def libraries() -> Facts:
    """Name -> version of those that compute, and are installed."""
    found = {name: _version(name) for name in COMPUTING}
    return {name: each for name, each in found.items() if each is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    if sys.platform == "linux":
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found.group(1).strip()
    return platform.processor()


def commit() -> str | None:
    """Of the checkout that this package is run from; None when there is none, or no git."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changes else "")
