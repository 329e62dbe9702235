"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) from k-nearest balls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from dermae_bench import api
from dermae_bench.builtin.metrics.neighbours import inside, radii
from dermae_bench.builtin.metrics.rows import check_rows


class NeighbourBalls(api.SampleMetric):
    """Every image has a ball that reaches to its k-th nearest neighbour in its own set.

    Precision: share of generated images in the ball of a real one. Recall: share of real images in the ball of a
    generated one. Density: real balls around a generated image, over k; may exceed 1. Coverage: share of real
    images whose ball holds a generated one. All depend on the numbers of images: compare only equal ones.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        nearest: Annotated[int, api.Between(1, 1000)] = 5
        """Which neighbour a ball reaches to (k): 3 in Kynkäänniemi et al., 5 in Naeem et al."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        protocol = f"closed balls to neighbour {config.nearest}, Euclidean, float64"
        return [
            api.Column(name=name, better="higher", protocol=protocol, description=description)
            for name, description in (
                ("improved-precision", "Share of generated images within the k-nearest balls of real ones."),
                ("improved-recall", "Share of real images within the k-nearest balls of generated ones."),
                ("density", "Mean number of real balls around a generated image, over k."),
                ("coverage", "Share of real images with a generated one within their ball."),
            )
        ]

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"improved-precision": 0..1, "improved-recall": 0..1, "density": >= 0, "coverage": 0..1}.

        Raises:
            InvalidOutput: at most `nearest` images on a side, unlike dimensions, or features that are not finite.
        """
        nearest: int = self.config.nearest
        check_rows("prdc", nearest + 1, {"generated": comparison.generated, "real": comparison.real})
        generated, real = comparison.generated.values, comparison.real.values
        balls, covered, recalled = inside(generated, real, radii(generated, nearest), radii(real, nearest))
        return {
            "improved-precision": float((balls > 0).mean()),
            "improved-recall": float(recalled.mean()),
            "density": float(balls.mean()) / nearest,
            "coverage": float(covered.mean()),
        }


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"prdc": NeighbourBalls}
