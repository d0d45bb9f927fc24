from __future__ import annotations

import asyncio
import logging
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from voxtral_voice.config import ServerConfig
from voxtral_voice.errors import ConfigError, ServerError
from voxtral_voice.observe import log
from voxtral_voice.server import auth as module
from voxtral_voice.server.auth import (
    EXPIRED,
    FOREIGN,
    FULL,
    MISSING,
    SESSIONS_ONLY,
    WRONG,
    Auth,
    ClientSecrets,
    Key,
    KeysFile,
    Refusal,
    Who,
    hashed,
    matching,
    new_key,
    shown_key,
)

KEY = "a-key-of-a-good-length"
OTHER = "another-key-of-a-good-length"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def line(name: str, key: str) -> str:
    return f"{name}:{sha256(key.encode()).hexdigest()}\n"


def keyed(*keys: str) -> ServerConfig:
    return ServerConfig(api_keys=SecretStr(",".join(keys)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(line("laptop", KEY))
    return path


def replace_file(path: Path, text: str) -> None:
    """As careful people do it: nobody ever reads half of it."""
    new = path.with_name("keys.new")
    new.write_text(text)
    os.replace(new, path)


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_new_key_and_its_line() -> None:
    key, its_line = new_key("laptop")
    assert re.fullmatch(r"vv_[A-Za-z0-9_-]{43}", key)  # all of it may stand in a subprotocol
    assert its_line == f"laptop:{sha256(key.encode()).hexdigest()}"
    assert new_key("laptop")[0] != key


@pytest.mark.parametrize("name", ["", "a b", "a:b", "#a", "a" * 65, "é", "a\n"])
def test_a_name_that_no_line_can_hold(name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 64 letters"):
        new_key(name)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "key"),
    [
        ({}, [], None),
        (bearer(KEY), [], KEY),
        ({"authorization": f"bearer   {KEY} "}, [], KEY),
        ({"authorization": "Bearer "}, [], None),
        ({"authorization": KEY}, [], None),
        ({"authorization": "Basic dTpw"}, ["realtime", f"openai-insecure-api-key.{KEY}"], KEY),
        ({}, [f"openai-insecure-api-key.{KEY}", "realtime"], KEY),
        ({}, ["realtime", "openai-insecure-api-key."], None),
        (bearer(KEY), ["realtime", f"openai-insecure-api-key.{OTHER}"], KEY),
    ],
)
def test_how_a_key_is_shown(headers: dict[str, str], subprotocols: list[str], key: str | None) -> None:
    assert shown_key(headers, subprotocols) == key


def test_every_key_is_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Key(str(number), hashed(str(number))) for number in range(5)]
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    for shown, found in (("0", keys[0]), ("4", keys[4]), ("5", None)):
        compared.clear()
        assert matching(keys, hashed(shown)) == found
        assert len(compared) == 5


# --- the file -----------------------------------------------------------------------------------------------------


def test_blank_lines_and_comments_are_no_keys(file: Path) -> None:
    file.write_text(f"# mine\n\n  {line('laptop', KEY)}\n{line('old', OTHER).upper().replace('OLD', 'old')}")
    assert KeysFile(file).keys() == (Key("laptop", hashed(KEY)), Key("old", hashed(OTHER)))


@pytest.mark.parametrize(
    "text", [KEY, f"laptop:{KEY}", "laptop:", f"my laptop:{'0' * 64}", f":{'0' * 64}", "a:" + "g" * 64]
)
def test_a_line_that_is_no_key_is_named_and_not_shown(file: Path, text: str) -> None:
    file.write_text(f"# ours\n{text}\n")
    with pytest.raises(ServerError) as refused:
        KeysFile(file)
    assert str(refused.value) == (
        f"Line 2 of {file} is no key: write NAME:SHA256, as 'voxtral-voice keys new NAME' does."
    )


