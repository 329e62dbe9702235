"""Perceptual loss: images are compared by what a frozen network sees in them, not pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import trunks


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
    """Which network looks, where, and at which images."""

    feature_arch: str = trunks.PACKAGED
    """Any timm architecture that gives intermediate features."""
    feature_weights: api.File | None = None
    """Its weights under timm's names. Null takes ImageNet weights of tf_efficientnet_lite0 from the installed
    package; every other architecture needs a file, for there is no default."""
    feature_stages: tuple[int, ...] = (0, 1, 2)
    """Which of the network's intermediate features are compared, by timm's `out_indices`."""
    feature_size: Annotated[int, api.Between(8)] | None = None
    """Side in pixels at which the network looks; null is the images' own."""
    feature_share: Annotated[float, api.Between(0, 1)] = 0.5
    """Share of each batch that is compared: the images with the least noise, for at high t x0-hat is a blur."""


class FeatureDistance(nn.Module):
    """LPIPS (Zhang et al. 2018) without its learned weights: features of unit length, squared differences.

    forward((B, 3, S, S), (B, 3, S, S)) -> (B,), floats in -1..1 -> mean over stages of a number in 0..4.
    No gradient flows into the network, and none into the second argument.

    Raises:
        PluginError: no weights for this architecture, weights that do not fit, or stages that it does not have.
    """

    def __init__(self, config: PerceptualConfig, image_size: int) -> None:
        super().__init__()
        stages = sorted(set(config.feature_stages))
        net = trunks.create(config.feature_arch, _sizes(config, image_size))
        if config.feature_weights is not None:
            state = api.load_weights(config.feature_weights)
        elif config.feature_arch == trunks.PACKAGED:
            state = trunks.packaged_state(net)
        else:
            raise api.PluginError(
                f"no weights for the feature network {config.feature_arch}",
                hint=f"give `feature_weights:` a file, or take {trunks.PACKAGED}, whose ImageNet weights are installed",
            )
        trunks.load_strictly(net, state, what="feature_weights")
        try:
            net.prune_intermediate_layers(stages, prune_norm=True, prune_head=True)
        except (AttributeError, AssertionError, IndexError) as error:
            raise api.PluginError(f"{config.feature_arch} gives no features at stages {stages}: {error}") from error
        self.look = Look(net, stages, config.feature_size)
        self.image_size = image_size
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FeatureDistance:
        """Stays in eval mode: a frozen network's norms must not move."""
        return super().train(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            there = self.look(targets)
        distances = [_squared(a, b) for a, b in zip(self.look(images), there, strict=True)]
        return torch.stack(distances).mean(dim=0)

    def training_cost(self) -> list[api.CostUnit]:
        """A pass over x0-hat with gradient to it, and one over x0.

        They are counted for every image, though only `feature_share` of them are compared: an upper bound.
        """
        image = torch.zeros(1, 3, self.image_size, self.image_size, device=self.look.scale.device)
        return [api.CostUnit(self.look, (image,), backward=how) for how in ("inputs", "none")]


class Look(nn.Module):
    """What a network sees: float images (B, 3, S, S) in -1..1 -> features of its stages, each (B, C, h, w)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: Any, stages: list[int], size: int | None) -> None:
        super().__init__()
        self.net, self.stages, self.size = net, stages, size
        mean, std = (torch.tensor(net.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        # (x + 1) / 2 and then (. - mean) / std, in one multiplication and one addition
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.size is not None and images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        seen: list[Tensor] = self.net.forward_intermediates(
            images * self.scale + self.shift,
            indices=self.stages,
            stop_early=True,
            intermediates_only=True,
            output_fmt="NCHW",
        )
        return seen


def least_noised(t: Tensor, share: float) -> Tensor:
    """Positions of the `share` of a batch with the smallest t: of fixed number, so that no GPU is waited for."""
    return t.argsort(stable=True)[: math.ceil(share * len(t))]


def _squared(a: Tensor, b: Tensor) -> Tensor:
    difference = F.normalize(a.float(), dim=1, eps=1e-6) - F.normalize(b.float(), dim=1, eps=1e-6)
    return difference.square().sum(dim=1).mean(dim=(1, 2))


def _sizes(config: PerceptualConfig, image_size: int) -> dict[str, Any]:
    """Transformers have to be told the picture's size; convolutions do not take it."""
    takes_size = trunks.has_fixed_size(config.feature_arch)
    return {"img_size": config.feature_size or image_size} if takes_size else {}
