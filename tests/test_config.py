from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from voxtral_voice.config import (
    Config,
    Loaded,
    Setting,
    TurnsConfig,
    WeightsConfig,
    as_toml,
    flag,
    keys,
    load,
    variable,
)
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.errors import ConfigError
from voxtral_voice.weights import default_weights_dir


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "voxtral-voice.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def refusal(
    *, file: str | None = None, environment: dict[str, str] | None = None, flags: tuple[Setting, ...] = ()
) -> str:
    path = written(file, "my.toml") if file is not None else None
    with pytest.raises(ConfigError) as raised:
        load(path, environment or {}, flags)
    return str(raised.value)


def test_without_sources_everything_is_the_default() -> None:
    loaded = load(None, {}, ())
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins.keys() == keys().keys()


def test_flags_win_over_environment_over_file_over_defaults() -> None:
    written('[server]\nport = 1\nhost = "a"\n[speaker]\nthreads = 3\n')
    environment = {"VOXTRAL_VOICE_SERVER_PORT": "2", "VOXTRAL_VOICE_SERVER_HOST": "b", "PATH": "/bin"}
    loaded = load(None, environment, [Setting("server.port", "3", "--port")])
    assert (loaded.config.server.port, loaded.config.server.host, loaded.config.speaker.threads) == (3, "b", 3)
    assert loaded.config.playout.lead_ms == Policy().lead_ms
    assert loaded.origins["server.port"] == "--port"
    assert loaded.origins["server.host"] == "VOXTRAL_VOICE_SERVER_HOST"
    assert loaded.origins["speaker.threads"] == "voxtral-voice.toml"
    assert loaded.origins["playout.lead_ms"] == "default"


def test_the_last_of_two_flags_wins() -> None:
    both = [Setting("server.port", "3", "--port"), Setting("server.port", "4", "--server-port")]
    assert load(None, {}, both).config.server.port == 4


def test_a_named_file_is_read_instead_of_the_one_in_the_working_folder() -> None:
    written("[server]\nport = 1\n")
    other = written('profile = "fake"\n[responder]\nintents = false\n', "other.toml")
    config = load(other, {}, ()).config
    assert (config.profile, config.responder.intents, config.server.port) == ("fake", False, 8000)


def test_the_weights_folder_is_the_variable_that_the_weights_know(monkeypatch: pytest.MonkeyPatch) -> None:
    assert variable("weights.dir") == "VOXTRAL_VOICE_WEIGHTS_DIR"
    loaded = load(None, {"VOXTRAL_VOICE_WEIGHTS_DIR": "here"}, ())
    assert loaded.config.weights.dir == Path.cwd() / "here"
    monkeypatch.setenv("VOXTRAL_VOICE_WEIGHTS_DIR", "~/there")
    assert default_weights_dir() == WeightsConfig().dir == Path.home() / "there"


def test_the_weights_folder_is_in_the_users_cache_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXTRAL_VOICE_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_weights_dir() == Path("/caches/voxtral-voice/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_weights_dir() == Path.home() / ".cache/voxtral-voice/weights"


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert load(None, {"VOXTRAL_VOICE_SERVER_PORT": ""}, ()).origins["server.port"] == "default"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("[server]\nprot = 1", "In my.toml, server.prot is no setting; did you mean server.port?"),
        ("[sever]\nport = 1", "In my.toml, sever.port is no setting; did you mean server.port?"),
        ("port = 1", "In my.toml, port is no setting; did you mean server.port?"),
        ("xyzzy = 1", "In my.toml, xyzzy is no setting; 'voxtral-voice config' lists all of them."),
        ("server = 1", "In my.toml, server is a group of settings: write [server]."),
        ("[server.port]\nx = 1", "In my.toml, server.port.x is no setting; did you mean server.port?"),
        ("[server]\nport = true", "server.port = true (from my.toml) cannot be used: it should be a valid integer."),
        ("[server]\nport = [1]", "server.port = [1] (from my.toml) cannot be used: it should be a valid integer."),
        (
            "[server]\nport = 70000",
            "server.port = 70000 (from my.toml) cannot be used: it should be less than or equal to 65535.",
        ),
        (
            "[turns]\npatience = 1.5",
            "turns.patience = 1.5 (from my.toml) cannot be used: it should be less than or equal to 1.",
        ),
        (
            "[turns]\nmin_endpoint_ms = 300",
            "In my.toml, turns.min_endpoint_ms is no setting; did you mean turns.onset_ms?",
        ),
        ('[server]\nhost = ""', 'server.host = "" (from my.toml) cannot be used: it should have at least 1 character.'),
    ],
)
def test_a_wrong_file_is_one_sentence(file: str, sentence: str) -> None:
    assert refusal(file=file) == sentence


