"""One look at a server as a screen of text.

Knows: rich, which metric says what. Does not know: where the look comes from, how often there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from voxtral_voice.terminal import printable
from voxtral_voice.top.reading import Look
from voxtral_voice.top.scrape import Scrape, quantile

WIDE: Final = 110
"""Columns of a terminal from which two tables stand side by side."""
STAGES_WIDTH: Final = 54
"""Of the left one then, with what is between the two."""
SLOW_MS: Final = 800.0
"""A person finds the pause odd."""
LAG_MS: Final = 50.0
STAGES: Final = {
    "silence": "silence",
    "transcript": "transcript",
    "first_token": "first token",
    "first_phrase": "first phrase",
    "first_audio": "first audio",
    "hold": "hold",
}
WHOLE: Final = {
    "turn_latency_seconds": "voice to voice",
    "endpoint_latency_seconds": "endpoint",
    "barge_in_seconds": "barge-in",
}
"""Histogram -> what it is called here."""
CIRCUITS: Final = {1.0: "tried again", 2.0: "switched off"}
BAR: Final = 12
"""Characters of the longest bar."""
GAP: Final = 2
"""Between two columns."""
MOST_COUNTS: Final = 6
"""Of one kind that are named."""
LEAST_LAST: Final = 9
"""Characters that the last column of a table keeps."""
COLOURS: Final = {"hearing": "green", "settling": "cyan", "replying": "magenta", "contested": "yellow", "held": "red"}


class Screen:
    """lines: of the terminal; None: as many as it takes. trouble: why there is no newer look."""

    def __init__(self, look: Look, lines: int | None = None, trouble: str = "") -> None:
        self._look, self._lines, self._trouble = look, lines, trouble

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        above = Group(*self._above(options.max_width))
        yield above
        used = len(console.render_lines(above, options.update(height=None)))
        left = None if self._lines is None else self._lines - used
        yield from _sessions(self._look, options.max_width, left)

    def _above(self, width: int) -> Iterator[RenderableType]:
        yield from _head(self._look, width)
        if self._trouble:
            yield Text(printable(self._trouble), "bold red")
        yield Text()
        if width < WIDE:
            for table in (_stages(self._look, width), _engines(self._look, width), _counts(self._look, width)):
                yield table
                yield Text()
        else:
            left = _stages(self._look, width)
            beside = width - STAGES_WIDTH
            side_by_side = Table.grid(padding=(0, 4, 0, 0))
            side_by_side.add_column(width=STAGES_WIDTH - 4)
            side_by_side.add_column(width=beside)
            side_by_side.add_row(left, Group(_engines(self._look, beside), Text(), _counts(self._look, beside)))
            yield side_by_side
            yield Text()


# --- the parts --------------------------------------------------------------------------------------------------


def _head(look: Look, width: int) -> Iterator[Text]:
    version = next(iter(look.total.by("build_info", "version")), "")
    state = (printable(look.state), "bold green" if look.state == "ready" else "bold red")
    yield Text.assemble(("Voxtral Voice AI ", "bold"), version, (f"  {printable(look.url)}  ", "dim"), state)
    yield from _flow([_fact(*fact) for fact in _facts(look)], width)


def _facts(look: Look) -> Iterator[tuple[str, str, str]]:
    """Name, value, style."""
    total, lately, over_s = look.total, look.lately, look.lately_s
    held, gaps = total.value("sessions_held"), lately.value("underruns_total")
    lag_ms = 1000 * total.value("event_loop_lag_seconds")
    yield "sessions", f"{total.value('sessions'):.0f}", ""
    if held:
        yield "held", f"{held:.0f}", "yellow"
    if total.value("overloaded"):
        yield "overloaded:", "takes nobody new", "bold red"
    yield "turns", f"{total.value('turns_total'):.0f}", ""
    if over_s:
        yield "a minute", f"{60 * lately.value('turns_total') / over_s:.0f}", ""
        yield "cpu", f"{100 * lately.value('process_cpu_seconds_total') / over_s:.0f} %", ""
    yield "memory", f"{total.value('process_resident_memory_bytes') / 2**20:.0f} MiB", ""
    yield "files", f"{total.value('process_open_fds'):.0f}", ""
    yield "tasks", f"{total.value('tasks'):.0f}", ""
    yield "loop lag", f"{lag_ms:.0f} ms", "bold red" if lag_ms > LAG_MS else ""
    yield "gaps in replies", f"{gaps:.0f}", "yellow" if gaps else ""


def _fact(name: str, value: str, style: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _flow(facts: Iterable[Text], width: int) -> Iterator[Text]:
    """As many on a line as fit; none is broken."""
    line = Text()
    for fact in facts:
        if line and line.cell_len + GAP + fact.cell_len > width:
            yield line
            line = Text()
        line = line + Text(" " * GAP) + fact if line else fact
    yield line


def _stages(look: Look, width: int) -> Table:
    found = [(text, _quantiles(look.lately, "stage_latency_seconds", stage=stage)) for stage, text in STAGES.items()]
    longest = max([p50 for _, (p50, _, _) in found if p50 is not None], default=0.0)
    rows: list[Row] = []
    for text, numbers in found:
        bar = "" if numbers[0] is None or not longest else "▇" * round(BAR * numbers[0] / longest)
        rows.append([text, *_ms(numbers), Text(bar, "cyan")])
    for name, text in WHOLE.items():
        rows.append([Text(text, "bold"), *_ms(_quantiles(look.lately, name), bold=True), ""])
    return _table(["ms" + _span(look), "p50", "p95", "turns", " " * BAR], rows, width, [" " * BAR])


def _quantiles(scrape: Scrape, name: str, **labels: str) -> tuple[float | None, float | None, float]:
    """p50 and p95 in ms, and how many."""
    buckets = scrape.buckets(name, **labels)
    p50, p95 = (None if (s := quantile(share, buckets)) is None else 1000 * s for share in (0.5, 0.95))
    return p50, p95, scrape.value(f"{name}_count", **labels)


def _ms(numbers: tuple[float | None, float | None, float], *, bold: bool = False) -> list[Text]:
    p50, p95, count = numbers
    style = "bold" if bold else ""
    shown = [Text("-" if ms is None else f"{ms:,.0f}", _grade(ms) if bold else style) for ms in (p50, p95)]
    return [*shown, Text(f"{count:.0f}", "dim")]


def _grade(ms: float | None) -> str:
    return "bold" if ms is None or ms <= SLOW_MS else "bold yellow"


def _engines(look: Look, width: int) -> Table:
    rows: list[Row] = []
    circuits = look.total.by("circuit_state", "engine")
    for engine in dict.fromkeys([*look.engines, *look.failing, *circuits]):
        state, style = _state(look, engine, circuits.get(engine, 0.0))
        used, dropped = (
            look.lately.value("work_seconds_total", engine=engine, outcome=outcome) for outcome in ("used", "dropped")
        )
        rows.append(
            [
                printable(engine.replace("_", " ")),
                f"{look.total.value('engine_requests', engine=engine):.0f}",
                f"{look.lately.value('engine_failures_total', engine=engine):.0f}",
                _seconds(used),
                _seconds(dropped),
                Text(printable(state), style),
            ]
        )
    return _table(["engine", "at work", "failed", "used", "dropped", "state"], rows, width, ["dropped", "used"])


def _state(look: Look, engine: str, circuit: float) -> tuple[str, str]:
    if circuit:
        return f"{CIRCUITS.get(circuit, 'failing')}: {look.failing.get(engine, '')}".rstrip(": "), "bold red"
    if engine in look.failing:
        return look.failing[engine], "bold red"
    return look.engines.get(engine, "ok"), "dim"


def _counts(look: Look, width: int) -> Table:
    """What waits, who was refused, how sessions and replies ended."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    lately = look.lately
    rows = {
        "queues": look.total.by("queue_depth", "queue"),
        "refused": _most(_sum(lately.by(name, label) for name, label in REFUSED)),
        "ended": _most(lately.by("sessions_ended_total", "reason")),
        "closed": _most(lately.by("ws_closes_total", "code")),
        "resumed": _most({"here": lately.value("resumes_total"), "elsewhere": lately.value("sessions_restored_total")}),
        "replies": _most(lately.by("replies_total", "status")),
        "prepared": _most(lately.by("speculations_total", "outcome")),
        "fallbacks": _most(lately.by("fallbacks_total", "to")),
    }
    left = width - GAP - max(map(len, rows))
    for name, counts in rows.items():
        facts = [_fact(printable(what), f"{count:.6g}", "") for what, count in counts.items()]
        if facts:
            table.add_row(name, Text("\n").join(_flow(facts, left)))
    return table


