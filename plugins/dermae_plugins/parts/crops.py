"""Random resized crops of whole batches on their device, mirrored or not, in two matrix products an image.

A crop along the axes and a mirror image are separable: rows are resampled by one matrix, columns by another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_resized_crop(images: Tensor, scale: tuple[float, float], flip: bool) -> Tensor:
    """Random boxes of the images, each resized to the whole picture; a draw of its own for every image.

    A box covers a uniform share of the area, with a log-uniform aspect between 3/4 and 4/3 (Szegedy et al. 2015, as
    torchvision does it; a box that would not fit is cut, where torchvision draws again). Pixels are interpolated
    bilinearly: a box is never larger than the picture, so nothing is scaled down.

    Args:
        images: (B, C, S, S), uint8 or float.
        scale: smallest and largest share of the area.
        flip: mirror half of the images left to right.

    Returns:
        float (B, C, S, S), in the range of the input.
    """
    count, side = len(images), images.shape[-1]
    area, aspect, top, left, mirrored = torch.rand(5, count, device=images.device)
    area = scale[0] + (scale[1] - scale[0]) * area
    ratio = torch.exp((2 * aspect - 1) * math.log(4 / 3))
    height, width = ((area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1))
    down = _resampling(top * (1 - height), height, side)
    across = _resampling(left * (1 - width), width, side)
    if flip:
        across = torch.where((mirrored < 0.5).view(-1, 1, 1), across.flip(1), across)
    # in low precision, places in an image would be rounded
    with torch.autocast(images.device.type, enabled=False):
        return down.unsqueeze(1) @ images.float() @ across.transpose(1, 2).unsqueeze(1)


def _resampling(start: Tensor, extent: Tensor, side: int) -> Tensor:
    """(B, side, side): row i holds the bilinear weights of the source pixels that make pixel i of the crop.

    `start` and `extent` are shares of the side.
    """
    pixels = torch.arange(side, device=start.device, dtype=start.dtype)
    centres = (start[:, None] + (pixels + 0.5) / side * extent[:, None]) * side - 0.5
    centres = centres.clamp(0, side - 1)
    return (1 - (centres[:, :, None] - pixels).abs()).clamp(min=0)
