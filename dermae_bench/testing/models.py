"""Checks of generators, pretrainers and classifiers: they fit, resume, sample and cost as promised."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, Stopped, reseed
from dermae_bench.execute.stages.outputs import check_images, check_logits
from dermae_bench.plugin.checking import Finding, check
from dermae_bench.plugin.contracts import Conditions, CostUnit, Joint, Model, Of
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet, Part, resize
from dermae_bench.plugin.noise import Noise
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


class _Killed(Exception):
    pass


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
            raise _Killed

    # one checkpoint in the middle, where something is to be killed: writing them takes longer than a tiny step
    budget = BudgetOf(steps=STEPS, batch_size=BATCH, ema=0.9, checkpoint=2 if die_at is not None else None)
    run = FitRun(model, budget, 0, CPU, Checkpoints(folder), report=report, stop=stop)
    try:
        # the three kinds share one call
        trained: Any = model
        if _required(cls) if teach is None else teach:
            teacher = SmallTeacher(model.task).eval()
            trained.fit(taught(images, teacher), run, teacher=teacher)
        else:
            trained.fit(images, run)
    except _Killed:
        return model, run
    model.load_state_dict(run.artifact())
    return model.eval(), run


def _required(cls: type[Any]) -> bool:
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


def spends_its_budget(trial: Trial) -> None:
    """fit spends exactly its budget and changes the weights."""
    run = trial.run()
    run.check_spent()
    assert any("loss" in point for point in run.curves), "no loss was seen"
    assert not same(trial.fresh.state_dict(), run.model.state_dict()), "the weights are as they were"


def repeats(trial: Trial) -> None:
    """Two fits with one seed give equal weights, to the last bit."""
    first = trial.fit()
    with tempfile.TemporaryDirectory() as folder:
        second, _ = fit(trial.cls, Path(folder))
    assert same(first.state_dict(), second.state_dict()), "the weights differ"


def resumes(trial: Trial) -> None:
    """A fit killed after step 3 and resumed from step 2 gives the weights of an unbroken one, to the last bit."""
    whole = trial.fit()
    with tempfile.TemporaryDirectory() as folder:
        fit(trial.cls, Path(folder), die_at=3)
        assert list(Path(folder).glob("step-*")), "no checkpoint was written"
        resumed, _ = fit(trial.cls, Path(folder))
    assert same(resumed.state_dict(), whole.state_dict()), (
        "the weights differ: some state is in no parameter, buffer or optimiser"
    )


def stops(trial: Trial) -> None:
    """A fit asked to stop writes a checkpoint at the next item and goes on later."""
    trial.fit()
    asked = iter([False, True])
    with tempfile.TemporaryDirectory() as folder:
        try:
            fit(trial.cls, Path(folder), stop=lambda: next(asked, True))
        except Stopped:
            assert list(Path(folder).glob("step-*")), "no checkpoint was written"
            fit(trial.cls, Path(folder))
            return
    raise AssertionError("fit swallowed the request to stop")


def keeps_its_state(trial: Trial) -> None:
    """The state dict of a fitted model loads strictly into a new one, which then answers alike."""
    fitted, reloaded = trial.fit(), trial.reloaded()
    one, two = _answers(fitted, trial.cls), _answers(reloaded, trial.cls)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True)), (
        "the new one answers differently: some state is in no parameter or buffer"
    )


def _answers(model: Any, cls: type[Any]) -> list[Tensor]:
    if hasattr(cls, "encoder"):
        return list(model.encoder().values())
    found = [_sample(model, cls, [0, 1])] if hasattr(cls, "sample") else []
    # what is not a number equals nothing, itself included; another promise is about that
    return found + ([_logits(model).nan_to_num()] if hasattr(cls, "start_from") else [])


def leaves_frozen_alone(trial: Trial) -> None:
    """Modules attached by frozen() have the same weights after the fit, and are in eval mode."""
    fresh, fitted = trial.fresh, trial.fit()
    for name, module in fitted.frozen_modules.items():
        assert not any(part.training for part in module.modules()), f"{name} is in train mode"
        if name in fresh.frozen_modules:
            before = fresh.frozen_modules[name].state_dict()
            assert same(before, module.state_dict()), f"the weights of {name} changed; they are in no artifact"


def states_its_cost(trial: Trial) -> None:
    """cost() gives units that run, on one image."""
    model = trial.fresh
    ways: list[tuple[Of, Any]] = []
    if hasattr(trial.cls, "sample"):
        ways.append(("sample", _sampling(trial.cls)))
    if hasattr(trial.cls, "start_from"):
        ways.append(("predict", None))
    for of, sampling in ways:
        units = list(model.cost(of, sampling))
        assert units, f"no unit for {of!r}"
        _run_units(units, repr(of))
    _run_units(model.training_cost(), "training")


def _run_units(units: Iterable[CostUnit], of: str) -> None:
    for unit in units:
        assert unit.calls >= 1, f"{of}: calls must be positive"
        with torch.no_grad():
            unit.module(*unit.inputs, **unit.keywords)


def _sampling(cls: type[Any]) -> Any:
    return build(cls.Sampling, fitting("tiny_sampling", cls.tiny_sampling, cls.Sampling))


def _conditions(cls: type[Any], positions: list[int]) -> Conditions:
    labels = torch.tensor([i % 3 for i in positions]) if cls.conditional else None
    captions = tuple(f"a lesion of kind {i % 3}" for i in positions) if getattr(cls, "captioned", False) else None
    nth = tuple(i // 3 for i in positions) if cls.conditional else tuple(positions)
    return Conditions(count=len(positions), labels=labels, captions=captions, indices=tuple(positions), nth=nth)


def _sample(model: Any, cls: type[Any], positions: list[int]) -> Tensor:
    reseed(0, "sample", positions[0])
    with torch.inference_mode():
        images: Tensor = model.sample(_conditions(cls, positions), _sampling(cls), Noise(0, positions))
    check_images(images, len(positions), SIZE, cls.__name__)
    return images.cpu()


def samples(trial: Trial) -> None:
    """sample() gives uint8 RGB images of the task's size, the same twice, different for other noise."""
    model, cls = trial.fit(), trial.cls
    first = _sample(model, cls, [0, 1, 2])
    assert torch.equal(first, _sample(model, cls, [0, 1, 2])), "two calls with one noise differ"
    assert not torch.equal(first, _sample(model, cls, [3, 4, 5])), "other noise gives the same images"


