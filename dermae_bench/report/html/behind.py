"""What stands behind distances, as the page shows it: curves over the number of images, and nearest pairs as text.

Pictures of the pairs show real photographs: they are not in the page, see `report.real_pictures`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dermae_bench.report.details import Nearest, OverCount, name_of, nearest, over_counts
from dermae_bench.report.escape import visible
from dermae_bench.report.html.chart import Drawn, draw
from dermae_bench.report.html.grid import Entry, Grid, Head, number_entry
from dermae_bench.report.numbers import shown
from dermae_bench.report.records import Boards, Curve


@dataclass(frozen=True, kw_only=True)
class Behind:
    curves: tuple[tuple[Drawn, Grid], ...]
    """A chart of each metric, and its points."""
    pairs: tuple[tuple[str, str, Grid], ...]
    """Row, what to know, its nearest pairs."""


def behind(boards: Boards) -> Behind:
    charts = []
    for metric, curves in over_counts(boards).items():
        series = {
            f"{name_of(c.info)}, at infinity {shown(c.intercept)}, at most N": [(p.n, p.value) for p in c.points]
            for c in curves
        }
        drawn = draw(Curve(title=f"{metric} over the number of images", series=series), over="generated images (N)")
        if drawn is not None:
            charts.append((drawn, _points(metric, curves)))
    return Behind(curves=tuple(charts), pairs=tuple(_pairs(its) for its in nearest(boards) if its.pairs))


def _points(metric: str, curves: tuple[OverCount, ...]) -> Grid:
    heads = [Head(text="row", numeric=False)]
    heads += [Head(text=name, numeric=True) for name in ("N", "subsets", "distance", "sd over subsets", "at infinity")]
    rows = tuple(
        (
            Entry(text=visible(name_of(curve.info)), css="name"), number_entry(point.n, 0),
            number_entry(point.subsets, 0), number_entry(point.value), number_entry(point.sd),
            number_entry(curve.intercept),
        )
        for curve in curves
        for point in curve.points
    )  # fmt: skip
    return Grid(
        title=visible(f"{metric} over the number of images"), heads=tuple(heads), groups=(("measured", "", rows),)
    )


def _pairs(its: Nearest) -> tuple[str, str, Grid]:
    heads = [Head(text=name, numeric=False) for name in ("generated", "nearest training image")]
    heads += [Head(text=name, numeric=True) for name in ("distance", "to nearest held-out image")]
    heads += [Head(text="near copy", numeric=False)]
    rows = tuple(
        (
            Entry(text=visible(pair.generated), css="name"), Entry(text=visible(pair.training), css="name"),
            number_entry(pair.distance), number_entry(pair.held_out_distance),
            Entry(text="near copy" if pair.near else "no", css="failed" if pair.near else "ok"),
        )
        for pair in its.pairs
    )  # fmt: skip
    kind = "" if its.info.kind == "measured" else f" ({its.info.kind})"
    title = visible(f"{name_of(its.info)}{kind}: {its.metric}")
    words = (
        f"A near copy lies nearer than {shown(its.reach)} to a training image. An honest generator has "
        f"{its.expected:.2g} of its images there."
    )
    if its.info.kind == "measured":
        words += (
            " Pictures, with real photographs, are in real-images/ beside this page; that folder is not for others."
        )
    return title, words, Grid(title=title, heads=tuple(heads), groups=(("measured", "", rows),))
