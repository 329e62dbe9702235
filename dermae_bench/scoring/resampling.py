"""Every number of a metric under the bootstrap and the jackknife of whole lesions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.plugin.measures import PredictionMetric, Predictions
from dermae_bench.statistics.bootstrap import Interval, bca, cluster_weights, leave_one_out, standard_error, told

BLOCK = 2**24
"""Weights held at a time: replicates x images."""

Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Column -> values under resampling; aligned between all models that were scored on the same images."""

    replicates: Values
    """(R,) each: bootstrap of lesions."""
    jackknife: Values
    """(G,) each: one lesion left out."""

    def interval(self, column: str, estimate: float) -> Interval | None:
        """95 % BCa interval; None where too many replicates have no such number, or none differs from another."""
        return told(bca(estimate, self.replicates[column], self.jackknife[column]))

    def standard_error(self, column: str) -> float | None:
        """Spread over other test sets; None where too many replicates have no such number."""
        return standard_error(self.replicates[column])


def resample(metric: PredictionMetric, predictions: Predictions, resamples: int, seed: int = 0) -> Resampled | None:
    """None where the metric has no vectorised form. Every score stage takes seed 0, so that its draws are aligned."""
    weights = cluster_weights(predictions.groups, resamples, seed)
    step = max(1, BLOCK // max(1, len(predictions.labels)))
    blocks = (weights[first : first + step] for first in range(0, resamples, step))
    replicates = _values(metric, predictions, blocks)
    if replicates is None:
        return None
    lesions = len(set(predictions.groups))
    left_out = (leave_one_out(predictions.groups, first, first + step) for first in range(0, lesions, step))
    jackknife = _values(metric, predictions, left_out)
    assert jackknife is not None
    return Resampled(replicates=replicates, jackknife=jackknife)


def _values(metric: PredictionMetric, predictions: Predictions, blocks: Iterable[NDArray[np.float32]]) -> Values | None:
    pieces: list[Values] = []
    for weights in blocks:
        found = metric.resampled(predictions, weights)
        if found is None:
            return None
        pieces.append(found)
    return {name: np.concatenate([np.asarray(piece[name], np.float64) for piece in pieces]) for name in pieces[0]}