def test_a_file_that_is_not_toml_says_where() -> None:
    assert re.fullmatch(r"The settings file my\.toml is not TOML: .*\.", refusal(file="[server"))


def test_a_named_file_has_to_be_there_and_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no settings file none\.toml"):
        load(Path("none.toml"), {}, ())
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, {}, ())


def test_an_unknown_variable_names_the_nearest() -> None:
    assert refusal(environment={"VOXTRAL_VOICE_SERVER_PROT": "1"}) == (
        "The environment variable VOXTRAL_VOICE_SERVER_PROT is no setting; did you mean VOXTRAL_VOICE_SERVER_PORT?"
    )


@pytest.mark.parametrize("name", ["VOXTRAL_VOICE_BENCH_API_KEY", "VOXTRAL_VOICE_CORPUS_DIR"])
def test_a_variable_that_is_read_elsewhere_is_no_unknown_setting(name: str) -> None:
    assert load(None, {name: "x"}, ()) == load(None, {}, ())
    assert name in refusal(environment={f"{name}S": "x"})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("server.port", "abc", 'server.port = "abc" (from flag) cannot be used: it should be a valid integer.'),
        (
            "speaker.student",
            "maybe",
            'speaker.student = "maybe" (from flag) cannot be used: it should be true or false.',
        ),
        (
            "profile",
            "cpu",
            "profile = \"cpu\" (from flag) cannot be used: it should be 'embedded', 'gpu', 'remote' or 'fake'.",
        ),
        (
            "speaker.voice",
            "af_hart",
            "speaker.voice = \"af_hart\" (from flag) cannot be used: there is no voice 'af_hart': use one of af_heart, "
            "af_sarah, af_bella, af_nicole, hf_alpha, hf_beta, hm_omega, hm_psi or 46 others.",
        ),
        (
            "speaker.voice",
            "af_heart:much",
            "speaker.voice = \"af_heart:much\" (from flag) cannot be used: the weight in 'af_heart:much' is no number "
            "above 0; a blend looks like this: af_heart:0.6,af_bella:0.4.",
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(key: str, value: str, sentence: str) -> None:
    assert refusal(flags=(Setting(key, value, "flag"),)) == sentence


# --- engines behind URLs ------------------------------------------------------------------------------------------

URLS = {f"VOXTRAL_VOICE_{part}_URL": f"http://{part.lower()}:1/v1" for part in ("TRANSCRIBER", "RESPONDER", "SPEAKER")}


def test_the_remote_profile_and_where_its_parts_are() -> None:
    keyed = {**URLS, "VOXTRAL_VOICE_RESPONDER_API_KEY": "k1", "VOXTRAL_VOICE_RESPONDER_MODEL": "m"}
    config = load(None, {**keyed, "VOXTRAL_VOICE_PROFILE": "remote"}, ()).config
    assert config.remote == RemoteParts(
        Remote("http://transcriber:1/v1"), Remote("http://responder:1/v1", "m", "k1"), Remote("http://speaker:1/v1")
    )
    assert list(config.remote.places) == ["transcriber", "responder", "speaker"]
    assert "k1" not in repr(config.remote) + repr(config)


def test_only_what_runs_here_needs_model_files() -> None:
    def parts(**settings: str) -> list[str]:
        config = load(None, {f"VOXTRAL_VOICE_{key}": value for key, value in settings.items()}, ()).config
        return sorted({file.part for file in config.model_files})

    assert parts() == ["responder", "speaker", "transcriber", "turn_judge", "voice_activity"]
    assert parts(RESPONDER_URL="http://a/v1", SPEAKER_URL="http://a/v1") == [
        "transcriber",
        "turn_judge",
        "voice_activity",
    ]
    remote = {"PROFILE": "remote", **{key.removeprefix("VOXTRAL_VOICE_"): url for key, url in URLS.items()}}
    assert parts(**remote) == ["turn_judge", "voice_activity"]
    assert parts(**remote, TURNS_JUDGE="none") == ["voice_activity"]
    assert parts(PROFILE="fake") == []


def test_the_remote_profile_needs_every_url() -> None:
    said = refusal(environment={"VOXTRAL_VOICE_PROFILE": "remote", "VOXTRAL_VOICE_SPEAKER_URL": "http://a/v1"})
    assert said == (
        "The remote profile needs transcriber.url, responder.url: the base URL of an OpenAI-compatible server, such as "
        "http://127.0.0.1:8001/v1."
    )


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("there:8000", "it should be a URL like http://127.0.0.1:8001/v1."),
        ("ftp://there/v1", "it should be a URL like http://127.0.0.1:8001/v1."),
        ("http:///v1", "it should be a URL like http://127.0.0.1:8001/v1."),
        ("http://[::1/v1", "it should be a URL like http://127.0.0.1:8001/v1."),
        ("http://there:port/v1", "it should be a URL like http://127.0.0.1:8001/v1."),
    ],
)
def test_a_url_that_is_none(url: str, sentence: str) -> None:
    said = refusal(flags=(Setting("responder.url", url, "flag"),))
    assert said == f'responder.url = "{url}" (from flag) cannot be used: {sentence}'


