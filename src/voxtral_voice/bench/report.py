"""A result to be read: a table for the terminal, and one HTML file that needs nothing else.

Knows: a result as `result` writes it down, the template beside this file. Does not know: how it was measured.
Transcripts and errors are a stranger's words: every text is escaped, and the page allows no script and no address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from voxtral_voice.bench import charts
from voxtral_voice.bench.facts import (
    Fact,
    Line,
    against_targets,
    facts,
    headline,
    interval,
    lateness,
    ms,
    one_line,
    percent,
    point,
)
from voxtral_voice.bench.score import VOID_LATENESS_MS
from voxtral_voice.bench.stats import Point, front

Json = Mapping[str, Any]
Cells = Sequence[str]

WORST: Final = 20
"""Turns that are shown at once; the others unfold."""
LABEL_WIDTH: Final = 28
VALUE_WIDTH: Final = 12
NUMBERS: Final = {
    "latency_at_5_percent_ms": ("latency at 5 % cut-ins", ms),
    "latency_at_10_percent_ms": ("latency at 10 % cut-ins", ms),
    "cut_ins_at_300_ms_percent": ("cut-ins at 300 ms", percent),
    "cut_ins_at_600_ms_percent": ("cut-ins at 600 ms", percent),
}
"""eot-bench's four, as the README of that bench has them."""
CURVES: Final = {"v2v": "V2V, median", "endpoint_wait": "Endpoint wait, median, by the server's own word"}
PURPOSES: Final = {
    "turn": "",
    "barge_in": "interrupts",
    "tap": "backchannel or noise",
    "echo": "echo of the reply",
    "soak": "sound without speech",
}
STAGES: Final = {
    "silence": "silence noticed",
    "transcript": "transcript",
    "first_token": "first word",
    "first_phrase": "first phrase",
    "first_audio": "first audio",
    "hold": "held for the commit",
}
"""Our own server's names, in words; another's are shown as they are."""
LEADING: Final = "leading silence"


# --- for the terminal ---------------------------------------------------------------------------------------------


def text(result: Json) -> str:
    """A table; with VOID in its last line when it is. Nothing in it that a terminal would obey."""
    lines = [f"{_target(result)}, {result['date']}"]
    for run in result["runs"]:
        lines += ["", f"endpoint: {run['name']}"]
        lines += [_line(fact) for fact in [*facts(run), lateness(run)]]
        lines += _targets_text(run)
    for kind, curve in (result["tradeoff"] or {}).items():
        lines += ["", f"speed against patience: {CURVES[kind]}"]
        lines += map(_line, _numbers(curve))
    if missing := _no_curve(result):
        lines += ["", "speed against patience", f"  {missing}"]
    if capacity := result["capacity"]:
        lines += ["", "capacity", *map(_line, [*_capacity_facts(capacity), *map(_trial_fact, capacity["trials"])])]
    return "\n".join([*lines, *_warnings(result)])


def _targets_text(run: Json) -> list[str]:
    found = [("target", "p50", "p95", "wanted", "", ""), *map(astuple, against_targets(run))]
    rows = [
        f"  {name:{LABEL_WIDTH}}{p50:>9}{p95:>10}{limit:>11}  {verdict:14}{on}"
        for name, p50, p95, limit, verdict, on in found
    ]
    return ["", *(row.rstrip() for row in rows)] if len(rows) > 1 else []


def _warnings(result: Json) -> Iterable[str]:
    if result.get("interrupted"):
        yield "\nINTERRUPTED: these are the figures of what had been said by then."
    if result.get("lost"):
        yield "\nLOST: every connection broke, so that the turns that were still to come are missed ones."
    if result["void"]:
        yield f"\n{_void(result)}"


def _line(fact: Fact) -> str:
    return f"  {fact.label:{LABEL_WIDTH}}{fact.value:{VALUE_WIDTH}}  {fact.detail}".rstrip()


def _target(result: Json) -> str:
    url = result["target"].get("url")
    return f"Voxtral Voice AI {result['version']}" if url is None else str(url)


def _capacity_facts(capacity: Json) -> list[Fact]:
    slope = capacity["memory_mb_per_session"]
    return [_sessions(capacity)] + ([] if slope is None else [Fact("memory per session", f"{slope:.1f} MB")])


