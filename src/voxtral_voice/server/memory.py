"""What a server does about its memory once it is loaded.

Knows: Python's collector. Does not know: sessions, engines.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Everything is loaded: what is there now stays until the end, and is never looked at again.

    A full collection goes through all objects while nothing else can run. Imports and models leave 600,000 of them,
    which take 130 ms: more than a session may wait. Without them it takes some milliseconds. Not for a process that
    goes on to do something else: what is garbage later, of all that is here now, stays.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # the collector forgets how many there were: a fourth of them would have to come before it looks
