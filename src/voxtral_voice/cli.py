"""The command line: which words mean which call. No logic.

Knows: commands, flags, exit statuses (0 done, 1 failed with one sentence on stderr, 2 wrong usage, 130 Ctrl-C).
Does not know: how anything is done.

The check of Python comes before all other imports, so that an old one gets a sentence instead of a traceback; a
command imports what it uses when it runs, so that `--version` does not wait for a model library.
"""
# ruff: noqa: E402

import sys

OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    sys.exit(
        f"Voxtral Voice needs Python 3.11 or newer, and this is Python {sys.version_info[0]}.{sys.version_info[1]}: "
        "make the environment with a newer one."
    )

import argparse
import dataclasses
import os
import shlex
import signal
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn

from voxtral_voice import __version__
from voxtral_voice.config import API_KEY, Config, Loaded, Setting, as_toml, flag, keys, load
from voxtral_voice.errors import VoiceError
from voxtral_voice.terminal import printable

SHORT_FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--patience": "turns.patience",
    "--voice": "speaker.voice",
    "--record": "record.dir",
    "--listen": "voxtral.listen",
    "--vllm-url": "voxtral.vllm_url",
    "--quantization": "voxtral.quantization",
    "--device": "voxtral.device",
}
"""Besides the flag that every setting has by its full name."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

KEYS = ("-key", "-keys")
"""Ends of the flags whose values are not written down."""

LONGEST_ERROR = 300
"""In characters: a sentence may quote what somebody else's server or file says."""

