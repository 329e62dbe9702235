"""Numbers that a policy asks for and that neither folder has: rows that are pending, or failed, on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dermae_bench.report.compare.outcome import Absent
from dermae_bench.report.compare.recorded import Results, Row
from dermae_bench.report.compare.sides import Pairing


def absent_numbers(a: Results, b: Results, pairing: Pairing, metrics: Sequence[str]) -> Iterator[Absent]:
    """Metrics that a pair of rows may have, and of which neither row has a record.

    A row may have what any row of its board and task has. A task of which no row has a number may have everything that
    its own board has elsewhere, and whatever no board has. So a metric of another board or of other tasks is not
    asked of it.

    Args:
        metrics: what is judged.
    """
    known = _known(a), _known(b)
    for pair in pairing.pairs:
        mine, theirs = a.of(pair.a), b.of(pair.b)
        of_section = set().union(*(one.get(_place(pair.a), set()) for one in known))
        of_board = {
            name for one in known for (board, _), names in one.items() if board == pair.a.board for name in names
        }
        anywhere = {name for one in known for names in one.values() for name in names}
        for metric in metrics:
            possible = metric in of_section if of_section else metric in of_board or metric not in anywhere
            if possible and metric not in mine and metric not in theirs:
                yield Absent(pair=pair, metric=metric)


def _known(results: Results) -> dict[tuple[str, str], set[str]]:
    """(board, section) -> metrics that some row of it has a record of."""
    rows = {(row.board, row.row): _place(row) for row in results.rows}
    found: dict[tuple[str, str], set[str]] = {}
    for record in results.records:
        place = rows.get((record.board, record.row))
        if place is not None and record.identity.get("subgroup") is None:
            found.setdefault(place, set()).add(record.metric)
    return found


def _place(row: Row) -> tuple[str, str]:
    return row.board, row.section
