"""Fails unless the pure rooms are covered to the last branch, and each of their files has its own test file.

usage: check_coverage.py build/coverage.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PURE = ("audio", "conversation", "realtime")
ROOT = Path(__file__).parents[1]


def problems(report: dict[str, dict[str, dict[str, object]]]) -> list[str]:
    found = []
    for name, file in sorted(report["files"].items()):
        path = Path(name)
        if path.parent.name not in PURE or "src" not in path.parts:
            continue
        if file["missing_lines"] or file["missing_branches"]:
            found.append(f"{name}: lines {file['missing_lines']}, branches {file['missing_branches']} never run")
    for room in PURE:
        for source in sorted((ROOT / "src" / "voxtral_voice" / room).glob("*.py")):
            test = ROOT / "tests" / room / f"test_{source.name}"
            if source.name != "__init__.py" and not test.is_file() and has_code(source):
                found.append(f"{source.relative_to(ROOT)} has no test file of its own ({test.relative_to(ROOT)})")
    return found


def has_code(source: Path) -> bool:
    """A file of mere definitions (messages, constants) needs no test of its own."""
    return "\ndef " in source.read_text() or "    def " in source.read_text()


if __name__ == "__main__":
    found = problems(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(found) or f"{', '.join(PURE)}: every branch covered")
    sys.exit(bool(found))
