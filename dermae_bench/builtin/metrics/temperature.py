"""Temperature scaling (Guo et al. 2017, section 4.2): one number that divides every logit, fitted on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import Numbers, require_images

COLDEST, HOTTEST = 0.01, 100.0
HALVINGS = 60
"""Of log T: 9.2 wide at first, below 1e-17 at last."""
FITTED = f"logits divided by the temperature in {COLDEST:g}..{HOTTEST:g} of the highest likelihood on val"


def softmax(logits: NDArray[np.float32] | Numbers, temperature: float) -> Numbers:
    """(N, C) logits -> (N, C) probabilities in float64, after dividing by the temperature."""
    shifted = logits.astype(np.float64) / temperature
    shifted -= shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fitted_temperature(predictions: api.Predictions, metric: str) -> float:
    """The temperature that minimises the mean -log p of the true class on `predictions.validation`.

    Raises:
        InvalidOutput: there are no validation predictions, they have no image, logits are not finite, or every class
            has the same logit everywhere, so that all temperatures are equally good.
    """
    validation = predictions.validation
    if validation is None:
        raise api.InvalidOutput(
            f"{metric} does not exist: there are no predictions on val to fit a temperature on",
            hint="use a dataset with a val split, or a metric without a temperature (ece, brier)",
        )
    require_images(validation, f"{metric}, temperature on val,")
    if not np.ptp(validation.logits, axis=1).any():
        raise api.InvalidOutput(
            f"{metric} does not exist: all classes have equal logits on val, so no temperature is better than another",
            hint="the model says nothing; look at its training",
        )
    return best_temperature(validation.logits, validation.labels)


def best_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Logits (N, C), true classes (N,) -> the temperature of the highest likelihood, COLDEST..HOTTEST.

    The loss is convex in 1/T, and its slope there is the mean of (expected logit - logit of the true class). Its
    root is bisected in log T. Where it has none inside, a bound: COLDEST when every decision is right, HOTTEST when
    the logits are no better than chance.
    """
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    true = np.take_along_axis(values, labels[:, None], axis=1)[:, 0]

    def slope(log_temperature: float) -> float:
        expected = (softmax(values, float(np.exp(log_temperature))) * values).sum(axis=1)
        return float((expected - true).mean())

    cold, hot = float(np.log(COLDEST)), float(np.log(HOTTEST))
    if slope(cold) <= 0:
        return COLDEST
    if slope(hot) >= 0:
        return HOTTEST
    for _ in range(HALVINGS):
        middle = (cold + hot) / 2
        cold, hot = (middle, hot) if slope(middle) > 0 else (cold, middle)
    return float(np.exp((cold + hot) / 2))
