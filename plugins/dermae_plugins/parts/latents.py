"""Where a diffusion happens: in pixels, or in the latents of a frozen autoencoder (Rombach et al. 2022).

Both spaces answer the same questions: the shape of x0, how training images become x0, how x0 becomes images, and
whether x0 has a range that x0-hat can be clipped to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dermae_bench import api
from dermae_plugins.parts import autoencoders
from dermae_plugins.parts.augment import flipped
from dermae_plugins.parts.autoencoders import SpaceConfig

Clean = Callable[[api.Batch], Tensor]
"""A training batch -> its x0, float (B, C, h, w); a new mirroring (and posterior draw) at each call."""
PIXELS_AT_ONCE = 2**20
"""Pixels of the images that are encoded or decoded together: 16 images of 256 px."""


class Pixels:
    """The images themselves, floats in -1..1."""

    bounded = True
    """x0 lies in -1..1, so that x0-hat can be clipped there."""

    def __init__(self, size: int) -> None:
        self.shape = (3, size, size)

    def clean(self, train: api.ImageSet, flip: bool, device: torch.device) -> Clean:
        """How batches of `train` become x0."""
        return lambda batch: flipped(api.from_uint8(batch.images), flip)

    def means(self, images: Tensor) -> Tensor:
        """x0 of uint8 images (B, 3, S, S) that a classifier is asked about: not mirrored."""
        return api.from_uint8(images)

    def images(self, x0: Tensor) -> Tensor:
        """float images (B, 3, S, S) of x0, with gradient."""
        return x0

    def pixels(self, x0: Tensor) -> Tensor:
        """uint8 images (B, 3, S, S) of x0."""
        return api.to_uint8(x0)

    def sampling_cost(self) -> list[api.CostUnit]:
        """What one image costs besides the diffusion."""
        return []

    def training_cost(self, looked_at: bool = False) -> list[api.CostUnit]:
        """What one image costs in a training step besides the network; `looked_at`: images of x0 and x0-hat are."""
        return []


class Latents(nn.Module):
    """Latents of a frozen autoencoder, scaled to about unit variance.

    `kl`: (z - shift_factor) * scaling_factor of its config (0.18215 for Stable Diffusion 1). `tiny`: TAESD's latents
    have that scale already (its own factor is 1). They have no range: x0-hat is never clipped.

    Raises:
        PluginError: the images cannot be divided by the autoencoder's factor.
    """

    bounded = False

    def __init__(self, config: SpaceConfig, size: int) -> None:
        super().__init__()
        net = autoencoders.load(config)
        factor = _factor(config, net)
        if size % factor:
            raise api.PluginError(
                f"images of {size} px cannot be encoded: this autoencoder divides the side by {factor}",
                hint=f"prepare images whose side is a multiple of {factor}",
            )
        self.encoder, self.decoder = autoencoders.Encoder(net), autoencoders.Decoder(net)
        self.drawn = config.autoencoder == "kl"
        self.scaling = float(net.config.scaling_factor)
        self.shift = float(net.config.shift_factor or 0.0)
        self.limit = int(config.latents_gib * 2**30)
        self.size = size
        self.shape = (int(net.config.latent_channels), size // factor, size // factor)
        self.eval().requires_grad_(False)

    # -- training ----------------------------------------------------------------------------------------------------

    def clean(self, train: api.ImageSet, flip: bool, device: torch.device) -> Clean:
        """How batches of `train` become x0: encoded here once, or at every step if that would take too much memory.

        Kept are means (and deviations) as float16 on the run's device, a relative error of 0.05 %. They are a function
        of images and weights alone, so a resumed fit computes the same ones.
        """
        if self.memory(len(train), flip) > self.limit:
            return lambda batch: self._drawn(*self._encoded(flipped(api.from_uint8(batch.images), flip)))
        sides = [False, True] if flip else [False]
        # autocast joins float32 and bfloat16 alone
        with torch.autocast(device.type, enabled=False):
            kept = [torch.cat(list(self._parts(train, mirrored, device))) for mirrored in sides]

        def clean(batch: api.Batch) -> Tensor:
            positions = batch.indices.to(device)
            found = kept[0][positions]
            if flip:
                mirrored = torch.rand(len(positions), device=device) < 0.5
                found = torch.where(mirrored.view(-1, 1, 1, 1, 1), kept[1][positions], found)
            return self._drawn(*found.float().unbind(1))

        return clean

    def memory(self, count: int, flip: bool) -> int:
        """Bytes that the encoded training set takes."""
        return count * (2 if flip else 1) * (2 if self.drawn else 1) * math.prod(self.shape) * torch.float16.itemsize

    def _parts(self, train: api.ImageSet, mirrored: bool, device: torch.device) -> Any:
        for start in range(0, len(train), self._at_once()):
            images = api.from_uint8(train[slice(start, start + self._at_once())].to(device))
            yield torch.stack(self._encoded(images.flip(3) if mirrored else images), dim=1).half()

    @torch.no_grad()
    def _encoded(self, images: Tensor) -> list[Tensor]:
        """Scaled mean and, for `kl`, deviation of the latents; float32 whatever the run's precision is."""
        with torch.autocast(images.device.type, enabled=False):
            moments = self.encoder(images)
        if not self.drawn:
            return [(moments - self.shift) * self.scaling]
        mean, log_variance = moments.chunk(2, dim=1)
        deviation = (0.5 * log_variance.clamp(-30, 20)).exp() * self.scaling
        return [(mean - self.shift) * self.scaling, deviation]

    def means(self, images: Tensor) -> Tensor:
        """x0 float (B, C, h, w) of uint8 images (B, 3, S, S), neither mirrored nor drawn: the mean of the posterior."""
        some = api.from_uint8(images).split(self._at_once())
        return torch.cat([self._encoded(part)[0] for part in some])

    def _drawn(self, mean: Tensor, deviation: Tensor | None = None) -> Tensor:
        # noise is drawn in the order of memory, which must be the same however the latents were made
        mean = mean.contiguous()
        return mean if deviation is None else mean + deviation.contiguous() * torch.randn_like(mean)

    # -- images ------------------------------------------------------------------------------------------------------

    def images(self, x0: Tensor) -> Tensor:
        """float images (B, 3, S, S), about -1..1, of scaled latents; with gradient to them."""
        decoded: Tensor = self.decoder(x0.float() / self.scaling + self.shift)
        return decoded.float()

    def pixels(self, x0: Tensor) -> Tensor:
        """uint8 images (B, 3, S, S) of scaled latents, decoded a few at a time."""
        return torch.cat([api.to_uint8(self.images(some)) for some in x0.split(self._at_once())])

    def _at_once(self) -> int:
        return max(1, PIXELS_AT_ONCE // self.size**2)

    # -- cost --------------------------------------------------------------------------------------------------------

    def sampling_cost(self) -> list[api.CostUnit]:
        """One pass of the decoder."""
        return [api.CostUnit(self.decoder, self._example(self.shape))]

    def training_cost(self, looked_at: bool = False) -> list[api.CostUnit]:
        """The encoder where it runs at every step by the options (`latents_gib: 0`); what is encoded once is no part
        of a step. A loss on images decodes twice, x0-hat with gradient and x0 without; counted for every image, though
        only a share of the batch may be looked at: an upper bound.
        """
        found = []
        if not self.limit:
            found.append(api.CostUnit(self.encoder, self._example((3, self.size, self.size)), backward="none"))
        if looked_at:
            latents = self._example(self.shape)
            found += [api.CostUnit(self.decoder, latents, backward=how) for how in ("inputs", "none")]
        return found

    def _example(self, shape: Sequence[int]) -> tuple[Tensor]:
        return (torch.zeros(1, *shape, device=next(self.parameters()).device),)


Space = Pixels | Latents


def build_space(model: api.Model, config: SpaceConfig, size: int) -> Space:
    """The space that the options describe; an autoencoder is attached to `model` as frozen `autoencoder`."""
    if config.space == "pixel":
        return Pixels(size)
    latents = Latents(config, size)
    model.frozen("autoencoder", latents)
    return latents


def _factor(config: SpaceConfig, net: Any) -> int:
    widths = net.config.encoder_block_out_channels if config.autoencoder == "tiny" else net.config.block_out_channels
    return int(2 ** (len(widths) - 1))