SERVER_HERE: Final = "http://127.0.0.1:8000"
"""Where `serve` listens when nobody says otherwise."""
Options = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; argv without the program's name (None: as called). Returns the exit status."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    run: Callable[[Options], int] = options.run
    try:
        return run(options)
    except VoiceError as error:
        print(f"voxtral-voice: {printable(str(error), LONGEST_ERROR)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone (`| head`); nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# --- commands ---------------------------------------------------------------------------------------------------


def _serve(options: Options) -> int:
    config = _config(options)
    config.server.require_protection()

    from voxtral_voice.server.run import serve  # fetches the models; its port answers meanwhile

    serve(config)
    return 0


def _talk(options: Options) -> int:
    config = _config(options)
    if options.url is None:
        _ensure_models(config)

    from voxtral_voice.talk import talk

    talk(options.question, options.answer, options.url, config, options.api_key)
    return 0


def _bench(options: Options) -> int:
    from voxtral_voice.bench.command import BenchOptions, run

    flags = [f"{flag(setting.key)}={setting.value}" for setting in getattr(options, "settings", ())]
    flags += [f"--config={options.config}"] if options.config else []
    if options.url is None:
        _ensure_models(_config(options))
    names = [field.name for field in dataclasses.fields(BenchOptions) if field.name != "server_flags"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored: in the background
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a server of our own ends with us
    asked = BenchOptions(server_flags=tuple(flags), **{name: getattr(options, name) for name in names})
    return run(asked, command=_as_typed(options.argv))


def _as_typed(argv: Sequence[str]) -> str:
    """The command, to be written down: without the keys in it."""
    words = ["voxtral-voice"]
    for word in argv:
        name, _, value = word.partition("=")
        is_key = words[-1].endswith(KEYS)
        words.append("KEY" if is_key else f"{name}=KEY" if value and name.endswith(KEYS) else word)
    return shlex.join(words)


def _models_list(options: Options) -> int:
    from voxtral_voice import models
    from voxtral_voice.weights.catalogue import catalogue
    from voxtral_voice.weights.listing import table

    config = _config(options)
    return _print([*table(catalogue(), config.weights.dir), *models.described(config)])


def _models_pull(options: Options) -> int:
    from voxtral_voice import models
    from voxtral_voice.weights.listing import summary

    config = _config(options)
    models.pull(config)
    return _print([summary(config.model_files, config.weights.dir), *models.described(config)])


def _models_verify(options: Options) -> int:
    from voxtral_voice import models
    from voxtral_voice.weights.listing import verdicts

    config = _config(options)
    findings = models.verify(config)
    _print(verdicts(findings, config.weights.dir))
    return int(any(finding.state != "ok" for finding in findings))


def _voices(options: Options) -> int:
    from voxtral_voice import voices

    config = _config(options)
    found = voices.chosen(config, options.language)
    if options.samples is not None:
        from voxtral_voice.server import samples

        return _print(samples.make(options.samples, config, found))
    return _print([voices.as_json(found)] if options.json else voices.table(found))


def _doctor(options: Options) -> int:
    from voxtral_voice.doctor import examine, try_gpus

    checks = []
    for check in (try_gpus if options.gpu else examine)(_config(options)):
        print(check, flush=True)
        checks.append(check)
    return int(any(check.verdict == "wrong" for check in checks))


def _replay(options: Options) -> int:
    from voxtral_voice.replay.command import accept, replay

    if options.accept:
        return _print([accept(options.file)])
    return 0 if replay(options.file, print) else 1


def _keys_new(options: Options) -> int:
    """The key goes to stderr, the line to stdout, so that `keys new NAME >> FILE` adds it and shows the key."""
    from voxtral_voice.server.auth import new_key

    key, line = new_key(options.name)
    print(f"The key of {options.name}, shown only now: {key}", file=sys.stderr)
    print("Its line for the file of --server-api-keys-file:", file=sys.stderr, flush=True)
    return _print([line])


def _clones_make(options: Options) -> int:
    from voxtral_voice import clones

    with clones.client(options.url, options.api_key) as server:
        return _print(clones.made(server, options.clip, options.name, options.consent))


def _clones_list(options: Options) -> int:
    from voxtral_voice import clones

    with clones.client(options.url, options.api_key) as server:
        return _print(clones.listed(server))


def _clones_delete(options: Options) -> int:
    from voxtral_voice import clones

    with clones.client(options.url, options.api_key) as server:
        return _print(clones.deleted(server, options.voice))


def _top(options: Options) -> int:
    from voxtral_voice.top.command import top

    top(options.url, options.api_key, once=options.once)
    return 0


def _recordings_erase(options: Options) -> int:
    from voxtral_voice.replay.retention import erased

    return _print([erased(options.folder, session=options.session, days=options.older_than)])


def _show_config(options: Options) -> int:
    return _print([as_toml(_loaded(options)).rstrip()])


def _ensure_models(config: Config) -> None:
    """Before the server's event loop begins, so that Ctrl-C ends a download at once."""
    from voxtral_voice import models

    models.ensure(config)


def _config(options: Options) -> Config:
    return _loaded(options).config


def _loaded(options: Options) -> Loaded:
    return load(options.config, os.environ, getattr(options, "settings", ()))


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


# --- words and flags --------------------------------------------------------------------------------------------


def _parse(argv: Sequence[str]) -> Options:
    options, unknown = _parser().parse_known_args(argv)
    options.argv = argv
    if unknown:
        _refuse(options.parser, unknown[0])
    return options


def _refuse(parser: argparse.ArgumentParser, word: str) -> NoReturn:
    name = word.partition("=")[0]
    known = [text for action in parser._actions for text in action.option_strings if text.startswith("--")]
    close = get_close_matches(name, known, n=1, cutoff=0.5) if name.startswith("-") else []
    advice = f"did you mean {close[0]}?" if close else f"see {parser.prog} --help"
    parser.error(f"{'unknown flag' if name.startswith('-') else 'one word too many:'} {name}; {advice}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voxtral-voice", description="A voice assistant on your own machine.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"voxtral-voice {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _command(commands, "serve", _serve, "serve the page and the API; prints the URL to open")
    talk = _command(
        commands, "talk", _talk, "ask a question from a WAV file", "WAV -o OUT [--url URL [--api-key KEY]] "
    )
    talk.add_argument("question", type=Path, metavar="WAV", help="the question")
    talk.add_argument("-o", dest="answer", type=Path, metavar="OUT", required=True, help="the answer, as WAV")
    talk.add_argument("--url", help="a running server (default: one of its own, in this process)")
    _key_of_the_server(talk)
    _bench_words(_command(commands, "bench", _bench, "time a voice server from outside", "[capacity] [BENCH] "))
    models = commands.add_parser(
        "models", help="list, pull or verify the model files; with --profile gpu Voxtral's, too"
    )
    actions = models.add_subparsers(metavar="ACTION", required=True)
    _command(actions, "list", _models_list, "every model file: size, licence, state")
    _command(actions, "pull", _models_pull, "fetch what is missing or damaged")
    _command(actions, "verify", _models_verify, "read every file and check its sha256")
    voices = _command(commands, "voices", _voices, "list the voices", "[--language L] [--json | --samples FOLDER] ")
    voices.add_argument("--language", help="only those that speak it, e.g. hi, en, en-GB")
    form = voices.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as GET /v1/voices has them")
    form.add_argument("--samples", type=Path, metavar="FOLDER", help="write a page to listen to them instead")
    _clones_command(commands)
    _keys_command(commands)
    _replay_command(commands)
    _recordings_command(commands)
    doctor = _command(commands, "doctor", _doctor, "say in plain words what is missing or wrong", "[--gpu] ")
    doctor.add_argument("--gpu", action="store_true", help="compute on the GPU, and tell what it really used")
    _top_command(commands)
    _command(commands, "config", _show_config, "print every setting, its value and where that came from")
    return parser


def _key_of_the_server(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--api-key", default=os.environ.get(API_KEY), help=f"key of that server (default: ${API_KEY})")


def _clones_command(commands: Any) -> None:
    group = commands.add_parser("clones", help="make, list or delete cloned voices of a running server")
    actions = group.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, run: Callable[[Options], int], text: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        parser.set_defaults(run=run, parser=parser)
        parser.add_argument("--url", default=SERVER_HERE, help="the server (default: %(default)s)")
        _key_of_the_server(parser)
        return parser

    make = action("make", _clones_make, "a voice of 5 to 30 s of one person's speech")
    make.add_argument("clip", type=Path, metavar="FILE", help="the recording")
    make.add_argument("--name", required=True, help="what you call the voice")
    make.add_argument("--consent", required=True, help="a sentence: whose voice it is, and that they agree")
    action("list", _clones_list, "your own voices there")
    delete = action("delete", _clones_delete, "one of your voices, for good")
    delete.add_argument("voice", metavar="ID", help="as 'clones list' has it")


def _top_command(commands: Any) -> None:
    text = "watch a running server: sessions, stages, engines, queues"
    parser: argparse.ArgumentParser = commands.add_parser("top", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=_top, parser=parser)
    parser.add_argument("url", nargs="?", default=SERVER_HERE, metavar="URL", help="the server (default: %(default)s)")
    _key_of_the_server(parser)
    parser.add_argument("--once", action="store_true", help="print it once, for scripts, instead of watching")


def _keys_command(commands: Any) -> None:
    group = commands.add_parser("keys", help="make API keys for the server", allow_abbrev=False)
    actions = group.add_subparsers(metavar="ACTION", required=True)
    text = "make a key: printed once, with its line for the file of --server-api-keys-file"
    new: argparse.ArgumentParser = actions.add_parser("new", help=text, description=text, allow_abbrev=False)
    new.set_defaults(run=_keys_new, parser=new)
    new.add_argument("name", metavar="NAME", help="whose key it is, for you: letters, digits, dots, dashes")


def _replay_command(commands: Any) -> None:
    text = "replay a recorded session and print what happened; fails when today's rules decide something else"
    replay: argparse.ArgumentParser = commands.add_parser("replay", help=text, description=text, allow_abbrev=False)
    replay.set_defaults(run=_replay, parser=replay)
    replay.add_argument("file", type=Path, metavar="FILE", help="a session that 'serve --record' has recorded")
    replay.add_argument("--accept", action="store_true", help="rewrite what the file expects to what comes out now")


def _recordings_command(commands: Any) -> None:
    group = commands.add_parser("recordings", help="erase recorded sessions", allow_abbrev=False)
    actions = group.add_subparsers(metavar="ACTION", required=True)
    text = "erase recordings for good: all of a folder, those of a session, or the old ones; other files stay"
    erase: argparse.ArgumentParser = actions.add_parser("erase", help=text, description=text, allow_abbrev=False)
    erase.set_defaults(run=_recordings_erase, parser=erase)
    erase.add_argument("folder", type=Path, metavar="FOLDER", help="that of 'serve --record'")
    which = erase.add_mutually_exclusive_group(required=True)
    which.add_argument("--session", default="", metavar="ID", help="those of one session: sess_...")
    which.add_argument("--older-than", type=_days, metavar="DAYS", help="those that are older")
    which.add_argument("--all", action="store_true", help="all of them")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of days")
    return days


def _command(
    commands: Any, name: str, run: Callable[[Options], int], text: str, words: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, usage=f"%(prog)s {words}[SETTINGS]", allow_abbrev=False
    )
    parser.set_defaults(run=run, parser=parser)
    settings = parser.add_argument_group(
        "settings", "a flag wins over the environment, and that over the settings file"
    )
    settings.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: voxtral-voice.toml)")
    for short, key in SHORT_FLAGS.items():
        settings.add_argument(short, action=_Set, dest=key, help=f"short for {flag(key)}")
    settings.add_argument("--offline", action=_Set, nargs=0, const="true", dest="weights.offline", help="fetch nothing")
    for key, info in keys().items():
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if info.annotation is bool else {}
        text = (info.description or "").replace("%", "%%")
        settings.add_argument(flag(key), action=_Set, dest=key, help=text, **alone)
    return parser


def _bench_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=("run", "capacity"), default="run", help="capacity: how many sessions"
    )
    group = parser.add_argument_group("bench")
    group.add_argument("--url", help="the server to measure (default: one of its own, started with SETTINGS)")
    group.add_argument("--wire", choices=("realtime", "raw"), default="realtime", help="OpenAI Realtime, or plain PCM")
    _key_of_the_server(group)
    group.add_argument("--model", help="asked for as ?model=, where a server needs it")
    group.add_argument("--pid", type=int, help="process id of the server: its CPU time and memory are measured")
    group.add_argument("--max-tokens", type=_positive, help="of an answer (default: as the server has it)")
    group.add_argument("--clips", type=_words, metavar="SETS", help="sets of clips, with commas; `list` lists them")
    group.add_argument("--turns", type=_positive, default=40, help="turns said into silence, per session (40)")
    group.add_argument("--barge-ins", type=_count, default=10, help="interruptions (10)")
    group.add_argument("--echoes", type=_count, default=6, help="replies that the caller's microphone takes up (6)")
    group.add_argument("--sessions", type=_positive, default=1, help="conversations at once (1)")
    group.add_argument(
        "--endpoint",
        dest="endpoints",
        action="append",
        metavar="HOW",
        help="default, server_vad:500, semantic_vad:high, semantic_vad:0.25 (patience); "
        "several are measured one after the other, for latency against false cut-ins",
    )
    group.add_argument("--seed", type=int, default=1, help="of the order and the pauses (1)")
    group.add_argument("--most", type=_positive, default=64, help="capacity: never more sessions than this (64)")
    group.add_argument("--p95-ms", type=_positive, help="capacity: the p95 to hold (default: 1.25 x that of one)")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the report, one file")


def _words(text: str) -> tuple[str, ...]:
    words = tuple(filter(None, (word.strip() for word in text.split(","))))
    if not words:
        raise argparse.ArgumentTypeError("name at least one set; `--clips list` lists them")
    return words


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError("1 is the least")
    return int(text)


class _Set(argparse.Action):
    """Collects flags as settings, unread: `config` knows their types, and names the flag when a value is wrong."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, metavar="VALUE", **options)

    def __call__(
        self, _parser: argparse.ArgumentParser, options: Options, values: object, option_string: str | None = None
    ) -> None:
        value = self.const if self.nargs == 0 else values
        setting = Setting(self.dest, value, option_string or self.option_strings[0])
        options.settings = [*getattr(options, "settings", []), setting]
