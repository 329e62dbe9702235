"""A generator of independent pixels, conditional or not: as small as a generator can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dermae_bench import api


class Pixels(api.Generator):
    """Draws every pixel from the mean and spread seen there."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate of Adam."""

    tiny = {"lr": 0.1}
    tables = 1

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        shape = (len(task.classes) or 1, 3, task.image_size, task.image_size)
        self.mean = nn.Parameter(torch.zeros(shape))
        self.spread = nn.Parameter(torch.zeros(shape))

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            api.schedule(optimizer, api.cosine(run.progress))
            which = batch.labels if batch.labels is not None else torch.zeros(len(batch.images), dtype=torch.int64)
            # drawn per step, so that a resume that forgot to reseed gives other weights
            blurred = api.from_uint8(batch.images) + 0.01 * torch.randn(batch.images.shape)
            distance = (blurred - self.mean[which]) / self.spread[which].exp()
            run.step((0.5 * distance.square() + self.spread[which]).mean(), optimizer)

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        which = conditions.labels if conditions.labels is not None else torch.zeros(len(conditions), dtype=torch.int64)
        return api.to_uint8(self.mean[which] + self.spread[which].exp() * noise.normal(self.mean.shape[1:]))

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Conv2d(3, 3, 1), (self.mean[:1],))


class PixelsByClass(Pixels):
    """The same, with a table of pixels for each class."""

    conditional = True


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"pixels": Pixels, "pixels-by-class": PixelsByClass}
