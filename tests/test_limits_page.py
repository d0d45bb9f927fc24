"""docs/limits.md: each number in it is the one that counts."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from voxtral_voice.config import Config, keys
from voxtral_voice.config_limits import SESSIONS

PAGE = Path(__file__).parents[1] / "docs" / "limits.md"
ROW = re.compile(r"^\| (?P<limit>.+) \| (?P<default>.+) \| (?P<rule>.+) \| `(?P<name>[\w.]+)` \|$", re.MULTILINE)
ROWS = [row.groupdict() for row in ROW.finditer(PAGE.read_text())]
UNITS = {"KiB": 1024, "MiB": 1024**2}


def number(text: str) -> float:
    """What stands at the beginning."""
    found = re.match(r"([\d,.]+)(?: (KiB|MiB))?", text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * UNITS.get(found[2], 1)


def value(name: str) -> object:
    """Of a setting, a constant, or a field of a class."""
    if name in keys():
        group, _, field = name.rpartition(".")
        return getattr(getattr(Config(), group), field)
    module, _, constant = name.rpartition(".")
    try:
        return getattr(importlib.import_module(f"voxtral_voice.{module}"), constant)
    except ModuleNotFoundError:
        module, _, holder = module.rpartition(".")
        return getattr(getattr(importlib.import_module(f"voxtral_voice.{module}"), holder)(), constant)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_the_number_is_the_one_that_counts(row: dict[str, str]) -> None:
    if row["name"] == "limits.sessions":
        assert row["default"] == ", ".join(f"{most} `{profile}`" for profile, most in SESSIONS.items())
    else:
        assert value(row["name"]) == number(row["default"])


def test_all_settings_of_the_group_are_there() -> None:
    assert {key for key in keys() if key.startswith("limits.")} <= {row["name"] for row in ROWS}
    assert len(ROWS) > 50
