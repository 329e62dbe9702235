"""Which weights a fit leaves: averages, the best on val, fp32 under autocast, and no frozen ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import (
    BUDGET,
    FIXTURES,
    SELECTING,
    STEPS,
    Late,
    Plain,
    TwoOptimizers,
    begin,
    differing,
    everything,
    fit,
    images,
)
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.averaging import Average
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf

(one_thread,) = FIXTURES


# -- averages and selection --------------------------------------------------------------------------------------


def test_with_an_average_the_average_is_the_artifact(tmp_path: Path) -> None:
    model, run = fit(Plain, tmp_path, BUDGET)
    artifact = run.artifact()
    assert not torch.equal(artifact["last.weight"], model.last.weight)
    statistics = ("norm.running_mean", "norm.running_var")
    averaged = [*(name for name, _ in model.named_parameters()), *statistics]
    for name, value in zip(averaged, run._average.values, strict=True):
        assert torch.equal(artifact[name], value)
        assert not torch.equal(value, model.state_dict()[name])
    # how many batches were seen is no average
    assert artifact["norm.num_batches_tracked"] == model.norm.num_batches_tracked
    with run._average.inside():
        assert torch.equal(model.last.weight, artifact["last.weight"])
    assert not torch.equal(artifact["last.weight"], model.last.weight)


def test_a_young_average_forgets_the_random_start(tmp_path: Path) -> None:
    model, run = fit(Plain, tmp_path, BudgetOf(steps=1, batch_size=5, ema=0.9999))
    # decay 1/10 at the first step, whatever the budget says
    start = begin(Plain, tmp_path / "none", BUDGET)[0]
    expected = 0.1 * start.last.weight + 0.9 * model.last.weight
    assert torch.allclose(run.artifact()["last.weight"], expected, atol=1e-6)


def test_a_part_that_waits_is_averaged_from_its_own_first_step(tmp_path: Path) -> None:
    weights: list[dict[str, torch.Tensor]] = []

    class Noted(Late):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            weights.append({name: value.detach().clone() for name, value in self.named_parameters()})
            return super().forward(images)

    model, run = fit(Noted, tmp_path, BudgetOf(steps=6, batch_size=5, ema=0.99))
    artifact = run.artifact()
    assert run._average.began == [0, 3]
    # the head's weights after steps 3, 4 and 5; steps 3 to 5 look twice, after the body's step and before the head's
    after = [weights[5]["last.weight"], weights[7]["last.weight"], model.last.weight.detach()]
    expected = weights[0]["last.weight"]
    for n, value in enumerate(after):
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(artifact["last.weight"], expected, atol=1e-6)
    assert not torch.allclose(weights[0]["last.weight"], expected, atol=1e-2)


def test_the_best_weights_on_val_are_kept_and_validated_in_eval_mode(tmp_path: Path) -> None:
    values = iter([0.2, 0.9, 0.9])
    kept: list[tuple[bool, bool, torch.Tensor]] = []

    def validate(model: Any) -> float:
        kept.append((model.training, torch.is_grad_enabled(), model.last.weight.detach().clone()))
        return next(values)

    model, run = fit(Plain, tmp_path, SELECTING, validate=validate)
    assert run.best == (4, 0.9)
    assert [mode for *mode, _ in kept] == [[False, False]] * 3
    assert torch.equal(run.artifact()["last.weight"], kept[1][2])
    assert model.training
    assert [point.get("validation") for point in run.curves] == [None, 0.2, None, 0.9, None, 0.9]


def test_a_lower_number_may_be_the_better_one(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 2.0])
    model, run = begin(Plain, tmp_path, SELECTING, validate=lambda: next(values), better=-1)
    model.fit(images(), run)
    assert run.best == (4, 1.0)


def test_a_selection_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidOutput, match="selects weights is not finite after step 1"):
        fit(Plain, tmp_path, SELECTING, validate=lambda model: float("nan"))


def test_a_resumed_fit_does_not_validate_the_same_step_twice(tmp_path: Path) -> None:
    asked: list[int] = []
    for die_at in (3, None):
        fit(Plain, tmp_path, SELECTING, die_at=die_at, validate=lambda model: asked.append(0) or 0.5)
    assert len(asked) == 3


# -- bf16 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "ema", "cached"), [(Plain, 0.9, True), (Plain, None, True), (TwoOptimizers, 0.9, True), (Plain, 0.9, False)]
)
def test_under_autocast_weights_stay_fp32_learn_and_resume(
    tmp_path: Path, cls: type[Any], ema: float | None, cached: bool
) -> None:
    def under_autocast(folder: str, die_at: int | None = None, steps: int = STEPS) -> tuple[Any, Any]:
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
            budget = replace(SELECTING, steps=steps, ema=ema, checkpoint=3)
            return fit(cls, tmp_path / folder, budget, die_at=die_at, validate=watched)

    def watched(model: Any) -> float:
        # reading the weights here must not leave a copy of them, without gradient, to the next step
        return float(model(images()[slice(0, 3)]).sum() % 0.1)

    model, run = under_autocast("whole")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    under_autocast("broken", 4)
    assert differing(everything(*under_autocast("broken")), everything(model, run)) == []
    curves = under_autocast("long", steps=24)[1].curves
    assert curves[-1]["loss"] < 0.8 * curves[0]["loss"]


def test_bf16_is_not_fp32(tmp_path: Path) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        low = everything(*fit(Plain, tmp_path / "low", BUDGET))
    assert differing(low, everything(*fit(Plain, tmp_path / "full", BUDGET))) != []


def test_frozen_modules_are_neither_saved_nor_averaged(tmp_path: Path) -> None:
    class WithHelper(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.frozen("helper", torch.nn.Linear(3, 3))

    model, run = begin(WithHelper, tmp_path, BUDGET)
    assert not any(name.startswith("helper") for name, _ in model.named_parameters())
    model.fit(images(), run)
    assert not any("helper" in name for name in run.artifact())
    found = Checkpoints(tmp_path).load()
    assert found is not None
    assert not any("helper" in name for name in found.tensors)
    assert not model.helper.training


def test_statistics_follow_the_weights_of_their_module_and_spectral_norms_are_left() -> None:
    torch.manual_seed(0)
    early = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False))
    late = nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4))
    model = nn.ModuleDict({"early": early, "late": late})
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (early, late))
    average = Average(model, 0.5)
    average.start([first, second])
    means = []
    for step in range(4):
        model["late"](model["early"](torch.randn(8, 3)))
        average.stepped(0, step)
        if step >= 2:
            average.stepped(1, step)
        average.update(step)
        means.append([part[1].running_mean.clone() for part in (early, late)])
    side = late[0].parametrizations.weight[0]._u.clone()
    with average.inside():
        found = [part[1].running_mean.clone() for part in (early, late)]
        assert torch.equal(late[0].parametrizations.weight[0]._u, side)
    for part, since in ((0, 0), (1, 2)):
        expected = torch.zeros(4)
        for step in range(since, 4):
            expected = expected.lerp(means[step][part], 1 - min(0.5, (1 + step - since) / (10 + step - since)))
        torch.testing.assert_close(found[part], expected)
        assert not torch.equal(found[part], means[-1][part])
