"""Takes secrets out of a line for the log.

Knows: how keys, client secrets and resume tokens look, and where they stand in headers and addresses. Does not know:
which are in use: what looks like a secret goes.

Our own events have no such field. This is for what libraries say: uvicorn and websockets write addresses and headers at
their lower levels, and an error of another server may quote the key that it was sent.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_END: Final = r"""[^\s"'\\,;<>)\]}]+"""
"""Up to where a value ends, in plain text, in a tuple of Python's or in JSON."""
_GAP: Final = r"""\\?["']?\s*[:=,]\s*(?:b?\\?["'])?"""
"""Between a header's name and its value, in all of these."""
# What may be long has an end, so that no text takes longer than its length.
_SECRETS: Final = re.compile(
    "|".join(
        (
            rf"(?P<protocol>\b(?:openai-insecure-api-key|voxtral-voice-resume)\.){_END}",
            rf"(?P<header>\b(?:x-api-key|api-key|x-voxtral-voice-resume|cookie|set-cookie){_GAP}){_END}",
            rf"(?P<authorization>\bauthorization{_GAP}(?:(?:bearer|basic)\s+)?){_END}",
            rf"(?P<scheme>\b(?:bearer|basic)\s+){_END}",
            r"(?P<query>[?&;][a-z_.-]{0,40}(?:key|token|secret|password|auth|resume)[a-z_.-]{0,40}=)"
            r"""[^\s"'\\&#;]+""",
            r"(?P<token>\b(?:vv_|ek_|sk-|hf_))[A-Za-z0-9_-]{8,}",
            r"(?P<user>\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,100}:)[^\s/@]{1,400}(?=@)",
        )
    ),
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The same with `***` in the place of each secret; what stands before it says which kind it was."""
    return _SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}{MASK}", text)
