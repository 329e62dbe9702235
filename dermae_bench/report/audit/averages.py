"""Which average an F1 without one can be: every confusion matrix near the printed accuracy is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dermae_bench.report.audit.findings import Grade
from dermae_bench.report.audit.matrices import AVERAGES, Floats, Matrices, allowed
from dermae_bench.report.audit.printed import HOWS, Printed

ACCURACY_SLACK = 4e-4
F1_SLACK = 5e-4
"""How far a matrix may lie from the printed pair and still be called near.

Accuracies that are no counts (means over runs, another test set) lie up to half a count from the nearest one:
3.3e-4 at 1,512 images.
"""

Fit = Literal["exact", "near", "not near", "out of range"]


@dataclass(frozen=True)
class Average:
    """How one average of F1 agrees with a printed pair on given class sizes."""

    fit: Fit
    low: float
    high: float
    """Least and greatest value that the average has at this accuracy."""
    chance: float
    """Share of the numbers between 0 and 1 that would have been called near."""

    @property
    def fits(self) -> bool:
        return self.fit in ("exact", "near")


def averages(accuracy: Printed, f1: Printed, negatives: int, positives: int) -> Mapping[str, Average] | None:
    """For each average, how a printed (accuracy, F1) fits it; None if the matrices are too many to try.

    `exact`: one matrix gives both as printed, rounded or truncated alike. `near`: one lies within the slack. `not
    near`: the F1 lies between those of matrices at this accuracy, but on none. `out of range`: above or below all.
    """
    slack = max(ACCURACY_SLACK, accuracy.step)
    nearby = allowed(negatives, positives, {"accuracy": (accuracy.value - slack, accuracy.value + slack)})
    if nearby is None:
        return None
    return {average: _average(average, accuracy, f1, nearby) for average in AVERAGES}


def _average(average: str, accuracy: Printed, f1: Printed, nearby: Matrices) -> Average:
    if average == "f1-micro":
        return micro(accuracy, f1)
    if nearby.empty:
        return Average("not near", float("nan"), float("nan"), 0.0)
    values = nearby.values(average)
    low, high = float(values.min()), float(values.max())
    slack = max(F1_SLACK, f1.step)
    chance = _covered(values, slack)
    for how in HOWS:
        if not nearby.within("accuracy", *accuracy.reach(how)).within(average, *f1.reach(how)).empty:
            return Average("exact", low, high, chance)
    if not nearby.within(average, f1.value - slack, f1.value + slack).empty:
        return Average("near", low, high, chance)
    outside = f1.value < low - slack or f1.value > high + slack
    return Average("out of range" if outside else "not near", low, high, chance)


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
    """What one pair tells about its average, given that it is one of those tried."""
    fitting = [name.removeprefix("f1-") for name, fit in pair.items() if fit.fits]
    impossible = [name for name, fit in pair.items() if fit.fit == "out of range"]
    if len(pair) < len(AVERAGES):
        return "cannot be told", "can be micro" if fitting else "not micro; more was not tried"
    if len(impossible) == len(pair):
        return "proved", "none: wrong test set or an error"
    if not fitting:
        return "likely", "none: another test set, a mean or an error"
    if len(fitting) > 1:
        return "cannot be told", " or ".join(fitting)
    if len(impossible) == len(pair) - 1:
        return "proved", f"only {fitting[0]} is in range"
    return "likely", fitting[0]
