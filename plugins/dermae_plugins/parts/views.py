"""What a network sees of a batch: its images after augmentation, and whose pixels they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts import augment
from dermae_plugins.parts.crops import random_resized_crop
from dermae_plugins.parts.rand_augment import rand_augment
from dermae_plugins.parts.recipe import Recipe


@dataclass(frozen=True)
class View:
    """Augmented images; each may be blended with the image at the mirrored position of the batch."""

    images: Tensor
    """float32 (B, 3, S, S) in -1..1."""
    share: float = 1.0
    """How much of each image is its own; the rest is its partner's."""

    def blended(self, targets: Tensor) -> Tensor:
        """Targets (B, C) mixed as the images are."""
        return targets if self.share == 1 else targets.lerp(targets.flip(0), 1 - self.share)

    @property
    def pixels(self) -> Tensor:
        """The images as uint8 (B, 3, S, S), without a look at their values that would wait for a GPU."""
        return self.images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def changes_images(recipe: Recipe) -> bool:
    """Whether a view can differ from the image as it lies in the store."""
    return bool(
        recipe.turns != "none"
        or recipe.crop < 1
        or recipe.colour_jitter
        or (recipe.rand_augment and recipe.magnitude)
        or recipe.erasing
        or ((recipe.mixup or recipe.cutmix) and recipe.mixing)
    )


def view_of(images: Tensor, recipe: Recipe) -> View:
    """A random view of uint8 images (B, 3, S, S): turns, crop, RandAugment, colours, erasing, mixing, in this order.

    Every image has its own draws but for mixing, which has one a batch.
    """
    # in low precision, places in an image would be rounded to whole pixels
    with torch.autocast(images.device.type, enabled=False):
        seen = api.from_uint8(images)
        if recipe.turns != "none":
            seen = augment.flipped(seen) if recipe.turns == "flip" else augment.dihedral(seen)
        if recipe.crop < 1:
            seen = random_resized_crop(seen, (recipe.crop, 1.0), flip=False)
        if recipe.rand_augment and recipe.magnitude:
            seen = rand_augment(seen, recipe.rand_augment, recipe.magnitude)
        if recipe.colour_jitter:
            seen = augment.colour_jitter(seen, recipe.colour_jitter)
        if recipe.erasing:
            seen = augment.erased(seen, recipe.erasing)
        return View(*_mixed(seen, recipe))


def _mixed(images: Tensor, recipe: Recipe) -> tuple[Tensor, float]:
    mixup, cutmix = recipe.mixup, recipe.cutmix
    # draws that decide for a whole batch are made on the CPU: a GPU's would have to be waited for
    if not (mixup or cutmix) or (recipe.mixing < 1 and float(torch.rand(())) >= recipe.mixing):
        return images, 1.0
    if cutmix and (not mixup or float(torch.rand(())) < recipe.cutmix_share):
        return augment.cutmix(images, cutmix)
    return augment.mixup(images, mixup)
