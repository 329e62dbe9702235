"""From p-values and intervals to a word: correction for several tests, power, and a verdict against a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["GO", "NO-GO", "INCONCLUSIVE"]

_NORMAL = NormalDist()


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjusted p-values of Holm's step-down procedure (1979), in the order given.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at most alpha, however
    the tests depend on each other. Of sorted p_(1) <= ... <= p_(m): max over j <= i of (m - j + 1) p_(j), at most 1.

    Raises:
        ValueError: a p-value is outside [0, 1] or not a number.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values outside [0, 1]: {[value for value in values.tolist() if not 0 <= value <= 1]}")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def minimal_detectable_effect(standard_error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided test at `alpha` finds with probability `power` (Bloom 1995).

    (z of 1 - alpha / 2, plus z of power) standard errors: 2.80 of them by default. With the standard error of a paired
    difference under whole lesions (`standard_error` of paired replicates), it says what a test set of this size can
    show about these two models: a smaller difference that is "not significant" says nothing. With alpha / m for m
    tests it is the (cautious) figure of a corrected comparison.

    Args:
        standard_error: of the difference, >= 0, in the unit of the metric.
        alpha: level of the test, in (0, 1).
        power: in (alpha, 1).

    Raises:
        ValueError: an argument is outside its range.
    """
    if not (standard_error >= 0 and 0 < alpha < 1 and alpha < power < 1):
        raise ValueError(f"no effect for standard error {standard_error}, alpha {alpha}, power {power}")
    return (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)) * standard_error


def decide(low: float | None, high: float | None, threshold: float, better: Literal["higher", "lower"]) -> Verdict:
    """Verdict on an interval against a threshold: GO where all of it meets the threshold, NO-GO where none of it does.

    An interval of a difference with a margin below 0 as the threshold makes it a test of non-inferiority. An end that
    lies on the threshold meets it. Without an interval (None) nothing is concluded.

    Args:
        low, high: ends of the interval.
        threshold: the worst value that is accepted.
        better: which side of the threshold is accepted.

    Raises:
        ValueError: `low` lies above `high`, a number is NaN, or `better` is neither word.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"a threshold needs a direction, not {better!r}")
    if low is None or high is None:
        return "INCONCLUSIVE"
    if not low <= high or threshold != threshold:
        raise ValueError(f"no verdict on {low} to {high} against {threshold}")
    worst, best = (low, high) if better == "higher" else (-high, -low)
    bound = threshold if better == "higher" else -threshold
    if worst >= bound:
        return "GO"
    return "NO-GO" if best < bound else "INCONCLUSIVE"
