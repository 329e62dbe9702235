"""Masked autoencoder: an encoder sees a quarter of an image's patches, a light decoder paints the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import masking, trunks
from dermae_plugins.parts.augment import flipped
from dermae_plugins.parts.crops import random_resized_crop
from dermae_plugins.parts.optimisation import Decay, decayed_groups, set_learning_rate

BASE = "vit_base_patch16_224"
"""The name under which timm builds a vision transformer of explicit sizes."""
FIELDS: Mapping[str, str] = {"width": "embed_dim", "depth": "depth", "heads": "num_heads", "patch": "patch_size"}
"""Fields of the configuration and timm's arguments of the same meaning."""


class MAE(api.Pretrainer):
    """He et al. 2022; DerMAE eq. 4 is its loss with `norm_pix: false`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Encoder, masking, decoder, augmentation and optimiser.

        The encoder is a timm vision transformer: `arch` by name, or `width`, `depth`, `heads` and `patch` by number.
        A `timm` classifier that shall start from the latter writes the same as `arch: vit_base_patch16_224` with
        `arch_args: {embed_dim: ..., depth: ..., num_heads: ..., patch_size: ...}`.
        """

        arch: str | None = None
        """Name of a timm vision transformer."""
        arch_args: Mapping[str, float | str | bool | tuple[int, ...]] = field(default_factory=dict)
        """More arguments of the architecture (patch_size, global_pool, ...), as for `timm`; img_size is known."""
        width: Annotated[int, api.Between(4)] | None = None
        """Width of the encoder's tokens, in place of `arch`; ViT-H/16 is 1280, 32, 16, 16."""
        depth: Annotated[int, api.Between(1)] | None = None
        """Blocks of the encoder."""
        heads: Annotated[int, api.Between(1)] | None = None
        """Attention heads of the encoder; must divide the width."""
        patch: Annotated[int, api.Between(1)] | None = None
        """Side of a patch in pixels."""
        mlp_ratio: Annotated[float, api.Between(0)] | None = None
        """Width of the encoder's MLPs over that of its tokens; null is 4, or the named architecture's own."""
        input_size: Annotated[int, api.Between(8)] | None = None
        """Side in pixels that the network is given; null is the prepared images' own."""
        mean: tuple[float, ...] = (0.5, 0.5, 0.5)
        """Mean of the channels in 0..1 that is subtracted; the classifier that starts from here needs the same."""
        std: tuple[float, ...] = (0.5, 0.5, 0.5)
        """What the channels are divided by then."""
        mask_ratio: Annotated[float, api.Between(0, 1)] = 0.75
        """Share of the patches that the encoder does not see."""
        norm_pix: bool = True
        """Targets are each patch's pixels with mean 0 and variance 1 (He et al. 2022, section 3); false are the
        normalised image's pixels, as in DerMAE eq. 4."""
        positions: masking.Positions = "sin-cos"
        """Positions in encoder and decoder: fixed while pretraining (He et al.'s code), or learned."""
        decoder_width: Annotated[int, api.Between(4)] = 512
        """Width of the decoder's tokens."""
        decoder_depth: Annotated[int, api.Between(1)] = 8
        """Blocks of the decoder."""
        decoder_heads: Annotated[int, api.Between(1)] = 16
        """Attention heads of the decoder; must divide its width."""
        flip: bool = True
        """Mirror half of the images left to right."""
        crop: tuple[float, ...] | None = (0.2, 1.0)
        """Smallest and largest share of the picture's area of random resized crops; null shows the whole picture."""
        lr: Annotated[float, api.Between(0)] = 1.5e-4
        """Learning rate of AdamW after warm-up; He et al. use 1.5e-4 for every 256 images of a batch."""
        betas: tuple[float, ...] = (0.9, 0.95)
        """Decay rates of AdamW's two averages."""
        weight_decay: Annotated[float, api.Between(0)] = 0.05
        """Decoupled weight decay of matrices and kernels; biases and norms have none."""
        warmup: Annotated[float, api.Between(0, 1)] = 0.05
        """Share of the budget over which the learning rate rises from 0 (40 of 800 epochs in He et al. 2022)."""
        decay: Decay = "cosine"
        """What the learning rate does after warm-up."""

        def __post_init__(self) -> None:
            given = [name for name in FIELDS if getattr(self, name) is not None]
            if self.arch is None and len(given) < len(FIELDS):
                raise ValueError(f"give `arch`, or all of {', '.join(FIELDS)}")
            if self.arch is not None and given:
                raise ValueError(f"`arch` and {', '.join(given)} say the same twice: take `arch_args` to change a name")
            same = {FIELDS[name] for name in given} | ({"mlp_ratio"} if self.mlp_ratio is not None else set())
            if twice := sorted(same & set(self.arch_args)):
                raise ValueError(f"{', '.join(twice)} stands in `arch_args` and in a field of its own")
            if self.decoder_width % self.decoder_heads:
                raise ValueError(f"decoder_width {self.decoder_width} is not divisible by {self.decoder_heads} heads")
            if self.crop is not None and not (len(self.crop) == 2 and 0 < self.crop[0] <= self.crop[1] <= 1):
                raise ValueError(f"crop must be two shares, the smaller first, not {list(self.crop)}")
            if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
                raise ValueError(f"betas must be two numbers in 0..1, not {list(self.betas)}")

    mean: Tensor
    std: Tensor
    tiny: ClassVar[Mapping[str, Any]] = {
        "arch": "test_vit",
        "arch_args": {"patch_size": 8, "depth": 2},
        "decoder_width": 32,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "lr": 1e-3,
    }

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.input_size = config.input_size
        size = config.input_size or task.image_size
        arch, arguments = architecture(config)
        vit = trunks.create(arch, {"img_size": size, "num_classes": 0, **arguments})
        self.visible = masking.VisibleEncoder(vit, config.positions)
        if size % self.visible.patch:
            raise api.PluginError(f"images of {size} px cannot be cut into patches of {self.visible.patch} px")
        self.patches = math.prod(self.visible.grid)
        self.kept = int(self.patches * (1 - config.mask_ratio))
        if not 0 < self.kept < self.patches:
            raise api.PluginError(
                f"mask_ratio {config.mask_ratio} leaves {self.kept} of {self.patches} patches visible",
                hint="some must be seen and some be hidden: change mask_ratio, or take smaller patches",
            )
        self.decoder = masking.HiddenDecoder(
            self.visible,
            config.decoder_width,
            config.decoder_depth,
            config.decoder_heads,
            out=3 * self.visible.patch**2,
            positions=config.positions,
        )
        masking.initialise(self.visible, self.decoder, config.positions)
        self.register_buffer("mean", 255 * torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)

    def fit(self, images: api.ImageSet, run: api.Run) -> None:
        config = self.config
        groups = decayed_groups(self, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=tuple(config.betas), fused=True)
        run.optimizers(optimizer)
        for batch in run.batches(images):
            set_learning_rate(optimizer, config.decay, config.warmup, run.progress)
            shown = self.augmented(batch.images)
            order = masking.random_order(len(shown), self.patches, shown.device)
            run.step(self.loss(shown, order), optimizer)

    def augmented(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, S, S) -> normalised float (B, 3, S, S), cropped and mirrored as the options say."""
        crop, flip = self.config.crop, self.config.flip
        shown = flipped(images, flip) if crop is None else random_resized_crop(images, (crop[0], crop[1]), flip)
        return (shown - self.mean) / self.std

    def loss(self, images: Tensor, order: Tensor) -> Tensor:
        """Mean squared error over hidden patches (He et al. 2022, section 3; DerMAE eq. 4) -> scalar.

        Args:
            images: normalised floats (B, 3, S, S).
            order: int64 (B, L), a permutation of each image's patches, visible ones first.
        """
        patches = masking.patchify(images, self.visible.patch)
        kept, hidden = order[:, : self.kept], order[:, self.kept :]
        painted = self.decoder(self.visible(masking.take(patches, kept), kept), order)
        return F.mse_loss(painted.float(), self.targets(masking.take(patches, hidden)))

    def targets(self, patches: Tensor) -> Tensor:
        """What hidden patches (B, M, 3 * patch^2) should be painted as."""
        if not self.config.norm_pix:
            return patches
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        return (patches - mean) / (variance + 1e-6).sqrt()

    def encoder(self) -> Mapping[str, Tensor]:
        return self.visible.vit.state_dict()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        size = self.config.input_size or self.task.image_size
        return [api.CostUnit(self.visible.vit, (torch.zeros(1, 3, size, size, device=self.mean.device),))]

    def training_cost(self) -> Iterable[api.CostUnit]:
        order = torch.arange(self.patches, device=self.mean.device).unsqueeze(0)
        kept = order[:, : self.kept]
        patches = self.mean.new_zeros(1, self.kept, 3 * self.visible.patch**2)
        tokens = self.mean.new_zeros(1, self.visible.prefix + self.kept, self.visible.vit.embed_dim)
        return [api.CostUnit(self.visible, (patches, kept)), api.CostUnit(self.decoder, (tokens, order))]


def architecture(config: MAE.Config) -> tuple[str, dict[str, Any]]:
    """Name and arguments under which timm builds the encoder."""
    explicit = {FIELDS[name]: getattr(config, name) for name in FIELDS if getattr(config, name) is not None}
    if config.mlp_ratio is not None:
        explicit["mlp_ratio"] = config.mlp_ratio
    return config.arch or BASE, {**trunks.whole_numbers(config.arch_args), **explicit}


@api.hookimpl
def dermae_pretrainers() -> dict[str, type[api.Pretrainer]]:
    return {"mae": MAE}
