"""Metrics that are written once, for weighted images: the value is the replicate in which every image counts once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import Numbers, quotient, require_images


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Scores, decision rule and average are the metric's own."""


class Weighted(api.PredictionMetric):
    """A prediction metric whose value cannot disagree with its replicates."""

    Config: ClassVar[type] = NoOptions

    def values(self, predictions: api.Predictions) -> Mapping[str, float]:
        """{column: value}.

        Raises:
            InvalidOutput: no image, logits not finite, or whatever else `require` and `resampled` refuse.
        """
        self.require(predictions)
        ones = np.ones((1, len(predictions.labels)), dtype=np.float32)
        return {column: float(value[0]) for column, value in self.resampled(predictions, ones).items()}

    @abstractmethod
    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {column: (R,)}, NaN where a replicate has no such number."""

    def require(self, predictions: api.Predictions) -> None:
        """Raise InvalidOutput where a value does not exist."""
        require_images(predictions, self.name)

    @property
    def name(self) -> str:
        """Of the column that ranks."""
        return str(self.columns(self.config)[0].name)


def average(numbers: Numbers, weights: NDArray[np.float32]) -> Numbers:
    """Mean of (N,) under weights (R, N) -> (R,); NaN where all weigh nothing."""
    return quotient(weights @ numbers, weights.sum(axis=1, dtype=np.float64))
