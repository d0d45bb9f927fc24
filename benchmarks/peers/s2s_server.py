"""Hugging Face speech-to-speech as its own `serve` command starts it, with remote transcription, answers and speech.

Knows: speech-to-speech's flags (the version in requirements-s2s.txt), and where the packages of that environment hold
the files that it would otherwise download: Silero VAD (silero-vad), Smart Turn v3.2 (pipecat-ai), the
sentence splitter's data (llama-index-core). (A tagger that it looks for and does not use is an empty folder.)
Does not know: this project; it runs in its own environment (`environments.py`).

The wire is OpenAI Realtime at /v1/realtime; it takes audio for 16 kHz unless the client says otherwise. One process
holds exactly --sessions sessions, each in a pipeline of its own with six threads; a further one is refused. The
language detector, which the framework otherwise loads during the first answer (13 s), is loaded before that.

Settings: "shipped" is what the framework does by default (a turn soft-ends after 64 ms of silence; the answer's text is
prepared then, and held for 800 ms, or for 2 s and begun 0.6 s later when Smart Turn thinks that more will come; the
turn so far is transcribed every 0.5 s; three sentences are spoken at a time). "matched" has no turn model and no
partial transcripts, holds the answer until --silence-ms have passed, and speaks each sentence at once.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

INSTRUCTIONS = "You are a voice assistant. Answer in one to three short spoken sentences, without lists or markdown."
"""As our own server has it."""
VAD_SILENCE_MS = 64
"""The framework's default, kept: what follows it is the hold."""
HUB = """
dependencies = ["torch"]

def silero_vad(**_):
    from silero_vad import load_silero_vad
    return load_silero_vad(), None
"""
"""What torch.hub would fetch from the VAD's repository: its entry point, into the same package."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transcriber-url", required=True)
    parser.add_argument("--responder-url", required=True)
    parser.add_argument("--speaker-url", required=True)
    parser.add_argument("--settings", choices=("shipped", "matched"), default="shipped")
    parser.add_argument("--silence-ms", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=8)
    args = parser.parse_args()
    offline()
    from speech_to_speech.cli import main as serve
    from speech_to_speech.pipeline.language_detection import warm_language_detector

    warm_language_detector()
    sys.argv = ["speech-to-speech", "serve", *flags(args)]
    serve()


def flags(args: argparse.Namespace) -> list[str]:
    common = {
        "port": args.port,
        "num_pipelines": args.sessions,
        "log_level": "warning",
        "stt": "openai",
        "openai_stt_base_url": args.transcriber_url,
        "llm_backend": "chat-completions",
        "responses_api_base_url": args.responder_url,
        "responses_api_api_key": "none",
        "init_chat_prompt": INSTRUCTIONS,
        "tts": "openai",
        "openai_tts_base_url": args.speaker_url,
        "openai_tts_voice": "alloy",
        "smart_turn_model_path": inside("pipecat", "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"),
    }
    matched = {
        "no_smart_turn": "",
        "no_enable_live_transcription": "",
        "min_silence_ms": min(VAD_SILENCE_MS, args.silence_ms),
        "speculative_reopen_ms": max(0, args.silence_ms - VAD_SILENCE_MS),
        "stream_batch_sentences": 1,
    }
    chosen = common | (matched if args.settings == "matched" else {})
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value)) if part]


def offline() -> None:
    """Lets the framework find the files that it would download."""
    hub = Path(sys.prefix) / "hub"
    entry = hub / "hub" / "snakers4_silero-vad_master" / "hubconf.py"
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(HUB)
    os.environ["TORCH_HOME"] = str(hub)
    tagger = hub / "taggers" / "averaged_perceptron_tagger_eng"
    tagger.mkdir(parents=True, exist_ok=True)
    os.environ["NLTK_DATA"] = f"{inside('llama_index', 'core/_static/nltk_cache')}{os.pathsep}{hub}"
    os.environ["HF_HUB_OFFLINE"] = "1"


def inside(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported for it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"The environment has no package {package}: make it again with benchmarks/peers/environments.py."
        )
    return next(Path(place) / path for place in spec.submodule_search_locations if (Path(place) / path).exists())


if __name__ == "__main__":
    main()
