"""Multi-scale structural similarity of random pairs of images (Wang et al. 2003; Odena et al. 2017, section 4.2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.rows import Once, rows_by_class

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of Wang et al. 2003, finest scale first."""
KERNEL = 11
BATCH = 16

Sides = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What both metrics of this module let a suite choose."""

    pairs: Annotated[int, api.Between(1, 100_000)] = 100
    """Random pairs of each class (or of the set), of each side; all pairs where there are no more. 100 in Odena et
    al. 2017."""
    scales: Annotated[int, api.Between(2, len(BETAS))] = len(BETAS)
    """How often the image is halved, plus one. 5 need images of 176 px, 4 of 99, 3 of 44, 2 of 22: another number of
    scales is another measure, so it is never chosen by the image size."""


class PairSimilarity(api.SampleMetric):
    """Mean MS-SSIM of random pairs, 0..1: the higher, the more alike the images. Computed by torchmetrics in float32.

    Lower is not better: noise is least alike. Read it beside the real set's value.
    """

    over = "images"
    tiny: ClassVar[Mapping[str, Any]] = {"pairs": 4, "scales": 2}
    name: ClassVar[str]
    within: ClassVar[str]
    average: ClassVar[str | None] = None

    @classmethod
    def columns(cls, config: Options) -> Sequence[api.Column]:
        weights = ", ".join(f"{beta:.4f}" for beta in betas(config.scales))
        protocol = (
            f"{config.pairs} random pairs {cls.within}, {config.scales} scales of weights {weights}, Gaussian window "
            f"{KERNEL} px, sigma 1.5, RGB, negative terms set to 0"
        )
        return [
            api.Column(
                name=name,
                better="neither",
                average=cls.average,
                protocol=protocol,
                description=f"MS-SSIM of pairs of {side} images {cls.within}; low is diverse.",
            )
            for name, side in ((cls.name, "generated"), (f"{cls.name}-real", "real"))
        ]

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        self._similarities = Once(self._measured)

    @abstractmethod
    def parts(self, comparison: api.Comparison) -> Mapping[str, Sides]:
        """Name -> rows of generated and of real images that pairs are drawn within."""

    def values(self, comparison: api.Comparison) -> Mapping[str, float]:
        """{name: mean over the parts of the mean over pairs, name + "-real": the same of the real set}.

        Raises:
            InvalidOutput: no pixels, images too small for the number of scales, or fewer than 2 images to pair.
        """
        generated, real = zip(*self._similarities(comparison).values(), strict=True)
        return {self.name: float(np.mean(generated)), f"{self.name}-real": float(np.mean(real))}

    def details(self, comparison: api.Comparison) -> Mapping[str, Any]:
        """{"image_size", "scales", "parts": {part: {"generated": similarity, "real": similarity}}}."""
        found = self._similarities(comparison)
        return {
            "image_size": _image_size(self.name, comparison, self.config.scales),
            "scales": self.config.scales,
            "parts": {name: {"generated": g, "real": r} for name, (g, r) in found.items()},
        }

    def _measured(self, comparison: api.Comparison) -> Mapping[str, tuple[float, float]]:
        _image_size(self.name, comparison, self.config.scales)
        found = {}
        for number, (name, rows) in enumerate(self.parts(comparison).items()):
            # a stream a part and a side: another class, or more images of one side, leave the other pairs as they are
            generated, real = (
                self._mean(side.images, there, np.random.RandomState([comparison.seed % 2**32, number]))
                for side, there in zip((comparison.generated, comparison.real), rows, strict=True)
            )
            found[name] = (generated, real)
        return found

    def _mean(self, images: api.ImageSet | None, rows: NDArray[np.int64], draw: np.random.RandomState) -> float:
        assert images is not None
        pairs = rows[draw_pairs(len(rows), self.config.pairs, draw)]
        pieces = [pairs[first : first + BATCH] for first in range(0, len(pairs), BATCH)]
        return float(np.mean(np.concatenate([similarity(images, piece, self.config.scales) for piece in pieces])))


class ClassSimilarity(PairSimilarity):
    """MS-SSIM of pairs of one class, mean over classes."""

    reads = frozenset({"labels"})
    name = "ms-ssim"
    within = "within a class"
    average = "macro"

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """Pairs of each class."""

    def parts(self, comparison: api.Comparison) -> Mapping[str, Sides]:
        return rows_by_class(self.name, comparison, 2)


class SetSimilarity(PairSimilarity):
    """MS-SSIM of pairs of the whole set, whatever their class: for images without labels.

    Differences between classes count as diversity here, so it stands under a name of its own.
    """

    name = "ms-ssim-set"
    within = "of the set"

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """Pairs of the whole set."""

    def parts(self, comparison: api.Comparison) -> Mapping[str, Sides]:
        sides = {"generated": comparison.generated, "real": comparison.real}
        counts = {name: len(side.images) for name, side in sides.items() if side.images is not None}
        for name, count in counts.items():
            if count < 2:
                raise api.InvalidOutput(f"{self.name} needs at least 2 {name} images, there are {count}")
        return {"set": tuple(np.arange(count) for count in counts.values())}


def betas(scales: int) -> tuple[float, ...]:
    """Weights of the scales: the published five as they are, fewer divided by their sum."""
    kept = BETAS[:scales]
    return kept if scales == len(BETAS) else tuple(beta / sum(kept) for beta in kept)


def least_size(scales: int) -> int:
    """Smallest side in pixels: the coarsest scale must hold the window, and torchmetrics asks for (scales - 1)^2."""
    return KERNEL * max(1 << (scales - 1), (scales - 1) * (scales - 1))


def most_scales(size: int) -> int:
    """Largest number of scales, at most 5, for images of `size` pixels; 0 where not even one fits."""
    return max((scales for scales in range(1, len(BETAS) + 1) if least_size(scales) <= size), default=0)


def draw_pairs(count: int, pairs: int, draw: np.random.RandomState) -> NDArray[np.int64]:
    """(P, 2) distinct unordered pairs of unlike numbers below `count`; all of them where there are at most `pairs`."""
    if pairs >= count * (count - 1) // 2:
        return np.stack(np.triu_indices(count, 1), axis=1)
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < pairs:
        for first, second in np.sort(draw.randint(0, count, (pairs, 2)), axis=1).tolist():
            if first != second and len(chosen) < pairs:
                chosen[(first, second)] = None
    return np.asarray(list(chosen), dtype=np.int64)


def similarity(images: api.ImageSet, pairs: NDArray[np.int64], scales: int) -> NDArray[np.float64]:
    """(P,) MS-SSIM of the images at (P, 2)."""
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    with torch.inference_mode():
        found = multiscale_structural_similarity_index_measure(
            images[pairs[:, 0]].float(),
            images[pairs[:, 1]].float(),
            data_range=255.0,
            kernel_size=KERNEL,
            betas=betas(scales),
            reduction="none",
        )
    return np.asarray(found.double().numpy())


def _image_size(metric: str, comparison: api.Comparison, scales: int) -> int:
    """The one size of both sides, large enough for the scales."""
    sizes = set()
    for name, side in (("generated", comparison.generated), ("real", comparison.real)):
        if side.images is None or len(side.images) == 0:
            raise api.InvalidOutput(f"{metric} compares pixels, and the {name} side has none")
        sizes.add(side.images.image_size)
    if len(sizes) > 1:
        raise api.InvalidOutput(f"{metric}: images of {min(sizes)} and of {max(sizes)} px are not alike in scale")
    (size,) = sizes
    if size < least_size(scales):
        most = most_scales(size)
        advice = f"ask for `scales: {most}`, which is another measure" if most > 1 else "they hold one scale at most"
        raise api.InvalidOutput(
            f"{metric} with {scales} scales needs images of {least_size(scales)} px, these have {size}: {advice}"
        )
    return size


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.SampleMetric]]:
    return {"ms-ssim": ClassSimilarity, "ms-ssim-set": SetSimilarity}
