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

A {kind} for dermae-bench. `pip install -e .`, then use `plugin: {name}`{beside} in a suite;
`dermae-bench plugins check {name}` runs the conformance kit.
"""

GENERATOR = '''"""{name}: draws every pixel from the mean and spread it saw there (replace this by your idea)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dermae_bench.api import Conditions, CostUnit, Generator, ImageSet, Noise, Run
from dermae_bench.api import cosine, from_uint8, hookimpl, schedule, to_uint8


class {cls}(Generator):
    """Independent pixels{of_what}: a lower bound for any {sort}generator."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate of Adam."""

    tiny = {{"lr": 0.1}}
{declared}

    def __init__(self, config, task):
        super().__init__(config, task)
        shape = ({classes}3, task.image_size, task.image_size)
        self.mean = nn.Parameter(torch.zeros(shape))
        self.spread = nn.Parameter(torch.zeros(shape))

    def fit(self, train: ImageSet, run: Run) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            schedule(optimizer, cosine(run.progress))
{learnt}
            distance = (from_uint8(batch.images) - mean) / spread.exp()
            run.step((0.5 * distance.square() + spread).mean(), optimizer)

    def sample(self, conditions: Conditions, sampling, noise: Noise) -> Tensor:
{asked}
        return to_uint8(mean + spread.exp() * noise.normal({size}))

    def cost(self, of, sampling=None):
        # what ONE image costs; guidance takes a network twice: yield it with twice the calls
        yield CostUnit(nn.Identity(), (self.mean{first},))


@hookimpl
def dermae_generators():
    return {{"{name}": {cls}}}
'''

UNCONDITIONAL = {
    "beside": "",
    "of_what": "",
    "sort": "",
    "declared": """\
    # True for one that draws classes, with the labels read at the two lines below; a suite then names its `task`:
    # `dermae-bench plugins new generator NAME --conditional` writes such a one
    conditional = False""",
    "classes": "",
    "learnt": """\
            # a conditional generator reads batch.labels here: int64 (B,), places in self.task.classes
            mean, spread = self.mean, self.spread""",
    "asked": """\
        # a conditional generator reads conditions.labels here: int64 (B,), the class that each image shall show
        mean, spread = self.mean, self.spread""",
    "size": "mean.shape",
    "first": "[None]",
}
CONDITIONAL = {
    "beside": " with a `task:`",
    "of_what": " of a class",
    "sort": "conditional ",
    "declared": """\
    # it is told classes: a suite must name its `task`, and may ask for so many images `per_class`
    conditional = True""",
    "classes": "len(task.classes), ",
    "learnt": """\
            # int64 (B,), places in self.task.classes; for guidance, replace some by a class more that means "any"
            mean, spread = self.mean[batch.labels], self.spread[batch.labels]""",
    "asked": """\
        # int64 (B,), the class that each image shall show
        mean, spread = self.mean[conditions.labels], self.spread[conditions.labels]""",
    "size": "mean.shape[1:]",
    "first": "[:1]",
}
"""What the template says where it is told classes, and where it is not."""

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


def new_plugin(kind: str, name: str, into: Path, conditional: bool = False) -> int:
    """Write the project `into/name`: pyproject, module, test, README.

    Args:
        conditional: write a generator that is told classes.
    """
    if conditional and kind != "generator":
        raise UserError(f"a {kind} is not conditional", hint="leave --conditional out, or write a generator")
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
        **(CONDITIONAL if conditional else UNCONDITIONAL),
    }
    source = GENERATOR if kind == "generator" else CLASSIFIER
    write_text(folder / "pyproject.toml", PYPROJECT.format(**words))
    write_text(folder / f"{words['module']}.py", source.format(**words))
    write_text(folder / "tests" / f"test_{words['module']}.py", TEST.format(**words))
    write_text(folder / "README.md", README.format(**words))
    echo(f"{folder}  (next: pip install -e {folder} && dermae-bench plugins check {name})")
    return OK
