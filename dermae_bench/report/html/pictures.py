"""Charts as the page shows them: a picture, what is said about it, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dermae_bench.report.charts import Picture
from dermae_bench.report.escape import visible
from dermae_bench.report.feature_figures import feature_figures
from dermae_bench.report.html.grid import Entry, Grid, Head
from dermae_bench.report.records import Boards
from dermae_bench.report.sweep_figures import sweep_figures


@dataclass(frozen=True, kw_only=True)
class Shown:
    picture: Picture
    table: Grid


def charts_of(boards: Boards) -> tuple[Picture, ...]:
    """Every chart that is also a file. `boards` must be `published` already."""
    return (*sweep_figures(boards), *feature_figures(boards))


def shown(picture: Picture) -> Shown:
    """A picture and its table; texts without control characters."""
    lines = picture.table
    heads = tuple(Head(text=visible(text), numeric=n) for text, n in zip(lines.heads, lines.numeric, strict=True))
    rows = tuple(
        tuple(
            Entry(
                text=visible(text, 1000),
                sort=_number(text) if numeric else "",
                numeric=numeric,
                css="" if k else "name",
            )
            for k, (text, numeric) in enumerate(zip(row, lines.numeric, strict=True))
        )
        for row in lines.rows
    )
    title = visible(picture.title)
    said = replace(picture, title=title, caption=visible(picture.caption, 4000), alt=visible(picture.alt, 1000))
    return Shown(picture=said, table=Grid(title=title, heads=heads, groups=(("measured", "", rows),)))


def _number(text: str) -> str:
    """What a cell is sorted by: its number, if it begins with one."""
    first = text.replace(",", "").partition(" ")[0].lstrip("[")
    try:
        float(first)
    except ValueError:
        return ""
    return first
