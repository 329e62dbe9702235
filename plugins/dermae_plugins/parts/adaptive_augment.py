"""Adaptive discriminator augmentation (ADA: Karras et al., NeurIPS 2020): what the discriminator sees is augmented with
a probability p that grows while it overfits.

Nothing may leak: the generator must learn the images and not their augmentations. That holds where the map from the
distribution of images to that of augmented images can be inverted (section 2.2 and appendix C of the paper). Every
operation here is applied with probability p, and is a draw from a group that acts on images without loss, whose
characteristic function has no negative value. Its factor is then at least 1 - p, so that each map, and their chain, can
be inverted for every p below 1:

- mirror images and quarter turns are drawn evenly from their group: the factors are 1 and 1 - p;
- shifts go around the border, so that no pixel is lost; a shift is the sum of two even draws, whose characteristic
  function is a square. (An even draw over an interval, the paper's, has negative values down to -0.217: the map can
  fail from p = 0.82 on.)
- brightness, log contrast and log saturation are normal draws, whose characteristic function is positive.

Left out of the paper's pipeline: scaling, rotation by other angles and anisotropy (they interpolate), hue and luma
inversion (a lesion is told by its colour), filters, noise and cutout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHIFT = 0.125
"""Largest shift, as a share of the side."""
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Standard deviations: of what is added to pixels in -1..1, and of two logarithms to base 2 (the paper's values)."""


class AdaptiveAugment(nn.Module):
    """forward(float images (B, 3, S, S)) -> the same after operations of their own, with gradient.

    `p` and what was heard since it last moved are buffers, so checkpoints hold them and a GPU is never waited for.

    Args:
        target: share r_t that is steered to, the mean of sign D(real); in -1..1.
        images: real images over which p goes from 0 to 1 at most.
        interval: steps between two moves of p.
        limit: largest p.
    """

    p: Tensor
    heard: Tensor

    def __init__(self, target: float, images: int, interval: int, limit: float) -> None:
        super().__init__()
        self.target, self.images, self.interval, self.limit = target, images, interval, limit
        self.register_buffer("p", torch.zeros(()))
        # sum of the signs, and how many
        self.register_buffer("heard", torch.zeros(2))

    def forward(self, images: Tensor) -> Tensor:
        return augmented(images, self.p)

    @torch.no_grad()
    def listen(self, answers: Tensor, step: int) -> None:
        """Take in D's answers (B,) to real images; after every `interval` steps p moves towards the target."""
        self.heard[0] += answers.sign().sum()
        self.heard[1] += len(answers)
        if (step + 1) % self.interval == 0:
            total, count = self.heard
            self.p += (total / count - self.target).sign() * count / self.images
            self.p.clamp_(0, self.limit)
            self.heard.zero_()


def augmented(images: Tensor, p: Tensor) -> Tensor:
    """Every operation with probability `p` (a scalar), each image with draws of its own; p = 0 changes no bit."""
    return recoloured(shifted(turned(images, p), p), p)


def turned(images: Tensor, p: Tensor) -> Tensor:
    """Mirrored or not, and then turned by 0, 1, 2 or 3 quarters, each evenly where it is drawn."""
    count, device = len(images), images.device
    mirrored = _drawn(images, p) & (torch.rand(count, device=device) < 0.5).view(-1, 1, 1, 1)
    quarters = torch.randint(4, (count, 1, 1, 1), device=device)
    quarters = torch.where(_drawn(images, p), quarters, 0)
    images = torch.where(mirrored, images.flip(3), images)
    images = torch.where(quarters % 2 == 1, images.transpose(2, 3).flip(2), images)
    return torch.where(quarters >= 2, images.flip((2, 3)), images)


def shifted(images: Tensor, p: Tensor) -> Tensor:
    """Moved by whole pixels around the border: along each axis the sum of two even draws, at most 12.5 %."""
    count, side, device = len(images), images.shape[-1], images.device
    reach = int(SHIFT * side / 2)
    steps = torch.randint(-reach, reach + 1, (2, 2, count, 1), device=device).sum(dim=1)
    steps = torch.where(_drawn(images, p).view(-1, 1), steps, 0)
    # positions are told apart, so that the gradient is a permutation and no sum, which a GPU would order as it likes
    rows, columns = (torch.arange(side, device=device) - steps) % side
    moved = torch.take_along_dim(images, rows[:, None, :, None], dim=2)
    return torch.take_along_dim(moved, columns[:, None, None, :], dim=3)


def recoloured(images: Tensor, p: Tensor) -> Tensor:
    """Brightness added, contrast about middle grey, saturation about the mean of the channels; nothing is clipped."""
    bright, contrast, saturation = torch.randn(3, len(images), 1, 1, 1, device=images.device)
    images = torch.where(_drawn(images, p), images + BRIGHTNESS * bright, images)
    images = torch.where(_drawn(images, p), images * torch.exp2(CONTRAST * contrast), images)
    grey = images.mean(dim=1, keepdim=True)
    vivid = grey + torch.exp2(SATURATION * saturation) * (images - grey)
    return torch.where(_drawn(images, p), vivid, images)


def _drawn(images: Tensor, p: Tensor) -> Tensor:
    """Which images an operation is applied to: bool (B, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < p
