"""Intervals from whole lesions drawn with replacement. Imports neither scipy nor torch: score stages run in forks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MISSING = 0.05
"""Largest share of replicates without a number; with more, what is left is no sample of the distribution any more."""

ROUNDING = 1e-9
"""Relative difference below which two numbers count as equal: the same counts summed in another order."""

_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval and how it was made."""

    low: float
    high: float
    method: Literal["bca", "percentile", "wald", "counts"]
    """``percentile`` where that was asked for, or where BCa does not exist and `bca` fell back; ``counts``: of exact
    counts, without draws."""


def cluster_weights(groups: Sequence[str], resamples: int, seed: int = 0) -> NDArray[np.float32]:
    """How often each image stands in each bootstrap replicate when lesions are drawn, not images -> (R, N).

    Every replicate draws as many lesions as there are, with replacement (Davison and Hinkley 1997, section 3.8). Draws
    belong to the sorted names of the lesions. So two predictions of the same images get the same draws, in whatever
    order the images stand, and the difference of their replicates is a paired replicate.

    Args:
        groups: (N,) name of each image's lesion.
        resamples: R.
        seed: of the draws.
    """
    names, member = lesions(groups)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    weights: NDArray[np.float32] = drawn.astype(np.float32)[:, member]
    return weights


def leave_one_out(groups: Sequence[str], start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Weights that leave out one lesion each -> (G, N), 0 for its images and 1 for all others.

    Args:
        groups: (N,) name of each image's lesion; row g leaves out the g-th name in sorted order.
        start, stop: only the rows start:stop, for sets whose G x N weights would not fit into memory at once.
    """
    names, member = lesions(groups)
    left_out = np.arange(len(names))[start:stop]
    kept: NDArray[np.bool_] = member[None, :] != left_out[:, None]
    return kept.astype(np.float32)


def bca(
    estimate: float, replicates: NDArray[np.floating], jackknife: NDArray[np.floating], level: float = 0.95
) -> Interval | None:
    """Bias-corrected and accelerated interval (Efron 1987; Efron and Tibshirani 1993, equation 14.10).

    The bias correction counts replicates equal to the estimate by half, as scipy does; numbers within `ROUNDING` of
    each other are equal. Replicates that are not finite are left out. What happens at the edges:

    - more than `MISSING` of the replicates are not finite, or there are fewer than two lesions: None, no interval.
    - all replicates equal: low = high = that number (nothing in the sample varies; the truth still may).
    - all replicates on one side of the estimate, or an acceleration so large that the quantile does not exist: the
      percentile interval, and `method` says so.
    - the jackknife has no spread: acceleration 0, which leaves the bias correction.

    Args:
        estimate: the number on the whole sample.
        replicates: (R,) the number under `cluster_weights`.
        jackknife: (G,) the number under `leave_one_out`; values that are not finite are left out.
        level: coverage, in (0, 1).

    Raises:
        ValueError: the estimate is not finite, there are no replicates, or the level is outside (0, 1).
    """
    if not np.isfinite(estimate):
        raise ValueError(f"an interval around {estimate} does not exist")
    finite = _finite(replicates, level)
    if finite is None or len(jackknife) < 2:
        return None
    share = share_below(finite, estimate)
    if not 0 < share < 1:
        return percentile(finite, level)
    bias, skew = _NORMAL.inv_cdf(share), acceleration(jackknife)
    tails = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + _NORMAL.inv_cdf(tail)
        if 1 - skew * shifted <= 0:
            return percentile(finite, level)
        tails.append(_NORMAL.cdf(bias + shifted / (1 - skew * shifted)))
    low, high = np.quantile(finite, tails)
    return Interval(low=float(low), high=float(high), method="bca")


def told(interval: Interval | None) -> Interval | None:
    """The interval, or None where it has no width.

    Where nothing varies in the sample (accuracy 1, a frozen temperature) the bootstrap knows nothing; a width of 0
    would claim that it does.
    """
    return interval if interval is not None and interval.high > interval.low else None


def percentile(replicates: NDArray[np.floating], level: float = 0.95) -> Interval | None:
    """The middle `level` of the replicates (R,) that are finite; None where more than `MISSING` of them are not.

    Raises:
        ValueError: there are no replicates, or the level is outside (0, 1).
    """
    finite = _finite(replicates, level)
    if finite is None:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), method="percentile")


def standard_error(replicates: NDArray[np.floating]) -> float | None:
    """Standard deviation (over R - 1) of the replicates that are finite; None where more than `MISSING` are not.

    Raises:
        ValueError: there are no replicates.
    """
    finite = _finite(replicates, 0.5)
    return None if finite is None or len(finite) < 2 else float(finite.std(ddof=1))


def acceleration(jackknife: NDArray[np.floating]) -> float:
    """A sixth of the skewness of the lesions' influence (Efron and Tibshirani 1993, eq. 14.15); 0 without spread."""
    values = np.asarray(jackknife, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return 0.0
    influence = values.mean() - values
    if np.abs(influence).max() <= ROUNDING * np.abs(values).max():
        return 0.0
    # scaled first: cubes of influences of 1e-5 and squares of 1e100 leave the range where float64 is exact
    influence = influence / np.abs(influence).max()
    return float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))


def share_below(values: NDArray[np.float64], point: float) -> float:
    """Share of values (R,) below a point; those equal to it, up to `ROUNDING`, count by half."""
    equal = np.abs(values - point) <= ROUNDING * max(abs(point), float(np.abs(values).max()))
    below = int(np.count_nonzero(~equal & (values < point)))
    return (below + 0.5 * int(np.count_nonzero(equal))) / len(values)


def lesions(groups: Sequence[str]) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
    """Sorted names of the lesions (G,) and which of them each image belongs to (N,)."""
    if len(groups) == 0:
        raise ValueError("no image, so no lesion to draw")
    return np.unique(np.asarray(groups), return_inverse=True)


def _finite(replicates: NDArray[np.floating], level: float) -> NDArray[np.float64] | None:
    """The finite replicates, or None where too many are missing."""
    if not 0 < level < 1:
        raise ValueError(f"a level of {level} is outside (0, 1)")
    if len(replicates) == 0:
        raise ValueError("no replicates")
    values = np.asarray(replicates, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return finite if len(finite) >= (1 - MISSING) * len(values) else None
