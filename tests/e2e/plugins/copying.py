"""A generator that keeps training images and gives them back: what memorisation must find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dermae_bench import api

KEPT = 32


class Copying(api.Generator):
    """Hands out what it saw last, with a little noise."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        noise: float = 0.01
        """Standard deviation, of pixels in [-1, 1]."""

    tiny = {"noise": 0.0}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.register_buffer("kept", torch.zeros(KEPT, 3, task.image_size, task.image_size))
        self.unused = nn.Parameter(torch.zeros(()))

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            kept: Tensor = self.kept
            self.kept = torch.cat([api.from_uint8(batch.images), kept])[:KEPT]
            run.step(self.unused.square(), optimizer)

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        drawn = noise.normal(self.kept.shape[1:])
        which = (drawn[:, 0, 0, 0].abs() * 1000).long() % KEPT
        return api.to_uint8(self.kept[which] + self.config.noise * drawn)

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Conv2d(3, 3, 1), (self.kept[:1],))


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"copying": Copying}
