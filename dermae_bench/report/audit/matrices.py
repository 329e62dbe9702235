"""Every confusion matrix of two classes that a set of printed shares allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

AVERAGES = ("f1-positive", "f1-macro", "f1-weighted", "f1-micro", "f1-negative")
OF_MATRIX = ("accuracy", "balanced-accuracy", "sensitivity", "specificity", "precision", "npv", *AVERAGES)
MOST = 4_000_000
"""Matrices that are looked at in one go: 32 MB an array."""
MOST_TOTALS = 50_000
"""Numbers of right answers that are tried."""
EXACT = 1e-12
"""What float64 may add to a ratio of two whole numbers below 10^7."""


@dataclass(frozen=True)
class Matrices:
    """Confusion matrices (tp, tn) over the same images; the other two cells follow from the class sizes."""

    tp: Ints
    tn: Ints
    negatives: int
    positives: int

    @property
    def empty(self) -> bool:
        return self.tp.size == 0

    def where(self, chosen: NDArray[np.bool_]) -> Matrices:
        return Matrices(self.tp[chosen], self.tn[chosen], self.negatives, self.positives)

    def within(self, metric: str, low: float, high: float) -> Matrices:
        """Those whose `metric` lies in [low, high]; where it does not exist (0 / 0) anything may have been printed."""
        return self.where(self.holds(metric, low, high))

    def holds(self, metric: str, low: float, high: float) -> NDArray[np.bool_]:
        """(M,) which of them `within` keeps; `f1` without its average is any of the five."""
        if metric == "f1":
            kept = np.zeros(self.tp.shape, dtype=np.bool_)
            for average in AVERAGES:
                kept |= self.holds(average, low, high)
            return kept
        values = self.values(metric)
        return ~((values < low - EXACT) | (values > high + EXACT))

    def values(self, metric: str) -> Floats:
        """(M,) of `metric`, NaN where it is 0 / 0. F1 of a class is 2 TP / (2 TP + FP + FN)."""
        tp, tn = self.tp.astype(np.float64), self.tn.astype(np.float64)
        n, p = self.negatives, self.positives
        wrong = (n - tn) + (p - tp)
        match metric:
            case "accuracy" | "f1-micro":
                return (tp + tn) / (n + p)
            case "sensitivity":
                return tp / p
            case "specificity":
                return tn / n
            case "balanced-accuracy":
                return (tp / p + tn / n) / 2
            case "precision":
                return _ratio(tp, tp + n - tn)
            case "npv":
                return _ratio(tn, tn + p - tp)
        positive, negative = 2 * tp / (2 * tp + wrong), 2 * tn / (2 * tn + wrong)
        match metric:
            case "f1-positive":
                return positive
            case "f1-negative":
                return negative
            case "f1-macro":
                return (positive + negative) / 2
            case "f1-weighted":
                return (p * positive + n * negative) / (n + p)
        raise ValueError(f"{metric} is no share of a confusion matrix")


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def allowed(negatives: int, positives: int, limits: Mapping[str, tuple[float, float]]) -> Matrices | None:
    """All matrices whose metrics lie within `limits`, ends included; None if more than `MOST` would have to be tried.

    Accuracy, sensitivity and specificity bound the counts first, so that few of the (negatives + 1) x
    (positives + 1) matrices are ever formed; the other metrics choose among these.
    """
    tp = _counts(positives, limits.get("sensitivity"))
    tn = _counts(negatives, limits.get("specificity"))
    if "accuracy" in limits:
        right = _counts(negatives + positives, limits["accuracy"])
        if len(right) > MOST_TOTALS:
            return None
        # for each number of right answers, the true positives that leave a number of true negatives in range
        runs = [(k, max(tp.start, k - (tn.stop - 1)), min(tp.stop, k - tn.start + 1)) for k in right]
        runs = [(k, first, stop) for k, first, stop in runs if stop > first]
        if sum(stop - first for _, first, stop in runs) > MOST:
            return None
        pieces = [np.arange(first, stop, dtype=np.int64) for _, first, stop in runs]
        tps = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
        k_of = np.repeat(
            np.array([k for k, _, _ in runs], dtype=np.int64),
            np.array([len(piece) for piece in pieces], dtype=np.int64),
        )
        found = Matrices(tps, k_of - tps, negatives, positives)
    elif len(tp) * len(tn) > MOST:
        return None
    else:
        grid = np.meshgrid(np.arange(tp.start, tp.stop), np.arange(tn.start, tn.stop), indexing="ij")
        found = Matrices(grid[0].ravel(), grid[1].ravel(), negatives, positives)
    for metric, (low, high) in limits.items():
        if metric not in ("accuracy", "sensitivity", "specificity"):
            found = found.within(metric, low, high)
    return found


def _counts(n: int, limits: tuple[float, float] | None) -> range:
    """The counts k with low <= k / n <= high."""
    if limits is None:
        return range(n + 1)
    low, high = limits
    return range(max(0, math.ceil((low - EXACT) * n)), min(n, math.floor((high + EXACT) * n)) + 1)
