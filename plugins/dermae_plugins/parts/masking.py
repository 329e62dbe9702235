"""Masked images: patches as rows, random orders of them, and the two halves of a masked autoencoder (He et al. 2022).

An order, int64 (B, L), is a permutation of each image's L patches: the first K are visible, the others hidden. Tokens
stay in that order and carry their positions, so nothing has to be put back into place.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api

Positions = Literal["sin-cos", "learned"]


def patchify(images: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, L, C * patch^2), any dtype; a row is laid out as a kernel of the patch embedding."""
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.view(batch, channels, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(batch, rows * columns, channels * patch * patch)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """(B, L, D) and int64 (B, K) -> (B, K, D): each image's rows of these numbers, whole rows at a time."""
    batch, length, width = rows.shape
    first = torch.arange(0, batch * length, length, device=rows.device).unsqueeze(1)
    return rows.reshape(-1, width).index_select(0, (index + first).flatten()).view(batch, -1, width)


def random_order(batch: int, patches: int, device: torch.device) -> Tensor:
    """int64 (B, L): a random permutation an image."""
    return torch.rand(batch, patches, device=device).argsort(dim=1)


def sin_cos_positions(grid: tuple[int, int], width: int) -> Tensor:
    """float (rows * columns, width): sines and cosines of the column, then of the row, as in He et al.'s code.

    Raises:
        PluginError: the width is not divisible by 4.
    """
    if width % 4:
        raise api.PluginError(
            f"sin-cos positions need a width divisible by 4, not {width}", hint="take `positions: learned`"
        )
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = (torch.arange(side, dtype=torch.float64) for side in grid)
    angles = torch.cat(
        [
            (column[:, None] * frequencies).repeat(grid[0], 1),
            (row[:, None] * frequencies).repeat_interleave(grid[1], dim=0),
        ],
        dim=1,
    )
    by_column, by_row = angles.chunk(2, dim=1)
    return torch.cat([by_column.sin(), by_column.cos(), by_row.sin(), by_row.cos()], dim=1).float()


class VisibleEncoder(nn.Module):
    """A vision transformer of timm, run on some of an image's patches.

    forward(patches float (B, K, 3 * patch^2), kept int64 (B, K)) -> tokens (B, P + K, D), P prefix tokens (class,
    registers) first. With all patches it gives what `vit.forward_features` gives.

    timm calls the last norm `norm`, or `fc_norm` where it averages tokens before the head; here it is the norm of
    every token, whichever of the two the network has.

    Raises:
        PluginError: not a plain vision transformer, or one that drops tokens by itself.
    """

    def __init__(self, vit: Any, positions: Positions) -> None:
        from timm.layers import PatchEmbed
        from timm.models.vision_transformer import VisionTransformer

        super().__init__()
        if not isinstance(vit, VisionTransformer) or type(vit.patch_embed) is not PatchEmbed:
            raise api.PluginError(
                f"{type(vit).__name__} with {type(getattr(vit, 'patch_embed', None)).__name__} is no plain vision "
                "transformer, of which single patches can be encoded",
                hint="take e.g. vit_base_patch16_224",
            )
        if getattr(vit.patch_drop, "prob", 0) or vit.pos_drop.p:
            raise api.PluginError("masking is the only way to drop tokens here: no patch_drop_rate, no pos_drop_rate")
        self.vit = vit
        self.patch: int = vit.patch_embed.patch_size[0]
        self.grid: tuple[int, int] = vit.patch_embed.grid_size
        self.prefix: int = vit.num_prefix_tokens
        if vit.attn_pool is not None:
            vit.attn_pool.requires_grad_(False)  # a head, which sees no loss here
        if positions == "sin-cos" and vit.pos_embed is not None:
            table = sin_cos_positions(self.grid, vit.embed_dim)
            with torch.no_grad():
                vit.pos_embed.zero_()[:, vit.pos_embed.shape[1] - len(table) :].copy_(table)
            vit.pos_embed.requires_grad_(False)

    def forward(self, patches: Tensor, kept: Tensor) -> Tensor:
        vit = self.vit
        embed = vit.patch_embed
        x = embed.norm(F.linear(patches, embed.proj.weight.flatten(1), embed.proj.bias))
        frame = self._frame()
        x = torch.cat([frame[: self.prefix].expand(len(x), -1, -1), x + frame[self.prefix :][kept]], dim=1)
        tokens: Tensor = vit.fc_norm(vit.norm(vit.blocks(vit.norm_pre(x))))
        return tokens

    def _frame(self) -> Tensor:
        """(P + L, D): what is laid under an image's embedded patches, prefix tokens and positions."""
        vit, grid = self.vit, self.grid
        shape = (1, *grid, vit.embed_dim) if vit.dynamic_img_size else (1, math.prod(grid), vit.embed_dim)
        nothing = vit.patch_embed.proj.weight.new_zeros(shape)
        frame: Tensor = vit._pos_embed(nothing)[0]
        return frame


class HiddenDecoder(nn.Module):
    """The light decoder: from the tokens of visible patches to the pixels of hidden ones.

    forward(tokens (B, P + K, width of the encoder), order int64 (B, L)) -> (B, L - K, out), the hidden patches in
    the order of `order[:, K:]`.
    """

    places: Tensor

    def __init__(
        self,
        encoder: VisibleEncoder,
        width: int,
        depth: int,
        heads: int,
        out: int,
        positions: Positions,
    ) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        patches = math.prod(encoder.grid)
        self.prefix = encoder.prefix
        self.narrow = nn.Linear(encoder.vit.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        if positions == "sin-cos":
            self.register_buffer("places", sin_cos_positions(encoder.grid, width), persistent=False)
        else:
            self.places = nn.Parameter(torch.zeros(patches, width))
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out)

    def forward(self, tokens: Tensor, order: Tensor) -> Tensor:
        seen = self.narrow(tokens)
        kept = seen.shape[1] - self.prefix
        first = seen.shape[1]
        seen = torch.cat([seen[:, : self.prefix], seen[:, self.prefix :] + self.places[order[:, :kept]]], dim=1)
        hidden, index = self.places + self.mask_token, order[:, kept:]
        x = torch.cat([seen, F.embedding(index, hidden)], dim=1)
        for number, block in enumerate(self.blocks):
            project = block.attn.qkv
            if number == 0:
                # a hidden patch says nothing but where it is, so its first projection is that of every image
                shared = F.embedding(index, project(block.norm1(hidden)))
                projected = torch.cat([project(block.norm1(seen)), shared], dim=1)
            else:
                projected = project(block.norm1(x))
            query, key, value = projected.chunk(3, dim=2)
            if number == len(self.blocks) - 1:
                # only hidden patches are asked for
                query, x = query[:, first:], x[:, first:]
            x = x + block.attn.proj(attend(query, key, value, block.attn.num_heads))
            x = x + block.mlp(block.norm2(x))
        painted: Tensor = self.head(self.norm(x))
        return painted


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Fused attention of (B, M, W) queries over (B, N, W) keys and values, in heads -> (B, M, W)."""
    split = [rows.unflatten(2, (heads, -1)).transpose(1, 2) for rows in (query, key, value)]
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def initialise(encoder: VisibleEncoder, decoder: HiddenDecoder, positions: Positions) -> None:
    """Weights as in He et al.'s code: Xavier-uniform matrices, zero biases, tokens and learned positions of 0.02."""
    for module in (*encoder.modules(), *decoder.modules()):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(encoder.vit.patch_embed.proj.weight.flatten(1))
    for token in (encoder.vit.cls_token, encoder.vit.reg_token, decoder.mask_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)
    if positions == "learned":
        nn.init.normal_(decoder.places, std=0.02)
