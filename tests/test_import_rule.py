"""The house's walls: which room may import which, and the house rules that a parser can check.

The rules are functions over a source tree, so that they are tried on made-up trees too: a rule that never fails is
none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import voxtral_voice

PACKAGE: Final = "voxtral_voice"
SOURCE: Final = Path(voxtral_voice.__file__).parent

ROOMS: Final[dict[str, set[str]]] = {
    "__init__": set(),
    "terminal": set(),
    "errors": set(),
    "audio": {"errors"},
    "conversation": {"audio"},
    "realtime": {"audio", "conversation", "errors"},
    "engines": {"audio", "errors"},
    "weights": {"errors"},
    "config": {"conversation", "engines", "errors", "weights"},
    "models": {"config", "engines", "errors", "weights"},
    "observe": {"conversation"},
    "replay": {"audio", "conversation", "errors", "observe", "terminal"},
    "server": {"audio", "config", "conversation", "engines", "errors", "models", "observe", "realtime", "replay"},
    "bench": {"audio", "engines", "errors", "weights"},
    "voices": {"config", "engines", "errors"},
    "clones": {"errors", "terminal"},
    "top": {"errors", "terminal"},
    "talk": {"audio", "bench", "config", "errors", "server", "terminal"},
    "doctor": {"config", "engines", "errors", "models", "weights"},
    "cli": {
        "bench",
        "clones",
        "config",
        "doctor",
        "errors",
        "models",
        "replay",
        "server",
        "talk",
        "terminal",
        "top",
        "voices",
        "weights",
    },
    "__main__": {"cli"},
}
"""Room (a folder or a file of the package) -> the rooms that it may import. Itself and the package's version always."""

PURE: Final = {"audio", "conversation", "realtime"}
IMPURE: Final = {"asyncio", "logging", "os", "random", "socket", "threading", "time"}
FILES: Final = {("audio/wav.py", "os"): "reads and writes files, for talk; no session does"}
"""(file, module): why it may."""

BROAD: Final = {
    "server/live.py": "the edge of a session: a broken one does not end the others",
    "server/keeping.py": "one session that cannot be kept costs the others nothing",
    "cli.py": "the edge of the program",
    "server/in_daemon.py": "of a thread: raised again where somebody waits for it",
}
"""Where `except Exception` may stand, and why."""

Finding = tuple[str, str]
"""(file, what is wrong)."""
Rule = Callable[[Path], Iterator[Finding]]


# --- the rules --------------------------------------------------------------------------------------------------


def rooms_import_what_they_may(source: Path) -> Iterator[Finding]:
    for file, tree in modules(source):
        room = room_of(file)
        if room not in ROOMS:
            yield file, f"{room} is no room: say in ROOMS what it may import"
            continue
        for module in imported(tree, file):
            other = room_named(module.split(".")[1]) if module.startswith(f"{PACKAGE}.") else room
            if other not in {room, *ROOMS[room]} and is_room(source, other):
                yield file, f"{room} imports {other}"


def pure_rooms_know_no_world(source: Path) -> Iterator[Finding]:
    for file, tree in modules(source):
        for module in imported(tree, file):
            top = module.split(".")[0]
            if room_of(file) in PURE and top in IMPURE and (file, top) not in FILES:
                yield file, f"{room_of(file)} imports {top}"


def conversation_has_no_any(source: Path) -> Iterator[Finding]:
    for file, tree in modules(source):
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if room_of(file) == "conversation" and "Any" in names | attributes:
            yield file, "Any"


def broad_excepts_stand_at_the_edges(source: Path) -> Iterator[Finding]:
    for file, tree in modules(source):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and is_broad(node.type) and file not in BROAD:
                yield file, f"a broad except in line {node.lineno}"


def tasks_are_made_in_groups(source: Path) -> Iterator[Finding]:
    for file, tree in modules(source):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and makes_lone_task(node.func):
                yield file, f"a task outside a group in line {node.lineno}"


# --- what they look at ------------------------------------------------------------------------------------------


