"""Says in plain words what this machine has, lacks, or has wrong, for the chosen profile.

Knows: how to look. Does not know: how to repair; each line says what the user can do.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from voxtral_voice.config import Config, ServerConfig, is_loopback
from voxtral_voice.engines import voxtral_parts
from voxtral_voice.engines.gpu import Gpu, look
from voxtral_voice.engines.gpu_trial import MARK
from voxtral_voice.engines.placement import CPU
from voxtral_voice.engines.vllm.launch import find
from voxtral_voice.engines.voxtral_parts import Model
from voxtral_voice.errors import ConfigError, EngineError, WeightsError
from voxtral_voice.models import LAYOUTS, backend, source, voxtral_options
from voxtral_voice.weights import checkpoint
from voxtral_voice.weights.repository import repository
from voxtral_voice.weights.store import SPARE_BYTES, Store

if TYPE_CHECKING:
    from voxtral_voice.engines.openai_http import OpenAIServer

Verdict = Literal["ok", "warning", "wrong"]

SERVER_LIBRARIES: Final = (
    ("numpy", "numpy"),
    ("soxr", "soxr"),
    ("soundfile", "soundfile"),
    ("fastapi", "fastapi"),
    ("uvicorn", "uvicorn"),
    ("uvloop", "uvloop"),
    ("httptools", "httptools"),
    ("websockets", "websockets"),
    ("orjson", "orjson"),
    ("pybase64", "pybase64"),
    ("av", "av"),
    ("python_multipart", "python-multipart"),
    ("prometheus_client", "prometheus-client"),
)
"""(name to import, name to install) of what every profile needs."""
REMOTE_LIBRARIES: Final = (("aiohttp", "aiohttp"),)
"""What engines behind URLs need."""
ENGINE_LIBRARIES: Final = {
    ("onnxruntime", "onnxruntime"): {"voice_activity", "turn_judge", "responder", "speaker"},
    ("ctranslate2", "ctranslate2"): {"transcriber"},
    ("tokenizers", "tokenizers"): {"transcriber", "responder"},
    ("onnx", "onnx"): {"responder"},
    ("espeakng_loader", "espeakng-loader"): {"speaker"},
    ("hibari", "hibari-tts"): {"speaker"},
}
"""What the engines on this machine need besides, and which engines those are."""

CORES_WANTED: Final = 2
MEMORY_WANTED_BYTES: Final = 2_000_000_000
"""All embedded models take up to 1.5 GB."""
IMPORT_TIMEOUT_S: Final = 120.0

TRIAL: Final = "voxtral_voice.engines.gpu_trial"
TRIAL_TIMEOUT_S: Final = 300.0
"""Of two tiny models, most of it imports; a GPU that hangs is found."""

IMPORT_MARK: Final = "imported-by-the-doctor"
"""Begins each line of the child that is ours; a library may print, too."""
IMPORT_EACH: Final = """
import importlib, sys
MARK = sys.argv.pop(1)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        print(MARK, name, flush=True)
    except BaseException as error:
        print(MARK, name, type(error).__name__, *str(error).split(), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Check:
    verdict: Verdict
    subject: str
    text: str
    """What was found, and when it is not ok, what to do."""

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.subject}: {self.text}"


def examine(config: Config) -> Iterator[Check]:
    """Every check, as soon as it is done. The profile cannot run if one is "wrong"."""
    yield _python()
    yield from _libraries(config)
    yield from _model_files(config)
    yield from _remote_parts(config)
    yield from _protection(config.server)
    yield _port(config.server.host, config.server.port)
    yield from _voxtral(config) if config.profile == "gpu" else [_gpu()]
    yield _disk(config)
    yield _machine()


def try_gpus(config: Config) -> Iterator[Check]:
    """Compute on each device that Voxtral would run on, and tell what was used for it. "wrong" if one cannot."""
    placement = config.placement
    for device in dict.fromkeys((placement.transcriber, placement.responder)):
        check = _there_is(device)
        yield check
        if check.verdict == "ok":
            yield from _tried(device)


