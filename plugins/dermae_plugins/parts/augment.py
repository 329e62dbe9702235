"""Augmentation of whole batches on their device. Floats are in -1..1, (B, 3, S, S); every image has its own draw.

A lesion has no up and no left, so mirror images and quarter turns keep every label.
"""

from __future__ import annotations

import math

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


def erased(images: Tensor, probability: float) -> Tensor:
    """A rectangle of each image replaced by uniform random pixels, with this probability (Zhong et al. 2020, RE-R).

    Its area is 0.02..1/3 of the image and its sides 3:10 to 10:3; a side that would be longer than the image's is
    shortened and the other lengthened, where the paper draws again.
    """
    size = images.shape[-1]
    wanted, area, shape, left, top = torch.rand(5, len(images), 1, device=images.device)
    area = 0.02 + (1 / 3 - 0.02) * area
    height = (area * torch.exp((2 * shape - 1) * math.log(10 / 3))).sqrt().clamp(max=1)
    width = (area / height).clamp(max=1)
    left, top = left * (1 - width), top * (1 - height)
    middles = (torch.arange(size, device=images.device) + 0.5) / size
    columns = (middles >= left) & (middles < left + width)
    rows = (middles >= top) & (middles < top + height) & (wanted < probability)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(inside, 2 * torch.rand_like(images) - 1, images)


def mixup(images: Tensor, alpha: float) -> tuple[Tensor, float]:
    """Images blended with those at the mirrored positions of the batch (Zhang et al. 2018), and their own share.

    The share is one Beta(alpha, alpha) draw a batch.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return images.lerp(images.flip(0), 1 - share), share


def cutmix(images: Tensor, alpha: float) -> tuple[Tensor, float]:
    """Images with a box from those at the mirrored positions of the batch (Yun et al. 2019), and their own share.

    One box a batch, of an area of 1 - Beta(alpha, alpha), cut off at the border; the share is counted in pixels.
    """
    size = images.shape[-1]
    side = size * math.sqrt(1 - float(torch.distributions.Beta(alpha, alpha).sample()))
    spans = [
        slice(max(0, round(middle - side / 2)), min(size, round(middle + side / 2)))
        for middle in (size * torch.rand(2)).tolist()
    ]
    pasted = images.clone()
    pasted[:, :, spans[0], spans[1]] = images.flip(0)[:, :, spans[0], spans[1]]
    return pasted, 1 - math.prod(span.stop - span.start for span in spans) / size**2


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """int64 (B,) -> float (B, C): 1 - smoothing on the label, the rest spread evenly over all classes."""
    hard: Tensor = F.one_hot(labels, classes).float()
    return hard * (1 - smoothing) + smoothing / classes
