"""The README's figures, of results made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from benchmarks import readme
from tests.bench.timeline import record, reply, said
from voxtral_voice.bench.measure import Cost, Measured
from voxtral_voice.bench.record import Flushed, Remembered, TextArrived
from voxtral_voice.bench.result import result
from voxtral_voice.bench.work import Work


def written() -> dict[str, Any]:
    things = [
        said(0, 1, clip="questions/a"),
        said(2.2, 2.6, "tap", condition="cough"),
        said(20, 21, clip="intents/time", condition="intent", answer="PM"),
        said(40, 41, clip="questions/a"),
        said(42.1, 43, "barge_in", clip="questions/b"),
        said(60, 61, clip="hold/a", kind="hold", pauses=((60.3, 60.6),)),
        said(80, 140, "soak", kind="soak", condition="hum -35 dB", onset=80.0),
    ]
    seen = [
        reply("a", 1.39, 5.0),
        [*reply("b", 21.19), TextArrived(21.2, "b", "5 PM.")],
        [*reply("old", 41.2, 8.0), TextArrived(41.3, "old", "One two three."), Flushed(42.5)],
        [*reply("c", 43.5), Remembered(44, "old", "One two")],
        reply("d", 61.5),
    ]
    talk = replace(record(things, *seen), by_ear={"old": "one"})
    cost = Cost(30.0, 2.0, 512.3, Work({"speaker": 3.0}, {"speaker": 1.0}))
    runs = [("default", Measured((talk,), cost)), ("semantic_vad:0", Measured((talk,), None))]
    made = result(command="bench", target={"ready_s": 2.0}, settings={}, runs=runs)
    found: dict[str, Any] = orjson.loads(orjson.dumps(made))
    return found


def test_every_figure_of_the_targets_has_its_place() -> None:
    made = written()
    rows = readme.latency(made["runs"][0]["figures"])
    assert rows[2].startswith("| V2V, short questions | 305")
    assert rows[3].startswith("| V2V, intents (no language model) | 200")
    assert any(row.startswith("| barge-in: the server's word to the last old sound played | 0 |") for row in rows)
    text = " ".join(readme.others(made, made["runs"][0]))
    assert "False stops on backchannels, noises and echo: 0 of 1 (0 %), 0 of 1 noise." in text
    assert "Heard text after an interruption: 1 words off at the median, 1 at p95." in text
    assert "Old audio after a stop: 0 bytes." in text
    assert "1 min of white noise, hum, clicks and music: 0 turns, 0 replies." in text
    assert "Speculative work thrown away: 1.0 s of engines' time (25 %)." in text
    assert "V2V p50 / false cut-ins by endpoint setting: default 400 ms / 0 of 1 (0 %); semantic_vad:0 400 ms" in text


def test_files_from_before_these_figures_can_still_be_read() -> None:
    made = written()
    figures = made["runs"][0]["figures"]
    del figures["intents"], figures["soak"], figures["false_stops"]["by_kind"], made["runs"][0]["cost"]["work"]
    for name in ("decision_stop_ms", "words_off", "old_bytes_after_stop"):
        del figures["barge_in"][name]
    assert readme.latency(figures)[2].startswith("| **V2V** | **400")
    text = " ".join(readme.others(made, made["runs"][0]))
    assert "False stops on backchannels, noises and echo: 0 of 1 (0 %). Underruns" in text
    assert "intents" not in readme.head(made, made["runs"][0])
