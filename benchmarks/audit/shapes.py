"""Attacks with requests, frames and events that are not what they should be."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Final

from benchmarks.audit.attack import Came, Target, attack
from benchmarks.audit.entry import JSON, all_refused
from benchmarks.audit.wire import (
    REALTIME,
    Reply,
    answer,
    ask,
    called,
    close_code,
    connected,
    frame,
    frames,
    knock,
    refused,
    send,
    told,
)

TEXT, BINARY, CONTINUED, PING, FIN, RSV1 = 0x1, 0x2, 0x0, 0x9, 0x80, 0x40
TOO_BIG, WRONG, NOT_UTF_8, CUT_OFF = 1009, 1002, 1007, 1006
FAR: Final = 2**62
"""Bytes that a frame says it has."""
UPGRADE: Final = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def closed_with(code: int, *expected: int) -> Came:
    return Came(f"closed {code}", code in expected)


# --- frames -------------------------------------------------------------------------------------------------------


@attack("oversize frame", "a header that announces 2^62 bytes", "close 1009")
async def oversize_frame(on: Target) -> Came:
    return closed_with(await frames(on, frame(FIN | TEXT, b"x", declared=FAR)), TOO_BIG)


@attack("oversize message in pieces", "pieces of 8 MiB without an end", "close 1009, or cut off")
async def oversize_pieces(on: Target) -> Came:
    piece = b"x" * 2**23
    return closed_with(await frames(on, frame(TEXT, piece) + frame(CONTINUED, piece) * 5), TOO_BIG, CUT_OFF)


@attack("pieces of nothing", "150,000 empty pieces of one message", "close 1009")
async def empty_pieces(on: Target) -> Came:
    return closed_with(await frames(on, frame(TEXT, b"x") + frame(CONTINUED) * 150_000), TOO_BIG)


@attack(
    "deflate bomb", "permessage-deflate offered, then 32 MiB as a compressed frame of 32 kB", "not taken; close 1002"
)
async def deflate_bomb(on: Target) -> Came:
    bomb = await asyncio.to_thread(_deflated, 2**25)
    async with called(on, compression="deflate") as socket:
        agreed = bool(socket.protocol.extensions)
        socket.transport.write(frame(FIN | RSV1 | TEXT, bomb[:-4]))
        code = await close_code(socket)
    return Came(f"{'taken' if agreed else 'not taken'}, closed {code}", not agreed and code == WRONG)


def _deflated(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(b"a" * size) + packer.flush(zlib.Z_SYNC_FLUSH)


@attack("frames that are none", "unmasked; a reserved opcode; a ping of 126 bytes; a lone continuation", "close 1002")
async def wrong_frames(on: Target) -> Came:
    unmasked, lone = frame(FIN | TEXT, b"{}", masked=False), frame(FIN | CONTINUED, b"x")
    codes = [await frames(on, data) for data in (unmasked, lone, frame(FIN | 0x3), frame(FIN | PING, b"x" * 126))]
    return Came(f"closed {sorted(set(codes))}", set(codes) == {WRONG})


@attack("text that is not UTF-8", "a text frame of ff fe", "close 1007")
async def not_utf_8(on: Target) -> Came:
    return closed_with(await frames(on, frame(FIN | TEXT, b"\xff\xfe")), NOT_UTF_8)


@attack("pings without an end", "10,000 pings, and nothing is read", "the session goes on, or is cut off")
async def ping_flood(on: Target) -> Came:
    async with called(on) as socket:
        for _ in range(10):
            socket.transport.write(frame(FIN | PING, b"x" * 100) * 1000)
            await asyncio.sleep(0)
        await socket.send('{"type": "input_audio_buffer.clear"}')
        code = await _until_cleared(socket)
    return Came(code, good=True)


async def _until_cleared(socket: object) -> str:
    async for message in socket:  # type: ignore[attr-defined]
        if json.loads(message)["type"] == "input_audio_buffer.cleared":
            return "the session goes on"
    return "cut off"


# --- events -------------------------------------------------------------------------------------------------------


@attack("deep JSON on the socket", "100,000 opening brackets; 10,000 objects inside each other", "an error; it goes on")
async def deep_event(on: Target) -> Came:
    deep = '{"type":"session.update","session":' * 10_000
    codes = [await told(on, "[" * 100_000), await told(on, deep), await told(on, deep + "1" + "}" * 10_000)]
    return Came(", ".join(sorted(set(codes))), all(code.startswith("invalid") for code in codes))


@attack("numbers that are none", "NaN, Infinity, 1e999, 10^400, -0, 1e308 as speeds, thresholds, times", "an error")
async def odd_numbers(on: Target) -> Came:
    speed = '{"type":"session.update","session":{"type":"realtime","audio":{"output":{"speed":%s}}}}'
    codes = [await told(on, speed % odd) for odd in ("NaN", "Infinity", "1e999", "1" + "0" * 400, "-1", '"1"', "1e308")]
    cut = '{"type":"conversation.item.truncate","item_id":"x","content_index":0,"audio_end_ms":%s}'
    codes += [await told(on, cut % odd) for odd in ("-1", "1e400", "9" * 30, "0.5", "true")]
    return Came(", ".join(sorted(set(codes))), all(code and not code.startswith("closed") for code in codes))


@attack("audio that is none", "base64 with line breaks, without padding, of 16 MiB; no string", "an error each time")
async def odd_audio(on: Target) -> Came:
    event = '{"type":"input_audio_buffer.append","audio":%s}'
    odd = ['"AAA\\nA"', '"AAA"', '"!!!!"', "[1,2]", "null", '"' + "A" * (16 * 2**20 // 3 * 4) + '"']
    codes = [await told(on, event % audio) for audio in odd]
    return Came(", ".join(sorted(set(codes))), all(code and not code.startswith("closed") for code in codes))


@attack("URLs to fetch", "a picture at http://169.254.169.254/, a tool server's URL", "an error each time")
async def fetch_for_me(on: Target) -> Came:
    picture = {"type": "input_image", "image_url": "http://169.254.169.254/latest/meta-data/"}
    item = {"type": "message", "role": "user", "content": [picture]}
    tool = {"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1:1/"}
    codes = [await told(on, json.dumps({"type": "conversation.item.create", "item": item}))]
    codes += [await told(on, json.dumps({"type": "session.update", "session": {"type": "realtime", "tools": [tool]}}))]
    return Came(", ".join(sorted(set(codes))), all(code and not code.startswith("closed") for code in codes))


@attack("deep JSON over HTTP", "POST /v1/audio/speech with 50,000 brackets, and of objects", "400")
async def deep_body(on: Target) -> Came:
    bodies = [b"[" * 50_000, b'{"a":' * 10_000, b'{"model":"tts-1","input":' + b"[" * 2000 + b"]" * 2000 + b"}"]
    headers = {**JSON, **on.shown}
    return all_refused([await ask(on, "/v1/audio/speech", "POST", headers, body) for body in bodies], 400)


@attack("numbers that are none over HTTP", "speed NaN, 1e999, 10^400", "400")
async def odd_speeds(on: Target) -> Came:
    body = '{"model":"tts-1","input":"hello","voice":"alloy","speed":%s}'
    headers = {**JSON, **on.shown}
    odd = ("NaN", "1e999", "1" + "0" * 400, "-1")
    return all_refused([await ask(on, "/v1/audio/speech", "POST", headers, (body % n).encode()) for n in odd], 400)


# --- requests -----------------------------------------------------------------------------------------------------


@attack(
    "oversize handshake", "a header of 9 kB, of 40 kB, 200 headers, an address of 40 kB; WebSocket and HTTP", "431, 414"
)
async def oversize_head(on: Target) -> Came:
    host = f"Host: {on.host}:{on.port}\r\n".encode()
    many = b"".join(b"X-%d: y\r\n" % number for number in range(200))
    long = b"X: " + b"y" * 9_000 + b"\r\n"
    heads = [b"GET /v1/realtime HTTP/1.1\r\n" + host + UPGRADE + extra for extra in (long, long * 5, many)]
    heads += [b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n" + host, b"GET / HTTP/1.1\r\n" + host + long * 5]
    return all_refused([await send(on, head + b"\r\n") for head in heads], 414, 431)


@attack("a header without an end", "GET / and a header line of 1 MB that does not end", "431")
async def endless_head(on: Target) -> Came:
    return refused(await send(on, b"GET / HTTP/1.1\r\nX: " + b"y" * 2**20), 431)


@attack("a body larger than any may be", "Content-Length: 10^12; chunks of 40 MB", "413, or closed")
async def oversize_body(on: Target) -> Came:
    headers = {**JSON, **on.shown}
    declared = await ask(on, "/v1/audio/speech", "POST", {**headers, "Content-Length": str(10**12)})
    chunk = b"%x\r\n" % 2**20 + b"x" * 2**20 + b"\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Transfer-Encoding": "chunked"}.items())
    chunked = f"POST /v1/audio/speech HTTP/1.1\r\nHost: {on.host}:{on.port}\r\n{lines}\r\n".encode() + chunk * 40
    return all_refused([declared, await send(on, chunked)], 413, 0)


TRAVERSALS: Final = (
    "/page/../app.py",
    "/page/%2e%2e/app.py",
    "/page/%2e%2e%2fapp.py",
    "/page/..%2fapp.py",
    "/page/..%5capp.py",
    "/page/..\\app.py",
    "/page/%252e%252e%252fapp.py",
    "/page/....//app.py",
    "/page//etc/passwd",
    "/page/%2fetc%2fpasswd",
    "/page/../../../../../../../../etc/passwd",
    "/page/%c0%ae%c0%ae/app.py",
    "/page/app.js%00.html",
    "/page/%00",
    "/page/.",
    "/page/",
    "/page",
    "/..%2f..%2fetc/passwd",
    "//etc/passwd",
    "/page/app.js/../../app.py",
    "/page/~root/.bashrc",
    "/page/C:%5cwindows%5cwin.ini",
    "http://evil.example/page/../app.py",
)
INSIDE: Final = (b"root:", b"import ", b"Knows:")
"""Of files that are no page's."""


