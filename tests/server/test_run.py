from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.server.caller import PATIENCE_S, calling
from tests.server.conftest import Serving, quick, quick_config
from voxtral_voice.config import Config, RecordConfig, ServerConfig
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.errors import ConfigError, EngineError, ServerError, VoiceError, WeightsError
from voxtral_voice.replay.compare import Replayed, replayed
from voxtral_voice.replay.recording import End, opened
from voxtral_voice.server import run
from voxtral_voice.server.run import running, started


def config_at(host: str, port: int) -> Config:
    server = ServerConfig(host=host, port=port, insecure_no_auth=True)
    return quick_config().model_copy(update={"server": server})


async def refusal(config: Config) -> str:
    with pytest.raises(ServerError) as caught:
        async with running(config):
            pytest.fail("it started")
    return str(caught.value)


async def test_other_machines_are_served_with_a_key_or_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: quick())
    for host in ("0.0.0.0", "::", "192.0.2.1", "a-name"):
        config = quick_config().model_copy(update={"server": ServerConfig(host=host, port=0)})
        with pytest.raises(ConfigError) as refused:
            async with running(config):
                pytest.fail("it started")
        assert str(refused.value) == (
            f"At {host} everyone who can reach this machine could use the server: ask for a key "
            "(--server-api-keys-file; 'voxtral-voice keys new NAME' makes one), or serve without any by "
            "--server-insecure-no-auth."
        )
    keyed = ServerConfig(host="0.0.0.0", port=0, api_keys=SecretStr("a-key-of-a-good-length"))
    async with running(quick_config().model_copy(update={"server": keyed})) as url:
        assert url.startswith("http://127.0.0.1:")


async def test_a_keys_file_is_read_before_anything_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: pytest.fail("the engines were loaded"))
    server = ServerConfig(port=0, api_keys_file=str(tmp_path / "nowhere"))
    said = await refusal(quick_config().model_copy(update={"server": server}))
    assert said == f"The keys file {tmp_path / 'nowhere'} cannot be read: No such file or directory."


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_port_in_use(serving: Serving) -> None:
    async with serving() as server:
        port = port_of(server.url)
        assert await refusal(config_at("127.0.0.1", port)) == (
            f"Port {port} is in use: stop what uses it, or choose another with --port."
        )
        assert (await server.get("/livez")).status_code == 200


async def test_a_port_is_in_use_while_its_server_still_loads_its_engines(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeSpeaker):
        async def start(self) -> None:
            loading.set()
            await may_go_on.wait()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def first() -> None:
        async with serving(quick(speaker=Slow(0, 0)), config_at("127.0.0.1", port)) as server:
            assert (await server.get("/livez")).status_code == 200

    before = asyncio.all_tasks()
    starting = asyncio.ensure_future(first())
    await loading.wait()
    assert "is in use" in await refusal(config_at("127.0.0.1", port))
    may_go_on.set()
    await asyncio.wait([starting])
    assert asyncio.all_tasks() - before == set()


async def test_an_address_that_is_not_ours() -> None:
    assert await refusal(config_at("192.0.2.1", 0)) == (
        "Cannot listen on 192.0.2.1:0 (Cannot assign requested address)."
    )


async def test_a_host_that_does_not_exist() -> None:
    assert (await refusal(config_at("no.such.host.invalid", 0))).startswith("Cannot listen on no.such.host.invalid:0 (")


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")]
)
async def test_the_address_to_open(serving: Serving, host: str, shown: str) -> None:
    async with serving(config=config_at(host, 0)) as server:
        assert server.url.startswith(f"http://{shown}:")
        assert (await server.get("/livez")).text == "ok"


