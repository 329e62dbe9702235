"""Classifiers that break in the ways that strangers' code does."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api


class Misbehaving(api.Classifier):
    """Learns nothing and leaves in the way its config names."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        how: Literal["raise", "diverge", "exit", "exit0", "segfault", "shape", "stops-early"]
        """What it does wrong."""

    tiny = {"how": "raise"}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.weight = nn.Parameter(torch.zeros(len(task.classes)))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        for number, batch in enumerate(run.batches(train)):
            if number == 2:
                self._misbehave()
                if self.config.how == "stops-early":
                    return
            assert batch.labels is not None
            loss = F.cross_entropy(self(batch.images)[:, : len(self.weight)], batch.labels)
            run.step(loss * (float("nan") if self.config.how == "diverge" and number == 2 else 1.0), optimizer)

    def _misbehave(self) -> None:
        how = self.config.how
        if how == "raise":
            raise RuntimeError("the plugin broke on purpose")
        if how == "exit":
            sys.exit(3)
        if how == "exit0":
            os._exit(0)
        if how == "segfault":
            import ctypes

            ctypes.string_at(0)

    def forward(self, images: Tensor) -> Tensor:
        extra = 1 if self.config.how == "shape" else 0
        return F.pad(self.weight, (0, extra)).expand(len(images), -1)

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Linear(3, 3), (torch.zeros(1, 3),))


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"misbehaving": Misbehaving}
