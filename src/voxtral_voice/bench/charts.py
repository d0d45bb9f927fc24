"""The report's drawings: SVG as text, and bars as HTML. Colours come from the page's style sheet.

Knows: scales, ticks, how a label is kept legible. Does not know: results, turns. Every text given is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import Final

WIDTH: Final = 400
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 22, 44
LABEL_PX: Final = 17
"""Two labels nearer than this would overlap."""
CHARACTER_PX: Final = 7.6
"""Of a bold one, at the most on average."""
LABEL_GAP_PX: Final = 6
TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Axis:
    """Values low to high -> begin to end, in the drawing's units."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> list[float]:
        """Round numbers."""
        rough = (self.high - self.low) / TICKS
        power = 10 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def across(low: float, high: float) -> Axis:
    return Axis(low, max(high, low + 1), LEFT, WIDTH - RIGHT)


def upwards(low: float, high: float) -> Axis:
    return Axis(low, max(high, low + 1), HEIGHT - BOTTOM, TOP)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value on the axis that is named, with its interval when there is one."""

    label: str
    value: float
    low: float | None
    high: float | None


def distribution(values: Sequence[float], marks: Sequence[Mark], title: str) -> str:
    """The share of turns that were answered within so many ms. values: at least one."""
    ordered = sorted(values)
    x = across(min(0.0, ordered[0]), 1.05 * max([ordered[-1], *(mark.value for mark in marks)]))
    y = upwards(0, 100)
    steps = [(x.at(value), y.at(100 * (i + 1) / len(ordered))) for i, value in enumerate(ordered)]
    path = f"M{x.begin},{y.at(0)}" + "".join(f"H{at}V{up}" for at, up in steps) + f"H{x.end}"
    inside = [_grid(x, y, "ms", "%"), *(_band(x, y, mark) for mark in marks), f'<path class="line" d="{path}"/>']
    return _svg(inside + _named(x, y, marks), title)


def scatter(points: Iterable[tuple[str, float, float]], front: Sequence[tuple[float, float]], title: str) -> str:
    """points: (name, ms, percent), at least one. front: those that no other beats, joined by a line."""
    placed = list(points)
    x = across(0, 1.25 * max(ms for _, ms, _ in placed))
    y = upwards(0, max(10.0, 1.15 * max(percent for _, _, percent in placed)))
    joined = " ".join(f"{x.at(ms)},{y.at(percent)}" for ms, percent in front)
    inside = [_grid(x, y, "ms", "%"), f'<polyline class="front" points="{joined}"/>']
    spots = [(x.at(ms), y.at(percent), name) for name, ms, percent in placed]
    inside += [f'<circle class="dot" cx="{at}" cy="{up}" r="5"/>' for at, up, _ in spots]
    return _svg(inside + _labels(spots), title)


def waterfall(stages: Sequence[tuple[str, float]], total: tuple[str, float]) -> str:
    """One bar under the other, each beginning where the one above ends; the whole below. In ms."""
    ends = list(accumulate(ms for _, ms in stages))
    span = max(total[1], *ends, 1.0)
    rows = [
        _row(name, ms, end - ms, span, f"c{i % 8}")
        for i, ((name, ms), end) in enumerate(zip(stages, ends, strict=True))
    ]
    return f'<div class="waterfall">{"".join(rows)}{_row(*total, 0.0, span, "whole")}</div>'


def strip(stages: Sequence[tuple[str, float]], span_ms: float) -> str:
    """The same in one line, for a table."""
    pieces = "".join(
        f'<i class="c{number % 8}" style="width:{_share(ms / span_ms)}" title="{escape(name)} {ms:,.0f} ms"></i>'
        for number, (name, ms) in enumerate(stages)
    )
    return f'<span class="strip">{pieces}</span>'


def _row(name: str, ms: float, begin: float, span: float, colour: str) -> str:
    """A stage of less than nothing goes back from where it begins."""
    left, width = _share(min(begin, begin + ms) / span), _share(abs(ms) / span)
    bar = f'<i class="{colour}" style="margin-left:{left};width:{width}"></i>'
    return f'<div><span>{escape(name)}</span><b>{bar}</b><span class="ms">{ms:,.0f} ms</span></div>'


def _share(part: float) -> str:
    return f"{100 * min(max(part, 0.0), 1.0):.2f}%"


def _svg(inside: Iterable[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(inside)}</svg>"
    )


def _grid(x: Axis, y: Axis, x_unit: str, y_unit: str) -> str:
    lines = [f'<path class="grid" d="M{x.begin},{y.at(tick)}H{x.end}"/>' for tick in y.ticks()]
    lines += [_text(x.begin - 7, y.at(tick) + 4, f"{tick:g}", "tick end") for tick in y.ticks()]
    lines += [_text(x.at(tick), y.begin + 18, f"{tick:,g}", "tick middle") for tick in x.ticks()]
    lines.append(f'<path class="axis" d="M{x.begin},{y.end}V{y.begin}H{x.end}"/>')
    lines.append(_text(x.end, y.begin + 36, x_unit, "tick end"))
    lines.append(_text(x.begin - 7, y.end - 10, y_unit, "tick end"))
    return "".join(lines)


def _band(x: Axis, y: Axis, mark: Mark) -> str:
    """The interval behind, the value before it."""
    line = f'<path class="mark" d="M{x.at(mark.value)},{y.end}V{y.begin}"/>'
    if mark.low is None or mark.high is None:
        return line
    left, right = x.at(max(mark.low, x.low)), x.at(min(mark.high, x.high))
    width = round(right - left, 1)
    return f'<rect class="band" x="{left}" y="{y.end}" width="{width}" height="{y.begin - y.end}"/>{line}'


def _named(x: Axis, y: Axis, marks: Sequence[Mark]) -> list[str]:
    """Each name above its mark, in one row over the drawing; where they would meet, they give way to both sides."""
    ordered = sorted(marks, key=lambda mark: mark.value)
    widths = [len(mark.label) * CHARACTER_PX for mark in ordered]
    lefts: list[float] = []
    for mark, width in zip(ordered, widths, strict=True):
        least = lefts[-1] + widths[len(lefts) - 1] + LABEL_GAP_PX if lefts else x.begin
        lefts.append(max(x.at(mark.value) - width / 2, least))
    most = float(WIDTH)
    for number, width in reversed(list(enumerate(widths))):
        lefts[number] = min(lefts[number], most - width)
        most = lefts[number] - LABEL_GAP_PX
    middles = [left + width / 2 for left, width in zip(lefts, widths, strict=True)]
    return [_text(at, y.end - 9, mark.label, "name middle") for at, mark in zip(middles, ordered, strict=True)]


def _labels(spots: Iterable[tuple[float, float, str]]) -> list[str]:
    """A name beside each spot, towards the middle, and higher where another name is in the way."""
    texts, taken = [], list[tuple[float, float, float]]()
    for at, up, name in sorted(spots):
        width = len(name) * CHARACTER_PX
        left = at + 9 if at + 9 + width < WIDTH else at - 9 - width
        height = up - 7
        while any(
            left < end and begin < left + width and abs(height - other) < LABEL_PX for begin, end, other in taken
        ):
            height -= LABEL_PX
        taken.append((left, left + width, height))
        texts.append(_text(left if left > at else left + width, height, name, "name" if left > at else "name end"))
    return texts


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
