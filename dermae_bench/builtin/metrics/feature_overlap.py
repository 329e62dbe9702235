"""How far real and generated images overlap along the directions in which real ones vary (Class-N-Diff, Fig. 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.rows import Once, blocks, check_rows

BINS = 512
"""Points at which the two densities of a component are compared."""
REACH = 5.0
"""Bandwidths that the grid goes on beyond the outermost real image."""
PANELS = 4
"""Components whose densities are kept for a figure."""
CURVE = 128
"""Points of a kept density."""
DOTS = 1000
"""Images of a side that are kept for a figure, as in the paper."""
TAIL = 0.005
"""Share of the real images at either end that a figure may leave out."""
FLAT = 1e-12
"""Share of the whole variance below which a direction is one of rounding."""
BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Both sides along the principal components of the real one."""

    real: NDArray[np.float64]
    """(N, k)."""
    generated: NDArray[np.float64]
    """(M, k)."""
    explained: NDArray[np.float64]
    """(k,) share of the real variance."""
    overlaps: NDArray[np.float64]
    """(k,) overlap coefficients, 0 to 1."""


class FeatureOverlap(api.SampleMetric):
    """Mean overlap coefficient of real and generated densities along the first principal components.

    The components are fitted on the real set alone, so that every generator is seen in the same directions; the sign of
    each makes its largest loading positive. Along each, both sides become Gaussian kernel densities with Scott's
    bandwidth, sd * n^(-1/5), no narrower than a bin; their overlap is the integral of the smaller of the two. 1: alike
    along every component, 0: apart. Each component counts the same, and nothing is said of how they hang together: read
    it beside a distance, and beside the floor of real against real at the same n.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        components: Annotated[int, api.Between(2, 64)] = 8
        """Principal components of the real features, those of the largest variance first."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        return [
            api.Column(
                name="feature-overlap",
                better="higher",
                protocol=f"mean over {config.components} principal components of the real set of the overlap of "
                f"Gaussian KDEs, Scott's bandwidth sd n^(-1/5) of each side, {BINS} points, float64",
                description="Overlap of generated and real densities along principal components of the real set.",
            )
        ]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._seen = Once(self._look)

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"feature-overlap": 0..1}; 1 for a set and itself.

        Raises:
            InvalidOutput: too few images or dimensions for the components, real features that vary in fewer
                directions, unlike dimensions, or features that are not finite.
        """
        return {"feature-overlap": float(self._seen(comparison).overlaps.mean())}

    def details(self, comparison: api.Comparison) -> Mapping[str, Any]:
        """What a figure of densities and of the first two components needs.

        {"n_real", "n_generated", "components": every one as {"explained", "overlap"}, the first four also with
        {"grid", "real", "generated": densities at its points, "outside": share of either side beyond the grid},
        "scatter": {"real", "generated": [x, y] of at most 1,000 images, those whose names have the smallest digests}}.
        """
        seen = self._seen(comparison)
        components: list[dict[str, Any]] = []
        for k, (explained, overlap) in enumerate(zip(seen.explained, seen.overlaps, strict=True)):
            about: dict[str, Any] = {"explained": _short(explained), "overlap": _short(overlap)}
            components.append(about | (_curves(seen.real[:, k], seen.generated[:, k]) if k < PANELS else {}))
        sides = {"real": (comparison.real, seen.real), "generated": (comparison.generated, seen.generated)}
        return {
            "n_real": len(seen.real),
            "n_generated": len(seen.generated),
            "components": components,
            "scatter": {
                name: [[_short(number) for number in place[row, :2]] for row in chosen(side)]
                for name, (side, place) in sides.items()
            },
        }

    def _look(self, comparison: api.Comparison) -> Seen:
        count: int = self.config.components
        check_rows("feature-overlap", 2, {"generated": comparison.generated, "real": comparison.real})
        check_rows("feature-overlap", count + 1, {"real": comparison.real})
        mean, axes, explained = principal_axes(comparison.real, count)
        real, generated = (
            np.concatenate([(block.astype(np.float64) - mean) @ axes.T for block in blocks(side.values)])
            for side in (comparison.real, comparison.generated)
        )
        overlaps = np.array([overlap(real[:, k], generated[:, k]) for k in range(count)])
        return Seen(real=real, generated=generated, explained=explained, overlaps=overlaps)


def principal_axes(
    real: api.Features, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,), the first axes (count, D) and their shares of the variance (count,), by falling variance.

    The largest loading of an axis is positive (the first of equals), so that equal features give equal pictures.

    Raises:
        InvalidOutput: the features vary in fewer directions.
    """
    if real.mean is not None and real.root is not None:
        mean, root = real.mean, real.root
    else:
        mean, root = api.moments(blocks(real.values))
    variances, vectors = np.linalg.eigh(root.T @ root)
    whole = float(variances.clip(0).sum())
    found = int((variances > FLAT * whole).sum()) if whole > 0 else 0
    if found < count:
        raise api.InvalidOutput(
            f"feature-overlap: the real features vary in {found} direction{'' if found == 1 else 's'}, and {count} "
            "components were asked for: take a smaller `components`, or more real images"
        )
    axes = vectors[:, ::-1][:, :count].T
    largest = np.abs(axes).argmax(axis=1)
    signs = np.where(axes[np.arange(count), largest] < 0, -1.0, 1.0)
    return mean, axes * signs[:, None], variances[::-1][:count] / whole


