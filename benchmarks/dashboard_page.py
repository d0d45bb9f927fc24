"""Draws the panels of a Grafana dashboard, as one HTML page without scripts.

Knows: the few kinds of panels that ours has, units, lines and areas as SVG. Does not know: where the values come from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

COLOURS: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#37a2eb", "#ffb357", "#96d98d", "#e0b400",
    "#5794f2", "#ca95e5",
)  # fmt: skip
NAMED: Final = {
    "green": "#73bf69",
    "yellow": "#f2cc0c",
    "red": "#f2495c",
    "blue": "#5794f2",
    "orange": "#ff9830",
    "purple": "#b877d9",
}
UNIT_PX: Final = 58
"""Of a dashboard's 24 columns."""
ROW_PX: Final = 30
PLOT_LEFT, PLOT_TOP, PLOT_BOTTOM, PLOT_RIGHT = 56, 9, 18, 6
LEGEND_PX: Final = 16
MOST_NAMES: Final = 6
"""In a legend, the highest first; Grafana's scrolls."""
CHARACTER_PX: Final = 6.2
STEPS: Final = (1, 2, 2.5, 5, 10)
STYLE: Final = """
body{margin:0;background:#111217;color:#ccccdc;font:12px Inter,system-ui,"DejaVu Sans",sans-serif;width:1416px}
header{padding:14px 12px 4px;font-size:18px}header small{color:#8e8ea0;font-size:12px;margin-left:10px}
main{position:relative;margin:0 12px}
section,h2{position:absolute;box-sizing:border-box}
section{background:#181b1f;border:1px solid #25272e;border-radius:3px;overflow:hidden}
h2{margin:0;font-size:14px;font-weight:500;padding-top:9px;color:#d8d9da}
h3{margin:0;padding:6px 8px 0;font-size:12px;font-weight:500;white-space:nowrap}
b{display:block;text-align:center;font-size:38px;font-weight:500;line-height:70px}
svg{display:block}text{fill:#9fa7b3;font-size:10.5px}.grid{stroke:#2c3038}.limit{stroke:#f2495c;stroke-dasharray:5 4}
.none{fill:#6c7078;font-size:12px}
"""

Points = Sequence[tuple[float, float]]
"""(time, value), in order."""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: Points


@dataclass(frozen=True, slots=True)
class Span:
    """What is shown, in seconds since 1970."""

    begin: float
    end: float


