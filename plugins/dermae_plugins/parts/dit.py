"""The diffusion transformer (DiT, Peebles and Xie 2023), with cross-attention to its conditions as in Class-N-Diff.

A picture or its latents are cut into patches, which attend to each other and are told time and class, either by
cross-attention (Class-N-Diff, section III-B) or by modulated norms (adaLN-Zero).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from dermae_bench import api
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.latents import Space
from dermae_plugins.parts.masking import attend, patchify, sin_cos_positions

FREQUENCIES = 256
"""Sines and cosines of the time that the embedding starts from."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(SpaceConfig):
    """The defaults are DiT-L/4 with the conditioning of Class-N-Diff: 407 M parameters."""

    depth: Annotated[int, api.Between(1)] = 24
    """Blocks."""
    patch: Annotated[int, api.Between(1)] = 4
    """Side of a patch, in pixels or cells of the latents."""
    width: Annotated[int, api.Between(4)] = 1024
    """Numbers a token."""
    heads: Annotated[int, api.Between(1)] = 16
    """Heads of every attention."""
    mlp_ratio: Annotated[float, api.Between(0.1)] = 4.0
    """Width of the hidden layer of each block over the width of a token."""
    conditioning: Literal["cross-attention", "adaln"] = "cross-attention"
    """How each block is told time and class: by cross-attention (Class-N-Diff), or by scales, shifts and gates that
    start at zero (adaLN-Zero of DiT, which `tokens` and `queries` do not concern). The last layer is modulated by the
    sum of both in either case, as in the code of both papers."""
    tokens: Literal["two", "one"] = "two"
    """What cross-attention reads: a token for the time and one for the class ("concatenated", the paper's text), or
    their sum (its released code)."""
    queries: Literal["patches", "condition"] = "patches"
    """Who asks in the cross-attention: each patch asks the condition's tokens (the paper's text); or the condition
    asks the patches, and the mean of the answers is added to every patch alike (its released code)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads} and by 4")


class CrossAttention(nn.Module):
    """Multi-head attention: rows (B, M, D) ask a context (B, N, D) -> (B, M, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        key, value = self.key_value(context).chunk(2, dim=2)
        answer: Tensor = self.proj(attend(self.query(rows), key, value, self.heads))
        return answer


class Block(nn.Module):
    """Self-attention, cross-attention where conditions are told so, and a perceptron, each added to the tokens.

    forward(x (B, L, D), condition (B, 1 or 2, D)) -> (B, L, D).
    """

    def __init__(self, config: TransformerConfig) -> None:
        from timm.layers import Mlp
        from timm.models.vision_transformer import Attention

        super().__init__()
        width = config.width
        self.asked_by_patches = config.queries == "patches"
        self.norm1, self.norm2 = _norm(width), _norm(width)
        self.attn = Attention(width, num_heads=config.heads, qkv_bias=True)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), act_layer=partial(nn.GELU, approximate="tanh"))
        self.norm3: nn.Module | None = None
        if config.conditioning == "cross-attention":
            self.norm3, self.cross = _norm(width), CrossAttention(width, config.heads)
        else:
            self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        if self.norm3 is None:
            return self._modulated(x, condition)
        x = x + self.attn(self.norm1(x))
        if self.asked_by_patches:
            x = x + self.cross(self.norm3(x), condition)
        else:
            x = x + self.cross(condition, self.norm3(x)).mean(dim=1, keepdim=True)
        told: Tensor = x + self.mlp(self.norm2(x))
        return told

    def _modulated(self, x: Tensor, condition: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=2)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        told: Tensor = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return told


class DiffusionTransformer(nn.Module):
    """forward(x_t float (B, C, S, S), t int64 (B,), labels int64 (B,)) -> float (B, C, S, S).

    It predicts the mean alone; DiT's second half of the output, a learnt variance, is not here: the samplers have a
    fixed one. Labels run from 0 to `classes`; the last means "any".

    Raises:
        PluginError: S cannot be divided by the patch.
    """

    positions: Tensor

    def __init__(self, config: TransformerConfig, space: Space, classes: int) -> None:
        from diffusers.models.embeddings import get_timestep_embedding

        super().__init__()
        self.shape = (depth, side, _) = space.shape
        if side % config.patch:
            what = "images of" if space.bounded else "latents of side"
            raise api.PluginError(
                f"{what} {side} px cannot be cut into patches of {config.patch}", hint="change `patch`"
            )
        width, self.patch, self.grid = config.width, config.patch, side // config.patch
        self.summed = config.conditioning == "adaln" or config.tokens == "one"
        self.waves = partial(
            get_timestep_embedding, embedding_dim=FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        self.entry = nn.Linear(depth * config.patch**2, width)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)
        self.register_buffer("positions", sin_cos_positions((self.grid, self.grid), width), persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.last_norm = _norm(width)
        self.last_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.exit = nn.Linear(width, depth * config.patch**2)
        self._initialise()

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        time, label = self.time(self.waves(t)), self.label(labels)
        both = (time + label).unsqueeze(1)
        condition = both if self.summed else torch.stack([time, label], dim=1)
        x = self.entry(patchify(x_t.contiguous(), self.patch)) + self.positions
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.last_modulation(both).chunk(2, dim=2)
        return self._put_together(self.exit(self.last_norm(x) * (1 + scale) + shift))

    def example_inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of one pass over one image, on the network's device."""
        device = self.exit.weight.device
        number = torch.zeros(1, dtype=torch.int64, device=device)
        return torch.zeros(1, *self.shape, device=device), number, number

    def _put_together(self, rows: Tensor) -> Tensor:
        cut = rows.unflatten(2, (-1, self.patch, self.patch)).unflatten(1, (self.grid, self.grid))
        return cut.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def _initialise(self) -> None:
        """As in DiT's code: Xavier-uniform matrices, embeddings of 0.02, zero modulations and a zero last layer."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for weight in (self.label.weight, self.time[0].weight, self.time[2].weight):
            nn.init.normal_(weight, std=0.02)
        silent = [block.modulation[-1] for block in self.blocks if block.norm3 is None]
        for layer in (*silent, self.last_modulation[-1], self.exit):
            nn.init.zeros_(layer.weight)


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
