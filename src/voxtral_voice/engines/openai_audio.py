"""A turn's audio as servers are sent it: a WAV, alone or in a form. Pure, but for the form's boundary.

Knows: those two formats. Does not know: HTTP, which server wants which.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, float_to_pcm16
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples


def form(fields: Iterable[tuple[str, str]], file: bytes) -> tuple[bytes, str]:
    """multipart/form-data (RFC 7578), and its Content-Type."""
    boundary = secrets.token_hex(16)
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    texts = "".join(f'{part}{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    head = f'{texts}{part}file"; filename="turn.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return b"".join(
        (head.encode(), file, f"\r\n--{boundary}--\r\n".encode())
    ), f"multipart/form-data; boundary={boundary}"


def wav(audio: Samples) -> bytes:
    """audio: 16 kHz. 16-bit mono."""
    pcm = float_to_pcm16(audio)
    rate = LISTEN_RATE_HZ
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 8 * BYTES_PER_SAMPLE)
    head = struct.pack("<4sI8sI", b"RIFF", 36 + len(pcm), b"WAVEfmt ", len(form))
    return b"".join((head, form, struct.pack("<4sI", b"data", len(pcm)), pcm))
