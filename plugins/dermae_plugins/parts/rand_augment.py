"""RandAugment (Cubuk et al. 2020) on whole batches on their device; every image draws its own operations.

Largest strengths, reached at magnitude 10, with a random sign where one is given:

| operation | strength | operation | strength |
| --- | --- | --- | --- |
| identity | | posterise | 4 of 8 bits dropped |
| brightness, contrast, saturation, sharpness | factor 1 +- 0.9 | rotate | +- 30 degrees |
| autocontrast | each channel stretched to the full range | shear-x, shear-y | +- 0.3 |
| | | translate-x, translate-y | +- 0.45 of the side |

What differs from the paper: no solarise and no equalise, which turn the colours that a lesion is told by into others;
all moves of an image are joined into one affine map, applied after the colours, so that pixels are interpolated once;
what lies outside is the mirrored image and not grey; autocontrast is blended in by the magnitude, so that at
magnitude 0 every operation leaves the image as it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

OPERATIONS = (
    "identity", "brightness", "contrast", "saturation", "sharpness", "autocontrast", "posterise",
    "rotate", "shear-x", "shear-y", "translate-x", "translate-y",
)  # fmt: skip
FACTOR, ANGLE, SHEAR, TRANSLATION, BITS = 0.9, math.radians(30), 0.3, 0.45, 4


def rand_augment(images: Tensor, count: int, magnitude: float) -> Tensor:
    """Each image after `count` operations of its own.

    Args:
        images: float (B, 3, S, S) in -1..1.
        count: operations an image, drawn with replacement.
        magnitude: 0..10.
    """
    shape = (count, len(images))
    drawn = torch.randint(len(OPERATIONS), shape, device=images.device)
    signs = 2.0 * torch.randint(2, shape, device=images.device) - 1
    move = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    for operation, sign in zip(drawn, signs, strict=True):
        level = {name: (operation == i) * (magnitude / 10) for i, name in enumerate(OPERATIONS)}
        images = _recoloured(images, level, sign)
        move = torch.bmm(move, _moves(level, sign))
    return warped(images, move)


def warped(images: Tensor, moves: Tensor) -> Tensor:
    """Images under affine maps (B, 3, 3) from places in the result to places in the image, both in -1..1.

    Bilinear; what lies outside is the mirrored image.
    """
    places = F.affine_grid(moves[:, :2], list(images.shape), align_corners=False)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def _recoloured(images: Tensor, level: dict[str, Tensor], sign: Tensor) -> Tensor:
    """Each image (B, 3, S, S) after its own operation; all are computed, since asking which would wait for a GPU."""

    def factor(name: str) -> Tensor:
        return (1 + FACTOR * level[name] * sign).view(-1, 1, 1, 1)

    images = ((images + 1) * factor("brightness") - 1).clamp(-1, 1)
    images = _away_from(images.mean(dim=(1, 2, 3), keepdim=True), images, factor("contrast"))
    images = _away_from(images.mean(dim=1, keepdim=True), images, factor("saturation"))
    images = _away_from(_smooth(images), images, factor("sharpness"))
    lowest, highest = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    stretched = 2 * (images - lowest) / (highest - lowest).clamp(min=1 / 255) - 1
    images = images.lerp(stretched, level["autocontrast"].view(-1, 1, 1, 1))
    step = torch.exp2((BITS * level["posterise"]).round()).view(-1, 1, 1, 1)
    # +0.5, since a value that came from a byte must not fall below it by rounding
    dropped = torch.floor(((images + 1) * 127.5 + 0.5) / step) * step / 127.5 - 1
    return torch.where(step > 1, dropped, images)


def _away_from(origin: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (origin + factor * (images - origin)).clamp(-1, 1)


def _smooth(images: Tensor) -> Tensor:
    """PIL's SMOOTH filter, the far end of its sharpness."""
    kernel = torch.ones(3, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel / 13, groups=3)


def _moves(level: dict[str, Tensor], sign: Tensor) -> Tensor:
    """Affine maps (B, 3, 3); at most one of an image's levels is above 0."""
    angle = ANGLE * level["rotate"] * sign
    move = torch.eye(3, device=sign.device).repeat(len(sign), 1, 1)
    move[:, 0, 0] = move[:, 1, 1] = angle.cos()
    move[:, 0, 1] = SHEAR * level["shear-x"] * sign - angle.sin()
    move[:, 1, 0] = SHEAR * level["shear-y"] * sign + angle.sin()
    # the side is 2 long from -1 to 1
    move[:, 0, 2] = 2 * TRANSLATION * level["translate-x"] * sign
    move[:, 1, 2] = 2 * TRANSLATION * level["translate-y"] * sign
    return move
