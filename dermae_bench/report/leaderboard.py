"""Records become leaderboards: what was measured, over seeds, ranked only against its like. No torch in here.

Rules, in the order they apply to one cell (one row, one metric):

1. Records of one row and one metric are seeds of the same thing; the value is their mean, `sd` their spread (n - 1),
   `low` and `high` the means of their intervals' ends (the same images are resampled for every seed).
2. A seed that failed takes the number away: a mean over survivors flatters. A seed that is pending leaves
   the mean over what is there, without a rank.
3. Only measured rows are ranked, and only against rows of equal task (or set measured against), n, unit, direction
   and identity.
4. Every row whose interval overlaps that of the best shares rank `1=`; elsewhere only equal values share a rank.
   Overlap is a cautious reading, not a test.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dermae_bench.durable import digest_of
from dermae_bench.report.records import Board, Boards, Curve, Figure, Kind, Record, RowInfo, Timing

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Board", "Boards", "Cell", "Curve", "Figure", "Kind", "Line", "MetricColumn", "Record", "RowInfo", "Table",
    "Timing", "cells_of", "frame", "seeds_text", "table",
]  # fmt: skip

Value = str | int | float | None

NAMES: Mapping[Board, tuple[str, ...]] = {
    "classifiers": ("classifier", "train", "task"),
    "generators": ("generator", "sampling", "against"),
}
"""What names a row of a board; further names of its rows follow in alphabetical order."""
SECTION: Mapping[Board, str] = {"classifiers": "task", "generators": "against"}
"""The name that divides a board: rows on its two sides answer different questions."""
KINDS: tuple[Kind, ...] = ("measured", "reported", "floor")
COSTS = ("gmacs", "parameters", "network-calls")
OTHER_IDENTITY = "n/a (other identity)"


@dataclass(kw_only=True)
class Cell:
    """What a row says about a metric."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    n: int | None = None
    """None where a publication does not tell it."""
    rank: int | None = None
    tied: bool = False
    reason: str = ""
    """Why there is no number, or no rank."""
    identity: str = ""
    """First 8 hex digits of the digest of what must be equal; see `MetricColumn.identities`."""
    warnings: tuple[str, ...] = ()

    @property
    def rank_text(self) -> str:
        return self.reason if self.rank is None else f"{self.rank}{'=' if self.tied else ''}"


@dataclass(frozen=True, kw_only=True)
class MetricColumn:
    """One metric of a board, and what its cells' identities stand for."""

    key: str
    unit: str
    better: str
    identities: Mapping[str, Mapping[str, Any]]
    """8 hex digits -> the whole identity with n, unit, direction and the section it was measured in."""


@dataclass(frozen=True, kw_only=True)
class Line:
    info: RowInfo
    cells: Mapping[str, Cell]
    """Metric key -> cell, for every metric of the table."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A leaderboard in its final order, before it is written in any format."""

    board: Board
    names: tuple[str, ...]
    metrics: tuple[MetricColumn, ...]
    costs: tuple[str, ...]
    lines: tuple[Line, ...]

    def sections(self) -> Iterator[tuple[str, tuple[Line, ...]]]:
        """Lines by task (classifiers) or by the set measured against (generators), in order."""
        by_section: dict[str, list[Line]] = {}
        for line in self.lines:
            by_section.setdefault(section_of(line.info), []).append(line)
        for name, lines in by_section.items():
            yield name, tuple(lines)


def section_of(row: RowInfo | Record) -> str:
    return row.names.get(SECTION[row.board], "")


def table(boards: Boards, board: Board) -> Table:
    """The leaderboard of one board: cells averaged over seeds, ranked, in a fixed order.

    Raises:
        ValueError: when a record has no row, or two records are the same row, metric and seeds.
    """
    rows = {info.row: info for info in boards.rows if info.board == board}
    grouped: dict[str, dict[str, list[Record]]] = {}
    for record in boards.records:
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
        column, found = _column(metric, by_row, rows)
        columns.append(column)
        cells[metric] = found
    lines = [
        Line(info=info, cells={metric: cells[metric].get(row, _absent(info)) for metric in grouped})
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
    )


def frame(leaderboard: Table) -> pd.DataFrame:
    """The same table as a DataFrame: the columns of the CSV file, numbers as numbers, None where there is none."""
    import pandas as pd

    header, *body = cells_of(leaderboard)
    return pd.DataFrame(body, columns=pd.Index(header))


