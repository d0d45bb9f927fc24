"""Audio files: any speech recording in, 16-bit mono WAV out.

Knows: files. Does not know: who speaks, or the rate that anybody needs (`resample` converts).

Every refusal is one AudioError sentence that names the file. Headers are not trusted: memory grows with the
audio that is really there, and a WAV that promises more than it holds is refused as truncated.
"""

from __future__ import annotations

import io
import os
import tempfile
import wave
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import soundfile

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, float_to_pcm16
from voxtral_voice.errors import AudioError

LONGEST_S: Final = 30 * 60
LOWEST_HZ: Final = 4_000
HIGHEST_HZ: Final = 192_000
_BLOCK_SAMPLES: Final = 65_536
_OPEN_END: Final = (0, 0xFFFF_FFFF)
"""Data sizes that a writer leaves in the header when it writes into a pipe: no promise, so nothing is
truncated."""


def read_speech(path: Path) -> tuple[Samples, int]:
    """A recording of any format that libsndfile reads (8 to 32 bits, float, any channels) -> (mono samples,
    rate in Hz).

    Channels are averaged; float samples beyond [-1, 1] are clipped. Raises AudioError for a file that is
    missing, a directory, empty, not audio, truncated, longer than LONGEST_S, of a rate outside 4 to 192 kHz,
    or with NaN in it.
    """
    try:
        with path.open("rb") as file:
            _refuse_truncated(path, file)
            with soundfile.SoundFile(file) as sound:
                return _read_mono(path, sound), int(sound.samplerate)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} is not an audio file that can be read; give a WAV, FLAC or OGG.") from error
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist.") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path} is a directory; give an audio file.") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.") from error


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Mono 16-bit WAV, written beside `path` and then renamed: it is there as a whole or not at all.

    Raises AudioError when the folder is missing, the disk is full, or the file may not be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise AudioError(f"{path} cannot be written: it is a device or a pipe; name a file.")
    encoded = _encode(samples, rate_hz)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(encoded)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise AudioError(f"{path} cannot be written: {error.strerror}; choose another place.") from error


def _read_mono(path: Path, sound: soundfile.SoundFile) -> Samples:
    if not LOWEST_HZ <= sound.samplerate <= HIGHEST_HZ:
        raise AudioError(f"{path} has a sample rate of {sound.samplerate} Hz; give 4 000 to 192 000 Hz.")
    blocks: list[Samples] = []
    frames = 0
    block_frames = max(1, _BLOCK_SAMPLES // sound.channels)
    while len(block := sound.read(block_frames, dtype="float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
        frames += len(block)
        if frames > LONGEST_S * sound.samplerate:
            raise AudioError(f"{path} is longer than {LONGEST_S // 60} minutes; cut it into shorter pieces.")
    if not frames:
        raise AudioError(f"{path} holds no audio.")
    samples: Samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path} holds samples that are not numbers (NaN or infinite); record or export it again.")
    return np.clip(samples, -1, 1)


def _refuse_truncated(path: Path, file: BinaryIO) -> None:
    """libsndfile silently reads what is there of a WAV cut short; half a question is refused instead."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size == 0:
        raise AudioError(f"{path} is empty.")
    promised = _promised_size(file)
    file.seek(0)
    if promised is not None and promised > size:
        raise AudioError(
            f"{path} is truncated: its header promises {promised} bytes, but it has {size}; copy it again."
        )


def _promised_size(file: BinaryIO) -> int | None:
    """Where the data chunk of a RIFF WAV says that it ends; None when this is no such file or it makes no
    promise."""
    riff = file.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return None
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return None if length in _OPEN_END else file.tell() + length
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _encode(samples: Samples, rate_hz: int) -> bytes:
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(rate_hz)
        file.writeframes(float_to_pcm16(samples))
    return encoded.getvalue()
