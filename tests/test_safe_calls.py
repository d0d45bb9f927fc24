"""What no line of the package may call: it would run what a file or a client says, or not look at who answers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib", "ftplib"}
READS_NAMES_ALONE = {"src/voxtral_voice/engines/speaker_embedding.py"}
"""Reads an old checkpoint by an Unpickler that knows a few names: tests/engines/test_speaker_embedding.py."""
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "yaml.load", "torch.load"}
WORDS = {
    "shell": True,
    "allow_pickle": True,
    "trust_remote_code": True,
    "verify": False,
    "check_hostname": False,
    "weights_only": False,
    "autoescape": False,
}
NAMES = {"CERT_NONE", "_create_unverified_context", "PROTOCOL_SSLv3", "PROTOCOL_TLSv1"}


def wrong(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        line = f"{file}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom) and file not in READS_NAMES_ALONE:
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (f"{line} imports {name}" for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS:
                yield f"{line} calls {called}"
            for word in node.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else None
                if word.arg in WORDS and value is WORDS[word.arg]:
                    yield f"{line} says {word.arg}={value}"
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield f"{line} uses {node.attr}"


def test_nothing_in_the_package_does() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    found = [
        what for file in files for what in wrong(ast.parse(file.read_bytes()), str(file.relative_to(SOURCE.parent)))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
        "np.load(file, allow_pickle=True)",
        "torch.load(file)",
        "httpx.get(url, verify=False)",
        "context.verify_mode = ssl.CERT_NONE",
        "model(trust_remote_code=True)",
    ],
)
def test_it_would_be_noticed(code: str) -> None:
    assert len([*wrong(ast.parse(code), "a.py")]) == 1
