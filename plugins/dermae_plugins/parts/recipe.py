"""The options that every timm classifier of ours is trained with, whoever its teacher is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from dermae_bench import api
from dermae_plugins.parts.optimisation import Decay


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Architecture, start, optimiser, views of the images, and balance of the classes."""

    arch: str
    """Name of a timm architecture."""
    arch_args: Mapping[str, float | str | bool | tuple[int, ...]] = field(default_factory=dict)
    """More arguments of the architecture (patch_size, depth, ...), whole numbers as integers; transformers get
    img_size by themselves."""
    pool: Literal["default", "token", "avg"] = "default"
    """What the head reads of a transformer: its class token, or the mean of its patches. `avg` moves the final norm
    behind the mean (`fc_norm` in place of `norm`). Weights or an encoder with the other pooling load but for that
    norm, which starts fresh (He et al. 2022); all other layers must fit."""
    weights: api.File | None = None
    """Weights to start from, under timm's names; every layer but the head must fit. Null is from scratch."""
    input_size: Annotated[int, api.Between(8)] | None = None
    """Side in pixels that the network is given; null is the prepared images' own."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Mean of the channels in 0..1 that is subtracted; 0.5 and 0.5 give -1..1."""
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    """What the channels are divided by then."""
    train: Literal["all", "head"] = "all"
    """`head` is linear probing (He et al. 2022): the trunk stays as it is, in eval mode, and a batch norm without
    parameters stands before the head."""
    lr: Annotated[float, api.Between(0)] = 1e-3
    """Learning rate of AdamW after warm-up."""
    layer_decay: Annotated[float, api.Between(0, 1)] = 1.0
    """Factor of the learning rate from each layer to the one below it, the head at 1 (BEiT, He et al. 2022); layers
    are timm's groups: in a transformer the embeddings, each block (the last with the final norm), the head."""
    weight_decay: Annotated[float, api.Between(0)] = 0.05
    """Decoupled weight decay of matrices and kernels; biases and norms have none."""
    warmup: Annotated[float, api.Between(0, 1)] = 0.05
    """Share of the budget over which the learning rate rises from 0."""
    decay: Decay = "cosine"
    """What the learning rate does after warm-up."""
    label_smoothing: Annotated[float, api.Between(0, 1)] = 0.1
    """Share of every target that is spread over all classes."""
    mixup: Annotated[float, api.Between(0)] = 0.0
    """Alpha of mixup (Zhang et al. 2018); 0 is off."""
    cutmix: Annotated[float, api.Between(0)] = 0.0
    """Alpha of cutmix (Yun et al. 2019); 0 is off."""
    cutmix_share: Annotated[float, api.Between(0, 1)] = 0.5
    """Share of mixed batches that cutmix takes where mixup is on too."""
    mixing: Annotated[float, api.Between(0, 1)] = 1.0
    """Share of batches that are mixed at all, by mixup or cutmix."""
    turns: Literal["none", "flip", "dihedral"] = "dihedral"
    """Mirror images left to right, or all eight positions of a square; a lesion has no up."""
    crop: Annotated[float, api.Between(0.01, 1)] = 1.0
    """Smallest share of its area that a random resized crop keeps of an image; 1 is off."""
    colour_jitter: Annotated[float, api.Between(0, 1)] = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    rand_augment: Annotated[int, api.Between(0)] = 0
    """Operations of RandAugment on each image, in whole batches (`parts/rand_augment.py` has the operations and what
    differs from Cubuk et al. 2020); 0 is off."""
    magnitude: Annotated[float, api.Between(0, 10)] = 9.0
    """Strength of RandAugment's operations; at 0 each leaves the image as it is."""
    erasing: Annotated[float, api.Between(0, 1)] = 0.0
    """Probability that a rectangle of an image is erased by random pixels (Zhong et al. 2020)."""
    drop_path: Annotated[float, api.Between(0, 1)] | None = None
    """Stochastic depth; null is the architecture's own."""
    balance: Literal["none", "loss", "sampling"] = "none"
    """`loss` weights each class by the inverse of its frequency in the training set (mean weight of an image 1);
    `sampling` draws every class equally often, with replacement."""