def test_a_url_with_a_password_is_refused_without_being_shown() -> None:
    said = refusal(flags=(Setting("responder.url", "http://me:pass@there/v1", "flag"),))
    assert (
        said == "responder.url = (hidden) (from flag) cannot be used: it should hold no password: that is for api_key."
    )


def test_keys_are_never_printed() -> None:
    key = "sk-very-secret"
    loaded = load(None, {"VOXTRAL_VOICE_SPEAKER_API_KEY": key}, [Setting("responder.url", "http://a/v1", "--x")])
    printed = as_toml(loaded)
    assert key not in printed
    assert "# api_key is set  # VOXTRAL_VOICE_SPEAKER_API_KEY" in printed
    assert 'api_key = ""  # default' in printed
    again = load(written(printed, "again.toml"), {}, ()).config
    assert (again.speaker.api_key.get_secret_value(), again.responder.url) == ("", "http://a/v1")
    wrong = refusal(file=f'[speaker]\napi_key = ["{key}"]')
    assert key not in wrong
    assert wrong.startswith("speaker.api_key = (hidden) (from my.toml) cannot be used: ")


def test_voices_of_a_remote_speaker() -> None:
    there = {"VOXTRAL_VOICE_SPEAKER_URL": "http://a/v1"}
    named = load(None, {**there, "VOXTRAL_VOICE_SPEAKER_VOICES": " nova, alloy ,"}, ()).config.speaker
    assert (named.voices, named.voice) == (("nova", "alloy"), "nova")
    path = written('[speaker]\nurl = "http://a/v1"\nvoices = ["nova", "alloy"]\nvoice = "alloy"', "voices.toml")
    assert load(path, {}, ()).config.speaker.voice == "alloy"
    assert load(None, there, ()).config.speaker.voice == "af_heart"


def test_what_runs_kokoro_is_of_no_use_where_it_does_not_run() -> None:
    backend, there = Setting("speaker.backend", "torch", "flag"), Setting("speaker.url", "http://a/v1", "flag")
    assert load(None, {}, (backend,)).config.speaker.backend == "torch"
    expected = "speaker.backend is for Kokoro on this machine, and it does not run here: leave it out."
    assert refusal(flags=(backend, there)) == expected
    assert refusal(flags=(backend, Setting("profile", "fake", "flag"))) == expected


def test_voices_that_do_not_fit() -> None:
    there = Setting("speaker.url", "http://a/v1", "flag")
    voices, voice = Setting("speaker.voices", "nova,alloy", "flag"), Setting("speaker.voice", "aloy", "flag")
    assert refusal(flags=(there, voices, voice)) == (
        "speaker.voice = \"aloy\" (from flag) cannot be used: there is no voice 'aloy': use one of alloy, nova."
    )
    blend = Setting("speaker.voice", "nova:1,alloy:1", "flag")
    assert "there is no voice 'nova:1,alloy:1'" in refusal(flags=(there, voices, blend))
    assert refusal(flags=(voices,)) == (
        "speaker.voices is for a speaker behind a URL: set speaker.url, or leave it out."
    )


def test_a_blend_is_a_voice() -> None:
    flags = (Setting("speaker.voice", "af_bella:2,af_heart:3", "flag"),)
    assert load(None, {}, flags).config.speaker.voice == "af_heart:0.6,af_bella:0.4"


