"""Checks of generators, pretrainers and classifiers: they fit, resume, sample and cost as promised."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, Stopped, reseed
from dermae_bench.execute.stages.common import check_images, check_logits
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.contracts import Conditions, Joint, Model, Of
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet, Part, resize
from dermae_bench.plugin.noise import Noise
from dermae_bench.plugin.params import build, schema_of

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
    values, findings = check(dict(cls.tiny), schema_of(cls.Config))
    assert not findings, findings
    reseed(0, "init")
    model: Model = cls(build(cls.Config, values), _task(cls))
    return model


def _task(cls: type[Any]) -> Task:
    labelled = getattr(cls, "conditional", None)
    return (
        TASK
        if labelled or (labelled is None and hasattr(cls, "forward") and not hasattr(cls, "encoder"))
        else UNLABELLED
    )


class _Broken(Exception):
    pass


def fit(cls: type[Any], folder: Path, *, die_at: int | None = None, teacher: Any = None) -> Model:
    """Fit a tiny model for STEPS steps; with `die_at`, stop as a kill would after that many."""
    model = make(cls)
    images = small_images(model.task)

    def report(done: int, total: int, loss: float | None) -> None:
        if done == die_at:
            raise _Broken

    run = FitRun(
        model,
        BudgetOf(steps=STEPS, batch_size=BATCH, ema=0.9, checkpoint=1),
        0,
        CPU,
        Checkpoints(folder),
        report=report,
    )
    try:
        if teacher is not None:
            model.fit(images, run, teacher=teacher)  # type: ignore[operator]
        else:
            model.fit(images, run)  # type: ignore[operator]
    except _Broken:
        return model
    run.check_spent()
    assert run.curves, "no loss was seen"
    model.load_state_dict(run.artifact())
    return model.eval()


def fitted(cls: type[Any]) -> Model:
    """A tiny model after STEPS steps."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(cls, Path(folder))


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def spends_its_budget(cls: type[Any]) -> None:
    """fit spends exactly its budget and changes the weights."""
    assert not same(make(cls).state_dict(), fitted(cls).state_dict()), "the weights are as they were"


def repeats(cls: type[Any]) -> None:
    """Two fits with one seed give equal weights, to the last bit."""
    assert same(fitted(cls).state_dict(), fitted(cls).state_dict()), "the weights differ"


def resumes(cls: type[Any]) -> None:
    """A fit killed after step 3 and resumed from step 2 gives the weights of an unbroken one, to the last bit."""
    with tempfile.TemporaryDirectory() as folder:
        fit(cls, Path(folder), die_at=3)
        kept = sorted(path.name for path in Path(folder).glob("step-*"))
        assert kept, "no checkpoint was written"
        resumed = fit(cls, Path(folder))
    assert same(resumed.state_dict(), fitted(cls).state_dict()), (
        "the weights differ: some state is in no parameter, buffer or optimiser"
    )


def stops(cls: type[Any]) -> None:
    """A fit asked to stop writes a checkpoint at the next item and goes on later."""
    with tempfile.TemporaryDirectory() as folder:
        model = make(cls)
        asked = iter([False, True])
        run = FitRun(
            model,
            BudgetOf(steps=STEPS, batch_size=BATCH),
            0,
            CPU,
            Checkpoints(Path(folder)),
            stop=lambda: next(asked, True),
        )
        try:
            model.fit(small_images(model.task), run)  # type: ignore[operator]
        except Stopped:
            return
    raise AssertionError("fit swallowed the request to stop")


def keeps_its_state(cls: type[Any]) -> None:
    """The state dict of a fitted model loads strictly into a new one."""
    make(cls).load_state_dict(fitted(cls).state_dict())


def states_its_cost(cls: type[Any]) -> None:
    """cost() gives units that run, on one image."""
    model = make(cls).eval()
    ways: list[tuple[Of, Any]] = []
    if hasattr(cls, "sample"):
        ways.append(("sample", cls.Sampling()))
    if hasattr(cls, "start_from"):
        ways.append(("predict", None))
    for of, sampling in ways:
        units = list(model.cost(of, sampling))
        assert units, f"no unit for {of!r}"
        for unit in units:
            assert unit.calls >= 1, f"{of!r}: calls must be positive"
            with torch.no_grad():
                unit.module(*unit.inputs, **unit.keywords)


def _conditions(cls: type[Any], positions: list[int]) -> Conditions:
    labels = torch.tensor([i % 3 for i in positions]) if cls.conditional else None
    return Conditions(count=len(positions), labels=labels)


def _sample(model: Any, cls: type[Any], positions: list[int]) -> Tensor:
    reseed(0, "sample", positions[0])
    with torch.inference_mode():
        images: Tensor = model.sample(_conditions(cls, positions), cls.Sampling(), Noise(0, positions))
    check_images(images, len(positions), SIZE, cls.__name__)
    return images.cpu()


def samples(cls: type[Any]) -> None:
    """sample() gives uint8 RGB images of the task's size, the same twice, different for other noise."""
    model = fitted(cls)
    first = _sample(model, cls, [0, 1, 2])
    assert torch.equal(first, _sample(model, cls, [0, 1, 2])), "two calls with one noise differ"
    assert not torch.equal(first, _sample(model, cls, [3, 4, 5])), "other noise gives the same images"


def samples_alone(cls: type[Any]) -> None:
    """A sample does not depend on the size or the order of its batch, beyond rounding."""
    model = fitted(cls)
    together = _sample(model, cls, [0, 1, 2, 3]).int()
    alone = torch.cat([_sample(model, cls, [i]) for i in range(4)]).int()
    turned = _sample(model, cls, [3, 2, 1, 0]).flip(0).int()
    for other in (alone, turned):
        worst = int((together - other).abs().max())
        assert worst <= 1, f"pixels differ by up to {worst} levels"


def classifies(cls: type[Any]) -> None:
    """forward() gives finite logits (B, C) that do not depend on who shares the batch."""
    model: Any = fitted(cls)
    images = small_images(TASK)[slice(0, 6)]
    if model.input_size is not None:
        images = resize(images, model.input_size)
    with torch.inference_mode():
        together = model(images)
        alone = torch.cat([model(images[i : i + 1]) for i in range(6)])
    check_logits(together, 6, len(TASK.classes), cls.__name__)
    assert torch.allclose(together, alone, atol=1e-3), "logits depend on the batch (is something in train mode?)"


def gives_an_encoder(cls: type[Any]) -> None:
    """encoder() gives a state dict of finite tensors."""
    model: Any = fitted(cls)
    encoder = model.encoder()
    assert encoder, "it is empty"
    assert all(isinstance(name, str) and isinstance(value, Tensor) for name, value in encoder.items())
    assert all(bool(torch.isfinite(value).all()) for value in encoder.values() if value.is_floating_point())


_FITS: list[Callable[[type[Any]], None]] = [
    spends_its_budget,
    repeats,
    resumes,
    stops,
    keeps_its_state,
    states_its_cost,
]
GENERATOR_CHECKS = [*_FITS, samples, samples_alone]
CLASSIFIER_CHECKS = [*_FITS, classifies]
PRETRAINER_CHECKS = [spends_its_budget, repeats, resumes, stops, keeps_its_state, gives_an_encoder]