def bandwidth(values: NDArray[np.float64]) -> float:
    """Scott's rule for one dimension, as `scipy.stats.gaussian_kde` has it."""
    return float(values.std(ddof=1) / len(values) ** 0.2)


def density(values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian kernel density of (N,) at equally spaced points (P,).

    The bandwidth is no narrower than the spacing: then the sum over points is the integral to 1e-8 of itself, even of
    a side that is one image again and again.
    """
    width = max(bandwidth(values), float(points[1] - points[0]))
    found = np.zeros(len(points))
    for first in range(0, len(values), BLOCK):
        found += np.exp(-0.5 * ((points - values[first : first + BLOCK, None]) / width) ** 2).sum(axis=0)
    return np.asarray(found / (len(values) * width * np.sqrt(2 * np.pi)))


def overlap(real: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """Integral of the smaller density where real images are, as a share of theirs: 0 to 1."""
    beyond = REACH * bandwidth(real)
    points = np.linspace(real.min() - beyond, real.max() + beyond, BINS)
    one, other = density(real, points), density(generated, points)
    return float(np.minimum(one, other).sum() / one.sum())


def chosen(side: api.Features) -> NDArray[np.int64]:
    """Ascending rows of at most `DOTS` images: those whose names have the smallest digests."""
    count = len(side.values)
    names = side.ids if len(side.ids) == count else range(count)
    digests = [hashlib.sha256(str(name).encode()).digest() for name in names]
    return np.array(sorted(sorted(range(count), key=lambda row: (digests[row], row))[:DOTS]), dtype=np.int64)


def _curves(real: NDArray[np.float64], generated: NDArray[np.float64]) -> dict[str, Any]:
    """Densities where nearly all real images are, and as many of the generated ones as leaves those visible."""
    first, last = (float(end) for end in np.quantile(real, [TAIL, 1 - TAIL]))
    room, other = last - first, 3 * bandwidth(generated)
    low = min(first - room / 4, max(first - room, float(generated.min()) - other))
    high = max(last + room / 4, min(last + room, float(generated.max()) + other))
    points = np.linspace(low, high, CURVE)
    outside = {
        name: float(((side < low) | (side > high)).mean()) for name, side in (("real", real), ("generated", generated))
    }
    return {
        "grid": [_short(number) for number in points],
        "real": [_short(number) for number in density(real, points)],
        "generated": [_short(number) for number in density(generated, points)],
        "outside": {name: _short(share) for name, share in outside.items()},
    }


def _short(number: np.floating[Any] | float) -> float:
    return float(f"{number:.6g}")


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"feature-overlap": FeatureOverlap}