def test_nothing_is_recorded_unless_a_folder_is_named() -> None:
    assert load(None, {}, ()).config.record.dir == ""
    record = load(None, {"VOXTRAL_VOICE_RECORD_DIR": "here", "VOXTRAL_VOICE_RECORD_CONTENT": "true"}, ()).config.record
    assert (record.dir, record.content) == (str(Path.cwd() / "here"), True)
    assert refusal(flags=(Setting("record.content", "true", "--record-content"),)) == (
        'record.content = "true" (from --record-content) cannot be used: '
        "nothing is recorded; name a folder with --record."
    )


def test_every_setting_has_a_description_and_every_time_its_unit() -> None:
    for key, info in keys().items():
        assert info.description, key
        if key.endswith("_ms"):
            assert " ms" in info.description, key


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TurnsConfig().patience = 1


def test_patience_counts_as_chosen_only_when_somebody_chose_it() -> None:
    assert load(None, {}, ()).config.turns.chosen_patience is None
    assert load(None, {"VOXTRAL_VOICE_TURNS_PATIENCE": "0.5"}, ()).config.turns.chosen_patience == 0.5


def test_names_of_flags_and_variables_follow_the_key() -> None:
    assert flag("server.max_session_minutes") == "--server-max-session-minutes"
    assert variable("server.max_session_minutes") == "VOXTRAL_VOICE_SERVER_MAX_SESSION_MINUTES"
    assert len({flag(key) for key in keys()}) == len({variable(key) for key in keys()}) == len(keys())


def test_the_printed_settings_are_a_settings_file_with_the_same_effect() -> None:
    loaded = load(None, {"VOXTRAL_VOICE_LOG_LEVEL": "debug"}, [Setting("responder.intents", "false", "--x")])
    printed = as_toml(loaded)
    assert 'level = "debug"  # VOXTRAL_VOICE_LOG_LEVEL' in printed
    assert "intents = false  # --x" in printed
    assert "port = 8000  # default" in printed
    assert tomllib.loads(printed)["profile"] == "embedded"
    again: Loaded = load(written(printed, "again.toml"), {}, ())
    assert again.config == loaded.config


# --- who may use the server -----------------------------------------------------------------------------------------

KEY = "a-key-of-a-good-length"