def _sessions(capacity: Json) -> Fact:
    sessions, rule = capacity["sessions"], f"p95 of V2V up to {ms(capacity['limit_p95_ms'])}"
    if not capacity["at_least"]:
        return Fact("sessions", str(sessions), rule, bad=sessions == 0)
    if _is_void(capacity):
        return Fact("sessions", "not known", "the bench itself was late with one", bad=True)
    return Fact("sessions", f"at least {sessions}", f"{rule}; the bench itself was late with more")


def _is_void(capacity: Json) -> bool:
    return bool(capacity["at_least"] and capacity["sessions"] == 0)


def _trial_fact(trial: Json) -> Fact:
    verdict = "not known" if trial["late"] else "too many" if trial["refused_for"] else "held"
    seen = f"V2V p50 {ms(trial['p50_ms'])}, p95 {ms(trial['p95_ms'])}; {trial['turns']} turns" if trial["turns"] else ""
    detail = "; ".join(filter(None, (one_line(trial["refused_for"]), seen)))
    return Fact(f"with {trial['sessions']}", verdict, detail)


def _void(result: Json) -> str:
    """What was late, and by how much."""
    runs, capacity = result["runs"], result["capacity"]
    late = [
        (f"endpoint {run['name']}: " if len(runs) > 1 else "") + _lateness(run["figures"]["lateness"]["p99_ms"])
        for run in runs
        if run["figures"]["void"]
    ]
    if capacity and _is_void(capacity):
        late.append(f"capacity, one session: {_lateness(capacity['trials'][-1]['lateness_p99_ms'])}")
    return (
        "VOID: the bench's own microphone was late, so that it measured itself (p99 of the send lateness, at most "
        f"{VOID_LATENESS_MS:.0f} ms: {', '.join(late)}). Quote nothing of it; run it again on a machine with less to "
        "do."
    )


def _lateness(p99_ms: float | None) -> str:
    return "nothing was sent" if p99_ms is None else f"{p99_ms:.1f} ms"


def _numbers(curve: Json) -> list[Fact]:
    """eot-bench's four."""
    values = [(name, show, curve["numbers"][key]) for key, (name, show) in NUMBERS.items()]
    return [
        Fact(name, show(value), "no two settings enclose it" if value is None else "") for name, show, value in values
    ]


def _no_curve(result: Json) -> str:
    """Why several settings cannot be compared; "" when they can, or when there is one only."""
    if len(result["runs"]) < 2 or result["tradeoff"]:
        return ""
    if any(run["figures"]["cut_ins"]["hold"]["of"] for run in result["runs"]):
        return "No curve: fewer than two settings have both a V2V and clips with a pause inside."
    return "No curve: no clip with a pause inside was spoken, so that false cut-ins were not tried."


# --- the page -----------------------------------------------------------------------------------------------------


def html(result: Json) -> str:
    """One file: no script, no network."""
    template = files("voxtral_voice.bench").joinpath("report.html").read_text(encoding="utf-8")
    runs = result["runs"]
    first = [_run(run, f"Endpoint setting: {run['name']}" if len(runs) > 1 else "") for run in runs[:1]]
    across = [_tradeoff(result), _capacity(result["capacity"])]
    sections = [*first, *across, *map(_turns, runs[:1]), *map(_folded, runs[1:])]
    return Template(template).substitute(
        title=escape(_target(result)),
        subtitle=escape(f"{result['date'][:16].replace('T', ' ')} UTC · {_machine(result['machine'])}"),
        void=f'<p class="void" role="alert">{escape(_void(result))}</p>' if result["void"] else "",
        sections="".join(sections),
        made=_made(result),
    )


def _machine(machine: Json) -> str:
    computer = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, {machine['system']}"
    return " · ".join([*(gpu["name"] for gpu in machine.get("gpus", ())), computer])


def _section(title: str, *inside: str) -> str:
    """ "" when there is nothing in it."""
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f"<section>{heading}{''.join(inside)}</section>" if any(inside) else ""


