"""Chinese and Japanese."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("¥500", "五百元"),
        ("2个", "两个"),
        ("10:30", "十点三十分"),
        ("10:05", "十点零五分"),
        ("5:00", "五点"),
        ("3.5%", "百分之三点五"),
        ("10%-20%", "百分之十到百分之二十"),
        ("-5%", "负百分之五"),
        ("2026年", "二零二六年"),
        ("2026-11-23", "二零二六年十一月二十三日"),
        ("2026-99-99", "二千零二十六到九十九到九十九"),
        ("-5°C", "负五摄氏度"),
        ("5km", "五公里"),
        ("1/2", "二分之一"),
        ("5-6", "五到六"),
        ("13812345678", "一三八，一二三四，五六七八"),
        ("2+2=4", "二加二等于四"),
        ("1.5万", "一点五万"),
    ],
)
def test_chinese(written: str, said: str) -> None:
    assert spoken(written, "zh") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("¥500", "500円"),
        ("1,234円", "1234円"),
        ("10:30", "10時30分"),
        ("5:00", "5時"),
        ("99:99", "99:99"),
        ("80%", "80パーセント"),
        ("-5°C", "マイナス5度"),
        ("2026-11-23", "2026年11月23日"),
        ("3km", "3キロメートル"),
        ("5-6", "5から6"),
        ("$3", "3ドル"),
    ],
)
def test_japanese(written: str, said: str) -> None:
    assert spoken(written, "ja") == said
