"""Records become leaderboards: a row each, cells averaged over seeds and ranked, published numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dermae_bench.report.beside import Pair, paired
from dermae_bench.report.floors import tell_unbeaten
from dermae_bench.report.marks import with_marks
from dermae_bench.report.ranking import (
    OTHER_IDENTITY,
    SECTION,
    TEST,
    Cell,
    MetricColumn,
    column_of,
    own_name,
    section_of,
)
from dermae_bench.report.records import Board, Boards, Curve, Figure, Kind, Record, Reported, RowInfo, Timing

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OTHER_IDENTITY",
    "SECTION",
    "Board",
    "Boards",
    "Cell",
    "Curve",
    "Figure",
    "Kind",
    "Line",
    "MetricColumn",
    "Pair",
    "Record",
    "Reported",
    "RowInfo",
    "Table",
    "Timing",
    "cells_of",
    "frame",
    "section_of",
    "seeds_text",
    "table",
]  # fmt: skip

Value = str | int | float | None

NAMES: Mapping[Board, tuple[str, ...]] = {
    "classifiers": ("classifier", "train", "task"),
    "generators": ("generator", "sampling", "against"),
}
"""What names a row of a board; further names of its rows follow in alphabetical order."""
KINDS: tuple[Kind, ...] = ("measured", "reported", "floor")
COSTS = ("gmacs", "parameters", "network-calls")


STARTED = "started from"
FACTS: Mapping[str, Callable[[RowInfo], str]] = {
    "protocol": lambda info: info.protocol, STARTED: lambda info: info.started_from,
}  # fmt: skip
"""Column -> what a row says of how it was made."""
USUAL = {"protocol": "trained", STARTED: "scratch"}
"""What goes without saying: readers see a column of `FACTS` where any row says something else."""


def name_columns(table: Table, lines: Sequence[Line]) -> list[str]:
    """What names the rows of a section, and what they differ in by the way they were made."""
    divides = (SECTION[table.board], TEST)
    named = [name for name in table.names if name not in divides and any(line.info.names.get(name) for line in lines)]
    first = [name for name in NAMES[table.board] if name not in divides]
    facts = [name for name, of in FACTS.items() if any(of(line.info) not in ("", USUAL[name]) for line in lines)]
    return [*first, *(name for name in named if name not in first), *facts]


def name_text(info: RowInfo, column: str) -> str:
    """What a row says in a column of `name_columns`."""
    return FACTS[column](info) if column in FACTS else info.names.get(column, "")


@dataclass(frozen=True, kw_only=True)
class Line:
    info: RowInfo
    cells: Mapping[str, Cell]
    """Metric key -> cell, for every metric of the table."""
    reported: tuple[Pair, ...] = ()
    """Published numbers to show beside a measured row."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A leaderboard in its final order, before it is written in any format."""

    board: Board
    names: tuple[str, ...]
    metrics: tuple[MetricColumn, ...]
    costs: tuple[str, ...]
    lines: tuple[Line, ...]
    partners: frozenset[str] = frozenset()
    """Reported rows whose numbers stand beside a measured one."""

    @property
    def paired(self) -> tuple[str, ...]:
        """Published metrics that stand beside measured rows, in the order of the reference file."""
        return tuple(dict.fromkeys(pair.metric for line in self.lines for pair in line.reported))

    def for_readers(self) -> Table:
        """The table without what would be read twice: reported rows that stand beside a measured one."""
        lines = tuple(line for line in self.lines if line.info.row not in self.partners)
        kept = [
            column
            for column in self.metrics
            if not column.published or any(line.cells[column.key].value is not None for line in lines)
        ]
        return replace(self, lines=lines, metrics=tuple(kept))

    def sections(self) -> Iterator[tuple[str, tuple[Line, ...]]]:
        """Lines by task (classifiers) or by the set measured against (generators), in order."""
        by_section: dict[str, list[Line]] = {}
        for line in self.lines:
            by_section.setdefault(section_of(line.info), []).append(line)
        for name, lines in by_section.items():
            yield name, tuple(lines)