@pytest.mark.parametrize("error", [WeightsError("a file is missing"), EngineError("speaker", "no memory")])
async def test_engines_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, error: VoiceError) -> None:
    """The error comes out as it is, and the port is free again."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(run, "build_engines", fails)
    with pytest.raises(type(error), match=str(error)):
        async with running(quick_config()):
            pytest.fail("it started")


async def test_an_engine_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Broken(FakeSpeaker):
        async def start(self) -> None:
            raise EngineError("speaker", "no memory")

        async def aclose(self) -> None:
            closed.append("speaker")

    monkeypatch.setattr(run, "build_engines", lambda *_: quick(speaker=Broken()))
    before = asyncio.all_tasks()
    with pytest.raises(EngineError, match="no memory"):
        async with running(quick_config()):
            pytest.fail("it started")
    assert "speaker" in closed
    assert asyncio.all_tasks() == before


async def test_engines_are_closed_when_the_server_stops(serving: Serving) -> None:
    closed: list[str] = []

    class Watched(FakeSpeaker):
        async def aclose(self) -> None:
            closed.append("speaker")

    async with serving(quick(speaker=Watched(0, 0))):
        assert closed == []
    assert closed == ["speaker"]


async def test_an_error_of_the_body_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: quick())
    before = asyncio.all_tasks()
    with pytest.raises(LookupError, match="mine"):
        async with running(quick_config()):
            raise LookupError("mine")
    assert asyncio.all_tasks() == before


async def test_a_server_that_stops_says_so_to_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: quick())
    before = asyncio.all_tasks()
    stop = asyncio.Event()

    async def server(url: asyncio.Future[str]) -> None:
        async with running(quick_config()) as at:
            url.set_result(at)
            await stop.wait()

    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(server(url))
    async with calling(await url) as caller:
        await caller.turn()
        stop.set()
        assert await caller.until_hung_up() == (1012, "")
    await asyncio.wait([serving])
    assert asyncio.all_tasks() == before


async def test_an_answer_that_nobody_reads_is_cut_off_quietly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: quick())
    monkeypatch.setattr(run, "STOP_S", 0.1)
    body = b'{"model": "tts-1", "voice": "alloy", "input": "%s", "response_format": "pcm"}' % (b"word " * 800)
    head = (
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        async with started(quick_config()) as server:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port_of(server.url)))
            await loop.sock_sendall(client, head % len(body) + body)
            assert (await loop.sock_recv(client, 15)) == b"HTTP/1.1 200 OK"
        assert server.front.requests == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_server_can_be_started_again_at_once(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.turn()
        port = port_of(server.url)
    async with serving(config=config_at("127.0.0.1", port)) as server:
        assert port_of(server.url) == port


async def test_a_message_larger_than_any_may_be(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MESSAGE_BYTES", 100_000)
    async with serving() as server, calling(server.url) as other:
        async with calling(server.url) as caller:
            await caller.send_raw(" " * 100_001)
            assert (await caller.until_hung_up())[0] == 1009
        assert (await other.turn())["response"]["status"] == "completed"


async def test_work_beside_a_block_that_fails_ends_the_block() -> None:
    async def fails() -> None:
        raise ServerError("no memory")

    with pytest.raises(ServerError, match="no memory"):
        async with run._beside(fails()):
            await asyncio.Event().wait()


async def test_a_text_frame_that_is_no_utf_8_is_no_fault_of_ours(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as server, calling(server.url) as caller:
        await caller.socket.send(b"\xff\xfe", text=True)
        assert (await caller.until_hung_up())[0] == 1007
    assert "text_frame_not_utf8" in [record.getMessage() for record in caplog.records]
    assert [record for record in caplog.records if record.exc_info] == []


async def test_what_the_wire_refuses_is_counted(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.send_raw("hello")
        await caller.send("conversation.item.retrieve", item_id="nowhere")
        await caller.until("error", 2)
        assert await server.metric("refusals_total", code="invalid_json") == 1
        assert await server.metric("refusals_total", code="item_retrieve_invalid_item_id") == 1


def test_serve_prints_the_address_and_nothing_else_and_ends_on_a_signal() -> None:
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", "fake", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=PATIENCE_S)
        assert rest == ""
        assert server.returncode == 0


# --- recording --------------------------------------------------------------------------------------------------


def recording_into(folder: Path, *, content: bool = False) -> Config:
    return quick_config().model_copy(update={"record": RecordConfig(dir=str(folder), content=content)})


def replay_of(folder: Path) -> tuple[list[Replayed], str]:
    """The one session there, and its file's text."""
    [file] = folder.glob("*.jsonl")
    with opened(file) as recording:
        steps = list(replayed(recording))
        assert recording.end == End(complete=True)
    return steps, file.read_text()


@pytest.mark.parametrize("content", [False, True])
async def test_a_session_over_a_socket_is_recorded_and_goes_as_it_went(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bool
) -> None:
    folder = tmp_path / "recordings"
    async with serving(config=recording_into(folder, content=content)) as server, calling(server.url) as caller:
        await caller.turn()
        await caller.send("response.cancel")  # refused
        await caller.push_to_talk()
        await caller.speak()
        await caller.send("input_audio_buffer.commit")
        await caller.until("conversation.item.input_audio_transcription.completed")
    steps, text = await asyncio.to_thread(replay_of, folder)
    assert [one.difference for one in steps] == [None] * len(steps)
    told = {type(command).__name__ for one in steps for command in one.step.commands}
    assert {"SpeechStarted", "Respond", "ReplyEnded", "Refused", "Configured", "TranscriptDone"} <= told
    assert ("You said: Hello there." in text) == ("Hello there." in text) == content
    assert len(await asyncio.to_thread(os.listdir, folder)) == 1 + content
    what = "with what is said: texts and audio" if content else "without what is said"
    assert capsys.readouterr().err == f"Recording every session into {folder}, {what}.\n"


async def test_a_client_that_breaks_off_leaves_a_whole_recording(serving: Serving, tmp_path: Path) -> None:
    async with serving(config=recording_into(tmp_path)) as server:
        async with calling(server.url, finished=False) as caller:
            await caller.speak()
            await caller.until("response.created")
        await server.all_ended()
    steps, _ = await asyncio.to_thread(replay_of, tmp_path)
    assert [one.difference for one in steps] == [None] * len(steps)


async def test_recording_into_a_folder_that_cannot_be_made(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made: Not a directory" in await refusal(recording_into(tmp_path / "file" / "folder"))


async def test_nothing_is_recorded_unless_asked(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.turn()
        assert server.runtime.recorder is None
    assert capsys.readouterr().err == ""