@pytest.mark.parametrize(
    ("host", "settings", "protected"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("localhost", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("0.0.0.0", {}, False),
        ("::", {}, False),
        ("192.168.1.4", {}, False),
        ("localhost.example", {}, False),
        ("127.0.0.1.example", {}, False),
        ("0.0.0.0", {"api_keys": KEY}, True),
        ("0.0.0.0", {"api_keys_file": "keys"}, True),
        ("0.0.0.0", {"insecure_no_auth": "true"}, True),
        ("0.0.0.0", {"tls_cert": "cert.pem"}, False),
    ],
)
def test_what_other_machines_reach_needs_a_key(host: str, settings: dict[str, str], protected: bool) -> None:
    flags = [Setting(f"server.{name}", value, "flag") for name, value in settings.items()]
    server = load(None, {"VOXTRAL_VOICE_SERVER_HOST": host}, flags).config.server
    if protected:
        server.require_protection()
    else:
        with pytest.raises(ConfigError, match="or serve without any by --server-insecure-no-auth"):
            server.require_protection()


def test_api_keys_are_never_printed() -> None:
    loaded = load(None, {"VOXTRAL_VOICE_SERVER_API_KEYS": f" {KEY}, another-{KEY},"}, ())
    assert loaded.config.server.plain_keys == (KEY, f"another-{KEY}")
    assert loaded.config.server.asks_for_a_key
    assert KEY not in as_toml(loaded) + repr(loaded.config)
    assert "# api_keys is set  # VOXTRAL_VOICE_SERVER_API_KEYS" in as_toml(loaded)
    said = refusal(environment={"VOXTRAL_VOICE_SERVER_API_KEYS": "in-order,and two words"})
    assert said == (
        "server.api_keys = (hidden) (from VOXTRAL_VOICE_SERVER_API_KEYS) cannot be used: a key should be "
        "letters, digits and signs, without blanks."
    )
    assert not load(None, {"VOXTRAL_VOICE_SERVER_API_KEYS": " , "}, ()).config.server.asks_for_a_key


def test_files_are_found_from_the_working_folder() -> None:
    flags = [Setting(f"server.{name}", name, "flag") for name in ("api_keys_file", "tls_cert", "tls_key")]
    server = load(None, {}, flags).config.server
    here = str(Path.cwd())
    assert (server.api_keys_file, server.tls_cert, server.tls_key) == (
        f"{here}/api_keys_file",
        f"{here}/tls_cert",
        f"{here}/tls_key",
    )


def test_a_private_key_without_its_certificate() -> None:
    assert refusal(flags=(Setting("server.tls_key", "key.pem", "--server-tls-key"),)) == (
        'server.tls_key = "key.pem" (from --server-tls-key) cannot be used: '
        "a key is of no use without its certificate; name that with --server-tls-cert."
    )


def test_sites_whose_pages_may_connect() -> None:
    named = Setting("server.allowed_origins", "https://App.example , http://localhost:3000", "flag")
    assert load(None, {}, (named,)).config.server.allowed_origins == ("https://app.example", "http://localhost:3000")
    path = written('[server]\nallowed_origins = ["https://app.example"]', "origins.toml")
    assert load(path, {}, ()).config.server.allowed_origins == ("https://app.example",)
    for wrong in ("app.example", "https://app.example/", "https://me@app.example", "*", "https://"):
        assert "such as https://app.example.com." in refusal(flags=(Setting("server.allowed_origins", wrong, "flag"),))


def test_names_of_the_server() -> None:
    named = Setting("server.allowed_hosts", "Voice.Example , box", "flag")
    assert load(None, {}, (named,)).config.server.allowed_hosts == ("voice.example", "box")
    for wrong in ("voice.example:8000", "https://voice.example", "*", "a b"):
        assert "such as voice.example.com." in refusal(flags=(Setting("server.allowed_hosts", wrong, "flag"),))


def test_a_server_for_its_starter_alone_is_open_to_it_and_to_nobody_else() -> None:
    settings = {"HOST": "0.0.0.0", "API_KEYS": KEY, "TLS_CERT": "cert.pem", "MAX_SESSION_MINUTES": "5"}
    config = load(None, {f"VOXTRAL_VOICE_SERVER_{name}": value for name, value in settings.items()}, ()).config
    server = config.on_its_own().server
    assert (server.host, server.port, server.max_session_minutes) == ("127.0.0.1", 0, 5)
    assert (server.asks_for_a_key, server.tls_cert) == (False, "")


# --- Voxtral --------------------------------------------------------------------------------------------------------


def voxtral(profile: str = "gpu", **settings: str) -> tuple[Setting, ...]:
    """Keyword `transcriber_url` is transcriber.url, all others are of the group voxtral."""
    flags = [Setting("profile", profile, "--profile")]
    for name, value in settings.items():
        part, _, rest = name.partition("_")
        key = f"{part}.url" if rest == "url" and part in ("transcriber", "responder") else f"voxtral.{name}"
        flags.append(Setting(key, value, "flag"))
    return tuple(flags)


def chosen(profile: str = "gpu", **settings: str) -> Config:
    return load(None, {}, voxtral(profile, **settings)).config


URL = "http://127.0.0.1:8001/v1"


def test_how_voxtral_listens_unless_told() -> None:
    assert [chosen(profile).listen for profile in ("gpu", "fake", "embedded")] == [
        "streaming",
        "utterance",
        "utterance",
    ]
    assert chosen("fake", listen="direct").listen == "direct"
    assert chosen("embedded", listen="utterance").listen == "utterance"


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        ({}, ("realtime", "mini")),
        ({"responder_url": URL}, ("realtime",)),
        ({"listen": "direct"}, ("mini",)),
        ({"listen": "direct", "transcriber_url": URL}, ("mini",)),
        ({"listen": "utterance", "responder_url": URL}, ("mini",)),
        ({"listen": "utterance", "responder_url": URL, "transcriber_url": URL}, ()),
        ({"listen": "direct", "vllm_url": URL}, ()),
        ({"profile": "fake", "listen": "direct"}, ()),
    ],
)
def test_which_voxtral_models_run_here(settings: dict[str, str], models: tuple[str, ...]) -> None:
    assert chosen(**settings).voxtral_models == models


def test_the_gpu_profile_needs_no_files_of_what_voxtral_does() -> None:
    assert {file.part for file in chosen().model_files} == {"voice_activity", "turn_judge", "speaker"}