def test_a_file_that_cannot_be_used(file: Path) -> None:
    file.write_text("# none yet\n")
    with pytest.raises(ServerError, match=r"There is no key in .*voxtral-voice keys new NAME >> "):
        KeysFile(file)
    file.write_bytes(b"\n" * (2**20 + 1))
    with pytest.raises(ServerError, match="larger than 1 MiB"):
        KeysFile(file)
    with pytest.raises(ServerError, match="cannot be read: Is a directory"):
        KeysFile(file.parent)
    with pytest.raises(ServerError, match="cannot be read: No such file"):
        KeysFile(file.with_name("nowhere"))


def test_a_change_counts_at_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    keys = KeysFile(file)
    replace_file(file, line("laptop", OTHER))
    assert keys.keys() == keys.keys() == (Key("laptop", hashed(OTHER)),)
    replace_file(file, "")
    assert keys.keys() == ()
    assert [record.getMessage() for record in caplog.records] == ["keys_read_again"] * 2


def test_a_file_that_gets_damaged_changes_nothing_and_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    keys = KeysFile(file)
    replace_file(file, OTHER)
    assert keys.keys() == keys.keys() == (Key("laptop", hashed(KEY)),)
    file.unlink()
    assert keys.keys() == keys.keys() == (Key("laptop", hashed(KEY)),)
    told = [record.__dict__["fields"]["reason"] for record in caplog.records]
    assert [OTHER in reason for reason in told] == [False, False]
    assert told[1].endswith("cannot be read: No such file or directory.")
    replace_file(file, line("laptop", OTHER))
    assert keys.keys() == (Key("laptop", hashed(OTHER)),)


# --- decisions ----------------------------------------------------------------------------------------------------


async def test_without_keys_everybody_may_whatever_they_show() -> None:
    auth = Auth()
    for headers in ({}, bearer("unused"), bearer("ek_unused")):
        assert await auth.check(headers, opens_session=True) == Who()


async def test_with_keys_only_those_who_have_one() -> None:
    auth = Auth(keyed(KEY, OTHER))
    assert await auth.check({}) == MISSING
    assert await auth.check(bearer(KEY)) == Who("key_1", hashed(KEY))
    assert await auth.check({}, ["realtime", f"openai-insecure-api-key.{OTHER}"]) == Who("key_2", hashed(OTHER))
    for wrong in (KEY[:-1], f"{KEY}x", KEY.upper(), "é" * 20, "\udc80", "ek_x"):
        assert await auth.check(bearer(wrong)) == WRONG
    assert KEY not in repr(auth.__dict__)


async def test_the_header_counts_when_there_is_a_key_in_both() -> None:
    auth = Auth(keyed(KEY))
    protocols = ["realtime", f"openai-insecure-api-key.{KEY}"]
    assert await auth.check(bearer(OTHER), protocols) == WRONG
    assert isinstance(await auth.check(bearer(KEY), ["openai-insecure-api-key.wrong"]), Who)


@pytest.fixture
def auth_of_file(file: Path) -> Auth:
    return Auth(ServerConfig(api_keys_file=str(file), api_keys=SecretStr(OTHER)))


async def test_keys_of_the_file_and_of_the_environment(auth_of_file: Auth) -> None:
    assert await auth_of_file.check(bearer(KEY)) == Who("laptop", hashed(KEY))
    assert await auth_of_file.check(bearer(OTHER)) == Who("key_1", hashed(OTHER))


ORIGINS = [
    # origin, host, with keys, allowed
    ("http://127.0.0.1:8000", "127.0.0.1:8000", False, True),
    ("http://localhost:8000", "localhost:8000", False, True),
    ("http://app.localhost:8000", "app.localhost:8000", False, True),
    ("http://[::1]:8000", "[::1]:8000", False, True),
    ("https://VOICE.example", "voice.example", True, True),
    ("https://app.example", "127.0.0.1:8000", False, True),  # named
    ("https://app.example:444", "127.0.0.1:8000", True, False),
    ("https://elsewhere.example", "127.0.0.1:8000", False, False),
    ("https://elsewhere.example", "127.0.0.1:8000", True, False),
    ("http://localhost:3000", "localhost:8000", False, False),
    ("http://rebound.example:8000", "rebound.example:8000", False, False),
    ("null", "127.0.0.1:8000", True, False),
    ("http://[", "127.0.0.1:8000", True, False),
    ("http://[", "[", False, False),
]


