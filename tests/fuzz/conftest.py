"""A whole server for frames."""

from tests.server.conftest import serving

__all__ = ["serving"]
