"""Loss curves as geometry; the template draws them, so no text of a chart escapes the escaping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dermae_bench.report.charts import round_steps
from dermae_bench.report.escape import visible
from dermae_bench.report.numbers import shown
from dermae_bench.report.records import Curve

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 28
MOST_POINTS = 300
"""Points of one drawn line; longer series are averaged in equal runs."""


@dataclass(frozen=True, kw_only=True)
class DrawnLine:
    name: str
    pieces: tuple[str, ...]
    """`points` attributes of its unbroken parts."""
    last: str
    """Its last finite value."""
    colour: int
    """0..5, by place in the chart."""
    dash: int
    """0..2: which round of colours it is."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One curve chart, in SVG user units."""

    title: str
    log: bool
    """Whether the value axis is logarithmic: all values positive, and a factor of 30 between them."""
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[DrawnLine, ...]
    over: str
    """What the horizontal axis counts."""
    breaks: int
    """Values that are not finite; the line has a gap there."""


def draw(curve: Curve, over: str = "steps") -> Drawn | None:
    """Lay out a curve; None where it holds no finite value."""
    finite = [(step, v) for points in curve.series.values() for step, v in points if math.isfinite(v)]
    if not finite:
        return None
    values = [value for _, value in finite]
    log = min(values) > 0 and max(values) / min(values) > 30
    scale = math.log10 if log else float
    low, high = scale(min(values)), scale(max(values))
    if high == low:
        low, high = low - 0.5, high + 0.5
    first, last = min(step for step, _ in finite), max(step for step, _ in finite)

    def x(step: float) -> float:
        return LEFT + (step - first) / max(1, last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - scale(value)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    lines = list[DrawnLine]()
    for name, points in curve.series.items():
        pieces = [" ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in piece) for piece in _unbroken(_thinned(points))]
        ends = [value for _, value in points if math.isfinite(value)]
        last_text = shown(ends[-1]) if ends else "none"
        colour, dash = len(lines) % 6, len(lines) // 6 % 3
        lines.append(DrawnLine(name=visible(name), pieces=tuple(pieces), last=last_text, colour=colour, dash=dash))
    y_values = [10.0**e for e in range(math.ceil(low), math.floor(high) + 1)] if log else round_steps(low, high)
    if len(y_values) < 2:
        y_values = [min(values), max(values)]
    return Drawn(
        title=visible(curve.title),
        log=log,
        x_ticks=tuple((round(x(s), 1), f"{s:,.0f}") for s in round_steps(first, last, 4) if s == int(s)),
        y_ticks=tuple((round(y(v), 1), format(v, ".4g")) for v in y_values),
        lines=tuple(lines),
        over=over,
        breaks=sum(not math.isfinite(v) for points in curve.series.values() for _, v in points),
    )


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    run = -(-len(points) // MOST_POINTS)
    if run <= 1:
        return [(float(step), value) for step, value in points]
    pieces = [points[i : i + run] for i in range(0, len(points), run)]
    # a run with a value that is not finite is not finite: a divergence must not be averaged away
    return [(sum(s for s, _ in piece) / len(piece), sum(v for _, v in piece) / len(piece)) for piece in pieces]


def _unbroken(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for step, value in points:
        if math.isfinite(value):
            pieces[-1].append((step, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]