def page(dashboard: Mapping[str, Any], values: Mapping[int, Sequence[Series]], span: Span, note: str) -> str:
    """values: by the panel's id; a stat's series ends with what it shows."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    inside = "".join(_placed(panel, values.get(panel["id"], ()), span) for panel in dashboard["panels"])
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(dashboard['title'])}</title>"
        f"<style>{STYLE}</style><header>{escape(dashboard['title'])}<small>{escape(note)}</small></header>"
        f'<main style="height:{bottom * ROW_PX + 12}px">{inside}</main></html>'
    )


def _placed(panel: Mapping[str, Any], series: Sequence[Series], span: Span) -> str:
    place = panel["gridPos"]
    left, top, width, height = place["x"] * UNIT_PX, place["y"] * ROW_PX, place["w"] * UNIT_PX, place["h"] * ROW_PX
    style = f"left:{left}px;top:{top}px;width:{width - 6}px;height:{height - 6}px"
    title = escape(panel["title"])
    if panel["type"] == "row":
        return f'<h2 style="{style}">{title}</h2>'
    defaults = panel["fieldConfig"]["defaults"]
    drawn = (
        _stat(series, defaults)
        if panel["type"] == "stat"
        else _plot(series, panel["fieldConfig"], span, width - 8, height - 36)
    )
    return f'<section style="{style}" title="{escape(panel["description"])}"><h3>{title}</h3>{drawn}</section>'


def _stat(series: Sequence[Series], defaults: Mapping[str, Any]) -> str:
    if not series or not series[0].points:
        return '<b style="color:#6c7078">-</b>'
    value = series[0].points[-1][1]
    colour = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return f'<b style="color:{NAMED[colour]}">{shown(value, defaults["unit"])}</b>'


def _plot(series: Sequence[Series], config: Mapping[str, Any], span: Span, width: float, height: float) -> str:
    defaults, overrides = config["defaults"], config["overrides"]
    drawn = [each for each in series if each.points]
    if len(drawn) > MOST_NAMES:
        drawn.sort(key=lambda each: -max(value for _, value in each.points))
    colours = _colours(drawn, overrides)
    legend = list(_legend([each.name for each in drawn], width))[:MOST_NAMES]
    bottom = height - PLOT_BOTTOM - LEGEND_PX * (1 + max((row for _, row, _ in legend), default=0))
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    layers = _stacked(drawn) if stacked else [[(at, 0.0, value) for at, value in each.points] for each in drawn]
    limits = [step["value"] for step in defaults.get("thresholds", {}).get("steps", ()) if step["value"] is not None]
    high = 1.08 * max([value for layer in layers for _, _, value in layer] + [0.0]) or 1.0
    scale = 2**20 if defaults["unit"] == "bytes" else 1
    step = scale * _step(high / scale)

    def x(at: float) -> float:
        return round(PLOT_LEFT + (at - span.begin) / (span.end - span.begin) * (width - PLOT_LEFT - PLOT_RIGHT), 1)

    def y(value: float) -> float:
        return round(bottom - value / high * (bottom - PLOT_TOP), 1)

    parts = [
        f'<svg width="{width}" height="{height}">',
        *_axes(x, y, high, step, span, width, bottom, defaults["unit"]),
    ]
    if not drawn:
        parts.append(f'<text class="none" text-anchor="middle" x="{width / 2}" y="{height / 2}">none</text>')
    for number, layer in enumerate(layers):
        parts += _layer(layer, colours[number], x, y, stacked)
    parts += [f'<path class="limit" d="M{PLOT_LEFT},{y(at)}H{width - PLOT_RIGHT}"/>' for at in limits if at < high]
    for number, (at, row, name) in enumerate(legend):
        up, colour = height - 6 - LEGEND_PX * (max(r for _, r, _ in legend) - row), colours[number]
        parts.append(f'<rect x="{at}" y="{up - 5}" width="12" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{at + 16}" y="{up}">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _colours(series: Sequence[Series], overrides: Sequence[Mapping[str, Any]]) -> list[str]:
    fixed = {each["matcher"]["options"]: NAMED[each["properties"][0]["value"]["fixedColor"]] for each in overrides}
    return [fixed.get(each.name, COLOURS[number % len(COLOURS)]) for number, each in enumerate(series)]


def _layer(layer: Sequence[tuple[float, float, float]], colour: str, x: Any, y: Any, stacked: bool) -> Iterator[str]:
    line = " ".join(f"{x(at)},{y(value)}" for at, _, value in layer)
    if stacked:
        under = " ".join(f"{x(at)},{y(low)}" for at, low, _ in reversed(layer))
        yield f'<polygon points="{line} {under}" fill="{colour}" fill-opacity="0.55"/>'
    yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{1 if stacked else 1.6}"/>'


def _stacked(series: Sequence[Series]) -> list[list[tuple[float, float, float]]]:
    """Each on those before it: (time, from, to)."""
    below: dict[float, float] = {}
    layers = []
    for each in series:
        layer = []
        for at, value in each.points:
            low = below.get(at, 0.0)
            layer.append((at, low, low + value))
            below[at] = low + value
        layers.append(layer)
    return layers


def _axes(
    x: Any, y: Any, high: float, step: float, span: Span, width: float, bottom: float, unit: str
) -> Iterator[str]:
    for number in range(math.floor(high / step) + 1):
        value = number * step
        yield f'<path class="grid" d="M{PLOT_LEFT},{y(value)}H{width - PLOT_RIGHT}"/>'
        yield f'<text text-anchor="end" x="{PLOT_LEFT - 5}" y="{y(value) + 4}">{shown(value, unit)}</text>'
    every = next(s for s in (30, 60, 120, 300, 600, 1800, 3600, 7200, 86400) if (span.end - span.begin) / s < 7)
    at = math.ceil(span.begin / every) * every
    while at <= span.end:
        clock = time.strftime("%H:%M:%S" if every < 60 else "%H:%M", time.gmtime(at))
        if x(at) < width - 16:
            yield f'<text text-anchor="middle" x="{x(at)}" y="{bottom + 14}">{clock}</text>'
        at += every


def _step(high: float) -> float:
    rough = high / 4
    power = 10 ** math.floor(math.log10(rough))
    return float(next(step * power for step in STEPS if step * power >= rough))


def _legend(names: Sequence[str], width: float) -> Iterator[tuple[float, int, str]]:
    """Where each stands: x and row."""
    at, row = 8.0, 0
    for name in names:
        wide = 26 + CHARACTER_PX * len(name)
        if at + wide > width and at > 8:
            at, row = 8.0, row + 1
        yield at, row, name
        at += wide


def shown(value: float, unit: str) -> str:
    """As Grafana writes it."""
    if unit == "s":
        return "0 s" if not value else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "percentunit":
        return f"{100 * value:.0f}%"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
