"""What of our environment a vLLM of our own gets to see: what it needs by name, and no key.

Knows: names of variables. Does not know: what the values mean.

A list of what may pass, and not of what may not: whoever starts us may have any secret in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final = frozenset(
    "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP LD_LIBRARY_PATH LD_PRELOAD LIBRARY_PATH CPATH "
    "C_INCLUDE_PATH CPLUS_INCLUDE_PATH CC CXX CUDAHOSTCXX MAX_JOBS HF_HOME HF_HUB_CACHE XDG_CACHE_HOME XDG_CONFIG_HOME "
    "VIRTUAL_ENV PYTHONPATH SSL_CERT_FILE SSL_CERT_DIR TOKENIZERS_PARALLELISM".split()
)
PREFIXES: Final = tuple(
    "LC_ CUDA_ NVIDIA_ NCCL_ CUBLAS_ CUDNN_ TORCH_ TORCHINDUCTOR_ PYTORCH_ TRITON_ VLLM_ FLASHINFER_ OMP_ KMP_ MKL_ "
    "GOMP_ MALLOC_ ROCR_ HIP_".split()
)
SECRET: Final = frozenset({"KEY", "KEYS", "TOKEN", "TOKENS", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "AUTH"})
"""Words of a name: it stays here, also where the name may pass otherwise (VLLM_API_KEY)."""
LEFT_OUT: Final = frozenset({"VLLM_PORT", "VLLM_HOST_IP"})
"""Where it would listen. Kubernetes sets VLLM_PORT to a URL for a service called vllm, and vLLM does not start then."""

SET: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOGGING_COLOR": "0",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}
"""Nothing is fetched or told to anyone, its parts talk over loopback, lines come whole, and GPUs are numbered as NVML
and nvidia-smi number them."""


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """Without keys, with what vLLM is to be told."""
    return {name: value for name, value in environment.items() if _may_pass(name)} | SET


def _may_pass(name: str) -> bool:
    words = set(name.upper().split("_"))
    return (name in NAMES or name.startswith(PREFIXES)) and not words & SECRET and name not in LEFT_OUT
