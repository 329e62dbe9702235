"""Sensitivity at a specificity, and the reverse, at a threshold chosen on the validation split alone.

Choosing the threshold on the images that are scored, as torchmetrics' `SensitivityAtSpecificity` does, reports the
best case. Here the threshold is frozen first; the rate that it aimed at is then only nearly met, and stands beside.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import Numbers, positive_class, quotient, require_both, require_images
from dermae_bench.builtin.metrics.roc import log_odds
from dermae_bench.builtin.metrics.weighted import NoOptions, Weighted

Truth = NDArray[np.bool_]


class OperatingPoint(Weighted):
    """Sensitivity and specificity where the log-odds of the positive class reach a frozen threshold."""

    validates = True
    percent: ClassVar[int]
    """The rate that the threshold aims at on validation, in percent."""
    sensitivity: ClassVar[str]
    """Column of the share of positive images found."""
    specificity: ClassVar[str]
    """Column of the share of other images left alone."""

    @staticmethod
    @abstractmethod
    def threshold(scores: Numbers, positive: Truth, rate: float) -> float:
        """Validation's scores (N,) and truth (N,) -> the threshold; both sides have an image."""

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_both(predictions, self.name)

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {column: (R,)}; the threshold stays. NaN where no image counts for a rate.

        Raises:
            InvalidOutput: no threshold can be chosen: no predictions on validation, or no positive or no other image
                among them.
        """
        threshold = self._frozen(predictions)
        number = positive_class(predictions.task, self.name)
        positive = predictions.labels == number
        called = log_odds(predictions.logits, number) >= threshold
        cells = np.stack([positive & called, positive, ~positive & ~called, ~positive], axis=1)
        found, ill, spared, well = (weights @ cells.astype(np.float32)).astype(np.float64).T
        return {self.sensitivity: quotient(found, ill), self.specificity: quotient(spared, well)}

    def _frozen(self, predictions: api.Predictions) -> float:
        name, validation = self.name, predictions.validation
        if validation is None:
            raise api.InvalidOutput(
                f"{name} does not exist: there are no predictions on val to choose a threshold on",
                hint="use a dataset with a val split, or a metric without a threshold (auc-binary, ap-binary)",
            )
        where = f"{name}, threshold on val,"
        require_images(validation, where)
        require_both(validation, where)
        number = positive_class(validation.task, name)
        return self.threshold(log_odds(validation.logits, number), validation.labels == number, self.percent / 100)


class SensitivityAtSpecificity(OperatingPoint):
    """Share of positive images found, at the threshold that keeps a specificity on validation."""

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        rule = (
            f"the lowest of val's scores, or just above them all, at which the specificity on val is >= "
            f"{cls.percent / 100:.2f}; positive where score >= threshold; score = log-odds of the positive class"
        )
        return [
            _column(
                cls.sensitivity,
                rule,
                f"Sensitivity at the threshold that gives {cls.percent} % specificity on validation.",
            ),
            _column(
                cls.specificity, rule, f"Specificity at that threshold; {cls.percent} % was aimed at.", better="neither"
            ),
        ]

    @staticmethod
    def threshold(scores: Numbers, positive: Truth, rate: float) -> float:
        return lowest_threshold(scores, positive, rate)


class SensitivityAt80Specificity(SensitivityAtSpecificity):
    """Sensitivity where validation's specificity is at least 80 %."""

    percent, sensitivity, specificity = 80, "sensitivity-at-80-specificity", "specificity-reached-at-80"


class SensitivityAt90Specificity(SensitivityAtSpecificity):
    """Sensitivity where validation's specificity is at least 90 %."""

    percent, sensitivity, specificity = 90, "sensitivity-at-90-specificity", "specificity-reached-at-90"


class SensitivityAt95Specificity(SensitivityAtSpecificity):
    """Sensitivity where validation's specificity is at least 95 %."""

    percent, sensitivity, specificity = 95, "sensitivity-at-95-specificity", "specificity-reached-at-95"


class SpecificityAt95Sensitivity(OperatingPoint):
    """Share of other images left alone, at the threshold that keeps a sensitivity of 95 % on validation."""

    percent, sensitivity, specificity = 95, "sensitivity-reached-at-95", "specificity-at-95-sensitivity"

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        rule = (
            f"the highest of val's scores at which the sensitivity on val is >= {cls.percent / 100:.2f}; "
            "positive where score >= threshold; score = log-odds of the positive class"
        )
        return [
            _column(
                cls.specificity,
                rule,
                f"Specificity at the threshold that gives {cls.percent} % sensitivity on validation.",
            ),
            _column(
                cls.sensitivity, rule, f"Sensitivity at that threshold; {cls.percent} % was aimed at.", better="neither"
            ),
        ]

    @staticmethod
    def threshold(scores: Numbers, positive: Truth, rate: float) -> float:
        return highest_threshold(scores, positive, rate)


def _column(name: str, rule: str, description: str, better: Literal["higher", "neither"] = "higher") -> api.Column:
    return api.Column(
        name=name, better=better, average="binary", positive=True, threshold=rule, description=description
    )


def lowest_threshold(scores: Numbers, positive: Truth, specificity: float) -> float:
    """The lowest of the scores (N,) that leaves at least this share of the other images below it.

    Where even the highest score does not (too many other images share it), the next float64 above it: the lowest
    threshold at which none of these images is called positive.
    """
    others = np.sort(scores[~positive])
    candidates = np.unique(scores)
    good = np.searchsorted(others, candidates, side="left") / len(others) >= specificity
    return float(candidates[good.argmax()] if good.any() else np.nextafter(candidates[-1], np.inf))


def highest_threshold(scores: Numbers, positive: Truth, sensitivity: float) -> float:
    """The highest of the scores (N,) that at least this share of the positive images reach. It always exists."""
    falling = np.sort(scores[positive])[::-1]
    found = np.searchsorted(-falling, -falling, side="right") / len(falling)
    return float(falling[(found >= sensitivity).argmax()])


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {
        "sensitivity-at-80-specificity": SensitivityAt80Specificity,
        "sensitivity-at-90-specificity": SensitivityAt90Specificity,
        "sensitivity-at-95-specificity": SensitivityAt95Specificity,
        "specificity-at-95-sensitivity": SpecificityAt95Sensitivity,
    }
