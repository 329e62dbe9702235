"""Kernel distance between two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.rows import BLOCK, blocks, check_rows


class KernelDistance(api.SampleMetric):
    """Unbiased MMD^2 with the cubic kernel (x.y / D + 1)^3, in float64.

    Unbiased in the number of images, so it may be negative for equal distributions, and is for a set and itself.
    Called KID in the literature when the features are Inception's.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        subsets: Annotated[int, api.Between(1, 10_000)] | None = None
        """Mean over this many random subsets, as in the paper (100); None takes all pairs of both sets, without
        the noise of drawing."""
        subset_size: Annotated[int, api.Between(2, None)] = 1000
        """Images of each side in a subset; unused when `subsets` is None."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        drawn = "full set" if config.subsets is None else f"mean of {config.subsets} subsets of {config.subset_size}"
        protocol = f"unbiased MMD^2, cubic kernel, {drawn}"
        kid = api.Column(
            name="kid",
            better="lower",
            protocol=protocol,
            description="Kernel distance between generated and real images in feature space.",
        )
        if config.subsets is None:
            return [kid]
        spread = api.Column(
            name="kid-subset-std",
            better="neither",
            protocol=protocol,
            description="Standard deviation of the kernel distance over its subsets.",
        )
        return [kid, spread]

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"kid": MMD^2}, with subsets also {"kid-subset-std": ...}.

        Raises:
            InvalidOutput: fewer images than a subset holds (or 2), unlike dimensions, or features not finite.
        """
        config: KernelDistance.Config = self.config
        least = 2 if config.subsets is None else config.subset_size
        check_rows("kid", least, {"generated": comparison.generated, "real": comparison.real})
        x, y = comparison.generated.values, comparison.real.values
        if config.subsets is None:
            return {"kid": mmd2(x, y)}
        # RandomState's stream is fixed for ever (default_rng's is not), and torch-fidelity draws from it in this order.
        draw = np.random.RandomState(comparison.seed % 2**32)
        distances = [
            mmd2(x[draw.choice(len(x), least, replace=False)], y[draw.choice(len(y), least, replace=False)])
            for _ in range(config.subsets)
        ]
        return {"kid": float(np.mean(distances)), "kid-subset-std": float(np.std(distances))}


def mmd2(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Unbiased MMD^2 of (N, D) and (M, D): pairs of an image with itself are left out (Gretton et al. 2012, eq. 3)."""
    n, m = len(x), len(y)
    return _sum_within(x) / (n * (n - 1)) + _sum_within(y) / (m * (m - 1)) - 2 * _sum_between(x, y) / (n * m)


def _sum_between(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Sum of the kernel over all pairs, in tiles of `BLOCK` x `BLOCK`."""
    total = 0.0
    for rows in blocks(x):
        wide = rows.astype(np.float64)
        total += sum(float(_kernel(wide, others.astype(np.float64)).sum()) for others in blocks(y))
    return total


def _sum_within(x: NDArray[np.float32]) -> float:
    """Sum of the kernel over all ordered pairs of unlike rows: the tiles above the diagonal count twice."""
    total = 0.0
    for first in range(0, len(x), BLOCK):
        rows = x[first : first + BLOCK].astype(np.float64)
        tile = _kernel(rows, rows)
        total += float(tile.sum()) - float(np.trace(tile))
        total += 2 * sum(float(_kernel(rows, later.astype(np.float64)).sum()) for later in blocks(x[first + BLOCK :]))
    return total


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    products: NDArray[np.float64] = x @ y.T
    products /= x.shape[1]
    products += 1
    # numpy's general power is ten times slower than two products
    return products * products * products


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"kid": KernelDistance}
