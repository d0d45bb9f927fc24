from __future__ import annotations

import pytest

from voxtral_voice.engines.vllm.environment import SET, cleaned


@pytest.mark.parametrize(
    "name",
    [
        "VOXTRAL_VOICE_RESPONDER_API_KEY",
        "VOXTRAL_VOICE_SERVER_PORT",
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "RUNPOD_API_KEY",
        "RUNPOD_POD_ID",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "DATABASE_URL",
        "HTTPS_PROXY",
        "VLLM_API_KEY",
        "VLLM_S3_SECRET",
        "CUDA_auth_token",
        "VLLM_PORT",
    ],
)
def test_what_may_hold_a_key_stays_here(name: str) -> None:
    assert cleaned({name: "x"}) == SET


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LD_LIBRARY_PATH",
        "LC_ALL",
        "CUDA_VISIBLE_DEVICES",
        "NCCL_DEBUG",
        "VLLM_CPU_KVCACHE_SPACE",
        "OMP_NUM_THREADS",
        "HF_HOME",
        "TOKENIZERS_PARALLELISM",
        "VLLM_USE_FASTOKENS",
    ],
)
def test_what_it_needs_passes(name: str) -> None:
    assert cleaned({name: "x"})[name] == "x"


def test_what_it_is_told_wins() -> None:
    assert cleaned({"VLLM_HOST_IP": "0.0.0.0", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}) == SET
