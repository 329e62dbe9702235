"""Sortable tables of the page, and the two that are no leaderboard: timings and published numbers."""

from __future__ import annotations

from dataclasses import dataclass

from dermae_bench.report.escape import visible
from dermae_bench.report.leaderboard import NAMES, Table
from dermae_bench.report.numbers import exact, shown
from dermae_bench.report.records import Boards

NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Head:
    text: str
    numeric: bool


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell: what is read, and what it is sorted by."""

    text: str
    sort: str = ""
    """Number as text; empty sorts last. Ignored in text columns."""
    numeric: bool = False
    small: str = ""
    rank: str = ""
    css: str = ""
    title: str = ""
    bar: str = ""
    """Style of the interval's mark: custom properties in per cent of the column's range."""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A sortable table; rows move only within their group."""

    title: str
    heads: tuple[Head, ...]
    groups: tuple[tuple[str, str, tuple[tuple[Entry, ...], ...]], ...]
    """Kind, heading (empty for the first), rows."""
    notes: tuple[tuple[str, str], ...] = ()
    """(letter, what it stands for), told under the table."""
    sticky: int | None = 0
    """Column that stays in sight while the others scroll."""


def reported_grid(boards: Boards, leaderboard: Table) -> Grid | None:
    items = [item for item in boards.reported if item.board == leaderboard.board]
    texts = (*NAMES[leaderboard.board], "metric")
    heads = [Head(text=name, numeric=False) for name in texts] + [Head(text="value", numeric=True)]
    heads += [Head(text=name, numeric=name == "n") for name in ("beside", "n", "source", "note")]
    rows = tuple(
        (
            *(Entry(text=visible(item.names.get(name, ""))) for name in NAMES[leaderboard.board]),
            Entry(text=visible(item.metric)),
            Entry(text=shown(item.value, 4), sort=exact(item.value), numeric=True),
            Entry(text=visible(item.beside)),
            Entry(text="" if item.n is None else str(item.n), sort="" if item.n is None else str(item.n), numeric=True),
            Entry(text=visible(item.source), css="name"),
            Entry(text=visible(item.note, 1000), css="name"),
        )
        for item in items
    )
    title = f"Published numbers, {leaderboard.board}"
    return Grid(title=title, heads=tuple(heads), groups=(("reported", "", rows),)) if rows else None


def contamination_grid(boards: Boards) -> Grid:
    head, *lines = boards.contamination
    heads = tuple(Head(text=visible(name), numeric=False) for name in head)
    rows = tuple(tuple(Entry(text=visible(text, 1000), css="name") for text in line) for line in lines)
    return Grid(title="Contamination", heads=heads, groups=(("measured", "", rows),), sticky=1)


def timings_grid(boards: Boards) -> Grid:
    heads = (
        Head(text="kind", numeric=False), Head(text="name", numeric=False), Head(text="seconds", numeric=True),
        Head(text="images", numeric=True), Head(text="seconds/image", numeric=True),
        Head(text="network calls/image", numeric=True), Head(text="images/s", numeric=True),
        Head(text="max RSS (MB)", numeric=True), Head(text="hardware", numeric=False),
        Head(text="status", numeric=False), Head(text="stage key", numeric=False),
    )  # fmt: skip
    rows = tuple(
        (
            Entry(text=visible(item.kind)), Entry(text=visible(item.name), css="name"), number_entry(item.seconds, 1),
            number_entry(item.images, 0), number_entry(item.seconds_per_image), number_entry(item.network_calls, 0),
            number_entry(item.images_per_second), number_entry(item.max_rss_mb, 0), Entry(text=visible(item.hardware)),
            Entry(text=visible(item.status)), Entry(text=visible(item.key, 13), css="code"),
        )
        for item in boards.timings
    )  # fmt: skip
    return Grid(title="Timings", heads=heads, groups=(("measured", "", rows),), sticky=1)


def number_entry(value: float | None, places: int | None = None) -> Entry:
    if value is None:
        return Entry(text=NONE, numeric=True, css="none")
    return Entry(text=shown(value, places), sort=exact(value), numeric=True)
