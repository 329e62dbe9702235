"""How numbers are written: 6 significant digits in CSV, 3 or 4 for readers, everything in JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dermae_bench.report.leaderboard import Cell, MetricColumn

ARROWS = {"higher": "↑", "lower": "↓"}


def exact(value: float) -> str:
    """The CSV spelling: whole numbers whole, else 6 significant digits; one value has one spelling."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 2**53):
        return str(int(value))
    return format(value, ".6g")


def places_of(values: Iterable[float | None]) -> int | None:
    """Decimals for a whole column: 3 digits below 1, 4 above, and up to two more so that its least value shows two."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return None
    largest = _places(max(sizes))
    return max(largest, min(largest + 2, 1 - math.floor(math.log10(min(sizes)))))


def shown(value: float, places: int | None = None) -> str:
    """A number for readers, with `places` decimals or as many as suit itself."""
    if places is None:
        places = _places(abs(value)) if value else 0
    if places > 6 or abs(value) >= 1e9:
        return format(value, ".3g")
    text = format(value, f",.{places}f")
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def signed(value: float, places: int | None = None) -> str:
    """A difference for readers: always with its sign, but for 0."""
    text = shown(value, places)
    return text if text.startswith("-") or not any(digit in text for digit in "123456789") else f"+{text}"


def cost(name: str, value: float | None) -> str:
    """A cost for readers: counts whole, GMACs with 4 digits."""
    if value is None:
        return ""
    return shown(value, 0) if value.is_integer() or name != "gmacs" else shown(value)


def heading(column: MetricColumn) -> str:
    """Key, direction and unit of a metric, e.g. ``f1-macro ↑``."""
    return column.key + direction(column.unit, column.better)


def direction(unit: str, better: str) -> str:
    """What follows a metric's name: its unit and an arrow towards better, e.g. `` (GMACs) ↓``."""
    named = f" ({unit})" if unit not in ("", "1") else ""
    return named + (f" {ARROWS[better]}" if better in ARROWS else "")


def interval(cell: Cell, places: int | None) -> str:
    """`[low, high]`, empty where there is none."""
    return range_text(cell.low, cell.high, places)


def range_text(low: float | None, high: float | None, places: int | None) -> str:
    """`[low, high]`, empty where an end is missing."""
    return "" if low is None or high is None else f"[{shown(low, places)}, {shown(high, places)}]"


def spread(cell: Cell, places: int | None) -> str:
    """`± sd` over seeds, empty for one seed."""
    return "" if cell.sd is None else f"± {shown(cell.sd, places)} seeds"


def standard_error(cell: Cell, places: int | None) -> str:
    """`s.e. error` over test sets, empty where there is none; `±` is for seeds alone."""
    return "" if cell.error is None else f"s.e. {shown(cell.error, places)}"


def _places(size: float) -> int:
    magnitude = math.floor(math.log10(size))
    return max(0, (2 if magnitude < 0 else 3) - magnitude)
