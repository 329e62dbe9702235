"""A generator that reads captions and a classifier that gives features, as small as can be: named by their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api

WORDS = 8


def words_of(captions: tuple[str, ...] | None) -> Tensor:
    """float (B, WORDS): how many words of each caption have a length."""
    assert captions is not None and all(captions), "nothing was said"
    lengths = [[min(len(word), WORDS) - 1 for word in caption.split()] for caption in captions]
    return torch.stack([torch.bincount(torch.tensor(found), minlength=WORDS).float() for found in lengths])


class Described(api.Generator):
    """One colour an image, a linear function of its caption."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate of Adam."""

    captioned: ClassVar[bool] = True
    conditional: ClassVar[bool] = True

    def __init__(self, config: Any, task: api.Task) -> None:
        super().__init__(config, task)
        self.linear = nn.Linear(WORDS, 3)

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            seen = api.from_uint8(batch.images).mean((2, 3))
            run.step(F.mse_loss(self.linear(words_of(batch.captions)), seen), optimizer)

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        size = self.task.image_size
        colours = self.linear(words_of(conditions.captions))[:, :, None, None]
        return api.to_uint8(colours + 0.3 * noise.normal((3, size, size)))

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(self.linear, (torch.zeros(1, WORDS),))


class Featured(api.Classifier):
    """A hidden layer on a thumbnail; the head alone can be trained."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        train: Literal["all", "head"] = "all"
        """What is fitted."""

    protocols: ClassVar[Mapping[str, Mapping[str, str]]] = {"train": {"head": "linear-probe"}}

    def __init__(self, config: Any, task: api.Task) -> None:
        super().__init__(config, task)
        self.body, self.head = nn.Linear(48, 16), nn.Linear(16, len(task.classes))
        self.body.requires_grad_(config.train == "all")

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=0.02)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            assert batch.labels is not None
            run.step(F.cross_entropy(self(batch.images), batch.labels), optimizer)

    def features(self, images: Tensor) -> Tensor:
        return self.body(F.adaptive_avg_pool2d(api.from_uint8(images), 4).flatten(1)).relu()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits

    def cost(self, of: str, sampling: Any = None) -> Any:
        size = self.task.image_size
        yield api.CostUnit(self, (torch.zeros(1, 3, size, size, dtype=torch.uint8),))


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"described": Described}


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"featured": Featured}
