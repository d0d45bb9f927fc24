"""Addresses, versions, telephone numbers."""

from __future__ import annotations

import pytest

from tests.engines.text.spoken import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("https://www.example.com/docs.", "example dot com slash docs."),
        ("www.example.org", "example dot org"),
        ("example.com/a/b/c/d?x=1", "example dot com"),
        ("(http://x.io)", "(x dot IO)"),
        ("http://192.168.1.1:80/", "one nine two dot one six eight dot one dot one port eighty"),
        ("jane.doe+x@mail.example.com", "jane dot doe plus x at mail dot example dot com"),
        ("a_b-c@x-y.co.uk", "a underscore b dash c at x dash y dot co dot UK"),
        ("127.0.0.1", "one two seven dot zero dot zero dot one"),
        ("10.0.0.1:8080", "ten dot zero dot zero dot one port eight thousand eighty"),
        ("10.0.0.0/8", "ten dot zero dot zero dot zero slash eight"),
        ("localhost:8000", "localhost port eight thousand"),
    ],
)
def test_pages_people_machines(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("README.md", "read me dot MD"),
        ("src/main.py", "source slash main dot pie"),
        ("/usr/local/bin", "slash user slash local slash bin"),
        ("~/notes", "tilde slash notes"),
        ("./run.sh", "dot slash run dot SH"),
        ("my_file-2.txt", "my underscore file dash two dot text"),
        (".env", "dot env"),
        ("a²/b/", "a slash b"),
        ("v2.1.0", "version two point one point zero"),
        ("2.4.6", "two point four point six"),
        ("v3", "version three"),
        ("input/output", "input slash output"),
    ],
)
def test_files_and_versions(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("+1 (555) 123-4567", "plus one, five five five, one two three, four five six seven"),
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("555-123-4567", "five five five, one two three, four five six seven"),
        ("555-1234", "five five five, one two three four"),
        ("1-800-555-0199", "one, eight zero zero, five five five, zero one nine nine"),
        ("9876543210", "nine eight seven six five, four three two one zero"),
        ("98765 43210", "nine eight seven six five, four three two one zero"),
        ("+91 98765 43210", "plus nine one, nine eight seven six five, four three two one zero"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("022 2345 6789", "zero two two, two three four five, six seven eight nine"),
        ("011-23456789", "zero one one, two three four five six seven eight nine"),
        ("1800-123-4567", "one eight zero zero, one two three, four five six seven"),
        ("(022) 2345 6789", "zero two two, two three four five, six seven eight nine"),
    ],
)
def test_telephones(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("+5", "plus five"),
        ("2026-11-23", "November twenty-third, twenty twenty-six"),
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
    ],
)
def test_what_is_no_telephone(written: str, said: str) -> None:
    assert spoken(written) == said