def samples_alone(trial: Trial) -> None:
    """A sample does not depend on the size or the order of its batch, beyond rounding."""
    model, cls = trial.fit(), trial.cls
    together = _sample(model, cls, [0, 1, 2, 3]).int()
    alone = torch.cat([_sample(model, cls, [i]) for i in range(4)]).int()
    turned = _sample(model, cls, [3, 2, 1, 0]).flip(0).int()
    for other in (alone, turned):
        worst = int((together - other).abs().max())
        assert worst <= 1, f"pixels differ by up to {worst} levels"


def _logits(model: Any) -> Tensor:
    images = small_images(TASK)[slice(0, 6)]
    if model.input_size is not None:
        images = resize(images, model.input_size)
    with torch.inference_mode():
        logits: Tensor = model(images)
    return logits


def classifies(trial: Trial) -> None:
    """forward() gives finite logits (B, C) that do not depend on who shares the batch."""
    model: Any = trial.fit()
    images = small_images(TASK)[slice(0, 6)]
    if model.input_size is not None:
        images = resize(images, model.input_size)
    together = _logits(model)
    check_logits(together, 6, len(TASK.classes), trial.cls.__name__)
    with torch.inference_mode():
        alone = torch.cat([model(images[i : i + 1]) for i in range(6)])
    assert torch.allclose(together, alone, atol=1e-3), "logits depend on the batch (is something in train mode?)"


def listens_to_a_teacher(trial: Trial) -> None:
    """fit takes a teacher where it says that it does, and asks it about uint8 images of its own size only."""
    trial.fit()
    # whoever requires a teacher had one in that fit already
    if trial.cls.teaching == "optional":
        with tempfile.TemporaryDirectory() as folder:
            fit(trial.cls, Path(folder), teach=True)


def gives_an_encoder(trial: Trial) -> None:
    """encoder() gives a state dict of finite tensors."""
    model: Any = trial.fit()
    encoder = model.encoder()
    assert encoder, "it is empty"
    strange = [name for name, value in encoder.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    assert not strange, f"not a tensor under a name: {strange[:3]}"
    floats = {name: value for name, value in encoder.items() if value.is_floating_point()}
    endless = [name for name, value in floats.items() if not bool(torch.isfinite(value).all())]
    assert not endless, f"not finite: {', '.join(endless[:3])}"


_FITS: list[Callable[[Trial], None]] = [
    spends_its_budget,
    repeats,
    resumes,
    stops,
    keeps_its_state,
    leaves_frozen_alone,
]
GENERATOR_CHECKS = [*_FITS, states_its_cost, samples, samples_alone]
CLASSIFIER_CHECKS = [*_FITS, states_its_cost, classifies, listens_to_a_teacher]
JOINT_CHECKS = [*_FITS, states_its_cost, samples, samples_alone, classifies]
PRETRAINER_CHECKS = [*_FITS, gives_an_encoder]
