"""Sensitivity and specificity of the plain decision: what publications print when they say no threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import positive_class, quotient, require_both
from dermae_bench.builtin.metrics.weighted import NoOptions, Weighted


class SensitivityAtArgmax(Weighted):
    """Share of the task's positive images that are decided for, with the specificity beside it.

    The decision is the most probable class: for two classes a threshold of 0.5 (Class-N-Diff, Table III).
    """

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [
            api.Column(
                name="sensitivity-at-argmax",
                better="higher",
                average="binary",
                positive=True,
                threshold="argmax",
                description="Share of positive images whose most probable class is the positive one.",
            ),
            api.Column(
                name="specificity-at-argmax",
                better="higher",
                average="binary",
                positive=True,
                threshold="argmax",
                description="Share of other images whose most probable class is another one.",
            ),
        ]

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_both(predictions, self.name)

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {column: (R,)}; NaN where no image counts for a rate."""
        number = positive_class(predictions.task, self.name)
        positive = predictions.labels == number
        called = predictions.logits.argmax(axis=1) == number
        cells = np.stack([positive & called, positive, ~positive & ~called, ~positive], axis=1)
        found, ill, spared, well = (weights @ cells.astype(np.float32)).astype(np.float64).T
        return {"sensitivity-at-argmax": quotient(found, ill), "specificity-at-argmax": quotient(spared, well)}


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {"sensitivity-at-argmax": SensitivityAtArgmax}
