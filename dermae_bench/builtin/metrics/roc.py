"""The ROC curve of weighted images: sorted once, then sums over any number of weightings at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import Numbers, positive_class, quotient

Weights = NDArray[np.float32] | NDArray[np.float64]
REPLICATES_AT_ONCE = 128
"""Bounds the memory of the cumulative sums: about 128 x N float64, several times."""


@dataclass(frozen=True)
class Rises:
    """Where the curve rises: one step a distinct score of a positive image, highest first. All are sums of weights."""

    gained: Numbers
    """(R, G) positive images at the score."""
    above: Numbers
    """(R, G) other images that score higher."""
    reached: Numbers
    """(R, G) other images that score at least as high; more than `above` where a tie crosses the truth."""
    positives: Numbers
    """(R, 1) all positive images."""
    others: Numbers
    """(R, 1) all other images."""


Measure = Callable[[Rises], Numbers]
"""What is read off a curve: -> (R,)."""


def along(measure: Measure, scores: Numbers, positive: NDArray[np.bool_], weights: Weights) -> Numbers:
    """Scores (N,), truth (N,), weights (R, N) -> `measure` of the curve of each row of weights (R,).

    NaN where the positive or the other images weigh nothing.
    """
    values = np.full(len(weights), np.nan)
    if not positive.any() or positive.all():
        return values
    order = np.argsort(-scores, kind="stable")
    mine, others = order[positive[order]], order[~positive[order]]
    falling = -scores[mine]
    starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
    first = np.searchsorted(-scores[others], falling[starts], side="left")
    last = np.searchsorted(-scores[others], falling[starts], side="right")
    for begin in range(0, len(weights), REPLICATES_AT_ONCE):
        rows = slice(begin, begin + REPLICATES_AT_ONCE)
        block = np.asarray(weights[rows], dtype=np.float64)
        gained = block[:, mine]
        if len(starts) < len(mine):
            gained = np.add.reduceat(gained, starts, axis=1)
        passed = np.zeros((len(block), len(others) + 1))
        np.cumsum(block[:, others], axis=1, out=passed[:, 1:])
        curve = Rises(gained, passed[:, first], passed[:, last], gained.sum(axis=1, keepdims=True), passed[:, -1:])
        exists = ((curve.positives > 0) & (curve.others > 0))[:, 0]
        values[rows] = np.where(exists, measure(curve), np.nan)
    return values


def one_vs_rest(measure: Measure, predictions: api.Predictions, weights: Weights) -> Numbers:
    """`measure` of every class against all others, by log-odds, under weights (R, N) -> (R, C)."""
    numbers = range(len(predictions.task.classes))
    return np.stack(
        [along(measure, log_odds(predictions.logits, c), predictions.labels == c, weights) for c in numbers], axis=1
    )


def positive_vs_rest(measure: Measure, predictions: api.Predictions, weights: Weights, metric: str) -> Numbers:
    """`measure` of the task's positive class against all others, by log-odds, under weights (R, N) -> (R,)."""
    number = positive_class(predictions.task, metric)
    return along(measure, log_odds(predictions.logits, number), predictions.labels == number, weights)


def log_odds(logits: NDArray[np.float32], number: int) -> Numbers:
    """Log of p / (1 - p) for the softmax probability p of class `number`: (N, C) -> (N,).

    Orders images as p does, but does not run together near 0 and 1, and is exactly equal for rows that differ by
    a constant or in the order of the other classes, so that ties are ties.
    """
    values = logits.astype(np.float64)
    against = np.sort(np.delete(values, number, axis=1) - values[:, number : number + 1], axis=1)
    top = against[:, -1:]
    odds: Numbers = -(top[:, 0] + np.log(np.exp(against - top).sum(axis=1)))
    return odds


def area(curve: Rises) -> Numbers:
    """Area under the curve: how often a positive image scores above another, ties one half (Hanley and McNeil 1982)."""
    passed_by = curve.others - (curve.above + curve.reached) / 2
    return quotient((curve.gained * passed_by).sum(axis=1), (curve.positives * curve.others)[:, 0])


def area_above(curve: Rises, sensitivity: float) -> Numbers:
    """Area under the curve and above a sensitivity, straight lines across ties: 0..1 - sensitivity.

    Equal to the partial area up to a false-positive rate of 1 - sensitivity on the mirrored problem (labels and
    scores reversed), before McClish's rescaling.
    """
    high = quotient(np.cumsum(curve.gained, axis=1), curve.positives)
    low = np.concatenate([np.zeros((len(high), 1)), high[:, :-1]], axis=1)
    counted = np.maximum(high - np.maximum(low, sensitivity), 0)
    # of the step that crosses the bound only the upper part counts, and on a tie that part has more false positives
    part = np.divide(counted, high - low, out=np.zeros_like(high), where=high > low)
    passed = curve.reached - part / 2 * (curve.reached - curve.above)
    return np.asarray((counted * (1 - quotient(passed, curve.others))).sum(axis=1))


def average_precision(curve: Rises) -> Numbers:
    """Sum over the steps of (gain in recall) x (precision after the step); no straight lines: 0..1."""
    found = np.cumsum(curve.gained, axis=1)
    decided = found + curve.reached
    precision = np.divide(found, decided, out=np.zeros_like(found), where=decided > 0)
    return quotient((curve.gained * precision).sum(axis=1), curve.positives[:, 0])
