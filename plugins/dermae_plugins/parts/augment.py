"""Augmentation of whole batches on their device. Floats are in -1..1, (B, 3, S, S); every image has its own draw.

A lesion has no up and no left, so mirror images and quarter turns keep every label.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def flipped(images: Tensor, wanted: bool = True) -> Tensor:
    """Half of the images mirrored left to right."""
    if not wanted:
        return images
    mirrored = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def dihedral(images: Tensor) -> Tensor:
    """Each image in one of the eight positions of a square (four quarter turns, mirrored or not), equally often."""
    mirrored, upside_down, turned = torch.rand(3, len(images), 1, 1, 1, device=images.device) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    images = torch.where(upside_down, images.flip(2), images)
    return torch.where(turned, images.transpose(2, 3), images)


def colour_jitter(images: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation of each image times 1 + uniform(-strength, strength); clipped to -1..1."""
    brightness, contrast, saturation = 1 + strength * (
        2 * torch.rand(3, len(images), 1, 1, 1, device=images.device) - 1
    )
    pixels = (images + 1) * brightness - 1
    middle = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = middle + contrast * (pixels - middle)
    grey = pixels.mean(dim=1, keepdim=True)
    return (grey + saturation * (pixels - grey)).clamp(-1, 1)


def mixup(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Images and targets (B, C), blended with others' by one Beta(alpha, alpha) weight a batch (Zhang et al. 2018)."""
    weight = float(torch.distributions.Beta(alpha, alpha).sample())
    return images.lerp(images.flip(0), 1 - weight), targets.lerp(targets.flip(0), 1 - weight)


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """int64 (B,) -> float (B, C): 1 - smoothing on the label, the rest spread evenly over all classes."""
    hard: Tensor = F.one_hot(labels, classes).float()
    return hard * (1 - smoothing) + smoothing / classes