@pytest.mark.parametrize("delay_ms", ["80", "160", "1200", "2400"])
def test_a_delay_is_a_step_of_80_ms(delay_ms: str) -> None:
    assert chosen(delay_ms=delay_ms).voxtral.delay_ms == int(delay_ms)


@pytest.mark.parametrize("delay_ms", ["0", "79", "100", "1280", "2480", "-80"])
def test_other_delays_are_refused(delay_ms: str) -> None:
    assert refusal(flags=voxtral(delay_ms=delay_ms)) == (
        f'voxtral.delay_ms = "{delay_ms}" (from flag) cannot be used: it should be a multiple of 80 from 80 to 1200, '
        "or 2400."
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"listen": "direct", "responder_url": URL},
            "voxtral.listen = direct has Voxtral answer what it hears: leave responder.url out, or choose streaming or "
            "utterance.",
        ),
        (
            {"profile": "fake", "listen": "direct", "responder_url": URL},
            "voxtral.listen = direct has Voxtral answer what it hears: leave responder.url out, or choose streaming or "
            "utterance.",
        ),
        (
            {"transcriber_url": URL},
            "voxtral.listen = streaming hears with Voxtral Realtime: leave transcriber.url out, or choose utterance.",
        ),
        (
            {"vllm_url": URL},
            "The vLLM at voxtral.vllm_url hears, and nothing answers: set responder.url too, or leave voxtral.vllm_url "
            "out.",
        ),
        (
            {"listen": "direct", "vllm_url": URL, "backend": "transformers"},
            "voxtral.vllm_url is for backend = vllm: leave one of the two out.",
        ),
        (
            {"quantization": "fp8", "backend": "transformers"},
            "voxtral.quantization is done by vLLM: leave it out, or choose backend = vllm.",
        ),
        (
            {"listen": "direct", "vllm_url": URL, "quantization": "fp8"},
            "voxtral.quantization is for a vLLM that is started here: start yours with it instead.",
        ),
        (
            {"listen": "direct", "device": "transcriber=cuda:0,responder=cuda:1"},
            'voxtral.device = "transcriber=cuda:0,responder=cuda:1" cannot be used: one model hears and answers here, '
            "and it cannot be on cuda:0 and on cuda:1 at once.",
        ),
        (
            {"profile": "embedded", "listen": "direct"},
            "voxtral.listen is for Voxtral, and the embedded profile has none: add --profile gpu, or leave it out.",
        ),
        (
            {"profile": "embedded", "vllm_url": URL},
            "voxtral.vllm_url is for Voxtral, and the embedded profile has none: add --profile gpu, or leave it out.",
        ),
        (
            {"profile": "fake", "device": "cuda:0"},
            "voxtral.device is for Voxtral, and the fake profile has none: add --profile gpu, or leave it out.",
        ),
        (
            {"profile": "fake", "mini": "/m"},
            "voxtral.mini is for Voxtral, and the fake profile has none: add --profile gpu, or leave it out.",
        ),
        (
            {"profile": "fake", "listen": "streaming", "delay_ms": "240"},
            "voxtral.delay_ms is for Voxtral, and the fake profile has none: add --profile gpu, or leave it out.",
        ),
        (
            {"profile": "embedded", "vllm_api_key": "secret"},
            "voxtral.vllm_api_key is for Voxtral, and the embedded profile has none: add --profile gpu, or leave it "
            "out.",
        ),
        (
            {"listen": "direct", "vllm_url": URL, "vllm_command": "/v"},
            "voxtral.vllm_command is for a vLLM that is started here, and that at voxtral.vllm_url runs already: leave "
            "one of the two out.",
        ),
        (
            {"listen": "direct", "vllm_url": URL, "memory_share": "0.5"},
            "voxtral.memory_share is for a vLLM that is started here, and that at voxtral.vllm_url runs already: leave "
            "one of the two out.",
        ),
        (
            {"backend": "transformers", "vllm_command": "/v"},
            "voxtral.vllm_command is for backend = vllm: leave one of the two out.",
        ),
        (
            {"listen": "direct", "vllm_url": URL, "device": "cpu"},
            "voxtral.device says where the transcriber runs, and it runs behind a URL: leave it out, or place the "
            "speaker alone.",
        ),
        (
            {"vllm_url": URL, "responder_url": URL, "device": "responder=cuda:1"},
            "voxtral.device says where the responder runs, and it runs behind a URL: leave it out, or place the "
            "speaker alone.",
        ),
        (
            {"listen": "utterance", "vllm_url": URL, "transcriber_url": URL},
            "The vLLM at voxtral.vllm_url is to hear, and so is the server at transcriber.url: leave one of the two "
            "out, or name the vLLM as responder.url.",
        ),
        (
            {"listen": "utterance", "transcriber_url": URL, "responder_url": URL, "quantization": "fp8"},
            "voxtral.quantization is for Voxtral, and transcriber.url and responder.url leave it nothing to do: leave "
            "one of the three out.",
        ),
        (
            {"listen": "utterance", "transcriber_url": URL, "responder_url": URL, "vllm_url": URL},
            "voxtral.vllm_url is for Voxtral, and transcriber.url and responder.url leave it nothing to do: leave one "
            "of the three out.",
        ),
        *(
            (
                {"listen": listen, "delay_ms": "240"},
                f"voxtral.delay_ms is for Voxtral Realtime, and voxtral.listen = {listen} does without: leave it out, "
                "or choose streaming.",
            )
            for listen in ("direct", "utterance")
        ),
        (
            {"device": "gpu1"},
            'voxtral.device = "gpu1" (from flag) cannot be used: gpu1 is no device; cpu, cuda:0, cuda:1 and so on are.',
        ),
        (
            {"quantization": "fp9"},
            "voxtral.quantization = \"fp9\" (from flag) cannot be used: it should be '', 'fp8', 'fp8_per_tensor', "
            "'fp8_per_block', 'fp8_per_channel', 'int8_per_channel_weight_only', 'mxfp8' or 'nvfp4_per_token'.",
        ),
        (
            {"vllm_url": "http://me:pass@there/v1"},
            "voxtral.vllm_url = (hidden) (from flag) cannot be used: it should hold no password: that is for api_key.",
        ),
    ],
)
def test_what_does_not_fit_voxtral_is_one_sentence(settings: dict[str, str], sentence: str) -> None:
    assert refusal(flags=voxtral(**settings)) == sentence


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "direct", "vllm_url": URL, "device": "speaker=cuda:0"},
        {"vllm_url": URL, "responder_url": URL, "delay_ms": "240"},
        {"listen": "direct", "vllm_url": URL, "transcriber_url": URL},
        {"responder_url": URL, "quantization": "fp8"},
        {"listen": "direct", "delay_ms": "480", "vllm_url": URL, "memory_share": "0.9"},
    ],
)
def test_what_fits_voxtral(settings: dict[str, str]) -> None:
    """Among it: what a vLLM of somebody else has for a delay, which its start checks; values that are the defaults."""
    assert chosen(**settings).voxtral.changed