@cache
def modules(source: Path) -> list[tuple[str, ast.Module]]:
    """(file, what is in it), by name."""
    paths = sorted(source.rglob("*.py"))
    return [(path.relative_to(source).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def room_of(file: str) -> str:
    return room_named(file.split("/", maxsplit=1)[0].removesuffix(".py"))


def room_named(name: str) -> str:
    """Groups of settings with a file of their own are one room with the others."""
    return "config" if name.startswith("config_") else name


def is_room(source: Path, name: str) -> bool:
    """And not a name that `__init__` defines, such as `__version__`."""
    return (source / name).is_dir() or (source / f"{name}.py").is_file()


def imported(tree: ast.Module, file: str) -> Iterator[str]:
    """Absolute names of every import, wherever it stands. `from a import b` counts as a.b, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package_of(file, node.level), node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and name_of(node.func) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            yield str(first.value) if isinstance(first, ast.Constant) else "?"


def package_of(file: str, level: int) -> str:
    """What so many leading dots mean in this file; "" for none."""
    folders = [PACKAGE, *file.split("/")[:-1]]
    return ".".join(folders[: len(folders) - level + 1]) if level else ""


def is_broad(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or name_of(kind) in ("Exception", "BaseException") for kind in kinds)


def makes_lone_task(function: ast.expr) -> bool:
    if name_of(function) == "ensure_future":
        return True
    owner = name_of(function.value) if isinstance(function, ast.Attribute) else ""
    return name_of(function) == "create_task" and owner in ("", "asyncio", "loop", "get_running_loop")


def name_of(expression: ast.expr) -> str:
    """The last name: of `a.b.c` and of `a.b.c()` it is c."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return name_of(function)
    return ""


# --- our source keeps them --------------------------------------------------------------------------------------

RULES: Final[tuple[Rule, ...]] = (
    rooms_import_what_they_may,
    pure_rooms_know_no_world,
    conversation_has_no_any,
    broad_excepts_stand_at_the_edges,
    tasks_are_made_in_groups,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house(rule: Rule) -> None:
    assert list(rule(SOURCE)) == []


def test_nobody_imports_the_server_but_the_two_that_start_one() -> None:
    assert {room for room, may in ROOMS.items() if "server" in may} == {"cli", "talk"}


def test_every_room_and_every_exception_is_still_there() -> None:
    assert {room_of(file) for file, _ in modules(SOURCE)} == ROOMS.keys()
    named = {file for file, _ in FILES} | BROAD.keys()
    assert [file for file in named if not (SOURCE / file).is_file()] == []


# --- they find what they are there to find ----------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> Path:
    """A package with these files, beside a module for each room that they may name."""
    for name in ("audio", "conversation", "engines", "realtime", "server"):
        (root / name).mkdir()
    (root / "errors.py").touch()
    for name, text in files.items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("file", "text", "finding"),
    [
        ("audio/a.py", "import voxtral_voice.conversation.events", "audio imports conversation"),
        ("audio/a.py", "from voxtral_voice.conversation import events", "audio imports conversation"),
        ("audio/a.py", "from voxtral_voice import conversation", "audio imports conversation"),
        ("audio/a.py", "from ..conversation import events", "audio imports conversation"),
        ("audio/a.py", "from .. import conversation", "audio imports conversation"),
        ("audio/a.py", "def f():\n    from voxtral_voice.engines.base import Samples", "audio imports engines"),
        ("audio/a.py", "if TYPE_CHECKING:\n    import voxtral_voice.engines", "audio imports engines"),
        ("audio/a.py", "import_module('voxtral_voice.engines')", "audio imports engines"),
        ("conversation/a.py", "import voxtral_voice.errors", "conversation imports errors"),
        ("conversation/a.py", "import voxtral_voice.realtime", "conversation imports realtime"),
        ("engines/a.py", "import voxtral_voice.conversation", "engines imports conversation"),
        ("realtime/a.py", "import voxtral_voice.engines", "realtime imports engines"),
        ("config.py", "import voxtral_voice.audio", "config imports audio"),
        ("doctor.py", "def f():\n    import voxtral_voice.server", "doctor imports server"),
        ("attic.py", "", "attic is no room: say in ROOMS what it may import"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, text: str, finding: str) -> None:
    assert list(rooms_import_what_they_may(tree(tmp_path, {file: text}))) == [(file, finding)]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("audio/a.py", "from voxtral_voice.errors import AudioError\nfrom voxtral_voice import __version__"),
        ("audio/a.py", "from . import b\nfrom .b import c\nimport voxtral_voice"),
        ("talk.py", "def f():\n    from voxtral_voice.server.run import running"),
        ("realtime/a.py", "import voxtral_voice.conversation.events as ev"),
    ],
)
def test_a_right_import_is_not(tmp_path: Path, file: str, text: str) -> None:
    assert list(rooms_import_what_they_may(tree(tmp_path, {file: text}))) == []


@pytest.mark.parametrize("module", sorted(IMPURE))
def test_the_world_in_a_pure_room_is_found(tmp_path: Path, module: str) -> None:
    files = {
        "realtime/a.py": f"def f():\n    from {module} import x",
        "audio/wav.py": f"import {module}.path",
        "server/a.py": f"import {module}",
    }
    found = list(pure_rooms_know_no_world(tree(tmp_path, files)))
    allowed = module == "os"
    assert found == [("audio/wav.py", f"audio imports {module}")] * (not allowed) + [
        ("realtime/a.py", f"realtime imports {module}")
    ]


@pytest.mark.parametrize("text", ["x: Any = 1", "x: dict[str, typing.Any]", "def f(*a: Any): ..."])
def test_any_in_the_conversation_is_found(tmp_path: Path, text: str) -> None:
    source = tree(tmp_path, {"conversation/a.py": text, "server/a.py": text})
    assert list(conversation_has_no_any(source)) == [("conversation/a.py", "Any")]


@pytest.mark.parametrize(
    "caught", ["", " Exception", " BaseException as e", " (OSError, Exception)", "* Exception", " builtins.Exception"]
)
def test_a_broad_except_is_found(tmp_path: Path, caught: str) -> None:
    text = f"try:\n    f()\nexcept{caught}:\n    pass\n"
    source = tree(tmp_path, {"server/a.py": text, "server/live.py": text})
    assert list(broad_excepts_stand_at_the_edges(source)) == [("server/a.py", "a broad except in line 3")]


def test_a_narrow_except_is_not(tmp_path: Path) -> None:
    text = "try:\n    f()\nexcept (OSError, ValueError):\n    pass\nexcept* KeyError:\n    pass\n"
    source = tree(tmp_path, {"server/a.py": text.replace("except*", "except")})
    assert list(broad_excepts_stand_at_the_edges(source)) == []


@pytest.mark.parametrize(
    "call",
    [
        "asyncio.create_task(f())",
        "create_task(f())",
        "loop.create_task(f())",
        "asyncio.get_running_loop().create_task(f())",
        "asyncio.ensure_future(f())",
    ],
)
def test_a_task_outside_a_group_is_found(tmp_path: Path, call: str) -> None:
    source = tree(tmp_path, {"server/a.py": call})
    assert list(tasks_are_made_in_groups(source)) == [("server/a.py", "a task outside a group in line 1")]


def test_a_task_of_a_group_is_not(tmp_path: Path) -> None:
    source = tree(tmp_path, {"server/a.py": "group.create_task(f())\nself._group.create_task(f())"})
    assert list(tasks_are_made_in_groups(source)) == []
