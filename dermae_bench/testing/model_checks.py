"""What the kit asks of models: budget, repeats, resumes, costs, samples, answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dermae_bench.execute.run import Stopped, reseed
from dermae_bench.execute.stages.outputs import check_images, check_logits
from dermae_bench.plugin.contracts import Conditions, CostUnit, Of
from dermae_bench.plugin.images import resize
from dermae_bench.plugin.noise import Noise
from dermae_bench.plugin.params import build
from dermae_bench.testing.models import (
    SIZE,
    TASK,
    Trial,
    fit,
    fitting,
    same,
    small_images,
)


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
