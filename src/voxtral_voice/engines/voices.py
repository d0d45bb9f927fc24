"""The voices that this package offers, as data.

Knows: id, language, gender, grade and loudness of every Kokoro voice, and which eight are the default ones. Does not
know: their files (`voice_styles`), models, what a session chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.blends import SHOWN_CHARS, is_blend, parse
from voxtral_voice.errors import RequestError

Styles = npt.NDArray[np.float32]
"""float32 [510, 1, 256]: what a voice sounds like when it says 1 to 510 symbols."""

LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a": "en-US",
        "b": "en-GB",
        "e": "es",
        "f": "fr",
        "h": "hi",
        "i": "it",
        "j": "ja",
        "p": "pt-BR",
        "z": "zh",
    }
)
"""First letter of a Kokoro voice's name -> BCP 47 tag."""

_DEFAULT: Final = "af_heart=A af_bella=A- af_nicole=B- af_sarah=C+ hf_alpha=C hf_beta=C hm_omega=C hm_psi=C"
_OTHERS: Final = (
    "af_aoede=C+ af_kore=C+ af_alloy=C af_nova=C af_sky=C- af_jessica=D af_river=D "
    "am_fenrir=C+ am_michael=C+ am_puck=C+ am_echo=D am_eric=D am_liam=D am_onyx=D am_santa=D- am_adam=F+ "
    "bf_emma=B- bf_isabella=C bf_alice=D bf_lily=D bm_fable=C bm_george=C bm_lewis=D+ bm_daniel=D "
    "ef_dora= em_alex= em_santa= ff_siwis=B- if_sara=C im_nicola=C "
    "jf_alpha=C+ jf_gongitsune=C jf_tebukuro=C jf_nezumi=C- jm_kumo=C- "
    "pf_dora= pm_alex= pm_santa= "
    "zf_xiaobei=D zf_xiaoni=D zf_xiaoxiao=D zf_xiaoyi=D zm_yunjian=D zm_yunxi=D zm_yunxia=D zm_yunyang=D"
)
"""Grades as Kokoro-82M's VOICES.md has them; the Spanish and Portuguese voices have none there. Within a language and
gender the better ones come first."""


def _table(graded: str) -> dict[str, Voice]:
    rows = (entry.split("=") for entry in graded.split())
    return {
        name: Voice(name, LANGUAGES[name[0]], "female" if name[1] == "f" else "male", grade) for name, grade in rows
    }


VOICES: Final[Mapping[str, Voice]] = MappingProxyType(_table(_DEFAULT) | _table(_OTHERS))
"""All 54 by id, the default ones first."""
DEFAULT_VOICES: Final = tuple(_table(_DEFAULT))
"""Those that are offered first, and loaded at the start."""

LOUDNESS_LUFS: Final = -23.0
"""Of every voice, as in EBU R 128. Kokoro's own lie between -26 and -16; at this level the loudest peak of the
sentences that the gains were measured with is at -0.4 dBFS."""

_GAINS: Final = (
    "af_heart=-0.8 af_bella=-1.5 af_nicole=-1.6 af_sarah=-2.7 hf_alpha=-7.2 hf_beta=-6.1 hm_omega=-6.8 hm_psi=-5.0 "
    "af_aoede=-5.5 af_kore=-4.7 af_alloy=-2.3 af_nova=2.8 af_sky=-0.1 af_jessica=-1.8 af_river=-2.6 am_fenrir=-4.7 "
    "am_michael=0.4 am_puck=-4.9 am_echo=-1.7 am_eric=-2.5 am_liam=-2.2 am_onyx=-1.5 am_santa=-1.2 am_adam=-5.1 "
    "bf_emma=-3.4 bf_isabella=-5.9 bf_alice=-3.0 bf_lily=-2.4 bm_fable=-1.3 bm_george=-1.9 bm_lewis=-0.3 "
    "bm_daniel=-2.1 ef_dora=-0.2 em_alex=-0.5 em_santa=-0.7 ff_siwis=-4.8 if_sara=-9.5 im_nicola=-4.2 jf_alpha=-3.9 "
    "jf_gongitsune=-3.1 jf_tebukuro=-3.3 jf_nezumi=-3.4 jm_kumo=-3.2 pf_dora=-0.5 pm_alex=-0.8 pm_santa=-0.7 "
    "zf_xiaobei=-3.2 zf_xiaoni=-5.1 zf_xiaoxiao=-7.2 zf_xiaoyi=-4.7 zm_yunjian=-2.6 zm_yunxi=-1.5 zm_yunxia=-3.2 "
    "zm_yunyang=0.0"
)
GAINS_DB: Final[Mapping[str, float]] = MappingProxyType(
    {name: float(gain) for name, _, gain in (entry.partition("=") for entry in _GAINS.split())}
)
"""Brings every voice to LOUDNESS_LUFS: `benchmarks/voice_gains.json`, made by `python -m benchmarks.voice_gains`."""

MOST_NAMED: Final = 8
"""Voices in a sentence of an error; 54 would be a page."""


class StyleSource(Protocol):
    """Voices that are not in the table, such as cloned ones. Asked from several threads; a name that is none of its
    own is None."""

    def voice(self, name: str) -> Voice | None: ...

    def styles(self, name: str) -> Styles | None:
        """May read a file: called on an engine's thread. Raises EngineError when it is there and cannot be used."""

    def gain_db(self, name: str) -> float | None:
        """Added to its sound, so that it has LOUDNESS_LUFS."""


def voice_or_blend(name: str) -> Voice:
    """A voice of the table, or a blend of them. Raises RequestError."""
    return parse(name, stock).voice if is_blend(name) else stock(name)


def stock(name: str) -> Voice:
    """A voice of the table. Raises RequestError."""
    return known(VOICES, name)


def known(voices: Mapping[str, Voice], name: str) -> Voice:
    """Raises RequestError."""
    if name not in voices:
        raise no_voice(name, voices)
    return voices[name]


def no_voice(name: str, names: Iterable[str]) -> RequestError:
    shown = name if len(name) <= SHOWN_CHARS else f"{name[:SHOWN_CHARS]}..."
    return RequestError("speaker", f"There is no voice {shown!r}: use {one_of(names, shown)}.")


def described(voice: Voice) -> dict[str, str | bool | None]:
    """What is told of it; None: not known."""
    return {
        "id": voice.id,
        "language": voice.language or None,
        "gender": voice.gender or None,
        "grade": voice.grade or None,
        "default": voice.id in DEFAULT_VOICES,
    }


def one_of(names: Iterable[str], name: str) -> str:
    """ "one of af_heart, ... or 46 others": the nearest to `name` first, then the others in their order."""
    names = tuple(names)
    nearest = get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    first = tuple(dict.fromkeys((*nearest, *names)))[:MOST_NAMED]
    rest = len(names) - len(first)
    return f"one of {', '.join(first)}" + (f" or {rest} others" if rest else "")
