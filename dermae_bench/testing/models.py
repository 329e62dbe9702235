"""Small models as the kit makes and fits them: for a few steps, killed, stopped, with and without a teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.plugin.checking import Finding, check
from dermae_bench.plugin.contracts import Joint, Model
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.testing.teacher import SmallTeacher, taught

SIZE, COUNT, STEPS, BATCH = 32, 24, 4, 4
TASK = Task(name="diagnosis", classes=("a", "b", "c"), positive="c", image_size=SIZE)
UNLABELLED = Task(name="", classes=(), image_size=SIZE)
CPU = torch.device("cpu")


def is_joint(cls: type[Any]) -> bool:
    """Whether a generator class is a classifier too."""
    return issubclass(cls, Joint)


def small_images(task: Task | None) -> ImageSet:
    """COUNT coloured discs on skin, the colour by class: something small that can be learnt."""
    generator = np.random.default_rng(7)
    labels = np.arange(COUNT) % 3
    yy, xx = np.mgrid[0:SIZE, 0:SIZE]
    pixels = np.empty((COUNT, 3, SIZE, SIZE), dtype=np.uint8)
    for i, label in enumerate(labels):
        disc = (yy - SIZE / 2) ** 2 + (xx - SIZE / 2) ** 2 < (6 + 3 * label) ** 2
        image = (
            np.full((3, SIZE, SIZE), 200.0) - disc * np.array([40.0 + 50 * label, 90, 120 - 40 * label])[:, None, None]
        )
        pixels[i] = np.clip(image + generator.normal(0, 6, image.shape), 0, 255)
    names = [f"image-{i}" for i in range(COUNT)]
    labelled = task is not None and bool(task.classes)
    return ImageSet(
        parts=[Part([pixels[:10], pixels[10:]], np.arange(COUNT))],
        ids=names,
        groups=names,
        task=task if labelled else None,
        labels=labels.astype(np.int64) if labelled else None,
        captions=[f"a lesion of kind {label}" for label in labels],
    )


def make(cls: type[Any]) -> Model:
    """A tiny model with seeded weights."""
    return made_as(cls, build(cls.Config, fitting("tiny", cls.tiny, cls.Config)))


def made_as(cls: type[Any], config: Any) -> Model:
    """A model for the kit's task, with seeded weights."""
    reseed(0, "init")
    model: Model = cls(config, _task(cls))
    return model


def fitting(name: str, given: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Values with defaults. Raises: Untried: they do not fit `config`, which is a promise of its own."""
    values, findings = check(dict(given), schema_of(config))
    if findings:
        raise Untried(f"{name} does not fit {config.__name__}")
    checked: dict[str, Any] = values
    return checked


def misfit(name: str, findings: Sequence[Finding]) -> str:
    """What is wrong with small values of a plugin, in one sentence."""
    words = [f"{finding.message}; {finding.hint}" if finding.hint else finding.message for finding in findings[:3]]
    more = f" (and {len(findings) - 3} more)" if len(findings) > 3 else ""
    return f"{name}: {'; '.join(words)}{more}"


def _task(cls: type[Any]) -> Task:
    labelled = getattr(cls, "conditional", None)
    return (
        TASK
        if labelled or (labelled is None and hasattr(cls, "forward") and not hasattr(cls, "encoder"))
        else UNLABELLED
    )


class Untried(Exception):
    """A promise that could not be tried here, and why; it is neither kept nor broken."""


class Killed(Exception):
    """A fit that is left as a kill would leave it."""


def fit(
    cls: type[Any],
    folder: Path,
    *,
    die_at: int | None = None,
    stop: Callable[[], bool] | None = None,
    teach: bool | None = None,
) -> tuple[Model, FitRun]:
    """Fit a tiny model for STEPS steps, to its artifact in eval mode; with `die_at`, leave then as a kill would.

    Args:
        stop: asked between two items whether to stop, as a signal would.
        teach: whether there is a teacher; None is only where a classifier requires one.
    """
    model = make(cls)
    images = small_images(model.task)

    def report(done: int, total: int, loss: float | None) -> None:
        if done == die_at:
            raise Killed

    # one checkpoint in the middle, where something is to be killed: writing them takes longer than a tiny step
    budget = BudgetOf(steps=STEPS, batch_size=BATCH, ema=0.9, checkpoint=2 if die_at is not None else None)
    run = FitRun(model, budget, 0, CPU, Checkpoints(folder), report=report, stop=stop)
    try:
        # the three kinds share one call
        trained: Any = model
        if needs_teacher(cls) if teach is None else teach:
            teacher = SmallTeacher(model.task).eval()
            trained.fit(taught(images, teacher), run, teacher=teacher)
        else:
            trained.fit(images, run)
    except Killed:
        return model, run
    model.load_state_dict(run.artifact())
    return model.eval(), run


def needs_teacher(cls: type[Any]) -> bool:
    return getattr(cls, "teaching", "none") == "required"


class Trial:
    """One class under test; it is fitted once, and every check that needs a fitted model shares that one."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self._fitted: tuple[Model, FitRun] | None = None
        self._asked = False

    def run(self) -> FitRun:
        """The run that STEPS steps were asked of. Raises what the plugin raises, the first time; then `Untried`."""
        if self._fitted is None:
            if self._asked:
                raise Untried("fit did not succeed")
            self._asked = True
            with tempfile.TemporaryDirectory() as folder:
                self._fitted = fit(self.cls, Path(folder))
        return self._fitted[1]

    def fit(self) -> Model:
        """The fitted model."""
        return self.run().model

    @cached_property
    def fresh(self) -> Model:
        """A seeded model that nobody fits, in eval mode."""
        return make(self.cls).eval()

    def reloaded(self) -> Model:
        """A new model with the fitted weights, as another process would make it."""
        model = make(self.cls)
        model.load_state_dict(self.fit().state_dict())
        return model.eval()


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)
