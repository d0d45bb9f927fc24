"""Run by `make` before anything is installed: one sentence when this Python is too old, or cannot make a venv."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is for the Pythons that are too old
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit("Python 3.11 or newer is needed, this is " + found + ": run `make PYTHON=python3.11 ...`.")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit("This Python cannot make virtual environments: install its venv module (apt install python3-venv).")
