"""The tokenizer of Voxtral: text to ids, and ids to text while they come.

Knows: the file tekken.json, the special tokens that prompts are made of, UTF-8. Does not know: prompts, models.

Text never becomes a special token, whatever marks are written in it.
"""

from __future__ import annotations

import codecs
from functools import cache
from pathlib import Path
from typing import Any


class Vocabulary:
    """path: a checkpoint's tekken.json. Raises what mistral-common raises when it is none: OSError, ValueError,
    KeyError, AssertionError."""

    def __init__(self, path: Path) -> None:
        from mistral_common.tokens.tokenizers.base import SpecialTokens
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer

        self._tekken: Any = Tekkenizer.from_file(path)
        self.piece = cache(self._tekken.id_to_byte_piece)
        """The bytes of a token; none of a special one."""

        def special(token: SpecialTokens) -> int:
            return int(self._tekken.get_special_token(token.value))

        self.begin, self.end = special(SpecialTokens.bos), special(SpecialTokens.eos)
        self.begin_user, self.end_user = special(SpecialTokens.begin_inst), special(SpecialTokens.end_inst)
        self.begin_system, self.end_system = special(SpecialTokens.begin_system), special(SpecialTokens.end_system)
        self.begin_audio, self.audio = special(SpecialTokens.begin_audio), special(SpecialTokens.audio)
        self.transcribe = special(SpecialTokens.transcribe)

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tekken.encode(text, bos=False, eos=False)
        return ids

    def text(self) -> Text:
        """For what is going to be written."""
        return Text(self)


class Text:
    """A letter may be spread over several tokens: it is held back until its last byte is there. Bytes that are no
    UTF-8 are left out."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._letters = codecs.getincrementaldecoder("utf-8")("ignore")

    def add(self, token: int) -> str:
        """What may be said of it by now."""
        return self._letters.decode(self._vocabulary.piece(token))
