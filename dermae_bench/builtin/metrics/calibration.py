"""How far probabilities can be believed: Brier score, likelihood, calibration error, before and after a temperature.

The temperature is fitted on the validation split alone (Guo et al. 2017, "On Calibration of Modern Neural Networks").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import Numbers, quotient
from dermae_bench.builtin.metrics.temperature import FITTED, fitted_temperature, softmax
from dermae_bench.builtin.metrics.weighted import NoOptions, Weighted, average

Weights = NDArray[np.float32]
Scheme = Literal["equal-width", "equal-mass"]
REPLICATES_AT_ONCE = 128
"""Bounds the memory of equal-mass bins, drawn anew in every replicate: about 128 x N float64, several times."""
SQUARES = (
    "squared error of softmax summed over the classes, halved where there are two (scikit-learn's scale_by_half=auto)"
)


class Brier(Weighted):
    """Mean squared error of the probabilities (Brier 1950): 0..2; for two classes half of it, 0..1, as is usual."""

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [
            api.Column(
                name="brier",
                better="lower",
                protocol=SQUARES,
                description="Mean squared error of the probabilities; 0..2, for two classes 0..1.",
            )
        ]

    def resampled(self, predictions: api.Predictions, weights: Weights) -> Mapping[str, NDArray[np.float64]]:
        return {"brier": average(squared_errors(predictions, 1.0), weights)}


class BrierCalibrated(Weighted):
    """Brier score after dividing the logits by the temperature fitted on validation."""

    validates = True

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [
            api.Column(
                name="brier-calibrated",
                better="lower",
                protocol=f"{SQUARES}; {FITTED}",
                description="Brier score after temperature scaling fitted on validation.",
            )
        ]

    def resampled(self, predictions: api.Predictions, weights: Weights) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {"brier-calibrated": (R,)}; the temperature stays.

        Raises:
            InvalidOutput: there is no temperature (see `fitted_temperature`).
        """
        temperature = fitted_temperature(predictions, self.name)
        return {"brier-calibrated": average(squared_errors(predictions, temperature), weights)}


class NegativeLogLikelihood(Weighted):
    """Mean of -ln p of the true class: what most classifiers are trained on."""

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [
            api.Column(
                name="nll",
                better="lower",
                unit="nats",
                protocol="mean of -ln softmax of the true class",
                description="Mean negative log-likelihood of the true class.",
            )
        ]

    def resampled(self, predictions: api.Predictions, weights: Weights) -> Mapping[str, NDArray[np.float64]]:
        logits = predictions.logits.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        true = np.take_along_axis(logits, predictions.labels[:, None], axis=1)[:, 0]
        return {"nll": average(np.log(np.exp(logits).sum(axis=1)) - true, weights)}


@dataclass(frozen=True, kw_only=True)
class Binning:
    """How confidences are sorted into bins."""

    bins: Annotated[int, api.Between(1, 1000)] = 15
    """How many bins."""
    scheme: Scheme = "equal-width"
    """Bins of equal width over 0..1, or of equal number of images."""

    @property
    def protocol(self) -> str:
        """In words."""
        kind = {
            "equal-width": "of equal width, (i/B, (i+1)/B]",
            "equal-mass": "of equal number of images, equal confidences in one bin",
        }[self.scheme]
        return f"top-label confidence, {self.bins} bins {kind}; weighted mean of |accuracy - confidence|"


class ExpectedCalibrationError(Weighted):
    """Mean distance between confidence and accuracy over bins of the top label's probability (Guo et al. 2017)."""

    Config = Binning

    @classmethod
    def columns(cls, config: Binning) -> Sequence[api.Column]:
        return [
            api.Column(
                name="ece",
                better="lower",
                protocol=config.protocol,
                description="Mean distance between confidence and accuracy of the decision.",
            )
        ]

    def resampled(self, predictions: api.Predictions, weights: Weights) -> Mapping[str, NDArray[np.float64]]:
        return {"ece": calibration_error(predictions, 1.0, weights, self.config)}