@pytest.mark.parametrize(("origin", "host", "has_keys", "allowed"), ORIGINS)
async def test_which_pages_may_ask(origin: str, host: str, has_keys: bool, allowed: bool) -> None:
    server = ServerConfig(allowed_origins=("https://app.example",), api_keys=SecretStr(KEY if has_keys else ""))
    verdict = await Auth(server).check({"origin": origin, "host": host, **bearer(KEY)})
    assert verdict != FOREIGN if allowed else verdict == FOREIGN


async def test_a_name_is_fine_where_the_server_is_open_to_others_on_purpose() -> None:
    headers = {"origin": "http://voice.example:8000", "host": "voice.example:8000"}
    server = ServerConfig(host="0.0.0.0", insecure_no_auth=True)
    assert await Auth(server).check(headers) == Who()
    assert await Auth(ServerConfig(insecure_no_auth=True)).check(headers) == Who()
    assert await Auth(ServerConfig()).check(headers) == FOREIGN


# --- client secrets -----------------------------------------------------------------------------------------------


class Clock:
    now = 1_000.7

    def __call__(self) -> float:
        return self.now


def minted(auth: Auth, who: Who, seconds: int = 60) -> str:
    given = auth.secrets.mint({"type": "realtime"}, seconds, who, 20)
    assert not isinstance(given, Refusal)
    return given[0]


async def test_a_secret_opens_sessions_until_it_expires() -> None:
    clock = Clock()
    auth = Auth(keyed(KEY), clock)
    who = await auth.check(bearer(KEY))
    assert isinstance(who, Who)
    given = auth.secrets.mint({"type": "realtime", "instructions": "Hi."}, 60, who, 40)
    assert not isinstance(given, Refusal)
    secret, expires_at = given
    assert re.fullmatch(r"ek_[A-Za-z0-9_-]{43}", secret)
    assert expires_at == 1_060
    assert secret not in repr(auth.secrets.__dict__)
    opened = Who("key_1", hashed(KEY), {"type": "realtime", "instructions": "Hi."})
    for _ in range(2):
        assert await auth.check(bearer(secret), opens_session=True) == opened
        clock.now = 1_059.9
    assert await auth.check({}, [f"openai-insecure-api-key.{secret}"], opens_session=True) == opened
    assert await auth.check(bearer(secret)) == SESSIONS_ONLY
    clock.now = 1_060
    assert await auth.check(bearer(secret), opens_session=True) == EXPIRED
    assert await auth.check(bearer(secret)) == EXPIRED
    assert isinstance(await auth.check(bearer(secret), opens_session=True, resumes=True), Who)


async def test_without_keys_a_secret_brings_its_session_and_an_expired_one_is_told() -> None:
    clock = Clock()
    auth = Auth(clock=clock)
    secret = minted(auth, Who())
    assert await auth.check(bearer(secret), opens_session=True) == Who(session={"type": "realtime"})
    assert await auth.check(bearer(secret)) == Who()
    clock.now += 61
    assert await auth.check(bearer(secret), opens_session=True) == EXPIRED


