"""Any recording that people have to 16 kHz samples, block by block.

Knows: containers and codecs. Does not know: who sent it, what is said. Blocking.

A file is whatever somebody sent. Its kind is told by its first bytes, never guessed by FFmpeg, whose list of containers
has playlists in it that name other files and URLs; only common audio codecs are opened; nothing outside the file is;
and seconds are counted while they are decoded, since a few bytes can stand for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Final, NoReturn

import av
import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.wav import HIGHEST_HZ, LOWEST_HZ
from voxtral_voice.engines.base import LISTEN_RATE_HZ
from voxtral_voice.errors import AudioError

LONGEST_S: Final = 60 * 60
BLOCK_SAMPLES: Final = LISTEN_RATE_HZ
"""One second."""
MOST_CHANNELS: Final = 8
DAMAGED_SHARE: Final = Fraction(1, 10)
"""Of the packets that cannot be decoded: more, and the file is refused. Good files have one or two, at a cut."""

DECODERS: Final = frozenset(
    "aac alac amrnb amrwb flac mp3 mp3float opus libopus vorbis adpcm_ima_wav adpcm_ms gsm_ms pcm_alaw pcm_mulaw "
    "pcm_s8 pcm_u8 pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le pcm_f32be pcm_f32le pcm_f64be "
    "pcm_f64le".split()
)
READABLE: Final = "WAV, MP3, M4A or MP4, WebM, OGG, FLAC, AAC or AIFF"

_HEAD_BYTES: Final = 16


def decoded(file: BinaryIO, *, longest_s: float = LONGEST_S) -> Iterator[Samples]:
    """Mono, 16 kHz, in [-1, 1]; blocks of a second, the last one shorter. Raises AudioError for what is no recording,
    is damaged, has no sound in it or lasts too long; at least one block comes otherwise."""
    try:
        with av.open(
            file,
            "r",
            format=kind_of(file),
            container_options={"codec_whitelist": ",".join(sorted(DECODERS))},
            metadata_errors="replace",
            io_open=_refuse_other_files,
        ) as container:
            yield from _blocks(_decoded(container, longest_s), longest_s)
    except (av.FFmpegError, ValueError, OverflowError) as error:  # all that PyAV raises for bad data
        raise AudioError(f"The file cannot be decoded ({_reason(error)}); send {READABLE}.") from error


def kind_of(file: BinaryIO) -> str:
    """FFmpeg's name of the container. Raises AudioError for one that is not known here."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if (kind := _by_magic(head)) is None:
        raise AudioError(f"The file is no audio that can be read: send {READABLE}.")
    return kind


def _by_magic(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64"):
        return "wav" if head[8:12] == b"WAVE" else None
    if head[4:8] == b"ftyp":
        return "mp4"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame without any container
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return None


_MAGICS: Final = (
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"ID3", "mp3"),
    (b"FORM", "aiff"),
    (b"#!AMR", "amr"),
    (b"\x00\x00\x01\xba", "mpeg"),
)


def _refuse_other_files(*_: object) -> NoReturn:
    raise ValueError("it names another file")


def _decoded(container: av.container.InputContainer, longest_s: float) -> Iterator[Samples]:
    """As many samples at a time as a packet has."""
    if not container.streams.audio:
        raise AudioError("The file has no sound in it.")
    stream = container.streams.audio[0]
    _check(stream)
    if container.format.name != "wav" and (container.duration or 0) > longest_s * av.time_base:
        raise _too_long(longest_s)  # a WAV that is still being written says that it lasts for days
    resampler = av.AudioResampler(format="flt", layout="mono", rate=LISTEN_RATE_HZ)
    packets = damaged = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged += 1
            continue
        for frame in frames:
            yield from _resampled(resampler, frame)
    yield from _resampled(resampler, None)
    if damaged > 1 and Fraction(damaged, packets) > DAMAGED_SHARE:
        raise AudioError("The file is damaged: send it again.")


def _check(stream: av.AudioStream) -> None:
    codec = stream.codec_context
    if codec is None or codec.codec.name not in DECODERS:
        raise AudioError(f"The file's codec is not read here: send {READABLE}.")
    if not LOWEST_HZ <= codec.sample_rate <= HIGHEST_HZ:
        raise AudioError(f"The file has a sample rate of {codec.sample_rate} Hz: send 4 000 to 192 000 Hz.")
    if codec.channels > MOST_CHANNELS:
        raise AudioError(f"The file has {codec.channels} channels: send at most {MOST_CHANNELS}.")


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Samples]:
    if frame is not None:
        frame.pts = None  # gaps between times are not filled
    for converted in resampler.resample(frame):
        if converted is not None:  # what is given back at the end when there was nothing to convert
            samples: Samples = converted.to_ndarray()[0]
            yield samples


def _blocks(pieces: Iterator[Samples], longest_s: float) -> Iterator[Samples]:
    held: list[Samples] = []
    size = total = 0
    for piece in pieces:
        held.append(piece)
        size += piece.size
        total += piece.size
        if total > longest_s * LISTEN_RATE_HZ:
            raise _too_long(longest_s)
        if size >= BLOCK_SAMPLES:
            yield _block(held)
            held, size = [], 0
    if not total:
        raise AudioError("The file holds no audio.")
    if size:
        yield _block(held)


def _block(pieces: list[Samples]) -> Samples:
    block = np.concatenate(pieces)
    if not np.isfinite(block).all():
        raise AudioError("The file holds samples that are not numbers: record or export it again.")
    return np.clip(block, -1, 1)


def _too_long(longest_s: float) -> AudioError:
    return AudioError(f"The file is longer than {longest_s / 60:g} minutes: cut it into shorter ones.")


def _reason(error: Exception) -> str:
    """Without the numbers and names that are FFmpeg's own."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")[:200]
