"""Is model A better than model B? Tests that exchange the two models on whole lesions.

If neither model is better, then on every lesion the two could have changed places. The tests compare the difference
seen with those after random exchanges (Fisher 1935; Winkler et al. 2015 for whole blocks). Images of one lesion always
move together, so photographs of one lesion need not be independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dermae_bench.statistics.bootstrap import ROUNDING, lesions
from dermae_bench.statistics.paired import PairedTest

FLIPS = 9_999
"""Random exchanges where not all can be tried: p is known to about 0.002 near 0.05."""

ENUMERATED = 13
"""Up to this many lesions that differ, all 2^13 exchanges are tried."""

WIDEST = 10_000
"""Largest sum of whole contributions whose distribution is convolved instead of drawn."""

AT_ONCE = 512
"""Exchanges looked at together; bounds memory."""


def cluster_sign_flip(
    values_a: NDArray[np.generic],
    values_b: NDArray[np.generic],
    groups: Sequence[str],
    weights: NDArray[np.floating] | None = None,
    *,
    flips: int = FLIPS,
    seed: int = 0,
) -> PairedTest:
    """Whether a mean differs between two models: the sum of differences within each lesion gets a random sign.

    For numbers that are means over images. Accuracy: values are right or wrong. Balanced accuracy: the same with
    weights 1 / (images of the image's class). Brier score: squared errors. Null hypothesis: the difference of a lesion
    is as likely d as -d. Where whole numbers are summed (accuracy) the p-value is exact, by convolution, and no seed
    matters; with at most `ENUMERATED` lesions that differ all signs are tried; else p = (b + 1) / (flips + 1).
    `statistic`: the difference.

    Args:
        values_a, values_b: (N,) one number an image.
        groups: (N,) its lesion.
        weights: (N,) of the mean; equal by default.
        flips: drawn where p is not exact.
        seed: of the flips.

    Raises:
        ValueError: lengths differ, there is no image, or a value is not finite.
    """
    names, member = lesions(groups)
    differences = np.asarray(values_a, dtype=np.float64) - np.asarray(values_b, dtype=np.float64)
    scale = np.ones(len(member)) if weights is None else np.asarray(weights, dtype=np.float64)
    if differences.shape != member.shape or scale.shape != member.shape:
        raise ValueError(f"{len(values_a)}, {len(values_b)} values and {len(scale)} weights of {len(member)} images")
    if not np.isfinite(differences * scale).all():
        raise ValueError("cluster sign-flip: values or weights are not finite")
    sums = np.zeros(len(names))
    np.add.at(sums, member, differences * scale)
    p, form = _sign_flips(sums, flips, seed)
    difference = float(sums.sum() / scale.sum())
    return PairedTest(
        method=f"cluster sign-flip, {form}",
        difference=difference,
        statistic=difference,
        p=p,
        n=len(member),
        clusters=len(names),
        clustered=True,
    )


def pseudo_value_sign_flip(
    difference: float, jackknife: NDArray[np.floating], n: int, *, flips: int = FLIPS, seed: int = 0
) -> PairedTest:
    """The sign-flip test for any number: each lesion's pseudo-value of the difference gets a random sign.

    Pseudo-values G d - (G - 1) d_g behave as independent contributions to d (Tukey 1958), so this tests d = 0 for many
    lesions, also where the two models are not exchangeable: two scores on different scales, compared by AUC. Costs one
    number a lesion instead of one a flip. `statistic`: the mean of the pseudo-values, which is d less its jackknife
    bias.

    Args:
        difference: number of A minus number of B on the whole sample.
        jackknife: (G,) the same under `leave_one_out`.
        n: images.
        flips, seed: see `cluster_sign_flip`.

    Raises:
        ValueError: the difference or a leave-one-out value is not finite, or there is no lesion.
    """
    left_out = np.asarray(jackknife, dtype=np.float64)
    if len(left_out) == 0 or not np.isfinite(difference) or not np.isfinite(left_out).all():
        raise ValueError("pseudo-values do not exist: the difference is not finite without some lesion")
    pseudo = len(left_out) * difference - (len(left_out) - 1) * left_out
    p, form = _sign_flips(pseudo, flips, seed)
    return PairedTest(
        method=f"cluster sign-flip of pseudo-values, {form}",
        difference=float(difference),
        statistic=float(pseudo.mean()),
        p=p,
        n=n,
        clusters=len(left_out),
        clustered=True,
    )


def swap_weights(groups: Sequence[str], flips: int, seed: int = 0) -> NDArray[np.float32]:
    """Random exchanges of two models on whole lesions -> (R, N), 1 where A stays A and 0 where the two change places.

    With the answers of A and then those of B stacked to 2 N images (labels and groups twice), the first model after the
    exchange has weights [s, 1 - s] and the second [1 - s, s]. Draws belong to the sorted names of the lesions.
    """
    return _swaps(groups, flips, seed).astype(np.float32)


def swap_test(
    statistic: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    groups: Sequence[str],
    *,
    flips: int = FLIPS,
    seed: int = 0,
) -> PairedTest:
    """Whether any number differs between two models: they change places on random whole lesions.

    Null hypothesis: on every lesion the answers of A and B are exchangeable. It suits numbers from decisions (F1,
    balanced accuracy). Two models that are equally good but differ elsewhere, e.g. in the classes they decide for or in
    the scale of their scores, are not exchangeable; then `pseudo_value_sign_flip` tests the number itself. For the
    order of scores (AUC) midranks within each model may stand for scores (Bandos, Rockette and Gur 2005).
    p = (b + 1) / (flips + 1); an exchange without a number counts as extreme. `statistic`: the difference.

    Args:
        statistic: weights (R, 2 N) of the stacked images, A's answers first -> the number (R,).
            `PredictionMetric.resampled` of the stacked predictions is one. Called with up to `AT_ONCE` rows.
        groups: (N,) lesions, not stacked.
        flips: R.
        seed: of the exchanges.

    Raises:
        ValueError: there is no image, or the difference itself is not finite.
    """
    swaps = _swaps(groups, flips, seed)

    def differences(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        first = np.concatenate([kept, ~kept], axis=1).astype(np.float32)
        return np.asarray(statistic(first) - statistic(1 - first), dtype=np.float64)

    observed = float(differences(np.ones((1, len(groups)), dtype=bool))[0])
    replicates = np.concatenate(
        [differences(swaps[start : start + AT_ONCE]) for start in range(0, flips, AT_ONCE)] or [np.empty(0)]
    )
    return PairedTest(
        method=f"cluster swap, {flips} drawn",
        difference=observed,
        statistic=observed,
        p=sign_flip(observed, replicates),
        n=len(groups),
        clusters=len(set(groups)),
        clustered=True,
    )


def sign_flip(observed: float, replicates: NDArray[np.floating]) -> float:
    """Two-sided p of a difference among random exchanges (R,): (b + 1) / (R + 1) (Phipson and Smyth 2010).

    b counts those at least as far from 0, equal up to rounding included; one without a number counts as extreme.

    Raises:
        ValueError: the difference is not finite.
    """
    if not np.isfinite(observed):
        raise ValueError(f"a difference of {observed} cannot be tested")
    values = np.abs(np.asarray(replicates, dtype=np.float64))
    nearer = int(np.count_nonzero(values < abs(observed) * (1 - ROUNDING)))
    return (len(values) - nearer + 1) / (len(values) + 1)


def _sign_flips(sums: NDArray[np.float64], flips: int, seed: int) -> tuple[float, str]:
    """Two-sided p of sum(sums) under random signs, and how it was found."""
    size = np.abs(sums)
    # a lesion on which the models agree is the same under both signs
    differing = size[size > ROUNDING * size.max()]
    reached = abs(float(sums.sum())) * (1 - ROUNDING)
    if len(differing) == 0:
        return 1.0, "exact"
    if np.array_equal(differing, np.round(differing)) and differing.sum() <= WIDEST:
        return _convolved(differing.astype(np.int64), reached), "exact"
    if len(differing) <= ENUMERATED:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(differing))[:, None] >> np.arange(len(differing))) & 1)
        return float(np.mean(np.abs(signs @ differing) >= reached)), "exact"
    generator = np.random.default_rng(seed)
    further = 0
    for start in range(0, flips, AT_ONCE):
        rows = min(AT_ONCE, flips - start)
        kept = _bits(generator, rows, len(differing)).astype(np.float64)
        further += int(np.count_nonzero(np.abs(2 * (kept @ differing) - differing.sum()) >= reached))
    return (further + 1) / (flips + 1), f"{flips} drawn"


def _convolved(sizes: NDArray[np.int64], reached: float) -> float:
    """P(|sum of randomly signed whole numbers| >= reached), by adding one lesion after another."""
    total = int(sizes.sum())
    chances = np.zeros(2 * total + 1)
    chances[total] = 1.0
    for size in sizes:
        # never wraps: the mass so far lies within the sum of the sizes so far
        chances = 0.5 * (np.roll(chances, size) + np.roll(chances, -size))
    return min(float(chances[np.abs(np.arange(-total, total + 1)) >= reached].sum()), 1.0)


def _swaps(groups: Sequence[str], flips: int, seed: int) -> NDArray[np.bool_]:
    names, member = lesions(groups)
    swaps: NDArray[np.bool_] = _bits(np.random.default_rng(seed), flips, len(names))[:, member]
    return swaps


def _bits(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns) fair coins, eight from each random byte."""
    drawn = np.frombuffer(generator.bytes(rows * (-(-columns // 8))), dtype=np.uint8).reshape(rows, -1)
    return np.unpackbits(drawn, axis=1, count=columns).astype(bool)
