"""Area under the ROC curve: every class against the rest, the positive class, and its part above a sensitivity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics import roc
from dermae_bench.builtin.metrics.existence import (
    REPLICATES,
    mean_over_classes,
    require_both,
    require_classes,
    require_images,
)
from dermae_bench.builtin.metrics.weighted import NoOptions, Weighted

LOWEST_SENSITIVITY = 0.8
"""Of ISIC 2024: what a screening tool must reach before its specificity counts."""


class OffTheCurve(Weighted):
    """One number that is read off ROC curves."""

    column: ClassVar[api.Column]

    @staticmethod
    @abstractmethod
    def measure(curve: roc.Rises) -> NDArray[np.float64]:
        """What is read off: curves -> (R,)."""

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [cls.column]


class OneVsRest(OffTheCurve):
    """Mean over the classes of something read off the ROC curve of each class against all others.

    Scores are the order of softmax probabilities. A class without an image makes the number non-existent, on the
    images as in a bootstrap replicate.
    """

    of_a_class: ClassVar[str]
    """Name of the number of one class."""

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_classes(predictions, self.name)

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        return {self.name: mean_over_classes(roc.one_vs_rest(self.measure, predictions, weights))}

    def per_class(self, predictions: api.Predictions) -> Mapping[str, NDArray[np.float64]]:
        """{name: (C,)}, NaN for a class without an image, or without any other.

        Raises:
            InvalidOutput: no image, or logits not finite.
        """
        require_images(predictions, self.name)
        ones = np.ones((1, len(predictions.labels)), dtype=np.float32)
        return {self.of_a_class: roc.one_vs_rest(self.measure, predictions, ones)[0]}


class PositiveVsRest(OffTheCurve):
    """Something read off the ROC curve of the task's positive class against all others, by its log-odds.

    It does not exist for a task without a positive class, nor without a positive and another image.
    """

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_both(predictions, self.name)

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        return {self.name: roc.positive_vs_rest(self.measure, predictions, weights, self.name)}


class AUCOneVsRestMacro(OneVsRest):
    """Probability that an image of the class scores above one of another, ties one half; mean over the classes."""

    column = api.Column(
        name="auc-ovr-macro",
        better="higher",
        average="macro",
        protocol=f"one class against the rest, order of softmax, ties one half; {REPLICATES}",
        description="Mean over the classes of the area under the ROC curve against all others.",
    )
    of_a_class = "auc"
    measure = staticmethod(roc.area)


class AUCBinary(PositiveVsRest):
    """Probability that a positive image scores above another one, ties one half."""

    column = api.Column(
        name="auc-binary",
        better="higher",
        average="binary",
        positive=True,
        protocol="positive class against the rest, order of its log-odds, ties one half",
        description="Area under the ROC curve of the positive class against all others.",
    )
    measure = staticmethod(roc.area)


class PartialAUC(PositiveVsRest):
    """Area under the ROC curve above a sensitivity of 0.8, the score of ISIC 2024 (Kurtansky et al. 2024): 0..0.20.

    Not the area of the whole band (ISIC 2018's `auc_sens_80`), and not rescaled: 0.02 is chance.
    """

    column = api.Column(
        name="pauc-above-80-sensitivity",
        better="higher",
        average="binary",
        positive=True,
        protocol=f"area under the ROC curve and above sensitivity {LOWEST_SENSITIVITY}, range 0..0.20, not rescaled; "
        "order of the log-odds of the positive class, straight lines across ties",
        description="Area under the ROC curve above a sensitivity of 80 % (ISIC 2024); 0.20 is perfect, 0.02 chance.",
    )

    @staticmethod
    def measure(curve: roc.Rises) -> NDArray[np.float64]:
        return roc.area_above(curve, LOWEST_SENSITIVITY)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {"auc-ovr-macro": AUCOneVsRestMacro, "auc-binary": AUCBinary, "pauc-above-80-sensitivity": PartialAUC}
