"""The networks of FastGAN (Liu, Zhu, Song and Elgammal, ICLR 2021), told a class.

Generator: a latent becomes a small map, which is doubled level by level; gates carry what small maps know to maps of
sixteen times their side (skip-layer excitation, section 3.1). Discriminator: residual halvings to 8 x 8, and two
decoders that must be able to redraw the image from its features (section 3.2).

As in the paper all convolutions are spectrally normalised (Miyato et al. 2018). The label is an embedding that is added
to the latent, and a projection of the discriminator's features (Miyato and Koyama 2018); the paper has no classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from dermae_bench import api

STARTS = (4, 5, 6, 7)
"""Sides of the smallest map: 4 for 64, 128, 256 px; 7 for 224 px."""
SMALLEST, LARGEST = 16, 512
GAP = 4
"""Levels between a map and the one it gates: sixteen times its side (4 x 4 gates 64 x 64)."""
HALVES = 4
"""Doublings of a decoder at most: from 8 x 8 to 128 x 128, as in the paper."""
DRAWING = (16, 8, 4, 2, 2, 1, 0.5, 0.25)
"""Width of the generator's map at each level, from 4 x 4 to 512 x 512, in units of `width`."""
JUDGING = (16, 8, 4, 2, 1, 0.5, 0.25, 0.25)
"""The same of the discriminator; its first entry is the width before the answer."""


def levels_of(size: int) -> tuple[int, int]:
    """(side of the smallest map, how often it is doubled) for images of `size` px.

    Raises:
        PluginError: `size` is not 4, 5, 6 or 7 times a power of two, or not in 16..512.
    """
    levels = max(0, size.bit_length() - 3)
    start = size >> levels
    if not SMALLEST <= size <= LARGEST or start << levels != size:
        raise api.PluginError(
            f"images of {size} px cannot be drawn: the side must be 4, 5, 6 or 7 times a power of two, "
            f"from {SMALLEST} to {LARGEST}",
            hint="prepare images of 32, 48, 64, 96, 128, 192, 224, 256 or 512 px",
        )
    return start, levels


class Painter(nn.Module):
    """forward(latent (B, L), labels int64 (B,), grain (B, G)) -> images (B, 3, S, S) in -1..1.

    `grain` holds the standard normal noise that blocks add to their maps, `self.grain` numbers an image.

    Raises:
        PluginError: there are no images of this size.
    """

    def __init__(self, size: int, latent: int, width: int, classes: int) -> None:
        super().__init__()
        start, levels = levels_of(size)
        widths = [_wide(width, factor) for factor in DRAWING[: levels + 1]]
        self.classes = nn.Embedding(classes, latent)
        self.begin = nn.Sequential(
            _normalised(nn.ConvTranspose2d(latent, 2 * widths[0], start, bias=False)),
            nn.BatchNorm2d(2 * widths[0]),
            nn.GLU(dim=1),
        )
        self.ups = nn.ModuleList(
            # every other level has two convolutions and noise
            (GrainyUp if level % 2 else Up)(widths[level - 1], widths[level])
            for level in range(1, levels + 1)
        )
        # images below 64 px are fewer levels high: their last map is gated by their first
        gap = min(GAP, levels)
        self.gates = nn.ModuleDict(
            {str(level): Excitation(widths[level - gap], widths[level]) for level in range(gap, levels + 1)}
        )
        self.gap = gap
        self.end = _normalised(nn.Conv2d(widths[levels], 3, 3, padding=1, bias=False))
        self.sides = [start << level for level in range(1, levels + 1, 2)]
        self.grain = sum(2 * side**2 for side in self.sides)
        self.apply(_scaled)

    def forward(self, latent: Tensor, labels: Tensor, grain: Tensor) -> Tensor:
        pieces = iter(grain.split([2 * side**2 for side in self.sides], dim=1))
        maps = [self.begin((latent + self.classes(labels))[:, :, None, None])]
        for level, up in enumerate(self.ups, start=1):
            drawn = up(maps[-1], next(pieces)) if isinstance(up, GrainyUp) else up(maps[-1])
            name = str(level)
            if name in self.gates:
                drawn = drawn * self.gates[name](maps[level - self.gap])
            maps.append(drawn)
        images: Tensor = self.end(maps[-1]).float().tanh()
        return images


