"""One model is loaded at a time.

Knows: that the libraries cannot be imported, nor CUDA graphs be recorded, by two threads at once. Does not know:
models.
"""

from __future__ import annotations

import threading
from typing import Final

LOADING: Final = threading.Lock()
"""Held from the first import of a model's libraries until it is ready to run."""
