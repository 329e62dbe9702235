"""Fit a plugin on a handful of images, as a stage would."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.params import build, schema_of

SIZE = 16
TASK = api.Task(name="diagnosis", classes=("a", "b", "c"), positive="c", image_size=SIZE)


def labelled(count: int = 12, task: api.Task = TASK) -> ImageSet:
    """Plain images of one colour a class, with a little noise."""
    generator = np.random.default_rng(1)
    labels = np.arange(count) % max(1, len(task.classes))
    colours = np.array([[220, 60, 60], [60, 220, 60], [60, 60, 220]])[labels]
    pixels = colours[:, :, None, None] + generator.normal(0, 8, (count, 3, task.image_size, task.image_size))
    names = [str(i) for i in range(count)]
    return ImageSet(
        parts=[Part([np.clip(pixels, 0, 255).astype(np.uint8)], np.arange(count))],
        ids=names,
        groups=names,
        task=task,
        labels=labels.astype(np.int64),
    )


def make(cls: type[Any], params: Mapping[str, Any] | None = None, task: api.Task = TASK, seed: int = 0) -> Any:
    """A model from checked params, with seeded weights."""
    values, findings = check(dict(cls.tiny) | dict(params or {}), schema_of(cls.Config))
    assert not findings, findings
    reseed(seed, "init")
    return cls(build(cls.Config, values), task)


def fit(model: Any, steps: int = 2, batch: int = 6, teacher: Any = None, images: ImageSet | None = None) -> list[Any]:
    """Spend a budget on the model, leave it in eval mode, and give its curves."""
    with tempfile.TemporaryDirectory() as folder:
        run = FitRun(model, BudgetOf(steps=steps, batch_size=batch), 0, torch.device("cpu"), Checkpoints(Path(folder)))
        images = labelled(task=model.task) if images is None else images
        if teacher is None:
            model.fit(images, run)
        else:
            model.fit(images, run, teacher=teacher)
        run.check_spent()
    model.eval()
    return run.curves


class Passes:
    """Counts the images that pass through a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.images = 0
        network.register_forward_pre_hook(self._count)

    def _count(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.images += len(inputs[0])
