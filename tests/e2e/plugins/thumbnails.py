"""Logistic regression on a thumbnail: as small as a classifier can be."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api


class Thumbnails(api.Classifier):
    """Logistic regression on coarse colours."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.02
        """Learning rate of Adam."""
        side: int = 4
        """Side of the thumbnail in pixels."""

    tiny = {"lr": 0.01}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.linear = nn.Linear(3 * config.side**2, len(task.classes))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            assert batch.labels is not None
            # tests that kill a run slow it down from outside; the weights do not depend on it
            time.sleep(float(os.environ.get("THUMBNAIL_SECONDS", "0")))
            run.step(F.cross_entropy(self(batch.images), batch.labels), optimizer)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(api.from_uint8(images), self.config.side).flatten(1))
        return logits

    def cost(self, of: str, sampling: Any = None) -> Any:
        size = self.task.image_size
        yield api.CostUnit(self, (torch.zeros(1, 3, size, size, dtype=torch.uint8),))


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"thumbnails": Thumbnails}
