"""Leaderboards as the page shows them: texts, sort values and marks of every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dermae_bench.report.escape import visible
from dermae_bench.report.footnotes import MISSING, UNBEATEN, legend, plain_reason, told_below
from dermae_bench.report.html.classes import RowClasses, row_classes
from dermae_bench.report.html.flat import flat
from dermae_bench.report.html.grid import NONE, Entry, Grid, Head, reported_grid
from dermae_bench.report.leaderboard import (
    COST_HEADERS,
    KINDS,
    Cell,
    Line,
    MetricColumn,
    Pair,
    Table,
    name_columns,
    name_text,
    seeds_text,
)
from dermae_bench.report.numbers import cost, exact, heading, interval, places_of, shown, spread, standard_error
from dermae_bench.report.records import Boards, Kind
from dermae_bench.report.words import (
    about,
    apart_notes,
    apart_reasons,
    columns_of,
    pair_text,
    place_text,
    section_title,
    state,
    without_number,
)

_GROUPS = {"measured": "", "reported": "Published elsewhere, not ranked", "floor": "Floors, not ranked"}
_APART = "Apart from the ranking: unlike its rows, ranked among their like alone"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One ranking of a board."""

    grid: Grid
    classes: tuple[RowClasses, ...]


@dataclass(frozen=True, kw_only=True)
class BoardView:
    board: str
    about: tuple[str, ...]
    sections: tuple[Section, ...]
    identities: tuple[tuple[str, tuple[tuple[str, tuple[tuple[str, str], ...]], ...]], ...]
    """Metric heading -> digest -> flat identity."""
    reported: Grid | None
    """Every published number with its source and what to know of it."""


def board_view(boards: Boards, leaderboard: Table) -> BoardView:
    """One leaderboard. `boards` must be `published` already."""
    return BoardView(
        board=leaderboard.board,
        about=tuple(visible(text, 1000) for text in about(boards, leaderboard)),
        sections=tuple(
            Section(grid=_grid(leaderboard, section, lines), classes=row_classes(lines))
            for section, lines in leaderboard.sections()
        ),
        identities=tuple(
            (visible(heading(c)), tuple((digest, tuple(flat(identity))) for digest, identity in c.identities.items()))
            for c in leaderboard.metrics
        ),
        reported=reported_grid(boards, leaderboard),
    )


def _grid(leaderboard: Table, section: str, lines: Sequence[Line]) -> Grid:
    names = name_columns(leaderboard, lines)
    metrics, letters = columns_of(leaderboard, lines), apart_reasons(lines)
    heads = [Head(text="#", numeric=True), *(Head(text=name, numeric=False) for name in names)]
    heads += [Head(text=visible(heading(column)), numeric=True) for column in metrics]
    heads += [Head(text=COST_HEADERS.get(name, name), numeric=True) for name in leaderboard.costs]
    heads += [Head(text="seeds", numeric=False), Head(text="status", numeric=False)]
    ranked = [line for line in lines if (first := _first(leaderboard, line)).rank is not None and not first.apart]
    columns = [(column, *_scale(column, lines, ranked)) for column in metrics]
    groups = []
    for kind in KINDS:
        for apart in (False, True):
            its = [line for line in lines if line.info.kind == kind and bool(_first(leaderboard, line).apart) == apart]
            rows = tuple(_row(leaderboard, names, columns, line, letters) for line in its)
            if rows:
                groups.append(("apart", _APART, rows) if apart else (kind, _GROUPS[kind], rows))
    return Grid(
        title=visible(section_title(leaderboard.board, section)),
        heads=tuple(heads),
        groups=tuple(groups),
        notes=(
            *((letter, f"apart from the ranking: {visible(why, 1000)}") for letter, why in apart_notes(lines)),
            *((sign, visible(text, 2000)) for sign, text in legend(leaderboard, lines, metrics)),
        ),
        sticky=1,
    )


def _first(leaderboard: Table, line: Line) -> Cell:
    """The cell that ranks the row."""
    return line.cells[leaderboard.metrics[0].key] if leaderboard.metrics else Cell()


Column = tuple[MetricColumn, int | None, float, float, str]


