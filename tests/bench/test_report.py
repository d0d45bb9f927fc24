"""The words of `facts` are tested here too, where they are read."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.timeline import record, reply, said, tone
from voxtral_voice.bench import report
from voxtral_voice.bench.capacity import Capacity, Trial
from voxtral_voice.bench.facts import facts, interval, ms, percent
from voxtral_voice.bench.measure import Cost, Measured
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Refused,
    ReplyBegan,
    ReplyEnded,
    SessionRecord,
    TextArrived,
)
from voxtral_voice.bench.result import result

TRACE = {"stages_ms": {"silence": 64.0, "transcript": 100.0, "someone's": 20.0}, "endpoint_ms": 180.0}


def conversation(*, traced: bool = False, wait_s: float = 0.4, cut: bool = True) -> SessionRecord:
    """A turn, a missed turn, one with a pause that is cut, a tap that stops the reply, an interruption; a gap."""
    things = [
        said(0, 1, answer="Paris"),
        said(20, 21, clip="questions/failed"),
        said(40, 42, clip="hold/a", kind="hold", pauses=((40.5, 41.0),), condition="pause 500 ms"),
        said(45, 45.4, "tap", "tap/mhm", condition="mhm", text=""),
        said(60, 61, clip="questions/two"),
        said(62.5, 63.5, "barge_in", "questions/stop"),
    ]
    seen: list[Observation | list[Observation]] = [
        [*reply("a", 0.99 + wait_s)[:2], ReplyEnded(1.5, "a", "completed", None, TRACE if traced else None)],
        [TextArrived(1.5, "a", "It is Paris & nothing else."), Heard(1.5, "i", "What is <that>?")],
        AudioArrived(2.6, "a", tone(0.2)),
        [ReplyBegan(21.5, "f"), ReplyEnded(21.6, "f", "failed", "the voice broke")],
        reply("early", 40.6, 0.1, ended=40.8, status="cancelled") if cut else [],
        [*reply("c", 42.4, 6.0), Flushed(45.5)],
        [*reply("d", 61.3, 6.0), Flushed(62.9), AudioArrived(63.0, "d", tone(0.1)), *reply("e", 64.0)],
    ]
    return record(things, *seen, lateness_ms=(1.0, 2.0, 3.0))


def written(*runs: tuple[str, SessionRecord], cost: Cost | None = None, **more: Any) -> dict[str, Any]:
    made = result(
        command="voxtral-voice bench --url ws://there/v1/realtime",
        target={"url": "ws://there/v1/realtime", "wire": "realtime", "model": None},
        settings={"clips": ["questions", "hold"], "turns": 6},
        runs=[(name, Measured((each,), cost)) for name, each in runs],
        **more,
    )
    found: dict[str, Any] = orjson.loads(orjson.dumps(made))  # as a file would give it back
    return found


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return written(("default", conversation(traced=True)), cost=Cost(30.0, 2.0, 512.3))


@pytest.fixture(scope="module")
def several() -> dict[str, Any]:
    trials = (
        Trial(1, 12, 300, 400, 0, 0, 0, 1.0, False),
        Trial(2, 24, 500, 900, 1, 0, 0, 1.0, False, refused_for="1 of 24 turns <missed>"),
    )
    held = replace(trials[0], memory_mb=100.0), replace(trials[1], memory_mb=104.0)
    return written(
        ("server_vad:200", conversation()),
        ("server_vad:800", conversation(wait_s=0.9, cut=False)),
        capacity=Capacity(1, 500.0, held),
    )


# --- in the terminal


def test_the_table_has_a_line_for_every_fact(one: dict[str, Any]) -> None:
    lines = report.text(one).splitlines()
    assert lines[0].startswith("ws://there/v1/realtime, 20")
    assert lines[2] == "endpoint: default"
    table = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[3 : lines.index("", 3)])
    assert table["V2V p95"].startswith("12.8 s")
    assert table["wire time p50"].startswith("400 ms")
    assert table["V2V p50, buffered"].split()[:2] == ["465", "ms"]
    assert table["false cut-ins"].startswith("100.0 %")
    assert table["missed turns"].endswith("1 of 5 turns")
    assert table["barge-in, heard stop p50"].split("  ")[0] == "300 ms"
    assert table["barge-in, server stop p50"].endswith("100 ms of old audio after it")
    assert table["false stops"].endswith("1 of 1 sounds over a reply; 1 of 1 backchannel")
    assert table["underruns"].startswith("1 ")
    assert table["right answers"].startswith("1 of 1")
    assert table["endpoint wait p50"].startswith("180 ms")
    assert table["server CPU"].startswith("15.00 s")
    assert table["server memory"].startswith("512 MB")
    assert table["send lateness p99"].startswith("3.0 ms")
    assert "VOID" not in lines[-1]


def test_every_target_has_a_line_with_its_verdict(one: dict[str, Any]) -> None:
    lines = report.text(one).splitlines()
    first = next(i for i, line in enumerate(lines) if line.split() == ["target", "p50", "p95", "wanted"])
    rows = {cells[0]: cells[1:] for line in lines[first + 1 :] if (cells := re.split(r"\s{2,}", line.strip()))}
    assert rows["preprocessing"][:4] == ["64 ms", "64 ms", "< 50 ms", "missed"]
    assert rows["understanding (Voxtral)"][:4] == ["100 ms", "100 ms", "< 150 ms", "met"]
    assert rows["response, intents"][:4] == ["–", "–", "< 50 ms", "not tried"]
    assert rows["V2V"][2:4] == ["< 500 ms", "met at p50"]
    words = Page(report.html(one)).words
    assert "Against the targets" in words
    assert report.html(one).count('<span class="bad">missed</span>') == 1


def test_a_result_that_is_older_than_the_targets_can_be_read(one: dict[str, Any]) -> None:
    older = copy.deepcopy(one)
    del older["runs"][0]["figures"]["targets"], older["machine"]["libraries"]
    assert "wanted" not in report.text(older)
    assert "Against the targets" not in Page(report.html(older)).words


def test_the_gpus_are_named_beside_the_machine(one: dict[str, Any]) -> None:
    gpus = [{"name": "NVIDIA H100 80GB HBM3"}, {"name": "NVIDIA L4"}]
    found = Page(report.html(one | {"machine": one["machine"] | {"gpus": gpus}})).words
    assert "NVIDIA H100 80GB HBM3 · NVIDIA L4 · " in found


def test_a_void_run_says_so_last() -> None:
    void = written(("default", replace(conversation(), lateness_ms=(30.0,))))
    assert report.text(void).splitlines()[-1].startswith("VOID")
    assert '<p class="void"' in report.html(void)
    assert "LATE, over 10 ms" in report.text(void)
    assert "at most 10 ms: 30.0 ms)" in report.text(void)


def test_of_several_runs_it_is_said_which_were_late() -> None:
    late, unsent = replace(conversation(), lateness_ms=(30.0,)), replace(conversation(), lateness_ms=())
    void = written(("server_vad:200", late), ("server_vad:400", conversation()), ("server_vad:800", unsent))
    last = report.text(void).splitlines()[-1]
    assert "(p99 of the send lateness, at most 10 ms: endpoint server_vad:200: 30.0 ms, " in last
    assert "endpoint server_vad:800: nothing was sent)" in last
    assert "server_vad:400" not in last
    assert last in Page(report.html(void)).words


def test_nothing_sent_is_void_too() -> None:
    void = written(("default", replace(conversation(), lateness_ms=())))
    assert "nothing was sent" in report.text(void)
    assert report.text(void).splitlines()[-1].startswith("VOID")


def test_several_runs_are_compared(several: dict[str, Any]) -> None:
    lines = report.text(several).splitlines()
    assert "endpoint: server_vad:200" in lines
    assert "speed against patience: V2V, median" in lines
    found = {re.split(r"\s{2,}", line.strip())[0]: line for line in lines}
    assert found["latency at 10 % cut-ins"].endswith(" ms")
    assert found["cut-ins at 300 ms"].endswith("no two settings enclose it")
    assert "p95 of V2V up to 500 ms" in found["sessions"]
    assert re.search(r"with 1 +held +V2V p50 300 ms, p95 400 ms; 12 turns", found["with 1"])
    assert re.search(r"with 2 +too many +1 of 24 turns <missed>; V2V", found["with 2"])
    assert found["memory per session"].endswith("4.0 MB")


def test_what_was_not_tried_is_left_out() -> None:
    plain = written(("default", record([said(0, 1)], reply("a", 1.2))))
    labels = [fact.label for fact in facts(plain["runs"][0])]
    assert "false stops" not in labels
    assert "barge-in, heard stop p50" not in labels
    assert "server CPU" not in labels
    assert "right answers" not in labels


def test_a_run_without_any_answer_can_be_read() -> None:
    dead = written(("default", record([said(0, 1), said(2, 3, "barge_in")], Lost(0.5, "it closed"))))
    assert "1 connection broke: it closed" in report.text(dead)
    assert "connection broke: it closed" in report.html(dead)
    assert "Distribution" not in report.html(dead)
    assert "underruns" not in [fact.label for fact in facts(dead["runs"][0])]


def test_what_the_server_refused_is_said_in_one_line() -> None:
    said_so: list[Observation] = [Refused(2.0 + i, f"too\n\x1b[31mlong{i % 2}") for i in range(4)]
    troubled = written(("default", record([said(0, 1)], said_so, Lost(9, "x" * 300))))
    (fact,) = (fact for fact in facts(troubled["runs"][0]) if fact.label == "troubles")
    assert (fact.value, fact.bad) == ("5", True)
    lost = "x" * 200
    assert fact.detail == f"1 connection broke: {lost}; 4 errors of the server: too [31mlong0 | too [31mlong1"


def test_capacity_alone_can_be_read() -> None:
    slow = Trial(1, 12, 9e3, 2e4, 0, 0, 0, 1.0, False, refused_for="too slow")
    alone = written(capacity=Capacity(0, 1_500.0, (slow,)))
    assert "memory per session" not in report.text(alone)
    for text in (report.text(alone), Page(report.html(alone)).words):
        assert "too slow" in text
        assert "20.0 s" in text
        assert "VOID" not in text


HELD = Trial(4, 16, 300, 400, 0, 0, 0, 1.0, False)
LATE = Trial(8, 32, 300, 400, 0, 0, 0, 35.0, True, refused_for="the bench itself was 35 ms late (p99)")


def test_a_server_that_may_hold_more_is_said_to() -> None:
    capacity = written(capacity=Capacity(4, 500.0, (HELD, LATE)))
    table = report.text(capacity)
    assert re.search(r"sessions +at least 4 +p95 of V2V up to 500 ms; the bench itself was late with more", table)
    assert re.search(r"with 8 +not known +the bench itself was 35 ms late", table)
    assert "VOID" not in table
    words = Page(report.html(capacity)).words
    assert "at least 4" in words
    assert "the bench itself was 35 ms late (p99)" in words


def test_a_capacity_of_which_nothing_is_known_is_void() -> None:
    capacity = written(capacity=Capacity(0, 1_500.0, (replace(LATE, sessions=1),) * 2))
    lines = report.text(capacity).splitlines()
    assert lines[-1].startswith("VOID")
    assert "at most 10 ms: capacity, one session: 35.0 ms)" in lines[-1]
    assert any(re.search(r"sessions +not known", line) for line in lines)
    assert lines[-1] in Page(report.html(capacity)).words


def test_a_server_that_is_full_may_say_so() -> None:
    full = Trial(8, 0, 0.0, 0.0, 0, 0, 0, 0.0, False, refused_for="it is\x1b full")
    capacity = written(capacity=Capacity(4, 500.0, (HELD, full)))
    assert re.search(r"with 8 +too many +it is full$", report.text(capacity), re.MULTILINE)
    assert "it is full" in report.html(capacity)
    cells = re.findall(r"<td>(.*?)</td>", report.html(capacity))[-9:]
    assert cells[2:5] == ["0", "–", "–"]


# --- speed is never without patience


def test_without_pauses_the_headline_has_the_cut_ins_in_plain_turns(one: dict[str, Any]) -> None:
    plain = written(("default", record([said(0, 1)], reply("a", 1.2))))
    assert re.search(r"false cut-ins +not tried +no clip with a pause inside was spoken", report.text(plain))
    assert re.search(r"cut-ins in plain turns +0.0 % +.*0 of 1 turns", report.text(plain))
    assert ahead(plain) == ["V2V p50", "V2V p95", "cut-ins in plain turns", "missed turns"]
    assert ahead(one) == ["V2V p50", "V2V p95", "false cut-ins", "missed turns"]


def ahead(result: dict[str, Any]) -> list[str]:
    tiles = report.html(result).split('<dl class="tiles headline">')[1].split("</dl>")[0]
    return re.findall("<dt>(.*?)</dt>", tiles)


def test_it_is_said_why_there_is_no_curve(several: dict[str, Any]) -> None:
    plain = record([said(0, 1)], reply("a", 1.2))
    two = written(("server_vad:200", plain), ("server_vad:800", plain))
    mixed = written(("server_vad:200", plain), ("server_vad:800", conversation()))
    for each, why in ((two, "false cut-ins were not tried"), (mixed, "fewer than two settings")):
        assert why in report.text(each)
        assert why in report.html(each)
    assert "not tried" in Page(report.html(two)).words
    assert "No curve" not in report.text(several) + report.html(several)
    assert "No curve" not in report.text(written(("default", plain)))


def test_our_own_server_is_called_by_its_name(one: dict[str, Any]) -> None:
    own = one | {"target": {"url": None, "ready_s": 7.1}, "commit": None}
    assert report.text(own).startswith("Voxtral Voice AI ")
    assert "not from a checkout" in report.html(own)


def test_transcripts_that_are_missing_are_said(one: dict[str, Any]) -> None:
    found = {fact.label: fact for fact in facts(one["runs"][0])}
    assert found["word errors, en"].detail.endswith("4 without")
    empty = copy.deepcopy(one["runs"][0])
    empty["figures"]["transcripts"]["en"]["error_percent"] = None
    assert "word errors, en" not in [fact.label for fact in facts(empty)]


@pytest.mark.parametrize(("value", "shown"), [(812.4, "812 ms"), (-3.0, "-3 ms"), (15_000.0, "15.0 s"), (None, "–")])
def test_times(value: float | None, shown: str) -> None:
    assert ms(value) == shown


def test_shares_and_intervals() -> None:
    assert (percent(None), percent(4.25)) == ("–", "4.2 %")
    assert interval({"low": 1.24, "high": 9.9}) == "1.2 to 9.9"
    assert interval({"low": 780.2, "high": 1850.0}) == "780 to 1,850"
    assert (interval(None), interval({"low": None, "high": None})) == ("", "")


# --- the page


class Page(HTMLParser):
    """What a browser would make of it, as far as it matters here."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += f"{data}\n"


