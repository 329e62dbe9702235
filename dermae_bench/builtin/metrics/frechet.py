"""Fréchet distance between two sets of features, as Gaussians (Heusel et al. 2017, equation 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.rows import blocks, check_rows

TOLERANCE = 1e-10
"""Rounding allowed below zero, as a share of the total variance and squared mean of both sets."""

MeanAndRoot = tuple[NDArray[np.float64], NDArray[np.float64]]


class FrechetDistance(api.SampleMetric):
    """|m_g - m_r|^2 + tr(C_g + C_r - 2 (C_r^1/2 C_g C_r^1/2)^1/2), with means and covariances in float64.

    Biased upwards in the number of images: compare only values from equally many, beside the real-vs-real floor.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options: extractor, stage and input are the extractor's."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        return [
            api.Column(
                name="fd",
                better="lower",
                protocol="Fréchet distance of Gaussians, covariance over n - 1, float64",
                description="Fréchet distance between generated and real images in feature space.",
            )
        ]

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"fd": distance in squared feature units}; 0 for a set and itself.

        Raises:
            InvalidOutput: fewer than 2 images, unlike dimensions, or features that are not finite.
        """
        check_rows("fd", 2, {"generated": comparison.generated, "real": comparison.real})
        return {"fd": distance_of(mean_and_root(comparison.generated), mean_and_root(comparison.real))}

    def warnings(self, comparison: api.Comparison) -> Sequence[str]:
        return [
            f"fd: {len(side.values)} {name} images in {side.values.shape[1]} dimensions, "
            "so the covariance is singular (n <= D) and the distance is far too large"
            for name, side in (("generated", comparison.generated), ("real", comparison.real))
            if len(side.values) <= side.values.shape[1]
        ]


def mean_and_root(features: api.Features) -> MeanAndRoot:
    """Mean (D,) and root (min(N, D), D): those that the extractor's stage made ready, else from one pass."""
    if features.mean is not None and features.root is not None:
        return features.mean, features.root
    return api.moments(blocks(features.values))


def frechet_distance(generated: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """Features (N, D) and (M, D) -> distance >= 0."""
    sides = api.Features(values=generated), api.Features(values=real)
    check_rows("fd", 2, dict(zip(("generated", "real"), sides, strict=True)))
    return distance_of(mean_and_root(sides[0]), mean_and_root(sides[1]))


def distance_of(generated: MeanAndRoot, real: MeanAndRoot) -> float:
    """Distance >= 0 of two Gaussians, each a mean (D,) and a root (K, D) of its covariance root' root.

    The trace of the symmetric square root is the sum of the singular values of R_g R_r': no covariance is formed and
    no square root of a rounding error is taken, so a singular covariance (n <= D) costs no accuracy.
    """
    (mean_g, root_g), (mean_r, root_r) = generated, real
    offset = float(((mean_g - mean_r) ** 2).sum())
    spread = float((root_g**2).sum() + (root_r**2).sum())
    overlap = float(np.linalg.svd(root_g @ root_r.T, compute_uv=False).sum())
    distance = offset + spread - 2 * overlap
    scale = spread + float((mean_g**2).sum() + (mean_r**2).sum())
    if distance < -TOLERANCE * scale:
        raise api.InvalidOutput(f"the Fréchet distance came out negative beyond rounding: {distance}")
    return max(distance, 0.0)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"fd": FrechetDistance}
