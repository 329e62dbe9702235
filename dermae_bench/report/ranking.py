"""Records of one metric become cells: means over seeds, ranked only against their like. No torch in here.

Rules, in the order they apply to one cell (one row, one metric):

1. Records of one row and one metric are seeds of the same thing; the value is their mean, `sd` their spread (n - 1):
   what another training would give. `low`, `high` and `error` are of that mean, on other test sets: the same lesions
   are drawn for every seed, so seed and test set are told apart.
2. A seed that failed takes the number away: a mean over survivors flatters. A seed that is pending leaves
   the mean over what is there, without a rank.
3. Only measured rows are ranked, and only against rows of equal task (or set measured against), n, unit, direction
   and identity.
4. A row shares rank `1=` with the best where the 95 % interval of their paired difference holds 0; rows without
   replicates where their intervals overlap. Elsewhere only equal values share a rank. `compare` tests any two rows.
   Draws without a number (they lost a class) are left out of it; where most have none, the row shares rank 1, too.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dermae_bench.durable import digest_of
from dermae_bench.report.records import Board, Record, RowInfo, Uncertainty
from dermae_bench.statistics.bootstrap import ROUNDING

SHOWN = 3
"""Differing parts of two identities that are named."""
LONGEST = 40
"""Characters of a value that is named there."""
SECTION: Mapping[Board, str] = {"classifiers": "task", "generators": "against"}
"""The name that divides a board: rows on its two sides answer different questions."""
OTHER_IDENTITY = "n/a (unlike the ranked rows"
"""How the reason of a cell begins that stands apart; what differs follows."""
UNLIKE_SEEDS = "n/a (its seeds are unlike each other"
"""How the reason of a cell begins whose own records must not be averaged."""
MADE = {"trained": "trained here", "external": "made elsewhere"}
"""How a row came to its numbers, in words; what is not in here says it itself: zero-shot, linear-probe."""


@dataclass(kw_only=True)
class Cell:
    """What a row says about a metric."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    """Spread over seeds."""
    error: float | None = None
    """Standard error over test sets."""
    n: int | None = None
    """None where a publication does not tell it."""
    rank: int | None = None
    tied: bool = False
    reason: str = ""
    """Why there is no number, or no rank."""
    identity: str = ""
    """First 8 hex digits of the digest of what must be equal; see `MetricColumn.identities`."""
    warnings: tuple[str, ...] = ()
    apart: str = ""
    """What sets its number apart from those of the section's ranking; then it is ranked among its like alone."""
    floor: str = ""
    """The floors that it does not beat, by name."""

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


TEST = "test"
"""The name of the other data set that a row of the classifiers' board was scored on; others have no such name."""


def section_of(row: RowInfo | Record) -> str:
    """What divides the board: the task, with the data set where it is not the suite's own; or the reference set."""
    return named_section(row.board, row.names)


def named_section(board: Board, names: Mapping[str, str]) -> str:
    """The same, of the names alone."""
    other = names.get(TEST, "") if board == "classifiers" else ""
    return names.get(SECTION[board], "") + (f" on {other}" if other else "")


def comparable(record: Record) -> dict[str, Any]:
    """All that must be equal before two values of one metric may be ranked."""
    own = {"identity": record.identity, "n": record.n, "unit": record.unit, "better": record.better}
    return {**own, SECTION[record.board]: section_of(record)}


def column_of(
    metric: str,
    by_row: Mapping[str, Sequence[Record]],
    rows: Mapping[str, RowInfo],
    uncertainty: Mapping[tuple[str, str], Uncertainty],
    beside: frozenset[str] = frozenset(),
) -> tuple[MetricColumn, dict[str, Cell]]:
    """A metric of a board and its cells by row.

    Args:
        beside: `own_name` of the board's metrics. What a stage warns of by the name of one is told there alone.
    """
    foreign = beside - {own_name(metric)}
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
        if same:
            cells[row] = _cell(records, rows[row], digests[0], uncertainty.get((row, metric)), foreign)
        else:
            first, *others = (identities[digest] for digest in dict.fromkeys(digests))
            reason = _other(others[-1], first, UNLIKE_SEEDS) if others else _other(first, comparable(head))
            cells[row] = Cell(reason=reason)
    known = {row: found for row in cells if (found := uncertainty.get((row, metric))) is not None}
    _rank(cells, rows, head.better, known, identities)
    column = MetricColumn(
        key=metric, unit=head.unit, better=head.better, identities=dict(sorted(identities.items())),
        published=all(records[0].kind == "reported" for records in every),
    )  # fmt: skip
    return column, cells


def own_name(metric: str) -> str:
    """A metric without what it looks through: ``fd`` of ``fd[lite0]``."""
    return metric.partition("[")[0]