def _python() -> Check:
    return Check("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _libraries(config: Config) -> Iterator[Check]:
    here = {file.part for file in config.model_files}
    libraries = [*SERVER_LIBRARIES, *(REMOTE_LIBRARIES if config.remote.places else ())]
    libraries += [library for library, parts in ENGINE_LIBRARIES.items() if parts & here]
    failures = _import_failures([module for module, _ in libraries])
    for module, distribution in libraries:
        if module in failures:
            yield Check(
                "wrong", f"library {distribution}", f"{failures[module]}; run 'make install' to install it again"
            )
        else:
            yield Check("ok", f"library {distribution}", metadata.version(distribution))


def _import_failures(modules: Sequence[str]) -> dict[str, str]:
    """Which modules cannot be imported, and why. Imports in another process: a native library that crashes takes
    only that with it, and the rest is tried in a new one."""
    failures: dict[str, str] = {}
    rest = list(modules)
    while rest:
        lines, ending = _import_in_child(rest)
        for line in lines:
            module, _, failure = line.partition(" ")
            rest.remove(module)
            if failure:
                failures[module] = f"cannot be imported ({failure})"
        if rest:
            failures[rest.pop(0)] = f"breaks Python when it is imported ({ending})"
    return failures


def _import_in_child(modules: Sequence[str]) -> tuple[list[str], str]:
    """The lines that the child printed, and how it ended."""
    command = [sys.executable, "-c", IMPORT_EACH, IMPORT_MARK, *modules]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or b""
        text = printed.decode() if isinstance(printed, bytes) else printed
        return _results(text), f"no end after {IMPORT_TIMEOUT_S:.0f} s"
    return _results(child.stdout), f"exit status {child.returncode}"


def _results(printed: str) -> list[str]:
    """ "MODULE" or "MODULE REASON" of each import that came to an end."""
    return [line.partition(" ")[2] for line in printed.splitlines() if line.startswith(f"{IMPORT_MARK} ")]


def _model_files(config: Config) -> Iterator[Check]:
    files = config.model_files
    if not files:
        yield Check("ok", "model files", f"the {config.profile} profile needs none")
        return
    store = Store(config.weights.dir)
    findings = [store.look(file) for file in files]
    for state in ("missing", "damaged"):
        names = [finding.file.name for finding in findings if finding.state == state]
        if names:
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            text = f"{len(names)} of {len(files)} {state} in {store.folder} ({shown}): run 'voxtral-voice models pull'"
            yield Check("wrong", "model files", text)
    unchecked = sum(finding.state == "unchecked" for finding in findings)
    if unchecked:
        text = f"{unchecked} of {len(files)} not checked yet; the next start, or 'voxtral-voice models verify', does"
        yield Check("warning", "model files", text)
    if all(finding.state == "ok" for finding in findings):
        yield Check("ok", "model files", f"all {len(files)} in {store.folder}, sha256 checked before")


def _remote_parts(config: Config) -> Iterator[Check]:
    """Ask each server that an engine is behind, as a start does."""
    places = config.remote.places
    if (fallback := config.responder.fallback) is not None:
        places["responder.fallback"] = fallback
    if not places:
        return
    from voxtral_voice.engines.openai_http import OpenAIServer

    for name, place in places.items():
        server = OpenAIServer(name.partition(".")[0], place)
        try:
            asyncio.run(_start_and_close(server))
        except EngineError as error:
            yield Check("wrong", name, str(error))
        else:
            yield Check("ok", name, server.name)


async def _start_and_close(server: OpenAIServer) -> None:
    try:
        await server.start()
    finally:
        await server.aclose()


def _protection(server: ServerConfig) -> Iterator[Check]:
    try:
        server.require_protection()
    except ConfigError as error:
        yield Check("wrong", "access", str(error))
    else:
        yield Check("warning" if _is_open(server) else "ok", "access", _access(server))
    for name in ("api_keys_file", "tls_cert", "tls_key"):
        if (file := getattr(server, name)) and not os.access(file, os.R_OK):
            yield Check("wrong", f"server.{name}", f"there is no file {file} that can be read: name another")


def _is_open(server: ServerConfig) -> bool:
    """To other machines, without a key."""
    return not (server.asks_for_a_key or is_loopback(server.host))


def _access(server: ServerConfig) -> str:
    where = "this machine" if is_loopback(server.host) else "all who reach this machine"
    tls = "TLS" if server.tls_cert else "no TLS"
    return f"{where}, {'with a key' if server.asks_for_a_key else 'without a key'}, {tls}"


def _port(host: str, port: int) -> Check:
    subject = f"port {port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or error
        return Check("wrong", subject, f"cannot listen on {host} ({reason}): choose another with --port or --host")
    return Check("ok", subject, f"free on {host}")


def _gpu() -> Check:
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return Check("ok", "GPU", "none found, and this profile needs none")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("warning", "GPU", f"nvidia-smi cannot be asked ({error}); this profile needs no GPU")
    if found.returncode or not found.stdout.strip():
        reason = (found.stdout + found.stderr).strip().splitlines()[:1]
        return Check("warning", "GPU", f"nvidia-smi finds none ({''.join(reason)}); this profile needs none")
    return Check("ok", "GPU", f"{'; '.join(found.stdout.strip().splitlines())}; this profile does not use it")


# --- Voxtral ----------------------------------------------------------------------------------------------------


def _voxtral(config: Config) -> Iterator[Check]:
    """Is everything there that the gpu profile needs?"""
    options = voxtral_options(config)
    yield from _gpus()
    try:
        voxtral_parts.require(options)
    except EngineError as error:
        yield Check("wrong", "Voxtral", str(error))
    else:
        runs = ", ".join(f"{model} on {options.device(model)}" for model in options.models) or "all of it elsewhere"
        yield Check("ok", "Voxtral", f"{options.listen} through {options.backend}: {runs}")
    if options.backend == "vllm" and options.vllm is None and (command := find(options.vllm_command)):
        yield Check("ok", "vllm", str(command))
    for model in options.models:
        yield _checkpoint(config, model)


def _gpus() -> Iterator[Check]:
    found = look()
    for gpu in found.gpus:
        yield Check("ok", "GPU", _described(gpu))
    if not found.gpus:
        yield Check("warning", "GPU", found.lacking)


def _described(gpu: Gpu) -> str:
    capability, cuda = (".".join(map(str, version)) for version in (gpu.capability, gpu.cuda))
    return f"{gpu}, compute capability {capability}, driver {gpu.driver} (CUDA up to {cuda})"


def _checkpoint(config: Config, model: Model) -> Check:
    layout, subject = LAYOUTS[backend(config)], f"checkpoint {model}"
    try:
        place = repository(source(config, model), config.weights.dir)
        if not isinstance(place, Path) and place.recorded() is None:
            return Check("wrong", subject, f"{place.repo} is not fetched yet: run 'voxtral-voice models pull'")
        found = checkpoint.look(place if isinstance(place, Path) else place.folder, wanted=model, layout=layout)
    except WeightsError as error:
        return Check("wrong", subject, str(error))
    return Check("ok", subject, f"{found.weights_bytes / 1e9:.1f} GB in {found.folder}")


def _there_is(device: str) -> Check:
    """Is there such a GPU? Asked of the driver, before torch is."""
    if device == CPU:
        return Check("ok", device, "asked for instead of a GPU")
    found, index = look(), int(device.partition(":")[2] or 0)
    if not found.gpus:
        return Check("wrong", device, f"{found.lacking}; nothing can be tried")
    if index >= len(found.gpus):
        known = ", ".join(f"cuda:{gpu.index}" for gpu in found.gpus)
        return Check("wrong", device, f"there is no such GPU, only {known}: choose another with --device")
    return Check("ok", device, _described(found.gpus[index]))


def _tried(device: str) -> Iterator[Check]:
    """In another process, whose end gives all memory back, and which may crash."""
    if find_spec("torch") is None:
        yield Check("wrong", "torch", "is not installed: run 'make voxtral'")
        return
    command = [sys.executable, "-m", TRIAL, device]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        yield Check("wrong", device, f"computing on it did not end within {TRIAL_TIMEOUT_S:.0f} s; is it free?")
        return
    for line in child.stdout.splitlines():
        match line.split("\t"):
            case [mark, ("ok" | "warning" | "wrong") as verdict, subject, text] if mark == MARK:
                yield Check(verdict, subject, text)
    if child.returncode not in (0, 1) or "Traceback" in child.stderr:
        said = [line for line in child.stderr.splitlines() if line.strip()][-1:]
        yield Check("wrong", device, f"computing on it broke ({''.join(said) or f'status {child.returncode}'})")


# --- the machine ------------------------------------------------------------------------------------------------


def _disk(config: Config) -> Check:
    store = Store(config.weights.dir)
    missing = sum(file.size for file in config.model_files if store.look(file).state in ("missing", "damaged"))
    place = next(path for path in (store.folder, *store.folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free at {place}"
    if free < missing + SPARE_BYTES:
        wanted = (missing + SPARE_BYTES) / 1e9
        return Check("wrong", "disk", f"{found}, and {wanted:.1f} GB are needed: free some, or choose --weights-dir")
    return Check("ok", "disk", found)


def _machine() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _memory_bytes()
    found = f"{cores} cores, {memory / 1e9:.1f} GB of memory"
    if cores < CORES_WANTED or memory < MEMORY_WANTED_BYTES:
        wanted = f"{CORES_WANTED} cores and {MEMORY_WANTED_BYTES / 1e9:.0f} GB"
        return Check("warning", "machine", f"{found}; answers will be slow below {wanted}")
    return Check("ok", "machine", found)


def _memory_bytes() -> int:
    """Of the machine, or of the container if that has a limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(text)) if text.isdigit() else machine