def _scale(column: MetricColumn, lines: Sequence[Line], ranked: Sequence[Line]) -> tuple[int | None, float, float, str]:
    """Decimals, the range its marks are drawn in, and the identity that others are measured otherwise than.

    This is the one of the rows in the section's ranking, however many others there are; most measured rows' own where
    none of those has a number.
    """
    cells = [line.cells[column.key] for line in lines if line.info.kind == "measured"]
    ends = [
        value
        for cell in cells
        if cell.value is not None
        for value in (cell.value, cell.low, cell.high)
        if value is not None
    ]
    leading = [line.cells[column.key] for line in ranked]
    leading = [cell for cell in leading if cell.value is not None and not cell.apart]
    identities = Counter(cell.identity for cell in leading or cells if cell.identity and not cell.apart)
    usual = min(identities, key=lambda identity: (-identities[identity], identity), default="")
    places = places_of(line.cells[column.key].value for line in lines)
    return places, min(ends, default=0.0), max(ends, default=0.0), usual


def _row(
    leaderboard: Table, names: Sequence[str], columns: Sequence[Column], line: Line, letters: Mapping[str, str]
) -> tuple[Entry, ...]:
    info = line.info
    first = _first(leaderboard, line)
    title = visible(plain_reason(first.apart), 1000)
    entries = [
        Entry(text=place_text(first, letters), sort=str(first.rank or ""), numeric=True, css="rank", title=title)
    ]
    for name in names:
        own = tuple(visible(mark, 120) for mark in info.marks) if name == names[0] else ()
        alone = [f"reported {pair.metric} {pair_text(pair)}" for pair in line.reported if not pair.beside]
        small = visible("\n".join(alone)) if name == names[0] else ""
        entries.append(Entry(text=visible(name_text(info, name)), marks=own, css="name", small=small))
    for column in columns:
        beside = [pair for pair in line.reported if pair.beside == column[0].key]
        entries.append(_entry(line.cells[column[0].key], *column[1:], info.kind, beside, letters))
    for name in leaderboard.costs:
        value = info.costs.get(name)
        entries.append(Entry(text=cost(name, value), sort="" if value is None else exact(value), numeric=True))
    css = "failed" if without_number(line) else {"ok": "ok", "failed": "failed"}.get(info.status, "waits")
    return (*entries, Entry(text=visible(seeds_text(info)), css="seeds"), Entry(text=visible(state(line)), css=css))


def _entry(
    cell: Cell,
    places: int | None,
    low: float,
    high: float,
    usual: str,
    kind: Kind,
    beside: Sequence[Pair],
    letters: Mapping[str, str],
) -> Entry:
    published = [_published(pair) for pair in beside]
    sources = [": ".join(filter(None, (pair.source, f"{pair.metric} {pair.value}", pair.note))) for pair in beside]
    if cell.value is None:
        own = told_below(cell)
        text = MISSING if own else cell.reason or NONE
        title = visible("; ".join([*([plain_reason(cell.reason)] if own else []), *sources]), 1000)
        return Entry(text=text, numeric=True, css="none", small="\n".join(published), title=title)
    notes = [plain_reason(cell.apart or cell.reason), f"n = {cell.n}", f"identity {cell.identity}"]
    notes += [f"not better than {cell.floor}" if cell.floor else "", *cell.warnings, *sources]
    # only where nothing is ranked: else such a number stands apart, with its reason; floors are never ranked
    other = f"measured otherwise: identity {cell.identity}" if usual and cell.identity != usual else ""
    other = other if kind == "measured" else ""
    unlike = f"apart: {letters[cell.apart]}" if cell.apart else cell.reason or other
    numbers = [interval(cell, places), standard_error(cell, places), spread(cell, places)]
    css = "unlike" if cell.apart or cell.reason else "best" if cell.rank == 1 and not cell.floor else ""
    return Entry(
        text=shown(cell.value, places), sort=repr(cell.value), numeric=True,
        small="\n".join(filter(None, (*numbers, unlike, *published))),
        rank=cell.rank_text if cell.rank is not None else "", css=css,
        title=visible("; ".join(filter(None, notes)), 1000),
        bar=_bar(cell, low, high), marks=(*((UNBEATEN,) if cell.floor else ()), *(("⚠",) if cell.warnings else ())),
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