def table(boards: Boards, board: Board) -> Table:
    """The leaderboard of one board: cells averaged over seeds, ranked, in a fixed order.

    Raises:
        ValueError: when a record has no row, or two records are the same row, metric and seeds.
    """
    rows = with_marks(info for info in boards.rows if info.board == board)
    grouped: dict[str, dict[str, list[Record]]] = {}
    # columns keep the order of their first record; the first one orders the rows, so it must not be a published one
    for record in sorted(boards.records, key=lambda record: record.kind == "reported"):
        if record.board != board:
            continue
        if record.row not in rows:
            raise ValueError(f"a record of {record.metric} names row {record.row!r}, which {board} do not have")
        siblings = grouped.setdefault(record.metric, {}).setdefault(record.row, [])
        if any(record.seeds == other.seeds for other in siblings):
            raise ValueError(f"two records of {record.metric} for row {record.row!r} with seeds {dict(record.seeds)}")
        siblings.append(record)
    columns, cells = [], {}
    for metric, by_row in grouped.items():
        column, found = column_of(metric, by_row, rows, boards.uncertainty, frozenset(map(own_name, grouped)))
        tell_unbeaten(column, found, rows)
        columns.append(column)
        cells[metric] = found
    pairs, partners = paired(
        boards.reported, list(rows.values()), [column.key for column in columns if not column.published],
        lambda row, metric: cells[metric].get(row, Cell()).value,
    )  # fmt: skip
    lines = [
        Line(
            info=info,
            cells={column.key: cells[column.key].get(row, _absent(info, column)) for column in columns},
            reported=pairs.get(row, ()),
        )
        for row, info in rows.items()
    ]
    present = {cost for info in rows.values() for cost in info.costs}
    extra = {name for info in rows.values() for name in info.names} - set(NAMES[board])
    return Table(
        board=board,
        names=(*NAMES[board], *sorted(extra)),
        metrics=tuple(columns),
        costs=(*(cost for cost in COSTS if cost in present), *sorted(present - set(COSTS))),
        lines=_ordered(lines, columns[0] if columns else None),
        partners=partners,
    )


def frame(leaderboard: Table) -> pd.DataFrame:
    """The same table as a DataFrame: the columns of the CSV file, numbers as numbers, None where there is none."""
    import pandas as pd

    header, *body = cells_of(leaderboard)
    return pd.DataFrame(body, columns=pd.Index(header))


def cells_of(leaderboard: Table) -> Iterator[list[Value]]:
    """Header and rows of the wide form: names, marks, the metrics with all that belongs to them, costs, status."""
    parts = ("", " low", " high", " error", " sd", " n", " rank", " apart", " identity")
    published = ("reported", "beside", "difference")
    # boards from before there were such facts have no column of them
    facts = FACTS if any(of(line.info) for line in leaderboard.lines for of in FACTS.values()) else {}
    yield [
        *leaderboard.names, "kind", *facts, "marks",
        *(column.key + part for column in leaderboard.metrics for part in parts),
        *(f"{part}:{metric}" for metric in leaderboard.paired for part in published),
        *(COST_HEADERS.get(cost, cost) for cost in leaderboard.costs),
        "seeds", "status", "reason",
    ]  # fmt: skip
    for line in leaderboard.lines:
        info, values = line.info, list[Value]()
        for column in leaderboard.metrics:
            cell = line.cells[column.key]
            values += [cell.value, cell.low, cell.high, cell.error, cell.sd, cell.n]
            values += [cell.rank_text, cell.apart, cell.identity]
        found = {pair.metric: pair for pair in line.reported}
        for metric in leaderboard.paired:
            pair = found.get(metric)
            values += [pair.value, pair.beside, pair.difference] if pair else [None, "", None]
        yield [
            *(info.names.get(name, "") for name in leaderboard.names), info.kind,
            *(of(info) for of in facts.values()), "; ".join(info.marks),
            *values,
            *(info.costs.get(cost) for cost in leaderboard.costs),
            seeds_text(info), info.status, info.reason or "",
        ]  # fmt: skip


COST_HEADERS = {"gmacs": "GMACs"}


def seeds_text(info: RowInfo) -> str:
    """Seeds by role, e.g. ``classifier 0,1,2; generator 0``."""
    roles: dict[str, set[int]] = {}
    for seeds in info.seeds:
        for role, seed in seeds.items():
            roles.setdefault(role, set()).add(seed)
    return "; ".join(f"{role} {','.join(map(str, sorted(found)))}" for role, found in sorted(roles.items()))


def _absent(info: RowInfo, column: MetricColumn) -> Cell:
    return Cell() if info.status == "ok" or column.published else Cell(reason=info.status)


def _ordered(lines: Sequence[Line], first: MetricColumn | None) -> tuple[Line, ...]:
    """Section, kind (floors last), what stands apart below, larger identity groups first, rank, value, names."""
    sizes: dict[str, int] = {}
    for line in lines if first else ():
        assert first is not None
        cell = line.cells[first.key]
        if cell.rank is not None:
            sizes[cell.identity] = sizes.get(cell.identity, 0) + 1
    sign = -1.0 if first is not None and first.better == "higher" else 1.0

    def place(line: Line) -> tuple[Any, ...]:
        info = line.info
        cell = line.cells[first.key] if first else Cell()
        ranked = cell.rank is not None
        group = (-sizes.get(cell.identity, 0), cell.identity) if ranked else (0, "")
        value = math.inf if cell.value is None else sign * cell.value
        return (
            section_of(info), KINDS.index(info.kind), bool(cell.apart), not ranked, group, cell.rank or 0, value,
            [info.names.get(name, "") for name in NAMES[info.board]], info.row,
        )  # fmt: skip

    return tuple(sorted(lines, key=place))
