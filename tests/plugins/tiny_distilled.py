"""A small classifier that learns from labels and from what a finished teacher says of the same images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api


class Distilled(api.Classifier):
    """Hinton et al. 2015: (1 - share) CE(labels) + share T^2 KL(teacher || student) at temperature T."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Student, share of the teacher and optimiser."""

        arch: str = "test_efficientnet"
        """A timm architecture without a fixed image size."""
        share: Annotated[float, api.Between(0, 1)] = 0.5
        """How much of the loss is the teacher's."""
        temperature: Annotated[float, api.Between(0.1)] = 4.0
        """Both sides' logits are divided by it."""
        lr: Annotated[float, api.Between(0)] = 2e-3
        """Learning rate of AdamW after warm-up."""

    tiny: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.net = timm.create_model(config.arch, pretrained=False, num_classes=len(task.classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(api.from_uint8(images))
        return logits

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr, weight_decay=0.05)
        run.optimizers(optimizer)
        share = self.config.share if teacher is not None else 0.0
        for batch in run.batches(train):
            assert batch.labels is not None
            api.schedule(optimizer, api.cosine(run.progress, warmup=0.05))
            logits = self(batch.images).float()
            loss = (1 - share) * F.cross_entropy(logits, batch.labels)
            if teacher is not None:
                loss = loss + share * self.divergence(logits, self.said(teacher, batch.images))
            run.step(loss, optimizer)

    def said(self, teacher: api.Classifier, images: Tensor) -> Tensor:
        """The teacher's logits at the size that it wants."""
        with torch.no_grad():
            logits: Tensor = teacher(api.resize(images, teacher.input_size or images.shape[-1]))
        return logits.float()

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """T^2 KL(teacher || student) of softened logits, mean over the batch."""
        warm = self.config.temperature
        softened = F.kl_div(
            (student / warm).log_softmax(1), (teacher / warm).log_softmax(1), reduction="batchmean", log_target=True
        )
        return warm**2 * softened

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        size = self.task.image_size
        device = next(self.parameters()).device
        return [api.CostUnit(self, (torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device),))]


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"tiny-distilled": Distilled}
