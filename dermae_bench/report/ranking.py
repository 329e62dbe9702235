"""Records of one metric become cells: means over seeds, ranked only against their like. No torch in here.

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

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.report.records import Board, Record, RowInfo

SECTION: Mapping[Board, str] = {"classifiers": "task", "generators": "against"}
"""The name that divides a board: rows on its two sides answer different questions."""
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
    published: bool = False
    """Whether publications alone have it."""


def section_of(row: RowInfo | Record) -> str:
    return row.names.get(SECTION[row.board], "")


def comparable(record: Record) -> dict[str, Any]:
    """All that must be equal before two values of one metric may be ranked."""
    own = {"identity": record.identity, "n": record.n, "unit": record.unit, "better": record.better}
    return {**own, SECTION[record.board]: section_of(record)}


def column_of(
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
    column = MetricColumn(
        key=metric, unit=head.unit, better=head.better, identities=dict(sorted(identities.items())),
        published=all(records[0].kind == "reported" for records in every),
    )  # fmt: skip
    return column, cells


def _cell(records: Sequence[Record], info: RowInfo, identity: str) -> Cell:
    records = sorted(records, key=lambda record: sorted(record.seeds.items()))
    warnings = tuple(dict.fromkeys(text for record in records for text in record.warnings))
    values = [record.value for record in records if record.value is not None]
    expected = max(len(info.seeds), len(records))
    cell = Cell(n=records[0].n, identity=identity, warnings=warnings)
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
