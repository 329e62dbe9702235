"""A teacher for classifiers under test: small, fixed, and strict about what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench.errors import PluginError
from dermae_bench.plugin.contracts import Classifier, CostUnit, Run
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet, from_uint8, resize


class SmallTeacher(Classifier):
    """Fixed weights over 4 x 4 mean colours; it wants images of 16 px, which are not those of the store."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to choose."""

    def __init__(self, task: Task) -> None:
        super().__init__(self.Config(), task)
        self.input_size = 16
        self.linear = nn.Linear(48, len(task.classes))
        numbers = torch.Generator().manual_seed(0)
        for parameter in self.linear.parameters():
            parameter.data = torch.randn(parameter.shape, generator=numbers)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            raise PluginError("the teacher was put into train mode")
        if images.dtype != torch.uint8 or images.shape[1:] != (3, 16, 16):
            raise PluginError(f"the teacher wants uint8 images (B, 3, 16, 16), not {images.dtype} {images.shape}")
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(from_uint8(images), 4).flatten(1))
        return logits

    def fit(self, train: ImageSet, run: Run, teacher: Classifier | None = None) -> None:
        raise PluginError("the teacher was asked to learn")

    def cost(self, of: str, sampling: object = None) -> list[CostUnit]:
        return [CostUnit(self, (torch.zeros(1, 3, 16, 16, dtype=torch.uint8),))]


def taught(images: ImageSet, teacher: SmallTeacher) -> ImageSet:
    """The same images with what the teacher says of them."""
    with torch.no_grad():
        said = teacher(resize(images[slice(None)], 16))
    return replace(images, teacher_logits=said.numpy())