def test_all_settings_at_their_defaults_fit_any_profile() -> None:
    for profile in ("embedded", "fake", "gpu"):
        file = written(as_toml(load(None, {}, voxtral(profile))), "all.toml")
        assert load(file, {}, ()).config.profile == profile


@pytest.mark.parametrize("key", ["weights.dir", "record.dir"])
def test_the_home_of_nobody(key: str) -> None:
    sentence = refusal(flags=(Setting(key, "~no-such-user/x", "flag"),))
    assert sentence.endswith("cannot be used: it should be a whole path: whose home that is, is not known.")


def test_a_vllm_of_somebody_else() -> None:
    assert chosen().vllm is None
    config = chosen(listen="direct", vllm_url=URL, vllm_model="m", vllm_api_key="secret")
    assert config.vllm == Remote(URL, "m", "secret")
    assert config.vllm.settings == "voxtral.vllm_"
    assert "secret" not in repr(config)


def test_two_models_may_be_on_two_devices() -> None:
    placed = chosen(device="transcriber=cuda:0,responder=cuda:1").placement
    assert (placed.transcriber, placed.responder, placed.speaker) == ("cuda:0", "cuda:1", "cpu")
    alone = chosen(listen="direct", device="responder=cuda:1").placement
    assert (alone.transcriber, alone.responder) == ("cuda:1", "cuda:1")


@pytest.mark.parametrize("url", ["collector", "http://", "grpc://there:4317", "http://key@there:4318"])
def test_traces_go_to_a_url_that_holds_no_key(url: str) -> None:
    flags = [Setting("observe.otlp_endpoint", url, "--observe-otlp-endpoint")]
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        load(None, {}, flags)


