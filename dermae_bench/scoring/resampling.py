"""Every number of a metric under the bootstrap and the jackknife of whole lesions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Draws:
    """The weights of one set of images, made once for all metrics: drawing costs more than most metrics do.

    Args:
        groups: (N,) lesion of each image.
        resamples: R.
        seed: every score stage takes 0, so that its draws are aligned with those of others on the same images.
    """

    def __init__(self, groups: Sequence[str], resamples: int, seed: int = 0) -> None:
        self.groups = groups
        self._weights = cluster_weights(groups, resamples, seed)
        self._step = max(1, BLOCK // max(1, len(groups)))

    def bootstrap(self) -> Iterator[NDArray[np.float32]]:
        """(k, N) in blocks, R in all."""
        yield from (self._weights[i : i + self._step] for i in range(0, len(self._weights), self._step))

    def left_out(self) -> Iterator[NDArray[np.float32]]:
        """(k, N) in blocks, one row a lesion."""
        lesions = len(set(self.groups))
        yield from (leave_one_out(self.groups, i, i + self._step) for i in range(0, lesions, self._step))

    def lacking(self, labels: NDArray[np.int64]) -> float:
        """Share of the bootstrap in which a class that the images have is not drawn."""
        present = np.unique(labels)
        lost = [(block @ (labels[:, None] == present)) == 0 for block in self.bootstrap()]
        return float(np.concatenate(lost).any(axis=1).mean())


def resample(metric: PredictionMetric, predictions: Predictions, draws: Draws) -> Resampled | None:
    """A metric under draws of the lesions of `predictions`; None where the metric has no vectorised form."""
    replicates = _values(metric, predictions, draws.bootstrap())
    if replicates is None:
        return None
    jackknife = _values(metric, predictions, draws.left_out())
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
