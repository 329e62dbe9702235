"""The U-Net of the diffusion and flow models, and the options that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.latents import Space
from dermae_plugins.parts.optimisation import Decay, OptimizerName
from dermae_plugins.parts.process import Prediction, Schedule

if TYPE_CHECKING:
    from diffusers import UNet2DModel


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(SpaceConfig):
    """Network and optimiser. The defaults are the 256-pixel network of Ho et al. 2020 (114 M parameters).

    Latents have fewer pixels and want fewer levels: three or four where images have six.
    """

    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    """Width of each level of the U-Net; the picture (or its latents) is halved between two levels."""
    layers_per_block: Annotated[int, api.Between(1)] = 2
    """Residual blocks a level on the way down (one more on the way up)."""
    attention_levels: tuple[int, ...] = (-2,)
    """Levels with self-attention besides the middle: 0 is full resolution, -1 the deepest; -2 is 16 x 16 at 256 px."""
    head_dim: Annotated[int, api.Between(1)] | None = None
    """Channels an attention head; one head over all channels if null."""
    norm_groups: Annotated[int, api.Between(1)] = 32
    """Groups of the group norms; must divide every width."""
    dropout: Annotated[float, api.Between(0, 1)] = 0.0
    """Dropout inside the residual blocks."""
    modulation: Literal["add", "scale-shift"] = "add"
    """How time and class enter a residual block: added (Ho et al. 2020), or as scale and shift of its norm (Dhariwal
    and Nichol 2021), with which classes are learnt in fewer steps."""
    optimizer: OptimizerName = "adam"
    """Adam, or AdamW with `weight_decay`."""
    lr: Annotated[float, api.Between(0)] = 1e-4
    """Learning rate after warm-up."""
    weight_decay: Annotated[float, api.Between(0)] = 0.0
    """Decoupled weight decay; AdamW only."""
    warmup: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the budget over which the learning rate rises from 0."""
    decay: Decay = "constant"
    """What the learning rate does after warm-up: stays, or falls to 0 along half a cosine."""
    flip: bool = True
    """Mirror half of the training images left to right."""

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = len(self.channels)
        if not levels or any(not -levels <= level < levels for level in self.attention_levels):
            raise ValueError(f"attention_levels {list(self.attention_levels)} do not exist in {levels} levels")
        # the middle of the network, as wide as its deepest level, always attends
        attending = [self.channels[level] for level in (*self.attention_levels, -1)]
        bad = [width for width in self.channels if width % self.norm_groups]
        bad += [width for width in attending if width % (self.head_dim or width)]
        if bad:
            divisors = f"norm_groups {self.norm_groups} or head_dim {self.head_dim}"
            raise ValueError(f"channels {bad} are not divisible by {divisors}")
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError("weight_decay needs optimizer: adamw")


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(NetworkConfig):
    """The network, and the process whose noise it removes."""

    timesteps: Annotated[int, api.Between(2)] = 1000
    """Steps T of the diffusion process."""
    schedule: Schedule = "linear"
    """Noise schedule: linear betas (Ho et al. 2020) or cosine (Nichol and Dhariwal 2021)."""
    prediction: Prediction = "eps"
    """What the network predicts; at small budgets x0 with the cosine schedule gives pictures where eps gives noise."""


TINY_NETWORK: Mapping[str, Any] = {
    "channels": [8, 16],
    "layers_per_block": 1,
    "attention_levels": [],
    "norm_groups": 4,
    "lr": 1e-3,
}
"""The network of the conformance kit."""
TINY: Mapping[str, Any] = {**TINY_NETWORK, "timesteps": 50}
TINY_SAMPLING: Mapping[str, Any] = {"steps": 4}
"""Small enough for the conformance kit."""


def build_unet(config: NetworkConfig, space: Space, classes: int | None = None) -> UNet2DModel:
    """U-Net for x0 of the space's shape; with `classes`, one embedding more than classes: the last means "any".

    Raises:
        PluginError: x0 cannot be halved as often as the network has levels.
    """
    from diffusers import UNet2DModel

    halvings = len(config.channels) - 1
    depth, size, _ = space.shape
    if size % 2**halvings:
        what = "images of" if space.bounded else "latents of side"
        raise api.PluginError(
            f"{what} {size} px cannot be halved {halvings} times", hint="give `channels` fewer levels"
        )
    levels = range(len(config.channels))
    attentive = {level % len(config.channels) for level in config.attention_levels}
    down = tuple("AttnDownBlock2D" if level in attentive else "DownBlock2D" for level in levels)
    up = tuple("AttnUpBlock2D" if level in attentive else "UpBlock2D" for level in reversed(levels))
    return UNet2DModel(
        sample_size=size,
        in_channels=depth,
        out_channels=depth,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers_per_block,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=config.head_dim,
        norm_num_groups=config.norm_groups,
        dropout=config.dropout,
        resnet_time_scale_shift="default" if config.modulation == "add" else "scale_shift",
        num_class_embeds=None if classes is None else classes + 1,
    )


def example_inputs(network: UNet2DModel) -> tuple[Tensor, ...]:
    """Inputs of one pass over one image, on the network's device: x_t, t and, where it takes one, a class."""
    device = next(network.parameters()).device
    about = network.config
    x_t = torch.zeros(1, about.in_channels, about.sample_size, about.sample_size, device=device)
    number = torch.zeros(1, dtype=torch.int64, device=device)
    return (x_t, number) if about.num_class_embeds is None else (x_t, number, number)