async def test_a_secret_is_worth_nothing_without_the_key_that_it_was_given_to(auth_of_file: Auth, file: Path) -> None:
    who = await auth_of_file.check(bearer(KEY))
    assert isinstance(who, Who)
    secret = minted(auth_of_file, who)
    assert isinstance(await auth_of_file.check(bearer(secret), opens_session=True), Who)
    await asyncio.to_thread(replace_file, file, line("laptop", "a-third-key-of-a-good-length"))
    assert await auth_of_file.check(bearer(secret), opens_session=True) == WRONG


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1_000), (100, 200)])
def test_secrets_are_bounded_and_expired_ones_make_room(
    monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int
) -> None:
    monkeypatch.setattr(module, "MOST_SECRETS", most)
    monkeypatch.setattr(module, "MOST_SECRET_BYTES", most_bytes)
    clock = Clock()
    secrets = ClientSecrets(clock)
    short, long = (secrets.mint({}, seconds, Who(), 100) for seconds in (10, 100))
    assert secrets.mint({}, 10, Who(), 100) == FULL
    clock.now += 11
    assert not isinstance(secrets.mint({}, 10, Who(), 100), Refusal)
    assert not isinstance(short, Refusal)
    assert not isinstance(long, Refusal)
    assert secrets.find(hashed(short[0])) is None
    assert secrets.find(hashed(long[0])) is not None
    assert secrets.mint({}, 10, Who(), 100) == FULL


async def test_a_key_that_can_be_guessed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    auth = Auth(keyed(KEY, "short"))
    assert [record.getMessage() for record in caplog.records] == ["short_api_key"]
    assert await auth.check(bearer("short")) == Who("key_2", hashed("short"))


# --- by which name the server is asked -----------------------------------------------------------------------------

HOSTS: Final = [
    # host, has keys, address, allowed hosts, in
    ("127.0.0.1:8000", False, "127.0.0.1", (), True),
    ("[::1]:8000", False, "127.0.0.1", (), True),
    ("localhost:8000", False, "127.0.0.1", (), True),
    ("LocalHost", False, "127.0.0.1", (), True),
    ("app.localhost:8000", False, "127.0.0.1", (), True),
    ("", False, "127.0.0.1", (), True),  # no browser
    ("evil.example:8000", False, "127.0.0.1", (), False),
    ("127.0.0.1.evil.example", False, "127.0.0.1", (), False),
    ("localhost.evil.example", False, "127.0.0.1", (), False),
    ("localhost@evil.example", False, "127.0.0.1", (), False),
    ("[::1", False, "127.0.0.1", (), False),
    ("voice.example:8000", False, "127.0.0.1", ("voice.example",), True),
    ("VOICE.example", False, "127.0.0.1", ("Voice.Example",), True),
    ("evil.example", False, "127.0.0.1", ("voice.example",), False),
    ("evil.example", True, "127.0.0.1", (), True),  # the page has no key to show
    ("evil.example", True, "0.0.0.0", (), True),
    ("evil.example", True, "0.0.0.0", ("voice.example",), False),
    ("192.0.2.7:8000", True, "0.0.0.0", ("voice.example",), True),  # a load balancer's question for its health
]


@pytest.mark.parametrize(("host", "has_keys", "address", "allowed", "goes_in"), HOSTS)
def test_by_which_names_the_server_may_be_asked(
    host: str, has_keys: bool, address: str, allowed: tuple[str, ...], goes_in: bool
) -> None:
    keys = SecretStr(KEY if has_keys else "")
    server = ServerConfig(host=address, api_keys=keys, insecure_no_auth=not has_keys and address == "0.0.0.0")
    server = server.model_copy(update={"allowed_hosts": tuple(name.lower() for name in allowed)})
    refusal = Auth(server).misnamed({"host": host} if host else {})
    assert (refusal is None) == goes_in
    assert refusal is None or (refusal.status, refusal.code) == (403, "foreign_host")


async def test_our_page_may_be_opened_by_a_name_that_is_allowed() -> None:
    headers = {"origin": "http://voice.example:8000", "host": "voice.example:8000"}
    assert await Auth(ServerConfig()).check(headers) == FOREIGN
    assert isinstance(await Auth(ServerConfig(allowed_hosts=("voice.example",))).check(headers), Who)
    by_origin = Auth(ServerConfig(allowed_origins=("http://voice.example:8000",)))
    assert isinstance(await by_origin.check(headers), Who)
    assert by_origin.misnamed(headers) is None
