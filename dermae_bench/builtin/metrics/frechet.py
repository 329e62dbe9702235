"""Fréchet distance between two sets of features, as Gaussians (Heusel et al. 2017, equation 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

TOLERANCE = 1e-10
"""Rounding allowed below zero, as a share of the total variance and squared mean of both sets."""


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

    def values(self, generated: api.Features, real: api.Features, seed: int) -> Mapping[str, float]:
        """{"fd": distance in squared feature units}; 0 for a set and itself.

        Raises:
            InvalidOutput: fewer than 2 images, unlike dimensions, or features that are not finite.
        """
        return {"fd": frechet_distance(generated.values, real.values)}

    def warnings(self, generated: api.Features, real: api.Features) -> Sequence[str]:
        return [
            f"fd: {len(side.values)} {name} images in {side.values.shape[1]} dimensions, "
            "so the covariance is singular (n <= D) and the distance is far too large"
            for name, side in (("generated", generated), ("real", real))
            if len(side.values) <= side.values.shape[1]
        ]


def frechet_distance(generated: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """Features (N, D) and (M, D) -> distance >= 0.

    With centred features X of covariance X'X, the trace of the symmetric square root is the sum of the singular
    values of X_g X_r': no covariance is formed and no square root of a rounding error is taken, so a singular
    covariance (n <= D) costs no accuracy.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise api.InvalidOutput(f"features of shapes {generated.shape} and {real.shape} cannot be compared")
    mean_g, root_g = _moments(generated)
    mean_r, root_r = _moments(real)
    offset = float(((mean_g - mean_r) ** 2).sum())
    spread = float((root_g**2).sum() + (root_r**2).sum())
    overlap = float(np.linalg.svd(root_g @ root_r.T, compute_uv=False).sum())
    distance = offset + spread - 2 * overlap
    scale = spread + float((mean_g**2).sum() + (mean_r**2).sum())
    if distance < -TOLERANCE * scale:
        raise api.InvalidOutput(f"the Fréchet distance came out negative beyond rounding: {distance}")
    return max(distance, 0.0)


def _moments(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and a root (min(N, D), D) whose product root' root is the covariance."""
    if len(features) < 2:
        raise api.InvalidOutput("a covariance needs at least 2 images")
    if not np.isfinite(features).all():
        raise api.InvalidOutput("features are not finite")
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    centred = (values - mean) / np.sqrt(len(values) - 1)
    if len(centred) <= centred.shape[1]:
        return mean, centred
    return mean, np.asarray(np.linalg.qr(centred, mode="r"), dtype=np.float64)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"fd": FrechetDistance}
