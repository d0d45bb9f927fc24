"""Names for what has none.

Knows: randomness. Does not know: what is named.
"""

from __future__ import annotations

import secrets


def new_id(kind: str) -> str:
    """kind: "sess", "item", "event"."""
    return f"{kind}_{secrets.token_hex(10)}"