def _run(run: Json, title: str) -> str:
    figures = run["figures"]
    found, ahead = [*facts(run), lateness(run)], headline(run)
    first, rest = ([fact for fact in found if (fact.label in ahead) is wanted] for wanted in (True, False))
    return "".join(
        [
            _section(title, _tiles(first, "tiles headline"), _tiles(rest, "tiles")),
            f'<div class="pair">{_section("Where the time goes", *_stages(run))}{_distribution(run)}</div>',
            _section("Against the targets", _targets(run)),
            _section("In parts", _parts(figures)),
            _section("By what was done", _conditions(figures)),
        ]
    )


def _folded(run: Json) -> str:
    return f"<details><summary>Endpoint setting: {escape(run['name'])}</summary>{_run(run, '')}{_turns(run)}</details>"


def _tiles(found: Iterable[Fact], classes: str = "tiles") -> str:
    return f'<dl class="{classes}">{"".join(map(_tile, found))}</dl>'


def _tile(fact: Fact) -> str:
    bad, detail = ' class="bad"' if fact.bad else "", f"<small>{escape(fact.detail)}</small>" if fact.detail else ""
    return f"<div{bad}><dt>{escape(fact.label)}</dt><dd>{escape(fact.value)}{detail}</dd></div>"


# --- latency


def _stages(run: Json) -> list[str]:
    """Medians of each stage over the turns that were answered in time."""
    turns = [stages for turn in run["turns"] if _is_plain(turn) and (stages := _stages_of(turn))]
    v2v = point(run["figures"]["latency"]["v2v_ms"], "p50")
    if not turns or v2v is None:
        return []
    names = dict.fromkeys(name for stages in turns for name, _ in stages)
    medians = [(name, _median([dict(stages).get(name, 0.0) for stages in turns])) for name in names]
    note = "Medians of each stage; they need not sum to the median of V2V, the stages of one turn sum to its V2V."
    return [charts.waterfall(medians, ("V2V", v2v)), _note(note)]


def _is_plain(turn: Json) -> bool:
    return turn["purpose"] == "turn" and not turn["missed"] and not turn["answered_early"]


def _stages_of(turn: Json) -> list[tuple[str, float]]:
    """Of an audible answer, in order, and in sum V2V: the server's own stages when it sends them, else what can be seen
    from outside."""
    v2v, wire, silence = turn["v2v_ms"], turn["wire_ms"], turn["leading_silence_ms"]
    inside = [(STAGES.get(name, name), float(value)) for name, value in turn["stages_ms"].items()]
    if not inside:
        return [("first audio message", wire), ("wait in the player", v2v - wire - silence), (LEADING, silence)]
    return [*inside, ("outside the server", v2v - sum(value for _, value in inside) - silence), (LEADING, silence)]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _distribution(run: Json) -> str:
    values = [turn["v2v_ms"] for turn in run["turns"] if _is_plain(turn)]
    if not values:
        return ""
    spread, missed = run["figures"]["latency"]["v2v_ms"], run["figures"]["latency"]["missed"]["count"]
    marks = [mark for name in ("p50", "p95") if (mark := _mark(name, spread)).value <= 2 * max(values)]
    note = "Share of turns answered within so many ms; behind the marks their 95 % intervals."
    left_out = f" Missed turns, beyond the right edge: {missed}." if missed else ""
    return _section("Distribution of V2V", charts.distribution(values, marks, note), _note(note + left_out))


def _mark(name: str, spread: Json) -> charts.Mark:
    found = spread[name]
    return charts.Mark(f"{name} {ms(found['value'])}", found["value"], found["low"], found["high"])


# --- tables


def _targets(run: Json) -> str:
    return _table(("", "p50", "p95", "wanted", "", ""), [_target_row(line) for line in against_targets(run)])


def _target_row(line: Line) -> Cells:
    *figures, verdict, rests_on = map(escape, astuple(line))
    return [*figures, f'<span class="bad">{verdict}</span>' if line.bad else verdict, rests_on]


def _parts(figures: Json) -> str:
    rows = [("all turns", figures["latency"])]
    rows += [(f"set {name}", latency) for name, latency in figures["by_set"].items()]
    rows += [(f"language {name}", latency) for name, latency in figures["by_language"].items()]
    rows += [("interruptions", figures["barge_in"]["latency"])]
    rows += [("answered by an intent", figures["intents"]["latency"])] if "intents" in figures else []
    head = ("", "turns", "V2V p50", "p95", "p99", "wire p50", "silence p50", "missed")
    return _table(head, [_latency_row(name, latency) for name, latency in rows if latency["v2v_ms"]["n"]])


