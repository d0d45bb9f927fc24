from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.weights.loopback import Hub, from_hub
from voxtral_voice.weights import hub as hub_module
from voxtral_voice.weights.catalogue import UrlSource
from voxtral_voice.weights.hub import Downloads, SourceError

CONTENT = bytes(range(256)) * 4096
"""1 MiB."""
SIZE = len(CONTENT)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for variable in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Hub({"model.bin": CONTENT}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
        yield hub


def download(part: Path, size: int = SIZE) -> list[int]:
    seen: list[int] = []
    with Downloads() as downloads:
        downloads.download(from_hub("model.bin"), part, size, seen.append)
    return seen


def test_a_file_comes_whole_and_its_bytes_are_counted(hub: Hub, tmp_path: Path) -> None:
    seen = download(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == SIZE
    assert hub.asked == [("model.bin", None)]


def test_a_cut_transfer_goes_on_where_it_broke_off(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [300_000, 200_000]
    download(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    begins = [int(asked.removeprefix("bytes=").rstrip("-")) for _, asked in hub.asked if asked]
    assert len(begins) == 2
    assert 0 < begins[0] <= 300_000
    assert begins[0] < begins[1] <= 500_000


def test_what_another_run_left_is_continued(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:400_000])
    download(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert hub.asked == [("model.bin", "bytes=400000-")]


def test_a_server_without_ranges_sends_everything_again(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    (tmp_path / "part").write_bytes(b"x" * 400_000)
    download(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_source_that_keeps_breaking_off_fails(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [100_000] * 20
    with pytest.raises(SourceError, match=r"broke off after [\d,]+ bytes"):
        download(tmp_path / "part")
    assert len(hub.asked) == hub_module.CUTS_FORGIVEN + 1


def test_a_source_that_brings_nothing_fails_at_once(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [0, 0]
    with pytest.raises(SourceError, match="broke off after 0 bytes"):
        download(tmp_path / "part")
    assert len(hub.asked) == 1


def test_more_bytes_than_announced_are_refused(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gave more than 1,000 bytes"):
        download(tmp_path / "part", size=1000)


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "answered HTTP 404"), (503, "answered HTTP 503"), (401, "HF_TOKEN"), (416, "416")]
)
def test_a_refusal_is_a_reason(hub: Hub, tmp_path: Path, status: int, reason: str) -> None:
    hub.statuses = [status]
    with pytest.raises(SourceError, match=reason):
        download(tmp_path / "part")


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    download(tmp_path / "part")
    with Downloads() as downloads:
        elsewhere = UrlSource(kind="url", url=f"{hub.url}/x/resolve/main/model.bin")
        downloads.download(elsewhere, tmp_path / "other", SIZE, lambda _: None)
    assert hub.tokens == ["Bearer secret", None]


def test_a_host_that_cannot_be_reached_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        sent: list[httpx.Request] = []
        send = httpx.Client.send

        def counted(self: httpx.Client, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
            sent.append(request)
            return send(self, request, stream=stream)

        monkeypatch.setattr(httpx.Client, "send", counted)
        with Downloads() as downloads:
            for name in ("a", "b"):
                with pytest.raises(SourceError, match=r"127\.0\.0\.1 cannot be reached"):
                    downloads.download(from_hub(name), tmp_path / name, 1, lambda _: None)
    assert len(sent) == 1


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://somewhere", "http://"])
def test_an_endpoint_that_is_no_address_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(SourceError, match="HF_ENDPOINT"):
        download(tmp_path / "part")


def test_unusable_proxy_settings_are_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://proxy")
    with pytest.raises(SourceError, match="proxy"):
        download(tmp_path / "part")
