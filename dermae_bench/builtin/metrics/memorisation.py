"""Whether generated images are copies of training images: nearest neighbours in training against held-out images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.neighbours import closest, equal_ids
from dermae_bench.builtin.metrics.rows import Once, check_rows


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Distances that all columns are made of; row i is generated image i unless said otherwise."""

    to_training: NDArray[np.float64]
    in_training: NDArray[np.int64]
    """Row of the nearest training image."""
    to_held_out: NDArray[np.float64]
    authentic: NDArray[np.bool_]
    """Farther from its nearest training image than that one is from its own nearest."""
    authentic_held_out: NDArray[np.bool_]
    """The same of each held-out image."""
    equal_sized: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Distances to as many training as held-out images."""
    reach: float
    """The quantile of the distances of held-out images to training images."""


class Memorisation(api.SampleMetric):
    """Three questions about nearest training images, each with what an honest generator gives.

    Authenticity (Alaa et al. 2022, section 3.3, "AuthPct" in dgm-eval as a share): generated images farther from their
    nearest training image than that one from its own nearest; the same share of held-out images stands beside it.
    Nearest ratio: 1 for an honest generator, less for one that keeps to its training images. Near copies: the
    quantile asked for, for an honest generator. Images of equal id are never neighbours. A measure of features sees
    only copies that the extractor sees: look at the pairs.
    """

    reads = frozenset({"training", "held_out"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        quantile: Annotated[float, api.Between(1e-6, 0.5)] = 0.01
        """Share of held-out images that lie as near to a training image as a near copy does."""
        pairs: Annotated[int, api.Between(0, 1000)] = 20
        """Nearest pairs that are listed."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        authenticity = "d(image, nearest training) > d(that, its nearest training), Euclidean, float64"
        return [
            api.Column(
                name="near-copies",
                better="neither",
                protocol=f"nearer to training than quantile {config.quantile:g} (inverted CDF) of held-out images, or "
                "at distance 0, Euclidean, float64",
                description=f"Share of generated images that are near a training image; about {config.quantile:g} "
                "for an honest generator.",
            ),
            api.Column(
                name="nearest-ratio",
                better="neither",
                protocol="median of d(training) / d(held-out), the larger set cut to the size of the smaller by seed, "
                "Euclidean, float64",
                description="Distance to the nearest training image over that to the nearest held-out image; about 1 "
                "for an honest generator.",
            ),
            api.Column(
                name="authenticity",
                better="neither",
                protocol=authenticity,
                description="Share of generated images that are no closer copies than training images are of "
                "each other.",
            ),
            api.Column(
                name="authenticity-held-out",
                better="neither",
                protocol=authenticity,
                description="The same share of held-out images: what an honest generator gives.",
            ),
        ]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._neighbourhood = Once(self._measured)

    def values(self, comparison: api.Comparison) -> Mapping[str, float | str]:
        """{"near-copies": 0..1, "nearest-ratio": >= 0, "authenticity": 0..1, "authenticity-held-out": 0..1}.

        None has a better side: noise copies nobody. There is no ratio where more than half of the generated images
        equal a held-out image.

        Raises:
            InvalidOutput: a side is missing or too small, unlike dimensions, or features that are not finite.
        """
        found = self._neighbourhood(comparison)
        near = (found.to_training < found.reach) | (found.to_training == 0)
        return {
            "near-copies": float(near.mean()),
            "nearest-ratio": _median_ratio(*found.equal_sized),
            "authenticity": float(found.authentic.mean()),
            "authenticity-held-out": float(found.authentic_held_out.mean()),
        }

    def warnings(self, comparison: api.Comparison) -> Sequence[str]:
        held_out = len(comparison.held_out.values) if comparison.held_out is not None else 0
        quantile: float = self.config.quantile
        if held_out * quantile >= 1:
            return []
        expected = expected_copies(held_out, quantile)
        missing = f"{held_out} held-out images have no quantile {quantile:g}"
        return [f"memorisation: {missing}; an honest generator has {expected:.2g} near-copies"]

    def details(self, comparison: api.Comparison) -> Mapping[str, Any]:
        """{"reach", "expected_near_copies", "pairs": [{"generated", "training", "distance", "held_out_distance"}]}.

        The pairs ascend by distance; images are named by id, or by number where they have none.
        """
        found = self._neighbourhood(comparison)
        assert comparison.training is not None and comparison.held_out is not None
        generated, training = comparison.generated.ids, comparison.training.ids
        pairs = [
            {
                "generated": generated[row] if generated else int(row),
                "training": training[found.in_training[row]] if training else int(found.in_training[row]),
                "distance": float(found.to_training[row]),
                "held_out_distance": float(found.to_held_out[row]),
            }
            for row in np.argsort(found.to_training, kind="stable")[: self.config.pairs]
        ]
        held_out = len(comparison.held_out.values)
        expected = expected_copies(held_out, self.config.quantile)
        return {"reach": found.reach, "expected_near_copies": expected, "pairs": pairs}

    def _measured(self, comparison: api.Comparison) -> Neighbourhood:
        generated, training, held_out = comparison.generated, comparison.training, comparison.held_out
        if training is None or held_out is None:
            raise api.InvalidOutput("memorisation needs the training images and images that were held out")
        sides = {"training": training, "held-out": held_out}
        check_rows("memorisation", 1, {"generated": generated, **sides})
        check_rows("memorisation", 2, sides)
        to_training, in_training = _neighbours("generated", generated, "training", training)
        to_held_out, _ = _neighbours("generated", generated, "held-out", held_out)
        held_to_training, held_in_training = _neighbours("held-out", held_out, "training", training)
        centres, place = np.unique(np.concatenate([in_training, held_in_training]), return_inverse=True)
        between, _ = closest(training.values[centres], training.values, _own(training.ids, centres))
        own = between[place]
        size = min(len(training.values), len(held_out.values))
        draw = np.random.RandomState(comparison.seed % 2**32)
        equal = []
        for (name, side), whole in zip(sides.items(), (to_training, to_held_out), strict=True):
            if len(side.values) == size:
                equal.append(whole)
            else:
                chosen = side.at(np.sort(draw.choice(len(side.values), size, replace=False)))
                equal.append(_neighbours("generated", generated, name, chosen)[0])
        return Neighbourhood(
            to_training=to_training,
            in_training=in_training,
            to_held_out=to_held_out,
            authentic=to_training > own[: len(to_training)],
            authentic_held_out=held_to_training > own[len(to_training) :],
            equal_sized=(equal[0], equal[1]),
            reach=float(np.quantile(held_to_training, self.config.quantile, method="inverted_cdf")),
        )


def expected_copies(held_out: int, quantile: float) -> float:
    """Share of near-copies of images drawn like the held-out ones: P(below the ceil(q n)-th of n others)."""
    return max(math.ceil(quantile * held_out), 1) / (held_out + 1)


def _neighbours(
    asking: str, x: api.Features, answering: str, y: api.Features
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    distances, rows = closest(x.values, y.values, equal_ids(x.ids, y.ids))
    if np.isinf(distances).any():
        raise api.InvalidOutput(f"memorisation: a {asking} image has no {answering} image but itself")
    return distances, rows


def _own(ids: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2) pairs of a place in `rows` and a row that show the same image."""
    if not ids:
        return np.stack([np.arange(len(rows)), rows], axis=1)
    return equal_ids([ids[row] for row in rows], ids)


def _median_ratio(training: NDArray[np.float64], held_out: NDArray[np.float64]) -> float | str:
    """Median of training / held-out; a copy of both counts as 1. Why there is none, where it is infinite."""
    both = (training == 0) & (held_out == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(both, 1.0, training / held_out)
    middle = float(np.median(ratio))
    if not np.isfinite(middle):
        return "more than half of the generated images equal a held-out image"
    return middle


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"memorisation": Memorisation}
