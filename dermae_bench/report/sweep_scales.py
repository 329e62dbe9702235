"""The axes of a sweep's picture: one scale of values for all panels, and the ratios of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dermae_bench.report.sweep_lines import Panel

FAR = 8
"""Factor between ratios above which their axis is logarithmic."""


class Scale:
    """The values that all panels of a picture span."""

    def __init__(self, low: float, high: float, floor_below: bool, floor_above: bool) -> None:
        self.low, self.high = low, high
        self.floor_below, self.floor_above = floor_below, floor_above

    @classmethod
    def of(cls, panels: Sequence[Panel]) -> Scale:
        cells = [spot.cell for panel in panels for curve in panel.curves for spot in curve.spots]
        cells += [level.cell for panel in panels for level in panel.levels if not level.floor]
        ends = [end for cell in cells if cell.value is not None for end in (cell.value, cell.low, cell.high)]
        values = [end for end in ends if end is not None]
        low, high = min(values), max(values)
        span = (high - low) or abs(high) or 1.0
        floors = [level.cell.value for panel in panels for level in panel.levels if level.floor]
        floor = next((value for value in floors if value is not None), None)
        below = floor is not None and floor < low - 1.5 * span
        above = floor is not None and floor > high + 1.5 * span
        if floor is not None and not below and not above:
            low, high = min(low, floor), max(high, floor)
            span = (high - low) or span
        return cls(low - 0.05 * span, high + 0.05 * span, below, above)


class Across:
    """The horizontal axis of one panel: linear, or logarithmic with 0 a step to the left of the least ratio."""

    def __init__(self, panel: Panel) -> None:
        self.values = sorted({spot.x for curve in panel.curves for spot in curve.spots})
        positive = [value for value in self.values if value > 0]
        self.log = len(positive) > 1 and positive[-1] / positive[0] > FAR
        self._zero = math.log2(positive[0]) - 1 if positive else 0.0
        places = [self.place(value) for value in self.values]
        self.low, self.high = min(places), max(places)
        if self.low == self.high:
            self.low, self.high = self.low - 1, self.high + 1

    def place(self, value: float) -> float:
        if not self.log:
            return value
        return math.log2(value) if value > 0 else self._zero

    def title(self, panel: Panel) -> str:
        what = "generated images, no real ones" if panel.alone else "generated images per real one"
        if not self.log:
            return what
        return f"{what} (logarithmic{', but 0' if self.values[0] == 0 else ''})"