def _most(counts: Mapping[str, float]) -> dict[str, float]:
    """The highest first; what never was is left out."""
    ordered = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
    found = {name: count for count, name in ordered[:MOST_COUNTS]}
    others = sum(count for count, _ in ordered[MOST_COUNTS:])
    return {**found, "others": others} if others else found


REFUSED: Final = (("sessions_refused_total", "reason"), ("refusals_total", "code"))


def _sum(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in counts:
        for name, count in each.items():
            found[name] = found.get(name, 0.0) + count
    return found


def _sessions(look: Look, width: int, lines: int | None) -> Iterator[RenderableType]:
    """lines: that are left for it."""
    if not look.sessions:
        yield Text("no sessions", "dim")
        return
    room = len(look.sessions) if lines is None else max(1, lines - 2)  # its head, and the line for the others
    shown = look.sessions[:room] if len(look.sessions) > room + 1 else look.sessions
    yield _table(SESSION_COLUMNS, [_session(session) for session in shown], width, SESSION_DROPPABLE)
    if len(look.sessions) > len(shown):
        yield Text(f"and {len(look.sessions) - len(shown)} more", "dim")


SESSION_COLUMNS: Final = ("session", "age", "turns", "cut in", "last ms", "heard", "said", "gaps", "waits", "state")
SESSION_DROPPABLE: Final = ("cut in", "heard", "said", "gaps", "waits")


def _session(session: Mapping[str, Any]) -> Row:
    state, latency = str(session.get("state", "")), session.get("last_latency_ms")
    return [
        printable(str(session.get("id", "")), 14),
        _seconds(_number(session.get("age_s"))),
        *(f"{_number(session.get(name)):.0f}" for name in ("turns", "interruptions")),
        "-" if latency is None else f"{_number(latency):,.0f}",
        *(_seconds(_number(session.get(name))) for name in ("user_audio_s", "reply_audio_s")),
        f"{_number(session.get('underruns')):.0f}",
        f"{_waits(session.get('queues')):.0f}",
        Text(printable(state), COLOURS.get(state, "dim")),
    ]


def _waits(queues: Any) -> float:
    return max((_number(depth) for depth in queues.values()), default=0.0) if isinstance(queues, dict) else 0.0


# --- how things are written -------------------------------------------------------------------------------------


Row = Sequence[Text | str]


def _table(names: Sequence[str], rows: Sequence[Row], width: int, droppable: Sequence[str] = ()) -> Table:
    """Names to the left, numbers to the right, and what stands last gives way where there is no room. Before it gives
    way altogether, columns go: the droppable ones, in their order."""
    kept = list(range(len(names)))
    widths = [max(cell_len(str(cell)) for cell in (name, *cells)) for name, *cells in zip(names, *rows, strict=True)]
    gone = iter(droppable)
    while sum(widths[i] for i in kept[:-1]) + min(widths[-1], LEAST_LAST) + GAP * (len(kept) - 1) > width:
        if (name := next(gone, None)) is None:
            break
        kept.remove(names.index(name))
    table = Table(box=None, header_style="bold cyan", padding=(0, GAP, 0, 0), pad_edge=False)
    for i in kept:
        is_last = i == kept[-1]
        justify: JustifyMethod = "left" if i == 0 or is_last else "right"
        least = min(widths[i], LEAST_LAST) if is_last else widths[i]
        table.add_column(names[i], justify=justify, no_wrap=True, overflow="ellipsis", min_width=least)
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


def _span(look: Look) -> str:
    return " since the start" if look.lately_s is None else f" in {look.lately_s:.0f} s"


def _number(value: Any) -> float:
    """0 for what is none: the server's answer is shown, not trusted."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _seconds(seconds: float) -> str:
    """Of any length, in few letters."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 or not seconds else f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
