"""The transformer of FLUX.1: its size, how pictures become its tokens, and which times it is trained and asked at.

Its sequence is text and picture in one: the picture's tokens are patches of 2 x 2 latents, with (row, column) as rotary
positions; the text's stand at the origin. Tokens and positions are those of diffusers' FluxPipeline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor

from dermae_bench import api

if TYPE_CHECKING:
    from diffusers import FluxTransformer2DModel

FLUX_PATCH = 2
"""Side in latents of a patch of FLUX.1."""
FLUX_SCHEDULER: Mapping[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
"""What FLUX.1-dev's scheduler_config.json says; networks of our own are drawn by the same rule."""


@dataclass(frozen=True, kw_only=True)
class NetConfig:
    """Size of a transformer of our own. With `weights` its config.json says all of this; leave it as it is."""

    layers: Annotated[int, api.Between(1)] = 2
    """Double-stream blocks, where text and picture have weights of their own (FLUX.1: 19)."""
    single_layers: Annotated[int, api.Between(1)] = 4
    """Single-stream blocks, where they share them (FLUX.1: 38)."""
    heads: Annotated[int, api.Between(1)] = 4
    """Attention heads (FLUX.1: 24); the width is heads x head_dim."""
    head_dim: Annotated[int, api.Between(8)] = 32
    """Channels an attention head, a multiple of 4 (FLUX.1: 128)."""
    patch: Annotated[int, api.Between(1)] = FLUX_PATCH
    """Side of a patch, in pixels or latents (FLUX.1: 2); attention costs (side / patch)^4."""

    def check_net(self) -> None:
        """Raises ValueError: rotary positions need a head that is divided by 4."""
        if self.head_dim % 4:
            raise ValueError(f"head_dim {self.head_dim} is not a multiple of 4, which rotary positions need")


def build_net(config: NetConfig, channels: int, text_width: int) -> FluxTransformer2DModel:
    """A transformer with random weights, for x0 of `channels` and a text of `text_width`, sequence and pooled alike."""
    from diffusers import FluxTransformer2DModel

    # an eighth of a head for the unused first axis and the rest for rows and columns; pairs of channels each
    unused = 4 * math.ceil(config.head_dim / 32)
    side = (config.head_dim - unused) // 2
    return FluxTransformer2DModel(
        in_channels=channels * config.patch**2,
        num_layers=config.layers,
        num_single_layers=config.single_layers,
        attention_head_dim=config.head_dim,
        num_attention_heads=config.heads,
        joint_attention_dim=text_width,
        pooled_projection_dim=text_width,
        axes_dims_rope=(unused, side, side),
    )


class Patches:
    """x (B, C, h, w) <-> tokens (B, N, C p^2), N = (h / p) (w / p), channel-major inside a patch.

    Raises:
        PluginError: the side cannot be divided by the patch, or the transformer wants other tokens.
    """

    def __init__(self, shape: tuple[int, ...], patch: int, wanted: int) -> None:
        self.channels, self.side, _ = shape
        self.patch = patch
        if self.side % patch:
            raise api.PluginError(
                f"pictures of {self.side} x {self.side} (in pixels, or latents) cannot be cut into patches of {patch}",
                hint="prepare images of another size, or choose another `patch`",
            )
        if self.channels * patch**2 != wanted:
            raise api.PluginError(
                f"the transformer wants tokens of {wanted} numbers, but the space gives {self.channels * patch**2}"
            )
        self.rows = self.side // patch
        self.count = self.rows**2

    def pack(self, x: Tensor) -> Tensor:
        """Tokens of x."""
        cut = x.unflatten(3, (self.rows, self.patch)).unflatten(2, (self.rows, self.patch))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def unpack(self, tokens: Tensor) -> Tensor:
        """x of tokens."""
        cut = tokens.unflatten(2, (self.channels, self.patch, self.patch)).unflatten(1, (self.rows, self.rows))
        return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def positions(self, device: torch.device) -> Tensor:
        """float32 (N, 3): 0, row and column of each token."""
        rows = torch.arange(self.rows, dtype=torch.float32, device=device)
        grid = torch.stack(torch.meshgrid(rows, rows, indexing="ij"), dim=-1).flatten(0, 1)
        return torch.cat([torch.zeros_like(grid[:, :1]), grid], dim=1)


def dynamic_mu(about: Mapping[str, Any], tokens: int) -> float:
    """mu of FLUX's resolution-dependent shift: a line through (base_image_seq_len, base_shift) and (max, max)."""
    start, end = about["base_image_seq_len"], about["max_image_seq_len"]
    slope = (about["max_shift"] - about["base_shift"]) / (end - start)
    return float(about["base_shift"] + slope * (tokens - start))


def shift_of(about: Mapping[str, Any], tokens: int) -> float:
    """The shift s of t -> s t / (1 + (s - 1) t) that the scheduler applies to pictures of `tokens` patches."""
    if not about["use_dynamic_shifting"]:
        return float(about["shift"])
    mu = dynamic_mu(about, tokens)
    return math.exp(mu) if about.get("time_shift_type", "exponential") == "exponential" else mu


def scheduler_settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """All settings of a scheduler_config.json, as FlowMatchEulerDiscreteScheduler reads them.

    Raises:
        PluginError: it is of another scheduler, or asks for steps that are not deterministic.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    found = values.get("_class_name", FlowMatchEulerDiscreteScheduler.__name__)
    if found != FlowMatchEulerDiscreteScheduler.__name__:
        raise api.PluginError(f"the scheduler of `weights` is {found}, not FlowMatchEulerDiscreteScheduler")
    about: Mapping[str, Any] = dict(FlowMatchEulerDiscreteScheduler.from_config(dict(values)).config)
    if about.get("stochastic_sampling"):
        raise api.PluginError("the scheduler of `weights` asks for stochastic sampling: this is not supported")
    return about


def drawing_times(about: Mapping[str, Any], steps: int, tokens: int) -> list[float]:
    """steps + 1 descending times from (about) 1 to 0: the sigmas that FluxPipeline steps through."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(about))
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=dynamic_mu(about, tokens))
    return [float(sigma) for sigma in scheduler.sigmas]
