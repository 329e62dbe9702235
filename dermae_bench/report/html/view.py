"""The boards as the page shows them: texts, sort values and geometry, decided here and only placed by the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dermae_bench.report.escape import visible
from dermae_bench.report.html.chart import Drawn, draw
from dermae_bench.report.html.grid import NONE, Entry, Grid, Head, reported_grid, timings_grid
from dermae_bench.report.html.png import data_uri, strip
from dermae_bench.report.leaderboard import (
    COST_HEADERS,
    KINDS,
    SECTION,
    Cell,
    Line,
    MetricColumn,
    Pair,
    Table,
    seeds_text,
    table,
)
from dermae_bench.report.numbers import cost, exact, heading, interval, places_of, shown, spread
from dermae_bench.report.records import Boards, Figure, Kind
from dermae_bench.report.words import about, pair_text, section_title, state, warnings_of

_GROUPS = {"measured": "", "reported": "Published elsewhere, not ranked", "floor": "Floors, not ranked"}
_SAMPLE_SIDE = 64
"""Least side in CSS pixels at which a sample is shown; smaller images are enlarged by whole factors."""


@dataclass(frozen=True, kw_only=True)
class BoardView:
    board: str
    about: tuple[str, ...]
    grids: tuple[Grid, ...]
    identities: tuple[tuple[str, tuple[tuple[str, tuple[tuple[str, str], ...]], ...]], ...]
    """Metric heading -> digest -> flat identity."""
    reported: Grid | None
    """Every published number with its source and what to know of it."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A line of images; sizes in CSS pixels."""

    label: str
    uri: str
    width: int
    height: int
    starts: bool
    """Whether a band begins with it."""


@dataclass(frozen=True, kw_only=True)
class Page:
    title: str
    description: str
    chips: tuple[tuple[str, str], ...]
    boards: tuple[BoardView, ...]
    figures: tuple[tuple[str, str, tuple[Strip, ...]], ...]
    """Title, caption, strips."""
    curves: tuple[Drawn, ...]
    classes: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]], ...]
    """Task, splits, class -> images in each split."""
    timings: Grid | None
    environment: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    """Text, and which cells carry it (empty where it is about the whole suite)."""


def page(boards: Boards) -> Page:
    """Everything the template needs. `boards` must be `published` already."""
    tables = [table(boards, "classifiers").for_readers(), table(boards, "generators").for_readers()]
    views = tuple(_board(boards, leaderboard) for leaderboard in tables if leaderboard.lines)
    warned = warnings_of(boards, tables)
    chips = [("dataset", boards.dataset), ("image size", f"{boards.image_size} px" if boards.image_size else "")]
    chips += [("split", boards.split_rule), ("split digest", boards.split_digest), *boards.facts.items()]
    return Page(
        title=visible(boards.title),
        description=visible(boards.description, 4000),
        chips=tuple((visible(name), visible(text)) for name, text in chips if text),
        boards=views,
        figures=tuple(_figure(figure) for figure in boards.figures if figure.rows),
        curves=tuple(drawn for drawn in map(draw, boards.curves) if drawn is not None),
        classes=tuple(_classes(task, counts) for task, counts in boards.class_counts.items()),
        timings=timings_grid(boards) if boards.timings else None,
        environment=tuple(_flat(boards.environment)),
        warnings=tuple((visible(text, 1000), visible(where)) for text, where in warned),
    )


def _board(boards: Boards, leaderboard: Table) -> BoardView:
    return BoardView(
        board=leaderboard.board,
        about=tuple(visible(text, 1000) for text in about(boards, leaderboard)),
        grids=tuple(_grid(leaderboard, section, lines) for section, lines in leaderboard.sections()),
        identities=tuple(
            (visible(heading(c)), tuple((digest, tuple(_flat(identity))) for digest, identity in c.identities.items()))
            for c in leaderboard.metrics
        ),
        reported=reported_grid(boards, leaderboard),
    )


def _grid(leaderboard: Table, section: str, lines: Sequence[Line]) -> Grid:
    names = [name for name in leaderboard.names if name != SECTION[leaderboard.board]]
    heads = [Head(text="#", numeric=True), *(Head(text=name, numeric=False) for name in names)]
    heads += [Head(text=visible(heading(column)), numeric=True, wide=True) for column in leaderboard.metrics]
    heads += [Head(text=COST_HEADERS.get(name, name), numeric=True) for name in leaderboard.costs]
    heads += [Head(text="seeds", numeric=False), Head(text="status", numeric=False)]
    columns = [(column, *_scale(column, lines)) for column in leaderboard.metrics]
    groups = []
    for kind in KINDS:
        rows = tuple(_row(leaderboard, names, columns, line) for line in lines if line.info.kind == kind)
        if rows:
            groups.append((kind, _GROUPS[kind], rows))
    return Grid(title=visible(section_title(leaderboard.board, section)), heads=tuple(heads), groups=tuple(groups))


Column = tuple[MetricColumn, int | None, float, float, str]


def _scale(column: MetricColumn, lines: Sequence[Line]) -> tuple[int | None, float, float, str]:
    """Decimals, the range its marks are drawn in, and the identity most measured rows of the section share."""
    cells = [line.cells[column.key] for line in lines if line.info.kind == "measured"]
    ends = [
        value
        for cell in cells
        if cell.value is not None
        for value in (cell.value, cell.low, cell.high)
        if value is not None
    ]
    identities = Counter(cell.identity for cell in cells if cell.identity)
    usual = min(identities, key=lambda identity: (-identities[identity], identity), default="")
    places = places_of(line.cells[column.key].value for line in lines)
    return places, min(ends, default=0.0), max(ends, default=0.0), usual


