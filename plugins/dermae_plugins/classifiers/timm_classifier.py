"""Any architecture of timm, trained from scratch, from a weights file or from a pretrainer's encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import augment, trunks
from dermae_plugins.parts.optimisation import Decay, decayed_groups, optimizer_for, set_learning_rate


class TimmClassifier(api.Classifier):
    """Cross-entropy with the usual recipe of fine-tuning: AdamW, cosine, label smoothing, mixup, mild augmentation."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        arch: str
        """Name of a timm architecture."""
        arch_args: Mapping[str, float | str | bool | tuple[int, ...]] = field(default_factory=dict)
        """More arguments of the architecture (patch_size, depth, ...), whole numbers as integers; transformers get
        img_size by themselves."""
        weights: api.File | None = None
        """Weights to start from, under timm's names; every layer but the head must fit. Null is from scratch."""
        input_size: Annotated[int, api.Between(8)] | None = None
        """Side in pixels that the network is given; null is the prepared images' own."""
        mean: tuple[float, ...] = (0.5, 0.5, 0.5)
        """Mean of the channels in 0..1 that is subtracted; 0.5 and 0.5 give -1..1."""
        std: tuple[float, ...] = (0.5, 0.5, 0.5)
        """What the channels are divided by then."""
        lr: Annotated[float, api.Between(0)] = 1e-3
        """Learning rate of AdamW after warm-up."""
        weight_decay: Annotated[float, api.Between(0)] = 0.05
        """Decoupled weight decay of matrices and kernels; biases and norms have none."""
        warmup: Annotated[float, api.Between(0, 1)] = 0.05
        """Share of the budget over which the learning rate rises from 0."""
        decay: Decay = "cosine"
        """What the learning rate does after warm-up."""
        label_smoothing: Annotated[float, api.Between(0, 1)] = 0.1
        """Share of every target that is spread over all classes."""
        mixup: Annotated[float, api.Between(0)] = 0.0
        """Alpha of mixup; 0 is off."""
        turns: Literal["none", "flip", "dihedral"] = "dihedral"
        """Mirror images left to right, or all eight positions of a square; a lesion has no up."""
        colour_jitter: Annotated[float, api.Between(0, 1)] = 0.0
        """Largest relative change of brightness, contrast and saturation."""
        drop_path: Annotated[float, api.Between(0, 1)] | None = None
        """Stochastic depth; null is the architecture's own."""
        balance: Literal["none", "loss"] = "none"
        """`loss` weights each class by the inverse of its frequency in the training set (mean weight of an image 1)."""

    mean: Tensor
    std: Tensor
    tiny: ClassVar[Mapping[str, Any]] = {"arch": "test_efficientnet"}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.input_size = config.input_size
        arguments: dict[str, Any] = {"num_classes": len(task.classes)}
        if trunks.has_fixed_size(config.arch):
            arguments["img_size"] = config.input_size or task.image_size
        if config.drop_path is not None:
            arguments["drop_path_rate"] = config.drop_path
        self.net = trunks.create(config.arch, {**arguments, **trunks.whole_numbers(config.arch_args)})
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)
        if config.weights is not None:
            state = api.load_weights(config.weights)
            trunks.load_strictly(self.net, state, but=trunks.head_names(self.net), what="weights")

    def start_from(self, encoder: Mapping[str, Tensor]) -> None:
        trunks.load_strictly(self.net, encoder, but=trunks.head_names(self.net), what="the encoder's weights")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images.float() / 255 - self.mean) / self.std)
        return logits

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is not None:
            raise api.PluginError("timm learns from labels alone", hint="`distilled` learns from a teacher")
        optimizer = optimizer_for("adamw", decayed_groups(self, self.config.weight_decay), self.config.lr)
        run.optimizers(optimizer)
        weights = self.class_weights(train).to(run.device)
        for batch in run.batches(train):
            set_learning_rate(optimizer, self.config.decay, self.config.warmup, run.progress)
            images, targets = self.augmented(batch)
            run.step(F.cross_entropy(self.net(images).float(), targets, weight=weights), optimizer)

    def augmented(self, batch: api.Batch) -> tuple[Tensor, Tensor]:
        """Normalised float images (B, 3, S, S) and soft targets (B, C)."""
        config = self.config
        images = api.from_uint8(batch.images)
        if config.turns != "none":
            images = augment.flipped(images) if config.turns == "flip" else augment.dihedral(images)
        if config.colour_jitter:
            images = augment.colour_jitter(images, config.colour_jitter)
        assert batch.labels is not None
        targets = augment.soft_targets(batch.labels, len(self.task.classes), config.label_smoothing)
        if config.mixup:
            images, targets = augment.mixup(images, targets, config.mixup)
        return ((images + 1) / 2 - self.mean) / self.std, targets

    def class_weights(self, train: api.ImageSet) -> Tensor:
        """float (C,): all 1, or inverse frequencies; a class without images has weight 0."""
        classes = len(self.task.classes)
        if self.config.balance == "none":
            return torch.ones(classes)
        counts = torch.bincount(torch.as_tensor(train.labels), minlength=classes).double()
        present = (counts > 0).sum()
        return torch.where(counts > 0, counts.sum() / (present * counts.clamp(min=1)), 0.0).float()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        size = self.config.input_size or self.task.image_size
        images = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=self.mean.device)
        return [api.CostUnit(self, (images,))]


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"timm": TimmClassifier}
