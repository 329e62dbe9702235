"""How far apart the images of one class lie in feature space: perceptual diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.rows import BLOCK, check_rows, rows_by_class


class FeatureDiversity(api.SampleMetric):
    """Root mean squared Euclidean distance of all pairs of images of one class, mean over classes.

    In closed form, the square root of twice the trace of the covariance over n - 1: no pair is drawn, and the expected
    square does not depend on n. More is not better: noise is diverse. Read it beside the real set's value.
    """

    reads = frozenset({"labels"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options: extractor, stage and input are the extractor's."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        protocol = "root mean squared distance of all pairs in a class, mean over classes, float64"
        return [
            api.Column(
                name="feature-diversity",
                better="neither",
                average="macro",
                protocol=protocol,
                description="Distance in feature space between generated images of one class.",
            ),
            api.Column(
                name="feature-diversity-real",
                better="neither",
                average="macro",
                protocol=protocol,
                description="Distance in feature space between real images of one class.",
            ),
        ]

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"feature-diversity": distance in feature units, "feature-diversity-real": the same of the real set}.

        Raises:
            InvalidOutput: no labels, a class with fewer than 2 images on a side, or features that are not finite.
        """
        generated, real = zip(*self._by_class(comparison).values(), strict=True)
        return {"feature-diversity": float(np.mean(generated)), "feature-diversity-real": float(np.mean(real))}

    def details(self, comparison: api.Comparison) -> Mapping[str, object]:
        """{"classes": {class: {"generated": distance, "real": distance}}}."""
        found = self._by_class(comparison)
        return {"classes": {name: {"generated": g, "real": r} for name, (g, r) in found.items()}}

    def _by_class(self, comparison: api.Comparison) -> Mapping[str, tuple[float, float]]:
        sides = comparison.generated, comparison.real
        check_rows("feature-diversity", 2, dict(zip(("generated", "real"), sides, strict=True)))
        found = {}
        for name, rows in rows_by_class("feature-diversity", comparison, 2).items():
            generated, real = (pair_distance(side.values, there) for side, there in zip(sides, rows, strict=True))
            found[name] = (generated, real)
        return found


class SetDiversity(api.SampleMetric):
    """The same over all pairs of a set, whatever their class: for images without labels.

    Differences between classes count as diversity here, so it stands under a name of its own.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options: extractor, stage and input are the extractor's."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        protocol = "root mean squared distance of all pairs in the set, float64"
        return [
            api.Column(
                name="feature-diversity-set",
                better="neither",
                protocol=protocol,
                description="Distance in feature space between generated images, whatever their class.",
            ),
            api.Column(
                name="feature-diversity-set-real",
                better="neither",
                protocol=protocol,
                description="Distance in feature space between real images, whatever their class.",
            ),
        ]

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{"feature-diversity-set": distance in feature units, "feature-diversity-set-real": of the real set}.

        Raises:
            InvalidOutput: fewer than 2 images on a side, or features that are not finite.
        """
        check_rows("feature-diversity-set", 2, {"generated": comparison.generated, "real": comparison.real})
        generated, real = (
            pair_distance(side.values, np.arange(len(side.values))) for side in (comparison.generated, comparison.real)
        )
        return {"feature-diversity-set": generated, "feature-diversity-set-real": real}


def pair_distance(values: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
    """Root mean squared distance over all pairs of unlike `rows` of (N, D): E |x - y|^2 = 2 tr C, C over n - 1."""
    pieces = [rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK)]
    # two passes: sums of squares about the mean do not cancel
    mean = sum(values[piece].sum(axis=0, dtype=np.float64) for piece in pieces) / len(rows)
    squares = sum(float(((values[piece] - mean) ** 2).sum()) for piece in pieces)
    return float(np.sqrt(2 * squares / (len(rows) - 1)))


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"feature-diversity": FeatureDiversity, "feature-diversity-set": SetDiversity}
