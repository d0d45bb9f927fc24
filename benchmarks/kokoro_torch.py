"""Is Kokoro in PyTorch the Kokoro of the catalogue's ONNX file, and what does either cost on this machine's CPU?

    python -m benchmarks.kokoro_torch [--out FILE]

Each sentence goes through both, with the file's weights as floats, on one thread: PyTorch with the frames that the file
chose. `same_source_db`: signal to noise of our generator, given the file's own source and what is decoded there; it
tells of the weights and of everything but the source. `distance_db`: of the sounds as they are, which differ by the
source's noise and phases; beside it that of two draws of our noise. Costs are CPU seconds per second of sound, of the
second run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from voxtral_voice.bench.machine import Facts, commit, machine
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.dequantised import dequantised
from voxtral_voice.engines.kokoro_torch import weights
from voxtral_voice.engines.kokoro_torch.network import Kokoro, Phrase, Plan
from voxtral_voice.engines.kokoro_torch.rows import Rows
from voxtral_voice.engines.kokoro_torch.source import NOISE_S, Source
from voxtral_voice.engines.phonemes import Phonemizer
from voxtral_voice.engines.voice_styles import read_styles
from voxtral_voice.weights import default_weights_dir

SENTENCES: Final = (
    ("af_heart", "en-US", "Good morning."),
    ("af_heart", "en-US", "I would love to help you plan a trip to the mountains this weekend."),
    ("bm_george", "en-GB", "The quick brown fox jumps over the lazy dog, and then it sleeps."),
    ("hf_alpha", "hi", "नमस्ते, आप कैसे हैं?"),
)
INSIDE: Final = {
    "frames": "/encoder/Clip_output_0",
    "natural": "/encoder/predictor/ReduceSum_output_0",
    "pitch": "/encoder/Reshape_output_0",
    "decoded": "/decoder/decoder/decode.3/Div_4_output_0",
    "source": "/decoder/decoder/generator/Concat_3_output_0",
}
"""Tensors of the file."""
FFT: Final = 1024
HOP: Final = 256
LOUD_DB: Final = 50.0
"""Frames that are quieter than the loudest by more do not count."""
FLOOR_DB: Final = 80.0


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    torch.set_num_threads(1)
    folder, found = default_weights_dir(), []
    path = folder / "kokoro-v1.0-int8.onnx"
    began = time.process_time()
    kokoro = weights.load(path, "cpu")
    load_cpu_s = round(time.process_time() - began, 2)
    session, phonemizer = original(path), Phonemizer()
    for voice, language, text in SENTENCES:
        (utterance,) = phonemizer.read(text, language=language).utterances
        style = read_styles(folder / "voices" / f"{voice}.bin")[len(utterance.symbols) - 1][0]
        found.append({"voice": voice, "text": text, **compared(kokoro, session, Phrase(utterance.ids, style, 1.0))})
        print(json.dumps(found[-1], ensure_ascii=False), flush=True)
    written = {
        "command": " ".join(["python -m benchmarks.kokoro_torch", *(sys.argv[1:] if words is None else words)]),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_cpu_s": load_cpu_s,
        "sentences": found,
    }
    options.out.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def original(path: Path) -> onnxruntime.InferenceSession:
    model = dequantised(onnx.load(path))
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in INSIDE.values())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compared(kokoro: Kokoro, session: onnxruntime.InferenceSession, phrase: Phrase) -> Facts:
    feeds = {"tokens": np.array([phrase.ids]), "style": phrase.style[None], "speed": np.ones(1, np.float32)}
    names = ["audio", *INSIDE.values()]
    theirs_s, values = second_run(lambda: session.run(names, feeds))
    their = dict(zip(("audio", *INSIDE), values, strict=True))
    plan_s, (planned,) = second_run(lambda: kokoro.plan([phrase]))
    plan = replace(planned, frames=tuple(their["frames"][0].astype(int).tolist()))
    sound_s, (sound,) = second_run(lambda: kokoro.sound([plan]))
    seconds = sound.size / SPEAK_RATE_HZ
    return {
        "audio_s": round(seconds, 2),
        **inner(kokoro, plan, their),
        "distance_db": round(distance_db(their["audio"], sound), 2),
        "distance_of_two_draws_db": round(distance_db(sound, other_draw(kokoro, plan)), 2),
        "onnx_cpu_s": round(theirs_s / seconds, 3),
        "torch_cpu_s": round((plan_s + sound_s) / seconds, 3),
    }


def inner(kokoro: Kokoro, plan: Plan, their: dict[str, Any]) -> Facts:
    """What is the same, step by step."""
    cpu = torch.device("cpu")
    rows, style = Rows([plan.length], cpu), plan.style[None]
    spread = plan.encoded.repeat_interleave(torch.tensor(plan.frames), dim=0)[None]
    with torch.inference_mode():
        natural = kokoro.predictor.durations(plan.encoded[None], Rows([len(plan.frames)], cpu))
        pitch_hz, _ = kokoro.predictor.curves(spread, style[:, 128:], rows)
        decoded, source = (torch.from_numpy(their[name]) for name in ("decoded", "source"))
        shaped = kokoro.decoder.generator.shaped(decoded, style[:, :128], source, rows.scaled(2))[0].numpy()
    rest = np.square(their["audio"] - shaped).sum()
    return {
        "frames_off": float(np.abs(natural.numpy() - their["natural"]).max()),
        "pitch_off_hz": float(np.abs(pitch_hz[0].numpy() - their["pitch"]).max()),
        "same_source_db": round(float(10 * np.log10(np.square(their["audio"]).sum() / rest)), 1),
    }


def other_draw(kokoro: Kokoro, plan: Plan) -> Samples:
    source: Source = kokoro.decoder.generator.m_source
    usual = source.noise
    source.noise = torch.randn(usual.shape, generator=torch.Generator().manual_seed(1))
    assert usual.shape[0] == round(NOISE_S * SPEAK_RATE_HZ)
    (sound,) = kokoro.sound([plan])
    source.noise = usual
    return sound


def second_run(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what it made."""
    work()
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def distance_db(first: Samples, second: Samples) -> float:
    """Mean over the loud frames of the root mean square difference of the logarithmic spectra."""
    one, other = spectra(first), spectra(second)
    floor = one.max() * 10 ** (-FLOOR_DB / 20)
    loud = one.max(axis=1) > one.max() * 10 ** (-LOUD_DB / 20)
    apart = 20 * np.log10(np.maximum(one, floor) / np.maximum(other, floor))[loud]
    return float(np.sqrt(np.square(apart).mean(axis=1)).mean())


def spectra(samples: Samples) -> npt.NDArray[np.float64]:
    pieces = np.lib.stride_tricks.sliding_window_view(np.pad(samples, FFT // 2), FFT)[::HOP]
    found: npt.NDArray[np.float64] = np.abs(np.fft.rfft(pieces * np.hanning(FFT), axis=1))
    return found


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="file for the figures")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
