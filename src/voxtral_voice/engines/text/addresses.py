"""Addresses: of web pages, people, machines, files; versions and telephone numbers.

Knows: how they are written, and that a person says them short. Does not know: the words of any language but by
`Wording`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from voxtral_voice.engines.text.rules import Parts, Rule, rule


@dataclass(frozen=True, slots=True)
class Wording:
    """What the parts of an address are called."""

    number: Callable[[str], str]
    """"3.11" -> "three point eleven" is not its business: digits only."""
    digits: Callable[[str], str]
    """One by one."""
    dot: str = "dot"
    slash: str = "slash"
    dash: str = "dash"
    underscore: str = "underscore"
    at: str = "at"
    plus: str = "plus"
    port: str = "port"
    version: str = "version"
    endings: Mapping[str, str] = field(default_factory=dict)
    """Of host and file names, those that are not said as they are written."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Of the other parts; in small letters."""


_TOP: Final = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|me|tv|co|us|uk|in|de|fr|es|it|pt|br|jp|cn|ca|au|nz|eu|ch|at|nl|be|"
    "se|no|fi|dk|ru|xyz|tech|cloud|online|site|shop|blog|news|example|local|test"
)
_FILES: Final = (
    "py|js|ts|tsx|jsx|json|toml|yaml|yml|md|txt|csv|tsv|html|htm|css|xml|pdf|png|jpg|jpeg|gif|svg|webp|mp3|mp4|wav|flac|ogg|"
    "opus|webm|zip|gz|tar|tgz|whl|exe|dll|so|sh|bat|ps1|c|h|cc|cpp|hpp|rs|go|rb|php|java|kt|swift|ipynb|onnx|gguf|bin|pt|pth|"
    "safetensors|log|ini|cfg|conf|env|lock|sql|db|doc|docx|xls|xlsx|ppt|pptx|bak|tmp"
)
LONGEST_PATH: Final = 24
"""Characters of a page's path that is said; nobody says a longer one."""

_URL: Final = r"(?i)(?<![\w@./:])(?:https?|wss?|ftp)://[^\s<>\"“”\ue000]*[\w/]"
_HOST: Final = (
    r"(?<![\w@./:-])(?:www\.)?+[A-Za-z0-9](?:[A-Za-z0-9-]*+\.)+?(?:" + _TOP + r")(?![\w-]|\.\w)(?::\d{1,5})?+"
    r"(?:/(?:[^\s<>\"“”\ue000]*[\w/])?)?"
)
_LOCAL: Final = r"(?<![\w@./:-])localhost:\d{1,5}(?!\d)(?:/[\w./-]*[\w/])?"
_MAIL: Final = r"(?<![\w.+-])[\w.+-]++@(?:[A-Za-z0-9-]++\.)++[A-Za-z]{2,}(?![\w-])"
_IP: Final = r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)(?::\d{1,5})?(?:/\d{1,2}(?!\d))?"
_VERSION: Final = r"(?<![\w.])[vV]\.?\d+(?:\.\d+)*(?![\d])|(?<![\w.])(?!\d\d?\.\d\d?\.\d{4})\d+(?:\.\d+){2,}(?![\w])"
_PATH: Final = (
    r"(?<![\w/.~:\\-])(?:(?:~|\.{1,2})?/)?(?:[\w.@-]++/)++(?:[\w@-]++(?:\.[\w-]++)*+)?"
    r"|(?<![\w/.~:\\-])(?:~|\.{1,2})?/[A-Za-z_][\w@-]*+(?:\.[\w-]++)*+"
)
_FILE: Final = (
    r"(?<![\w/.\\@-])\.?[\w-]++(?:\.[\w-]++)*?\.(?:" + _FILES + r")(?![\w/]|[.-]\w)|(?<!\S)\.(?:env|gitignore|bashrc)\b"
)


def address_rules(words: Wording) -> tuple[Rule, ...]:
    return (
        rule(_MAIL, lambda m: _mail(m.group(), words)),
        rule(_URL, lambda m: _page(m.group().split("://", 1)[1], words)),
        rule(_LOCAL, lambda m: _page(m.group(), words)),
        rule(_HOST, lambda m: _page(m.group(), words)),
        rule(_IP, lambda m: _machine(m.group(), words)),
        rule(_VERSION, lambda m: _version(m.group(), words)),
        rule(_FILE, lambda m: spelled_out(m.group(), words)),
        rule(_PATH, lambda m: _path(m.group(), words)),
    )


def spelled_out(name: str, words: Wording) -> str:
    """Of a file, a host, a person: "my-file_2.py" -> "my dash file underscore two dot py"."""
    pieces = re.findall(r"[^\W\d_]+|\d+|[._+/~@:-]", name)
    said = []
    for i, piece in enumerate(pieces):
        is_ending = i > 0 and pieces[i - 1] == "."
        said.append(_piece(piece, words, is_ending=is_ending))
    return " ".join(filter(None, said))


