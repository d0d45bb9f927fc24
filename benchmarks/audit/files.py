"""Attacks with files that are more, or something else, than they seem."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import wave
from typing import Final

import av
import numpy as np

from benchmarks.audit.attack import Came, Target, attack
from benchmarks.audit.entry import all_refused
from benchmarks.audit.wire import Reply, ask, when_free

TRANSCRIBE: Final = "/v1/audio/transcriptions"
BOUND_S: Final = 30.0
"""For an answer to a bomb: decoding an hour takes some seconds."""
EDGE: Final = "audit-edge"
LONG_S: Final = 2 * 3600
TOO_LONG_S: Final = 3900
"""An hour is the most that is heard."""


async def upload(on: Target, data: bytes, name: str = "a.wav", model: str = "whisper-1") -> Reply:
    parts = [_part('name="model"', model.encode()), _part(f'name="file"; filename="{name}"', data)]
    body = b"".join(parts) + f"--{EDGE}--\r\n".encode()
    return await when_free(lambda: ask(on, TRANSCRIBE, "POST", form_headers(on), body))


def form_headers(on: Target) -> dict[str, str]:
    return {**on.shown, "Content-Type": f"multipart/form-data; boundary={EDGE}"}


def _part(about: str, data: bytes) -> bytes:
    return f"--{EDGE}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + data + b"\r\n"


def in_time(replies: list[Reply], *statuses: int) -> Came:
    slowest = max(reply.seconds for reply in replies)
    came = all_refused(replies, *statuses)
    return Came(f"{came.text} in at most {slowest:.1f} s", came.good and slowest < BOUND_S)


def wav(seconds: float, hz: int, says: int | None = None) -> bytes:
    """Silence of 8 bits. says: the length in its header."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(hz)
        file.writeframes(b"\x80" * int(seconds * hz))
    data = buffer.getvalue()
    return data if says is None else data[:40] + struct.pack("<I", says) + data[44:]


def flac(seconds: int, hz: int = 8000) -> bytes:
    """Silence; its header does not say how much."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=hz, layout="mono")
        silence = np.zeros((1, hz), np.int16)
        for _ in range(seconds):
            block = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            block.sample_rate = hz
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    data = bytearray(buffer.getvalue())
    data[21] &= 0xF0  # the number of samples, of 36 bits: unknown
    data[22:26] = bytes(4)
    return bytes(data)


@attack("WAV bomb", "two hours in 28 MB; an hour and five minutes in 16 MB", "413 and 400")
async def wav_bomb(on: Target) -> Came:
    bombs = [await asyncio.to_thread(wav, seconds, 4000) for seconds in (LONG_S, TOO_LONG_S)]
    return in_time([await upload(on, bomb) for bomb in bombs], 400, 413)


@attack("FLAC bomb", "an hour and five minutes of silence in 150 kB, whose header does not say so", "400")
async def flac_bomb(on: Target) -> Came:
    bomb = await asyncio.to_thread(flac, TOO_LONG_S)  # takes a while, and others have deadlines to keep
    return in_time([await upload(on, bomb, "a.flac")], 400)


@attack("lying WAV header", "0.1 s that says 4 GB, 0 bytes, 2 Hz, 65,535 channels", "read for what it is, or 400")
async def lying_header(on: Target) -> Came:
    short = wav(0.1, 8000)
    odd = [wav(0.1, 8000, 2**32 - 1), wav(0.1, 8000, 0), short[:24] + struct.pack("<I", 2) + short[28:]]
    odd += [
        short[:22] + struct.pack("<H", 65535) + short[24:],
        short[:4] + bytes(4) + short[8:],
        short[:44],
        short[:20],
    ]
    replies = [await upload(on, data) for data in odd]
    long = [reply for reply in replies if reply.status == 200 and json.loads(reply.body)["usage"]["seconds"] > 1]
    return in_time(replies, 200, 400) if not long else Came("more was heard than there is", False)


@attack("a file that names others", "playlists (HLS, ffconcat, SDP), an SVG, a zip; as .wav", "400")
async def playlists(on: Target) -> Came:
    hls = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    concat = b"ffconcat version 1.0\nfile /etc/passwd\n"
    sdp = b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n"
    files = [hls, concat, sdp, b"<svg/>", b"PK\x03\x04" + bytes(100), b"\x7fELF" + bytes(100)]
    return in_time([await upload(on, data) for data in files], 400)


@attack("a file's name", "../../etc/passwd, a name with line breaks, of 10 kB", "200 or 400; never used as a path")
async def file_names(on: Target) -> Came:
    names = ["../../../etc/passwd", "a%0d%0ab.wav", "C:\\x.wav", "x" * 10_000 + ".wav"]
    return in_time([await upload(on, wav(0.2, 8000), name) for name in names], 200, 400)


@attack("a form without an end", "1,000 fields; a field of 1 MB; no boundary; two files", "400 or 413")
async def odd_forms(on: Target) -> Came:
    end = f"--{EDGE}--\r\n".encode()
    bodies = [
        b"".join(_part(f'name="f{n}"', b"x") for n in range(1000)) + end,
        _part('name="prompt"', b"x" * 2**20) + end,
    ]
    bodies += [_part('name="file"; filename="a"', b"x") * 2 + end, b"no form", _part('name="model', b"x")]
    replies = [await ask(on, TRANSCRIBE, "POST", form_headers(on), body) for body in bodies]
    replies += [await ask(on, TRANSCRIBE, "POST", {**on.shown, "Content-Type": "multipart/form-data"}, b"x")]
    return in_time(replies, 400, 413)