def _row(leaderboard: Table, names: Sequence[str], columns: Sequence[Column], line: Line) -> tuple[Entry, ...]:
    info = line.info
    first = line.cells[leaderboard.metrics[0].key] if leaderboard.metrics else Cell()
    rank = first.rank_text if first.rank is not None else ""
    entries = [Entry(text=rank, sort=str(first.rank or ""), numeric=True, css="rank")]
    for name in names:
        own = tuple(visible(mark, 120) for mark in info.marks) if name == names[0] else ()
        alone = [f"reported {pair.metric} {pair_text(pair)}" for pair in line.reported if not pair.beside]
        small = visible("\n".join(alone)) if name == names[0] else ""
        entries.append(Entry(text=visible(info.names.get(name, "")), marks=own, css="name", small=small))
    for column in columns:
        beside = [pair for pair in line.reported if pair.beside == column[0].key]
        entries.append(_entry(line.cells[column[0].key], *column[1:], info.kind, beside))
    for name in leaderboard.costs:
        value = info.costs.get(name)
        entries.append(Entry(text=cost(name, value), sort="" if value is None else exact(value), numeric=True))
    css = {"ok": "ok", "failed": "failed"}.get(info.status, "waits")
    return (*entries, Entry(text=visible(seeds_text(info)), css="seeds"), Entry(text=visible(state(line)), css=css))


def _entry(
    cell: Cell, places: int | None, low: float, high: float, usual: str, kind: Kind, beside: Sequence[Pair]
) -> Entry:
    published = [_published(pair) for pair in beside]
    sources = [": ".join(filter(None, (pair.source, f"{pair.metric} {pair.value}", pair.note))) for pair in beside]
    if cell.value is None:
        text = visible(cell.reason, 60) if cell.reason else NONE
        title = visible("; ".join(sources), 1000)
        return Entry(text=text, numeric=True, css="none", small="\n".join(published), title=title)
    notes = [f"n = {cell.n}", f"identity {cell.identity}"]
    if cell.reason:
        notes.append(cell.reason)
    notes += cell.warnings
    other = f"identity {cell.identity}" if usual and cell.identity != usual and kind != "reported" else ""
    unlike = cell.reason or other
    numbers = " ".join(filter(None, (interval(cell, places), spread(cell, places))))
    small = "\n".join(filter(None, (numbers, unlike, *published)))
    notes += sources
    css = "best" if cell.rank == 1 else "unlike" if cell.reason else ""
    return Entry(
        text=shown(cell.value, places), sort=repr(cell.value), numeric=True, small=small,
        rank=cell.rank_text if cell.rank is not None else "", css=css, title=visible("; ".join(notes), 1000),
        bar=_bar(cell, low, high), marks=("⚠",) if cell.warnings else (),
    )  # fmt: skip


def _published(pair: Pair) -> str:
    """As it stands in the column it is compared with; what else the publication calls it goes on a line of its own."""
    other = "" if pair.metric == pair.beside else f"\n{pair.metric}"
    return f"reported {pair_text(replace(pair, metric=pair.beside))}{other}"


def _bar(cell: Cell, low: float, high: float) -> str:
    """Where value and interval lie in [low, high]; empty where they lie outside, as floors may."""
    value = cell.value
    if value is None or not low < high or not low <= value <= high:
        return ""

    def percent(number: float) -> str:
        return f"{min(100.0, max(0.0, 100 * (number - low) / (high - low))):.1f}%"

    if cell.low is None or cell.high is None:
        return f"--v:{percent(value)};--a:{percent(value)};--b:{percent(value)}"
    return f"--v:{percent(value)};--a:{percent(cell.low)};--b:{percent(cell.high)}"


def _figure(figure: Figure) -> tuple[str, str, tuple[Strip, ...]]:
    strips = []
    for number, (label, images) in enumerate(figure.rows):
        joined, side = strip(images)
        factor = max(1, -(-_SAMPLE_SIDE // side))
        starts = bool(figure.bands and number and figure.bands[number] != figure.bands[number - 1])
        size = {"width": joined.shape[1] * factor, "height": side * factor}
        strips.append(Strip(label=visible(label), uri=data_uri(joined), starts=starts, **size))
    return visible(figure.title), visible(figure.caption, 4000), tuple(strips)


def _classes(
    task: str, counts: Mapping[str, Mapping[str, int]]
) -> tuple[str, tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]]:
    splits = tuple(dict.fromkeys(split for by_split in counts.values() for split in by_split))
    rows = tuple((visible(name), tuple(by.get(split, 0) for split in splits)) for name, by in counts.items())
    return visible(task), tuple(map(visible, splits)), rows


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted name, text), sorted as given."""
    if isinstance(value, Mapping) and value:
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            return [pair for index, item in enumerate(value) for pair in _flat(item, f"{name}.{index}")]
        return [(visible(name), visible(", ".join(map(str, value))))]
    if isinstance(value, Mapping) and not name:
        return []
    return [(visible(name), visible(NONE if value is None or value == {} else str(value), 1000))]