class ECECalibrated(Weighted):
    """Expected calibration error after dividing the logits by the temperature fitted on validation; and the latter."""

    Config = Binning
    validates = True

    @classmethod
    def columns(cls, config: Binning) -> Sequence[api.Column]:
        return [
            api.Column(
                name="ece-calibrated",
                better="lower",
                protocol=f"{config.protocol}; {FITTED}",
                description="Expected calibration error after temperature scaling fitted on validation.",
            ),
            api.Column(
                name="temperature",
                better="neither",
                protocol=FITTED,
                description="What the logits are divided by; above 1 the model is too sure of itself.",
            ),
        ]

    def resampled(self, predictions: api.Predictions, weights: Weights) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {column: (R,)}; the temperature stays, so its replicates are all equal.

        Raises:
            InvalidOutput: there is no temperature (see `fitted_temperature`).
        """
        temperature = fitted_temperature(predictions, self.name)
        error = calibration_error(predictions, temperature, weights, self.config)
        return {"ece-calibrated": error, "temperature": np.full(len(weights), temperature)}


def squared_errors(predictions: api.Predictions, temperature: float) -> Numbers:
    """Brier score of each image (N,), after a temperature."""
    classes = len(predictions.task.classes)
    wrong = softmax(predictions.logits, temperature) - np.eye(classes)[predictions.labels]
    return np.asarray((wrong**2).sum(axis=1) / (2 if classes == 2 else 1))


def calibration_error(predictions: api.Predictions, temperature: float, weights: Weights, binning: Binning) -> Numbers:
    """Sum over bins of |weight of right decisions - sum of confidences|, over the weight of all -> (R,).

    Equal-width bins are (i/B, (i+1)/B] as in the paper. Equal-mass bins follow the images in order of confidence: with
    m of n images strictly below it, an image is in bin floor(B m / n), so that equal confidences share a bin.
    """
    # classes sorted first: rows that differ in their order alone must tie to the last bit
    confidence = softmax(np.sort(predictions.logits, axis=1), temperature)[:, -1]
    gap = (predictions.logits.argmax(axis=1) == predictions.labels) - confidence
    total = weights.sum(axis=1, dtype=np.float64)
    if binning.scheme == "equal-mass":
        return quotient(_equal_mass(confidence, gap, weights, binning.bins), total)
    bin_of = np.searchsorted(np.arange(1, binning.bins) / binning.bins, confidence, side="left")
    sums = weights @ (np.eye(binning.bins)[bin_of] * gap[:, None])
    return quotient(np.abs(sums).sum(axis=1), total)


def _equal_mass(confidence: Numbers, gap: Numbers, weights: Weights, bins: int) -> Numbers:
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    lowest = np.searchsorted(ordered, ordered, side="left")
    error = np.empty(len(weights))
    for begin in range(0, len(weights), REPLICATES_AT_ONCE):
        rows = slice(begin, begin + REPLICATES_AT_ONCE)
        block = weights[rows][:, order].astype(np.float64)
        below = np.zeros((len(block), len(order) + 1))
        np.cumsum(block, axis=1, out=below[:, 1:])
        everything = np.where(below[:, -1:] > 0, below[:, -1:], 1.0)
        # an image of weight 0 may have all weight below it; its bin does not matter
        bin_of = np.minimum(bins * below[:, lowest] // everything, bins - 1).astype(np.int64)
        cells = (bin_of + bins * np.arange(len(block))[:, None]).ravel()
        sums = np.bincount(cells, weights=(block * gap[order]).ravel(), minlength=bins * len(block))
        error[rows] = np.abs(sums.reshape(len(block), bins)).sum(axis=1)
    return error


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {
        "brier": Brier,
        "brier-calibrated": BrierCalibrated,
        "nll": NegativeLogLikelihood,
        "ece": ExpectedCalibrationError,
        "ece-calibrated": ECECalibrated,
    }