def test_the_page_is_whole_and_needs_nothing(one: dict[str, Any], several: dict[str, Any]) -> None:
    for each in (one, several):
        text = report.html(each)
        page = Page(text)
        assert page.open == []
        assert not {"script", "link", "img", "iframe", "object", "a", "form"} & set(page.tags)
        assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action"}
        assert not any(name.startswith("on") for name, _ in page.attributes)
        assert "url(" not in text
        assert "@import" not in text
        assert "default-src 'none'" in text


def test_the_page_has_every_part(one: dict[str, Any], several: dict[str, Any]) -> None:
    words = Page(report.html(one)).words
    for part in (
        "Where the time goes",
        "Distribution of V2V",
        "In parts",
        "By what was done",
        "Every turn, worst first",
    ):
        assert part in words
    assert "someone's" in words
    assert "outside the server" in words
    assert one["command"] in words
    assert re.search(rf"bench\n+commit \n{re.escape(one['commit'])}", words)
    assert "3.0 ms" in words
    words = Page(report.html(several)).words
    for part in ("Speed against patience", "Capacity", "first audio message", "1 of 24 turns <missed>"):
        assert part in words


def test_the_worst_turns_are_first(one: dict[str, Any]) -> None:
    words = Page(report.html(one)).words.split("Every turn, worst first")[1]
    clips = re.findall(r"(?:questions|hold|tap|en-core)/\w+", words)
    assert clips == ["questions/failed", "hold/a", "tap/mhm", "questions/stop", "en-core/one", "questions/two"]
    for mark in ("failed", "the voice broke", "1 cut-in", "false stop", "stopped in 300 ms", "underruns", "old audio"):
        assert mark in words


