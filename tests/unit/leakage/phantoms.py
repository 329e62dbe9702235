"""Drawn lesions with their table, and what may happen to a picture on its way from one folder to another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from dermae_bench.leakage.fingerprints import fingerprints
from dermae_bench.leakage.lints import Images

SIZE = 64


@dataclass(frozen=True)
class Drawn:
    """A small data set in memory."""

    pixels: NDArray[np.uint8]
    ids: list[str]
    groups: list[str]
    splits: list[str]
    labels: list[str]

    def images(self, **changes: Any) -> Images:
        return images_of(
            self.pixels, ids=self.ids, groups=self.groups, splits=self.splits, labels=self.labels, **changes
        )

    def one(self, split: str) -> int:
        return self.splits.index(split)


@cache
def drawn() -> Drawn:
    data = Phantom(PhantomConfig(image_size=SIZE, images=110))
    found = data.examples()
    pixels = np.stack([data.image(example, SIZE) for example in found])
    return Drawn(
        pixels,
        [e.id for e in found],
        [e.group for e in found],
        [e.split for e in found],
        [e.label for e in found],
    )


def images_of(pixels: NDArray[np.uint8], **about: Any) -> Images:
    return Images(prints=fingerprints(lambda rows: pixels[rows], len(pixels)), **about)


def with_copy(data: Drawn, copy: NDArray[np.uint8], **about: str) -> Drawn:
    """The same data with one image more."""
    facts = {"id": "copy", "group": "other", "split": "test", "label": data.labels[0], **about}
    return Drawn(
        np.concatenate([data.pixels, copy[None]]),
        [*data.ids, facts["id"]],
        [*data.groups, facts["group"]],
        [*data.splits, facts["split"]],
        [*data.labels, facts["label"]],
    )


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB")).transpose(2, 0, 1)


def scaled(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """To `size` and back."""
    small = Image.fromarray(image.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def brighter(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    return np.clip(np.round(image * factor), 0, 255).astype(np.uint8)


def worn(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brighter, scaled, and compressed."""
    return compressed(scaled(brighter(image, 1.05), 48), 60)
