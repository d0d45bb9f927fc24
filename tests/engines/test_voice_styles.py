"""Voice files: read when they are used, and a damaged one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE, VoiceStyles, read_styles
from voxtral_voice.engines.voices import GAINS_DB, VOICES, Styles
from voxtral_voice.errors import EngineError, RequestError

MINE = Voice("voice_1", "en-US", "")


class Cloned:
    """One voice; all of it is 7."""

    def voice(self, name: str) -> Voice | None:
        return MINE if name == MINE.id else None

    def styles(self, name: str) -> Styles | None:
        return np.full(STYLE_SHAPE, 7, np.float32) if name == MINE.id else None

    def gain_db(self, name: str) -> float | None:
        return -3.0 if name == MINE.id else None


def write(folder: Path, name: str, value: float) -> None:
    (folder / f"{name}.bin").write_bytes(np.full(STYLE_SHAPE, value, np.float32).tobytes())


def test_a_voice_file_is_510_styles(tmp_path: Path) -> None:
    styles = np.arange(510 * 256, dtype=np.float32) / (510 * 64)
    (tmp_path / "v.bin").write_bytes(styles.tobytes())
    read = read_styles(tmp_path / "v.bin")
    assert read.shape == (510, 1, 256)
    assert read[1, 0, 0] == np.float32(256 / (510 * 64))


def test_a_voice_file_of_the_wrong_size_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(bytes(1000))
    with pytest.raises(EngineError, match=r"v\.bin is damaged \(1000 bytes, not 522240\)") as caught:
        read_styles(tmp_path / "v.bin")
    assert caught.value.engine == "speaker"


@pytest.mark.parametrize("value", [np.nan, np.inf, 8.5e37, -6.5])
def test_a_voice_file_of_garbage_is_named(tmp_path: Path, value: float) -> None:
    write(tmp_path, "v", value)
    with pytest.raises(RequestError, match=r"v\.bin is damaged \(values that no voice has\)"):
        read_styles(tmp_path / "v.bin")


def test_a_missing_voice_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"v\.bin cannot be read \(No such file or directory\)"):
        read_styles(tmp_path / "v.bin")


def test_a_file_is_read_when_its_voice_is_used_and_once(tmp_path: Path) -> None:
    styles = VoiceStyles(tmp_path)
    write(tmp_path, "bf_emma", 1)
    assert styles.style("bf_emma", 510).tolist() == [[1] * 256]
    write(tmp_path, "bf_emma", 2)
    assert styles.style("bf_emma", 1)[0, 0] == 1
    with pytest.raises(EngineError, match=r"bm_lewis\.bin cannot be read"):
        styles.style("bm_lewis", 1)


def test_what_is_loaded_at_once_is_checked_at_once(tmp_path: Path) -> None:
    write(tmp_path, "af_heart", 1)
    (tmp_path / "af_bella.bin").write_bytes(b"")
    with pytest.raises(EngineError, match=r"af_bella\.bin is damaged"):
        VoiceStyles(tmp_path).load(["af_heart", "af_bella"])


def test_a_name_never_leaves_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "secret", 1)
    (tmp_path / "voices").mkdir()
    with pytest.raises(EngineError, match=r"no voice '\.\./secret'"):
        VoiceStyles(tmp_path / "voices").style("../secret", 1)


def test_a_blend_is_mixed_row_by_row(tmp_path: Path) -> None:
    styles = VoiceStyles(tmp_path)
    write(tmp_path, "af_heart", 1)
    write(tmp_path, "hm_psi", 3)
    mixed = styles.style("af_heart:0.25,hm_psi:0.75", 510)
    assert mixed.dtype == np.float32
    assert mixed.tolist() == [[2.5] * 256]
    assert styles.find("af_heart:1,hm_psi:3").id == "hm_psi:0.75,af_heart:0.25"
    with pytest.raises(RequestError, match=r"bf_emma\.bin cannot be read"):
        styles.style("af_heart,bf_emma", 1)


def test_a_client_is_not_told_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "bf_emma.bin").write_bytes(b"")
    with pytest.raises(RequestError) as caught:
        VoiceStyles(tmp_path).style("bf_emma", 1)
    assert str(tmp_path) not in caught.value.told
    assert "bf_emma cannot be used now" in caught.value.told


class Deleted(Cloned):
    """It was there a moment ago."""

    def gain_db(self, name: str) -> float | None:  # noqa: ARG002
        return None


def test_style_and_gain_come_together(tmp_path: Path) -> None:
    styles = VoiceStyles(tmp_path, Cloned())
    write(tmp_path, "af_heart", 1)
    mine, stock = styles.sound("voice_1", 3), styles.sound("af_heart", 3)
    assert (mine.style[0, 0], mine.shared) == (7, False)
    assert mine.gain == pytest.approx(10 ** (-3 / 20))
    assert (stock.style[0, 0], stock.shared) == (1, True)
    assert not styles.sound("af_heart:0.9, voice_1:0.1", 3).shared
    for name in ("voice_1", "voice_1:0.5,af_heart:0.5"):
        with pytest.raises(RequestError, match="no voice 'voice_1'"):
            VoiceStyles(tmp_path, Deleted()).sound(name, 3)


def test_voices_of_another_source(tmp_path: Path) -> None:
    styles = VoiceStyles(tmp_path, Cloned())
    write(tmp_path, "af_heart", 1)
    assert styles.find("voice_1") == MINE
    assert styles.style("voice_1", 3)[0, 0] == 7
    assert styles.gain_db("voice_1") == -3
    assert styles.find("af_heart") == VOICES["af_heart"]
    assert styles.style("af_heart", 3)[0, 0] == 1
    assert styles.gain_db("af_bella") == GAINS_DB["af_bella"]
    blend = "voice_1:0.75,af_heart:0.25"
    assert styles.find(blend) == replace(MINE, id=blend)
    assert styles.style(blend, 3)[0, 0] == 5.5
    assert styles.gain_db(blend) == pytest.approx(0.75 * -3 + 0.25 * GAINS_DB["af_heart"])
    with pytest.raises(EngineError, match="no voice 'voice_2'"):
        styles.find("voice_2")