def test_right_behaviour_is_marked_too() -> None:
    things = [said(0, 1), said(2, 2.3, "tap", "tap/a"), said(4, 5, "barge_in", "en/b"), said(20, 21)]
    kept = written(("default", record(things, reply("a", 1.2, 9.0), reply("x", 20.15, 0.1), reply("y", 20.4, 0.1))))
    words = Page(report.html(kept)).words
    for mark in ("reply went on", "not stopped", "2 cut-ins"):
        assert mark in words


def test_many_turns_are_folded() -> None:
    things = [said(20 * i, 20 * i + 1) for i in range(25)]
    many = written(("default", record(things, *(reply(str(i), 20 * i + 1.3) for i in range(25)))))
    page = Page(report.html(many))
    assert "5 more" in page.words
    assert page.tags.count("li") == 25


STRANGE = "<script>alert('x')</script>&\"'$title ${x} </style><!-- "


def spoilt(value: Any, word: str) -> Any:
    """With the word in place of every text that a server or a user wrote."""
    foreign = {
        "heard",
        "said",
        "text",
        "error",
        "said_clip",
        "condition",
        "url",
        "command",
        "name",
        "refused_for",
        "endpoint",
    }
    if isinstance(value, list):
        return [spoilt(each, word) for each in value]
    if isinstance(value, dict):
        return {
            key: word if key in foreign and isinstance(each, str) else spoilt(each, word) for key, each in value.items()
        } | {key: [word] for key in ("lost_reasons", "refusals") if key in value}
    return value


def test_strange_texts_stay_texts(several: dict[str, Any]) -> None:
    text = report.html(spoilt(several, STRANGE))
    page = Page(text)
    assert "script" not in page.tags
    assert page.open == []
    assert STRANGE in page.words
    assert "VOID" not in report.text(spoilt(several, STRANGE))


@settings(deadline=None, max_examples=25)
@given(word=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_the_page_is_built_the_same_whatever_was_said(several: dict[str, Any], word: str) -> None:
    assert Page(report.html(spoilt(several, word))).tags == Page(report.html(spoilt(several, "word"))).tags
