from __future__ import annotations

import re

import pytest

from voxtral_voice.realtime.resume import Asked, Tokens, asked, digest, make_token

TOKEN = make_token("sess_1", "c2Vjcm_-V0")
HEADERS = {"x-voxtral-voice-resume": TOKEN, "x-voxtral-voice-after": "event_7"}
NAMES = ("realtime", f"voxtral-voice-resume.{TOKEN}", "voxtral-voice-after.event_7")


@pytest.mark.parametrize(
    ("headers", "names", "found"),
    [
        ({}, (), None),
        ({}, ("realtime", "openai-insecure-api-key.x"), None),
        ({"x-voxtral-voice-resume": " "}, (), None),
        ({}, ("voxtral-voice-resume.",), None),
        (HEADERS, (), Asked(TOKEN, "event_7")),
        ({}, NAMES, Asked(TOKEN, "event_7")),
        (HEADERS, ("voxtral-voice-resume.other", "voxtral-voice-after.event_1"), Asked(TOKEN, "event_7")),
        ({"x-voxtral-voice-resume": TOKEN}, (), Asked(TOKEN, "")),
        ({"x-voxtral-voice-after": "event_7"}, (), None),
    ],
)
def test_what_a_handshake_asks_for(headers: dict[str, str], names: tuple[str, ...], found: Asked | None) -> None:
    assert asked(headers, names) == found


def test_a_token_names_its_session_and_may_be_a_subprotocol() -> None:
    assert Asked(TOKEN, "").session_id == "sess_1"
    assert Asked("nonsense", "").session_id == "nonsense"
    assert re.fullmatch(r"[\w.-]+", TOKEN)


def test_only_the_hash_is_kept() -> None:
    tokens = Tokens()
    tokens.renew(TOKEN)
    assert tokens.newest == digest(TOKEN)
    assert TOKEN not in str(vars(tokens))


def test_which_token_counts() -> None:
    tokens = Tokens()
    assert not tokens.accept(TOKEN)
    tokens.renew("first")
    assert tokens.accept("first")
    assert not tokens.accept("second")
    assert not tokens.accept("first\udcff")
    tokens.renew("second", "first")
    assert tokens.accept("first")  # the second may not have arrived
    tokens.renew("third", "first")
    assert tokens.accept("first")
    assert tokens.accept("third")
    assert not tokens.accept("second")
    tokens.arrived()
    assert not tokens.accept("first")
    assert tokens.accept("third")
    tokens.revoke()
    assert tokens.newest is None
    assert not tokens.accept("third")


def test_what_another_server_may_ask_for() -> None:
    tokens = Tokens()
    assert tokens.counting is None
    tokens.renew("first")
    assert tokens.counting == (digest("first"), b"")
    tokens.renew("second", "first")
    assert tokens.counting == (digest("second"), digest("first"))
