"""From the ids that Voxtral Realtime writes to text, while they come.

Knows: bytes of tokens, UTF-8. Does not know: audio, models.

Most ids are no text: the model writes [STREAMING_PAD] while it hears nothing new and [STREAMING_WORD] where a word
begins. A letter may be spread over several tokens: its first bytes are held back until the last one is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def text_of(ids: Iterable[int], piece: Callable[[int], bytes]) -> str:
    """piece: the bytes of a token, none of a control token. Bytes that are no UTF-8, or no whole letter yet, are left
    out."""
    return b"".join(piece(token) for token in ids).decode(errors="ignore").strip()


def joined(texts: Sequence[str]) -> str:
    """Of stretches that follow each other."""
    return " ".join(text for text in texts if text)
