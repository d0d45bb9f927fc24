"""Spanish, French, Italian, Portuguese: signs as words, numbers as digits."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("3,50 €", "3 euros con 50"),
        ("$20", "20 dólares"),
        ("1 €", "1 euro"),
        ("10:30", "10 y 30"),
        ("5:00", "5 en punto"),
        ("23/11/2026", "23 de noviembre de 2026"),
        ("-5 °C", "menos 5 grados Celsius"),
        ("80 %", "80 por ciento"),
        ("1.234", "1234"),
        ("1.234.567,5", "1234567,5"),
        ("Sr. López", "señor López"),
        ("etc.", "etcétera."),
        ("ram@x.com", "ram arroba x punto com"),
        ("10-12 km", "10 a 12 kilómetros"),
        ("99/99/2026", "99 99 2026"),
    ],
)
def test_spanish(written: str, said: str) -> None:
    assert spoken(written, "es") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10h30", "10 heures 30"),
        ("8h", "8 heures"),
        ("3,50 €", "3 euros 50"),
        ("n° 12", "numéro 12"),
        ("06 12 34 56 78", "0 6, 12, 34, 56, 78"),
        ("M. Dupont", "monsieur Dupont"),
        ("1 234", "1234"),
        ("50 %", "50 pour cent"),
    ],
)
def test_french(written: str, said: str) -> None:
    assert spoken(written, "fr") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("3,50 €", "3 euro e 50"),
        ("Sig. Rossi", "signor Rossi"),
        ("alle 10:30", "alle 10 e 30"),
        ("5 km/h", "5 chilometri all'ora"),
    ],
)
def test_italian(written: str, said: str) -> None:
    assert spoken(written, "it") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("R$ 3,50", "3 reais e 50"),
        ("1.000.000", "1000000"),
        ("3.14", "3,14"),
        ("Dra. Silva", "doutora Silva"),
    ],
)
def test_portuguese(written: str, said: str) -> None:
    assert spoken(written, "pt") == said
