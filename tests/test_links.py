"""The pages of README.md and docs/ lead where they say: to files that exist, and to headings in them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
"""[text](target), and pictures."""
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def targets(page: str) -> list[str]:
    """Of links to files of ours, and to headings of the page itself."""
    found = LINK.findall(CODE.sub("", page))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(page: str) -> set[str]:
    """As GitHub names headings: the second of the same words has -1 behind it."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in HEADING.findall(re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def broken(page: Path) -> list[str]:
    wrong = []
    for target in targets(page.read_text()):
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One `two`: *three*\n## Same\n## Same\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-two-three) [c](there.md#same-1) [d](#here) `[e](code.md)`\n# Here\n"
        "[f](gone.md) ![g](gone.png) [h](there.md#same-2) [i](there.md#no-heading) [j](#there) [k](https://x.org/y.md)\n"
    )
    assert broken(page) == ["gone.md", "gone.png", "there.md#same-2", "there.md#no-heading", "#there"]