@attack(
    "path traversal on static files", f"{len(TRAVERSALS)} ways to write /page/../app.py and /etc/passwd", "400 to 405"
)
async def traversal(on: Target) -> Came:
    replies = [await ask(on, path, headers=on.shown) for path in TRAVERSALS]
    leaked = [path for path, reply in zip(TRAVERSALS, replies, strict=True) if any(m in reply.body for m in INSIDE)]
    if leaked:
        return Came(f"the file came for {leaked}", False)
    return all_refused(replies, 400, 401, 403, 404, 405, 307)


@attack("method confusion", "TRACE, CONNECT, PUT, PATCH, FOO; overrides; a WebSocket by POST", "400 to 405")
async def methods(on: Target) -> Came:
    replies = [await ask(on, "/v1/models", name, on.shown) for name in ("TRACE", "PUT", "PATCH", "DELETE", "PROPFIND")]
    replies += [await ask(on, "/", name) for name in ("POST", "DELETE", "TRACE")]
    replies += [
        await send(on, b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n"),
        await send(on, b"CONNECT evil:80 HTTP/1.1\r\n\r\n"),
    ]
    override = {**on.shown, "X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    replies += [await ask(on, "/v1/voices/none", "GET", override)]
    by_post = b"POST /v1/realtime HTTP/1.1\r\nHost: %s:%d\r\n" % (on.host.encode(), on.port)
    key = f"Authorization: Bearer {on.key}\r\n".encode() if on.key else b""
    replies += [await send(on, by_post + UPGRADE + key + b"\r\n")]
    return all_refused(replies, 400, 403, 404, 405, 426)


@attack(
    "header injection",
    "%0d%0a in path, query, subprotocol and request id; a bare line feed",
    "nothing of it comes back",
)
async def header_injection(on: Target) -> Came:
    evil = "%0d%0aX-Injected:%20yes"
    replies = [await ask(on, f"/v1/{evil}", headers=on.shown), await ask(on, f"/page/{evil}")]
    replies += [
        await ask(on, f"/v1/models?x={evil}", headers=on.shown),
        await ask(on, f"/v1/voices/{evil}", "DELETE", on.shown),
    ]
    replies += [await send(on, b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: a\nX-Injected: yes\r\n\r\n")]
    replies += [await send(on, b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rX-Injected: yes\r\n\r\n")]
    replies += [await knock(on, f"{REALTIME}?model={evil}", headers={})]
    injected = any("x-injected" in reply.head.lower() for reply in replies)
    return Came("a header came back" if injected else "no such header came back", not injected)


@attack("request smuggling", "two lengths; a length and chunks; a length of +4; 0x4; a space before the colon", "400")
async def smuggling(on: Target) -> Came:
    post = f"POST /v1/audio/speech HTTP/1.1\r\nHost: {on.host}\r\n".encode()
    odd = [b"Content-Length: 4\r\nContent-Length: 5\r\n", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"]
    odd += [b"Content-Length: +4\r\n", b"Content-Length: 0x4\r\n", b"Content-Length : 4\r\n", b"Content-Length: -1\r\n"]
    odd += [
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ]
    return all_refused([await send(on, post + line + b"\r\nabcd") for line in odd], 400)


@attack("requests behind each other", "10,000 in one connection, without reading an answer", "cut off with a 400")
async def pipelined(on: Target) -> Came:
    began = asyncio.get_running_loop().time()
    async with connected(on) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
        replies: list[Reply] = []
        while (reply := await answer(reader, began)).status == 200:
            replies.append(reply)
    return Came(f"{len(replies)} answered, then {reply}", reply.status in (0, 400) and len(replies) < 10_000)


@attack("TLS where there is none", "a ClientHello to a port without TLS", "400, or closed")
async def unexpected_tls(on: Target) -> Came:
    return refused(await send(on, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)), 0, 400)


@attack("other protocols", "HTTP/2 without TLS, an upgrade to h2c, SSH", "400, or answered as HTTP/1.1")
async def other_protocols(on: Target) -> Came:
    h2c = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
    replies = [
        await send(on, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        await send(on, b"SSH-2.0-OpenSSH\r\n"),
        await send(on, h2c),
    ]
    return all_refused(replies, 0, 200, 400, 404, 405)
