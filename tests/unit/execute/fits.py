"""Small models to fit, and fits that die where a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.plugin.images import ImageSet, Part

SIZE = 8
TASK = api.Task(name="diagnosis", classes=("a", "b", "c"), positive="c", image_size=SIZE)
STEPS = 6
BUDGET = BudgetOf(steps=STEPS, batch_size=5, ema=0.9, checkpoint=1)
SELECTING = replace(BUDGET, select="best:accuracy", every=2)


def images(count: int = 14) -> ImageSet:
    """Noise whose mean tells the class."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = generator.normal(0, 30, (count, 3, SIZE, SIZE)) + (60 + 60 * labels)[:, None, None, None]
    names = [f"image-{i}" for i in range(count)]
    return ImageSet(
        parts=[Part([np.clip(pixels, 0, 255).astype(np.uint8)], np.arange(count))],
        ids=names,
        groups=names,
        task=TASK,
        labels=labels.astype(np.int64),
    )


class Plain(api.Classifier):
    """Has what a checkpoint must hold: batch-norm buffers, dropout, momentum."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.01
        """Learning rate."""

    def __init__(self, config: Any = None, task: api.Task = TASK) -> None:
        super().__init__(config or self.Config(), task)
        self.first = nn.Linear(3 * SIZE * SIZE, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, len(task.classes))

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.first(api.from_uint8(images).flatten(1))))
        logits: Tensor = self.last(F.dropout(hidden, 0.3, self.training))
        return logits

    def fit(self, train: ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            assert batch.labels is not None
            api.schedule(optimizer, api.cosine(run.progress, warmup=0.2))
            loss = F.cross_entropy(self(batch.images), batch.labels)
            run.log(double=2 * loss)
            run.step(loss, optimizer)

    def cost(self, of: str, sampling: Any = None) -> Any:
        raise NotImplementedError


class TwoOptimizers(Plain):
    """Two losses, two optimisers of different kinds, two steps an item, as a GAN."""

    def fit(self, train: ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        body = torch.optim.Adam([*self.first.parameters(), *self.norm.parameters()], lr=0.01)
        head = torch.optim.SGD(self.last.parameters(), lr=0.05, momentum=0.9)
        run.optimizers(body, head)
        for batch in run.batches(train):
            assert batch.labels is not None
            run.step(F.cross_entropy(self(batch.images), batch.labels), head)
            run.step(F.cross_entropy(self(batch.images + torch.randint(0, 2, batch.images.shape)), batch.labels), body)


class TwoPhases(Plain):
    """First the head alone, then all of it."""

    def fit(self, train: ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        head = torch.optim.SGD(self.last.parameters(), lr=0.1, momentum=0.9)
        whole = torch.optim.Adam(self.parameters(), lr=0.01)
        run.optimizers(head, whole)
        for phase, optimizer in (("warm", head), ("main", whole)):
            for batch in run.batches(train, phase):
                assert batch.labels is not None
                run.step(F.cross_entropy(self(batch.images), batch.labels), optimizer)


class Late(Plain):
    """The head waits until half of the budget is spent."""

    def fit(self, train: ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        body = torch.optim.Adam([*self.first.parameters(), *self.norm.parameters()], lr=0.01)
        head = torch.optim.SGD(self.last.parameters(), lr=0.5)
        run.optimizers(body, head)
        for batch in run.batches(train):
            assert batch.labels is not None
            run.step(F.cross_entropy(self(batch.images), batch.labels), body)
            if run.progress >= 0.5:
                run.step(F.cross_entropy(self(batch.images), batch.labels), head)


class Died(Exception):
    """What a kill is to a test."""


def begin(
    cls: type[Any], folder: Path, budget: BudgetOf, *, die_at: int | None = None, **settings: Any
) -> tuple[Any, FitRun]:
    """A seeded model and its run, not yet fitted."""
    reseed(0, "init")
    model = cls()

    def report(done: int, total: int, loss: float | None) -> None:
        if done == die_at:
            raise Died

    return model, FitRun(model, budget, 0, torch.device("cpu"), Checkpoints(folder), report=report, **settings)


def fit(
    cls: type[Any],
    folder: Path,
    budget: BudgetOf,
    *,
    die_at: int | None = None,
    validate: Callable[[Any], float] | None = None,
) -> tuple[Any, FitRun]:
    """Fit until the budget is spent, or until `die_at` steps are done."""
    model, run = begin(cls, folder, budget, die_at=die_at)
    if validate is not None:
        run._validate = lambda: validate(model)
    try:
        model.fit(images(), run)
        run.check_spent()
    except Died:
        assert die_at is not None
    return model, run


def everything(model: Any, run: FitRun) -> dict[str, Any]:
    """Weights, average, optimiser state, selection and curves: all that two equal fits must share."""
    found: dict[str, Any] = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    found |= {f"ema.{i}": value for i, value in enumerate(run._average.values)}
    found |= {f"artifact.{name}": value for name, value in run.artifact().items()}
    for number, optimizer in enumerate(run._optimizers):
        state = optimizer.state_dict()
        found[f"groups.{number}"] = state["param_groups"]
        found |= {f"state.{number}.{i}.{k}": v for i, values in state["state"].items() for k, v in values.items()}
    return found | {"best": run.best, "curves": run.curves, "images_seen": run.images_seen, "step": run.step_index}


def differing(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Names under which the two are not equal to the last bit."""

    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)

    return [name for name in {**one, **two} if name not in one or name not in two or not equal(one[name], two[name])]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# pytest finds fixtures by the names in a file of tests, so each such file unpacks these under the same names
FIXTURES = (one_thread,)