def _piece(piece: str, words: Wording, *, is_ending: bool) -> str:
    signs = {
        ".": words.dot, "/": words.slash, "-": words.dash, "_": words.underscore, "+": words.plus, "@": words.at,
        "~": "tilde", ":": "colon",
    }  # fmt: skip
    if piece in signs:
        return signs[piece]
    if piece.isdecimal():
        return words.number(piece) if len(piece) <= 4 else words.digits(piece)
    special = words.endings if is_ending else words.names
    return special.get(piece.lower(), piece)


def _mail(address: str, words: Wording) -> str:
    return spelled_out(address, words)


def _page(address: str, words: Wording) -> str:
    """The host, and the path when it is short."""
    host, _, path = re.sub(r"^www\.", "", address, flags=re.IGNORECASE).partition("/")
    name, _, port = host.rpartition("@")[2].partition(":")
    said = _machine(name, words) if re.fullmatch(r"[\d.]+", name) else spelled_out(name, words)
    if port.isdecimal():
        said += f" {words.port} {words.number(port)}"
    path = path.strip("/")
    is_short = re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", path) and len(path) <= LONGEST_PATH
    return f"{said} {words.slash} {spelled_out(path, words)}" if is_short else said


def _machine(address: str, words: Wording) -> str:
    """192.168.1.1: a number of three digits digit by digit."""
    numbers, _, net = address.partition("/")
    numbers, _, port = numbers.partition(":")
    said = f" {words.dot} ".join(words.digits(n) if len(n) > 2 else words.number(n) for n in numbers.split("."))
    if port:
        said += f" {words.port} {words.number(port)}"
    return f"{said} {words.slash} {words.number(net)}" if net else said


def _version(written: str, words: Wording) -> str | None:
    numbers = re.findall(r"\d+", written)
    said = f" {_point(words)} ".join(words.number(n) for n in numbers)
    return f"{words.version} {said}" if written[0] in "vV" else said


def _point(words: Wording) -> str:
    return "point" if words.dot == "dot" else words.dot


def _path(path: str, words: Wording) -> str | None:
    """What has a slash and is no file is two words with a slash between, which is not our business."""
    inner = path.strip("/.~")
    is_path = path[0] in "/.~" or path.endswith("/") or path.count("/") > 1 or re.search(r"\.[A-Za-z]\w*$|[_]", inner)
    if not is_path or not re.search(r"[^\W\d_]", path):
        return None
    if path.count("/") > 1 and re.fullmatch(r"(?:[A-Z]?[a-z]{1,12}/)+[A-Z]?[a-z]{1,12}", path) and "." not in path:
        return None if path.count("/") == 2 and len(path) < 24 else spelled_out(path.rstrip("/"), words)
    return spelled_out(path.rstrip("/"), words)


# --- telephones -------------------------------------------------------------------------------------------------

_PHONE: Final = (
    r"(?<![\w.+/-])\+\d{1,3}(?:[ -]?\(\d{1,5}\))?(?:[ -]?\d{1,10}){1,6}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/-])(?:1[ -])?\(\d{3}\) ?\d{3}[ -]\d{4}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/-])(?:1[-.])?\d{3}([-.])\d{3}\1\d{4}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/-])\d{3}-\d{4}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/,-])0?[6-9]\d{4}[ -]?\d{5}(?![\w]|[-/.,]\d)"
    r"|(?<![\w.+/-])0\d{2,4}-\d{6,8}(?![\w]|[-/.]\d)|(?<![\w.+/-])1[89]00[ -]\d{3}[ -]\d{3,4}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/-])\(0\d{1,4}\) ?\d{3,4}[ -]?\d{3,4}(?![\w]|[-/.]\d)"
    r"|(?<![\w.+/-])0\d{1,4}[ -]\d{2,4}(?:[ -]\d{2,4}){1,4}(?![\w]|[-/.]\d)"
)
MOST_DIGITS: Final = 15
"""Of a telephone number (ITU-T E.164)."""


def phone_rules(digits: Callable[[str], str], plus: str) -> tuple[Rule, ...]:
    return (rule(_PHONE, lambda m: _phone(m.group(), digits, plus)),)


def _phone(written: str, digits: Callable[[str], str], plus: str) -> Parts | None:
    """Digit by digit, with a breath between groups."""
    count = sum(c.isdecimal() for c in written)
    if not 7 <= count <= MOST_DIGITS:
        return None
    tokens = [_groups(token) for token in written.split()]
    last = len(tokens) - 1
    parts = []
    for i, groups in enumerate(tokens):
        said = ", ".join((f"{plus} " if group[0] == "+" else "") + digits(group) for group in groups)
        parts.append(said + ("," if i < last else ""))
    return tuple(parts)


def _groups(token: str) -> Sequence[str]:
    """Of one token; ten digits in a row are said as five and five."""
    groups = re.findall(r"\+?\d+", token)
    return [half for group in groups for half in ((group[:-5], group[-5:]) if len(group) == 10 else (group,))]
