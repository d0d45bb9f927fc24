from __future__ import annotations

import pytest

from voxtral_voice.bench.drivers.base import socket_url
from voxtral_voice.errors import TalkError


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/p"),
        ("localhost", "ws://localhost/p"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/p"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/p"),
        ("https://voice.example", "wss://voice.example/p"),
        ("ws://127.0.0.1:8000/v1/realtime", "ws://127.0.0.1:8000/v1/realtime"),
        ("wss://voice.example/pod/v1/realtime?model=m#x", "wss://voice.example/pod/v1/realtime?model=m"),
        ("http://[::1]:8000", "ws://[::1]:8000/p"),
        ("question.wav:", "ws://question.wav:/p"),  # a host's name may look like this
    ],
)
def test_addresses_in_all_their_forms(given: str, address: str) -> None:
    assert socket_url(given, "/p") == address


@pytest.mark.parametrize(
    "given", ["", "ftp://host", "ws://", "host:port", "http://host:99999", "host:0", "ws://[abc", "ws://a..b/x"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(TalkError, match=r"is not the address of a server; write http://host:port"):
        socket_url(given)
