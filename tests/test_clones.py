from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import pytest

from voxtral_voice import clones
from voxtral_voice.cli import main
from voxtral_voice.errors import AudioError, TalkError

VOICE = {"id": "voice_1", "name": "Ada", "created_at": 1_800_000_000, "similarity": 0.8123, "pitch_hz": 201.4}
CONSENT = "I am Ada, and I agree to this."


def server(handle: Callable[[httpx.Request], httpx.Response], key: str | None = "the-key") -> httpx.Client:
    return clones.client("http://there:1/", key, httpx.MockTransport(handle))


def lines(found: Iterable[str]) -> str:
    return "\n".join(found)


def test_a_voice_is_made_of_a_file(tmp_path: Path) -> None:
    clip = tmp_path / "ada.wav"
    clip.write_bytes(b"RIFF-and-so-on")

    def handle(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", "http://there:1/v1/voices")
        assert request.headers["Authorization"] == "Bearer the-key"
        body = request.read()
        assert all(part in body for part in (b"RIFF-and-so-on", b'filename="ada.wav"', CONSENT.encode(), b"Ada"))
        return httpx.Response(200, json=VOICE)

    told = lines(clones.made(server(handle), clip, "Ada", CONSENT))
    assert told == "voice_1  Ada\nLikeness to the clip 0.81; pitch 201 Hz. Use it by its id."


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read: No such file"):
        lines(clones.made(server(lambda _: httpx.Response(500)), tmp_path / "no.wav", "Ada", CONSENT))


def test_own_voices_are_listed() -> None:
    data = [{"id": "af_heart"}, VOICE]
    told = lines(clones.listed(server(lambda _: httpx.Response(200, json={"data": data}), None)))
    assert told == "voice_1  2027-01-15  Ada"
    none = server(lambda request: httpx.Response(200, json={"data": data[:1]}, headers=request.headers), None)
    assert lines(clones.listed(none)) == "No cloned voices."


def test_a_voice_is_deleted() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("DELETE", "/v1/voices/voice_1")
        return httpx.Response(200, json={"deleted": True})

    assert lines(clones.deleted(server(handle), "voice_1")) == "voice_1 is deleted."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            httpx.Response(404, json={"error": {"message": "There is no such voice."}}),
            "refused: There is no such voice.",
        ),
        (httpx.Response(502, text="<html>"), "HTTP 502, and no reason"),
        (httpx.Response(500, json=["no", "error"]), "HTTP 500, and no reason"),
    ],
)
def test_what_the_server_refuses(answer: httpx.Response, words: str) -> None:
    with pytest.raises(TalkError, match=words):
        lines(clones.deleted(server(lambda _: answer), "voice_1"))


def test_a_server_that_is_not_there() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TalkError, match="does not answer"):
        lines(clones.listed(server(handle)))


@pytest.mark.parametrize("words", [["make", "a.wav", "--name", "Ada", "--consent", CONSENT], ["list"], ["delete", "x"]])
def test_the_command(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No server is on port 1; what does not need one is not reached."""
    (tmp_path / "a.wav").write_bytes(b"x")
    words = [str(tmp_path / word) if word == "a.wav" else word for word in words]
    assert main(["clones", *words, "--url", "http://127.0.0.1:1"]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("voice_id", ["", "..", "../models", "a?b#c", "voice 1", "голос"])
def test_only_what_is_an_id_is_deleted(voice_id: str) -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"deleted": True})

    with pytest.raises(TalkError, match="is no id of a cloned voice"):
        lines(clones.deleted(server(handle), voice_id))
    assert not asked


@pytest.mark.parametrize("url", ["http://[::1", "nonsense", "", "ftp://there", "http://", "http://there:port"])
def test_an_address_that_can_be_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clones", "list", "--url", url]) == 1
    assert "is no address of a server" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["ключ", "a\nb"])
def test_a_key_that_can_be_none(key: str) -> None:
    with pytest.raises(TalkError, match="letters that no key can have"):
        clones.client("http://there:1", key)


def test_names_move_no_cursor(tmp_path: Path) -> None:
    voice = {**VOICE, "name": "A\x1b[2J\nB"}
    answer = server(lambda request: httpx.Response(200, json=voice if request.method == "POST" else {"data": [voice]}))
    assert lines(clones.listed(answer)) == "voice_1  2027-01-15  A\\x1b[2J\\nB"
    clip = tmp_path / "a.wav"
    clip.write_bytes(b"x")
    assert next(clones.made(answer, clip, "A", CONSENT)) == "voice_1  A\\x1b[2J\\nB"


@pytest.mark.parametrize("answer", [[], {}, {"data": 3}, {"data": [{**VOICE, "created_at": 1e30}]}])
def test_an_answer_of_another_kind_of_server(answer: object) -> None:
    with pytest.raises(TalkError, match="is not what"):
        lines(clones.listed(server(lambda _: httpx.Response(200, json=answer))))


def test_what_is_no_text(tmp_path: Path) -> None:
    clip = tmp_path / "a.wav"
    clip.write_bytes(b"x")
    with pytest.raises(TalkError, match="no text in UTF-8"):
        lines(clones.made(server(lambda _: httpx.Response(500)), clip, "\udcff", CONSENT))
