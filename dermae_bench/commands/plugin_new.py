"""`dermae-bench plugins new`: a plugin project that works before its author changes a line."""

from __future__ import annotations

import re
from pathlib import Path

from dermae_bench.commands.printing import echo
from dermae_bench.durable import write_text
from dermae_bench.errors import OK, UserError

PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
description = "A {kind} for dermae-bench"
requires-python = ">=3.11"
dependencies = ["dermae-bench"]

[project.entry-points.dermae_bench]
{name} = "{module}"

[tool.setuptools]
py-modules = ["{module}"]
"""

TEST = '''"""The plugin keeps every promise of the conformance kit."""

from dermae_bench.testing import check


def test_conformance() -> None:
    check("{name}")
'''

README = """# {name}

A {kind} for dermae-bench. `pip install -e .`, then use `plugin: {name}` in a suite;
`dermae-bench plugins check {name}` runs the conformance kit.
"""

GENERATOR = '''"""{name}: draws every pixel from the mean and spread it saw there (replace this by your idea)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dermae_bench.api import Conditions, CostUnit, Generator, ImageSet, Noise, Run
from dermae_bench.api import cosine, from_uint8, hookimpl, schedule, to_uint8


class {cls}(Generator):
    """Independent pixels: a lower bound for any generator."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate of Adam."""

    tiny = {{"lr": 0.1}}

    def __init__(self, config, task):
        super().__init__(config, task)
        self.mean = nn.Parameter(torch.zeros(3, task.image_size, task.image_size))
        self.spread = nn.Parameter(torch.zeros(3, task.image_size, task.image_size))

    def fit(self, train: ImageSet, run: Run) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            schedule(optimizer, cosine(run.progress))
            distance = (from_uint8(batch.images) - self.mean) / self.spread.exp()
            run.step((0.5 * distance.square() + self.spread).mean(), optimizer)

    def sample(self, conditions: Conditions, sampling, noise: Noise) -> Tensor:
        return to_uint8(self.mean + self.spread.exp() * noise.normal(self.mean.shape))

    def cost(self, of, sampling=None):
        yield CostUnit(nn.Identity(), (self.mean[None],))


@hookimpl
def dermae_generators():
    return {{"{name}": {cls}}}
'''

CLASSIFIER = '''"""{name}: a linear classifier on coarse colours (replace this by your idea)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench.api import Classifier, CostUnit, ImageSet, Run, cosine, from_uint8, hookimpl, schedule


class {cls}(Classifier):
    """Logistic regression on a 4 x 4 thumbnail."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.01
        """Learning rate of Adam."""

    tiny = {{"lr": 0.01}}

    def __init__(self, config, task):
        super().__init__(config, task)
        self.linear = nn.Linear(3 * 4 * 4, len(task.classes))

    def fit(self, train: ImageSet, run: Run, teacher: Classifier | None = None) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            schedule(optimizer, cosine(run.progress))
            run.step(F.cross_entropy(self(batch.images), batch.labels), optimizer)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(F.adaptive_avg_pool2d(from_uint8(images), 4).flatten(1))

    def cost(self, of, sampling=None):
        size = self.task.image_size
        yield CostUnit(self, (torch.zeros(1, 3, size, size, dtype=torch.uint8),))


@hookimpl
def dermae_classifiers():
    return {{"{name}": {cls}}}
'''


def new_plugin(kind: str, name: str, into: Path) -> int:
    """Write the project `into/name`: pyproject, module, test, README."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"{name!r} is no plugin name", hint="use lower-case words joined by '-', e.g. my-gan")
    folder = into / name
    if folder.exists():
        raise UserError(f"{folder} is already there")
    words = {
        "name": name,
        "kind": kind,
        "module": name.replace("-", "_"),
        "cls": "".join(w.title() for w in name.split("-")),
    }
    source = GENERATOR if kind == "generator" else CLASSIFIER
    write_text(folder / "pyproject.toml", PYPROJECT.format(**words))
    write_text(folder / f"{words['module']}.py", source.format(**words))
    write_text(folder / "tests" / f"test_{words['module']}.py", TEST.format(**words))
    write_text(folder / "README.md", README.format(**words))
    echo(f"{folder}  (next: pip install -e {folder} && dermae-bench plugins check {name})")
    return OK
