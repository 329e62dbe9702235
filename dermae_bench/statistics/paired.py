"""Is model A better than model B on the same images? Tests that need no randomisation.

Every function takes what A and B said about the same images in the same order and gives a two-sided p-value. McNemar
and DeLong take images for independent: with several photographs of a lesion their p-values are too small, as a rule,
and their results say ``clustered=False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.statistics.bootstrap import ROUNDING, Interval, acceleration, bca, percentile, share_below

_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """What one test says about the difference of two models."""

    method: str
    """Name and form of the test, e.g. ``mcnemar, mid-p``."""
    difference: float
    """The number of A minus that of B."""
    statistic: float
    """What the test looks at; the function says what that is."""
    p: float
    """Two-sided, in [0, 1], before any correction for several tests."""
    n: int
    """Images."""
    clusters: int
    """Lesions."""
    clustered: bool
    """Whether images of one lesion are kept together; if not, the test takes all n images for independent."""
    interval: Interval | None = None
    """Of the difference, where the test comes with one."""


def mcnemar(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    groups: Sequence[str],
    form: Literal["exact", "mid-p"] = "mid-p",
) -> PairedTest:
    """McNemar's test of equal accuracy: the images on which exactly one model is right are fair coins.

    ``exact`` is the binomial test, which rejects less often than alpha. ``mid-p`` counts the observed split by half
    (Fagerland, Lydersen and Laake 2013) and rejects about as often as it should. No discordant image: p = 1. Ignores
    lesions. `statistic`: images on which only A is right.

    Args:
        right_a, right_b: (N,) whether each decision is right.
        groups: (N,) lesions, only counted.
        form: of the p-value.

    Raises:
        ValueError: lengths differ, or there is no image.
    """
    clusters = _clusters(groups, right_a, right_b)
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(~a & b))
    return PairedTest(
        method=f"mcnemar, {form}",
        difference=(only_a - only_b) / len(a),
        statistic=float(only_a),
        p=_fair_coins(only_a, only_b, mid=form == "mid-p"),
        n=len(a),
        clusters=clusters,
        clustered=False,
    )


def delong(
    scores_a: NDArray[np.floating],
    scores_b: NDArray[np.floating],
    positive: NDArray[np.bool_],
    groups: Sequence[str],
) -> PairedTest:
    """Equal area under the ROC curve of two correlated scores (DeLong, DeLong and Clarke-Pearson 1988).

    In the midrank form of Sun and Xu (2014), O(n log n). Equal scores count one half. Ignores lesions. `statistic`:
    the normal deviate z. The interval is the 95 % Wald interval.

    Args:
        scores_a, scores_b: (N,) higher means more likely positive; only their order counts.
        positive: (N,) truth.
        groups: (N,) lesions, only counted.

    Raises:
        InvalidOutput: fewer than two images on a side, or a difference without variance (both areas sure, unequal).
        ValueError: lengths differ, there is no image, or a score is not finite.
    """
    clusters = _clusters(groups, scores_a, scores_b, positive)
    truth = np.asarray(positive, dtype=bool)
    scores = np.stack([np.asarray(scores_a, dtype=np.float64), np.asarray(scores_b, dtype=np.float64)])
    if not np.isfinite(scores).all():
        raise ValueError("delong: scores are not finite")
    m, n = int(truth.sum()), int((~truth).sum())
    if min(m, n) < 2:
        raise InvalidOutput(f"delong does not exist for {m} positive and {n} negative images: two of each are needed")
    above, below = zip(*(_placements(row[truth], row[~truth]) for row in scores), strict=True)
    areas = [float(row.mean()) for row in above]
    # the difference is itself a two-sample U-statistic, so its placements give its variance
    variance = float((above[0] - above[1]).var(ddof=1) / m + (below[0] - below[1]).var(ddof=1) / n)
    difference = areas[0] - areas[1]
    if abs(difference) <= ROUNDING:
        z, p = 0.0, 1.0
    elif variance <= ROUNDING**2:
        raise InvalidOutput(f"delong does not exist: the areas {areas[0]} and {areas[1]} have no variance")
    else:
        z = difference / variance**0.5
        p = 2 * _NORMAL.cdf(-abs(z))
    half = _NORMAL.inv_cdf(0.975) * variance**0.5
    return PairedTest(
        method="delong",
        difference=difference,
        statistic=z,
        p=p,
        n=len(truth),
        clusters=clusters,
        clustered=False,
        interval=Interval(low=difference - half, high=difference + half, method="wald"),
    )


def paired_bootstrap(
    difference: float,
    replicates: NDArray[np.floating],
    jackknife: NDArray[np.floating],
    n: int,
    *,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> PairedTest:
    """Interval and p-value of a difference from paired replicates under whole lesions drawn with replacement.

    The p-value is by inversion: 1 minus the level at which 0 becomes an end of the interval (Efron and Tibshirani
    1993, section 15.4). So p < 1 - level where 0 lies outside the interval, up to the gap between neighbouring
    replicates; replicates equal to 0 count by half. p is at least 2 / (R + 1). `statistic`: the share of replicates
    below 0.

    Args:
        difference: number of A minus number of B on the whole sample.
        replicates: (R,) the same difference under the same `cluster_weights` for both.
        jackknife: (G,) the same under `leave_one_out`.
        n: images.
        level: of the interval.
        method: ``bca`` falls back to ``percentile`` as `bca` says; the interval names what it is.

    Raises:
        InvalidOutput: no interval exists (too many replicates without a number, or fewer than two lesions).
        ValueError: see `bca`.
    """
    if method == "bca":
        interval = bca(difference, replicates, jackknife, level)
    else:
        interval = percentile(replicates, level) if len(jackknife) > 1 else None
    if interval is None:
        raise InvalidOutput(
            f"a paired bootstrap does not exist: {int((~np.isfinite(replicates)).sum())} of {len(replicates)} "
            f"replicates have no number, {len(jackknife)} lesions"
        )
    values = np.asarray(replicates, dtype=np.float64)
    values = values[np.isfinite(values)]
    below = share_below(values, 0.0)
    if values.max() - values.min() <= ROUNDING:
        # nothing varies: the same answers, or a difference that every replicate repeats
        p = 1.0 if abs(difference) <= ROUNDING else 2 / (len(values) + 1)
    else:
        # one replicate more on the far side keeps p above 0, as in a randomisation test
        kept = min(max(below, 1 / (len(values) + 1)), len(values) / (len(values) + 1))
        deviate = _NORMAL.inv_cdf(kept)
        if interval.method == "bca":
            bias = _NORMAL.inv_cdf(share_below(values, difference))
            shifted = deviate - bias
            slope = 1 + acceleration(jackknife) * shifted
            # beyond the pole no level reaches 0, so the smallest p that R replicates can give stands
            deviate = shifted / slope - bias if slope > 0 else _NORMAL.inv_cdf(1 / (len(values) + 1))
        p = max(2 * _NORMAL.cdf(-abs(deviate)), 2 / (len(values) + 1))
    return PairedTest(
        method=f"paired bootstrap, {interval.method}",
        difference=float(difference),
        statistic=below,
        p=min(p, 1.0),
        n=n,
        clusters=len(jackknife),
        clustered=True,
        interval=interval,
    )


def midranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks 1..N of scores (N,); equal scores share the mean of their ranks."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[group]
    return ranks


def _placements(above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Share of negatives below each positive (m,), and share of positives above each negative (n,)."""
    together = midranks(np.r_[above, below])
    m, n = len(above), len(below)
    return (together[:m] - midranks(above)) / n, 1 - (together[m:] - midranks(below)) / m


def _fair_coins(heads: int, tails: int, *, mid: bool) -> float:
    """Two-sided binomial p-value of `heads` against `tails`, in whole numbers, so it is exact for any count."""
    tosses, fewer = heads + tails, min(heads, tails)
    if tosses == 0:
        return 1.0
    ways, tail = 1, 1
    for k in range(1, fewer + 1):
        ways = ways * (tosses - k + 1) // k
        tail += ways
    assert ways == comb(tosses, fewer)
    if heads == tails:
        # both tails hold the middle; mid-p counts it by half in all
        return 1.0 - ways / (2 << tosses) if mid else 1.0
    return (2 * tail - (ways if mid else 0)) / (1 << tosses)


def _clusters(groups: Sequence[str], *arrays: NDArray[np.generic]) -> int:
    """Number of lesions; raises where lengths differ."""
    lengths = {len(groups), *(len(array) for array in arrays)}
    if len(lengths) > 1 or lengths == {0}:
        raise ValueError(f"a paired test needs the same images of both models, at least one, not {sorted(lengths)}")
    return len(set(groups))
