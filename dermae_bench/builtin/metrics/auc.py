"""Area under the ROC curve, one class against the rest, mean over the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

REPLICATES_AT_ONCE = 256
"""Bounds the memory of the cumulative sums: about 256 x N float64, several times."""


class AUCOneVsRestMacro(api.PredictionMetric):
    """Probability that an image of the class scores above one of another class, ties counting one half.

    The Mann-Whitney form of the area (Hanley and McNeil 1982), on the order of softmax probabilities, unweighted mean
    over the classes. A bootstrap replicate in which a class has no image, or no other image, takes the mean over the
    rest.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options: scores and average are the metric's own."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        return [
            api.Column(
                name="auc-ovr-macro",
                better="higher",
                average="macro",
                protocol="one class against the rest, order of softmax, ties one half; "
                "bootstrap replicates: mean over the classes present",
                description="Mean over the classes of the area under the ROC curve against all others.",
            )
        ]

    def values(self, predictions: api.Predictions) -> Mapping[str, float]:
        """{"auc-ovr-macro": 0..1}.

        Raises:
            InvalidOutput: no image, logits not finite, or a class without an image among the true labels (or
                without any other).
        """
        if not np.isfinite(predictions.logits).all():
            raise api.InvalidOutput("auc-ovr-macro: logits are not finite")
        areas = one_vs_rest(predictions, np.ones((1, len(predictions.labels))))[0]
        lacking = [name for name, area in zip(predictions.task.classes, areas, strict=True) if np.isnan(area)]
        if lacking:
            raise api.InvalidOutput(
                f"auc-ovr-macro does not exist: {', '.join(lacking)} has no image, or no other class has one",
                hint="choose a split with every class, or a metric that needs none (accuracy, f1-weighted)",
            )
        return {"auc-ovr-macro": float(areas.mean())}

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {"auc-ovr-macro": (R,)}."""
        areas = one_vs_rest(predictions, weights)
        present = ~np.isnan(areas)
        return {"auc-ovr-macro": np.nansum(areas, axis=1) / present.sum(axis=1)}


def one_vs_rest(
    predictions: api.Predictions, weights: NDArray[np.float32] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area of every class under image weights (R, N) -> (R, C); NaN where one of the two sides weighs nothing."""
    areas = np.full((len(weights), len(predictions.task.classes)), np.nan)
    for number in range(areas.shape[1]):
        positive = predictions.labels == number
        if positive.any() and not positive.all():
            scores = log_odds(predictions.logits, number)
            for rows in _slices(len(weights)):
                areas[rows, number] = weighted_auc(scores, positive, weights[rows])
    return areas


def log_odds(logits: NDArray[np.float32], number: int) -> NDArray[np.float64]:
    """Log of p / (1 - p) for the softmax probability p of class `number`: (N, C) -> (N,).

    Orders images as p does, but does not run together near 0 and 1, and is exactly equal for rows that differ by
    a constant or in the order of the other classes, so that ties are ties.
    """
    values = logits.astype(np.float64)
    against = np.sort(np.delete(values, number, axis=1) - values[:, number : number + 1], axis=1)
    top = against[:, -1:]
    odds: NDArray[np.float64] = -(top[:, 0] + np.log(np.exp(against - top).sum(axis=1)))
    return odds


def weighted_auc(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float32] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores (N,), truth (N,), weights (R, N) -> area (R,): sorted once, then sums over groups of equal scores."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    mine = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1, dtype=np.float64)
    others = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1, dtype=np.float64)
    below = np.cumsum(others, axis=1) - 0.5 * others
    pairs = mine.sum(axis=1) * others.sum(axis=1)
    areas = np.full(len(weights), np.nan)
    np.divide((mine * below).sum(axis=1), pairs, out=areas, where=pairs > 0)
    return areas


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, REPLICATES_AT_ONCE):
        yield slice(start, start + REPLICATES_AT_ONCE)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {"auc-ovr-macro": AUCOneVsRestMacro}
