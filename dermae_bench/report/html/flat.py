"""Nested JSON as lines of a definition list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermae_bench.report.escape import visible
from dermae_bench.report.html.grid import NONE


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted name, text), sorted as given."""
    if isinstance(value, Mapping) and value:
        return [pair for key, item in value.items() for pair in flat(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            return [pair for index, item in enumerate(value) for pair in flat(item, f"{name}.{index}")]
        return [(visible(name), visible(", ".join(map(str, value))))]
    if isinstance(value, Mapping) and not name:
        return []
    return [(visible(name), visible(NONE if value is None or value == {} else str(value), 1000))]