def _latency_row(name: str, latency: Json) -> Cells:
    v2v, missed = latency["v2v_ms"], latency["missed"]
    quantiles = [_with_interval(ms(point(v2v, each)), v2v[each]) for each in ("p50", "p95", "p99")]
    outside = [ms(point(latency[each], "p50")) for each in ("wire_ms", "leading_silence_ms")]
    return [escape(name), str(v2v["n"]), *quantiles, *outside, f"{missed['count']} of {missed['of']}"]


def _conditions(figures: Json) -> str:
    kinds = (
        ("false cut-in", figures["cut_ins"]["hold_by_condition"]),
        ("false stop", figures["false_stops"]["by_condition"]),
    )
    rows = [
        [kind, escape(name or "plain"), f"{share['count']} of {share['of']}", _percent_cell(share["percent"])]
        for kind, by_condition in kinds
        for name, share in by_condition.items()
        if share["of"]
    ]
    return _table(("", "condition", "happened", "share"), rows)


def _percent_cell(estimate: Json | None) -> str:
    return _with_interval(percent(estimate["value"] if estimate else None), estimate)


def _with_interval(value: str, estimate: Json | None) -> str:
    found = interval(estimate)
    return escape(value) + (f"<small>{escape(found)}</small>" if found else "")


def _table(head: Cells, rows: Sequence[Cells]) -> str:
    """Cells are HTML already."""
    if not rows:
        return ""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


# --- several runs


def _tradeoff(result: Json) -> str:
    """The settings side by side, with the four numbers when there are two that can be compared."""
    if len(result["runs"]) < 2:
        return ""
    curves = [_curve(kind, curve) for kind, curve in (result["tradeoff"] or {}).items()]
    note = "Across: latency; up: hold pauses that were cut. Between two settings the line is straight; beyond, nothing."
    drawn = f'<div class="pair">{"".join(curves)}</div>{_note(note)}' if curves else _note(_no_curve(result))
    return _section("Speed against patience", drawn, _settings(result["runs"]))


def _settings(runs: Iterable[Json]) -> str:
    rows = [_setting_row(run["name"], run["figures"]) for run in runs]
    head = ("V2V p50", "p95", "endpoint wait p50", "false cut-ins", "in plain turns", "false stops", "missed")
    return _table(("endpoint", *head), rows)


def _setting_row(name: str, figures: Json) -> Cells:
    v2v, missed = figures["latency"]["v2v_ms"], figures["missed"]
    quantiles = [_with_interval(ms(point(v2v, each)), v2v[each]) for each in ("p50", "p95")]
    cut_ins, wait = figures["cut_ins"], ms(point(figures["endpoint_ms"], "p50"))
    tried = (cut_ins["hold"], cut_ins["plain"], figures["false_stops"]["all"])
    shares = [_percent_cell(share["percent"]) if share["of"] else "not tried" for share in tried]
    return [escape(name), *quantiles, wait, *shares, f"{missed['count']} of {missed['of']}"]


def _curve(kind: str, curve: Json) -> str:
    points = [Point(**each) for each in curve["points"]]
    best = [(each.latency_ms, each.cut_ins_percent) for each in front(points)]
    placed = [(each.endpoint, each.latency_ms, each.cut_ins_percent) for each in points]
    drawing = charts.scatter(placed, best, f"{CURVES[kind]}, against false cut-ins")
    return f'<div class="curve"><h3>{escape(CURVES[kind])}</h3>{drawing}{_tiles(_numbers(curve))}</div>'


def _capacity(capacity: Json | None) -> str:
    if capacity is None:
        return ""
    rows = [
        [
            str(trial["sessions"]),
            f'<span class="why">{escape(one_line(trial["refused_for"]) or "held")}</span>',
            str(trial["turns"]),
            *(ms(trial[each] if trial["turns"] else None) for each in ("p50_ms", "p95_ms")),
            str(trial["missed"]),
            str(trial["cut_ins"]),
            str(trial["underruns"]),
            f"{trial['lateness_p99_ms']:.1f} ms",
        ]
        for trial in capacity["trials"]
    ]
    head = ("sessions", "", "turns", "V2V p50", "p95", "missed", "cut-ins", "underruns", "lateness p99")
    return _section("Capacity", _tiles(_capacity_facts(capacity)), _table(head, rows))