def test_nothing_is_traced_and_logs_are_text_unless_asked_for() -> None:
    config = load(None, {}, []).config
    assert (config.observe.otlp_endpoint, config.log.format) == ("", "text")
    flags = [Setting("observe.otlp_endpoint", "http://there:4318", "x"), Setting("log.format", "json", "y")]
    config = load(None, {}, flags).config
    assert (config.observe.otlp_endpoint, config.log.format) == ("http://there:4318", "json")


def test_who_answers_while_the_responder_fails() -> None:
    url = Setting("responder.fallback_url", "http://b/v1", "flag")
    key = {"VOXTRAL_VOICE_RESPONDER_FALLBACK_API_KEY": "sk-secret"}
    loaded = load(None, key, (url, Setting("responder.fallback_model", "small", "flag")))
    there = Remote("http://b/v1", "small", "sk-secret", settings="responder.fallback_")
    assert loaded.config.responder.fallback == there
    assert "sk-secret" not in as_toml(loaded)
    assert load(None, key, ()).config.responder.fallback is None
    wrong = Setting("responder.fallback_url", "b/v1", "flag")
    assert refusal(flags=(wrong,)).endswith("it should be a URL like http://127.0.0.1:8001/v1.")


@pytest.mark.parametrize("name", ["transcriber.", "responder.", "speaker.", "responder.fallback_"])
def test_a_model_without_its_server_is_not_taken_silently(name: str) -> None:
    model, url = Setting(f"{name}model", "small", "flag"), Setting(f"{name}url", "http://b/v1", "flag")
    said = f"{name}model is for the server at {name}url: set that too, or leave it out"
    assert said in refusal(flags=(model,))
    load(None, {}, (model, url))


@pytest.mark.parametrize("part", ["transcriber", "responder", "speaker"])
def test_how_long_an_engine_is_waited_for(part: str) -> None:
    assert getattr(load(None, {}, ()).config, part).timeout_s == 0
    assert getattr(load(None, {}, (Setting(f"{part}.timeout_s", "2.5", "flag"),)).config, part).timeout_s == 2.5
    assert "greater than or equal to 0" in refusal(flags=(Setting(f"{part}.timeout_s", "-1", "flag"),))


def test_where_sessions_are_kept_is_a_secret() -> None:
    store = "rediss://:open-sesame@store.example.com:6379/0"
    loaded = load(None, {"VOXTRAL_VOICE_SERVER_RESUME_STORE": store}, ())
    assert loaded.config.server.resume_store.get_secret_value() == store
    assert "# resume_store is set" in as_toml(loaded)
    assert "open-sesame" not in as_toml(loaded) + repr(loaded)
    for good in (
        "redis://localhost",
        "redis://user:open%2Fsesame@[::1]:6379/2?socket_keepalive=yes",
        "rediss://store.example.com/?ssl_ca_certs=/etc/ssl/ours.pem",
        "unix:///run/redis.sock?db=1",
        "",
    ):
        load(None, {}, [Setting("server.resume_store", good, "flag")])


@pytest.mark.parametrize(
    "bad",
    [
        "http://open-sesame",
        "redis://",
        "open-sesame",
        "redis://a b",
        "redis://:open-sesame@store.example.com:port/0",
        "redis://:open-sesame@store.example.com:99999/0",
        "redis://:open-sesame@[::1/0",
        "redis://:open#sesame@store.example.com/0",
        "redis://:open/sesame@store.example.com/0",
        "redis://user:12/34@store.example.com/0",
        "redis://user:12?34@store.example.com/0",
        "redis://store.example.com/0?open=sesame",
        "redis://store.example.com/0?socket_timeout=sesame",
        "redis://store.example.com/0?db=sesame",
        "unix:///run/redis.sock?db=sesame",
    ],
)
def test_a_store_that_cannot_be_is_refused_before_anything_starts(bad: str) -> None:
    assert refusal(flags=(Setting("server.resume_store", bad, "flag"),)) == (
        "server.resume_store = (hidden) (from flag) cannot be used: it should be a URL like redis://127.0.0.1:6379/0 "
        "or rediss://store.example.com, with %2F, %3F and %23 for /, ? and # in a password."
    )


def test_how_long_a_server_drains() -> None:
    assert Config().server.drain_s == 10
    assert load(None, {}, [Setting("server.drain_s", "0.5", "flag")]).config.server.drain_s == 0.5
    assert "server.drain_s" in refusal(flags=(Setting("server.drain_s", "-1", "flag"),))