def _cell(
    records: Sequence[Record], info: RowInfo, identity: str, found: Uncertainty | None, foreign: frozenset[str]
) -> Cell:
    records = sorted(records, key=lambda record: sorted(record.seeds.items()))
    every = (text for record in records for text in record.warnings)
    warnings = tuple(text for text in dict.fromkeys(every) if text.partition(": ")[0] not in foreign)
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
    if found is not None and len(values) == expected:
        cell.low, cell.high, cell.error = found.low, found.high, found.error
    elif len(lows) == len(highs) == len(values):
        cell.low, cell.high = statistics.fmean(lows), statistics.fmean(highs)
    if len(values) > 1:
        cell.sd = statistics.stdev(values)
    return cell


def _rank(
    cells: Mapping[str, Cell],
    rows: Mapping[str, RowInfo],
    better: str,
    uncertainty: Mapping[str, Uncertainty],
    identities: Mapping[str, Mapping[str, Any]],
) -> None:
    """Fill in ranks, group by group of equal identity."""
    if better not in ("higher", "lower"):
        return
    sign = -1.0 if better == "higher" else 1.0
    groups: dict[str, list[tuple[str, Cell]]] = {}
    sections: dict[str, set[str]] = {}
    for row, cell in cells.items():
        if rows[row].kind == "measured" and cell.value is not None and not cell.reason:
            groups.setdefault(cell.identity, []).append((row, cell))
            sections.setdefault(section_of(rows[row]), set()).add(cell.identity)
    # the largest group of a section is its ranking; what means something else stands apart, and says what
    leading: dict[str, str] = {}

    def precedence(identity: str) -> tuple[int, bool, int, str]:
        meaning = identities[identity]
        leaky = bool(meaning["identity"].get("leaky"))
        # of equal groups that over the most images, and the same one in every metric
        return -len(groups[identity]), leaky, -(meaning["n"] or 0), min(row for row, _ in groups[identity])

    for found in sections.values():
        head = min(found, key=precedence)
        leading |= {identity: head for identity in found if identity != head}
    for identity, group in groups.items():
        if identity in leading:
            apart = _other(identities[identity], identities[leading[identity]])
            for _, cell in group:
                cell.apart = apart
            if len(group) == 1:
                group[0][1].reason = apart
                continue
        group.sort(key=lambda pair: sign * (pair[1].value or 0.0))
        first, best = group[0]
        for place, (row, cell) in enumerate(group, start=1):
            before = group[place - 2][1] if place > 1 else None
            if _untold(cell, best, uncertainty.get(row), uncertainty.get(first)):
                cell.rank = 1
            else:
                cell.rank = before.rank if before is not None and before.value == cell.value else place
        for _, cell in group:
            cell.tied = sum(other.rank == cell.rank for _, other in group) > 1


def _other(mine: Mapping[str, Any], theirs: Mapping[str, Any], head: str = OTHER_IDENTITY) -> str:
    """What sets one identity apart from another, in words."""
    # only what was not trained says how it came to its task
    one, two = ({"training": "trained", **item, **item["identity"]} for item in (mine, theirs))
    fields = sorted(name for name in {*one, *two} - {"identity"} if one.get(name) != two.get(name))
    said = [_differ(name, one.get(name), two.get(name)) for name in fields[:SHOWN]]
    said += [f"{len(fields) - SHOWN} more"] if len(fields) > SHOWN else []
    return f"{head}: {'; '.join(said)})"


def _differ(name: str, mine: Any, theirs: Any) -> str:
    """``zero-shot, not trained here``, ``n 300, not 500``."""
    if name == "training":
        return f"{MADE.get(str(mine), _short(mine))}, not {MADE.get(str(theirs), _short(theirs))}"
    return f"{name} {_short(mine)}, not {_short(theirs)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _untold(cell: Cell, best: Cell, mine: Uncertainty | None, its: Uncertainty | None) -> bool:
    """Whether a row cannot be told from the best on this test set."""
    if cell.value == best.value:
        return True
    if mine is None or its is None or mine.replicates.shape != its.replicates.shape:
        return _overlap(cell, best)
    difference = mine.replicates - its.replicates
    finite = difference[np.isfinite(difference)]
    # draws that lost a class have no number; where most have none, nothing says how the difference would vary
    if 2 * len(finite) < max(1, len(difference)):
        return True
    low, high = np.quantile(finite, (0.025, 0.975))
    # a difference of exactly 0 must not depend on the last bit of another processor
    return bool(low <= ROUNDING and high >= -ROUNDING)


def _overlap(cell: Cell, best: Cell) -> bool:
    if cell.value == best.value:
        return True
    if cell.low is None or cell.high is None or best.low is None or best.high is None:
        return False
    return cell.low <= best.high and best.low <= cell.high
