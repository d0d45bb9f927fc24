"""What a user hears in place of a reply that failed before anything of it was heard.

Knows: the sentences, in which language, and where they lie spoken beforehand. Does not know: when one is due (the core
decides), the speaker, which says them while it works.

The files are Ogg Opus of 24 kHz, from our own Kokoro: `scripts/render_apologies.py` makes them of `TEXTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, Voice
from voxtral_voice.errors import AudioError

FOLDER: Final = Path(__file__).parent / "apologies"
VOICES: Final[Mapping[str, str]] = {
    "en-US": "af_heart",
    "en-GB": "bf_emma",
    "es": "ef_dora",
    "fr": "ff_siwis",
    "hi": "hf_alpha",
    "it": "if_sara",
    "ja": "jf_alpha",
    "pt-BR": "pf_dora",
    "zh": "zf_xiaobei",
}
"""By language, as Kokoro's voices have it: who says it."""
TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "transcriber": {
        "en": "Sorry, I can't hear you properly right now. Please try again in a moment.",
        "es": "Perdón, ahora mismo no te entiendo bien. Inténtalo de nuevo en un momento.",
        "fr": "Pardon, je n'arrive pas à vous comprendre pour l'instant. Réessayez dans un moment.",
        "hi": "माफ़ कीजिए, अभी मुझे आपकी बात समझ नहीं आ रही है। कृपया थोड़ी देर में फिर से कोशिश कीजिए।",
        "it": "Scusa, al momento non riesco a capirti. Riprova tra un attimo.",
        "ja": "すみません、今はお話を聞き取ることができません。少ししてからもう一度お試しください。",
        "pt": "Desculpe, não consigo entender você agora. Tente de novo daqui a pouco.",
        "zh": "抱歉，我现在听不清您说的话。请稍后再试。",
    },
    "responder": {
        "en": "Sorry, I can't think right now. Please try again in a moment.",
        "es": "Perdón, ahora mismo no puedo pensar. Inténtalo de nuevo en un momento.",
        "fr": "Pardon, je n'arrive pas à réfléchir pour l'instant. Réessayez dans un moment.",
        "hi": "माफ़ कीजिए, अभी मुझसे सोचा नहीं जा रहा है। कृपया थोड़ी देर में फिर से कोशिश कीजिए।",
        "it": "Scusa, al momento non riesco a pensare. Riprova tra un attimo.",
        "ja": "すみません、今は考えることができません。少ししてからもう一度お試しください。",
        "pt": "Desculpe, não consigo pensar agora. Tente de novo daqui a pouco.",
        "zh": "抱歉，我现在无法思考。请稍后再试。",
    },
    "speaker": {
        "en": "Sorry, something is wrong with my voice. Please try again in a moment.",
        "es": "Perdón, tengo un problema con la voz. Inténtalo de nuevo en un momento.",
        "fr": "Pardon, j'ai un problème avec ma voix. Réessayez dans un moment.",
        "hi": "माफ़ कीजिए, मेरी आवाज़ में कुछ गड़बड़ है। कृपया थोड़ी देर में फिर से कोशिश कीजिए।",
        "it": "Scusa, ho un problema con la voce. Riprova tra un attimo.",
        "ja": "すみません、声の調子がよくありません。少ししてからもう一度お試しください。",
        "pt": "Desculpe, estou com um problema na voz. Tente de novo daqui a pouco.",
        "zh": "抱歉，我的声音出了点问题。请稍后再试。",
    },
}
"""By the engine that failed and the language, ISO 639-1. None says of itself if it is a woman or a man."""


def tag_for(language: str | None, voice: Voice | None) -> str:
    """Of VOICES. language: ISO 639-1 that the user speaks; None = not known. voice: the session's, if it is known."""
    own = voice.language if voice is not None else ""
    spoken = language or own.partition("-")[0]
    fitting = [tag for tag in VOICES if tag.partition("-")[0] == spoken]
    return own if own in fitting else next(iter(fitting), "en-US")


def text(engine: str, tag: str) -> str:
    return TEXTS[engine][tag.partition("-")[0]]


def file(engine: str, tag: str) -> Path:
    return FOLDER / f"{engine}-{tag}.opus"


@cache
def recorded(engine: str, tag: str) -> Samples:
    """24 kHz. Reads a file when it is asked for the first time. Raises AudioError."""
    path = file(engine, tag)
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"The apology {path.name} cannot be read ({error}).") from error
    if rate_hz != SPEAK_RATE_HZ or samples.ndim != 1:
        raise AudioError(f"The apology {path.name} is not mono at {SPEAK_RATE_HZ} Hz.")
    return np.ascontiguousarray(samples)
