"""Fréchet distance extrapolated to infinitely many generated images (Chong & Forsyth 2020), and its curve over N."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.frechet import distance_of, mean_and_root
from dermae_bench.builtin.metrics.rows import BLOCK, Once, check_rows

PARTS = range(8, 1, -1)
"""The line goes through N = 2 n / k for these k: from n / 4 to n, evenly spaced in 1 / N."""
LEAST = 28
"""Images from which on the sizes of the line differ."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The distance at one number of images."""

    n: int
    subsets: int
    fd: float
    """Mean over the subsets."""
    sd: float | None
    """Spread over them; None for one."""


class FrechetInfinity(api.SampleMetric):
    """Intercept of a straight line through the Fréchet distance over 1 / N (Chong & Forsyth 2020, section 3).

    The distance of N generated images is too large by about c / N. Not as in the paper: 7 sizes evenly spaced in 1 / N
    from n / 4 to n (the paper: 15 evenly spaced in N from 5,000 up), and of each size all disjoint subsets of a random
    order in place of one random subset, because every image then counts equally at every size and the intercept
    scatters least. The real set stays as it is: what it lacks to infinity remains in the number, as it does in the
    paper. May be slightly negative for a perfect generator.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        sizes: tuple[Annotated[int, api.Between(2, None)], ...] = ()
        """Numbers of images that get a column of their own, e.g. 5000, 10000, 20000. The line does not depend on
        them."""
        repeats: Annotated[int, api.Between(1, 1000)] = 1
        """Random orders that subsets are cut from."""

        def __post_init__(self) -> None:
            if len(set(self.sizes)) != len(self.sizes):
                raise ValueError(f"sizes holds a number twice: {self.sizes}")

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        drawn = f"mean over the disjoint subsets of {config.repeats} random order{'s' if config.repeats > 1 else ''}"
        base = "Fréchet distance of Gaussians, covariance over n - 1, float64"
        line = api.Column(
            name="fd-infinity",
            better="lower",
            protocol=f"{base}; least-squares line in 1/N at N = 2n/k, k = 2..8, {drawn}; real set whole",
            description="Fréchet distance extrapolated to infinitely many generated images.",
        )
        asked = [
            api.Column(
                name=f"fd-at-{size}",
                better="lower",
                protocol=f"{base}; of {size} generated images, {drawn}; real set whole",
                description=f"Fréchet distance of {size} generated images.",
            )
            for size in config.sizes
        ]
        return [line, *asked]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._curve = Once(self._measured)

    def values(self, comparison: api.Comparison) -> Mapping[str, float | str]:
        """{"fd-infinity": distance in squared feature units, "fd-at-<size>": the same, or why there are too few}.

        Raises:
            InvalidOutput: fewer than 28 images, unlike dimensions, or features that are not finite.
        """
        curve = self._curve(comparison)
        count = len(comparison.generated.values)
        asked = {
            f"fd-at-{size}": curve[size].fd if size in curve else f"{size} images are needed, there are {count}"
            for size in self.config.sizes
        }
        return {"fd-infinity": _line(comparison, curve)[0], **asked}

    def warnings(self, comparison: api.Comparison) -> Sequence[str]:
        width = comparison.real.values.shape[1]
        n, n_real = len(comparison.generated.values), len(comparison.real.values)
        least = min([*line_sizes(n), *(size for size in self.config.sizes if size <= n)])
        found = []
        if least <= width:
            found.append(
                f"fd-infinity: subsets of {least} generated images in {width} dimensions have a singular covariance "
                "(n <= D), so the distance is no straight line in 1/N"
            )
        if n_real <= width:
            found.append(
                f"fd-infinity: {n_real} real images in {width} dimensions, so their covariance is singular (n <= D) "
                "and the distance is far too large"
            )
        return found

    def details(self, comparison: api.Comparison) -> Mapping[str, Any]:
        """{"curve": [{"n", "subsets", "fd", "sd"}] by n, "intercept", "slope"}: fd = intercept + slope / n."""
        curve = self._curve(comparison)
        intercept, slope = _line(comparison, curve)
        points = [{"n": p.n, "subsets": p.subsets, "fd": p.fd, "sd": p.sd} for _, p in sorted(curve.items())]
        return {"curve": points, "intercept": intercept, "slope": slope}

    def _measured(self, comparison: api.Comparison) -> Mapping[int, Point]:
        config: FrechetInfinity.Config = self.config
        generated = comparison.generated
        check_rows("fd-infinity", LEAST, {"generated": generated})
        check_rows("fd-infinity", 2, {"generated": generated, "real": comparison.real})
        count = len(generated.values)
        real = mean_and_root(comparison.real)
        # RandomState's stream is fixed for ever (default_rng's is not)
        draw = np.random.RandomState(comparison.seed % 2**32)
        orders = [draw.permutation(count) for _ in range(config.repeats)]
        curve = {}
        for size in sorted({*line_sizes(count), *(size for size in config.sizes if size <= count)}):
            if size == count:
                found = [distance_of(mean_and_root(generated), real)]
            else:
                found = [
                    distance_of(_moments_at(generated.values, np.sort(order[first : first + size])), real)
                    for order in orders
                    for first in range(0, count - size + 1, size)
                ]
            spread = float(np.std(found, ddof=1)) if len(found) > 1 else None
            curve[size] = Point(n=size, subsets=len(found), fd=float(np.mean(found)), sd=spread)
        return curve


def line_sizes(count: int) -> list[int]:
    """Numbers of images that the line goes through, ascending; the last is `count`."""
    return [round(2 * count / k) for k in PARTS]


def _line(comparison: api.Comparison, curve: Mapping[int, Point]) -> tuple[float, float]:
    """Intercept and slope of the least-squares line of the distance over 1 / N."""
    sizes = line_sizes(len(comparison.generated.values))
    slope, intercept = np.polyfit([1 / size for size in sizes], [curve[size].fd for size in sizes], 1)
    return float(intercept), float(slope)


def _moments_at(
    values: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return api.moments(values[rows[first : first + BLOCK]] for first in range(0, len(rows), BLOCK))


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"fd-infinity": FrechetInfinity}
