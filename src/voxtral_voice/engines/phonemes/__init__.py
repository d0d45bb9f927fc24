"""Text to the phoneme symbols that Kokoro (and its distilled student) were trained on, in nine languages.

Knows: its parts. `phonemizer` is the way through them: `stretches` says which reader reads what, `english`, `espeak`,
`japanese` and `chinese` read, `lexicon` has the user's own words, `sounds` finds which word made which symbols, `cut`
makes utterances. Does not know: models, voices, audio, sessions.
"""

from voxtral_voice.engines.phonemes.lexicon import NO_LEXICON, Lexicon, read_lexicon
from voxtral_voice.engines.phonemes.phonemizer import Phonemizer
from voxtral_voice.engines.phonemes.stretches import Language, has_devanagari, is_english
from voxtral_voice.engines.phonemes.symbols import MAX_SYMBOLS, SYMBOL_IDS, Reading, Utterance, WordSpan

__all__ = [
    "MAX_SYMBOLS",
    "NO_LEXICON",
    "SYMBOL_IDS",
    "Language",
    "Lexicon",
    "Phonemizer",
    "Reading",
    "Utterance",
    "WordSpan",
    "has_devanagari",
    "is_english",
    "read_lexicon",
]
