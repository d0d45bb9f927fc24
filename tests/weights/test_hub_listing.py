from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest

from tests.weights.loopback import REVISION, Hub
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.hub_listing import HubListing, Listed

SMALL, LARGE = b"{}", b"x" * 1000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for variable in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Hub({"small.json": SMALL, "large.bin": LARGE}) as hub:
        hub.large = {"large.bin"}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def refusal(revision: str = "") -> str:
    with pytest.raises(WeightsError) as raised, HubListing("someone/model", revision) as listing:
        listing.hashed("small.json")
    return str(raised.value)


def test_a_large_file_is_listed_with_its_hash_and_a_small_one_is_read(hub: Hub) -> None:
    with HubListing("someone/model", "") as listing:
        assert (listing.commit, listing.paths) == (REVISION, ("small.json", "large.bin"))
        found = {path: listing.hashed(path) for path in listing.paths}
    assert found["small.json"] == Listed(path="small.json", size=2, sha256=sha256(SMALL).hexdigest())
    assert found["large.bin"] == Listed(path="large.bin", size=1000, sha256=sha256(LARGE).hexdigest())
    assert hub.asked == [("small.json", None)]


def test_the_token_is_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with HubListing("someone/model", "") as listing:
        listing.hashed("small.json")
    assert hub.tokens == ["Bearer secret"] * 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, r"it refuses (HTTP 401), or there is no such repository; a token goes into HF_TOKEN"),
        (404, r"there is no such repository or revision (v2), and no such folder here"),
        (503, r"it answers HTTP 503"),
    ],
)
def test_a_refusal_is_one_sentence(hub: Hub, status: int, reason: str) -> None:
    hub.statuses = [status]
    assert refusal("v2") == (
        f"The hub cannot be asked for someone/model: {reason}. Check the name and the network, or name a folder that "
        "has the model."
    )


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b'{"sha": "main", "siblings": []}'])
def test_an_answer_that_is_no_list(hub: Hub, answer: bytes) -> None:
    hub.listing = answer
    assert "it answers with something that is no list of files" in refusal()


def listing_of(**fields: object) -> bytes:
    import json

    return json.dumps({"sha": REVISION, "siblings": [{"rfilename": "small.json", **fields}]}).encode()


def test_a_small_file_that_is_not_the_listed_one(hub: Hub) -> None:
    hub.listing = listing_of(size=2, blobId="0" * 40)
    assert "what it gave for small.json is not what it lists" in refusal()


@pytest.mark.parametrize("size", [None, 30_000_000])
def test_a_file_of_which_nothing_is_known(hub: Hub, size: int | None) -> None:
    hub.listing = listing_of(size=size)
    assert "it has no sha256 for small.json" in refusal()


def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "HF_ENDPOINT=nonsense is not an http address" in refusal()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "The hub cannot be asked for someone/model" in refusal()


def test_unusable_proxy_settings(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://proxy")
    assert "the proxy or certificate settings cannot be used" in refusal()
