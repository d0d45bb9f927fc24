"""The user's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtral_voice.engines.phonemes.lexicon import NO_LEXICON, Lexicon, read_lexicon
from voxtral_voice.engines.phonemes.stretches import Language, Stretch
from voxtral_voice.errors import EngineError

LEXICON = Lexicon(
    {
        "": {"Anh": "ˈæn", "kubectl": "kjˈub"},
        "en": {"Alex": "ˈæləks", "Kit": "kˈɪt", "Rose": "ɹˈOz", "Anh-Thu": "ˈæntˈu"},
        "en-GB": {"Kit": "kˈət"},
        "ja": {"東京": "toː"},
        "hi": {"मोदी": "mˈo"},
    }
)


def applied(text: str, language: Language = "en") -> list[tuple[str, str | None]]:
    return [(stretch.text, stretch.symbols) for stretch in LEXICON.applied(Stretch(language, text, 0))]


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Anh", "ˈæn"), ("ANH", "ˈæn"), ("anh", None), ("Anhs", "ˈænz"), ("Anh's", "ˈænz"), ("KUBECTL", "kjˈub"),
        ("Kubectl", "kjˈub"), ("kubectls", None), ("Alex's", "ˈæləksᵻz"), ("Kits", "kˈɪts"),
        ("Roses", "ɹˈOzᵻz"), ("Anhx", None), ("“Anh”,", "ˈæn"), ("Anh-Thu", "ˈæntˈu"),
    ],
)  # fmt: skip
def test_case_and_endings(text: str, symbols: str | None) -> None:

    assert applied(text) == [(text, symbols)]


def test_british_words_go_before_english_ones() -> None:
    assert applied("Kit", "en-GB") == [("Kit", "kˈət")]
    assert applied("Roses", "en-GB") == [("Roses", "ɹˈOzɪz")]


def test_a_word_may_stand_in_another() -> None:
    assert applied("Anh-Smith,") == [("Anh", "ˈæn"), ("-Smith,", None)]
    assert applied("東京駅と「東京」", "ja") == [("東京", "toː"), ("駅と「", None), ("東京」", "toː")]
    assert applied("(Anh/Kit)") == [("(Anh/", "ˈæn"), ("Kit)", "kˈɪt")]


def test_words_of_one_language_are_not_those_of_another() -> None:
    assert applied("Kit", "fr") == [("Kit", None)]
    assert applied("Anh", "fr") == [("Anh", "ˈæn")]
    assert applied("मोदी,", "hi") == [("मोदी,", "mˈo")]
    assert applied("मोदीजी", "hi") == [("मोदीजी", None)]


@pytest.mark.parametrize("longer", ["रामा", "रामू,", "राम्", "महाराम", "रामं", "राम\u200d"])
def test_marks_belong_to_a_word(longer: str) -> None:
    lexicon = Lexicon({"hi": {"राम": "mˈoː"}})
    assert [s.symbols for s in lexicon.applied(Stretch("hi", longer, 0))] == [None]
    assert [s.symbols for s in lexicon.applied(Stretch("hi", "राम,", 0))] == ["mˈoː"]


def test_words_as_written_are_known() -> None:
    assert LEXICON.holds("**Anh**,")
    assert LEXICON.holds("「東京」")
    assert not LEXICON.holds("anh")
    assert not LEXICON.holds("Smith")


def test_without_words_nothing_changes() -> None:
    stretch = Stretch("en", "Anh", 0)
    assert list(NO_LEXICON.applied(stretch)) == [stretch]
    assert not NO_LEXICON.holds("Anh")


# --- the file


def read(folder: Path, text: str) -> Lexicon:
    path = folder / "lexicon.toml"
    path.write_text(text, "utf-8")
    return read_lexicon(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    lexicon = read(tmp_path, '# names\nAnh = "ˈæn"\n[en]\n\'Nguyễn\' = "w\'in"\nJoe = "dʒˈoʊ"\n[ja]\n"東京" = "toː"\n')
    assert [s.symbols for s in lexicon.applied(Stretch("fr", "Anh", 0))] == ["ˈæn"]
    assert [s.symbols for s in lexicon.applied(Stretch("en", "Nguyen", 0))] == ["wˈin"]
    assert [s.symbols for s in lexicon.applied(Stretch("en", "Joe", 0))] == ["ʤˈO"]
    assert [s.symbols for s in lexicon.applied(Stretch("ja", "東京", 0))] == ["toː"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('\na = "w☃"', "line 2: 'a' has '☃', which the voices do not know as a sound."),
        ('a = "k.a"', "line 1: 'a' has '.', which"),
        ('x = "a"\n[xx]\na = "a"', r"line 3: there is no language \[xx\]: use one of en, en-GB, es"),
        (
            '"New York" = "a"',
            "line 1: 'New York' is not one word: write it without spaces, and without stops around it.",
        ),
        ('"ok." = "a"', "line 1: 'ok.' is not one word"),
        ('"!" = "a"', "line 1: '!' is not one word"),
        ("[en]\n\nb = 5", "line 3: say how 'b' is pronounced: phonemes in quotes."),
        ('b = ""', "line 1: say how 'b' is pronounced"),
        ('b = "' + "a" * 101 + '"', "line 1: 'b' has more than 100 phonemes."),
        ("[en]\n[en.b]\nc = 1", "line 1: say how 'b' is pronounced"),
        ("Đà = 1", "is no TOML: .*line 1.* stands in quotes"),
        ("\n".join(f'w{i} = "☃"' for i in range(7)), "line 5: .* There are 7 mistakes in all.$"),
    ],
)
def test_every_mistake_is_one_sentence_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    with pytest.raises(EngineError, match=mistake):
        read(tmp_path, text)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '\ufeffAnh = "ˈæn"\n').holds("Anh")


@pytest.mark.parametrize("value", ["[" * 50_000, "1" * 10_000])
def test_values_beyond_all_bounds_are_one_sentence(tmp_path: Path, value: str) -> None:
    with pytest.raises(EngineError, match=r"holds other things than words and phonemes\.$"):
        read(tmp_path, f"a = {value}")


def test_mistakes_beyond_those_told_are_only_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []

    def line(text: str, table: str, word: str) -> int:
        sought.append(word)
        return 1

    monkeypatch.setattr("voxtral_voice.engines.phonemes.lexicon._line", line)
    with pytest.raises(EngineError, match="There are 500 mistakes in all"):
        read(tmp_path, "\n".join(f"w{i} = 1" for i in range(500)))
    assert sought == ["w0", "w1", "w2", "w3", "w4"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        read_lexicon(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EngineError, match="is no TOML"):
        read_lexicon(tmp_path / "bytes.toml")
