"""What a server does about its memory.

Knows: Python's collector, glibc's heap. Does not know: sessions, engines.
"""

from __future__ import annotations

import ctypes
import gc
import threading

_giving_back = threading.Lock()


def settle() -> None:
    """Everything is loaded: what is there now stays until the end, and is never looked at again.

    A full collection goes through all objects while nothing else can run. Imports and models leave 600,000 of them,
    which take 130 ms: more than a session may wait. Without them it takes some milliseconds. Not for a process that
    goes on to do something else: what is garbage later, of all that is here now, stays.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # the collector forgets how many there were: a fourth of them would have to come before it looks


def give_back() -> bool:
    """What is free in the middle of the heap goes back to the system (malloc_trim(3)). Takes some milliseconds: not for
    the event loop. False where the C library has no such call, and while another thread is at it.

    glibc gives back by itself what is free at the heap's end only, and something small always stands there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None or not _giving_back.acquire(blocking=False):
        return False
    try:
        trim(0)
    finally:
        _giving_back.release()
    return True
