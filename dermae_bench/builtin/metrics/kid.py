"""Kernel distance between two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

BLOCK = 1024
"""Rows per kernel block: memory stays at BLOCK x M float64 whatever the number of images."""


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

    def values(self, generated: api.Features, real: api.Features, seed: int) -> Mapping[str, float]:
        """{"kid": MMD^2}, with subsets also {"kid-subset-std": ...}.

        Raises:
            InvalidOutput: fewer images than a subset holds (or 2), unlike dimensions, or features not finite.
        """
        config: KernelDistance.Config = self.config
        x, y = _checked(generated.values, real.values, 2 if config.subsets is None else config.subset_size)
        if config.subsets is None:
            return {"kid": mmd2(x, y)}
        # RandomState's stream is fixed for ever (default_rng's is not), and torch-fidelity draws from it in this order.
        draw = np.random.RandomState(seed % 2**32)
        size = config.subset_size
        distances = [
            mmd2(x[draw.choice(len(x), size, replace=False)], y[draw.choice(len(y), size, replace=False)])
            for _ in range(config.subsets)
        ]
        return {"kid": float(np.mean(distances)), "kid-subset-std": float(np.std(distances))}


def mmd2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Unbiased MMD^2 of (N, D) and (M, D): pairs of an image with itself are left out (Gretton et al. 2012, eq. 3)."""
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x) - float((_kernel_diagonal(x)).sum())) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - float((_kernel_diagonal(y)).sum())) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (n * m)


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Sum of the kernel over all pairs, block by block; of a set with itself only one triangle of the blocks."""
    total = 0.0
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK]
        if x is y:
            total += float(_kernel(rows, rows).sum()) + 2 * float(_kernel(rows, y[start + BLOCK :]).sum())
        else:
            total += float(_kernel(rows, y).sum())
    return total


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    products: NDArray[np.float64] = x @ y.T
    products /= x.shape[1]
    products += 1
    # numpy's general power is ten times slower than two products
    return products * products * products


def _kernel_diagonal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    diagonal: NDArray[np.float64] = (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1) ** 3
    return diagonal


def _checked(
    generated: NDArray[np.float32], real: NDArray[np.float32], least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise api.InvalidOutput(f"features of shapes {generated.shape} and {real.shape} cannot be compared")
    if min(len(generated), len(real)) < least:
        raise api.InvalidOutput(
            f"kid needs {least} images on each side, there are {len(generated)} generated and {len(real)} real"
        )
    if not (np.isfinite(generated).all() and np.isfinite(real).all()):
        raise api.InvalidOutput("features are not finite")
    return generated.astype(np.float64), real.astype(np.float64)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"kid": KernelDistance}
