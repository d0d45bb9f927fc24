from __future__ import annotations

import re
from pathlib import Path

import voxtral_voice

PACKAGE = Path(voxtral_voice.__file__).parent
WALL_CLOCK = re.compile(r"\btime\.time\(|\bdatetime\.now\(|\butcnow\(")
READ_BY = {
    "server/rest/chat.py": "`created`, for the client",
    "server/rest/models.py": "`created`, for the client",
    "server/client_secrets.py": "`expires_at`, for the client",
    "server/live.py": "`expires_at`, for the client, and of a session that another process has begun",
    "engines/registry.py": "what time it is, when somebody asks",
    "observe/otlp.py": "spans, which others read",
    "replay/retention.py": "how old a file is, by its own stamp",
}
"""What for. A turn, a limit and a deadline are counted on the monotonic clock, which nobody can set."""


def test_the_wall_clock_is_read_for_stamps_alone() -> None:
    """Callers of the bench, in a process of their own, may read it."""
    files = [path for path in PACKAGE.rglob("*.py") if "bench" not in path.relative_to(PACKAGE).parts]
    readers = {str(path.relative_to(PACKAGE)) for path in files if WALL_CLOCK.search(path.read_text())}
    assert readers == READ_BY.keys()
