"""The headline figures of a run in words: label, value, what it rests on. The terminal and the page show the same.

Knows: a run as `result` writes it down. Does not know: terminals, HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from voxtral_voice.bench.score import VOID_LATENESS_MS

Json = Mapping[str, Any]

ENOUGH: Final = {"p50": 1, "p95": 200, "p99": 1_000}
"""Turns; with fewer, the quantile is the word of a handful."""
UNITS: Final = {"word": "word errors", "character": "character errors"}


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    detail: str = ""
    bad: bool = False
    """Something went wrong that should not."""


def ms(value: float | None) -> str:
    """ "812 ms", "15.0 s"."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if abs(value) < 10_000 else f"{value / 1000:,.1f} s"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def interval(estimate: Json | None) -> str:
    """ "780 to 850"; "" when there is none."""
    if estimate is None or estimate["low"] is None:
        return ""
    digits = 0 if estimate["high"] > 100 else 1
    return f"{estimate['low']:,.{digits}f} to {estimate['high']:,.{digits}f}"


def point(spread: Json | None, name: str) -> float | None:
    found = spread[name] if spread else None
    return None if found is None else float(found["value"])


def one_line(text: str) -> str:
    """A stranger's words, without what a terminal would obey."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


FALSE_CUT_INS: Final = "false cut-ins"
PLAIN_CUT_INS: Final = "cut-ins in plain turns"
HEADLINE: Final = ("V2V p50", "V2V p95", "missed turns")


def headline(run: Json) -> frozenset[str]:
    """What a reader looks for first: speed, never without patience. Without pauses that could be cut, the patience is
    that in plain turns."""
    cut_ins = run["figures"]["cut_ins"]
    instead = cut_ins["plain"]["of"] and not cut_ins["hold"]["of"]
    return frozenset({*HEADLINE, PLAIN_CUT_INS if instead else FALSE_CUT_INS})


def facts(run: Json) -> list[Fact]:
    """Only of what the run has tried, but patience, which is said to be missing."""
    figures = run["figures"]
    found = [*_latency(figures), *_buffered(run), *_turn_taking(figures), *_reply(figures), *_content(figures)]
    found += _cost(run)
    return [fact for fact in found if fact.value != "–"]


def lateness(run: Json) -> Fact:
    found = run["figures"]["lateness"]
    if found["p99_ms"] is None:
        return Fact("send lateness p99", "none", "nothing was sent", bad=True)
    late = f"LATE, over {VOID_LATENESS_MS:.0f} ms" if run["figures"]["void"] else ""
    rests_on = _joined(late, f"p50 {found['p50_ms']:.1f} ms", f"{found['chunks']:,} chunks")
    return Fact("send lateness p99", f"{found['p99_ms']:.1f} ms", rests_on, bool(late))


@dataclass(frozen=True, slots=True)
class Line:
    """Of the table of targets."""

    target: str
    p50: str
    p95: str
    limit: str
    verdict: str
    rests_on: str

    @property
    def bad(self) -> bool:
        return self.verdict == "missed"


def against_targets(run: Json) -> list[Line]:
    """None of a result that is older than the table."""
    return [_against(each) for each in run["figures"].get("targets", ())]


def _against(judged: Json) -> Line:
    measured, limit = judged["measured_ms"], judged["limit_ms"]
    return Line(
        target=judged["target"],
        p50=ms(point(measured, "p50")),
        p95=ms(point(measured, "p95")),
        limit="" if limit is None else f"< {ms(limit)}",
        verdict=judged["verdict"],
        rests_on=_joined(judged["what"], f"{measured['n']} turns" if measured["n"] else ""),
    )


def _latency(figures: Json) -> Iterator[Fact]:
    latency = figures["latency"]
    v2v = latency["v2v_ms"]
    for name, enough in ENOUGH.items():
        few = "" if v2v["n"] >= enough else f"; fewer than the {enough:,} it takes"
        rests_on = _joined(interval(v2v[name]), f"{v2v['n']} turns, {v2v['groups']} clips") + few
        yield Fact(f"V2V {name}", ms(point(v2v, name)), rests_on)
    for name in ("p50", "p95"):
        yield from _intent(figures, name)
    wire, silence = latency["wire_ms"], latency["leading_silence_ms"]
    yield Fact("wire time p50", ms(point(wire, "p50")), f"to the first audio message; p95 {ms(point(wire, 'p95'))}")
    yield Fact("leading silence p50", ms(point(silence, "p50")), f"at its start; p95 {ms(point(silence, 'p95'))}")
    yield Fact("endpoint wait p50", ms(point(figures["endpoint_ms"], "p50")), "by the server's own word")


def _intent(figures: Json, name: str) -> Iterator[Fact]:
    found = figures.get("intents")
    if found and found["latency"]["v2v_ms"]["n"]:
        v2v, recognised = found["latency"]["v2v_ms"], found["recognised"]
        rests_on = _joined(
            interval(v2v[name]), f"{v2v['n']} turns; {recognised['count']} of {recognised['of']} answered as an intent"
        )
        yield Fact(f"V2V {name}, intents", ms(point(v2v, name)), rests_on)


def _buffered(run: Json) -> Iterator[Fact]:
    again = run["buffered"]
    p95, underruns = ms(point(again["v2v_ms"], "p95")), again["continuity"]["underruns"]
    rests_on = f"with a player that buffers {again['jitter_ms']:.0f} ms; p95 {p95}, {underruns} underruns"
    yield Fact("V2V p50, buffered", ms(point(again["v2v_ms"], "p50")), rests_on)


def _turn_taking(figures: Json) -> Iterator[Fact]:
    cut_ins, barge_in, stops = figures["cut_ins"], figures["barge_in"], figures["false_stops"]
    if cut_ins["hold"]["of"]:
        yield _share(FALSE_CUT_INS, cut_ins["hold"], "pauses inside a turn")
    else:
        yield Fact(FALSE_CUT_INS, "not tried", "no clip with a pause inside was spoken")
    yield _share(PLAIN_CUT_INS, cut_ins["plain"], "turns without a pause put in", always_bad=True)
    yield _share("missed turns", figures["missed"], "turns", always_bad=True)
    stopped, heard, server = barge_in["stopped"], barge_in["heard_stop_ms"], barge_in["server_stop_ms"]
    rests_on = f"p95 {ms(point(heard, 'p95'))}; {stopped['count']} of {stopped['of']} within 2 s"
    yield Fact("barge-in, heard stop p50", ms(point(heard, "p50")), rests_on, stopped["count"] < stopped["of"])
    old_ms = barge_in["old_audio_after_stop_ms"]
    rests_on = f"p95 {ms(point(server, 'p95'))}; {ms(old_ms)} of old audio after it"
    yield Fact("barge-in, server stop p50", ms(point(server, "p50")), rests_on, old_ms > 0)
    decision, words = barge_in.get("decision_stop_ms"), barge_in.get("words_off")
    if decision and decision["n"]:
        rests_on = f"p95 {ms(point(decision, 'p95'))}; to the last old sound"
        yield Fact("barge-in, after the decision", ms(point(decision, "p50")), rests_on)
    if words and words["n"]:
        rests_on = f"p95 {point(words, 'p95'):.1f}; in the text of {words['n']} interrupted replies"
        yield Fact("heard text, words off p50", f"{point(words, 'p50'):.1f}", rests_on)
    kinds = [f"{share['count']} of {share['of']} {kind}" for kind, share in stops.get("by_kind", {}).items()]
    yield _share("false stops", stops["all"], _joined("sounds over a reply", ", ".join(kinds)))
    if (soak := figures.get("soak")) and soak["all"]["minutes"]:
        heard = soak["all"]
        rests_on = f"in {heard['minutes']:.1f} min of sound without speech; {heard['replies']} replies"
        yield Fact("turns out of noise", str(heard["turns"]), rests_on, heard["turns"] + heard["replies"] > 0)


def _reply(figures: Json) -> Iterator[Fact]:
    played = figures["continuity"]
    if played["reply_minutes"]:
        rests_on = f"in {played['reply_minutes']:.1f} min of replies; longest gap {ms(played['longest_gap_ms'])}"
        yield Fact("underruns", str(played["underruns"]), rests_on, played["underruns"] > 0)
    if troubles := figures["refused"] + figures["lost"]:
        lost = _trouble(figures["lost"], ("connection broke", "connections broke"), figures["lost_reasons"])
        refused = _trouble(figures["refused"], ("error of the server", "errors of the server"), figures["refusals"])
        yield Fact("troubles", str(troubles), _joined(lost, refused), bad=True)


def _trouble(count: int, names: tuple[str, str], reasons: Sequence[str]) -> str:
    """ "2 connections broke: it closed | timed out"; "" without any."""
    return f"{count} {names[count > 1]}: {' | '.join(map(one_line, reasons))}" if count else ""


def _content(figures: Json) -> Iterator[Fact]:
    for language, heard in figures["transcripts"].items():
        rate, missing = heard["error_percent"], heard["missing"]
        rests_on = _joined(interval(rate), f"{heard['turns']} turns", f"{missing} without" if missing else "")
        yield Fact(f"{UNITS[heard['unit']]}, {language}", percent(rate["value"] if rate else None), rests_on)
    right = figures["right_answers"]
    if right["of"]:
        yield Fact("right answers", f"{right['count']} of {right['of']}", "the reply holds the expected words")


def _cost(run: Json) -> Iterator[Fact]:
    if cost := run["cost"]:
        minutes = f"{cost['audio_minutes']:.1f} min of callers' audio"
        yield Fact("server CPU", f"{cost['cpu_s_per_audio_minute']:.2f} s", f"per minute of audio; {minutes}")
        yield Fact("server memory", f"{cost['memory_mb']:,.0f} MB", "at the most")
        if work := cost.get("work"):
            seconds = f"{work['dropped_total_s']:.2f} s of engines' time, by the server's own count"
            yield Fact("work thrown away", percent(work["dropped_percent"]), seconds)


def _share(label: str, share: Json, of: str, *, always_bad: bool = False) -> Fact:
    """always_bad: a single one is."""
    estimate = share["percent"]
    rests_on = _joined(interval(estimate), f"{share['count']} of {share['of']} {of}")
    value = percent(estimate["value"] if estimate else None)
    return Fact(label, value, rests_on, always_bad and share["count"] > 0)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
