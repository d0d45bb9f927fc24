from __future__ import annotations

import pytest

from voxtral_voice.weights.progress import Bar, PlainLines


def test_plain_lines_announce_only_large_files(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    lines.begin("small", 1_000_000, "npm voices")
    lines.at(500)
    lines.end()
    lines.begin("large", 20_000_000, "hub model")
    lines.end()
    printed = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in printed] == [
        "verified small, 1.0 MB, from npm voices",
        "fetching large, 20.0 MB, from hub model",
        "verified large, 20.0 MB, from hub model",
    ]


def test_the_bar_counts_over_all_files_and_begins_a_file_again_with_its_next_source() -> None:
    with Bar(total_bytes=300) as bar:
        bar.begin("one", 100, "hub a")
        bar.at(60)
        assert bar.bytes_shown == 60
        bar.begin("one", 100, "pypi a")
        assert bar.bytes_shown == 0
        bar.end()
        bar.begin("two", 200, "hub b")
        bar.at(1000)  # an archive may be larger than the file in it
        assert bar.bytes_shown == 300


def test_what_is_said_stands_beside_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(total_bytes=300) as bar:
        bar.begin("one", 100, "hub a")
        bar.say("the hub is away")
    printed = capsys.readouterr().err
    assert "the hub is away\n" in printed
    assert "one (hub)" in printed