# --- turn by turn


def _turns(run: Json) -> str:
    ordered = sorted(run["turns"], key=_badness, reverse=True)
    span = max((turn["v2v_ms"] for turn in ordered if turn["v2v_ms"] is not None and not turn["missed"]), default=1.0)
    rows = [_turn(turn, max(span, 1.0)) for turn in ordered]
    shown, folded = _list(rows[:WORST]), _list(rows[WORST:])
    rest = f"<details><summary>{len(rows) - WORST} more</summary>{folded}</details>" if folded else ""
    return _section("Every turn, worst first", shown, rest)


def _note(words: str) -> str:
    return f'<p class="note">{escape(words)}</p>'


def _list(rows: Sequence[str]) -> str:
    return f'<ol class="turns">{"".join(rows)}</ol>' if rows else ""


def _badness(turn: Json) -> tuple[bool, bool, bool, float]:
    false_stop = turn["purpose"] == "tap" and turn["stopped"] is True
    not_stopped = turn["purpose"] == "barge_in" and turn["stopped"] is False
    return turn["missed"], turn["cut_ins"] > 0, false_stop or not_stopped, turn["v2v_ms"] or 0.0


def _turn(turn: Json, span_ms: float) -> str:
    counted = turn["v2v_ms"] is not None and not turn["missed"]
    stages = [(name, value) for name, value in _stages_of(turn) if value > 0] if counted else []
    value = "tap" if turn["purpose"] == "tap" else "missed" if turn["missed"] else ms(turn["v2v_ms"])
    what = " · ".join(filter(None, (turn["said_clip"], turn["condition"], PURPOSES[turn["purpose"]])))
    marks = "".join(f"<em>{escape(mark)}</em>" for mark in _marks(turn))
    return (
        f"<li><b>{escape(value)}</b>{charts.strip(stages, span_ms)}"
        f"<p><code>{escape(what)}</code>{marks}</p>{_words(turn)}</li>"
    )


def _marks(turn: Json) -> Iterable[str]:
    """What was wrong, or worth a look."""
    if turn["cut_ins"]:
        yield f"{turn['cut_ins']} cut-in" + ("s" if turn["cut_ins"] > 1 else "")
    if turn["status"] != "completed" and turn["purpose"] != "tap":
        yield turn["status"].replace("_", " ")
    if turn["stopped"] is not None:
        yield from _stop_marks(turn)
    if turn["underruns"]:
        yield f"{turn['underruns']} underruns, longest gap {ms(turn['longest_gap_ms'])}"
    if turn["old_audio_after_stop_ms"]:
        yield f"{ms(turn['old_audio_after_stop_ms'])} of old audio after the stop"


def _stop_marks(turn: Json) -> Iterable[str]:
    if turn["purpose"] == "tap":
        yield "false stop" if turn["stopped"] else "reply went on"
    else:
        yield f"stopped in {ms(turn['stop_ms'])}" if turn["stopped"] else "not stopped"


def _words(turn: Json) -> str:
    said = [("said", turn["text"]), ("heard", turn["heard"]), ("answer", turn["said"]), ("error", turn["error"])]
    return "".join(f'<p class="words"><span>{name}</span><q>{escape(words)}</q></p>' for name, words in said if words)


def _made(result: Json) -> str:
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in result["settings"].items())
    target = ", ".join(f"{name} {_shown(value)}" for name, value in result["target"].items() if value is not None)
    commit = escape(result["commit"] or "not from a checkout")
    rows = [
        ("command", f"<code>{escape(result['command'])}</code>"),
        ("bench", f"commit <code>{commit}</code>, version {escape(result['version'])}"),
        (
            "machine",
            escape(
                f"{_machine(result['machine'])}, Python {result['machine']['python']}, "
                f"load {result['machine']['load_1min']}"
            ),
        ),
        ("target", escape(target)),
        ("settings", escape(settings)),
    ]
    return "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows if value)


def _shown(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