def cells_of(leaderboard: Table) -> Iterator[list[Value]]:
    """Header and rows of the wide form: names, marks, the metrics with all that belongs to them, costs, status."""
    parts = ("", " low", " high", " sd", " n", " rank", " identity")
    yield [
        *leaderboard.names, "kind", "marks",
        *(column.key + part for column in leaderboard.metrics for part in parts),
        *(COST_HEADERS.get(cost, cost) for cost in leaderboard.costs),
        "seeds", "status", "reason",
    ]  # fmt: skip
    for line in leaderboard.lines:
        info, values = line.info, list[Value]()
        for column in leaderboard.metrics:
            cell = line.cells[column.key]
            values += [cell.value, cell.low, cell.high, cell.sd, cell.n, cell.rank_text, cell.identity]
        yield [
            *(info.names.get(name, "") for name in leaderboard.names), info.kind, " ".join(info.marks),
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


def comparable(record: Record) -> dict[str, Any]:
    """All that must be equal before two values of one metric may be ranked."""
    own = {"identity": record.identity, "n": record.n, "unit": record.unit, "better": record.better}
    return {**own, SECTION[record.board]: section_of(record)}


def _column(
    metric: str, by_row: Mapping[str, Sequence[Record]], rows: Mapping[str, RowInfo]
) -> tuple[MetricColumn, dict[str, Cell]]:
    identities: dict[str, dict[str, Any]] = {}
    cells: dict[str, Cell] = {}
    every = list(by_row.values())
    head = next((r for records in every for r in records if r.kind == "measured"), every[0][0])
    for row, records in by_row.items():
        digests = []
        for record in records:
            meaning = comparable(record)
            digest = digest_of(meaning)[:8]
            identities.setdefault(digest, meaning)
            digests.append(digest)
        reported = records[0].kind == "reported"
        same = reported or (records[0].unit, records[0].better) == (head.unit, head.better)
        same = same and len(set(digests)) == 1
        cells[row] = _cell(records, rows[row], digests[0]) if same else Cell(reason=OTHER_IDENTITY)
    _rank(cells, rows, head.better)
    column = MetricColumn(key=metric, unit=head.unit, better=head.better, identities=dict(sorted(identities.items())))
    return column, cells


def _cell(records: Sequence[Record], info: RowInfo, identity: str) -> Cell:
    records = sorted(records, key=lambda record: sorted(record.seeds.items()))
    warnings = tuple(dict.fromkeys(text for record in records for text in record.warnings))
    values = [record.value for record in records if record.value is not None]
    expected = max(len(info.seeds), len(records))
    cell = Cell(n=records[0].n or None, identity=identity, warnings=warnings)
    broken = next((record.status for record in records if record.status.startswith("failed")), None)
    if broken is None and len(values) < expected and info.status == "failed":
        broken = "failed"
    if broken is not None or not values:
        cell.reason = broken or "pending"
        return cell
    if len(values) < expected:
        cell.reason = f"n/a ({len(values)} of {expected} seeds)"
    cell.value = statistics.fmean(values)
    lows = [record.low for record in records if record.low is not None]
    highs = [record.high for record in records if record.high is not None]
    if len(lows) == len(highs) == len(values):
        cell.low, cell.high = statistics.fmean(lows), statistics.fmean(highs)
    if len(values) > 1:
        cell.sd = statistics.stdev(values)
    return cell


def _absent(info: RowInfo) -> Cell:
    return Cell() if info.status == "ok" else Cell(reason=info.status)


def _rank(cells: Mapping[str, Cell], rows: Mapping[str, RowInfo], better: str) -> None:
    """Fill in ranks, group by group of equal identity."""
    if better not in ("higher", "lower"):
        return
    sign = -1.0 if better == "higher" else 1.0
    groups: dict[str, list[Cell]] = {}
    sections: dict[str, set[str]] = {}
    for row, cell in cells.items():
        if rows[row].kind == "measured" and cell.value is not None and not cell.reason:
            groups.setdefault(cell.identity, []).append(cell)
            sections.setdefault(section_of(rows[row]), set()).add(cell.identity)
    crowded = {identity for found in sections.values() if len(found) > 1 for identity in found}
    for identity, group in groups.items():
        if len(group) == 1 and identity in crowded:
            group[0].reason = OTHER_IDENTITY
            continue
        group.sort(key=lambda cell: sign * (cell.value or 0.0))
        best = group[0]
        for place, cell in enumerate(group, start=1):
            before = group[place - 2] if place > 1 else None
            if _overlap(cell, best):
                cell.rank = 1
            else:
                cell.rank = before.rank if before is not None and before.value == cell.value else place
        for cell in group:
            cell.tied = sum(other.rank == cell.rank for other in group) > 1


def _overlap(cell: Cell, best: Cell) -> bool:
    if cell.value == best.value:
        return True
    if cell.low is None or cell.high is None or best.low is None or best.high is None:
        return False
    return cell.low <= best.high and best.low <= cell.high


def _ordered(lines: Sequence[Line], first: MetricColumn | None) -> tuple[Line, ...]:
    """Section, kind (floors last), larger identity groups first, rank, value, names."""
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
            section_of(info), KINDS.index(info.kind), not ranked, group, cell.rank or 0, value,
            [info.names.get(name, "") for name in NAMES[info.board]], info.row,
        )  # fmt: skip

    return tuple(sorted(lines, key=place))
