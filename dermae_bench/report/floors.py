"""Which measured numbers are no better than what needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermae_bench.report.ranking import Cell, MetricColumn
from dermae_bench.report.records import RowInfo

NOISE = "uniform noise"
"""The floor of generators that is to be beaten; the other one, real images, is the best to hope for."""
BEST_OF_CONSTANTS = frozenset({"ece", "ece-calibrated", "specificity-at-argmax"})
"""Metrics that a classifier without any knowledge is good in: it never says malignant, and says how rare that is. That
others are not better there says nothing."""
HOW_MADE = ("reached", "training")
"""Parts of an identity that say how a row came to its answers, not what was measured: floors have none of their own."""


def to_beat(info: RowInfo) -> str:
    """What a floor is called that a number must beat; empty where it is none."""
    if info.kind != "floor":
        return ""
    if info.board == "classifiers":
        return info.names.get("classifier", "")
    name = info.names.get("generator", "")
    return name if name == NOISE else ""


def tell_unbeaten(column: MetricColumn, cells: Mapping[str, Cell], rows: Mapping[str, RowInfo]) -> None:
    """Fill in `Cell.floor` of measured rows: a number that is equal to a floor's does not beat it.

    Values alone are compared, and only of numbers that were measured in the same way over as many images.
    """
    if column.better not in ("higher", "lower") or column.key in BEST_OF_CONSTANTS:
        return
    measured = {digest: _measured(meaning) for digest, meaning in column.identities.items()}
    sign = 1.0 if column.better == "higher" else -1.0
    floors = [
        (name, sign * cell.value, measured.get(cell.identity))
        for row, cell in cells.items()
        if (name := to_beat(rows[row])) and cell.value is not None
    ]
    for row, cell in cells.items():
        value = cell.value
        if rows[row].kind != "measured" or value is None:
            continue
        mine = measured.get(cell.identity)
        cell.floor = ", ".join(sorted({name for name, its, what in floors if what == mine and sign * value <= its}))


def _measured(meaning: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without how the row was made."""
    identity = {name: value for name, value in meaning["identity"].items() if name not in HOW_MADE}
    return {**meaning, "identity": identity}
