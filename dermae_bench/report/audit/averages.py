"""Which average an F1 without one can be: every confusion matrix near the row's other numbers is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dermae_bench.report.audit.findings import Grade
from dermae_bench.report.audit.matrices import AVERAGES, OF_MATRIX, Floats, Matrices, allowed
from dermae_bench.report.audit.printed import HOWS, How, Printed

ACCURACY_SLACK = 4e-4
F1_SLACK = 5e-4
"""How far a matrix may lie from the printed pair and still be called near.

Accuracies that are no counts (means over runs, another test set) lie up to half a count from the nearest one:
3.3e-4 at 1,512 images.
"""

Fit = Literal["exact", "near", "not near", "out of range", "clash"]


@dataclass(frozen=True)
class Average:
    """How one average of F1 agrees with a printed pair on given class sizes."""

    fit: Fit
    low: float
    high: float
    """Least and greatest value that the average has at this accuracy and the row's other numbers."""
    chance: float
    """Share of the numbers between 0 and 1 that would have been called near."""

    @property
    def fits(self) -> bool:
        return self.fit in ("exact", "near")


def of_matrix(cells: Mapping[str, Printed]) -> Mapping[str, Printed]:
    """The numbers of a row that a confusion matrix gives, without an F1 whose average is not stated."""
    return {metric: printed for metric, printed in cells.items() if metric in OF_MATRIX}


def averages(
    shares: Mapping[str, Printed], f1: Printed, negatives: int, positives: int
) -> Mapping[str, Average] | None:
    """For each average, how a printed F1 fits it beside the row's other numbers; None if the matrices are too many.

    `exact`: one matrix gives all as printed, rounded or truncated alike. `near`: one lies within the slack. `not
    near`: the F1 lies between those of matrices near the other numbers, but on none. `out of range`: above or below
    all. `clash`: no matrix is near the other numbers, so that nothing can be said of the F1.

    The range is that of the matrices near all other numbers if one gives them as printed. Otherwise they are means or
    clash, and the accuracy alone tells it.
    """
    # shares that are no counts lie up to half a count from one
    half = {"sensitivity": 0.5 / positives, "specificity": 0.5 / negatives}
    if set(shares) != {"accuracy"}:
        half["accuracy"] = 0.5 / (negatives + positives)
    near = {}
    for metric, printed in shares.items():
        slack = max(ACCURACY_SLACK, printed.step, half.get(metric, 0.0))
        near[metric] = (printed.value - slack, printed.value + slack)
    nearby = allowed(negatives, positives, near)
    if nearby is None:
        return None
    as_printed = []
    for how in HOWS:
        found = nearby
        for metric, printed in shares.items():
            found = found.within(metric, *printed.reach(how))
        as_printed.append((how, found))
    reach: Matrices | None = nearby
    if set(shares) != {"accuracy"} and all(found.empty for _, found in as_printed):
        reach = None
        if "accuracy" in shares:
            reach = allowed(negatives, positives, {"accuracy": near["accuracy"]})
    found_for = {}
    for average in AVERAGES:
        if average == "f1-micro" and "accuracy" in shares:
            same = micro(shares["accuracy"], f1)
            if set(shares) == {"accuracy"} or not same.fits:
                found_for[average] = same
                continue
        found_for[average] = _average(average, f1, nearby, as_printed, reach)
    return found_for


def _average(
    average: str, f1: Printed, nearby: Matrices, as_printed: Sequence[tuple[How, Matrices]], reach: Matrices | None
) -> Average:
    slack = max(F1_SLACK, f1.step)
    chance = 0.0 if nearby.empty else _covered(nearby.values(average), slack)
    low = high = float("nan")
    if reach is not None and not reach.empty:
        values = reach.values(average)
        low, high = float(values.min()), float(values.max())
    if any(not found.within(average, *f1.reach(how)).empty for how, found in as_printed):
        return Average("exact", low, high, chance)
    if not nearby.within(average, f1.value - slack, f1.value + slack).empty:
        return Average("near", low, high, chance)
    if f1.value < low - slack or f1.value > high + slack:
        return Average("out of range", low, high, chance)
    return Average("clash" if nearby.empty and reach is not nearby else "not near", low, high, chance)


def micro(accuracy: Printed, f1: Printed) -> Average:
    """F1-micro is the accuracy itself, with any number of classes, so both are printed alike."""
    spans = [(accuracy.reach(how), f1.reach(how)) for how in HOWS]
    same = any(a[0] < b[1] and b[0] < a[1] for a, b in spans)
    return Average("exact" if same else "out of range", accuracy.value, accuracy.value, f1.step)


def _covered(values: Floats, slack: float) -> float:
    """Length of [0, 1] that lies within `slack` of one of the values."""
    ordered = np.unique(values)
    starts, ends = np.clip(ordered - slack, 0, 1), np.clip(ordered + slack, 0, 1)
    gaps = np.clip(starts[1:] - ends[:-1], 0, None)
    return float(ends[-1] - starts[0] - gaps.sum())


def verdict(pair: Mapping[str, Average]) -> tuple[Grade, str]:
    """What one F1 tells about its average, given that it is one of those tried."""
    fitting = [name.removeprefix("f1-") for name, fit in pair.items() if fit.fits]
    impossible = [name for name, fit in pair.items() if fit.fit == "out of range"]
    if len(pair) < len(AVERAGES):
        return "cannot be told", "can be micro" if fitting else "not micro; more was not tried"
    if any(fit.fit == "clash" for fit in pair.values()):
        return "cannot be told", "no matrix is near the others"
    if len(impossible) == len(pair):
        return "proved", "none: wrong test set or an error"
    if not fitting:
        return "likely", "none: another test set, a mean or an error"
    if len(fitting) > 1:
        return "cannot be told", " or ".join(fitting)
    if len(impossible) == len(pair) - 1:
        return "proved", f"only {fitting[0]} is in range"
    return "likely", fitting[0]
