from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from voxtral_voice import __version__, cli
from voxtral_voice.config import Config, keys
from voxtral_voice.errors import ServerError
from voxtral_voice.weights.catalogue import ModelFile, needed


class Called:
    """Stands for the server, the talk client and the fetch: what they were called with."""

    def __init__(self) -> None:
        self.serve: list[Config] = []
        self.talk: list[tuple[Path, Path, str | None, Config, str | None]] = []
        self.ensured: list[tuple[Sequence[ModelFile], Path, bool]] = []
        self.error: BaseException | None = None


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    called = Called()

    def serve(config: Config) -> None:
        called.serve.append(config)
        if called.error:
            raise called.error

    def talk(question: Path, answer: Path, url: str | None, config: Config, api_key: str | None) -> None:
        called.talk.append((question, answer, url, config, api_key))

    def ensure(files: Sequence[ModelFile], folder: Path, *, offline: bool) -> None:
        called.ensured.append((files, folder, offline))

    run, client = types.ModuleType("voxtral_voice.server.run"), types.ModuleType("voxtral_voice.talk")
    run.serve = serve  # type: ignore[attr-defined]
    client.talk = talk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, run.__name__, run)
    monkeypatch.setitem(sys.modules, client.__name__, client)
    monkeypatch.setattr("voxtral_voice.weights.fetch.ensure", ensure)
    monkeypatch.setenv("VOXTRAL_VOICE_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return called


def usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as raised:
        cli.main(argv)
    assert raised.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_serve_serves_with_the_settings(called: Called) -> None:
    assert cli.main(["serve", "--port", "8001", "--server-host", "::1", "--patience=0.2", "--offline"]) == 0
    (config,) = called.serve
    assert (config.server.port, config.server.host, config.turns.patience) == (8001, "::1", 0.2)
    assert config.weights.offline
    assert called.ensured == [], "the server does that, when its port answers"


def test_the_flags_of_voxtral_are_short(called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.engines.voxtral_parts.require", lambda _: None)
    url = "http://127.0.0.1:8001/v1"
    argv = ["serve", "--profile", "gpu", "--listen", "direct", "--voxtral-backend", "vllm", "--vllm-url", url]
    assert cli.main([*argv, "--device", "speaker=cuda:1"]) == 0
    (config,) = called.serve
    assert (config.listen, config.voxtral.backend, config.voxtral.vllm_url) == ("direct", "vllm", url)
    assert config.placement.speaker == "cuda:1"


def test_talk_brings_its_own_models_only_without_a_url(called: Called, tmp_path: Path) -> None:
    assert cli.main(["talk", "q.wav", "-o", "a.wav", "--voice", "hf_alpha"]) == 0
    assert cli.main(["talk", "q.wav", "-o", "a.wav", "--url", "ws://there"]) == 0
    assert [call[:3] for call in called.talk] == [
        (Path("q.wav"), Path("a.wav"), None),
        (Path("q.wav"), Path("a.wav"), "ws://there"),
    ]
    assert called.talk[0][3].speaker.voice == "hf_alpha"
    assert called.ensured == [(needed("embedded"), tmp_path, False)]


def test_talk_shows_a_key(called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_VOICE_BENCH_API_KEY", "one")
    assert cli.main(["talk", "q.wav", "-o", "a.wav", "--url", "ws://there"]) == 0
    assert cli.main(["talk", "q.wav", "-o", "a.wav", "--url", "ws://there", "--api-key", "two"]) == 0
    assert [call[4] for call in called.talk] == ["one", "two"]


def test_serving_other_machines_without_a_key_is_refused_before_anything_is_fetched(
    called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--host", "0.0.0.0"]) == 1
    assert capsys.readouterr().err.startswith("voxtral-voice: At 0.0.0.0 everyone who can reach this machine")
    assert (called.serve, called.ensured) == ([], [])
    assert cli.main(["serve", "--host", "0.0.0.0", "--server-insecure-no-auth"]) == 0
    assert len(called.serve) == 1


def test_a_new_key_is_shown_once_and_its_line_can_go_into_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "new", "laptop"]) == 0
    printed = capsys.readouterr()
    key = printed.err.splitlines()[0].removeprefix("The key of laptop, shown only now: ")
    assert printed.out == f"laptop:{sha256(key.encode()).hexdigest()}\n"
    assert key.startswith("vv_")
    assert cli.main(["keys", "new", "my laptop"]) == 1
    assert "A key's name is" in capsys.readouterr().err


def test_keys_are_not_in_a_command_that_is_written_down() -> None:
    argv = [
        "bench",
        "--api-key",
        "k1",
        "--server-api-keys=k2",
        "--responder-api-key=k3",
        "--server-api-keys",
        "k4",
        "k5",
    ]
    assert cli._as_typed(argv) == (
        "voxtral-voice bench --api-key KEY --server-api-keys=KEY --responder-api-key=KEY --server-api-keys KEY k5"
    )


@pytest.mark.parametrize("key", keys())
def test_every_setting_has_its_flag(called: Called, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    flag = "--" + key.replace(".", "-").replace("_", "-")
    status = cli.main(["config", flag, ""])
    printed = capsys.readouterr()
    assert f"  # {flag}" in printed.out if status == 0 else f"(from {flag})" in printed.err


def test_a_flag_that_is_yes_or_no_may_stand_alone(called: Called, tmp_path: Path) -> None:
    assert cli.main(["serve", "--record", "here", "--record-content"]) == 0
    assert cli.main(["serve", "--record", "here", "--record-content", "false", "--voice", "hf_alpha"]) == 0
    assert [config.record.dir for config in called.serve] == [str(tmp_path / "here")] * 2
    assert [config.record.content for config in called.serve] == [True, False]


def test_an_error_is_one_sentence_and_status_1(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    called.error = ServerError("Port 8000 is in use: choose another with --port.")
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == "voxtral-voice: Port 8000 is in use: choose another with --port.\n"


def test_an_error_obeys_no_server(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    called.error = ServerError("It says: \x1b[2J\x07\n\u202e\udc80 Übel.")
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == "voxtral-voice: It says: \\x1b[2J\\x07\\n\\u202e\\udc80 Übel.\n"


def test_an_error_is_not_as_long_as_a_server_wants(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    called.error = ServerError("a" * 300)
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == f"voxtral-voice: {'a' * 300}\n"
    called.error = ServerError("a" * 2_000_000)
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == f"voxtral-voice: {'a' * 299}…\n"


def test_a_wrong_setting_is_found_before_anything_starts(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--port", "abc"]) == 1
    assert 'server.port = "abc" (from --port)' in capsys.readouterr().err
    assert (called.serve, called.ensured) == ([], [])


def test_ctrl_c_is_quiet_and_status_130(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    called.error = KeyboardInterrupt()
    assert cli.main(["serve"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["top"], ("http://127.0.0.1:8000", None, False)),
        (["top", "http://there:1", "--api-key", "k", "--once"], ("http://there:1", "k", True)),
    ],
)
def test_top_looks_at_the_server_here_or_there(
    argv: list[str], asked: tuple[str, str | None, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    command = types.ModuleType("voxtral_voice.top.command")
    command.top = lambda url, key, *, once: looked.append((url, key, once))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, command.__name__, command)
    assert cli.main(argv) == 0
    assert looked == [asked]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "required: COMMAND"),
        (["srve"], "invalid choice: 'srve'"),
        (["serve", "--server-prot", "1"], "unknown flag --server-prot; did you mean --server-port?"),
        (["serve", "--prot=1"], "unknown flag --prot; did you mean --port?"),
        (["serve", "--xyzzy"], "unknown flag --xyzzy; see voxtral-voice serve --help"),
        (["config", "extra"], "one word too many: extra; see voxtral-voice config --help"),
        (["serve", "--port"], "--port: expected one argument"),
        (["talk"], "required: WAV, -o"),
        (["models"], "required: ACTION"),
        (["keys"], "required: ACTION"),
        (["keys", "new"], "required: NAME"),
    ],
)
def test_wrong_usage_is_status_2(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in usage_error(argv, capsys)


def test_models_list_shows_every_file(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "list"]) == 0
    printed = capsys.readouterr().out
    assert "voices/af_heart.bin" in printed
    assert "0 of 63 model files" in printed


def test_models_pull_fetches_and_says_what_is_there(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "pull", "--profile", "fake"]) == 0
    assert called.ensured[0][0] == ()
    assert capsys.readouterr().out == "This profile needs no model files.\n"


def test_models_verify_fails_when_one_is_not_whole(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "verify", "--profile", "fake"]) == 0
    assert cli.main(["models", "verify"]) == 1
    assert "63 of 63 model files are not whole" in capsys.readouterr().out


@pytest.mark.parametrize(("verdict", "status"), [("ok", 0), ("warning", 0), ("wrong", 1)])
def test_the_doctor_fails_only_when_something_is_wrong(
    called: Called, monkeypatch: pytest.MonkeyPatch, verdict: str, status: int
) -> None:
    from voxtral_voice import doctor

    check = doctor.Check(verdict, "subject", "text")  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "examine", lambda _: iter([check]))
    assert cli.main(["doctor"]) == status


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"voxtral-voice {__version__}\n"


def child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_an_old_python_gets_a_sentence() -> None:
    done = child("import sys; sys.version_info = (3, 10, 1); import voxtral_voice.cli")
    assert done.returncode == 1
    assert done.stderr == (
        "Voxtral Voice needs Python 3.11 or newer, and this is Python 3.10: make the environment with a newer one.\n"
    )


def test_a_reader_that_goes_away_gets_no_traceback() -> None:
    code = "import sys; from voxtral_voice.cli import main; sys.exit(main(['config']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=60)
    assert errors == b""


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voxtral_voice", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"voxtral-voice {__version__}\n"
