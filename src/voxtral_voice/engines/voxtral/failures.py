"""What torch and the libraries around it raise, as one sentence of ours.

Knows: the errors of torch, of files and of formats. Does not know: what was being done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from voxtral_voice.errors import EngineError, RequestError

_RAISED: Final = (RuntimeError, OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError)


@contextmanager
def told(seam: str, what: str) -> Iterator[None]:
    """seam: whose failure it is. what: what failed, as the beginning of a sentence."""
    import torch
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except RequestError as error:
        raise type(error)(seam, str(error), error.told) from error
    except EngineError as error:
        raise EngineError(seam, str(error)) from error
    except torch.OutOfMemoryError as error:
        raise EngineError(seam, f"{what}: the GPU's memory is full ({_first_line(error)}).") from error
    except (*_RAISED, StrictDataclassError) as error:
        raise EngineError(seam, f"{what} ({type(error).__name__}: {_first_line(error)}).") from error


def _first_line(error: BaseException) -> str:
    """And the next one, where the first only announces it."""
    first, _, rest = str(error).strip().partition("\n")
    more = rest.strip().partition("\n")[0]
    return (f"{first} {more}" if first.endswith(":") and more else first).removesuffix(".")
