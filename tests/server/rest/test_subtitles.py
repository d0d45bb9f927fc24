from __future__ import annotations

from voxtral_voice.server.rest.hearing import Segment
from voxtral_voice.server.rest.subtitles import segment_object, srt, vtt

SEGMENTS = [Segment(0.5, 2.25, "Hello  there."), Segment(3661.0, 3662.9996, "a --> b\n\n<i>& c</i>")]


def test_srt() -> None:
    assert srt(SEGMENTS) == (
        "1\n00:00:00,500 --> 00:00:02,250\nHello there.\n\n2\n01:01:01,000 --> 01:01:03,000\na -> b <i>& c</i>\n\n"
    )
    assert srt([]) == ""


def test_vtt() -> None:
    assert vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.250\nHello there.\n\n"
        "01:01:01.000 --> 01:01:03.000\na -&gt; b &lt;i&gt;&amp; c&lt;/i&gt;\n\n"
    )
    assert vtt([]) == "WEBVTT\n\n"


def test_an_object() -> None:
    told = segment_object(3, SEGMENTS[0])
    assert (told["id"], told["seek"], told["start"], told["end"], told["text"]) == (3, 50, 0.5, 2.25, "Hello  there.")


def test_a_text_that_repeats_itself_compresses_well() -> None:
    plain, looped = segment_object(0, SEGMENTS[0]), segment_object(0, Segment(0, 1, "and so on " * 40))
    assert isinstance(plain["compression_ratio"], float)
    assert isinstance(looped["compression_ratio"], float)
    assert plain["compression_ratio"] < 1.5
    assert looped["compression_ratio"] > 2.4
