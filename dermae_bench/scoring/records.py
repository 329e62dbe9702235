"""One measured number with its whole identity, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from dermae_bench.plugin.measures import Column, Metric

MetricOf = Callable[[str, Mapping[str, Any]], Metric]
"""(plugin name, checked params) -> the metric."""


def record(
    column: Column,
    value: float | None,
    facts: Mapping[str, Any],
    *,
    low: float | None = None,
    high: float | None = None,
    error: float | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """A number or the reason why there is none.

    Args:
        error: standard error over test sets.
        facts: with `n`, all that must be equal, besides the column's own conventions, before two may be compared.
    """
    identity = {name: field for name, field in asdict(column).items() if name not in {"description", "better", "unit"}}
    return {
        "metric": column.name,
        "value": value,
        "low": low,
        "high": high,
        "error": error,
        "n": facts["n"],
        "unit": column.unit,
        "better": column.better,
        "identity": {**identity, **facts},
        "reason": reason,
    }
