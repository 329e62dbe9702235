"""Published numbers beside measured ones: the difference is told, a rank never.

A published number has a source instead of an identity: another split, another test set, often an average that is not
stated. So it joins a measured row by name alone, and the column it stands beside is chosen in the reference file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dermae_bench.report.records import Board, Reported, RowInfo

JOINED: Mapping[Board, tuple[str, ...]] = {
    "classifiers": ("classifier", "train", "task", "test"),
    "generators": ("generator", "sampling"),
}
"""Names that a measured and a published row must share."""
CAPTION = (
    "Reported numbers are published ones, measured elsewhere: split, test set, networks, resolution, budgets and, "
    "where it is not stated, average may differ from those here. They stand beside the measured row of that name, "
    "with the difference (measured - reported), or apart where there is no such row. They are never ranked."
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A published number beside a measured row."""

    metric: str
    """As the publication calls it."""
    value: float
    beside: str
    """Measured column it is compared with; empty where the board has none that is like it."""
    difference: float | None
    """Measured - reported; None where there is no such column, or nothing measured yet."""
    n: int | None
    source: str
    note: str


def paired(
    reported: Sequence[Reported],
    rows: Sequence[RowInfo],
    metrics: Sequence[str],
    measured: Callable[[str, str], float | None],
) -> tuple[dict[str, tuple[Pair, ...]], frozenset[str]]:
    """(measured row -> its published numbers in the order of the file, reported rows that found a measured one).

    Args:
        rows: rows of one board.
        metrics: columns that measured rows have.
        measured: value of a row and a metric; None where there is none.
    """
    named: dict[tuple[str, ...], list[Reported]] = {}
    for item in reported:
        named.setdefault(_joined(item.board, item.names), []).append(item)
    pairs, partners = {}, set()
    for info in rows:
        found = named.get(_joined(info.board, info.names), []) if info.kind == "measured" else []
        if found:
            pairs[info.row] = tuple(_pair(item, info.row, metrics, measured) for item in found)
            partners |= {item.row for item in found}
    return pairs, frozenset(partners)


def _joined(board: Board, names: Mapping[str, str]) -> tuple[str, ...]:
    return (board, *(names.get(name, "") for name in JOINED[board]))


def _pair(item: Reported, row: str, metrics: Sequence[str], measured: Callable[[str, str], float | None]) -> Pair:
    beside = item.beside if item.beside in metrics else ""
    value = measured(row, beside) if beside else None
    return Pair(
        metric=item.metric,
        value=item.value,
        beside=beside,
        # published numbers have a few digits: the rest of the difference is the rounding of floats
        difference=None if value is None else round(value - item.value, 12),
        n=item.n,
        source=item.source,
        note=item.note,
    )
