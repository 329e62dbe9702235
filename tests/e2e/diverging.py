"""Classifiers whose numbers stop being numbers at a step, and one whose helpers die: named by their file in a suite."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from dermae_bench import api


class _Numbers(Dataset[Tensor]):
    """Items that a worker process makes; in some ways it cannot."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        if self.how == "worker-killed" and index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(3_000_000)


class Diverging(api.Classifier):
    """Learns a little, and leaves the numbers at step `at`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        how: Literal[
            "loss-nan", "loss-inf", "loss-minus-inf", "gradient", "weight", "worker-killed", "shm-full", "logits"
        ]
        """What goes wrong."""
        at: int = 0
        """At which step."""
        note: str = ""
        """A file that each step adds a line to; none if empty."""

    tiny = {"how": "loss-nan"}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.weight = nn.Parameter(torch.zeros(len(task.classes)))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        step = 0
        for batch in run.batches(train):
            step = round(run.progress * 30)
            if self.config.note:
                with Path(self.config.note).open("a") as stream:
                    stream.write(f"{step}\n")
            assert batch.labels is not None
            loss = F.cross_entropy(self.weight.expand(len(batch.images), -1), batch.labels)
            if step == self.config.at:
                loss = self._spoilt(loss, optimizer)
            run.step(loss, optimizer)

    def _spoilt(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        how = self.config.how
        if how.startswith("loss"):
            return loss * {"loss-nan": float("nan"), "loss-inf": float("inf")}.get(how, float("-inf"))
        if how == "gradient":
            # the root of zero is finite, its slope is not
            return loss + (self.weight * 0).square().sum().sqrt()
        if how == "weight":
            optimizer.param_groups[0]["lr"] = 3e38
        if how in {"worker-killed", "shm-full"}:
            if how == "shm-full":
                # the system refuses to enlarge what a worker shares, as it does where /dev/shm is full
                resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            limit = 5 if how == "shm-full" else 60
            for _ in DataLoader(_Numbers(how), batch_size=None, num_workers=1, timeout=limit):
                pass
        return loss

    def forward(self, images: Tensor) -> Tensor:
        return self.weight.expand(len(images), -1) * (float("nan") if self.config.how == "logits" else 1.0)

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Linear(3, 3), (torch.zeros(1, 3),))


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"diverging": Diverging}
