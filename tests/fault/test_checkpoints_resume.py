"""Fits resumed from every step: weights, averages, selection and curves are those of an unbroken fit, bit by bit."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.contracts import Joint
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.testing.models import CPU, make, small_images
from dermae_bench.testing.teacher import SmallTeacher, taught
from tests.counting import record_count
from tests.unit.execute.fits import Plain, TwoOptimizers, TwoPhases, differing, everything

TESTS = Path(__file__).parents[1]
STEPS, BATCH = 4, 4
FITTED = {"generator", "pretrainer", "classifier"}
ENSEMBLES = {
    "ema": BudgetOf(steps=STEPS, batch_size=BATCH, ema=0.9, checkpoint=1),
    "best": BudgetOf(steps=STEPS, batch_size=BATCH, clip=None, select="best:accuracy", every=1, checkpoint=1),
}
"""Budgets that together use all that a checkpoint holds."""


class Keeping(Checkpoints):
    """Keeps a copy of every checkpoint, as if the fit had been killed after each."""

    def save(self, checkpoint: Checkpoint) -> bool:
        written = super().save(checkpoint)
        name = f"step-{checkpoint.step:010d}"
        shutil.copytree(self.folder / name, self.folder.parent / f"killed-{checkpoint.step}" / name)
        return written


def fit(cls: type[Any], checkpoints: Checkpoints, budget: BudgetOf, teach: bool) -> dict[str, Any]:
    """Fit a tiny model and say all that there is to compare."""
    model: Any = make(cls)
    images: ImageSet = small_images(model.task)

    def validate() -> float:
        # any number that depends on the weights, and rises and falls
        return float(sum(p.detach().double().sum() for p in model.parameters()) % 0.1)

    run = FitRun(model, budget, 0, CPU, checkpoints, validate=validate if budget.select != "last" else None)
    if teach:
        teacher = SmallTeacher(model.task).eval()
        model.fit(taught(images, teacher), run, teacher=teacher)
    else:
        model.fit(images, run)
    run.check_spent()
    return everything(model, run)


def resumes_everywhere(cls: type[Any], root: Path, budget: BudgetOf, teach: bool = False) -> int:
    """Compare a fit resumed from each of its checkpoints with the unbroken one; returns how many there were."""
    whole = fit(cls, Keeping(root / "whole"), budget, teach)
    killed = sorted(root.glob("killed-*"))
    assert len(killed) == STEPS - 1
    for folder in killed:
        assert differing(fit(cls, Checkpoints(folder), budget, teach), whole) == [], folder.name
    return len(killed)


def shipped() -> dict[str, tuple[str, str, Path | None]]:
    """Name -> where to find every generator, pretrainer and classifier, ours and the outsiders of these tests."""
    found = {}
    for folder in (None, TESTS / "plugins"):
        catalog = Catalog(folder)
        for name in catalog.names() if folder is None else catalog.references:
            place = catalog.reference(name)
            # what ships with the harness learns nothing: datasets, extractors, metrics
            if place.file is not None or not place.module.startswith("dermae_bench."):
                found[name] = (place.name, place.module, place.file)
    return found


@functools.cache
def class_of(name: str) -> type[Any]:
    kind, cls = load_plugin(*shipped()[name])
    assert kind in FITTED
    return cls


def teachings(cls: type[Any]) -> list[bool]:
    """Whether to fit with a teacher, without, or both."""
    if issubclass(cls, Joint):
        # it is trained as a generator
        return [False]
    return {"required": [True], "optional": [False, True]}.get(getattr(cls, "teaching", "none"), [False])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped()))
@pytest.mark.parametrize("budget", ENSEMBLES)
def test_every_plugin_resumes_from_every_step(name: str, budget: str, tmp_path: Path) -> None:
    for teach in teachings(class_of(name)):
        count = resumes_everywhere(class_of(name), tmp_path / str(teach), ENSEMBLES[budget], teach)
        record_count("fits resumed to the last bit", count)


@pytest.mark.parametrize(("name", "budget"), [("tiny-gan", "ema")])
def test_some_plugins_resume_from_every_step(name: str, budget: str, tmp_path: Path) -> None:
    cls = class_of(name)
    resumes_everywhere(cls, tmp_path, ENSEMBLES[budget], teachings(cls)[-1])


class Scheduled(Plain):
    """A schedule, and two images mixed into one."""

    def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
        from dermae_bench import api

        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, nesterov=True)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            api.schedule(optimizer, api.cosine(run.progress, warmup=0.5))
            share = float(torch.distributions.Beta(0.4, 0.4).sample())
            other = torch.randperm(len(batch.labels))
            # uint8 is what this model reads; a mixed image is a rounded one
            mixed = (share * batch.images + (1 - share) * batch.images[other]).to(torch.uint8)
            logits = self(mixed)
            loss = share * torch.nn.functional.cross_entropy(logits, batch.labels)
            loss = loss + (1 - share) * torch.nn.functional.cross_entropy(logits, batch.labels[other])
            run.step(loss, optimizer)


@pytest.mark.parametrize(
    "name",
    [
        *("adam-amsgrad", "scheduled", "two"),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("adagrad", "rmsprop", "nadam", "radam", "adamax")),
    ],
)
def test_every_kind_of_optimiser_state_comes_back(name: str, tmp_path: Path) -> None:
    makers: dict[str, Any] = {
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
        "adam-amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
        "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
        "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
        "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    }

    class Stepping(Plain):
        def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
            optimizer = makers[name](self.parameters())
            run.optimizers(optimizer)
            for batch in run.batches(train):
                run.step(torch.nn.functional.cross_entropy(self(batch.images), batch.labels), optimizer)

    cls = {"scheduled": Scheduled, "two": TwoOptimizers}.get(name, Stepping)
    resumes_small(cls, tmp_path, ENSEMBLES["best"])


def test_phases_come_back_in_the_middle_of_each(tmp_path: Path) -> None:
    budget = BudgetOf(steps=STEPS, batch_size=BATCH, ema=0.9, checkpoint=1, phases={"warm": 2, "main": 2})
    resumes_small(TwoPhases, tmp_path, budget)


def resumes_small(cls: type[Any], root: Path, budget: BudgetOf) -> None:
    """The same for the models of `fits`, which make themselves."""
    from tests.unit.execute import fits

    def go(checkpoints: Checkpoints) -> dict[str, Any]:
        model, run = fits.begin(cls, root / "unused", budget)
        run._checkpoints = checkpoints
        if budget.select != "last":
            run._validate = lambda: float(model.last.weight.sum() % 0.1)
        model.fit(fits.images(), run)
        return everything(model, run)

    whole = go(Keeping(root / "whole"))
    killed = sorted(root.glob("killed-*"))
    assert len(killed) == STEPS - 1
    for folder in killed:
        assert differing(go(Checkpoints(folder)), whole) == [], folder.name
