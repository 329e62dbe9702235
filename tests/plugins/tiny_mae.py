"""A masked autoencoder over any ViT of timm, whose encoder the `timm` classifier of that architecture starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import timm
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dermae_bench import api


class TinyMAE(api.Pretrainer):
    """He et al. 2022: three quarters of the patches are hidden and painted from the rest."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Encoder, decoder and optimiser."""

        arch: str = "test_vit"
        """A vision transformer of timm."""
        arch_args: Mapping[str, float] = field(default_factory=dict)
        """More arguments of it, e.g. patch_size."""
        hidden: Annotated[float, api.Between(0, 1)] = 0.75
        """Share of the patches that the encoder does not see."""
        width: Annotated[int, api.Between(4)] = 64
        """Width of the one-block decoder, in four heads."""
        lr: Annotated[float, api.Between(0)] = 1e-3
        """Learning rate of AdamW after warm-up."""

    tiny: ClassVar[dict[str, Any]] = {"arch_args": {"patch_size": 8}, "width": 16}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        arguments = {name: int(value) for name, value in config.arch_args.items()}
        vit: Any = timm.create_model(config.arch, img_size=task.image_size, num_classes=0, **arguments)
        self.vit = vit
        self.patch = vit.patch_embed.patch_size[0]
        patches = vit.patch_embed.num_patches
        self.narrow = nn.Linear(vit.embed_dim, config.width)
        self.blank = nn.Parameter(torch.zeros(config.width))
        self.place = nn.Parameter(torch.randn(patches, config.width) * 0.02)
        self.decoder = nn.Sequential(Block(config.width, 4), nn.LayerNorm(config.width))
        self.pixels = nn.Linear(config.width, 3 * self.patch**2)

    def fit(self, images: api.ImageSet, run: api.Run) -> None:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr, weight_decay=0.05)
        run.optimizers(optimizer)
        for batch in run.batches(images):
            api.schedule(optimizer, api.cosine(run.progress, warmup=0.1))
            run.step(self.loss(api.from_uint8(batch.images)), optimizer)

    def loss(self, images: Tensor) -> Tensor:
        """Mean squared error of normalised pixels over hidden patches (He et al. 2022, section 3)."""
        vit: Any = self.vit
        tokens = vit._pos_embed(vit.patch_embed(images))
        prefix, patches = tokens[:, : vit.num_prefix_tokens], tokens[:, vit.num_prefix_tokens :]
        kept = max(1, round(patches.shape[1] * (1 - self.config.hidden)))
        order = torch.rand(patches.shape[:2], device=images.device).argsort(dim=1)
        seen = order[:, :kept, None]
        visible = torch.cat([prefix, patches.gather(1, seen.expand(-1, -1, patches.shape[2]))], dim=1)
        encoded = self.narrow(vit.norm(vit.blocks(vit.norm_pre(visible))))[:, vit.num_prefix_tokens :]
        canvas = self.blank.expand(len(images), patches.shape[1], -1).to(encoded.dtype)
        canvas = canvas.scatter(1, seen.expand(-1, -1, encoded.shape[2]), encoded)
        painted = self.pixels(self.decoder(canvas + self.place)).float()
        hidden = torch.ones_like(order, dtype=torch.float32).scatter(1, seen[..., 0], 0.0)
        return ((painted - self.targets(images)).square().mean(dim=2) * hidden).sum() / hidden.sum()

    def targets(self, images: Tensor) -> Tensor:
        """Pixels of each patch with mean 0 and variance 1, (B, L, 3 * patch^2)."""
        cut = images.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        flat = cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        return (flat - flat.mean(dim=2, keepdim=True)) / (flat.var(dim=2, keepdim=True) + 1e-6).sqrt()

    def encoder(self) -> Mapping[str, Tensor]:
        return self.vit.state_dict()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        size = self.task.image_size
        return [api.CostUnit(self.vit, (torch.zeros(1, 3, size, size, device=self.blank.device),))]


@api.hookimpl
def dermae_pretrainers() -> dict[str, type[api.Pretrainer]]:
    return {"tiny-mae": TinyMAE}