class Critic(nn.Module):
    """forward(images (B, 3, S, S), labels (B,)) -> answers (B, h, w), and features at the two smallest levels.

    Every answer is about one patch, plus what the features as a whole say of the class: their mean, projected on the
    label's embedding. Features: (B, C2, 4 s, 4 s) and (B, C1, 2 s, 2 s), with s the side of the generator's first map.
    """

    def __init__(self, size: int, width: int, classes: int) -> None:
        super().__init__()
        _, levels = levels_of(size)
        widths = [_wide(width, factor) for factor in JUDGING[: levels + 1]]
        # the paper halves images above 256 px at once
        stride = 2 if levels == len(JUDGING) - 1 else 1
        first = nn.Conv2d(3, widths[levels], 2 + stride, stride, 1, bias=False)
        self.begin = nn.Sequential(_normalised(first), nn.LeakyReLU(0.2))
        self.downs = nn.ModuleList(
            Down(widths[level], widths[level - 1]) for level in range(levels - (stride - 1), 1, -1)
        )
        self.widths = widths[1:3]
        self.end = nn.Sequential(
            _convolution(widths[1], widths[0], 1),
            nn.BatchNorm2d(widths[0]),
            nn.LeakyReLU(0.2),
            _convolution(widths[0], 1, 4),
        )
        self.classes = spectral_norm(nn.Embedding(classes, widths[1]))
        self.apply(_scaled)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        larger = smaller = self.begin(images)
        for down in self.downs:
            larger, smaller = smaller, down(smaller)
        whole = (self.classes(labels) * smaller.mean(dim=(2, 3))).sum(dim=1)
        answers = self.end(smaller).squeeze(1) + whole[:, None, None]
        return answers.float(), larger, smaller


class Decoder(nn.Module):
    """Features (B, C, h, h) -> the image they were made from (B, 3, h 2^n, h 2^n), n = `doublings`.

    Its answer has no bounds, since augmented images have none.
    """

    def __init__(self, inside: int, width: int, doublings: int) -> None:
        super().__init__()
        widths = [inside, *(_wide(width, factor) for factor in (2, 1, 1, 0.5)[:doublings])]
        self.ups = nn.Sequential(*(Up(a, b) for a, b in pairwise(widths)))
        self.end = _convolution(widths[-1], 3, 3)
        self.apply(_scaled)

    def forward(self, features: Tensor) -> Tensor:
        redrawn: Tensor = self.end(self.ups(features))
        return redrawn


class Up(nn.Sequential):
    """Twice the side: nearest neighbours, convolution, norm, gated linear unit."""

    def __init__(self, inside: int, outside: int) -> None:
        layers = [nn.Upsample(scale_factor=2), _convolution(inside, 2 * outside, 3), nn.BatchNorm2d(2 * outside)]
        super().__init__(*layers, nn.GLU(dim=1))


class GrainyUp(nn.Module):
    """Twice the side with two convolutions, noise after each; forward(map, grain (B, 2 (2 h)^2))."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(width, 2 * outside, 3) for width in (inside, outside))
        self.norms = nn.ModuleList(nn.BatchNorm2d(2 * outside) for _ in range(2))
        self.strengths = nn.Parameter(torch.zeros(2))

    def forward(self, drawn: Tensor, grain: Tensor) -> Tensor:
        drawn = F.interpolate(drawn, scale_factor=2)
        side = drawn.shape[-1]
        grains = grain.view(-1, 2, 1, side, side).unbind(1)
        for convolution, norm, strength, noise in zip(
            self.convolutions, self.norms, self.strengths, grains, strict=True
        ):
            drawn = F.glu(norm(convolution(drawn) + strength * noise), dim=1)
        return drawn


class Excitation(nn.Sequential):
    """A small map (B, C, h, h) -> gates (B, C', 1, 1) in 0..1 for the channels of a large one (section 3.1)."""

    def __init__(self, inside: int, outside: int) -> None:
        layers = [
            nn.AdaptiveAvgPool2d(4),
            _normalised(nn.Conv2d(inside, outside, 4, bias=False)),
            nn.SiLU(),
            _normalised(nn.Conv2d(outside, outside, 1, bias=False)),
            nn.Sigmoid(),
        ]
        super().__init__(*layers)


class Down(nn.Module):
    """Half the side: two convolutions, and beside them a pooled one; the mean of both."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            _normalised(nn.Conv2d(inside, outside, 4, 2, 1, bias=False)),
            nn.BatchNorm2d(outside),
            nn.LeakyReLU(0.2),
            _convolution(outside, outside, 3),
            nn.BatchNorm2d(outside),
            nn.LeakyReLU(0.2),
        )
        self.direct = nn.Sequential(
            nn.AvgPool2d(2), _convolution(inside, outside, 1), nn.BatchNorm2d(outside), nn.LeakyReLU(0.2)
        )

    def forward(self, images: Tensor) -> Tensor:
        halved: Tensor = (self.deep(images) + self.direct(images)) / 2
        return halved


def reconstructions(levels: int) -> Sequence[int]:
    """Doublings of the decoders of the part and of the whole, so that neither draws more pixels than the image has."""
    return min(HALVES, levels - 2), min(HALVES, levels - 1)


def _convolution(inside: int, outside: int, side: int) -> nn.Module:
    # an even kernel is the last one, which answers for patches and is not padded
    return _normalised(nn.Conv2d(inside, outside, side, padding=(side - 1) // 2 if side % 2 else 0, bias=False))


def _wide(width: int, factor: float) -> int:
    return max(2, int(width * factor))


def _normalised(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """A convolution with DCGAN's start (Radford et al. 2016), which the authors take, divided by its spectral norm."""
    nn.init.normal_(layer.weight, 0.0, 0.02)
    return spectral_norm(layer)


def _scaled(part: nn.Module) -> None:
    """DCGAN's start of a batch norm."""
    if isinstance(part, nn.BatchNorm2d):
        nn.init.normal_(part.weight, 1.0, 0.02)
